"""Writes weights for a network that nobody pretrained, under which its activations are as large as a trained one's.

With random weights and BatchNormalization that has seen no image they vanish, layer by layer, and arithmetic with
numbers that small is slow. So its statistics become those of a batch of images.
"""

from __future__ import annotations

import sys
from pathlib import Path

import keras

from surgeon.catalogue.backbones import BACKBONES
from surgeon.catalogue.preprocessing import PREPROCESSINGS
from surgeon.model.pipeline import preprocess


def main(name: str, images: Path, out: Path) -> None:
    """Writes the weights of a backbone of the catalogue, without its top, to a ``.weights.h5`` file.

    Args:
        name: Of the backbone.
        images: A folder of class folders.
        out: The file.
    """
    spec = BACKBONES[name]
    side = spec.image_size
    backbone = spec.build((side, side, 3), False)
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    pixels, _ = next(iter(keras.utils.image_dataset_from_directory(images, image_size=(side, side), batch_size=32)))
    backbone(preprocess(pixels, PREPROCESSINGS[spec.preprocessing]), training=True)
    backbone.save_weights(out)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
