"""Loads TensorFlow and Keras without their noise, and without what a person has set for other work."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from surgeon.errors import SurgeonError


def load_tensorflow() -> None:
    """Imports TensorFlow and Keras, and gives Keras the settings that recipes are written for.

    ``~/.keras/keras.json``, environment variables or a notebook may have set others, and float16 as the type of
    numbers, for example, would train another network without a word.

    What the libraries write while TensorFlow looks for devices is held back: remarks about the processor and absent
    GPUs, straight to file descriptor 2, before any log level applies. If loading fails, they are shown after all.

    Raises:
        SurgeonError: If Keras cannot be loaded with the settings that it finds, or was loaded with another backend.
    """
    if "keras" not in sys.modules:
        # Keras reads these once, when it is imported. Flax, which the second is about, is for JAX only.
        os.environ |= {"KERAS_BACKEND": "tensorflow", "KERAS_NNX_ENABLED": "false"}
    try:
        if "tensorflow" not in sys.modules:
            os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
            with _held_back():
                import tensorflow as tf  # which imports Keras

                tf.constant(0)  # the first tensor starts the devices
        import keras
    except (ValueError, AttributeError, AssertionError) as error:  # what Keras raises about its settings
        raise SurgeonError(
            f"Keras cannot be loaded: {error or type(error).__name__}",
            "mend or remove keras.json in ~/.keras, or in the folder that KERAS_HOME names",
        ) from error
    if keras.config.backend() != "tensorflow":
        raise SurgeonError(
            f"Keras was loaded with the backend {keras.config.backend()!r}; surgeon computes with 'tensorflow'",
            "set KERAS_BACKEND=tensorflow before Keras is imported",
        )
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
    keras.config.set_dtype_policy("float32")


@contextmanager
def _held_back() -> Iterator[None]:
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except Exception:
            held.seek(0)
            os.write(saved, held.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
