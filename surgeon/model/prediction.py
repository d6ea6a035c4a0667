"""The outputs of a network for a whole split."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import numpy as np

from surgeon.results import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from surgeon.data.batches import Images
    from surgeon.model.pipeline import Pipeline

Predictor = Callable[[Any], Any]


def build_predictor(model: Any, pipeline: Pipeline) -> Predictor:
    """Returns a compiled function from pixels, uint8, to the model's outputs in inference mode."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8)])  # type: ignore[untyped-decorator]
    def predict(pixels: Any) -> Any:
        return model(pipeline.prepare(pixels), training=False)

    return predict  # type: ignore[no-any-return]


def predict(
    predictor: Predictor, images: Images, batch_size: int, task: str
) -> Generator[Progress, None, NDArray[np.float32]]:
    """Returns the outputs for every image of a split, in the order of its positions."""
    outputs = []
    for pixels, _ in images.batches(batch_size, images.positions):
        outputs.append(np.asarray(predictor(pixels), np.float32))
        yield Progress(task, min(len(outputs) * batch_size, len(images)), len(images), "images")
    return np.concatenate(outputs)
