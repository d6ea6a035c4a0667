"""What the frozen layers compute: once an image, kept by the content of everything that it depends on."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from surgeon.data.batches import Examples, Tensors, ahead
from surgeon.data.dataset import pixels_key
from surgeon.errors import SurgeonError
from surgeon.model.engine import build_engine, choose_engine, narrow
from surgeon.model.frontier import Frontier, image_frontier, pass_multiply_adds, recompute_seconds
from surgeon.model.surgery import layer_output, part_of
from surgeon.results.events import FeaturesKept, Note, Progress
from surgeon.results.run import FrozenResult
from surgeon.store.cache import cache_root, facts_of, filling, make_room, note, shelf_in_use
from surgeon.store.places import choose_place
from surgeon.store.shelf import Shelf, TensorSpec

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from surgeon.data.dataset import Dataset
    from surgeon.model.engine import Engine
    from surgeon.model.pipeline import Pipeline
    from surgeon.recipe.plan import Plan
    from surgeon.results.events import Event

BATCH = 32  # images a call of the frozen layers
_CHUNK_BYTES = 32 << 20
_SPEED = "multiply_adds_per_second"


@dataclass(frozen=True, eq=False)
class Setup:
    """What a run works with from its first phase to its last.

    Attributes:
        network: The whole network; its weights change as phases train them.
        pipeline: What pixels go through before it.
    """

    plan: Plan
    network: Any
    pipeline: Pipeline
    dataset: Dataset


@dataclass(frozen=True, eq=False)
class Feed:
    """The images of a split in front of the part of the network that they are fed to.

    Attributes:
        frontier: Where that part begins.
        examples: Pixels or kept tensors.
    """

    frontier: Frontier
    examples: Examples


class FrozenFeatures:
    """What the frozen layers compute, kept from phase to phase of a run."""

    def __init__(self, setup: Setup, life: ExitStack) -> None:
        """Begins with nothing; until ``life`` is closed what is kept stays in the cache."""
        self.setup = setup
        self._life = life
        self._shelves: dict[Frontier, Shelf | None] = {}  # None where there is no room
        self._passes: list[Pass] = []
        self._spared = 0  # multiply-adds that reading tensors took the place of

    def keep(self, frontiers: Iterable[Frontier]) -> Generator[Event, None, None]:
        """Makes sure that the tensors of some frontiers are kept for every image, if there is room."""
        wanted = [frontier for frontier in frontiers if not frontier.is_image and frontier not in self._shelves]
        if wanted:
            shelves, done = yield from _keep(self.setup, wanted, self._life)
            self._shelves |= dict.fromkeys(wanted) | shelves
            self._passes.append(done)

    def forget(self, trained: Collection[str]) -> None:
        """Drops the frontiers that the training of some layers has changed."""
        self._shelves = {known: shelf for known, shelf in self._shelves.items() if not known.prefix & set(trained)}

    def feed(self, split: str, frontier: Frontier) -> Feed:
        """Returns a split's images in front of the network behind ``frontier``, or as pixels if it is not kept."""
        setup, dataset, shelf = self.setup, self.setup.dataset, self._shelves.get(frontier)
        if shelf is None:
            frontier = image_frontier(setup.plan.network, ())

        def gather(positions: NDArray[np.intp]) -> Tensors:
            if shelf is None:
                return (_pixels(setup, positions),)
            self._spared += frontier.once * len(positions)
            tensors = shelf.gather([_key(setup, at) for at in positions])
            return tuple(tensor.astype(np.float32, copy=False) for tensor in tensors)

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


def _key(setup: Setup, position: int) -> str:
    """Returns what an image, or a changed copy of it, is called on a shelf; see ``Examples`` for positions."""
    view, at = divmod(int(position), len(setup.dataset.digests))
    digest = setup.dataset.digests[at]
    return digest if view == 0 else f"{digest}-{_view_seed(setup, digest, view)}"


