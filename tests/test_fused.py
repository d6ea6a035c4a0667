"""Trials that are trained together come to what each comes to alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import write_tiny

from surgeon.catalogue.optimizers import OPTIMIZERS
from surgeon.catalogue.schedules import SCHEDULES

ALONE = {"schedule_free_adamw"}

RELATIVE, ABSOLUTE = 1e-4, 1e-5  # float32 sums in another order, over a few dozen steps

HEAD = [
    {"global_average_pooling": {}},
    {"dense": {"units": 16, "activation": "relu"}},
    {"dropout": 0.5},
    {"dense": {"units": "classes", "activation": "softmax"}},
]


@dataclass(frozen=True)
class Bench:
    """The striped pictures in front of the small network, and a recipe whose head is trained."""

    recipe: Mapping[str, Any]
    folder: Path
    features: Any

    def plan(self, changes: Mapping[str, Any]) -> Any:
        import surgeon

        path = self.folder / "trial.yaml"
        path.write_text(yaml.safe_dump(dict(self.recipe)), encoding="utf-8")
        return surgeon.load_recipe(path, changes)

    def key(self, changes: Mapping[str, Any]) -> Any:
        from surgeon.planning.frontier import phase_frontiers
        from surgeon.training.fused import stack_key

        plan = self.plan(changes)
        return stack_key(plan, 1, phase_frontiers(plan, 1)[0])

    @cached_property
    def plain(self) -> Any:
        return self.key({})

    def feeds(self, plan: Any, number: int) -> tuple[Any, Any, Any]:
        from surgeon.planning.frontier import phase_frontiers
        from surgeon.results.subscribers import drive

        frontier, _ = phase_frontiers(plan, number)
        drive(self.features.keep([frontier]))
        return frontier, self.features.feed("train", frontier), self.features.feed("validation", frontier)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, photos: Path, small_network: Path) -> Iterator[Bench]:
    import keras

    import surgeon
    from surgeon.features.frozen import FrozenFeatures, Setup
    from surgeon.model.pipeline import build_pipeline
    from surgeon.model.surgery import build_network
    from surgeon.results.subscribers import drive
    from surgeon.search.images import open_images

    folder = tmp_path_factory.mktemp("fused")
    network, random = keras.saving.load_model(small_network), np.random.default_rng(0)
    for layer in network.layers:
        if "conv" in layer.name:  # of other weights in each session, but rounding grows where they please
            layer.set_weights([random.uniform(-0.5, 0.5, weight.shape) for weight in layer.weights])
    network.save(folder / "network.keras")
    recipe = yaml.safe_load(
        write_tiny(folder / "tiny.yaml", photos, folder / "network.keras").read_text(encoding="utf-8")
    )
    recipe["data"]["batch_size"] = 5  # the last batch is a smaller one
    recipe |= {"head": HEAD, "phases": [{"name": "warm-up", "trainable": "head", "lr": 0.01, "epochs": 3}]}
    with ExitStack() as resources:
        plan = surgeon.load_recipe(folder / "tiny.yaml")
        session = drive(open_images(plan, resources))
        setup = Setup(plan, build_network(plan), build_pipeline(plan), session.dataset)
        yield Bench(recipe, folder, FrozenFeatures(setup, resources))


def alone(bench: Bench, plan: Any) -> tuple[list[Any], dict[str, Any], str | None]:
    """Trains a plan by itself.

    Returns:
        The results of its phases, the values of all variables of its head, and what is said if it diverges.
    """
    from surgeon.features.frozen import Setup
    from surgeon.model.pipeline import build_pipeline
    from surgeon.model.surgery import build_network, layer_variables
    from surgeon.results.subscribers import drive
    from surgeon.runs.checkpoint import Checkpoints, values_of
    from surgeon.training.phase import DivergedError, train_phase

    network = build_network(plan)
    setup = Setup(plan, network, build_pipeline(plan), bench.features.setup.dataset)
    results: list[Any] = []
    for number in range(1, len(plan.phases) + 1):
        _, train, validation = bench.feeds(plan, number)
        try:
            with Checkpoints(None) as checkpoints:
                results.append(drive(train_phase(setup, number, train, validation, checkpoints)))
        except DivergedError as error:
            return results, {}, error.message
    names = [layer.name for layer in plan.head]
    return results, values_of(layer_variables(network, names)), None


def together(
    bench: Bench, plans: Sequence[Any], goes_on: Callable[..., bool] = lambda position, history: True
) -> list[list[Any]]:
    """Trains plans in stacks; returns what became of each phase of each."""
    from surgeon.model.surgery import build_head, layer_variables
    from surgeon.results.subscribers import drive
    from surgeon.runs.checkpoint import values_of
    from surgeon.training.fused import Member, stack_key, train_stack

    names = [layer.name for layer in plans[0].head]
    members = [Member(plan, values_of(layer_variables(build_head(plan), names))) for plan in plans]
    found: list[list[Any]] = [[] for _ in plans]
    for number in range(1, len(plans[0].phases) + 1):
        frontier, train, validation = bench.feeds(plans[0], number)
        keys = {stack_key(plan, number, frontier) for plan in plans}
        assert len(keys) == 1
        assert keys != {None}
        outcomes = drive(train_stack(members, number, train, validation, goes_on))
        members = [Member(plan, outcome.values) for plan, outcome in zip(plans, outcomes, strict=True)]
        for each, outcome in zip(found, outcomes, strict=True):
            each.append(outcome)
    return found


def agree(outcome: Any, result: Any) -> None:
    """Compares what became of a phase of a trial with what it comes to alone."""
    assert list(outcome.history) == list(result.history)
    for figure, expected in result.history.items():
        if figure != "seconds":
            np.testing.assert_allclose(outcome.history[figure], expected, RELATIVE, ABSOLUTE, err_msg=figure)
    assert outcome.best_epoch == result.best_epoch
    assert outcome.start == pytest.approx(result.start, RELATIVE, ABSOLUTE)


def check(bench: Bench, plans: Sequence[Any], found: Sequence[Sequence[Any]]) -> None:
    """Compares what became of trials with what each comes to alone."""
    for plan, outcomes in zip(plans, found, strict=True):
        results, values, error = alone(bench, plan)
        assert outcomes[-1].error == error
        for outcome, result in zip(outcomes, results, strict=error is None):
            agree(outcome, result)
        assert set(outcomes[-1].values) == set(values)
        for path, expected in values.items():
            np.testing.assert_allclose(outcomes[-1].values[path], expected, RELATIVE, ABSOLUTE, err_msg=path)


def trials(**changes: Sequence[Any]) -> list[dict[str, Any]]:
    """Returns the changes of trials of one shape; ``changes`` are of the first phase, a value per trial."""
    common = [(1, 0.2, 0.0, 0.0), (2, 0.5, 0.01, 0.1), (1, 0.7, 0.1, 0.0), (3, 0.1, 0.0, 0.2), (2, 0.3, 0.001, 0.0)]
    names = ("seed", "head[2].dropout.rate", "head[1].dense.l2", "phases[0].label_smoothing")
    count = len(next(iter(changes.values())))
    return [
        {**dict(zip(names, values, strict=True)), **{f"phases[0].{name}": given[at] for name, given in changes.items()}}
        for at, values in enumerate(common[:count])
    ]


RATES = [
    0.01,
    {"cosine": {"peak": 0.02, "warmup_epochs": 1}},
    {"exponential": {"initial": 0.03, "factor": 0.5}},
    {"piecewise": {"values": [0.01, 0.001], "epochs": [1]}},
    {"one_cycle": {"peak": 0.02}},
]
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "sgd": {"momentum": 0.9, "nesterov": True, "clipvalue": 0.1},
    "rmsprop": {"centered": True, "momentum": 0.5},
    "adam": {"amsgrad": True, "clipnorm": 0.5},
    "lamb": {"global_clipnorm": 1.0},
}


BALANCED: Mapping[str, Any] = {"loss": {"focal": {"gamma": 1.5}}, "sample": "balanced", "class_weight": {"along": 3}}


def test_rates_cover_every_schedule() -> None:
    ahead = {name for name, schedule in SCHEDULES.items() if schedule.rate_after is None}
    assert {"constant", *(name for rate in RATES[1:] for name in rate)} == ahead


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", [name for name in OPTIMIZERS if name not in ALONE])
def test_each_comes_to_what_it_comes_to_alone(bench: Bench, optimizer: str) -> None:
    """Adam with every schedule; seeds, dropout, L2, smoothing and weight decay are other ones too."""
    rates = RATES if optimizer == "adam" else RATES[:2]
    chosen = [
        {optimizer: {**OPTIONS.get(optimizer, {}), "weight_decay": decay}} for decay in (0.0, 0.1, 0.01, 0.2, 0.004)
    ]
    plans = [bench.plan(each) for each in trials(lr=rates, optimizer=chosen[: len(rates)])]
    check(bench, plans, together(bench, plans))


@pytest.mark.slow
def test_batch_normalization_class_weights_and_one_seed(bench: Bench) -> None:
    normalized = [HEAD[0], {"batch_normalization": {"momentum": 0.5}}, HEAD[1], {"batch_normalization": {}}, *HEAD[2:]]
    common = {"head": normalized, "phases[0].class_weight": "balanced"}
    plans = [bench.plan({**common, "phases[0].lr": rate, "head[4].dropout.rate": rate}) for rate in (0.01, 0.02)]
    check(bench, plans, together(bench, plans))


@pytest.mark.slow
@pytest.mark.parametrize("end", ["softmax", "linear"])
def test_focal_loss_and_balanced_samples(bench: Bench, end: str) -> None:
    common = {f"phases[0].{name}": value for name, value in BALANCED.items()} | {"head[3].dense.activation": end}
    plans = [bench.plan({**common, **each}) for each in trials(lr=RATES[:3])]
    check(bench, plans, together(bench, plans))


@pytest.mark.slow
def test_random_generators_and_weights_go_on_in_the_next_phase(bench: Bench) -> None:
    first = bench.recipe["phases"][0]
    second = {"trainable": "head_dense", "optimizer": "sgd", "lr": 0.1, "epochs": 2}
    each = [{"phases": [first, {**second, "lr": rate}], "seed": seed} for rate, seed in ((0.1, 1), (0.03, 2))]
    plans = [bench.plan(changes) for changes in each]
    check(bench, plans, together(bench, plans))


@pytest.mark.slow
def test_trials_end_one_by_one_and_the_others_are_as_they_would_be(bench: Bench) -> None:
    """One diverges, one is pruned, one stops early, two get their first weights back; the rest is packed together."""
    early, later = ({"monitor": "val_accuracy", "patience": patience, "min_delta": 1} for patience in (2, 9))
    never = {"patience": 9, "restore_best": False}
    until = [never, never, early, early, later]
    rates = [*RATES[1:3], 1e15, *RATES[3:]]
    changes = trials(epochs=[6] * 5, until=until, lr=rates, optimizer=[{"sgd": {"momentum": 0.9}}] * 5)
    plans = [bench.plan(each) for each in changes]
    asked: list[tuple[int, int]] = []

    def goes_on(position: int, history: Mapping[str, tuple[float, ...]]) -> bool:
        asked.append((position, len(history["loss"])))
        return position != 1 or len(history["loss"]) < 2

    found = together(bench, plans, goes_on)
    check(bench, [plans[at] for at in (0, 2, 3, 4)], [found[at] for at in (0, 2, 3, 4)])
    outcomes = [phases[0] for phases in found]
    assert [len(outcome.history.get("loss", ())) for outcome in outcomes] == [6, 2, 0, 2, 6]
    assert [outcome.best_epoch for outcome in outcomes] == [None, None, None, 0, 0]
    assert [outcome.pruned for outcome in outcomes] == [False, True, False, False, False]
    still = {1: (0, 1, 3, 4), 2: (0, 1, 4), 3: (0, 4), 4: (0, 4), 5: (0, 4)}  # not those whose phase is over
    assert asked == [(at, epoch) for epoch, places in still.items() for at in places]
    results, _, _ = alone(bench, plans[1])
    assert len(results[0].history["loss"]) > 2
    for figure, values in outcomes[1].history.items():
        if figure != "seconds":
            np.testing.assert_allclose(values, results[0].history[figure][:2], RELATIVE, ABSOLUTE, err_msg=figure)


@pytest.mark.parametrize(
    ("changes", "are_alike"),
    [
        ({"seed": 3, "head[2].dropout.rate": 0.1, "head[1].dense.l2": 0.1}, True),
        ({"phases[0].lr": {"cosine": {"peak": 1}}, "phases[0].label_smoothing": 0.1, "phases[0].epochs": 9}, True),
        ({"phases[0].lr_scale": {"head": 1}}, True),
        ({"head[2].dropout.rate": 0}, False),
        ({"head[1].dense.units": 8}, False),
        ({"head[1].dense.activation": "tanh"}, False),
        ({"phases[0].optimizer": {"adam": {"beta_1": 0.8}}}, False),
        ({"phases[0].optimizer": {"adam": {"weight_decay": 0.1}}}, False),
        ({"phases[0].class_weight": "balanced"}, False),
        *[({f"phases[0].{name}": value}, False) for name, value in BALANCED.items()],
        ({"augment": {"mix_up": 0.2}}, None),
        ({"augment": {"mix_up": {"of": "features"}}}, None),
        ({"augment": {"brightness": {"factor": 0.2, "of": "features"}}}, None),
        ({"augment": {"flip": "none"}}, True),
        ({"data.batch_size": 4}, False),
        ({"phases[0].trainable": "head_dense_2"}, None),
        ({"phases[0].trainable": "all"}, None),
        ({"phases[0].optimizer": {"adam": {"use_ema": True}}}, None),
        ({"phases[0].average": 0.5}, None),
        ({"phases[0].optimizer": {"adam": {"gradient_accumulation_steps": 2}}}, None),
        ({"phases[0].optimizer": "schedule_free_adamw"}, None),
        ({"phases[0].lr_scale": {"head_dense": 0.5}}, None),
        ({"phases[0].lr": {"plateau": {"initial": 1, "patience": 1}}}, None),
        ({"precision": "bfloat16"}, None),
        ({"features": "off"}, None),
    ],
)
def test_which_trials_are_of_one_shape(bench: Bench, changes: Mapping[str, Any], are_alike: bool | None) -> None:
    other = bench.key(changes)
    assert bench.plain is not None
    assert (None if other is None else other == bench.plain) is are_alike


def test_as_many_train_together_as_fit(bench: Bench) -> None:
    from surgeon.planning.frontier import phase_frontiers
    from surgeon.training.fused import most_members

    plan = bench.plan({})
    frontier, _ = phase_frontiers(plan, 1)
    few, many = (most_members(plan, 1, frontier, size) for size in (100_000, 1_000_000))
    assert most_members(plan, 1, frontier, 0) == 1
    assert 1 < few < many <= 1_000_000 // (4 * 442 * 4)  # weights, gradients and two moments
