"""Where to cut: one pass through a network, and a linear classifier on what it knows at every cut.

The method is that of linear classifier probes, Alain and Bengio, "Understanding intermediate layers using linear
classifier probes", 2016, https://arxiv.org/abs/1610.01644, on features that are pooled as in Head2Toe, Evci and others,
2022, https://arxiv.org/abs/2201.03529. It measures what a linear head finds at a cut while all layers before it are
frozen. A head with hidden layers finds more, above all early on, and layers that are trained may learn what they lack.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from surgeon.catalogue.layer_table import LayerRow, ancestors
from surgeon.data.batches import Samples
from surgeon.errors import Location, SurgeonError
from surgeon.features.frozen import FrozenFeatures, Setup
from surgeon.features.linear_probe import check_size
from surgeon.features.regression import predict_held_out
from surgeon.model.engine import build_engines, engines_for
from surgeon.model.pipeline import build_pipeline
from surgeon.model.precision import computing_in
from surgeon.model.prediction import build_predictor
from surgeon.model.surgery import open_backbone, output_of, start_afresh
from surgeon.planning.cuts import all_cuts, block_ends
from surgeon.planning.frontier import Frontier, multiply_adds
from surgeon.planning.samples import BATCH
from surgeon.recipe.compiler import compile_document
from surgeon.recipe.document import Document
from surgeon.recipe.network import Network
from surgeon.results.events import Event, Progress
from surgeon.results.probe import CutResult, ProbeResult, standard_error
from surgeon.search.images import open_images

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from surgeon.data.dataset import Dataset
    from surgeon.recipe.plan import Plan

_FOLDS = 5
_TIMED = 8  # images in a batch, so that a large network with many cuts is timed in less than its pass takes
_REPEATED = 5  # at most, of which the quickest counts: what else a machine does only adds to it
_LONG = 1.0  # second; what takes longer is hardly touched by what else a machine does, and not repeated any more
# What the recipe says of these is not asked; a head is only there because every recipe has one.
_PLAIN = {
    "augment": {},
    "head": ["global_average_pooling", {"dense": "classes"}],
    "phases": [{"trainable": "head", "lr": 0.001, "epochs": 1}],
    "features_dtype": "float32",
    "expected": {},
}


def probe(plan: Plan, backbones: Sequence[str], *, every_layer: bool) -> Generator[Event, None, ProbeResult]:
    """Measures the cuts of some networks on the training and validation images of a plan.

    Args:
        plan: Its images; its head, phases and cut do not matter.
        backbones: Names of networks; none for that of the plan.
        every_layer: Whether to measure every layer that can be cut at, and not the ends of blocks alone.

    Raises:
        SurgeonError: If the images or the weights are not what the plan needs.
    """
    plans = [plan_to_probe(plan, name) for name in backbones] or [plan_to_probe(plan, None)]
    for plain in plans[1:]:
        open_backbone(plain.backbone, plain.data.image_size)  # weights that cannot be had lose no pass
    cuts: list[CutResult] = []
    seconds: list[float] = []
    for plain in plans:
        with ExitStack() as stack:
            dataset = (yield from open_images(plain, stack)).dataset
            _check_classes(dataset)
            probed = compose(plain, dataset, every_layer=every_layer)
            features = FrozenFeatures(probed.setup, stack)
            yield from features.keep([probed.frontier])
            seconds.append(features.result().seconds)
            cuts += yield from _measure(probed, features)
    return ProbeResult(len(dataset.names), _FOLDS, tuple(cuts), tuple(seconds))


def plan_to_probe(plan: Plan, backbone: str | None) -> Plan:
    """Returns the plan of a recipe with the same images and the whole of a network, its own if none is named.

    Where the top of a network begins is known for those of the catalogue; one from a file ends at the recipe's cut.
    """
    values = {**plan.recipe, **_PLAIN}
    if plan.backbone.name is not None and backbone in (None, plan.backbone.name):
        values["backbone"] = {key: value for key, value in plan.recipe["backbone"].items() if key != "cut"}
    elif backbone is not None:
        trained = "none" if plan.backbone.weights == "none" else "imagenet"
        values["backbone"] = {"name": backbone, "weights": trained}
        if plan.origins.get("data.image_size") == "default":
            values["data"] = {key: value for key, value in plan.recipe["data"].items() if key != "image_size"}
    # The lines of these values are nobody's, so what is wrong with them is said of the recipe with this network.
    place = Path(plan.name if backbone is None else f"{plan.name} with {backbone}")
    return compile_document(Document(place, values, {(): Location(str(place))}))


def _check_classes(dataset: Dataset) -> None:
    counts = Counter(label for label, _ in set(zip(dataset.labels.tolist(), dataset.groups, strict=True)))
    enough = sum(count >= _FOLDS for count in counts.values())
    if enough < 2:
        raise SurgeonError(
            f"cross-validation needs two classes, each with {_FOLDS} different images or more, in as many groups; "
            f"found {enough} such classes",
            "add training images",
        )


@dataclass(frozen=True, eq=False)
class Probed:
    """A network that puts out its pooled features at all cuts, side by side.

    Attributes:
        frontier: Its output.
        cuts: In the order of the features.
        ends: The network with an output for each cut.
    """

    setup: Setup
    frontier: Frontier
    cuts: tuple[LayerRow, ...]
    ends: Any


def compose(plan: Plan, dataset: Dataset, *, every_layer: bool) -> Probed:
    """Returns the network of a plan with its pooled features at each cut as its output."""
    rows = plan.network.backbone
    cuts = tuple((all_cuts if every_layer else block_ends)(rows))
    if not cuts:
        raise SurgeonError(f"{plan.network.name} has no layer whose output is a feature map or a vector")
    start_afresh(plan.seed)
    backbone = open_backbone(plan.backbone, plan.data.image_size)
    pooled = [_pool(output_of(backbone, cut.name)) for cut in cuts]
    name = "pooled"
    while name in {layer.name for layer in backbone.layers}:
        name += "_"
    network = keras.Model(backbone.input, keras.layers.Concatenate(name=name)(pooled))
    width = sum(cut.shape[-1] for cut in cuts)
    output = LayerRow(rows[-1].index + 1, name, "Concatenate", tuple(cut.index for cut in cuts), (width,), 0, 0)
    composed = Network(plan.network.name, plan.network.cut, (*rows, output))
    prefix = frozenset(row.name for row in composed.rows)
    frontier = Frontier((name,), prefix, width, sum(map(multiply_adds, rows)), 0)
    setup = Setup(replace(plan, network=composed), network, build_pipeline(plan), dataset)
    return Probed(setup, frontier, cuts, keras.Model(backbone.input, pooled))


def _pool(tensor: Any) -> Any:
    return keras.layers.GlobalAveragePooling2D()(tensor) if len(tensor.shape) == 4 else tensor


def _measure(probed: Probed, features: FrozenFeatures) -> Generator[Event, None, list[CutResult]]:
    """Fits a classifier at each cut, and measures how long the network takes until there."""
    dataset, plan = probed.setup.dataset, probed.setup.plan
    gathered = yield from gather(probed, features)
    ends = list(accumulate(cut.shape[-1] for cut in probed.cuts))
    groups = np.array(dataset.groups)
    folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=plan.seed)
    milliseconds = yield from _milliseconds(probed)
    found = []
    for number, (cut, end, taken) in enumerate(zip(probed.cuts, ends, milliseconds, strict=True), start=1):
        at_cut = gathered[:, end - cut.shape[-1] : end]
        predicted = predict_held_out(at_cut, dataset.labels, folds, groups=groups)
        accuracy = float(np.mean(predicted == dataset.labels))
        before = ancestors(plan.network.rows, cut.index)
        kept = [row for row in plan.network.rows if row.index in before]
        found.append(
            CutResult(
                backbone=plan.network.name,
                cut=cut.name,
                index=cut.index,
                features=cut.shape[-1],
                accuracy=accuracy,
                standard_error=standard_error(accuracy, len(set(dataset.digests))),
                parameters=sum(row.trainable + row.fixed for row in kept),
                multiply_adds=sum(map(multiply_adds, kept)),
                milliseconds=taken,
            )
        )
        yield Progress(f"fit a classifier at the cuts of {plan.network.name}", number, len(ends), "cuts")
    return found


def gather(probed: Probed, features: FrozenFeatures) -> Generator[Event, None, NDArray[np.float32]]:
    """Returns the pooled features of all images, shape (n, features of all cuts)."""
    setup, width = probed.setup, probed.frontier.values
    count = len(setup.dataset.names)
    check_size("the features of all cuts", count, width, "probe the ends of blocks only, or fewer images")
    feed = features.feed("train", probed.frontier)
    predictor = None
    if feed.frontier.is_image:
        with computing_in(setup.network, setup.plan.untimed_precision):
            predictor = build_predictor(setup.network, feed.frontier, setup.pipeline)
    gathered = np.empty((count, width), np.float32)
    for start in range(0, count, BATCH):
        batch = np.arange(start, min(start + BATCH, count))
        tensors = feed.examples.gather(Samples.unchanged(batch))
        gathered[batch] = predictor(tensors) if predictor else tensors[0]
        yield Progress("gather features", start + len(batch), count, "images")
    return gathered


def _milliseconds(probed: Probed) -> Generator[Progress, None, list[float]]:
    """Returns the time per image through the network up to each cut, preprocessing included, in batches."""
    setup = probed.setup
    pixels = setup.dataset.pixels(np.arange(min(_TIMED, len(setup.dataset.names))))
    found = []
    for compute in build_engines(probed.ends, setup.pipeline.prepare, engines_for(setup.plan)[0]):
        compute((pixels,))  # the first call makes what the others use
        taken: list[float] = []
        while len(taken) < _REPEATED and sum(taken) < _LONG:
            started = time.perf_counter()
            compute((pixels,))
            taken.append(time.perf_counter() - started)
        found.append(1000 * min(taken) / len(pixels))
        yield Progress(f"time the cuts of {setup.plan.network.name}", len(found), len(probed.cuts), "cuts")
    return found
