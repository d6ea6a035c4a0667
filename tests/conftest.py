from __future__ import annotations

import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterable

    from surgeon.results.events import Progress

# A machine that does other things besides is slow at times.
settings.register_profile("surgeon", deadline=None)
settings.load_profile("surgeon")


# One network of each family; the others are made of the same layers.
FAMILIES = (
    "vgg16",
    "resnet50",
    "resnet50v2",
    "densenet121",
    "inceptionv3",
    "inceptionresnetv2",
    "xception",
    "mobilenet",
    "mobilenetv2",
    "mobilenetv3small",
    "nasnetmobile",
    "efficientnetb0",
    "efficientnetv2b0",
    "efficientnetlite0",
    "convnexttiny",
)


def slow_but(quick: Collection[object], family: Iterable[object]) -> list[Any]:
    """The parameters of a family of tests: ``quick`` ones stand for all in the default run, the others are slow."""
    return [pytest.param(member, marks=() if member in quick else pytest.mark.slow) for member in family]


_LONGEST = (
    "test_every_command_of_the_tutorial",
    "test_kills_change_nothing",
    "test_flowers_are_learned_from_real_weights",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begins with the tests that take minutes, so that no worker is left with one of them at the end."""
    items.sort(key=lambda item: getattr(item, "originalname", item.name) not in _LONGEST)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keeps the tests out of the user's cache."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The folder of data sets and weights that stands in for the internet."""
    folder = os.environ.get("SURGEON_MIRROR")
    if not folder:
        pytest.skip("SURGEON_MIRROR does not name a mirror")
    return Path(folder)


@pytest.fixture
def write_image() -> Callable[..., Path]:
    """Writes a small image whose content follows from a seed, in the format of the file's suffix."""

    def write(file: Path, seed: int, size: tuple[int, int] = (12, 10)) -> Path:
        height, width = size
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
        return file

    return write


@pytest.fixture
def finish() -> Callable[[Generator[Progress, None, Any]], tuple[Any, list[Progress]]]:
    """Does a piece of long work to its end; returns its result and its events."""

    def run(work: Generator[Progress, None, Any]) -> tuple[Any, list[Progress]]:
        events = []
        while True:
            try:
                events.append(next(work))
            except StopIteration as stop:
                return stop.value, events

    return run


def draw_nothing(patch: pytest.MonkeyPatch) -> None:
    """Lets runs end without curves, confusion matrix and page, which take as long as a tiny training."""
    patch.setattr("surgeon.publishing.page.publish", lambda *_: (event for event in ()))


def call(*arguments: object, pictures: bool = True) -> int:
    """Runs the command line in this process, as its script does; returns its exit code."""
    from surgeon.cli import main

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["surgeon", *map(str, arguments)])
        if not pictures:
            draw_nothing(patch)
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0)
    return 0


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def surgeon(capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Runs the command line in this process, and keeps what it prints."""

    def run(*arguments: object) -> Outcome:
        capfd.readouterr()
        code = call(*arguments)
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two classes, 12 pictures each, that a network can tell apart: stripes across and along."""
    root = tmp_path_factory.mktemp("photos of \u00e9t\u00e9")
    random = np.random.default_rng(0)
    for label in ("across", "along"):
        (root / label).mkdir()
        for number in range(12):
            wave = 127 + 100 * np.sin(np.arange(48) / random.uniform(1, 2) + random.uniform(0, 6))
            stripes = np.tile(
                wave[:, None] if label == "across" else wave[None, :], (1, 48) if label == "across" else (48, 1)
            )
            noise = random.uniform(-20, 20, (48, 48, 3))
            pixels = np.clip(stripes[:, :, None] + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / label / f"{number}.png")
    return root


TINY = """\
recipe: 1
name: tiny
seed: 7
data:
  source: {{folder: {folder}}}
  image_size: 32
  split: {{test: 0.25, validation: 0.25, seed: 1}}
  batch_size: 4
backbone: {{name: efficientnetlite0, weights: none, cut: block2a_project_bn}}
head:
  - global_average_pooling
  - dense: {{units: classes, activation: softmax}}
phases:
  - name: warm-up
    trainable: head
    optimizer: adam
    lr: 0.01
    epochs: 2
  - name: fine-tune
    trainable: block2a_dwconv..
    optimizer: sgd
    lr: 0.01
    epochs: 1
"""


def write_tiny(recipe: Path, photos: Path, network: Path | None = None) -> Path:
    """Writes the tiny recipe, on a network from a file if one is given."""
    text = TINY.format(folder=f"'{photos}'")
    if network is not None:
        backbone = f"{{model: '{network}', preprocessing: lite, cut: block2a_project_bn}}"
        text = re.sub("(?m)(?<=^backbone: ).*", backbone, text)
    recipe.write_text(text, encoding="utf-8")
    return recipe


@pytest.fixture
def tiny(tmp_path: Path, photos: Path) -> Path:
    """A recipe that trains in seconds: the first blocks of a network on the striped pictures."""
    return write_tiny(tmp_path / "tiny.yaml", photos)


@pytest.fixture(scope="session")
def small_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of a few layers in a file; they are called as those that the tiny recipe trains."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)  # else the network is dead at times, and no gradient moves it
    image = keras.Input((None, None, 3))
    maps = image
    for layer in (
        layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="stem_conv"),
        layers.BatchNormalization(name="stem_bn"),
        layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="block1a_dwconv"),
        layers.BatchNormalization(name="block1a_bn"),
        layers.ReLU(6, name="block1a_activation"),
        layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False, name="block2a_dwconv"),
        layers.BatchNormalization(name="block2a_bn"),
        layers.Conv2D(24, 1, use_bias=False, name="block2a_project_conv"),
        layers.BatchNormalization(name="block2a_project_bn"),
    ):
        maps = layer(maps)
    file = tmp_path_factory.mktemp("small") / "small.keras"
    keras.Model(image, maps).save(file)
    return file


@pytest.fixture
def tiny_and_small(tiny: Path, photos: Path, small_network: Path) -> None:
    """Gives the tiny recipe the small network, whose building and training take half of the time."""
    write_tiny(tiny, photos, small_network)


@pytest.fixture
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    draw_nothing(monkeypatch)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """A finished run of the tiny recipe, made once; tests only read it."""
    root = tmp_path_factory.mktemp("trained")
    assert call("run", write_tiny(root / "tiny.yaml", photos), "--out", root / "run", "--quiet") == 0
    return root / "run"


@pytest.fixture
def finished_run(trained: Path, tmp_path: Path) -> Path:
    """A finished run of the tiny recipe which a test may change."""
    return Path(shutil.copytree(trained, tmp_path / "run"))
