"""Many heads on VGG16 in plain Keras: a competent script computes the features once, a naive one does not."""

from __future__ import annotations

import time
from typing import Any

import keras
import numpy as np
from keras_script import BATCH, SIZE, EpochClock, load_images, open_network
from options import parse_heads, report

LOSS = "sparse_categorical_crossentropy"


def main() -> None:
    """Trains the heads that are asked for, one after the other."""
    options = parse_heads(__doc__ or "")
    base, preprocess = open_network(options.network, options.weights)
    folders = (options.train, options.validation)
    classes = len([folder for folder in options.train.iterdir() if folder.is_dir()])
    if options.whole:
        images = [load_images(folder, preprocess, shuffle=folder is options.train) for folder in folders]
        report(options.out, {"epochs": train_whole(base, images, classes, options)})
        return
    started = time.perf_counter()
    tables = [features_of(base, load_images(folder, preprocess, shuffle=False), options.head) for folder in folders]
    computed = time.perf_counter() - started
    report(options.out, {"features": [computed], "trials": train_heads(tables, classes, options)})


def features_of(base: keras.Model, images: Any, head: str) -> tuple[Any, Any]:
    """Returns what the head sees of some images, shape (images, features), and their class numbers."""
    batches = [(base.predict_on_batch(pixels), labels) for pixels, labels in images]
    maps, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return maps.mean((1, 2)) if head == "pooled" else maps.reshape(len(maps), -1), labels


def new_head(classes: int, dropout: float) -> list[keras.Layer]:
    """Returns the layers after the first one."""
    return [
        keras.layers.Dense(256, activation="relu"),
        keras.layers.Dropout(dropout),
        keras.layers.Dense(classes, activation="softmax"),
    ]


def train_heads(tables: list[tuple[Any, Any]], classes: int, options: Any) -> list[float]:
    """Returns the seconds of each trial, from its model to its last epoch."""
    (features, labels), validation = tables
    seconds = []
    for rate, dropout in options.trials:
        started = time.perf_counter()
        keras.utils.clear_session()
        head = keras.Sequential([keras.Input(features.shape[1:]), *new_head(classes, dropout)])
        head.compile(keras.optimizers.Adam(rate), LOSS, metrics=["accuracy"])
        head.fit(features, labels, batch_size=BATCH, epochs=options.epochs, validation_data=validation, verbose=0)
        seconds.append(time.perf_counter() - started)
        accuracy = head.evaluate(*validation, verbose=0)[1]
        print(f"rate {rate:g}, dropout {dropout:g}: validation accuracy {accuracy:.3f}, {seconds[-1]:.1f} s")
    return seconds


def train_whole(base: keras.Model, images: list[Any], classes: int, options: Any) -> list[float]:
    """Returns the seconds of each epoch of each trial, whose head stands on the network in one model."""
    first = keras.layers.GlobalAveragePooling2D if options.head == "pooled" else keras.layers.Flatten
    names = [layer.name for layer in base.layers]
    start = len(names) if options.start == "head" else names.index(f"{options.start}_conv1")
    seconds = []
    for rate, dropout in options.trials:
        for at, layer in enumerate(base.layers):
            layer.trainable = at >= start
        model = keras.Sequential([keras.Input((SIZE, SIZE, 3)), base, first(), *new_head(classes, dropout)])
        model.compile(keras.optimizers.Adam(rate), LOSS, metrics=["accuracy"])
        clock = EpochClock()
        model.fit(images[0], validation_data=images[1], epochs=options.epochs, callbacks=[clock], verbose=2)
        seconds += clock.seconds
    return seconds


if __name__ == "__main__":
    main()