def _view_seed(setup: Setup, digest: str, view: int) -> int:
    """Returns what decides how a copy is changed: the image, the copy's number, the recipe's seed and changes."""
    changes = [(choice.name, dict(choice.parameters)) for choice in setup.plan.augment]
    content = json.dumps([digest, view, setup.plan.seed, changes])
    return int.from_bytes(hashlib.sha256(content.encode()).digest()[:4], "big") >> 1


def _pixels(setup: Setup, positions: Collection[int]) -> NDArray[np.uint8]:
    """Returns the pixels of images and of changed copies."""
    count = len(setup.dataset.digests)
    pixels = setup.dataset.pixels([int(at) % count for at in positions])
    for row, position in enumerate(positions):
        view, at = divmod(int(position), count)
        if view:
            pixels[row] = setup.pipeline.view(pixels[row], _view_seed(setup, setup.dataset.digests[at], view))
    return pixels


def needed_positions(plan: Plan, splits: Sequence[str]) -> list[int]:
    """Returns the positions of everything that training and measuring will ask for; see ``Examples``."""
    asked = [at for at, split in enumerate(splits) if split != "train" or not plan.views or plan.linear_probe]
    train = [at for at, split in enumerate(splits) if split == "train"]
    return asked + [at + len(splits) * view for view in range(1, plan.views + 1) for at in train]


@dataclass(frozen=True)
class Pass:
    """What one look into the store came to.

    Attributes:
        known: Images that were found on all shelves.
        computed: Images that went through the frozen layers.
        seconds: How long that took.
        multiply_adds: Of that.
        speed: Multiply-adds a second when these features were computed, now or by a former run; 0 if unknown.
    """

    known: int
    computed: int
    seconds: float
    multiply_adds: int
    speed: float


def _keep(
    setup: Setup, frontiers: Sequence[Frontier], life: ExitStack
) -> Generator[Event, None, tuple[dict[Frontier, Shelf], Pass]]:
    """Puts what is missing on the shelves of some frontiers: those images go through the frozen layers once.

    Returns:
        The shelf of each frontier, or none if neither the disk nor the memory has room.

    Raises:
        SurgeonError: If the disk is full; what was computed stays for the next run.
    """
    # Copies of an image in the data have one place on a shelf.
    positions = {_key(setup, position): position for position in needed_positions(setup.plan, setup.dataset.splits)}
    specs = {frontier: _specs(setup, frontier) for frontier in frontiers}
    needed = sum(spec.size for tensors in specs.values() for spec in tensors) * len(positions)
    network, count = setup.plan.network, len(setup.dataset.names)
    once = pass_multiply_adds(network, frontiers)
    place = choose_place(setup.plan.features, needed, recompute_seconds(network, frontiers, count))
    layers = tuple(dict.fromkeys(name for frontier in frontiers for name in frontier.layers))
    if place.kind == "nowhere":
        yield FeaturesKept(layers, needed, place.reason, 0, 0)
        return {}, Pass(0, 0, 0.0, 0, 0.0)
    engine = choose_engine(setup.plan)
    keys = {frontier: features_key(setup, frontier, engine) for frontier in frontiers}
    folders = {frontier: cache_root() / key for frontier, key in keys.items()} if place.kind == "disk" else {}
    try:
        for frontier, folder in folders.items():
            life.enter_context(shelf_in_use(folder, _about(setup, frontier)))
        with filling(folders.values()):
            shelves = {frontier: Shelf(specs[frontier], folders.get(frontier)) for frontier in frontiers}
            lacks = [(shelf, shelf.missing(positions)) for shelf in shelves.values()]
            missing = {key: positions[key] for _, keys in lacks for key in keys}
            if folders:
                make_room(cache_root(), sum(spec.size * len(keys) for shelf, keys in lacks for spec in shelf.specs))
            yield FeaturesKept(layers, needed, place.reason, len(positions) - len(missing), len(missing))
            started = time.perf_counter()
            if missing:
                yield Note(engine.reason)
                yield from _fill(setup, engine, shelves, missing)
            seconds = time.perf_counter() - started
            speed = _speed(folders.values(), once * len(missing) / seconds)
    except OSError as error:
        raise SurgeonError(
            f"cannot keep the frozen features, {needed / 1e6:,.0f} MB in {cache_root()}: {error.strerror or error}",
            "what was computed is kept; free some disk space, `surgeon cache clear`, or set features: memory",
        ) from error
    known = len(positions) - len(missing)
    return shelves, Pass(known, len(missing), seconds, once * len(missing), speed)


