"""The optimizers of Keras, each with its own parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from surgeon.catalogue.entry import (
    Entry,
    Misfit,
    Parameters,
    PhaseLength,
    Schema,
    boolean,
    integer,
    number,
    table,
)
from surgeon.errors import SurgeonError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, kw_only=True)
class OptimizerSpec(Entry):
    """An optimizer; ``keras_name`` is its class in ``keras.optimizers``."""

    keras_name: str

    def misfits(self, parameters: Parameters, phase: PhaseLength) -> Iterator[Misfit]:
        """Yields what cannot act in a phase of that length, or beside the optimizer's other parameters."""
        clips = [name for name in _CLIPS if name in parameters]
        for name in clips[1:]:
            yield Misfit(name, f"{clips[0]!r} is given too, but only one way of clipping can apply", "keep one of them")
        default, momentum = self.parameters["ema_momentum"]["default"], parameters["ema_momentum"]
        if not parameters["use_ema"] and momentum != default:
            yield Misfit("ema_momentum", "no average of the weights is kept", "add use_ema: true, or leave it out")
        if parameters["use_ema"] and momentum == 1:
            yield Misfit("ema_momentum", "with a momentum of 1 the average never moves", f"the default is {default:g}")
        asks_for_nesterov = parameters.get("nesterov") and not self.parameters["nesterov"]["default"]
        if asks_for_nesterov and not parameters["momentum"]:
            yield Misfit("nesterov", "it has no effect without momentum", "give momentum: 0.9, or leave it out")
        if phase.steps is None:
            return
        accumulated, warmup = parameters.get("gradient_accumulation_steps", 1), parameters.get("warmup_steps", 0)
        if accumulated > phase.steps:
            message = f"an update takes {accumulated:,} steps, more than a phase of {phase} has: no weight would change"
            hint = "accumulate fewer, lower data.batch_size, or train for more epochs"
            yield Misfit("gradient_accumulation_steps", message, hint)
        elif warmup > phase.steps // accumulated:
            message = f"a warm-up of {warmup:,} updates in a phase of {phase}: the learning rate is never reached"
            yield Misfit("warmup_steps", message, "warm up for fewer, or train for more epochs")


def optimizer_class(spec: OptimizerSpec) -> Any:
    """Returns the class of an optimizer in ``keras.optimizers``.

    Raises:
        SurgeonError: If the installed Keras is older than the optimizer.
    """
    import keras

    optimizer = getattr(keras.optimizers, spec.keras_name, None)
    if optimizer is None:
        raise SurgeonError(f"Keras {keras.__version__} has no optimizer {spec.keras_name}", "upgrade keras")
    return optimizer


_WEIGHT_DECAY = (
    "Decoupled weight decay: each step subtracts this factor times the learning rate times the weight. "
    "It does not apply to biases and normalizations."
)
# What every optimizer of Keras takes.
_COMMON: Mapping[str, Schema] = {
    "weight_decay": number(_WEIGHT_DECAY, minimum=0),
    "clipnorm": number("Largest norm of the gradient of one weight tensor.", exclusiveMinimum=0),
    "clipvalue": number("Largest absolute value of one gradient.", exclusiveMinimum=0),
    "global_clipnorm": number("Largest norm of all gradients together.", exclusiveMinimum=0),
    "use_ema": boolean(
        "Validate a moving average of the weights, restore it if `until` says so, and end with it.", False
    ),
    "ema_momentum": number("Momentum of that average.", 0.99, minimum=0, maximum=1),
    "gradient_accumulation_steps": integer("Batches whose gradients are averaged into one step.", minimum=2),
}
_CLIPS = ("clipnorm", "clipvalue", "global_clipnorm")
_BETA_1 = number("Decay of the first moment.", 0.9, minimum=0, exclusiveMaximum=1)
_BETA_2 = number("Decay of the second moment.", 0.999, minimum=0, exclusiveMaximum=1)


def _epsilon(default: float) -> Schema:
    return number("A small number that keeps the division stable.", default, exclusiveMinimum=0)


def _optimizer(name: str, keras_name: str, summary: str, **parameters: Schema) -> OptimizerSpec:
    # An optimizer's own parameters come first, and its own default wins over the common one.
    every = {**parameters, **_COMMON, **parameters}
    return OptimizerSpec(name=name, summary=summary, parameters=every, keras_name=keras_name)


