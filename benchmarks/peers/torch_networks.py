"""VGG16, MobileNetV2 and EfficientNet-Lite0 in PyTorch, laid out as torchvision lays out the first two."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn


class Stage(NamedTuple):
    """A run of inverted residual blocks with the same output; the first of them has the stride."""

    expansion: int
    channels: int
    repeats: int
    stride: int
    kernel: int


MOBILENET_V2 = (
    Stage(1, 16, 1, 1, 3),
    Stage(6, 24, 2, 2, 3),
    Stage(6, 32, 3, 2, 3),
    Stage(6, 64, 4, 2, 3),
    Stage(6, 96, 3, 1, 3),
    Stage(6, 160, 3, 2, 3),
    Stage(6, 320, 1, 1, 3),
)
EFFICIENTNET_LITE0 = (
    Stage(1, 16, 1, 1, 3),
    Stage(6, 24, 2, 2, 3),
    Stage(6, 40, 2, 2, 5),
    Stage(6, 80, 3, 2, 3),
    Stage(6, 112, 3, 1, 5),
    Stage(6, 192, 4, 2, 5),
    Stage(6, 320, 1, 1, 3),
)
VGG16_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


class Vgg16(nn.Module):
    """VGG16 up to its last pooling, and the story's head; ``blocks`` are its five blocks."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        blocks, before = [], 3
        for channels, repeats in VGG16_BLOCKS:
            layers: list[nn.Module] = []
            for _ in range(repeats):
                layers += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU(inplace=True)]
                before = channels
            blocks.append(nn.Sequential(*layers, nn.MaxPool2d(2)))
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(512 * 7 * 7, 256), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(256, classes)
        )
        _start_convolutions(self)

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits of images (batch, 3, 224, 224)."""
        return self.head(self.blocks(images))


class InvertedResidual(nn.Module):
    """Widen, filter each channel, narrow; with a connection past all that where the shape stays."""

    def __init__(self, before: int, stage: Stage, stride: int) -> None:
        super().__init__()
        wide = before * stage.expansion
        layers = [_convolution(before, wide, 1)] if stage.expansion > 1 else []
        layers += [
            _convolution(wide, wide, stage.kernel, stride, groups=wide),
            nn.Conv2d(wide, stage.channels, 1, bias=False),
            nn.BatchNorm2d(stage.channels),
        ]
        self.layers = nn.Sequential(*layers)
        self.skips = stride == 1 and before == stage.channels

    def forward(self, maps: Tensor) -> Tensor:
        """Returns feature maps (batch, channels, height, width)."""
        return maps + self.layers(maps) if self.skips else self.layers(maps)


class InvertedResiduals(nn.Module):
    """MobileNetV2 or EfficientNet-Lite0 with a pooled head."""

    def __init__(self, stages: tuple[Stage, ...], classes: int) -> None:
        super().__init__()
        layers, before = [_convolution(3, 32, 3, stride=2)], 32
        for stage in stages:
            for repeat in range(stage.repeats):
                layers.append(InvertedResidual(before, stage, stage.stride if repeat == 0 else 1))
                before = stage.channels
        layers.append(_convolution(before, 1280, 1))
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(1280, classes)
        _start_convolutions(self)

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits of images (batch, 3, height, width)."""
        return self.head(self.features(images).mean((2, 3)))


def _convolution(before: int, channels: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Module:
    convolution = nn.Conv2d(before, channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU6(inplace=True))


def _start_convolutions(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
