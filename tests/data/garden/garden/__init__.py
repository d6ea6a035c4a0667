"""What the package garden adds to surgeon: networks, a source and a format."""

import io
from pathlib import Path

from surgeon.catalogue import BackboneSpec, ExporterSpec, LabelledImage, SourceSpec, complete_listing, integer


def build_tulip(input_shape, include_top):
    import keras
    from keras import layers

    image = maps = keras.Input(input_shape, name="image")
    for number, filters in enumerate((8, 16), start=1):
        maps = layers.Conv2D(filters, 3, strides=2, padding="same", name=f"block{number}_conv")(maps)
        maps = layers.BatchNormalization(name=f"block{number}_bn")(maps)
        maps = layers.ReLU(name=f"block{number}_relu")(maps)
    if include_top:
        maps = layers.GlobalAveragePooling2D(name="pool")(maps)
        maps = layers.Dense(1000, activation="softmax", name="predictions")(maps)
    return keras.Model(image, maps, name="tulip")


def build_daisy(input_shape, include_top):
    import keras
    from keras import layers

    image = keras.Input(input_shape)
    maps = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(image)
    maps = maps + layers.Conv2D(8, 3, padding="same", activation="relu")(maps)
    return keras.Model(image, layers.MaxPooling2D()(maps))


TULIP = BackboneSpec(
    name="tulip",
    summary="A small network with a layer table.",
    group="Liliaceae",
    preprocessing="tf",
    image_size=32,
    min_image_size=8,
    build=build_tulip,
    layer_table=Path(__file__).with_name("tulip.json"),
)
DAISY = BackboneSpec(
    name="daisy",
    summary="A smaller one, built whenever its layers are asked for.",
    preprocessing="tf",
    image_size=32,
    min_image_size=8,
    build=build_daisy,
)
BACKBONES = [TULIP, DAISY]


def read_beds(parameters, paths):
    import numpy as np
    from PIL import Image

    images = []
    for label, axis in (("across", 0), ("along", 1)):
        for number in range(parameters["images"]):
            wave = 127 + 100 * np.sin(np.arange(48) / (1 + number / 10))
            file = io.BytesIO()
            pixels = np.repeat(np.expand_dims(wave, 1 - axis), 48, 1 - axis).astype(np.uint8)
            Image.fromarray(pixels).save(file, "PNG", compress_level=0)
            images.append(LabelledImage(f"{label}/{number:03}.png", label, split=None, data=file.getvalue()))
    return complete_listing(images)


BEDS = SourceSpec(
    name="beds",
    summary="Pictures of flower beds, across and along.",
    parameters={"images": integer("Images per class.", 12, minimum=4)},
    shorthand="images",
    read=read_beds,
    classes=lambda parameters: ("across", "along"),
)


def write_parts(export, path):
    path.mkdir()
    (path / "network.json").write_text(export.network.to_json())
    export.network.save_weights(path / "network.weights.h5")


def open_parts(path):
    import keras
    import numpy as np

    network = keras.models.model_from_json((path / "network.json").read_text())
    network.load_weights(path / "network.weights.h5")
    return lambda pixels: np.asarray(network(pixels, training=False))


PARTS = ExporterSpec(
    name="parts",
    summary="A folder of the layers as JSON and the weights as HDF5.",
    file="parts",
    write=write_parts,
    open=open_parts,
    in_tensorflow=True,
)
