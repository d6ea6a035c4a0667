"""What the frozen layers compute: once per image, kept by the content of everything that it depends on."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from surgeon.data.batches import Examples, Samples, Tensors, ahead
from surgeon.data.dataset import pixels_key
from surgeon.features.fastest import fastest_engine
from surgeon.model.anchor import starting_point
from surgeon.model.engine import build_engine, engines_for, narrow
from surgeon.model.pipeline import build_pipeline
from surgeon.model.precision import WORTH_TIMING
from surgeon.model.surgery import layer_output, part_of
from surgeon.planning.frontier import Frontier, image_frontier, pass_multiply_adds, recompute_seconds
from surgeon.planning.samples import BATCH, needed_samples
from surgeon.results.events import FeaturesKept, Note, Progress
from surgeon.results.run import FrozenResult
from surgeon.store.cache import cache_root, facts_of, filling, make_room, note, shelf_in_use
from surgeon.store.errors import StoreError
from surgeon.store.places import choose_place, place_without_disk
from surgeon.store.shelf import Shelf, TensorSpec

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from surgeon.data.dataset import Dataset
    from surgeon.model.engine import Engine
    from surgeon.model.pipeline import Pipeline
    from surgeon.recipe.plan import Plan
    from surgeon.results.events import Event
    from surgeon.results.forecast import Place

_SPEED = "multiply_adds_per_second"


@dataclass(frozen=True, eq=False)
class Setup:
    """What a run works with from its first phase to its last.

    Attributes:
        network: The whole network; its weights change as phases train them.
        pipeline: What pixels go through before it.
        anchors: What ``starting_point`` found in the network before its first phase.
    """

    plan: Plan
    network: Any
    pipeline: Pipeline
    dataset: Dataset
    anchors: Mapping[str, NDArray[Any]] = field(default_factory=dict)


def set_up(plan: Plan, network: Any, dataset: Dataset) -> Setup:
    """Returns what a run works with, given its network as it was built."""
    return Setup(plan, network, build_pipeline(plan), dataset, starting_point(network, plan))


@dataclass(frozen=True, eq=False)
class Feed:
    """The images of a split in front of the part of the network that they are fed to.

    Attributes:
        frontier: Where that part begins.
        examples: Pixels or kept tensors.
    """

    frontier: Frontier
    examples: Examples


@dataclass(frozen=True, eq=False)
class Kept:
    """The tensors of a frontier.

    Attributes:
        rows: Where on the shelf each view of each image lies, of shape (views + 1, images); see ``Samples``.
    """

    shelf: Shelf
    rows: NDArray[np.intp]

    def gather(self, samples: Samples) -> Tensors:
        """Returns the tensors of samples, float32, a row each."""
        tensors = self.shelf.gather(self.rows[samples.views, samples.images])
        return tuple(tensor.astype(np.float32, copy=False) for tensor in tensors)


class FrozenFeatures:
    """What the frozen layers compute, kept from phase to phase of a run."""

    def __init__(self, setup: Setup, resources: ExitStack, kept: Mapping[Frontier, Kept | None] | None = None) -> None:
        """Begins with what is kept already, or with nothing.

        Args:
            setup: What the run works with.
            resources: Until they are closed, what is kept stays in the cache.
            kept: What others keep and share, for as long as they do; None where there is no room.
        """
        self.setup = setup
        self._resources = resources
        self._kept = dict(kept or {})
        self._passes: list[Pass] = []
        self._spared = 0  # multiply-adds that reading tensors took the place of

    def keep(self, frontiers: Iterable[Frontier]) -> Generator[Event, None, None]:
        """Makes sure that the tensors of some frontiers are kept for every image, if there is room."""
        wanted = [frontier for frontier in frontiers if not frontier.is_image and frontier not in self._kept]
        if wanted:
            kept, done = yield from _keep(self.setup, wanted, self._resources)
            self._kept |= dict.fromkeys(wanted) | kept
            self._passes.append(done)

    @property
    def kept(self) -> Mapping[Frontier, Kept | None]:
        """What is kept of each frontier that was asked for, or None if there was no room."""
        return self._kept

    def forget(self, trained: Collection[str]) -> None:
        """Drops the frontiers that the training of some layers has changed."""
        self._kept = {known: kept for known, kept in self._kept.items() if not known.prefix & set(trained)}

    def feed(self, split: str, frontier: Frontier) -> Feed:
        """Returns a split's images in front of the network behind ``frontier``, or as pixels if it is not kept."""
        setup, dataset, kept = self.setup, self.setup.dataset, self._kept.get(frontier)
        if kept is None:
            frontier = image_frontier(setup.plan.network, ())

        def gather(samples: Samples) -> Tensors:
            if kept is None:
                return (_pixels(setup, samples),)
            self._spared += frontier.once * len(samples)
            return kept.gather(samples)

        return Feed(frontier, Examples(gather, dataset.labels, dataset.part(split)))

    def result(self) -> FrozenResult:
        """Returns what all this was good for so far."""
        computed = sum(done.multiply_adds for done in self._passes)
        saved, speed = self._spared - computed, max((done.speed for done in self._passes), default=0.0)
        return FrozenResult(
            known=sum(done.known for done in self._passes),
            computed=sum(done.computed for done in self._passes),
            seconds=sum(done.seconds for done in self._passes),
            multiply_adds=computed,
            saved_multiply_adds=saved,
            saved_seconds=saved / speed if speed else None,
        )


