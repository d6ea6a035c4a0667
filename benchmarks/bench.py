"""Times surgeon and its peers on the same images, one after the other, each as a process of its own."""

from __future__ import annotations

import csv
import importlib.util
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import platformdirs
from images import lay_out_flowers
from process import run_python

from surgeon.data.fetch import mirror_path
from surgeon.errors import SurgeonError

HERE = Path(__file__).resolve().parent
VGG16 = HERE / "recipes" / "vgg16.yaml"
POOLED = HERE / "recipes" / "pooled.yaml"
SCRIPTS = {"Keras": HERE / "peers" / "keras_script.py", "PyTorch": HERE / "peers" / "torch_script.py"}
HEADS = {"Keras": HERE / "peers" / "keras_heads.py", "PyTorch": HERE / "peers" / "torch_heads.py"}
PRECISIONS = ("float32", "bfloat16")
_PHASES = {  # what the peers call so, in a recipe
    "head": "trainable: head, optimizer: rmsprop, lr: 0.001",
    "block5": "trainable: block5_conv1.., optimizer: {sgd: {momentum: 0.9}}, lr: 0.0001",
    "all": "trainable: all, optimizer: {sgd: {momentum: 0.9}}, lr: 0.0001",
}


@dataclass(frozen=True)
class Timing:
    """What a training took.

    Attributes:
        seconds: The whole process.
        epochs: The seconds of each phase's epochs, validation included.
    """

    seconds: float
    epochs: Mapping[str, list[float]]

    @property
    def start(self) -> float:
        """Seconds outside the epochs: imports, reading, the frozen pass, the end."""
        return self.seconds - sum(map(sum, self.epochs.values()))

    def first(self, phase: str) -> float:
        """Returns the seconds of the first epoch, in which graphs are traced."""
        return self.epochs[phase][0]

    def steady(self, phase: str) -> float:
        """Returns the median of the epochs behind the first; the first if there are no others."""
        return statistics.median(self.epochs[phase][1:] or self.epochs[phase])

    def total(self, **epochs: int) -> float:
        """Returns what the process would take with so many epochs a phase, if all were like its steady ones."""
        return self.start + sum(self.lasting(name, count) for name, count in epochs.items())

    def lasting(self, phase: str, count: int) -> float:
        """Returns what so many epochs of a phase would take, if all but the first were like its steady ones."""
        return self.first(phase) + (count - 1) * self.steady(phase)


@dataclass(frozen=True)
class Search:
    """What a search came to; see ``watched.py``.

    Attributes:
        whole: Seconds of the process.
        seconds: From the call of the search, in which TensorFlow is loaded, to its return.
        tasks: When each was first and last heard of, in seconds from the same moment.
        kept: What was said of the features that are kept.
        result: That of ``surgeon.sweep`` or ``surgeon.probe``.
    """

    whole: float
    seconds: float
    tasks: Mapping[str, tuple[float, float]]
    kept: list[dict[str, Any]]
    result: dict[str, Any]


