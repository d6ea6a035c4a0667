"""What a phase does to a network, on real images through the real code."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import slow_but

from surgeon.catalogue.augmentations import AUGMENTATIONS
from surgeon.catalogue.head_layers import HEAD_LAYERS
from surgeon.catalogue.optimizers import OPTIMIZERS
from surgeon.catalogue.schedules import SCHEDULES
from surgeon.data.batches import Examples
from surgeon.data.dataset import decode_images, index_images
from surgeon.errors import SurgeonError
from surgeon.features.frozen import FrozenFeatures, Setup
from surgeon.model.pipeline import build_pipeline
from surgeon.model.prediction import build_predictor, predict
from surgeon.model.surgery import build_network
from surgeon.planning.frontier import image_frontier
from surgeon.planning.modes import layers_in_training_mode
from surgeon.recipe.compiler import compile_recipe
from surgeon.recipe.plan import Plan
from surgeon.results.events import EpochEnded, PhaseResult, PhaseStarted
from surgeon.runs.checkpoint import Checkpoints
from surgeon.training.phase import train_phase

pytestmark = pytest.mark.usefixtures("tiny_and_small")


@pytest.fixture
def set_up(tmp_path: Path, finish: Callable[..., Any]) -> Callable[[Plan], Setup]:
    def set_up(plan: Plan) -> Setup:
        index, _ = finish(index_images(plan.data))
        dataset, _ = finish(decode_images(index, plan.data, "memory", ExitStack()))
        return Setup(plan, build_network(plan), build_pipeline(plan), dataset)

    return set_up


@pytest.fixture
def train_one(finish: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """Trains the next phase on pixels; returns its result and its events."""

    def train_one(setup: Setup, finished: tuple[PhaseResult, ...] = ()) -> tuple[PhaseResult, list[Any]]:
        frontier = image_frontier(setup.plan.network, setup.plan.phases[len(finished)].trainable)
        features = FrozenFeatures(setup, ExitStack())
        train, validation = (features.feed(split, frontier) for split in ("train", "validation"))
        with TemporaryDirectory(dir=tmp_path) as folder, Checkpoints(Path(folder)) as checkpoints:
            return finish(train_phase(setup, len(finished) + 1, train, validation, checkpoints, finished))

    return train_one


@pytest.fixture
def train(tiny: Path, set_up: Callable[..., Any], train_one: Callable[..., Any]) -> Callable[..., Any]:
    """Trains the phases of the tiny recipe with overrides; returns plan, network and the results."""

    def train(*overrides: str) -> tuple[Plan, Any, tuple[PhaseResult, ...]]:
        setup = set_up(compile_recipe(tiny, overrides))
        results: tuple[PhaseResult, ...] = ()
        for _ in setup.plan.phases:
            results += (train_one(setup, results)[0],)
        return setup.plan, setup.network, results

    return train


def digests(network: Any) -> dict[str, str]:
    return {
        f"{layer.name}/{variable.name}": hashlib.sha256(variable.numpy().tobytes()).hexdigest()
        for layer in network.layers
        for variable in layer.weights
    }


@pytest.mark.parametrize("trainable", ["head", "all", "block2a_dwconv", "..stem_bn", "[head_dense, block1a_bn]"])
def test_exactly_the_chosen_weights_change(
    trainable: str, tiny: Path, set_up: Callable[..., Any], train_one: Callable[..., Any]
) -> None:
    plan = compile_recipe(tiny, [f"phases=[{{trainable: {trainable}, lr: 0.1, optimizer: sgd, epochs: 1}}]"])
    setup = set_up(plan)
    before = digests(setup.network)
    train_one(setup)
    after = digests(setup.network)
    changed = {name for name in before if before[name] != after[name]}
    statistics = ("moving_mean", "moving_variance")
    expected = {
        name for name in before if name.split("/")[0] in plan.phases[0].trainable and not name.endswith(statistics)
    }
    assert changed == expected


def test_batch_norm_trains_only_where_asked(train: Callable[..., Any]) -> None:
    def statistics(mode: str) -> np.ndarray:
        phase = f"phases=[{{trainable: block2a_dwconv.., lr: 0.01, epochs: 1, batch_norm: {mode}}}]"
        _, network, _ = train(phase)
        assert not network.get_layer("stem_bn").get_weights()[2].any(), "a frozen BatchNormalization moved"
        return network.get_layer("block2a_bn").get_weights()[2]

    assert not statistics("inference").any()
    assert statistics("train").any()


def test_batch_normalization_of_a_head_trains(train: Callable[..., Any]) -> None:
    head = "head=[global_average_pooling, batch_normalization, dense: classes]"
    _, network, _ = train(head, "phases=[{trainable: head, lr: 0.01, epochs: 1}]")
    assert network.get_layer("head_batch_normalization").get_weights()[2].any()


def test_stochastic_layers_of_the_frozen_prefix_rest(tiny: Path) -> None:
    plan = compile_recipe(
        tiny,
        [
            "backbone={name: efficientnetlite0, weights: none, cut: block3b_add}",
            "phases=[{trainable: head, lr: 0.1, epochs: 1}, {trainable: block2b_dwconv.., lr: 0.1, epochs: 1}]",
        ],
    )
    first, second = (layers_in_training_mode(plan.network, phase) for phase in plan.phases)
    drops = {row.name for row in plan.network.rows if row.kind == "Dropout"}
    assert drops == {"block2b_drop", "block3b_drop"}
    assert not drops & first
    assert drops <= second


@pytest.mark.slow
def test_same_seed_same_run_and_another_seed_another(train: Callable[..., Any]) -> None:
    runs = [train(f"seed={seed}", "augment={flip: horizontal}")[1:] for seed in (3, 3, 4)]
    weights = [digests(network) for network, _ in runs]
    assert weights[0] == weights[1]
    assert weights[0] != weights[2]
    assert [result.history["loss"] for result in runs[0][1]] == [result.history["loss"] for result in runs[1][1]]


@pytest.mark.slow
def test_softmax_and_logits_endings_train_alike(train: Callable[..., Any]) -> None:
    _, _, (with_softmax, *_) = train()
    _, _, (with_logits, *_) = train("head=[global_average_pooling, dense: classes]")
    np.testing.assert_allclose(with_softmax.history["loss"], with_logits.history["loss"], rtol=1e-4)


def test_stopping_ends_with_the_best_epoch(
    tiny: Path, set_up: Callable[..., Any], train_one: Callable[..., Any], finish: Callable[..., Any]
) -> None:
    phase = "{trainable: head, lr: 0.5, optimizer: sgd, epochs: 30, until: {monitor: val_loss, patience: 2}}"
    plan = compile_recipe(tiny, [f"phases=[{phase}]"])
    setup = set_up(plan)
    result, _ = train_one(setup)
    losses = result.history["val_loss"]
    assert result.best_epoch == int(np.argmin(losses)) + 1
    assert result.epochs in (30, result.best_epoch + 2)
    image = image_frontier(plan.network, ())
    validation = FrozenFeatures(setup, ExitStack()).feed("validation", image).examples
    predictor = build_predictor(setup.network, image, setup.pipeline)
    outputs, _ = finish(predict(predictor, validation, 4, "validate"))
    found = -np.log(outputs[np.arange(len(validation)), validation.labels]).mean()
    np.testing.assert_allclose(found, losses[result.best_epoch - 1], rtol=1e-4)


def test_events_tell_the_whole_phase(tiny: Path, set_up: Callable[..., Any], train_one: Callable[..., Any]) -> None:
    result, events = train_one(set_up(compile_recipe(tiny)))
    started = next(event for event in events if isinstance(event, PhaseStarted))
    epochs = [event for event in events if isinstance(event, EpochEnded)]
    assert started.steps == 3
    assert started.trainable_parameters == result.trainable_parameters == (24 + 1) * 2
    assert [event.epoch for event in epochs] == [1, 2]
    assert tuple(event.figures["val_loss"] for event in epochs) == result.history["val_loss"]
    assert events[-1] == result


def test_class_weights_balance(tiny: Path, set_up: Callable[..., Any]) -> None:
    from surgeon.training.sampling import class_weights

    setup = set_up(compile_recipe(tiny, ["phases[0].class_weight=balanced"]))
    train = FrozenFeatures(setup, ExitStack()).feed("train", image_frontier(setup.plan.network, ())).examples
    few = Examples(train.gather, train.numbers, np.append(train.positions[train.labels == 0], train.positions[-1:]))
    weights = class_weights(setup.plan.phases[0], few, setup.plan.classes)
    counts = np.bincount(few.labels)
    np.testing.assert_allclose(weights * counts, len(few) / 2, rtol=1e-6)
    roots = replace(setup.plan.phases[0], class_weight="sqrt_balanced")
    np.testing.assert_allclose(class_weights(roots, few, setup.plan.classes) ** 2, weights, rtol=1e-6)


def test_class_weights_by_name_leave_the_others(tiny: Path, set_up: Callable[..., Any]) -> None:
    from surgeon.training.sampling import class_weights

    plan = compile_recipe(tiny, ["phases[0].class_weight={along: 2.5}"])
    examples = Examples(lambda _: (), np.zeros(1, np.int32), np.zeros(1, np.intp))
    assert class_weights(plan.phases[0], examples, ("across", "along")).tolist() == [1, 2.5]


def test_balanced_samples_are_of_each_class_equally_often(tiny: Path) -> None:
    from surgeon.training.sampling import samples_of_epoch

    plan = compile_recipe(tiny, ["phases[0].sample=balanced", "augment={views: 5, flip: horizontal}"])
    numbers = np.repeat([0, 2, 3], [3, 40, 9]).astype(np.int32)  # none of class 1
    examples = Examples(lambda _: (), numbers, np.arange(1, 52))  # the first is of another split
    epochs = [samples_of_epoch(plan, 1, examples, epoch) for epoch in (1, 2, 1)]
    for samples in epochs:
        assert len(samples) == len(examples) == 51
        assert np.bincount(numbers[samples.images]).tolist() == [17, 0, 17, 17]
        for number, times in ((0, {8, 9}), (2, {1}), (3, {1, 2})):
            assert set(np.unique(samples.images[numbers[samples.images] == number], return_counts=True)[1]) == times
        assert 0 not in samples.images
        assert set(samples.views) == {1, 2, 3, 4, 5}
    for name in ("images", "views"):
        first, second, again = (getattr(samples, name) for samples in epochs)
        assert (first != second).any()
        np.testing.assert_array_equal(first, again)


@pytest.mark.slow
def test_losses_and_balance_act(train: Callable[..., Any]) -> None:
    """Through the recipe: focal with gamma 0 is the cross-entropy, and all else trains something else."""
    phase = "{{trainable: head, lr: 0.01, epochs: 2{}}}"
    keys = ["", ", loss: {focal: {gamma: 0}}", ", loss: focal", ", class_weight: {along: 3}", ", sample: balanced"]
    plain, *others = (train(f"phases=[{phase.format(key)}]")[2][0].history["loss"] for key in keys)
    np.testing.assert_allclose(others[0], plain, rtol=1e-4)
    for history in others[1:]:
        assert np.abs(np.subtract(history, plain)).min() > 1e-5
    assert others[1][0] < plain[0]


@pytest.mark.parametrize("name", slow_but({"mix_up"}, ("mix_up", "cut_mix")))
def test_each_part_of_a_mixed_image_counts_by_the_weight_of_its_class(
    name: str, tiny: Path, set_up: Callable[..., Any]
) -> None:
    from surgeon.model.freezing import set_trainable
    from surgeon.training.phase import build_gradient, build_loss

    overrides = [f"augment={{{name}: 1}}", "head=[global_average_pooling, dense: classes]"]
    setup = set_up(compile_recipe(tiny, overrides))
    phase, frontier = setup.plan.phases[0], image_frontier(setup.plan.network, ())
    set_trainable(setup.network, phase)
    differentiate, _ = build_gradient(setup, phase, build_loss(setup.plan, phase), frontier)
    pixels, weights = setup.dataset.pixels(range(24)), np.array([0.5, 4], np.float32)
    labels = setup.dataset.labels
    loss, right, _ = differentiate((pixels,), labels, weights[labels])
    again = build_pipeline(setup.plan)
    mixed, parts = again.augment(pixels, np.eye(2, dtype=np.float32)[labels])
    outputs = np.asarray(setup.network(again.prepare(mixed)))
    logs = outputs - np.log(np.exp(outputs).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(loss, -(np.asarray(parts) * weights * logs).sum(axis=1).mean(), rtol=1e-4)
    assert right == (np.argmax(parts, axis=1) == outputs.argmax(axis=1)).sum()
    assert np.sum((np.max(parts, axis=1) < 1) & (np.argmax(parts, axis=1) != labels)) > 0


def test_a_loss_without_end_stops_the_phase(train: Callable[..., Any]) -> None:
    with pytest.raises(SurgeonError, match=r"phase 'wild', epoch \d+, step \d+: the loss is") as caught:
        train("phases=[{name: wild, trainable: all, lr: 1e+15, optimizer: sgd, epochs: 3}]")
    assert "lr" in str(caught.value.hint)


ONE_STEP = "phases=[{{trainable: head, lr: {lr}, optimizer: {optimizer}, epochs: 1}}]"


@pytest.mark.parametrize("name", slow_but({"sgd", "adam"}, OPTIMIZERS))
def test_every_optimizer_trains(name: str, train: Callable[..., Any]) -> None:
    if not hasattr(keras.optimizers, OPTIMIZERS[name].keras_name):
        pytest.skip(f"Keras {keras.__version__} is older than the optimizer")
    _, _, (result,) = train(ONE_STEP.format(lr=0.01, optimizer=name))
    assert np.isfinite(result.history["loss"]).all()


SCHEDULED = {
    "constant": ("0.01", [0.01, 0.01, 0.01]),
    "cosine": ("{cosine: {peak: 0.01, warmup_epochs: 1}}", [0.01, 0.005, 0.0]),
    "exponential": ("{exponential: {initial: 0.01, factor: 0.5}}", [0.005, 0.0025, 0.00125]),
    "piecewise": ("{piecewise: {values: [0.01, 0.001], epochs: [2]}}", [0.01, 0.001, 0.001]),
    "one_cycle": ("{one_cycle: {peak: 0.01, rise: 0.333333333, final_divisor: 10}}", [0.01, None, 0.001]),
    "plateau": ("{plateau: {initial: 0.01, patience: 1, min_delta: 9}}", [0.01, 0.01, 0.001]),
}


@pytest.mark.parametrize("name", slow_but({"constant", "cosine"}, SCHEDULES))
def test_every_schedule_trains_and_follows_its_form(name: str, train: Callable[..., Any]) -> None:
    lr, expected = SCHEDULED[name]
    _, _, (result,) = train(f"phases=[{{trainable: head, lr: {lr}, epochs: 3}}]")
    for found, wanted in zip(result.history["lr"], expected, strict=True):
        assert wanted is None or found == pytest.approx(wanted, rel=1e-3, abs=1e-8)


HEADS = {
    "flatten": "[flatten, dense: classes]",
    "global_average_pooling": "[global_average_pooling, dense: classes]",
    "global_max_pooling": "[global_max_pooling, dense: classes]",
    "dense": "[flatten, dense: {units: 8, activation: relu, l2: 0.01, kernel_initializer: he_normal}, dense: classes]",
    "dropout": "[flatten, dropout: 0.5, dense: classes]",
    "batch_normalization": "[batch_normalization: {scale: false}, flatten, dense: classes]",
    "layer_normalization": "[flatten, layer_normalization, dense: classes]",
    "activation": "[flatten, dense: 8, activation: gelu, dense: classes, activation: softmax]",
    "unit_norm": "[global_average_pooling, unit_norm, dense: classes]",
}


@pytest.mark.parametrize("name", slow_but({"dense", "dropout", "batch_normalization"}, HEAD_LAYERS))
def test_every_head_layer_trains_and_is_what_its_row_says(name: str, train: Callable[..., Any]) -> None:
    plan, network, (result,) = train(f"head={HEADS[name]}", "phases=[{trainable: head, lr: 0.01, epochs: 1}]")
    assert np.isfinite(result.history["loss"]).all()
    for row in plan.network.head:
        layer = network.get_layer(row.name)
        assert type(layer).__name__ == row.kind
        assert layer.count_params() == row.trainable + row.fixed
        assert tuple(layer.output.shape[1:]) == row.shape


AUGMENTED = {
    "flip": "vertical",
    "crop": "0.8",
    "rotation": "0.1",
    "zoom": "0.2",
    "translation": "0.1",
    "contrast": "0.2",
    "brightness": "0.2",
    "hue": "0.2",
    "saturation": "0.9",
    "greyscale": "0.5",
    "sharpness": "0.9",
    "erasing": "0.5",
    "rand_augment": "0.9",
    "aug_mix": "0.9",
    "mix_up": "1",
    "cut_mix": "1",
}


@pytest.mark.parametrize("name", slow_but({"saturation", "cut_mix"}, AUGMENTATIONS))
def test_every_augmentation_stays_in_range_and_comes_again(name: str, tiny: Path) -> None:
    plan = compile_recipe(tiny, [f"augment={{{name}: {AUGMENTED[name]}}}"])
    pixels = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), np.uint8)
    pixels[0], pixels[1] = 0, 255
    labels = np.eye(6, dtype=np.float32)
    found = []
    for _ in range(2):
        pipeline = build_pipeline(plan)
        augment = tf.function(pipeline.augment)
        found.append([np.asarray(each) for _ in range(2) for each in augment(pixels, labels)])
        if not AUGMENTATIONS[name].mixes:
            views = [pipeline.view(pixels[2], seed) for seed in (5, 6, 5)]
            np.testing.assert_array_equal(views[0], views[2])
            found[-1] += views
    for first, second in zip(*found, strict=True):
        np.testing.assert_array_equal(first, second)
    changed, marked, changed_anew, _, *_ = found[0]
    assert np.abs(changed - changed_anew).max() > 1
    for images in (changed, changed_anew):
        assert images.shape == pixels.shape
        assert images.min() >= 0
        assert images.max() <= 255
    np.testing.assert_allclose(marked.sum(axis=1), 1, rtol=1e-6)
    assert (marked == labels).all() == (not AUGMENTATIONS[name].mixes)


def test_mixed_images_are_as_their_labels_say(tiny: Path) -> None:
    shades = np.array([0, 60, 120, 240], np.float32)
    pixels = np.broadcast_to(shades[:, None, None, None], (4, 32, 32, 3))
    for name in ("mix_up", "cut_mix"):
        augment = build_pipeline(compile_recipe(tiny, [f"augment={{{name}: 1}}"])).augment
        changed, labels = (np.asarray(each) for each in augment(pixels, np.eye(4, dtype=np.float32)))
        assert (labels.max(axis=1) < 1).any()
        # A rectangle begins between two pixels.
        np.testing.assert_allclose(changed.mean(axis=(1, 2, 3)), labels @ shades, atol=1e-3 if name == "mix_up" else 30)


def test_mixed_features_are_as_their_labels_say(tiny: Path) -> None:
    plan = compile_recipe(tiny, ["augment={mix_up: {alpha: 1, of: features}}"])
    assert plan.augment == ()
    pipeline = build_pipeline(plan)
    assert pipeline.change_features is not None
    assert len(pipeline.variables) == 1
    values = np.arange(5, dtype=np.float32)
    tensors = [np.broadcast_to(values.reshape(5, *[1] * (rank - 1)), (5, *[3] * (rank - 1))) for rank in (2, 3, 4)]
    mixed, labels = pipeline.change_features(tensors, np.eye(5, dtype=np.float32))
    expected = np.asarray(labels) @ values
    assert np.abs(expected - values).max() > 0.1
    for tensor, given in zip(mixed, tensors, strict=True):
        assert tensor.shape == given.shape
        np.testing.assert_allclose(
            np.asarray(tensor).reshape(5, -1), np.tile(expected[:, None], given[0].size), rtol=1e-5
        )
    assert build_pipeline(compile_recipe(tiny)).change_features is None


def test_brighter_features_stay_in_their_range(tiny: Path) -> None:
    plan = compile_recipe(tiny, ["augment={mix_up: {alpha: 1, of: features}, brightness: {factor: 0.5, of: features}}"])
    assert [change.name for change in plan.feature_changes] == ["mix_up", "brightness"]
    pipeline = build_pipeline(replace(plan, feature_changes=plan.feature_changes[1:]))
    assert pipeline.change_features is not None
    random, labels = np.random.default_rng(0), np.eye(40, dtype=np.float32)
    for shape in ((40, 64), (40, 3, 3, 8)):
        given = random.normal(size=shape).astype(np.float32)
        changed, kept = map(np.asarray, pipeline.change_features(given, labels))
        np.testing.assert_array_equal(kept, labels)
        rows, before = changed.reshape(40, -1), given.reshape(40, -1)
        least, largest = before.min(axis=1), before.max(axis=1)
        np.testing.assert_array_equal(rows.clip(least[:, None], largest[:, None]), rows)
        # The middle half of the range is clipped by no shift.
        parts = (rows - before) / (largest - least)[:, None]
        middle = np.abs(before - ((least + largest) / 2)[:, None]) < 0.001 * (largest - least)[:, None]
        shifts = np.median(parts, axis=1)
        assert 0.4 < np.abs(shifts).max() <= 0.5
        assert np.abs((parts - shifts[:, None])[middle]).max(initial=0) < 1e-2


@pytest.mark.parametrize("name", slow_but({"flip"}, AUGMENTATIONS))
def test_every_augmentation_changes_training_images_only(
    name: str, tiny: Path, set_up: Callable[..., Any], train: Callable[..., Any]
) -> None:
    setup = set_up(compile_recipe(tiny, [f"augment={{{name}: {AUGMENTED[name]}}}"]))
    pixels = setup.dataset.pixels(range(8))
    assert np.abs(np.asarray(setup.pipeline.augment(pixels, np.eye(8, dtype=np.float32))[0]) - pixels).max() > 1
    idle = "phases=[{trainable: head, optimizer: sgd, lr: 1e-9, epochs: 4}]"  # what changes are the images alone
    _, _, (augmented,) = train(f"augment={{{name}: {AUGMENTED[name]}}}", idle)
    _, _, (plain,) = train(idle)
    assert augmented.history["val_loss"] == pytest.approx(plain.history["val_loss"], rel=1e-5)
    assert np.ptp(augmented.history["loss"]) > 10 * np.ptp(plain.history["loss"])