def _key(setup: Setup, image: int, view: int) -> bytes:
    """Returns what an image, or a changed copy of it, is called on a shelf; see ``Samples``."""
    digest = setup.dataset.digests[image]
    return _view_key(setup, digest, view) if view else bytes.fromhex(digest)


def _view_key(setup: Setup, digest: str, view: int) -> bytes:
    """Returns what decides how a copy is changed: the image, the copy's number, the recipe's seed and changes."""
    changes = [(choice.name, dict(choice.parameters)) for choice in setup.plan.augment]
    return hashlib.sha256(json.dumps([digest, view, setup.plan.seed, changes]).encode()).digest()


def _pixels(setup: Setup, samples: Samples) -> NDArray[np.uint8]:
    """Returns the pixels of images and of changed copies."""
    pixels = setup.dataset.pixels(samples.images)
    for row in np.flatnonzero(samples.views):
        key = _view_key(setup, setup.dataset.digests[samples.images[row]], int(samples.views[row]))
        pixels[row] = setup.pipeline.view(pixels[row], int.from_bytes(key[:4], "big") >> 1)
    return pixels


@dataclass(frozen=True)
class Pass:
    """What one look into the store came to.

    Attributes:
        known: Images that were found on all shelves.
        computed: Images that went through the frozen layers.
        seconds: How long that took.
        multiply_adds: Of that.
        speed: Multiply-adds per second when these features were computed, now or by a former run; 0 if unknown.
    """

    known: int
    computed: int
    seconds: float
    multiply_adds: int
    speed: float


def _keep(
    setup: Setup, frontiers: Sequence[Frontier], resources: ExitStack
) -> Generator[Event, None, tuple[dict[Frontier, Kept], Pass]]:
    """Puts what is missing on the shelves of some frontiers: those images go through the frozen layers once.

    Returns:
        What is kept of each frontier, or nothing if neither the disk nor the memory has room.

    Raises:
        StoreError: If the recipe insists on the disk and it fails; what was computed stays for the next run.
    """
    plan = setup.plan
    wanted = _wanted(setup)
    size = sum(spec.size for frontier in frontiers for spec in _specs(setup, frontier))
    recomputing = recompute_seconds(plan.network, frontiers, len(setup.dataset.names))
    place = choose_place(plan.features, size * len(wanted.keys), recomputing)
    try:
        return (yield from _keep_in(place, setup, frontiers, wanted, resources))
    except StoreError as error:
        if plan.features != "auto":
            raise
        place = place_without_disk(size * len(wanted.keys), error.message)
    return (yield from _keep_in(place, setup, frontiers, wanted, resources))


