"""The outputs of a network for a whole split."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from surgeon.data.batches import Samples
from surgeon.results.events import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from surgeon.data.batches import Examples
    from surgeon.model.pipeline import Pipeline
    from surgeon.planning.frontier import Frontier

Predictor = Callable[[Any], Any]
Prepare = Callable[[Any], Any]  # pixels to what a network wants


def signature(part: Any, *, is_image: bool) -> tuple[Any, ...]:
    """Returns the ``tf.TensorSpec`` of what a part of a network is fed: pixels, or the kept tensors."""
    dtypes = ["uint8" if is_image else tensor.dtype for tensor in part.inputs]
    return tuple(
        tf.TensorSpec((None, *tensor.shape[1:]), dtype) for tensor, dtype in zip(part.inputs, dtypes, strict=True)
    )


def build_predictor(part: Any, frontier: Frontier, pipeline: Pipeline) -> Predictor:
    """Returns a compiled function to the outputs of the part of a network behind a frontier.

    Args:
        part: The part behind ``frontier``.
        frontier: Decides what the function takes as a tuple: pixels, or the kept tensors.
        pipeline: What pixels go through before the network.
    """
    return compile_predictor(part, pipeline.prepare if frontier.is_image else None)


def compile_predictor(part: Any, prepare: Prepare | None) -> Predictor:
    """Returns a compiled function to the outputs of a part of a network in inference mode, float32.

    It computes in the precision that the layers have now.

    Args:
        part: A Keras model.
        prepare: What pixels go through before it; None where it takes kept tensors.
    """

    @tf.function(input_signature=[signature(part, is_image=prepare is not None)])  # type: ignore[untyped-decorator]
    def predict(tensors: Any) -> Any:
        outputs = part(prepare(tensors[0]) if prepare else list(tensors), training=False)
        return keras.tree.map_structure(lambda output: keras.ops.cast(output, "float32"), outputs)

    return predict.get_concrete_function()  # type: ignore[no-any-return]


def predict(
    predictor: Predictor, examples: Examples, batch_size: int, task: str
) -> Generator[Progress, None, NDArray[np.float32]]:
    """Returns the outputs for every example, unchanged, in the order of their positions."""
    outputs = []
    for tensors, _ in examples.batches(batch_size, Samples.unchanged(examples.positions)):
        outputs.append(np.asarray(predictor(tensors), np.float32))
        yield Progress(task, min(len(outputs) * batch_size, len(examples)), len(examples), "images")
    return np.concatenate(outputs)
