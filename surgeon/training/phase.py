"""One phase: a fresh optimizer, the phase's layers, its epochs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from surgeon.catalogue.optimizers import OPTIMIZERS, build_optimizer
from surgeon.catalogue.schedules import SCHEDULES
from surgeon.errors import SurgeonError
from surgeon.model.freezing import set_trainable, training_view
from surgeon.model.precision import computing_in
from surgeon.model.prediction import build_predictor, predict, signature
from surgeon.model.surgery import part_of
from surgeon.results import BatchEnded, EpochEnded, PhaseResult, PhaseStarted, Progress
from surgeon.training.audit import begin_audit, end_audit
from surgeon.training.stopping import EarlyStopping

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from surgeon.data.batches import Examples, Tensors
    from surgeon.model.frontier import Frontier
    from surgeon.recipe.plan import PhasePlan, Plan
    from surgeon.training.features import Feed, Setup

TrainingEvent = PhaseStarted | BatchEnded | EpochEnded | PhaseResult | Progress
Step = Callable[[Any, Any, Any], tuple[Any, Any]]


def train_phase(
    setup: Setup, number: int, train: Feed, validation: Feed | None
) -> Generator[TrainingEvent, None, PhaseResult]:
    """Trains phase ``number`` (from 1) of a plan, changing the network's weights in place.

    Args:
        setup: What the run works with.
        number: Which phase.
        train: The training images.
        validation: The validation images, if there are any.

    Raises:
        SurgeonError: If the loss is no longer a finite number.
    """
    plan, network, examples = setup.plan, setup.network, train.examples
    phase = plan.phases[number - 1]
    started = time.perf_counter()
    set_trainable(network, phase)
    before = begin_audit(network, plan.network, phase)
    steps = math.ceil(len(examples) / plan.data.batch_size)
    parameters = sum(math.prod(variable.shape) for variable in network.trainable_variables)
    yield PhaseStarted(phase.name, number, len(plan.phases), phase.epochs, steps, parameters)
    optimizer = _build_optimizer(phase, steps, network)
    loss = _build_loss(plan, phase)
    with computing_in(network, plan.precision):
        step = _build_step(setup, phase, optimizer, loss, train.frontier)
        validate = _build_validation(setup, loss, validation) if validation else None
    tracing_seconds = time.perf_counter() - started
    class_weights = _class_weights(phase, examples, len(plan.classes))
    stopping = EarlyStopping(phase.until, network) if phase.until else None
    history: dict[str, list[float]] = {}
    for epoch in range(1, phase.epochs + 1):
        epoch_started = time.perf_counter()
        random = np.random.default_rng((plan.seed, number, epoch))
        order = random.permutation(examples.positions)
        if plan.views:
            order += len(examples.numbers) * random.integers(1, plan.views + 1, len(order))
        batches = examples.batches(plan.data.batch_size, order)
        figures = yield from _train_epoch(step, batches, class_weights, phase.name, epoch)
        figures["lr"] = float(optimizer.learning_rate)
        if validate is not None:
            figures |= yield from validate()
        for name, value in figures.items():
            history.setdefault(name, []).append(value)
        yield EpochEnded(phase.name, epoch, time.perf_counter() - epoch_started, figures)
        if stopping is not None and stopping.is_over(epoch, figures):
            break
    optimizer.finalize_variable_values(network.trainable_variables)
    result = PhaseResult(
        name=phase.name,
        epochs=epoch,
        seconds=time.perf_counter() - started,
        tracing_seconds=tracing_seconds,
        trainable_parameters=parameters,
        best_epoch=None if stopping is None else stopping.restore(),
        history={name: tuple(values) for name, values in history.items()},
        audit=end_audit(network, before, phase),
    )
    yield result
    return result


def _build_optimizer(phase: PhasePlan, steps_per_epoch: int, model: Any) -> Any:
    schedule = SCHEDULES[phase.lr.name].build(phase.lr.parameters, steps_per_epoch, phase.epochs)
    optimizer = build_optimizer(OPTIMIZERS[phase.optimizer.name], phase.optimizer.parameters, schedule)
    optimizer.build(model.trainable_variables)
    return optimizer


def _build_loss(plan: Plan, phase: PhasePlan) -> Callable[..., Any]:
    """Returns the mean cross-entropy of class numbers and outputs, weighted by ``sample_weight``."""
    import keras

    entropy = keras.losses.CategoricalCrossentropy(
        from_logits=plan.loss_from_logits, label_smoothing=phase.label_smoothing
    )

    def loss(labels: Any, outputs: Any, sample_weight: Any = None) -> Any:
        return entropy(keras.ops.one_hot(labels, len(plan.classes)), outputs, sample_weight=sample_weight)

    return loss


def _build_step(setup: Setup, phase: PhasePlan, optimizer: Any, loss: Callable[..., Any], frontier: Frontier) -> Step:
    """Returns the compiled step from tensors, labels and weights to the loss and the number of right answers."""
    import tensorflow as tf

    plan, pipeline, variables = setup.plan, setup.pipeline, setup.network.trainable_variables
    part = training_view(part_of(setup.network, frontier.layers, ()), plan.network, phase)

    inputs = (signature(part, frontier), tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None,), tf.float32))

    @tf.function(input_signature=inputs)  # type: ignore[untyped-decorator]
    def step(tensors: Any, labels: Any, weights: Any) -> tuple[Any, Any]:
        if frontier.is_image:
            # Views were changed before they came here.
            taken = pipeline.prepare(tensors[0] if plan.views else pipeline.augment(tensors[0]))
        else:
            taken = list(tensors)
        with tf.GradientTape() as tape:
            outputs = part(taken)
            value = loss(labels, outputs, weights) + sum(tf.cast(penalty, tf.float32) for penalty in part.losses)
        gradients = tape.gradient(value, [variable.value for variable in variables])
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        right = tf.reduce_sum(tf.cast(tf.argmax(outputs, axis=-1, output_type=tf.int32) == labels, tf.int32))
        return value, right

    return step.get_concrete_function()  # type: ignore[no-any-return]


def _train_epoch(
    step: Step,
    batches: Iterator[tuple[Tensors, NDArray[np.int32]]],
    class_weights: NDArray[np.float32],
    phase: str,
    epoch: int,
) -> Generator[TrainingEvent, None, dict[str, float]]:
    total, right, seen = 0.0, 0, 0
    for number, (tensors, labels) in enumerate(batches, start=1):
        loss, hits = step(tensors, labels, class_weights[labels])
        if not math.isfinite(loss):
            raise SurgeonError(
                f"phase {phase!r}, epoch {epoch}, step {number}: the loss is {float(loss)}",
                "lower the phase's lr, or set clipnorm in its optimizer",
            )
        seen += len(labels)
        total += float(loss) * len(labels)
        right += int(hits)
        yield BatchEnded(phase, epoch, number, total / seen, right / seen)
    return {"loss": total / seen, "accuracy": right / seen}


def _build_validation(
    setup: Setup, loss: Callable[..., Any], validation: Feed
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


def _class_weights(phase: PhasePlan, train: Examples, classes: int) -> NDArray[np.float32]:
    """Returns a weight a class: n / (classes * n of the class) for ``balanced``, as scikit-learn has it."""
    if phase.class_weight is None:
        return np.ones(classes, np.float32)
    counts = np.bincount(train.labels, minlength=classes)
    return (len(train) / (classes * np.maximum(counts, 1))).astype(np.float32)
