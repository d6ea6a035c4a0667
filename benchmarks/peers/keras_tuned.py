"""Fine-tuning in plain Keras with the usual choices, as its guide to transfer learning has it.

https://keras.io/guides/transfer_learning/: the new head first, then everything at a low rate, statistics left alone.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import keras
from keras_script import BATCH, SIZE, open_network

HEAD_EPOCHS, ALL_EPOCHS = 20, 10


def main() -> None:
    """Trains on ``train``, chooses by ``validation`` and tells the classes of ``test``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path, help="a folder of splits with class folders")
    parser.add_argument("weights", help="of EfficientNet-Lite0")
    parser.add_argument("out", type=Path, help="where the result is written, as JSON")
    options = parser.parse_args()
    started = time.perf_counter()
    keras.utils.set_random_seed(0)
    base, preprocess = open_network("efficientnetlite0", options.weights)
    splits = {name: _load(options.images / name) for name in ("train", "validation", "test")}
    classes = splits["train"].class_names

    inputs = keras.Input((SIZE, SIZE, 3))
    changed = keras.layers.RandomFlip("horizontal")(inputs)
    changed = keras.layers.RandomRotation(0.1)(changed)
    features = base(preprocess(changed), training=False)  # BatchNormalization as it was
    pooled = keras.layers.GlobalAveragePooling2D()(features)
    outputs = keras.layers.Dense(len(classes), activation="softmax")(keras.layers.Dropout(0.2)(pooled))
    network = keras.Model(inputs, outputs)

    for trainable, rate, epochs in ((False, 1e-3, HEAD_EPOCHS), (True, 1e-5, ALL_EPOCHS)):
        base.trainable = trainable
        network.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
        stop = keras.callbacks.EarlyStopping("val_loss", patience=5, restore_best_weights=True)
        network.fit(splits["train"], validation_data=splits["validation"], epochs=epochs, callbacks=[stop], verbose=2)
    predicted = network.predict(splits["test"], verbose=0).argmax(axis=1).tolist()
    labels = [int(label) for _, batch in splits["test"] for label in batch]
    found = {"classes": classes, "labels": labels, "predicted": predicted, "seconds": time.perf_counter() - started}
    options.out.write_text(json.dumps(found), encoding="utf-8")


def _load(folder: Path) -> keras.utils.PyDataset:
    return keras.utils.image_dataset_from_directory(
        folder, image_size=(SIZE, SIZE), batch_size=BATCH, shuffle=folder.name == "train", seed=0
    )


if __name__ == "__main__":
    main()
