"""What layers compute in: float32, or bfloat16 on weights that stay float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from surgeon.planning.processor import bfloat16_support

if TYPE_CHECKING:
    from surgeon.recipe.plan import Plan

WORTH_TIMING = 10**12  # multiply-adds: ten seconds or more on a few cores; to build what computes them takes some, too


def precisions_for(plan: Plan) -> tuple[str, ...]:
    """Returns the precisions that a plan leaves to choose from, the most exact first."""
    if plan.precision != "auto":
        return (plan.precision,)
    # What is timed may come out otherwise the next time.
    may_gain = not plan.deterministic and (bfloat16_support() is not False or tf.config.list_physical_devices("GPU"))
    return ("float32", "bfloat16") if may_gain else ("float32",)


def weighed(seconds: float, precision: str) -> float:
    """Returns a time to compare with others: being less exact has to save a tenth of it."""
    return seconds if precision == "float32" else seconds / 0.9


@contextmanager
def computing_in(model: Any, precision: str, *, whole: bool = False) -> Iterator[None]:
    """Makes the layers of a model compute in a precision for as long as the context lasts.

    What is traced meanwhile computes so ever after. Weights, their gradients and an optimizer's state are float32
    all along, and outside of the context the model computes and is saved as if there had been none. Layers that
    have another policy than plain float32, as those of a model file may, keep it.

    Args:
        model: A functional model with weights.
        precision: ``float32``, which changes nothing, or ``bfloat16``.
        whole: Whether the end of the model follows too: its last layer with weights, which gives logits or
            probabilities, and all behind it. That is for a part which ends in features.
    """
    layers = [] if precision == "float32" else _float32_layers(model, whole)
    for layer in layers:
        layer.dtype_policy = f"mixed_{precision}"
    try:
        yield
    finally:
        for layer in layers:
            layer.dtype_policy = "float32"


def _float32_layers(model: Any, whole: bool) -> list[Any]:
    """Returns the layers that compute in float32, those inside of other layers included."""
    end = len(model.layers) if whole else max(at for at, layer in enumerate(model.layers) if layer.weights)
    nested = {id(inner): inner for layer in model.layers[:end] for inner in layer._flatten_layers()}
    return [
        layer
        for layer in nested.values()
        if layer.dtype_policy.name == "float32" and not isinstance(layer, keras.layers.InputLayer)
    ]