@dataclass
class Bench:
    """Where a benchmark works.

    Attributes:
        folder: Holds everything, and goes at the end.
        flowers: The folder of Flowers-17's splits.
        peers: Those that can be run.
        raw: What every process took, by what it is called.
    """

    folder: Path
    flowers: Path
    peers: tuple[str, ...]
    raw: dict[str, Any] = field(default_factory=dict)

    def cold_cache(self) -> Path:
        """Returns a cache without anything but what was ever downloaded, which is not to be measured."""
        cache = Path(tempfile.mkdtemp(dir=self.folder))
        (cache / "surgeon").mkdir()
        (cache / "surgeon" / "downloads").symlink_to(platformdirs.user_cache_path("surgeon") / "downloads")
        return cache

    def surgeon(
        self, label: str, recipe: Path, *overrides: str, cache: Path | None = None
    ) -> tuple[Timing, dict[str, Any]]:
        """Runs a recipe as a user does, with a cold store unless a cache is given; returns its result too."""
        out = Path(tempfile.mkdtemp(dir=self.folder)) / "run"
        settings = [part for override in overrides for part in ("--set", override)]
        finished = run_python(
            label,
            ["-m", "surgeon", "run", recipe, "--quiet", "--out", out, *settings],
            XDG_CACHE_HOME=cache or self.cold_cache(),
        )
        epochs: dict[str, list[float]] = {}
        with (out / "history.csv").open(encoding="utf-8") as history:
            for row in csv.DictReader(history):
                epochs.setdefault(row["phase"], []).append(float(row["seconds"]))
        result = json.loads((out / "result.json").read_text(encoding="utf-8"))
        self.raw[label] = {**asdict(finished), "epochs": epochs, "frozen": result["frozen"]}
        return Timing(finished.seconds, epochs), result

    def search(self, what: str, label: str, recipe: Path | str, *overrides: str, every_layer: bool = False) -> Search:
        """Runs ``surgeon.sweep`` or ``surgeon.probe`` with a cold store, in a process of its own."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        settings = [part for override in overrides for part in ("--set", override)]
        asked = [
            "--folder",
            folder / "sweep",
            "--out",
            folder / "said.json",
            *(["--every-layer"] if every_layer else []),
        ]
        cache = self.cold_cache()
        finished = run_python(label, [HERE / "watched.py", what, recipe, *asked, *settings], XDG_CACHE_HOME=cache)
        said = json.loads((folder / "said.json").read_text(encoding="utf-8"))
        trials = said["result"].get("trials", [])
        told = [{key: value for key, value in trial.items() if key not in ("recipe", "phases")} for trial in trials]
        self.raw[label] = {**asdict(finished), **said, "result": {**said["result"], "trials": told}}
        return Search(whole=finished.seconds, **said)

    def peer(
        self,
        name: str,
        label: str,
        network: str,
        train: Path,
        *arguments: object,
        scripts: Mapping[str, Path] = SCRIPTS,
    ) -> Timing:
        """Runs a peer's script on the images in ``train``."""
        out = Path(tempfile.mkdtemp(dir=self.folder)) / "epochs.json"
        weights = self.weights(network)
        asked = ["--network", network, "--weights", weights, "--out", out, *arguments]
        finished = run_python(label, [scripts[name], train, *asked])
        epochs = json.loads(out.read_text(encoding="utf-8"))
        self.raw[label] = {**asdict(finished), "epochs": epochs}
        return Timing(finished.seconds, epochs)

    def weights(self, network: str) -> str:
        """Returns what the weights of a network are called: those of ImageNet for VGG16, made up for the others."""
        if network == "vgg16":
            return str(mirror_path("weights/vgg16_notop.weights.h5") or "imagenet")
        file = self.folder / f"{network}.weights.h5"
        if not file.exists():
            run_python(f"weights of {network}", [HERE / "settled_weights.py", network, self.flowers / "train", file])
        return str(file)

    def searched(self) -> Path:
        """Returns a folder with the training and validation images alone; a search looks at no others."""
        folder = self.folder / "searched"
        if not folder.exists():
            folder.mkdir()
            for split in ("train", "validation"):
                (folder / split).symlink_to((self.flowers / split).resolve(), target_is_directory=True)
        return folder

    def recipe_of(self, network: str) -> list[Path | str]:
        """Returns the recipe for a network, with the overrides that make it the recipe of that network."""
        if network == "vgg16":
            return [VGG16]
        return [POOLED, f"backbone={{name: {network}, weights: {json.dumps(self.weights(network))}}}"]

    def notes(self, *notes: str) -> tuple[str, ...]:
        """Returns remarks, with one more if PyTorch is absent."""
        absent = () if "PyTorch" in self.peers else ("PyTorch is not installed, so it was not measured.",)
        return (*notes, *absent)


@contextmanager
def open_bench(flowers: int = 0) -> Iterator[Bench]:
    """Makes a place for a benchmark, with so many flowers in it."""
    peers = tuple(name for name in SCRIPTS if name != "PyTorch" or importlib.util.find_spec("torch"))
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        bench = Bench(Path(name), Path(name) / "flowers", peers)
        if flowers:
            lay_out_flowers(bench.flowers, flowers)
        yield bench


@contextmanager
def open_search_bench(flowers: int) -> Iterator[Bench]:
    """Makes a place for a benchmark on pretrained VGG16, or ends it with a line if images or weights cannot be had."""
    with ExitStack() as resources:
        try:
            bench = resources.enter_context(open_bench(flowers))
            build = "import keras, sys; keras.applications.VGG16(weights=sys.argv[1], include_top=False)"
            run_python("the weights of VGG16", ["-c", build, bench.weights("vgg16")])
        except (SurgeonError, RuntimeError) as error:
            reason = str(error).strip().rpartition("\n")[2]
            sys.exit(f"Flowers-17 and VGG16's weights are needed, from the internet or SURGEON_MIRROR: {reason}")
        yield bench


def images_of(folder: Path) -> str:
    """Returns the override that makes a recipe read the images of a folder."""
    return f"data.source.folder={json.dumps(str(folder))}"


def phases(**epochs: int) -> str:
    """Returns the override that makes a recipe train the phases of the peers, under the same names."""
    listed = ", ".join(f"{{name: {name}, {_PHASES[name]}, epochs: {count}}}" for name, count in epochs.items())
    return f"phases=[{listed}]"