OPTIMIZERS = table(
    _optimizer(
        "sgd",
        "SGD",
        "Stochastic gradient descent, with momentum if asked.",
        momentum=number("Momentum.", 0.0, minimum=0, exclusiveMaximum=1),
        nesterov=boolean("Nesterov momentum.", False),
    ),
    _optimizer(
        "rmsprop",
        "RMSprop",
        "Divides the gradient by a moving average of its magnitude.",
        rho=number("Decay of the average.", 0.9, minimum=0, exclusiveMaximum=1),
        momentum=number("Momentum.", 0.0, minimum=0, exclusiveMaximum=1),
        epsilon=_epsilon(1e-7),
        centered=boolean("Subtract the mean of the gradient.", False),
    ),
    _optimizer(
        "adam",
        "Adam",
        "Adaptive moments.",
        beta_1=_BETA_1,
        beta_2=_BETA_2,
        epsilon=_epsilon(1e-7),
        amsgrad=boolean("The AMSGrad variant.", False),
    ),
    _optimizer(
        "adamw",
        "AdamW",
        "Adam with decoupled weight decay.",
        beta_1=_BETA_1,
        beta_2=_BETA_2,
        epsilon=_epsilon(1e-7),
        amsgrad=boolean("The AMSGrad variant.", False),
        weight_decay=number(_WEIGHT_DECAY, 0.004, minimum=0),
    ),
    _optimizer(
        "adamax",
        "Adamax",
        "Adam with the infinity norm.",
        beta_1=_BETA_1,
        beta_2=_BETA_2,
        epsilon=_epsilon(1e-7),
    ),
    _optimizer(
        "nadam",
        "Nadam",
        "Adam with Nesterov momentum.",
        beta_1=_BETA_1,
        beta_2=_BETA_2,
        epsilon=_epsilon(1e-7),
    ),
    _optimizer(
        "adagrad",
        "Adagrad",
        "One learning rate per weight, which shrinks with its updates.",
        initial_accumulator_value=number("Where the accumulators start.", 0.1, minimum=0),
        epsilon=_epsilon(1e-7),
    ),
    _optimizer(
        "adadelta",
        "Adadelta",
        "Adagrad over a moving window.",
        rho=number("Decay of the window.", 0.95, minimum=0, exclusiveMaximum=1),
        epsilon=_epsilon(1e-7),
    ),
    _optimizer(
        "adafactor",
        "Adafactor",
        "Adam with factored second moments, for little memory.",
        beta_2_decay=number("Exponent of the decay of the second moment.", -0.8, exclusiveMaximum=0),
        epsilon_1=number("A small number added to the squared gradient.", 1e-30, exclusiveMinimum=0),
        epsilon_2=number("Smallest scale of a weight.", 0.001, exclusiveMinimum=0),
        clip_threshold=number("Largest root mean square of an update.", 1.0, exclusiveMinimum=0),
        relative_step=boolean("Scale the learning rate by the step's number.", True),
    ),
    _optimizer(
        "ftrl",
        "Ftrl",
        "Follow the regularized leader.",
        learning_rate_power=number("Exponent of the learning rate's decay.", -0.5, maximum=0),
        initial_accumulator_value=number("Where the accumulators start.", 0.1, minimum=0),
        l1_regularization_strength=number("L1 penalty.", 0.0, minimum=0),
        l2_regularization_strength=number("L2 penalty.", 0.0, minimum=0),
        l2_shrinkage_regularization_strength=number("L2 penalty on the magnitude.", 0.0, minimum=0),
        beta=number("The beta of the paper.", 0.0, minimum=0),
    ),
    _optimizer(
        "lion",
        "Lion",
        "The sign of the momentum.",
        beta_1=number("Decay of the first moment.", 0.9, exclusiveMinimum=0, exclusiveMaximum=1),
        beta_2=number("Decay of the momentum.", 0.99, minimum=0, exclusiveMaximum=1),
    ),
    _optimizer(
        "lamb",
        "Lamb",
        "Adam with a trust ratio per layer, for large batches.",
        beta_1=_BETA_1,
        beta_2=_BETA_2,
        epsilon=_epsilon(1e-7),
    ),
    _optimizer(
        "muon",
        "Muon",
        "Orthogonalized momentum for matrices, AdamW for the rest.",
        momentum=number("Momentum.", 0.95, minimum=0, exclusiveMaximum=1),
        nesterov=boolean("Nesterov momentum.", True),
        ns_steps=integer("Newton-Schulz iterations per step.", 5, minimum=1, maximum=100),
        rms_rate=number("Scale of an update's root mean square.", 0.2, exclusiveMinimum=0),
        exclude_embeddings=boolean("Leave embeddings to AdamW.", True),
        muon_a=number("First coefficient of the Newton-Schulz polynomial.", 3.4445),
        muon_b=number("Second coefficient.", -4.775),
        muon_c=number("Third coefficient.", 2.0315),
        adam_beta_1=_BETA_1,
        adam_beta_2=_BETA_2,
        adam_lr_ratio=number("AdamW's learning rate as part of Muon's.", 1.0, exclusiveMinimum=0),
        adam_weight_decay=number("Weight decay of AdamW.", 0.004, minimum=0),
        epsilon=_epsilon(1e-7),
        weight_decay=number(_WEIGHT_DECAY, 0.004, minimum=0),
    ),
    _optimizer(
        "schedule_free_adamw",
        "ScheduleFreeAdamW",
        "AdamW that averages its iterates instead of following a schedule; not in older releases of Keras.",
        beta_1=_BETA_1,
        beta_2=_BETA_2,
        epsilon=_epsilon(1e-8),
        warmup_steps=integer("Steps of linear warm-up.", 0, minimum=0),
    ),
)
