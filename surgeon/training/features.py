"""What the frozen layers compute: once an image, kept by the content of everything that it depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from surgeon.data.batches import Examples, Tensors
from surgeon.errors import SurgeonError
from surgeon.model.frontier import Frontier, image_frontier
from surgeon.model.prediction import build_predictor
from surgeon.model.surgery import layer_output, part_of
from surgeon.results import FeaturesKept, Progress
from surgeon.training.cache import cache_root, filling, room_for, shelf_in_use
from surgeon.training.store import Shelf, TensorSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from surgeon.data.dataset import Dataset
    from surgeon.model.pipeline import Pipeline
    from surgeon.recipe.plan import Plan

_BATCH = 32  # images a call of the frozen layers
_CHUNK_BYTES = 32 << 20


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


def feed(setup: Setup, split: str, frontier: Frontier, shelves: Mapping[Frontier, Shelf]) -> Feed:
    """Returns a split's images as pixels or, for another frontier, from its shelf."""
    dataset = setup.dataset

    def gather(positions: NDArray[np.intp]) -> Tensors:
        if frontier.is_image:
            return (_pixels(setup, positions),)
        return shelves[frontier].gather([_key(setup, at) for at in positions])

    return Feed(frontier, Examples(gather, dataset.labels, dataset.part(split)))


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
    pixels = setup.dataset.pixels[[at % count for at in positions]]
    for row, position in enumerate(positions):
        view, at = divmod(int(position), count)
        if view:
            pixels[row] = setup.pipeline.view(pixels[row], _view_seed(setup, setup.dataset.digests[at], view))
    return pixels


def _needed_positions(setup: Setup) -> list[int]:
    """Returns the positions of everything that training and measuring will ask for."""
    plan, dataset = setup.plan, setup.dataset
    count = len(dataset.digests)
    train = dataset.part("train")
    asked = [at for at in range(count) if dataset.splits[at] != "train" or not plan.views or plan.linear_probe]
    return asked + [int(at) + count * view for view in range(1, plan.views + 1) for at in train]


def keep_features(
    setup: Setup, frontiers: Collection[Frontier], life: ExitStack
) -> Generator[Progress | FeaturesKept, None, dict[Frontier, Shelf]]:
    """Makes sure that the tensors of some frontiers are kept for every image.

    Images that miss any of them go through the frozen layers once.

    Args:
        setup: With the weights that the frozen layers have now.
        frontiers: None of them the decoded image.
        life: Until it is closed the shelves stay in the cache.

    Returns:
        The shelf of each frontier.

    Raises:
        SurgeonError: If the disk is full; what was computed stays for the next run.
    """
    # Copies of an image in the data have one place on a shelf.
    positions = {_key(setup, position): position for position in _needed_positions(setup)}
    needed = sum(frontier.bytes for frontier in frontiers) * len(positions)
    root, place = _choose_root(setup.plan.features, needed)
    folders = {} if root is None else {frontier: root / features_key(setup, frontier) for frontier in frontiers}
    try:
        for frontier, folder in folders.items():
            life.enter_context(shelf_in_use(folder, _about(setup, frontier)))
        with filling(folders.values()):
            shelves = {frontier: Shelf(_specs(setup, frontier), folders.get(frontier)) for frontier in frontiers}
            missing = {key for shelf in shelves.values() for key in shelf.missing(positions)}
            layers = tuple(dict.fromkeys(name for frontier in frontiers for name in frontier.layers))
            yield FeaturesKept(layers, needed, place, len(positions) - len(missing), len(missing))
            if missing:
                yield from _fill(setup, shelves, {key: at for key, at in positions.items() if key in missing})
    except OSError as error:
        raise SurgeonError(
            f"cannot keep the frozen features, {needed / 1e6:,.0f} MB in {root}: {error.strerror or error}",
            "what was computed is kept; free some disk space, `surgeon cache clear`, or set features: memory",
        ) from error
    return shelves


def _choose_root(keep: str, needed: int) -> tuple[Path | None, str]:
    """Returns the folder for shelves, or None for memory, and both in words with the reason."""
    root = cache_root()
    if keep == "memory":
        return None, "in memory, as the recipe asks"
    if keep == "disk":
        return root, "on disk, as the recipe asks"
    lacking = room_for(root, needed)
    if not lacking:
        return root, "on disk, for the next runs too"
    return None, f"in memory, since the cache on disk lacks {lacking / 1e9:,.1f} GB for them"


def _specs(setup: Setup, frontier: Frontier) -> list[TensorSpec]:
    tensors = (layer_output(setup.network, name) for name in frontier.layers)
    return [TensorSpec(tuple(tensor.shape[1:]), "float32") for tensor in tensors]


def _about(setup: Setup, frontier: Frontier) -> dict[str, object]:
    """Returns what a person is told about a shelf."""
    plan = setup.plan
    return {"network": plan.network.name, "layers": frontier.layers, "image_size": plan.data.image_size}


def features_key(setup: Setup, frontier: Frontier) -> str:
    """Returns the digest of all that a frontier's tensors depend on but the image's bytes.

    That is how images are decoded, resized and preprocessed, the structure and the weights of the layers
    before the frontier, and the releases of what computes them.
    """
    import keras
    import PIL
    import tensorflow as tf

    plan = setup.plan
    depends_on = {
        "image_size": plan.data.image_size,
        "preprocessing": plan.backbone.preprocessing,
        "frontier": frontier.layers,
        "inputs": {row.name: row.inputs for row in plan.network.rows if row.name in frontier.prefix},
        "versions": [keras.__version__, tf.__version__, PIL.__version__, np.__version__],
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
    setup: Setup, shelves: Mapping[Frontier, Shelf], positions: Mapping[str, int]
) -> Generator[Progress, None, None]:
    """Puts what is missing on the shelves, a chunk of images at a time; ``positions`` are those of the keys."""
    import keras

    frozen = part_of(setup.network, (), [name for frontier in shelves for name in frontier.layers])
    compute = build_predictor(frozen, image_frontier(setup.plan.network, ()), setup.pipeline)
    keys = list(positions)
    image_bytes = sum(frontier.bytes for frontier in shelves)
    size = max(1, min(32, _CHUNK_BYTES // (image_bytes * _BATCH))) * _BATCH
    for start in range(0, len(keys), size):
        chunk = keys[start : start + size]
        computed = []
        for at in range(0, len(chunk), _BATCH):
            pixels = _pixels(setup, [positions[key] for key in chunk[at : at + _BATCH]])
            # Keras returns one output of a list of one bare.
            computed.append([np.asarray(tensor) for tensor in keras.tree.flatten(compute((pixels,)))])
            yield Progress("compute frozen features", start + at + len(pixels), len(keys), "images")
        tensors = iter([np.concatenate(parts) for parts in zip(*computed, strict=True)])
        for shelf in shelves.values():
            _add_missing(shelf, chunk, [next(tensors) for _ in shelf.specs])


def _add_missing(shelf: Shelf, keys: Sequence[str], tensors: Sequence[NDArray[Any]]) -> None:
    missing = set(shelf.missing(keys))
    rows = [row for row, key in enumerate(keys) if key in missing]
    if rows:
        shelf.add([keys[row] for row in rows], [tensor[rows] for tensor in tensors])