@dataclass(frozen=True, eq=False)
class _Wanted:
    """The images and changed copies that training and measuring will ask for.

    Attributes:
        keys: What they are called on a shelf, each once.
        samples: The first that is called so, for each.
        key_of: For each view of each image, the number of its key, or -1 if nobody will ask for it; of shape
            (views + 1, images).
    """

    keys: Sequence[bytes]
    samples: Samples
    key_of: NDArray[np.intp]


def _wanted(setup: Setup) -> _Wanted:
    samples = needed_samples(setup.plan, setup.dataset.splits)
    each = zip(samples.images.tolist(), samples.views.tolist(), strict=True)
    numbers: dict[bytes, int] = {}  # copies of an image in the data have one place on a shelf
    keys = np.array([numbers.setdefault(_key(setup, *sample), len(numbers)) for sample in each], np.intp)
    key_of = np.full((setup.plan.views + 1, len(setup.dataset.digests)), -1)
    key_of[samples.views, samples.images] = keys
    return _Wanted(list(numbers), samples[np.unique(keys, return_index=True)[1]], key_of)


def _keep_in(
    place: Place, setup: Setup, frontiers: Sequence[Frontier], wanted: _Wanted, resources: ExitStack
) -> Generator[Event, None, tuple[dict[Frontier, Kept], Pass]]:
    specs = {frontier: _specs(setup, frontier) for frontier in frontiers}
    count = len(wanted.keys)
    needed = sum(spec.size for tensors in specs.values() for spec in tensors) * count
    layers = tuple(dict.fromkeys(name for frontier in frontiers for name in frontier.layers))
    if place.kind == "nowhere":
        yield FeaturesKept(layers, needed, place.reason, 0, 0)
        return {}, Pass(0, 0, 0.0, 0, 0.0)
    once = pass_multiply_adds(setup.plan.network, frontiers)
    engine = yield from _choose_engine(place, setup, frontiers, wanted)
    folders = _folders(setup, frontiers, engine) if place.kind == "disk" else {}
    for frontier, folder in folders.items():
        resources.enter_context(shelf_in_use(folder, _about(setup, frontier)))
    with filling(folders.values()):
        shelves: dict[Frontier, Shelf] = {}
        rows: dict[Frontier, NDArray[np.intp]] = {}  # of each key
        for frontier in frontiers:
            shelf = Shelf(specs[frontier], count, folders.get(frontier))
            shelves[frontier] = resources.enter_context(closing(shelf))
            rows[frontier] = yield from shelf.find(wanted.keys, "verify kept features")
        if folders:
            lacking = (shelf.row_size * int(np.count_nonzero(rows[at] < 0)) for at, shelf in shelves.items())
            make_room(cache_root(), sum(lacking))
        missing = np.flatnonzero(np.any([found < 0 for found in rows.values()], axis=0))
        yield FeaturesKept(layers, needed, place.reason, count - len(missing), len(missing))
        started = time.perf_counter()
        if len(missing):
            yield Note(engine.reason)
            yield from _fill(setup, engine, shelves, rows, wanted, missing)
        seconds = time.perf_counter() - started
        speed = _speed(folders.values(), once * len(missing) / seconds)
    row_of = {frontier: np.where(wanted.key_of < 0, -1, found[wanted.key_of]) for frontier, found in rows.items()}
    kept = {frontier: Kept(shelf, row_of[frontier]) for frontier, shelf in shelves.items()}
    return kept, Pass(count - len(missing), len(missing), seconds, once * len(missing), speed)


def _folders(setup: Setup, frontiers: Sequence[Frontier], engine: Engine) -> dict[Frontier, Path]:
    return {frontier: cache_root() / features_key(setup, frontier, engine) for frontier in frontiers}


def _choose_engine(
    place: Place, setup: Setup, frontiers: Sequence[Frontier], wanted: _Wanted
) -> Generator[Event, None, Engine]:
    """Returns what computes the tensors of some frontiers: what has begun to, else what is found to be fastest."""
    engines = engines_for(setup.plan)
    arithmetic = len(wanted.keys) * pass_multiply_adds(setup.plan.network, frontiers)
    if len(engines) == 1 or arithmetic < WORTH_TIMING:
        return engines[0]
    if place.kind == "disk":
        for engine in engines:
            if all(folder.exists() for folder in _folders(setup, frontiers, engine).values()):
                return engine
    part = _frozen_part(setup, frontiers)
    return (yield from fastest_engine(engines, part, setup.pipeline.prepare, _pixels(setup, wanted.samples[:BATCH])))


