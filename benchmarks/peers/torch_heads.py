"""Many heads on VGG16 in PyTorch: the features are computed once and kept as tensors, then a loop trains each head."""

from __future__ import annotations

import os
import time
from typing import Any

import torch
from options import parse_heads, report
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch_networks import Vgg16
from torch_script import BATCH, load_images

FEATURES = {"pooled": 512, "flatten": 512 * 7 * 7}


def main() -> None:
    """Trains the heads that are asked for, one after the other."""
    options = parse_heads(__doc__ or "")
    torch.set_num_threads(os.cpu_count() or 1)
    images = [load_images(folder, shuffle=False) for folder in (options.train, options.validation)]
    classes = len(images[0].dataset.classes)
    network = Vgg16(classes).to(memory_format=torch.channels_last).eval()
    started = time.perf_counter()
    tables = [features_of(network.blocks, each, options.head) for each in images]
    computed = time.perf_counter() - started
    report(options.out, {"features": [computed], "trials": train_heads(tables, classes, options)})


@torch.no_grad()
def features_of(blocks: nn.Module, images: DataLoader, head: str) -> tuple[Tensor, Tensor]:
    """Returns what the head sees of some images, shape (images, features), and their class numbers."""
    maps, labels = [], []
    for pixels, numbers in images:
        computed = blocks(pixels.to(memory_format=torch.channels_last))
        maps.append(computed.mean((2, 3)) if head == "pooled" else computed.flatten(1))
        labels.append(numbers)
    return torch.cat(maps), torch.cat(labels)


def train_heads(tables: list[tuple[Tensor, Tensor]], classes: int, options: Any) -> list[float]:
    """Returns the seconds of each trial, from its model to its last epoch."""
    (features, labels), validation = tables
    seconds = []
    for rate, dropout in options.trials:
        started, accuracy = time.perf_counter(), 0.0
        head = nn.Sequential(
            nn.Linear(FEATURES[options.head], 256), nn.ReLU(inplace=True), nn.Dropout(dropout), nn.Linear(256, classes)
        )
        optimizer = torch.optim.Adam(head.parameters(), rate)
        for _ in range(options.epochs):
            head.train()
            for rows in torch.randperm(len(labels)).split(BATCH):
                optimizer.zero_grad()
                nn.functional.cross_entropy(head(features[rows]), labels[rows]).backward()
                optimizer.step()
            accuracy = measure(head, *validation)
        seconds.append(time.perf_counter() - started)
        print(f"rate {rate:g}, dropout {dropout:g}: validation accuracy {accuracy:.3f}, {seconds[-1]:.1f} s")
    return seconds


@torch.no_grad()
def measure(head: nn.Module, features: Tensor, labels: Tensor) -> float:
    """Returns the accuracy on some images."""
    found = [head.eval()(rows).argmax(dim=1) for rows in features.split(BATCH)]
    return float((torch.cat(found) == labels).float().mean())


if __name__ == "__main__":
    main()
