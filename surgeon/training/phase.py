"""One phase: a fresh optimizer, the phase's layers, its epochs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from surgeon.catalogue.optimizers import OPTIMIZERS, build_optimizer
from surgeon.catalogue.schedules import SCHEDULES
from surgeon.errors import SurgeonError
from surgeon.model.freezing import set_trainable, training_view
from surgeon.model.prediction import build_predictor, predict
from surgeon.results import BatchEnded, EpochEnded, PhaseResult, PhaseStarted, Progress
from surgeon.training.stopping import EarlyStopping

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from surgeon.data.batches import Images
    from surgeon.model.pipeline import Pipeline
    from surgeon.recipe.plan import PhasePlan, Plan

TrainingEvent = PhaseStarted | BatchEnded | EpochEnded | PhaseResult | Progress
Step = Callable[[Any, Any, Any], tuple[Any, Any]]


def train_phase(
    model: Any, plan: Plan, number: int, pipeline: Pipeline, images: Mapping[str, Images]
) -> Generator[TrainingEvent, None, PhaseResult]:
    """Trains phase ``number`` (from 1) of a plan, changing the model's weights in place.

    Args:
        model: The network.
        plan: What to do.
        number: Which phase.
        pipeline: What images go through before the network.
        images: The split ``train`` and, if there is one, ``validation``.

    Raises:
        SurgeonError: If the loss is no longer a finite number.
    """
    phase, train = plan.phases[number - 1], images["train"]
    started = time.perf_counter()
    set_trainable(model, phase)
    steps = math.ceil(len(train) / plan.data.batch_size)
    parameters = sum(math.prod(variable.shape) for variable in model.trainable_variables)
    yield PhaseStarted(phase.name, number, len(plan.phases), phase.epochs, steps, parameters)
    optimizer = _build_optimizer(phase, steps, model)
    loss = _build_loss(plan, phase)
    step = _build_step(model, training_view(model, plan.network, phase), optimizer, loss, pipeline)
    validate = _build_validation(model, plan, loss, pipeline, images.get("validation"))
    class_weights = _class_weights(phase, train, len(plan.classes))
    stopping = EarlyStopping(phase.until, model) if phase.until else None
    history: dict[str, list[float]] = {}
    for epoch in range(1, phase.epochs + 1):
        epoch_started = time.perf_counter()
        order = np.random.default_rng((plan.seed, number, epoch)).permutation(train.positions)
        batches = train.batches(plan.data.batch_size, order)
        figures = yield from _train_epoch(step, batches, class_weights, phase.name, epoch)
        figures["lr"] = float(optimizer.learning_rate)
        figures |= yield from validate()
        for name, value in figures.items():
            history.setdefault(name, []).append(value)
        yield EpochEnded(phase.name, epoch, time.perf_counter() - epoch_started, figures)
        if stopping is not None and stopping.is_over(epoch, figures):
            break
    optimizer.finalize_variable_values(model.trainable_variables)
    result = PhaseResult(
        name=phase.name,
        epochs=epoch,
        seconds=time.perf_counter() - started,
        trainable_parameters=parameters,
        best_epoch=None if stopping is None else stopping.restore(),
        history={name: tuple(values) for name, values in history.items()},
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


def _build_step(model: Any, view: Any, optimizer: Any, loss: Callable[..., Any], pipeline: Pipeline) -> Step:
    """Returns the compiled step from pixels, labels and weights to the loss and the number of right answers."""
    import tensorflow as tf

    variables = model.trainable_variables

    @tf.function(  # type: ignore[untyped-decorator]
        input_signature=[
            tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8),
            tf.TensorSpec((None,), tf.int32),
            tf.TensorSpec((None,), tf.float32),
        ]
    )
    def step(pixels: Any, labels: Any, weights: Any) -> tuple[Any, Any]:
        inputs = pipeline.prepare(pipeline.augment(pixels))
        with tf.GradientTape() as tape:
            outputs = view(inputs)
            value = loss(labels, outputs, weights) + sum(view.losses)
        gradients = tape.gradient(value, [variable.value for variable in variables])
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        right = tf.reduce_sum(tf.cast(tf.argmax(outputs, axis=-1, output_type=tf.int32) == labels, tf.int32))
        return value, right

    return step  # type: ignore[no-any-return]


def _train_epoch(
    step: Step,
    batches: Iterator[tuple[NDArray[np.uint8], NDArray[np.int32]]],
    class_weights: NDArray[np.float32],
    phase: str,
    epoch: int,
) -> Generator[TrainingEvent, None, dict[str, float]]:
    total, right, seen = 0.0, 0, 0
    for number, (pixels, labels) in enumerate(batches, start=1):
        loss, hits = step(pixels, labels, class_weights[labels])
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
    model: Any, plan: Plan, loss: Callable[..., Any], pipeline: Pipeline, images: Images | None
) -> Callable[[], Generator[Progress, None, dict[str, float]]]:
    """Returns the measuring of the validation images; without any it measures nothing."""
    predictor = build_predictor(model, pipeline)

    def validate() -> Generator[Progress, None, dict[str, float]]:
        if images is None:
            return {}
        outputs = yield from predict(predictor, images, plan.data.batch_size, "validate")
        hits = outputs.argmax(axis=-1) == images.labels
        return {"val_loss": float(loss(images.labels, outputs)), "val_accuracy": float(hits.mean())}

    return validate


def _class_weights(phase: PhasePlan, train: Images, classes: int) -> NDArray[np.float32]:
    """Returns a weight a class: n / (classes * n of the class) for ``balanced``, as scikit-learn has it."""
    if phase.class_weight is None:
        return np.ones(classes, np.float32)
    counts = np.bincount(train.labels, minlength=classes)
    return (len(train) / (classes * np.maximum(counts, 1))).astype(np.float32)
