"""An optimizer for the variables of a phase: which of them have a learning rate of their own, and which decay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from surgeon.catalogue.optimizers import OPTIMIZERS, optimizer_class

if TYPE_CHECKING:
    from collections.abc import Sequence

    from surgeon.recipe.keys import Choice


def build_optimizer(chosen: Choice, learning_rate: Any, variables: Sequence[Any], scales: Sequence[float]) -> Any:
    """Returns a fresh optimizer that is built for some Keras variables.

    Args:
        chosen: An entry of the optimizers.
        learning_rate: A float or a Keras schedule.
        variables: What it is to train.
        scales: For each of them what the learning rate is multiplied by.

    Raises:
        SurgeonError: If the installed Keras is older than the optimizer.
    """
    scaled = _with_scales(optimizer_class(OPTIMIZERS[chosen.name]), scales)
    optimizer = scaled(learning_rate=learning_rate, **chosen.parameters)
    build_for(optimizer, variables)
    return optimizer


def build_for(optimizer: Any, variables: Sequence[Any]) -> None:
    """Builds a fresh optimizer for some Keras variables.

    Biases, and what normalizations scale and shift by, are left out of its weight decay, as timm leaves them out.
    """
    optimizer.exclude_from_weight_decay([one for one in variables if len(one.shape) <= 1 or one.name == "bias"])
    optimizer.build(variables)


def _with_scales(parent: Any, scales: Sequence[float]) -> Any:
    """Returns a class of optimizers that takes the learning rate times a factor for each variable.

    It is the rate that is scaled, not the gradient, whose scale does not change the step of Adam and its kin. Decoupled
    weight decay, a part of the rate, follows. Schedules, clipping, accumulation and averages are those of the parent.

    Args:
        parent: A class of optimizers of Keras.
        scales: A factor per variable, in the order in which the optimizer is built for them.
    """
    if all(scale == 1.0 for scale in scales):
        return parent

    class Scaled(parent):  # type: ignore[misc]
        _decay_scale = 1.0  # of the variable that decays right now

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            super().update_step(gradient, variable, learning_rate * scales[self._get_variable_index(variable)])

        def _apply_weight_decay(self, variables: Sequence[Any]) -> None:
            for variable in variables:
                self._decay_scale = scales[self._get_variable_index(variable)]
                super()._apply_weight_decay([variable])
            self._decay_scale = 1.0

        def _get_current_learning_rate(self) -> Any:
            rate = super()._get_current_learning_rate()
            return rate if self._decay_scale == 1.0 else rate * self._decay_scale

    return Scaled
