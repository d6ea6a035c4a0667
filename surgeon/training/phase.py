"""One phase: a fresh optimizer, the phase's layers, its epochs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from surgeon.catalogue.losses import LOSSES
from surgeon.catalogue.schedules import SCHEDULES
from surgeon.errors import SurgeonError
from surgeon.model.anchor import build_penalty
from surgeon.model.folding import gradients_let_go
from surgeon.model.freezing import set_trainable, training_view
from surgeon.model.precision import computing_in
from surgeon.model.prediction import build_predictor, predict, signature
from surgeon.model.rates import build_optimizer
from surgeon.model.surgery import part_of
from surgeon.planning.frontier import find_frontier
from surgeon.planning.rates import rate_scales
from surgeon.results.events import BatchEnded, EpochEnded, PhaseResult, PhaseStarted, Progress
from surgeon.runs.checkpoint import Checkpoint, restore, values_of
from surgeon.training.audit import Before, begin_audit, end_audit
from surgeon.training.sampling import class_weights, samples_of_epoch
from surgeon.training.stopping import ending_epoch, is_over

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from surgeon.data.batches import Examples
    from surgeon.features.frozen import Feed, Setup
    from surgeon.planning.frontier import Frontier
    from surgeon.recipe.plan import PhasePlan, Plan
    from surgeon.runs.checkpoint import Checkpoints, Values

TrainingEvent = PhaseStarted | BatchEnded | EpochEnded | PhaseResult | Progress
Step = Callable[[Any, Any, Any], tuple[Any, Any]]
Loss = Callable[..., Any]

_CALMER = "lower the phase's lr, or set clipnorm in its optimizer"


class DivergedError(SurgeonError):
    """Training left the finite numbers."""


@dataclass(frozen=True, eq=False)
class Training:
    """A phase that is ready to be trained.

    Attributes:
        number: Which phase, from 1.
        variables: Those that the phase trains.
        weights: Those of all layers that this phase and those before it train, by path.
        state: What else a phase goes on from: the optimizer's variables, the states of random generators.
    """

    plan: Plan
    number: int
    examples: Examples
    optimizer: Any
    step: Step
    validate: Callable[[], Generator[Progress, None, dict[str, float]]] | None
    variables: Sequence[Any]
    weights: Mapping[str, Any]
    state: Mapping[str, Any]

    @property
    def phase(self) -> PhasePlan:
        """What the recipe says of the phase."""
        return self.plan.phases[self.number - 1]


def train_phase(
    setup: Setup,
    number: int,
    train: Feed,
    validation: Feed | None,
    checkpoints: Checkpoints,
    finished: tuple[PhaseResult, ...] = (),
) -> Generator[TrainingEvent, None, PhaseResult]:
    """Trains a phase of a plan, changing the network's weights in place.

    If the latest checkpoint is of this phase, training goes on from there.

    Args:
        setup: What the run works with.
        number: Which phase, from 1.
        train: The training images.
        validation: The validation images, if there are any.
        checkpoints: Get one per epoch.
        finished: The phases before this one, for the checkpoints of a run that may be taken up.

    Raises:
        DivergedError: If a loss or a weight is no longer a finite number.
    """
    plan, network = setup.plan, setup.network
    phase = plan.phases[number - 1]
    started = time.perf_counter()
    set_trainable(network, phase)
    before = begin_audit(network, plan.network, phase)
    steps = math.ceil(len(train.examples) / plan.data.batch_size)
    parameters = sum(math.prod(variable.shape) for variable in network.trainable_variables)
    yield PhaseStarted(phase.name, number, len(plan.phases), phase.epochs, steps, parameters)
    training = prepare(setup, number, train, validation)
    tracing_seconds = time.perf_counter() - started
    if latest := checkpoints.of_phase(number):
        begun, before = latest, replace(before, digests=latest.digests)
        restore(training.weights, latest.weights)
        restore(training.state, latest.state)
    else:
        begun = yield from _begin(training, finished, tracing_seconds, before)
    end = yield from _train_epochs(training, begun, checkpoints)
    if end.best:
        restore(training.weights, end.best)
    best = ending_epoch(phase.until, end.start, end.history)
    result = PhaseResult(
        name=phase.name,
        epochs=end.epoch,
        seconds=end.seconds,
        tracing_seconds=tracing_seconds,
        trainable_parameters=parameters,
        best_epoch=best,
        history=end.history,
        audit=end_audit(network, before if best != 0 else replace(before, trained=frozenset()), phase),
        start=end.start,
        precision=end.precision,
    )
    yield result
    return result


def _begin(
    training: Training, finished: tuple[PhaseResult, ...], seconds: float, before: Before
) -> Generator[Progress, None, Checkpoint]:
    """Returns where a phase stands before its first epoch; what it begins with is measured if that counts."""
    until, weights = training.phase.until, values_of(training.weights)
    start = (yield from training.validate()) if training.validate and until and until.validates else {}
    return Checkpoint(
        finished=finished,
        start=start,
        history={},
        seconds=seconds,
        digests=before.digests,
        weights=weights,
        best={},
        begun=weights if start or training.phase.average else {},
        state={},
        precision=training.plan.untimed_precision,
    )


def trained_weights(setup: Setup, number: int) -> dict[str, Any]:
    """Returns the weights of all layers that phases up to ``number``, from 1, train; by path."""
    trained = {name for phase in setup.plan.phases[:number] for name in phase.trainable}
    layers = (layer for layer in setup.network.layers if layer.name in trained)
    return {weight.path: weight for layer in layers for weight in layer.weights}


def prepare(setup: Setup, number: int, train: Feed, validation: Feed | None) -> Training:
    """Builds and compiles what a phase needs; ``set_trainable`` has been called for it."""
    plan, network = setup.plan, setup.network
    phase = plan.phases[number - 1]
    steps = math.ceil(len(train.examples) / plan.data.batch_size)
    optimizer = _build_optimizer(plan, phase, steps, network)
    loss = build_loss(plan, phase)
    with computing_in(network, plan.untimed_precision), gradients_let_go():
        step = _build_step(setup, phase, optimizer, loss, train.frontier)
        validate = _build_validation(setup, loss, validation) if validation else None
    weights = {id(weight) for weight in network.weights}
    generators = [variable for variable in network.variables if id(variable) not in weights]
    state = [*optimizer.variables, *generators, *setup.pipeline.variables]
    return Training(
        plan=plan,
        number=number,
        examples=train.examples,
        optimizer=optimizer,
        step=step,
        validate=validate,
        variables=network.trainable_variables,
        weights=trained_weights(setup, number),
        state={str(at): variable for at, variable in enumerate(state)},
    )


def _train_epochs(
    training: Training, latest: Checkpoint, checkpoints: Checkpoints
) -> Generator[TrainingEvent, None, Checkpoint]:
    """Trains from a checkpoint to the end of its phase; returns the last one."""
    phase, started = training.phase, time.perf_counter() - latest.seconds
    per_class = class_weights(phase, training.examples, training.plan.classes)
    while latest.epoch < phase.epochs and not is_over(phase.until, latest.start, latest.history):
        epoch, epoch_started = latest.epoch + 1, time.perf_counter()
        if rate_after := SCHEDULES[phase.lr.name].rate_after:
            training.optimizer.learning_rate = rate_after(phase.lr.parameters, latest.history)
        figures = yield from _train_epoch(training, epoch, per_class)
        figures["lr"] = float(training.optimizer.learning_rate)
        weights = values_of(training.weights)
        with _as_ended(training, weights, latest.begun) as ended:
            if training.validate is not None:
                figures |= yield from training.validate()
        seconds = time.perf_counter() - epoch_started
        check_finite(phase, epoch, figures, weights)
        history = extended(latest.history, {"seconds": seconds, **figures})
        latest = replace(
            latest,
            history=history,
            seconds=time.perf_counter() - started,
            weights=weights,
            best=_best(ending_epoch(phase.until, latest.start, history), epoch, latest, ended, weights),
            state=values_of(training.state),
        )
        checkpoints.add(latest)
        yield EpochEnded(phase.name, epoch, seconds, figures)
    return latest


def _best(ending: int | None, epoch: int, latest: Checkpoint, ended: Values, weights: Values) -> Values:
    """Returns the weights that a phase would end with after an epoch, if they are not ``weights``."""
    if ending is None:
        return {} if ended is weights else ended
    if ending == 0:
        return latest.begun
    return ended if ending == epoch else latest.best


def extended(history: Mapping[str, tuple[float, ...]], figures: Mapping[str, float]) -> dict[str, tuple[float, ...]]:
    """Returns a history with one more epoch."""
    return {name: (*history.get(name, ()), value) for name, value in figures.items()}


@contextmanager
def _as_ended(training: Training, weights: Values, begun: Values) -> Iterator[Values]:
    """Gives the network, for a while, the weights that the phase would end with now, and gives their values.

    An optimizer may average the weights over its steps (``use_ema``), and the phase may average these with ``begun``.
    Then the average is what is measured and kept, while training goes on from ``weights``, those of the last step.
    """
    is_moving, average = training.phase.optimizer.parameters["use_ema"], training.phase.average
    if not is_moving and average is None:
        yield weights
        return
    if is_moving:
        training.optimizer.finalize_variable_values(training.variables)
    ended = values_of(training.weights) if is_moving else weights
    if average is not None:
        ended = {path: begun[path] + average["alpha"] * (value - begun[path]) for path, value in ended.items()}
        restore(training.weights, ended)
    try:
        yield ended
    finally:
        restore(training.weights, weights)


def _build_optimizer(plan: Plan, phase: PhasePlan, steps_per_epoch: int, model: Any) -> Any:
    schedule = SCHEDULES[phase.lr.name].build(phase.lr.parameters, steps_per_epoch, phase.epochs)
    of_layer = rate_scales(plan.network, phase)
    of_variable = {id(one): of_layer[layer.name] for layer in model.layers for one in layer.trainable_variables}
    variables = model.trainable_variables
    return build_optimizer(phase.optimizer, schedule, variables, [of_variable[id(one)] for one in variables])


def build_loss(plan: Plan, phase: PhasePlan) -> Loss:
    """Returns the mean loss of labels and outputs, weighted by ``sample_weight``.

    Labels are class numbers of shape (batch,), or what part of an image each class is, of shape (batch, classes). They
    are smoothed as Keras does it, by a part that may be a tensor; by default the phase's.
    """
    mean = LOSSES[phase.loss.name].build(phase.loss.parameters, plan.loss_from_logits)
    classes = len(plan.classes)

    def loss(labels: Any, outputs: Any, sample_weight: Any = None, smoothing: Any = phase.label_smoothing) -> Any:
        parts = labels if len(labels.shape) == 2 else keras.ops.one_hot(labels, classes)
        return mean(parts * (1.0 - smoothing) + smoothing / classes, outputs, sample_weight=sample_weight)

    return loss


def _build_step(setup: Setup, phase: PhasePlan, optimizer: Any, loss: Loss, frontier: Frontier) -> Step:
    """Returns the compiled step from tensors, labels and weights to the loss and the number of right answers."""
    differentiate, inputs = build_gradient(setup, phase, loss, frontier)
    variables = setup.network.trainable_variables

    @tf.function(input_signature=inputs)  # type: ignore[untyped-decorator]
    def step(tensors: Any, labels: Any, weights: Any) -> tuple[Any, Any]:
        value, right, gradients = differentiate(tensors, labels, weights)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return value, right

    return step.get_concrete_function()  # type: ignore[no-any-return]


def build_gradient(
    setup: Setup, phase: PhasePlan, loss: Loss, frontier: Frontier
) -> tuple[Callable[[Any, Any, Any], tuple[Any, Any, Sequence[Any]]], tuple[Any, ...]]:
    """Returns the function from tensors, labels and weights to loss, right answers and gradients, and its signature.

    The gradients are those of the network's trainable variables, in their order. A mixed image is of the class that has
    the larger part of it.
    """
    plan, pipeline, variables = setup.plan, setup.pipeline, setup.network.trainable_variables
    whole = part_of(setup.network, frontier.layers, ())
    # Features are changed where they would be kept, even if they are not.
    changed = find_frontier(plan.network, phase.trainable) if pipeline.change_features else frontier
    before = part_of(setup.network, frontier.layers, changed.layers) if changed.layers != frontier.layers else None
    part = training_view(part_of(setup.network, changed.layers, ()), plan.network, phase)
    distance = build_penalty(setup.network, plan, phase, setup.anchors)

    def differentiate(tensors: Any, labels: Any, weights: Any) -> tuple[Any, Any, Sequence[Any]]:
        one_hot = tf.one_hot(labels, len(plan.classes))
        # What each part of a mixed image counts is the weight of its class.
        rows = tf.concat([one_hot, one_hot * weights[:, None]], axis=1)
        taken = list(tensors)
        if frontier.is_image:
            (pixels,) = tensors
            if not plan.views:  # which were changed before they came here
                pixels, rows = pipeline.augment(pixels, rows)
            taken = pipeline.prepare(pixels)
        if pipeline.change_features:
            taken, rows = pipeline.change_features(before(taken, training=False) if before else taken, rows)
        parts, counted = tf.split(rows, 2, axis=1)
        weights = tf.reduce_sum(counted, axis=1)
        counted /= weights[:, None]
        with tf.GradientTape() as tape:
            outputs = part(taken)
            penalties = sum(tf.cast(penalty, tf.float32) for penalty in part.losses)
            value = loss(counted, outputs, weights) + penalties + distance()
        right = tf.argmax(outputs, axis=-1) == tf.argmax(parts, axis=-1)
        gradients = tape.gradient(value, [variable.value for variable in variables])
        return value, tf.reduce_sum(tf.cast(right, tf.int32)), gradients

    inputs = signature(whole, is_image=frontier.is_image)
    return differentiate, (inputs, tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None,), tf.float32))


def _train_epoch(
    training: Training, epoch: int, per_class: NDArray[np.float32]
) -> Generator[TrainingEvent, None, dict[str, float]]:
    plan, phase, examples = training.plan, training.phase, training.examples
    samples = samples_of_epoch(plan, training.number, examples, epoch)
    total, right, seen = 0.0, 0, 0
    steps = math.ceil(len(samples) / plan.data.batch_size)
    for number, (tensors, labels) in enumerate(examples.batches(plan.data.batch_size, samples), start=1):
        loss, hits = training.step(tensors, labels, per_class[labels])
        if not math.isfinite(loss):
            raise diverged(phase, epoch, number, float(loss), float(training.optimizer.learning_rate))
        seen += len(labels)
        total += float(loss) * len(labels)
        right += int(hits)
        yield BatchEnded(phase.name, epoch, number, steps, total / seen, right / seen)
    return {"loss": total / seen, "accuracy": right / seen}


def diverged(phase: PhasePlan, epoch: int, step: int, loss: float, lr: float) -> DivergedError:
    """Returns the error about a loss that is not a finite number."""
    return DivergedError(f"phase {phase.name!r}, epoch {epoch}, step {step}: the loss is {loss} at lr {lr:g}", _CALMER)


def check_finite(phase: PhasePlan, epoch: int, figures: Mapping[str, float], weights: Values) -> None:
    """Raises DivergedError if the last step of an epoch broke the network, which no loss of a step tells."""
    broken = [name for name, value in figures.items() if not math.isfinite(value)]
    broken += [path for path, values in weights.items() if not np.isfinite(values).all()]
    if broken:
        raise DivergedError(
            f"phase {phase.name!r}, epoch {epoch}: {broken[0]} is not a finite number at lr {figures['lr']:g}", _CALMER
        )


def _build_validation(
    setup: Setup, loss: Loss, validation: Feed
) -> Callable[[], Generator[Progress, None, dict[str, float]]]:
    """Returns the measuring of the validation images."""
    examples = validation.examples
    part = part_of(setup.network, validation.frontier.layers, ())
    predictor = build_predictor(part, validation.frontier, setup.pipeline)

    def validate() -> Generator[Progress, None, dict[str, float]]:
        outputs = yield from predict(predictor, examples, setup.plan.data.batch_size, "validate")
        hits = outputs.argmax(axis=-1) == examples.labels
        return {"val_loss": float(loss(examples.labels, outputs)), "val_accuracy": float(hits.mean())}

    return validate
