"""Trials of one shape, trained together: one reading of the features and one compiled step for all of them."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from surgeon.catalogue.schedules import SCHEDULES
from surgeon.data.batches import Samples
from surgeon.model.prediction import predict
from surgeon.model.stacked import WEIGHT_DECAY, Stack, build_template, settings_of
from surgeon.planning.frontier import VALUE_BYTES
from surgeon.planning.rates import rate_scales
from surgeon.results.events import Progress
from surgeon.results.subscribers import drive
from surgeon.training.phase import DivergedError, build_loss, check_finite, diverged, extended
from surgeon.training.sampling import class_weights, samples_of_epoch
from surgeon.training.stopping import ending_epoch, is_over

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from surgeon.data.batches import Examples
    from surgeon.features.frozen import Feed
    from surgeon.planning.frontier import Frontier
    from surgeon.recipe.plan import PhasePlan, Plan
    from surgeon.results.events import Event
    from surgeon.runs.checkpoint import Values

GoesOn = Callable[[int, Mapping[str, tuple[float, ...]]], bool]


@dataclass(frozen=True, eq=False)
class Member:
    """A trial that is trained with others.

    Attributes:
        plan: Its own.
        values: Those of all variables of its head, the states of random generators among them, when the phase begins;
            called as ``layer_variables`` calls them.
    """

    plan: Plan
    values: Values


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a phase of a trial came to; see ``PhaseResult``.

    Attributes:
        history: For each figure its value per finished epoch; ``seconds`` is the trial's share of an epoch's.
        best_epoch: The epoch whose weights it ends with, if they were restored; 0 if it ends as it began.
        values: Those of all variables of the head at the end, called so too; none if training diverged.
        start: The figures before the first epoch, where they count for how it ends.
        error: What ``DivergedError`` says if training left the finite numbers.
        pruned: Whether it was ended early by who asked for it.
    """

    history: Mapping[str, tuple[float, ...]]
    best_epoch: int | None
    values: Values
    start: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None
    pruned: bool = False


def stack_key(plan: Plan, number: int, frontier: Frontier) -> Hashable | None:
    """Returns what trials have in common that are trained together in a phase.

    Args:
        plan: Of a trial.
        number: Of the phase, from 1.
        frontier: Where its training begins, if its tensors are kept.

    Returns:
        None for a trial that has to be trained alone.
    """
    phase = plan.phases[number - 1]
    head = {row.name: row for row in plan.network.head}
    behind = [row for row in plan.network.rows if row.name not in frontier.prefix]
    optimizer = {**phase.optimizer.parameters}
    if (
        frontier.is_image
        or len(frontier.layers) != 1
        or any(row.name not in head for row in behind)
        or any(row.trainable or row.fixed for name, row in head.items() if name in frontier.prefix)  # of each trial
        or plan.feature_changes
        or plan.untimed_precision != "float32"  # XLA rounds elsewhere
        or optimizer["use_ema"]
        or phase.average
        or "gradient_accumulation_steps" in optimizer
        or SCHEDULES[phase.lr.name].rate_after  # the rates of a stack are known before its first step
        or any(scale != 1.0 for scale in rate_scales(plan.network, phase).values())
        # Keras reads its momentum after it has changed it, but only if that is a variable and not a stack's value.
        or phase.optimizer.name == "schedule_free_adamw"
    ):
        return None
    if optimizer.get(WEIGHT_DECAY) is not None:
        optimizer[WEIGHT_DECAY] = 0.0
    layers = [(layer.name, layer.kind, _without_settings(layer.parameters)) for layer in plan.head]
    alike: list[object] = [
        asdict(plan.data), asdict(plan.backbone), plan.features_dtype, plan.engine, plan.deterministic, plan.classes,
        [asdict(change) for change in plan.augment], plan.views, plan.seed if plan.views else None,
        layers, plan.loss_from_logits, phase.trainable, phase.optimizer.name, optimizer,
        asdict(phase.loss), phase.class_weight, phase.sample,
    ]  # fmt: skip
    return number, frontier, json.dumps(alike, sort_keys=True, default=str)


