"""One head for many trials: values of all trials are stacked, and one compiled step trains them side by side."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from surgeon.catalogue.optimizers import OPTIMIZERS, optimizer_class
from surgeon.model.freezing import set_trainable
from surgeon.model.rates import build_for
from surgeon.model.surgery import build_head, layer_variables
from surgeon.planning.modes import layers_in_training_mode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from surgeon.planning.frontier import Frontier
    from surgeon.recipe.plan import Plan

Loss = Callable[..., Any]
Values = Mapping[str, "NDArray[Any]"]

LABEL_SMOOTHING, WEIGHT_DECAY = "label_smoothing", "weight_decay"

_TFOptimizer, _BaseOptimizer = keras.optimizers.Optimizer.__bases__


class _Stateless(_TFOptimizer):  # type: ignore[misc, valid-type]
    """What optimizers of Keras are on TensorFlow, but for ``tf.distribute``, which writes to no stateless scope."""

    _apply_weight_decay = _BaseOptimizer._apply_weight_decay
    _backend_update_step = _BaseOptimizer._backend_update_step
    _var_key = _BaseOptimizer._var_key
    assign = _BaseOptimizer.assign
    assign_add = _BaseOptimizer.assign_add
    assign_sub = _BaseOptimizer.assign_sub


def settings_of(plan: Plan, number: int) -> dict[str, float]:
    """Returns those numbers of phase ``number`` that are variables of a :class:`Template`, but for zeros."""
    phase = plan.phases[number - 1]
    settings = {LABEL_SMOOTHING: phase.label_smoothing, WEIGHT_DECAY: phase.optimizer.parameters.get(WEIGHT_DECAY)}
    for layer in plan.head:
        settings[_rate(layer.name)] = layer.parameters.get("rate")
        settings[_l2(layer.name)] = layer.parameters.get("l2")
    return {name: float(value) for name, value in settings.items() if value}


def _rate(layer: str) -> str:
    return f"{layer} rate"


def _l2(layer: str) -> str:
    return f"{layer} l2"


@dataclass(frozen=True, eq=False)
class Template:
    """The layers of a head behind a frontier and their optimizer; the variables stand for those of any trial.

    Attributes:
        layers: In their order, each with the mode that it is trained in; heads have no branches.
        dropouts: Those of the layers that draw random numbers.
        trained: The variables that the phase trains.
        weights: All weights of the layers, called as ``layer_variables`` calls them.
        generators: The states of their random generators, called so too.
        changing: The variables that a step changes, those of the optimizer among them, but no generator.
        fixed: The other weights.
        settings: A scalar for each number that differs from trial to trial; see :func:`settings_of`.
    """

    layers: Sequence[tuple[Any, bool]]
    dropouts: Sequence[Any]
    trained: Sequence[Any]
    weights: Mapping[str, Any]
    generators: Mapping[str, Any]
    changing: Sequence[Any]
    fixed: Sequence[Any]
    settings: Mapping[str, Any]
    optimizer: Any

    def measure(self, values: Any) -> Any:
        """Returns the outputs of a batch of kept tensors in inference mode."""
        for layer, _ in self.layers:
            values = _call(layer, values, training=False)
        return values

    def train(self, values: Any, noise: Sequence[Any]) -> Any:
        """Returns the outputs in training mode; ``noise``, uniform in [0, 1), decides what each dropout drops."""
        uniform = dict(zip((layer.name for layer in self.dropouts), noise, strict=True))
        for layer, training in self.layers:
            if layer.name in uniform:
                rate = self.settings[_rate(layer.name)].value
                values = tf.where(uniform[layer.name] >= rate, values / (1.0 - rate), 0.0)
            else:
                values = _call(layer, values, training)
        return values


def build_template(plan: Plan, number: int, frontier: Frontier, settings: Iterable[str]) -> Template:
    """Builds the template of trials that have a plan in common but for some settings, for phase ``number``."""
    phase = plan.phases[number - 1]
    scalars = {name: keras.Variable(0.0, trainable=False, dtype="float32") for name in settings}
    head = build_head(plan)
    set_trainable(head, phase)
    layers = [head.get_layer(row.name) for row in plan.network.head if row.name not in frontier.prefix]
    for layer in layers:
        if _l2(layer.name) in scalars:
            layer.kernel.regularizer = _penalty(scalars[_l2(layer.name)])
    named = layer_variables(head, [layer.name for layer in layers])
    weights = {id(weight) for layer in layers for weight in layer.weights}
    trained = [weight for layer in layers for weight in layer.trainable_weights]
    fixed = [weight for layer in layers if not layer.trainable for weight in layer.weights]
    dropouts = [layer for layer in layers if _rate(layer.name) in scalars]
    drawing = {id(layer.seed_generator.state) for layer in dropouts}
    optimizer = _build_optimizer(plan, number, scalars.get(WEIGHT_DECAY))
    build_for(optimizer, trained)
    others = {id(variable) for variable in (*fixed, optimizer.learning_rate)}
    active = layers_in_training_mode(plan.network, phase)
    return Template(
        layers=[(layer, layer.name in active) for layer in layers],
        dropouts=dropouts,
        trained=trained,
        weights={name: variable for name, variable in named.items() if id(variable) in weights},
        generators={name: variable for name, variable in named.items() if id(variable) in drawing},
        changing=[
            variable
            for variable in (*named.values(), *optimizer.variables)
            if id(variable) not in others and id(variable) not in drawing
        ],
        fixed=fixed,
        settings=scalars,
        optimizer=optimizer,
    )


def _penalty(factor: Any) -> Callable[[Any], Any]:
    """Returns the L2 penalty of a kernel."""
    return lambda kernel: factor * keras.ops.sum(keras.ops.square(kernel))


def _call(layer: Any, values: Any, training: bool) -> Any:
    has_modes = "training" in inspect.signature(layer.call).parameters
    return layer(values, training=training) if has_modes else layer(values)


def _build_optimizer(plan: Plan, number: int, weight_decay: Any) -> Any:
    """Returns an optimizer whose rate, and weight decay if given, are variables."""
    chosen = plan.phases[number - 1].optimizer
    parent = optimizer_class(OPTIMIZERS[chosen.name])
    stateless = type(parent.__name__, (parent, _Stateless), {})
    parameters = {**chosen.parameters, **({} if weight_decay is None else {WEIGHT_DECAY: weight_decay})}
    return stateless(learning_rate=0.0, **parameters)


class Stack:
    """The values of some trials, one beside the other, and the compiled functions on them."""

    def __init__(
        self, template: Template, loss: Loss, values: Sequence[Values], settings: Sequence[Mapping[str, float]]
    ) -> None:
        """Stacks the values of the template's variables, by name, and the settings of some trials, a row each."""
        self._template, self._loss = template, loss
        names = {id(one): name for name, one in (*template.weights.items(), *template.generators.items())}

        def stacked(variable: Any) -> Any:
            if name := names.get(id(variable)):
                return tf.Variable(np.stack([each[name] for each in values]))
            return tf.Variable(np.stack([variable.numpy()] * len(values)))  # of a fresh optimizer

        self._changing = [stacked(variable) for variable in template.changing]
        self._fixed = [stacked(variable) for variable in template.fixed]
        self._generators = [stacked(variable) for variable in template.generators.values()]
        self._settings = [
            tf.Variable([each.get(name, 0.0) for each in settings], dtype=tf.float32) for name in template.settings
        ]
        self._compile()

    def keep(self, rows: Sequence[int]) -> None:
        """Drops all trials but those of some rows, which from then on are numbered in this order."""
        for variables in (self._changing, self._fixed, self._generators, self._settings):
            for at, variable in enumerate(variables):
                variables[at] = tf.Variable(tf.gather(variable, rows))
        self._compile()

    def weights(self, row: int) -> Values:
        """Returns the weights of a trial, by name."""
        pairs = zip(self._variables, self._stacked, strict=True)
        names = {id(weight): name for name, weight in self._template.weights.items()}
        return {names[id(one)]: stacked[row].numpy() for one, stacked in pairs if id(one) in names}

    def paths(self, row: int) -> Values:
        """Returns the weights of a trial by their paths, as a person is told of them."""
        return {self._template.weights[name].path: value for name, value in self.weights(row).items()}

    def generators(self, row: int) -> Values:
        """Returns the states of a trial's random generators, by name."""
        pairs = zip(self._template.generators, self._generators, strict=True)
        return {name: stacked[row].numpy() for name, stacked in pairs}

    def finite(self) -> NDArray[np.bool_]:
        """Tells for each trial whether all its weights are finite numbers."""
        weights = {id(weight) for weight in self._template.weights.values()}
        pairs = zip(self._template.changing, self._changing, strict=True)
        found = [_finite(stacked).numpy() for variable, stacked in pairs if id(variable) in weights]
        return np.logical_and.reduce(found)  # type: ignore[no-any-return]

    def train(self, rates: Any, order: Any, tensor: Any, labels: Any, weights: Any) -> tuple[Any, Any]:
        """Makes a step with each trial.

        Args:
            rates: The learning rate of each trial, float32.
            order: Which of the batches is that of each trial, int32.
            tensor: Kept tensors, float32 of shape (batches, images, ...).
            labels: Class numbers, int32 of shape (batches, images).
            weights: What each image counts, float32 of the same shape.

        Returns:
            The loss of each trial and the number of right answers.
        """
        return self._step(rates, order, tensor, labels, weights, self._draw(labels.shape[1]))  # type: ignore[no-any-return]

    def losses(self, labels: NDArray[np.int32], outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the loss of each trial, given class numbers and outputs of shape (images, trials, classes)."""
        smoothing = dict(zip(self._template.settings, self._settings, strict=True)).get(LABEL_SMOOTHING)
        if smoothing is None:
            smoothing = np.zeros(outputs.shape[1], np.float32)
        return self._losses(labels, outputs, smoothing)  # type: ignore[no-any-return]

    @property
    def _variables(self) -> list[Any]:
        return [*self._template.changing, *self._template.fixed, *self._template.settings.values()]

    @property
    def _stacked(self) -> list[Any]:
        return [*self._changing, *self._fixed, *self._settings]

    def _compile(self) -> None:
        """Makes functions on the present variables; those on the old ones go, and the old variables with them."""
        self._draw = _build_draw(self._template, self._generators)
        self._step = _build_step(self._template, self._loss, self._variables, self._stacked)
        self.predict = _build_predict(self._template, self._variables, self._stacked)
        self._losses = _build_losses(self._loss)


def _build_draw(template: Template, generators: Sequence[Any]) -> Callable[[int], list[Any]]:
    """Returns a function from a number of images to the noise for each dropout, of shape (trials, images, ...).

    XLA would draw other numbers than a trial draws alone, so they are drawn beside it.
    """

    @tf.function  # type: ignore[untyped-decorator]
    def draw(images: int) -> Any:
        def draw_one(states: Any) -> Any:
            mapping = list(zip(template.generators.values(), states, strict=True))
            with keras.StatelessScope(state_mapping=mapping) as scope:
                shapes = [(images, *layer.input.shape[1:]) for layer in template.dropouts]
                drawn = zip(shapes, template.dropouts, strict=True)
                noise = [keras.random.uniform(shape, seed=layer.seed_generator) for shape, layer in drawn]
            return noise, [scope.get_current_value(state) for state in template.generators.values()]

        states = [one.value() for one in generators]
        types = ([tf.float32] * len(states), [one.dtype for one in states])
        noise, after = tf.map_fn(draw_one, states, fn_output_signature=types) if states else ([], [])
        for variable, value in zip(generators, after, strict=True):
            variable.assign(value)
        return noise

    return draw  # type: ignore[no-any-return]


def _build_step(template: Template, loss: Loss, variables: Sequence[Any], stacked: Sequence[Any]) -> Callable[..., Any]:
    """Returns the compiled step of all trials; ``stacked`` has their values of ``variables``."""

    def train_one(given: Any) -> Any:
        values, rate, tensor, labels, weights, noise = given
        mapping = [*zip(variables, values, strict=True), (template.optimizer.learning_rate, rate)]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            trained = [scope.get_current_value(variable) for variable in template.trained]
            with tf.GradientTape(persistent=True) as tape:
                tape.watch(trained)
                outputs = template.train(tensor, noise)
                smoothing = template.settings.get(LABEL_SMOOTHING, 0.0)
                entropy = loss(labels, outputs, weights, smoothing)
                penalty = sum(each for layer, _ in template.layers for each in layer.losses)
            gradients = tape.gradient(entropy, trained)
            shrinking = tape.gradient(penalty, trained) if tf.is_tensor(penalty) else [None for _ in trained]
            pairs = zip(gradients, shrinking, strict=True)
            template.optimizer.apply([one if other is None else one + other for one, other in pairs])
        right = tf.reduce_sum(tf.cast(tf.argmax(outputs, axis=-1, output_type=tf.int32) == labels, tf.int32))
        after = [scope.get_current_value(variable) for variable in template.changing]
        return [*after, *gradients], entropy + penalty, right

    # Each step writes its gradients where the last one's were. Fresh memory for them, which the system has to map and
    # to clear, would take a large head as long as all else.
    own = {id(variable): stack for variable, stack in zip(variables, stacked, strict=True)}
    gradients = [tf.Variable(tf.zeros_like(own[id(variable)])) for variable in template.trained]
    written = [*(own[id(variable)] for variable in template.changing), *gradients]

    @tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
    def step(rates: Any, order: Any, tensor: Any, labels: Any, weights: Any, noise: Any) -> tuple[Any, Any]:
        # A batch per trial, even if it is the same: products with stacked kernels then need no transposed copies.
        each = (tf.gather(batches, order) for batches in (tensor, labels, weights))
        after, losses, right = tf.vectorized_map(train_one, ([one.value() for one in stacked], rates, *each, noise))
        for variable, value in zip(written, after, strict=True):
            variable.assign(value)
        return losses, right

    return step  # type: ignore[no-any-return]


def _build_predict(template: Template, variables: Sequence[Any], stacked: Sequence[Any]) -> Callable[[Any], Any]:
    """Returns the compiled function from a batch of kept tensors, in a tuple, to outputs (images, trials, classes)."""

    def predict_one(given: Any) -> Any:
        values, tensor = given
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return template.measure(tensor)

    @tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
    def predict(tensors: Any) -> Any:
        trials, tensor = stacked[0].shape[0], tf.convert_to_tensor(tensors[0])
        every = tf.broadcast_to(tensor, (trials, *tensor.shape))
        outputs = tf.vectorized_map(predict_one, ([one.value() for one in stacked], every))
        return tf.transpose(outputs, (1, 0, 2))

    return predict  # type: ignore[no-any-return]


def _build_losses(loss: Loss) -> Callable[..., Any]:
    """Returns the function from class numbers, outputs (images, trials, classes) and smoothing to a loss per trial."""

    @tf.function  # type: ignore[untyped-decorator]
    def losses(labels: Any, outputs: Any, smoothing: Any) -> Any:
        each = (tf.transpose(outputs, (1, 0, 2)), smoothing)
        return tf.vectorized_map(lambda one: loss(labels, one[0], smoothing=one[1]), each)

    return lambda *given: losses(*map(tf.convert_to_tensor, given)).numpy()


def _finite(stacked: Any) -> Any:
    return tf.reduce_all(tf.math.is_finite(stacked), axis=range(1, len(stacked.shape)))
