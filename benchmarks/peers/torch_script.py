"""The same training in PyTorch as its users write it: DataLoader, channels_last, autocast for bfloat16."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import torch
from options import parse, report
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torch_networks import EFFICIENTNET_LITE0, MOBILENET_V2, InvertedResiduals, Vgg16

SIZE, BATCH = 224, 32
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
OPTIMIZERS = {
    "head": lambda parameters: torch.optim.RMSprop(parameters, 0.001),
    "block5": lambda parameters: torch.optim.SGD(parameters, 0.0001, momentum=0.9),
    "all": lambda parameters: torch.optim.SGD(parameters, 0.0001, momentum=0.9),
}


class ImageFolder(Dataset):
    """The images of a folder of class folders, like torchvision's."""

    def __init__(self, folder: Path) -> None:
        self.files = sorted(folder.glob("*/*"))
        self.classes = sorted({file.parent.name for file in self.files})

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, at: int) -> tuple[Tensor, int]:
        file = self.files[at]
        with Image.open(file) as image:
            pixels = np.asarray(image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR), np.float32)
        normalized = (pixels / 255 - np.array(MEAN, np.float32)) / np.array(DEVIATION, np.float32)
        return torch.from_numpy(normalized).permute(2, 0, 1), self.classes.index(file.parent.name)


def main() -> None:
    """Trains the phases that are asked for, one after the other."""
    options = parse(__doc__ or "")
    torch.set_num_threads(os.cpu_count() or 1)
    train = load_images(options.train, shuffle=True)
    validation = load_images(options.validation, shuffle=False) if options.validation else None
    network = build_network(options.network, len(train.dataset.classes)).to(memory_format=torch.channels_last)
    settle(network, train)
    half = options.precision == "bfloat16"
    epochs = {}
    for phase, count in options.phases.items():
        set_trainable(network, phase)
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        optimizer = OPTIMIZERS[phase](trained)
        seconds = []
        for epoch in range(count):
            started = time.perf_counter()
            train_epoch(network, train, optimizer, options.batch_norm, half=half)
            accuracy = measure(network, validation, half=half) if validation else float("nan")
            seconds.append(time.perf_counter() - started)
            print(f"{phase}, epoch {epoch + 1}: validation accuracy {accuracy:.3f}, {seconds[-1]:.1f} s")
        epochs[phase] = seconds
    report(options.out, epochs)


def load_images(folder: Path, *, shuffle: bool) -> DataLoader:
    """Returns the images of a folder of class folders in batches, read by as many processes as there are cores."""
    workers = os.cpu_count() or 1
    return DataLoader(ImageFolder(folder), BATCH, shuffle=shuffle, num_workers=workers, persistent_workers=True)


def build_network(name: str, classes: int) -> nn.Module:
    """Returns a network with random weights, which take as long as others."""
    if name == "vgg16":
        return Vgg16(classes)
    return InvertedResiduals(MOBILENET_V2 if name == "mobilenetv2" else EFFICIENTNET_LITE0, classes)


@torch.no_grad()
def settle(network: nn.Module, images: DataLoader) -> None:
    """Gives BatchNorm the statistics of a batch; without any, in eval mode, activations vanish layer by layer."""
    normalizing = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    if normalizing:
        for module in normalizing:
            module.momentum = 1.0
        network.train()(next(iter(images))[0])
        for module in normalizing:
            module.momentum = 0.1


def set_trainable(network: nn.Module, phase: str) -> None:
    """Freezes all that a phase does not train."""
    network.requires_grad_(phase == "all")
    network.head.requires_grad_(True)
    if phase == "block5":
        network.blocks[4].requires_grad_(True)


def train_epoch(
    network: nn.Module, images: DataLoader, optimizer: torch.optim.Optimizer, batch_norm: str, *, half: bool
) -> None:
    """Makes a step for each batch."""
    network.train()
    if batch_norm == "inference":
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
    for pixels, labels in images:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            outputs = network(pixels.to(memory_format=torch.channels_last))
            loss = nn.functional.cross_entropy(outputs, labels)
        loss.backward()
        optimizer.step()


@torch.no_grad()
def measure(network: nn.Module, images: DataLoader, *, half: bool) -> float:
    """Returns the accuracy on some images."""
    network.eval()
    right = 0
    for pixels, labels in images:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            outputs = network(pixels.to(memory_format=torch.channels_last))
        right += int((outputs.argmax(dim=1) == labels).sum())
    return right / len(images.dataset)


if __name__ == "__main__":
    main()
