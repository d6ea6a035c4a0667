"""What many trials share: the output of the frozen layers in front of what each of them trains.

Trials with the same backbone differ in where they cut it, in their heads and in what they train. One network puts out
all that any of them needs, so one pass keeps it for all of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import keras

from surgeon.catalogue.head_layers import HEAD_LAYERS
from surgeon.features.frozen import FrozenFeatures, Kept, Setup
from surgeon.model.pipeline import build_pipeline
from surgeon.model.surgery import layer_output, open_backbone, output_of, start_afresh
from surgeon.planning.frontier import Frontier, upcoming_frontiers
from surgeon.recipe.network import Network

if TYPE_CHECKING:
    from surgeon.catalogue.layer_table import LayerRow
    from surgeon.data.dataset import Dataset
    from surgeon.recipe.plan import Plan
    from surgeon.results.events import Event


def backbone_key(plan: Plan) -> str:
    """Returns what plans have in common whose frozen layers can be computed in one pass."""
    recipe = plan.recipe
    backbone = {key: value for key, value in recipe["backbone"].items() if key != "cut"}
    keys = ("augment", "features", "features_dtype", "engine", "precision", "deterministic")
    # A fresh backbone and kept views are drawn with the seed.
    seed = plan.seed if plan.views or plan.backbone.weights == "none" else None
    unchanged = plan.fits_probe if plan.views else None  # a probe sees the training images as they are, too
    shared = [backbone, asdict(plan.data.resizing), [recipe.get(key) for key in keys], seed, unchanged]
    return json.dumps(shared, sort_keys=True)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A trial that is to be trained.

    Attributes:
        number: In the sweep, from 1.
        values: What was varied, by path.
    """

    number: int
    plan: Plan
    values: Mapping[str, Any]

    @cached_property
    def frontiers(self) -> dict[Frontier, Frontier]:
        """The frontiers whose tensors depend on nothing that its own seed or training decides, as they are shared."""
        own = {row.name for row in self.plan.network.head if row.trainable + row.fixed}
        found = [frontier for frontier in upcoming_frontiers(self.plan, 1) if not frontier.prefix & own]
        return {frontier: _renamed(self.plan, frontier) for frontier in found}


@dataclass(frozen=True, eq=False)
class Shared:
    """What is kept for the trials of one backbone.

    Attributes:
        resources: Hold it; closed once no trial needs it any more.
        kept: By the frontier, as ``_renamed`` calls it; None where there was no room.
        bare: The cuts that are followed by an operation which is no layer; a head alone does not have it.
    """

    resources: ExitStack
    kept: dict[Frontier, Kept | None] = field(default_factory=dict)
    bare: set[str] = field(default_factory=set)

    def of(self, candidate: Candidate) -> dict[Frontier, Kept | None]:
        """Returns what is kept of a trial's frontiers."""
        return {frontier: self.kept[shared] for frontier, shared in candidate.frontiers.items()}

    def keep(
        self, candidates: Sequence[Candidate], dataset: Dataset, *, in_folds: bool
    ) -> Generator[Event, None, None]:
        """Makes sure that the frontiers of trials of one backbone are kept for every image, if there is room.

        Args:
            candidates: The trials.
            dataset: All images that any trial looks at; changed copies are kept of those that it calls ``train``.
            in_folds: Whether the same images are trained on and validated, so that they are kept as they are too.

        Raises:
            SurgeonError: If the backbone's weights cannot be had.
        """
        lacking = {
            shared: (candidate.plan, frontier)
            for candidate in candidates
            for frontier, shared in candidate.frontiers.items()
            if shared not in self.kept
        }
        if lacking:
            setup = self._build_union(list(lacking.values()), dataset)
            # That is what is kept for a linear probe as well.
            setup = replace(setup, plan=replace(setup.plan, linear_probe=in_folds))
            features = FrozenFeatures(setup, self.resources)
            yield from features.keep(lacking)
            self.kept.update(features.kept)

    def _build_union(self, wanted: Sequence[tuple[Plan, Frontier]], dataset: Dataset) -> Setup:
        """Builds the network that puts out all wanted frontiers: the backbone and the first layers of each head."""
        deepest = max((plan for plan, _ in wanted), key=lambda plan: plan.network.cut)
        start_afresh(deepest.seed)
        backbone = open_backbone(deepest.backbone, deepest.data.image_size)
        rows = {row.name: row for plan, _ in wanted for row in plan.network.backbone}
        ends: dict[str, Any] = {}
        for plan, frontier in wanted:
            cut = plan.backbone.cut
            if output_of(backbone, cut) is not layer_output(backbone, cut):
                self.bare.add(cut)
            for name in frontier.layers:
                if name in rows:
                    ends[name] = layer_output(backbone, name)
            _sew(plan, frontier, backbone, rows, ends)
        network = keras.Model(backbone.input, list(ends.values()))
        union = Network(
            deepest.network.name, deepest.network.cut, tuple(sorted(rows.values(), key=lambda row: row.index))
        )
        return Setup(replace(deepest, network=union), network, build_pipeline(deepest), dataset)


def _renamed(plan: Plan, frontier: Frontier) -> Frontier:
    """Returns a frontier whose layers of the head are called so that no other head on another cut has that name."""
    names = {name: _name(plan, name) for name in frontier.prefix}
    layers = tuple(names[name] for name in frontier.layers)
    return replace(frontier, layers=layers, prefix=frozenset(names.values()))


def _name(plan: Plan, name: str) -> str:
    """Returns what a layer is called in the union: its own name, in the head with the cut and all that comes before."""
    at = next((at for at, layer in enumerate(plan.head) if layer.name == name), None)
    if at is None:
        return name
    before = [(layer.kind, dict(layer.parameters)) for layer in plan.head[: at + 1]]
    digest = hashlib.sha256(json.dumps([plan.network.cut, before], sort_keys=True).encode())
    return f"{name}_{digest.hexdigest()[:12]}"


def _sew(plan: Plan, frontier: Frontier, backbone: Any, rows: dict[str, LayerRow], ends: dict[str, Any]) -> None:
    """Adds the layers of a head that lie before a frontier to ``rows``, and what they put out to ``ends``."""
    tensor = None
    for layer in plan.head:
        if layer.name not in frontier.prefix:
            return
        name = _name(plan, layer.name)
        if name not in ends:
            tensor = output_of(backbone, plan.backbone.cut) if tensor is None else tensor
            tensor = HEAD_LAYERS[layer.kind].build(layer.parameters, name)(tensor)
            ends[name] = tensor
            row = next(row for row in plan.network.head if row.name == layer.name)
            rows[name] = replace(row, name=name)
        tensor = ends[name]
