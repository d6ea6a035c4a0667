"""The story's script in plain Keras: transfer learning as its users write it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from options import parse, report

SIZE, BATCH = 224, 32
OPTIMIZERS = {
    "head": lambda: keras.optimizers.RMSprop(0.001),
    "block5": lambda: keras.optimizers.SGD(0.0001, momentum=0.9),
    "all": lambda: keras.optimizers.SGD(0.0001, momentum=0.9),
}


class EpochClock(keras.callbacks.Callback):
    """Notes how long each epoch takes, its validation included."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Starts the clock."""
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Stops it; Keras has validated by then."""
        self.seconds.append(time.perf_counter() - self._started)


def main() -> None:
    """Trains the phases that are asked for, one after the other."""
    options = parse(__doc__ or "")
    if options.precision == "bfloat16":
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    base, preprocess = open_network(options.network, options.weights)
    train = load_images(options.train, preprocess, shuffle=True)
    validation = load_images(options.validation, preprocess, shuffle=False) if options.validation else None
    classes = sum(folder.is_dir() for folder in options.train.iterdir())
    network = sew(base, options.network, classes, options.batch_norm)
    epochs = {}
    for phase, count in options.phases.items():
        for layer in base.layers:
            layer.trainable = phase == "all" or (phase == "block5" and layer.name.startswith("block5_"))
        network.compile(OPTIMIZERS[phase](), "sparse_categorical_crossentropy", metrics=["accuracy"])
        clock = EpochClock()
        network.fit(train, validation_data=validation, epochs=count, callbacks=[clock], verbose=2)
        epochs[phase] = clock.seconds
    report(options.out, epochs)


def open_network(name: str, weights: str) -> tuple[keras.Model, Callable[[Any], Any]]:
    """Returns a network without its top, and what its pixels have to go through."""
    shape = (SIZE, SIZE, 3)
    if name == "vgg16":
        base = keras.applications.VGG16(weights=weights, include_top=False, input_shape=shape)
        return base, keras.applications.vgg16.preprocess_input
    if name == "mobilenetv2":
        base = keras.applications.MobileNetV2(weights=weights, include_top=False, input_shape=shape)
        return base, keras.applications.mobilenet_v2.preprocess_input
    from surgeon.networks.efficientnet_lite import efficientnet_lite  # Keras has no Lites

    base = efficientnet_lite(0, input_shape=shape, include_top=False)
    base.load_weights(weights)
    return base, lambda images: (images - 127) / 128


def load_images(folder: Path, preprocess: Callable[[Any], Any], *, shuffle: bool) -> Any:
    """Returns the images of a folder of class folders in batches."""
    images = keras.utils.image_dataset_from_directory(
        folder, image_size=(SIZE, SIZE), batch_size=BATCH, shuffle=shuffle
    )
    return images.map(lambda pixels, labels: (preprocess(pixels), labels)).prefetch(tf.data.AUTOTUNE)


def sew(base: keras.Model, name: str, classes: int, batch_norm: str) -> keras.Model:
    """Returns the network with a new head: the story's for VGG16, a pooled one for the others."""
    images = keras.Input((SIZE, SIZE, 3))
    features = base(images, training=False if batch_norm == "inference" else None)
    if name == "vgg16":
        features = keras.layers.Flatten()(features)
        features = keras.layers.Dense(256, activation="relu")(features)
        features = keras.layers.Dropout(0.5)(features)
    else:
        features = keras.layers.GlobalAveragePooling2D()(features)
    return keras.Model(images, keras.layers.Dense(classes, activation="softmax", dtype="float32")(features))


if __name__ == "__main__":
    main()