def _speed(folders: Iterable[Path], measured: float) -> float:
    """Returns multiply-adds a second, noted with the shelves: measured now or, if nothing was computed, before."""
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
    return {"network": plan.network.name, "layers": frontier.layers, "image_size": plan.data.image_size}


def features_key(setup: Setup, frontier: Frontier, engine: Engine) -> str:
    """Returns the digest of all that a frontier's tensors depend on but the image's bytes.

    That is how images are decoded, resized and preprocessed, the structure and the weights of the layers
    before the frontier, what computes them and how exactly they are kept.
    """
    import keras
    import tensorflow as tf

    plan = setup.plan
    depends_on = {
        "pixels": pixels_key(plan.data.image_size),
        "preprocessing": plan.backbone.preprocessing,
        "frontier": frontier.layers,
        "inputs": {row.name: row.inputs for row in plan.network.rows if row.name in frontier.prefix},
        "engine": [engine.name, engine.version, engine.precision],
        "dtype": plan.features_dtype,
        "versions": [keras.__version__, tf.__version__, np.__version__],
    }
    digest = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode())
    for layer in setup.network.layers:
        if layer.name in frontier.prefix:
            config = {name: value for name, value in layer.get_config().items() if name != "trainable"}
            digest.update(json.dumps(config, sort_keys=True, default=str).encode())
            for variable in layer.weights:
                digest.update(np.ascontiguousarray(variable.numpy()).tobytes())
    return digest.hexdigest()


def _fill(
    setup: Setup, engine: Engine, shelves: Mapping[Frontier, Shelf], positions: Mapping[str, int]
) -> Generator[Progress, None, None]:
    """Puts what is missing on the shelves, a chunk of images at a time; ``positions`` are those of the keys."""
    frozen = part_of(setup.network, (), [name for frontier in shelves for name in frontier.layers])
    compute = build_engine(frozen, setup.pipeline.prepare, engine)
    keys = list(positions)
    batches = [keys[at : at + BATCH] for at in range(0, len(keys), BATCH)]
    image_bytes = sum(spec.size for shelf in shelves.values() for spec in shelf.specs)
    chunk: list[str] = []
    computed: list[list[NDArray[Any]]] = []
    done = 0
    # While one batch is written, the next is computed and the one behind it is decoded.
    pixels = ahead(lambda batch: _pixels(setup, [positions[key] for key in batch]), batches)
    for batch, tensors in zip(batches, ahead(lambda pixels: compute((pixels,)), pixels), strict=True):
        chunk += batch
        computed.append([narrow(tensor, setup.plan.features_dtype) for tensor in tensors])
        done += len(batch)
        if done == len(keys) or len(chunk) * image_bytes >= _CHUNK_BYTES:
            joined = iter([np.concatenate(parts) for parts in zip(*computed, strict=True)])
            for shelf in shelves.values():
                _add_missing(shelf, chunk, [next(joined) for _ in shelf.specs])
            chunk, computed = [], []
        yield Progress("compute frozen features", done, len(keys), "images")


def _add_missing(shelf: Shelf, keys: Sequence[str], tensors: Sequence[NDArray[Any]]) -> None:
    missing = set(shelf.missing(keys))
    rows = [row for row, key in enumerate(keys) if key in missing]
    if rows:
        shelf.add([keys[row] for row in rows], [tensor[rows] for tensor in tensors])
