"""How a network wants its pixels: every convention of the field is one affine map a channel."""

from __future__ import annotations

from dataclasses import dataclass

from surgeon.catalogue.entry import Entry, table


@dataclass(frozen=True, kw_only=True)
class PreprocessingSpec(Entry):
    """Maps RGB values in [0, 255] to ``(x - mean) / std``, with the channels in the order ``channels``.

    Attributes:
        mean: What is subtracted, one number per channel of the output's order.
        std: What the difference is divided by.
        channels: ``rgb`` or ``bgr``.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    channels: str = "rgb"


PREPROCESSINGS = table(
    PreprocessingSpec(
        name="none",
        summary="RGB from 0 to 255 as it is; the network scales it itself.",
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    ),
    PreprocessingSpec(
        name="caffe",
        summary="BGR less the mean of ImageNet, not scaled (VGG, ResNet).",
        mean=(103.939, 116.779, 123.68),
        std=(1.0, 1.0, 1.0),
        channels="bgr",
    ),
    PreprocessingSpec(
        name="tf",
        summary="RGB scaled to [-1, 1] (Inception, MobileNet, ResNetV2).",
        mean=(127.5, 127.5, 127.5),
        std=(127.5, 127.5, 127.5),
    ),
    PreprocessingSpec(
        name="torch",
        summary="RGB normalized by the mean and deviation of ImageNet (DenseNet).",
        mean=(0.485 * 255, 0.456 * 255, 0.406 * 255),
        std=(0.229 * 255, 0.224 * 255, 0.225 * 255),
    ),
    PreprocessingSpec(
        name="lite",
        summary="RGB as (x - 127) / 128 (EfficientNet-Lite).",
        mean=(127.0, 127.0, 127.0),
        std=(128.0, 128.0, 128.0),
    ),
)