def _frozen_part(setup: Setup, frontiers: Iterable[Frontier]) -> Any:
    return part_of(setup.network, (), [name for frontier in frontiers for name in frontier.layers])


def _speed(folders: Iterable[Path], measured: float) -> float:
    """Returns multiply-adds per second, noted with the shelves: measured now or, if nothing was computed, before."""
    noted = [float(facts_of(folder).get(_SPEED, 0)) for folder in folders]
    if measured:
        for folder in folders:
            note(folder, **{_SPEED: measured})
    return measured or max(noted, default=0.0)


def _specs(setup: Setup, frontier: Frontier) -> list[TensorSpec]:
    tensors = (layer_output(setup.network, name) for name in frontier.layers)
    return [TensorSpec(tuple(tensor.shape[1:]), setup.plan.features_dtype) for tensor in tensors]


def _about(setup: Setup, frontier: Frontier) -> dict[str, object]:
    """Returns what a person is told about a shelf."""
    plan = setup.plan
    return {
        "network": plan.network.name,
        "layers": frontier.layers,
        "image_size": plan.data.image_size,
        "recipe": plan.name,
    }


def features_key(setup: Setup, frontier: Frontier, engine: Engine) -> str:
    """Returns the digest of all that a frontier's tensors depend on but the image's bytes.

    That is how images are decoded, resized and preprocessed, the structure and the weights of the layers
    before the frontier, whatever they are called, what computes them and how exactly they are kept.
    """
    plan = setup.plan
    rows = [row for row in plan.network.rows if row.name in frontier.prefix]
    names, order = [row.name for row in rows], {row.index: at for at, row in enumerate(rows)}
    depends_on = {
        "pixels": pixels_key(plan.data.resizing),
        "preprocessing": plan.backbone.preprocessing,
        "frontier": [names.index(name) for name in frontier.layers],
        "layers": [(row.kind, [order[index] for index in row.inputs]) for row in rows],
        "engine": [engine.name, engine.version, engine.precision],
        "dtype": plan.features_dtype,
        "versions": [keras.__version__, tf.__version__, np.__version__],
    }
    digest = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode())
    for name in names:
        layer = setup.network.get_layer(name)
        config = {key: value for key, value in layer.get_config().items() if key not in ("name", "trainable")}
        digest.update(json.dumps(config, sort_keys=True, default=str).encode())
        for variable in layer.weights:
            digest.update(np.ascontiguousarray(variable.numpy()).tobytes())
    return digest.hexdigest()


def _fill(
    setup: Setup,
    engine: Engine,
    shelves: Mapping[Frontier, Shelf],
    rows: Mapping[Frontier, NDArray[np.intp]],
    wanted: _Wanted,
    missing: NDArray[np.intp],
) -> Generator[Progress, None, None]:
    """Puts the keys with the numbers ``missing`` on the shelves that lack them, and notes their rows in ``rows``."""
    compute = build_engine(_frozen_part(setup, shelves), setup.pipeline.prepare, engine)
    batches = [missing[at : at + BATCH] for at in range(0, len(missing), BATCH)]
    done = 0
    # While one batch is written, the next is computed and the one behind it is decoded.
    pixels = ahead(lambda batch: _pixels(setup, wanted.samples[batch]), batches)
    for batch, computed in zip(batches, ahead(lambda pixels: compute((pixels,)), pixels), strict=True):
        tensors = iter([narrow(tensor, setup.plan.features_dtype) for tensor in computed])
        for frontier, shelf in shelves.items():
            outputs = [next(tensors) for _ in shelf.specs]
            lacking = rows[frontier][batch] < 0
            if lacking.any():
                added = shelf.add([wanted.keys[at] for at in batch[lacking]], [tensor[lacking] for tensor in outputs])
                rows[frontier][batch[lacking]] = added
        done += len(batch)
        yield Progress("compute frozen features", done, len(missing), "images")
    for shelf in shelves.values():
        shelf.settle()
