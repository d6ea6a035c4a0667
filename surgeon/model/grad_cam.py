"""Where in an image a network sees a class, by its gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from surgeon.model.surgery import layer_output

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_TINY = 1e-12


def build_grad_cam(network: Any) -> Callable[[NDArray[np.float32], int], NDArray[np.float32]] | None:
    """Returns Grad-CAM (Selvaraju et al. 2017) on the last feature maps of a network.

    The gradient is that of the logarithm of the class's probability, so what speaks for other classes counts against.

    Args:
        network: A functional model of preprocessed images, to probabilities or logits. Where it branches after its last
            maps, or before, is no matter.

    Returns:
        A function from one preprocessed image, float32 of shape (height, width, 3), and a class number to a map,
        float32 from 0 to 1 of the feature maps' height and width; all 0 where nothing speaks for the class. None if
        the network has no feature maps.
    """
    maps = _last_maps(network)
    if maps is None:
        return None
    both = keras.Model(network.input, [maps, network.output])
    last = network.layers[-1]
    is_logits = not isinstance(last, keras.layers.Softmax)
    is_logits &= getattr(last, "activation", None) is not keras.activations.softmax

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def explain(image: Any, number: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(image)  # so that the maps are on the tape whatever is trainable
            features, outputs = both(image[None], training=False)
            logs = tf.nn.log_softmax(outputs) if is_logits else tf.math.log(outputs + _TINY)
            score = logs[0, number]
        weights = tf.reduce_mean(tape.gradient(score, features), axis=(1, 2), keepdims=True)
        found = tf.nn.relu(tf.reduce_sum(weights * features, axis=-1))[0]
        return found / tf.maximum(tf.reduce_max(found), _TINY)

    return lambda image, number: np.asarray(explain(tf.constant(image), tf.constant(number)))


def _last_maps(network: Any) -> Any:
    """Returns the last tensor of a network that is a map of more than one place; None if there is none."""
    for layer in reversed(network.layers):
        tensor = layer_output(network, layer.name)
        # Pooled values may keep their axes, of length 1; a side that the network leaves open is None.
        if tensor is not network.input and len(tensor.shape) == 4 and tuple(tensor.shape[1:3]) != (1, 1):
            return tensor
    return None
