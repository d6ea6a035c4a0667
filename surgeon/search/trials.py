"""Training many trials behind shared frontiers, phase by phase: what can be is trained together, the rest alone.

What two trials do alike is done once: trials that differ in their last phase share the phases before it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psutil
import tensorflow as tf

from surgeon.data.batches import Examples
from surgeon.errors import SurgeonError
from surgeon.features.frozen import Feed, FrozenFeatures, Setup, set_up
from surgeon.features.linear_probe import fit_linear_probe
from surgeon.model.surgery import build_head, build_network, layer_variables
from surgeon.planning.frontier import phase_frontiers, probe_frontier
from surgeon.results.events import EpochEnded, Event, PhaseResult
from surgeon.results.sweep import TrialPhase
from surgeon.runs.checkpoint import Checkpoints, restore, values_of
from surgeon.search.shared import Candidate, Shared
from surgeon.text import printable
from surgeon.training.fused import Member, most_members, stack_key, train_stack
from surgeon.training.phase import train_phase

if TYPE_CHECKING:
    from collections.abc import Hashable

    from numpy.typing import NDArray

    from surgeon.data.dataset import Dataset
    from surgeon.planning.frontier import Frontier
    from surgeon.recipe.plan import Plan
    from surgeon.runs.checkpoint import Values

_OUT_OF_MEMORY = (MemoryError, tf.errors.ResourceExhaustedError)
_PART_OF_MEMORY = 0.5  # of what is free, for trials that are trained together

History = Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Limits:
    """When training ends before its last epoch.

    Attributes:
        is_over: Whether the time for all trials is over.
        is_hopeless: Told the number of a trial and its history after each epoch of its last phase.
    """

    is_over: Callable[[], bool]
    is_hopeless: Callable[[int, History], bool]


@dataclass(frozen=True, eq=False)
class Course:
    """What trials of one backbone are trained with on one split.

    Attributes:
        shared: What is kept of their frozen layers.
        dataset: The images, with their split.
        limits: What ends trials early. When the time is over, those that were not begun never end.
        starts: The weights of linear probes that heads begin with, by where their features are.
    """

    shared: Shared
    dataset: Dataset
    limits: Limits
    starts: dict[Frontier | int, Values] = field(default_factory=dict)

    def feed(self, candidate: Candidate, frontier: Frontier, split: str) -> Feed:
        """Returns a split in front of a frontier that is shared, and kept."""
        kept = self.shared.of(candidate)[frontier]
        if kept is None:
            raise AssertionError("only what is kept is trained together")
        return Feed(frontier, Examples(kept.gather, self.dataset.labels, self.dataset.part(split)))


@dataclass(frozen=True, eq=False)
class Standing:
    """How far a trial has come.

    Attributes:
        values: Of the variables that its training has changed so far, by name; empty before the first phase.
        phases: Those that are over.
        seconds: What they took; of a step with others its share.
        together: How many were trained in one step in the latest.
        error: Why it failed, if it has.
        is_ended: Whether it was ended early.
    """

    values: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    phases: tuple[TrialPhase, ...] = ()
    seconds: float = 0.0
    together: int = 1
    error: str = ""
    is_ended: bool = False

    @property
    def is_over(self) -> bool:
        """Whether it failed or was ended early."""
        return bool(self.error) or self.is_ended


@dataclass(frozen=True, eq=False)
class Ended:
    """A trial has come to its end: it finished, failed, or was ended."""

    number: int
    standing: Standing


def train_candidates(candidates: Sequence[Candidate], course: Course) -> Generator[Event | Ended, None, None]:
    """Trains trials of one backbone on the training images of a split, and measures its validation images.

    Yields:
        Events, and for each trial where it stands in the end. One that fails does not touch the others.
    """
    standings = {candidate.number: Standing() for candidate in candidates}
    for number in range(1, max(len(candidate.plan.phases) for candidate in candidates) + 1):
        alike: dict[str, list[Candidate]] = {}
        for candidate in candidates:
            if len(candidate.plan.phases) >= number and not standings[candidate.number].is_over:
                alike.setdefault(work_key(candidate.plan.recipe, number), []).append(candidate)
        groups = {group[0].number: group for group in alike.values()}
        for stack in _stacks([group[0] for group in groups.values()], number, course.shared):
            if course.limits.is_over():
                return
            reached = yield from _train_stack(stack, number, standings, course)
            for leader, standing in reached.items():
                for candidate in groups[leader]:
                    standings[candidate.number] = standing
                    if standing.is_over or len(candidate.plan.phases) == number:
                        yield Ended(candidate.number, standing)


def work_key(recipe: Mapping[str, Any], number: int | None = None) -> str:
    """Returns what decides all that the training of a resolved recipe does, up to a phase, from 1, if one is given."""
    left_out = ("name", "description", "evaluate", "expected")
    values = {key: value for key, value in recipe.items() if key not in left_out}
    return json.dumps({**values, "phases": values.get("phases", [])[:number]}, sort_keys=True)


def _stacks(leaders: Sequence[Candidate], number: int, shared: Shared) -> list[list[Candidate]]:
    """Divides trials into those that are trained together in a phase; one that cannot be is alone."""
    groups: dict[Hashable, list[Candidate]] = {}
    for candidate in leaders:
        training, _ = phase_frontiers(candidate.plan, number)
        cut = candidate.plan.backbone.cut
        is_kept = training in candidate.frontiers and shared.of(candidate)[training] is not None
        is_bare = training.layers == (cut,) and cut in shared.bare
        key = stack_key(candidate.plan, number, training) if is_kept and not is_bare else None
        groups.setdefault(candidate.number if key is None else (training, key), []).append(candidate)
    stacks = []
    for group in groups.values():
        most = _most_together(group[0].plan, number) if len(group) > 1 else 1
        stacks += [group[at : at + most] for at in range(0, len(group), most)]
    return stacks


def _most_together(plan: Plan, number: int) -> int:
    training, _ = phase_frontiers(plan, number)
    return most_members(plan, number, training, int(_PART_OF_MEMORY * psutil.virtual_memory().available))


def _train_stack(
    stack: Sequence[Candidate], number: int, standings: Mapping[int, Standing], course: Course
) -> Generator[Event, None, dict[int, Standing]]:
    """Trains one phase of some trials together, or of one alone; what fails together is tried again in halves."""
    begun = {candidate.number: standings[candidate.number] for candidate in stack}
    try:
        if len(stack) > 1:
            return (yield from _train_together(stack, number, begun, course))
        (candidate,) = stack
        ended = yield from _train_alone(candidate, number, begun[candidate.number], course)
        return {candidate.number: ended}
    except Exception as error:  # whatever a network that nobody has tried raises
        if len(stack) == 1:
            return _failed(begun, _reason(error))
    reached: dict[int, Standing] = {}
    for half in (stack[: len(stack) // 2], stack[len(stack) // 2 :]):
        reached |= yield from _train_stack(half, number, standings, course)
    return reached


def _failed(begun: Mapping[int, Standing], reason: str) -> dict[int, Standing]:
    return {
        number: Standing(phases=standing.phases, seconds=standing.seconds, error=reason)
        for number, standing in begun.items()
    }


def _reason(error: Exception) -> str:
    """Returns why a trial failed, in a line."""
    if isinstance(error, SurgeonError):
        return str(error)
    kind = "out of memory" if isinstance(error, _OUT_OF_MEMORY) else type(error).__name__
    return printable(f"{kind}: {str(error).strip().partition(chr(10))[0]}")[:300]


def _train_together(
    stack: Sequence[Candidate], number: int, begun: Mapping[int, Standing], course: Course
) -> Generator[Event, None, dict[int, Standing]]:
    members = []
    first: dict[int, Values] = {}
    for candidate in stack:
        values, plan = begun[candidate.number].values, candidate.plan
        if not values:
            if plan.seed not in first:  # all that the first values of heads of one shape depend on
                first[plan.seed] = _first_values(plan)
            values = {**first[plan.seed], **(yield from _start_at_probe(candidate, course))}
        members.append(Member(plan, values))

    def goes_on(position: int, history: History) -> bool:
        candidate, limits = stack[position], course.limits
        is_last = number == len(candidate.plan.phases)
        return not limits.is_over() and not (is_last and limits.is_hopeless(candidate.number, history))

    training, measuring = phase_frontiers(stack[0].plan, number)
    train, validation = course.feed(stack[0], training, "train"), course.feed(stack[0], measuring, "validation")
    outcomes = yield from train_stack(members, number, train, validation, goes_on)
    reached = {}
    for candidate, outcome in zip(stack, outcomes, strict=True):
        before = begun[candidate.number]
        phases = before.phases
        if outcome.history:
            name = candidate.plan.phases[number - 1].name
            phases += (TrialPhase(name, outcome.best_epoch, outcome.history, outcome.start),)
        reached[candidate.number] = Standing(
            values={} if number == len(candidate.plan.phases) else {**before.values, **outcome.values},
            phases=phases,
            seconds=before.seconds + sum(outcome.history.get("seconds", ())),
            together=len(stack),
            error=outcome.error or "",
            is_ended=outcome.pruned,
        )
    return reached


def _first_values(plan: Plan) -> Values:
    return values_of(layer_variables(build_head(plan), [layer.name for layer in plan.head]))


def _start_at_probe(candidate: Candidate, course: Course) -> Generator[Event, None, Values]:
    """Returns the weights of the layer that begins with those of a linear probe, if one does."""
    plan = candidate.plan
    if plan.probe_layer is None:
        return {}
    frontier = probe_frontier(plan)
    place = candidate.frontiers.get(frontier, candidate.number)
    if place not in course.starts:
        setup = set_up(plan, build_network(plan), course.dataset)
        with ExitStack() as resources:
            features = FrozenFeatures(setup, resources, course.shared.of(candidate))
            yield from features.keep([frontier])
            yield from fit_linear_probe(features)
        course.starts[place] = values_of(layer_variables(setup.network, [plan.probe_layer]))
    return course.starts[place]


def _train_alone(
    candidate: Candidate, number: int, begun: Standing, course: Course
) -> Generator[Event, None, Standing]:
    """Trains one phase of a trial as a run does."""
    plan = candidate.plan
    phase = plan.phases[number - 1]
    setup = set_up(plan, build_network(plan), course.dataset)
    variables = _variables(setup, number)
    before = begun.values or (yield from _start_at_probe(candidate, course))
    restore({path: variables[path] for path in before}, before)
    history: dict[str, tuple[float, ...]] = {}
    result = None
    with ExitStack() as resources:
        features = FrozenFeatures(setup, resources, course.shared.of(candidate))
        frontiers = phase_frontiers(plan, number)
        yield from features.keep(dict.fromkeys(frontiers))
        train, validation = features.feed("train", frontiers[0]), features.feed("validation", frontiers[1])
        checkpoints = resources.enter_context(Checkpoints(None))
        events = resources.enter_context(closing(train_phase(setup, number, train, validation, checkpoints)))
        for event in events:
            yield event
            if isinstance(event, PhaseResult):
                result = event
            elif isinstance(event, EpochEnded):
                figures = {"seconds": event.seconds, **event.figures}
                history = {name: (*history.get(name, ()), value) for name, value in figures.items()}
                is_in_last = number == len(plan.phases) and event.epoch < phase.epochs
                if is_in_last and course.limits.is_hopeless(candidate.number, history):
                    break
            elif course.limits.is_over():
                break  # in the midst of an epoch, which may be long
    trained = TrialPhase(phase.name, result.best_epoch, history, result.start) if result else None
    return Standing(
        values={} if number == len(plan.phases) else values_of(variables),
        phases=(*begun.phases, trained or TrialPhase(phase.name, None, history)) if history else begun.phases,
        seconds=begun.seconds + (result.seconds if result else sum(history.get("seconds", ()))),
        is_ended=result is None,
    )


def _variables(setup: Setup, number: int) -> dict[str, Any]:
    """Returns what phases up to one, from 1, may have changed: the head, trained layers, random generators."""
    changed = {row.name for row in setup.plan.network.head}.union(
        *(phase.trainable for phase in setup.plan.phases[:number]),
        (layer.name for layer in setup.network.layers if len(layer.variables) > len(layer.weights)),
    )
    generators = {f"pipeline {at}": variable for at, variable in enumerate(setup.pipeline.variables)}
    return layer_variables(setup.network, sorted(changed)) | generators