def _without_settings(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what trials of a stack have in common of a layer's parameters."""
    alike = {name: value for name, value in parameters.items() if name != "l2"}
    if "rate" in alike:
        alike["rate"] = alike["rate"] > 0  # a dropout of 0 has no random generator
    return alike


def most_members(plan: Plan, number: int, frontier: Frontier, bytes_free: int) -> int:
    """Returns how many trials of one shape can be trained together within some memory, at least 1.

    Args:
        plan: Of one of them.
        number: Of the phase, from 1.
        frontier: That of their ``stack_key``.
        bytes_free: That may be taken.
    """
    template = build_template(plan, number, frontier, settings_of(plan, number))
    state = _size(template.changing) + _size(template.fixed)
    batch = plan.data.batch_size * frontier.values * VALUE_BYTES
    # Weights are also what a trial begins with, and what it ends with or was best with.
    each = state + _size(template.trained) + 2 * _size(template.weights.values()) + 2 * batch
    return max(1, bytes_free // each)


def _size(variables: Iterable[Any]) -> int:
    return VALUE_BYTES * sum(int(math.prod(variable.shape)) for variable in variables)


def train_stack(
    members: Sequence[Member], number: int, train: Feed, validation: Feed | None, goes_on: GoesOn
) -> Generator[Event, None, list[Outcome]]:
    """Trains a phase of some trials together; the figures of each are those of the trial alone, to rounding.

    Args:
        members: Trials with the same ``stack_key``.
        number: Of the phase, from 1.
        train: The training images, kept at the frontier that the key was made with.
        validation: The validation images, kept there too, if there are any.
        goes_on: Is asked with the position of a member and its history after each epoch, unless its phase is over
            then anyway; says False to end it there.

    Returns:
        What became of each member.
    """
    plan = members[0].plan
    steps = math.ceil(len(train.examples) / plan.data.batch_size)
    trials = [_Trial(at, member, number) for at, member in enumerate(members)]
    phase, total = trials[0].phase, steps * max(trial.phase.epochs for trial in trials)
    rates = _rates([trial.phase for trial in trials], steps)
    per_class = class_weights(phase, train.examples, plan.classes)
    stack, rows = _build_stack(trials, train.frontier), list(trials)  # which trial is in which row of the stack
    if validation and any(trial.phase.until and trial.phase.until.validates for trial in trials):
        for trial, figures in zip(trials, _measure(rows, stack, validation), strict=True):
            trial.start = figures if trial.phase.until and trial.phase.until.validates else {}
    task, epoch = f"train {len(trials)} trials together, phase {phase.name!r}", 0
    while active := [trial for trial in rows if trial.outcome is None]:
        if 2 * len(active) <= len(rows):  # so a step is compiled anew log2(members) times at the most
            stack.keep([rows.index(trial) for trial in active])
            rows = active
        epoch, started = epoch + 1, time.perf_counter()
        course = _Course(epoch, rates[steps * (epoch - 1) : steps * epoch + 1, [trial.at for trial in rows]])
        for order, tensor, labels in _batches(rows, train.examples, epoch):
            losses, right = stack.train(course.rates[course.steps], order, tensor, labels, per_class[labels])
            course.add(losses, right, labels.shape[1])
            yield Progress(task, steps * (epoch - 1) + course.steps, total, "steps")
        measured = _measure(rows, stack, validation) if validation else [{}] * len(rows)
        finite, seconds = stack.finite(), (time.perf_counter() - started) / len(active)
        for row, trial in enumerate(rows):
            if trial.outcome is None:
                try:
                    figures = course.figures(trial.phase, row) | measured[row]
                    check_finite(trial.phase, epoch, figures, {} if finite[row] else stack.paths(row))
                except DivergedError as error:
                    trial.outcome = Outcome(trial.history, None, {}, error=error.message)
                else:
                    trial.advance({"seconds": seconds, **figures}, stack, row, goes_on)
    yield Progress(task, total, total, "steps")
    return [trial.outcome for trial in trials if trial.outcome]


class _Trial:
    """A member on its way through a phase; once it has ended there is an outcome."""

    def __init__(self, at: int, member: Member, number: int) -> None:
        self.at, self.plan, self.begun, self.number = at, member.plan, member.values, number
        self.phase = member.plan.phases[number - 1]
        self.loss = build_loss(self.plan, self.phase)
        self.start: Mapping[str, float] = {}
        self.history: dict[str, tuple[float, ...]] = {}
        self.best: Values = {}
        self.outcome: Outcome | None = None

    def advance(self, figures: Mapping[str, float], stack: Stack, row: int, goes_on: GoesOn) -> None:
        """Notes the figures of an epoch, after which the trial may end."""
        self.history, until = extended(self.history, figures), self.phase.until
        epoch, ending = len(self.history["loss"]), ending_epoch(until, self.start, self.history)
        if ending == epoch:
            self.best = stack.weights(row)
        over = epoch == self.phase.epochs or is_over(until, self.start, self.history)
        if over or not goes_on(self.at, self.history):
            changed = {None: stack.weights(row), 0: {}}.get(ending, self.best)
            values = {**self.begun, **changed, **stack.generators(row)}
            self.outcome = Outcome(self.history, ending, values, self.start, pruned=not over)


class _Course:
    """What the steps of an epoch came to for each row of a stack.

    Attributes:
        epoch: Which one, from 1.
        rates: The learning rates of each step and of the one after the last, of shape (steps + 1, rows).
    """

    def __init__(self, epoch: int, rates: NDArray[np.float32]) -> None:
        self.epoch, self.rates = epoch, rates
        self._losses: list[Any] = []
        self._right: list[Any] = []
        self._sizes: list[int] = []

    @property
    def steps(self) -> int:
        """How many were made."""
        return len(self._sizes)

    def add(self, losses: Any, right: Any, size: int) -> None:
        """Notes a step on batches of ``size`` images; nobody has to wait for its figures."""
        self._losses.append(losses)
        self._right.append(right)
        self._sizes.append(size)

    def figures(self, phase: PhasePlan, row: int) -> dict[str, float]:
        """Returns the figures of a row.

        Raises:
            DivergedError: If a loss is not a finite number.
        """
        losses, right = (table[:, row] for table in self._tables)
        for step, loss in enumerate(losses.tolist(), start=1):
            if not math.isfinite(loss):
                raise diverged(phase, self.epoch, step, loss, float(self.rates[step, row]))
        return {
            "loss": float(np.average(losses, weights=self._sizes)),
            "accuracy": int(right.sum()) / sum(self._sizes),
            "lr": float(self.rates[-1, row]),
        }

    @cached_property
    def _tables(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The losses and the numbers of right answers, each of shape (steps, rows)."""
        return np.array(self._losses, np.float64), np.array(self._right, np.int64)


def _build_stack(trials: Sequence[_Trial], frontier: Frontier) -> Stack:
    first = trials[0]
    settings = [settings_of(trial.plan, first.number) for trial in trials]
    names = dict.fromkeys(name for each in settings for name in each)
    template = build_template(first.plan, first.number, frontier, names)
    return Stack(template, first.loss, [trial.begun for trial in trials], settings)


def _rates(phases: Sequence[PhasePlan], steps: int) -> NDArray[np.float32]:
    """Returns the learning rate of each phase at each step and after the last one, of shape (steps + 1, phases)."""
    schedules = [SCHEDULES[phase.lr.name].build(phase.lr.parameters, steps, phase.epochs) for phase in phases]

    @tf.function  # type: ignore[untyped-decorator]
    def evaluate(numbers: Any) -> Any:
        # A schedule may decide by the number of the step, so it is given one at a time.
        return tf.vectorized_map(
            lambda step: tf.stack([tf.cast(one(step) if callable(one) else one, tf.float32) for one in schedules]),
            numbers,
        )

    return evaluate(tf.range(steps * max(phase.epochs for phase in phases) + 1, dtype=tf.int64)).numpy()  # type: ignore[no-any-return]


def _batches(
    trials: Sequence[_Trial], examples: Examples, epoch: int
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]]:
    """Yields what trials are trained on, step by step; those with one seed are trained on the same batches.

    Yields:
        Which batch is each trial's, the batches' tensors, of shape (batches, images, ...), and their class numbers.
    """
    plans = {trial.plan.seed: trial.plan for trial in trials}
    order = np.array([list(plans).index(trial.plan.seed) for trial in trials], np.int32)
    size = trials[0].plan.data.batch_size
    drawn = [samples_of_epoch(plan, trials[0].number, examples, epoch) for plan in plans.values()]
    steps = [[one[at : at + size] for one in drawn] for at in range(0, len(examples), size)]
    every = [one for step in steps for one in step]
    samples = Samples(*(np.concatenate([getattr(one, name) for one in every]) for name in ("images", "views")))
    for (tensor,), labels in examples.batches(size * len(plans), samples):
        yield order, _apart(tensor, len(plans)), _apart(labels, len(plans))


def _apart(rows: NDArray[Any], batches: int) -> NDArray[Any]:
    return rows.reshape(batches, -1, *rows.shape[1:])


def _measure(trials: Sequence[_Trial], stack: Stack, validation: Feed) -> list[dict[str, float]]:
    """Returns the figures of each row of the stack on the validation images."""
    examples = validation.examples
    outputs = drive(predict(stack.predict, examples, trials[0].plan.data.batch_size, "validate"))
    hits = (outputs.argmax(axis=-1) == examples.labels[:, None]).mean(axis=0)
    losses = stack.losses(examples.labels, outputs)
    return [{"val_loss": loss, "val_accuracy": hit} for loss, hit in zip(losses.tolist(), hits.tolist(), strict=True)]
