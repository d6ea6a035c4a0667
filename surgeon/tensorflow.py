"""Loads TensorFlow and Keras without their noise, and without what a person has set for other work."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout

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
            _import_tensorflow()
        import keras  # noqa: PLC0415  after what it reads is set
    except (ValueError, AttributeError, AssertionError) as error:  # what Keras raises about its settings
        raise SurgeonError(
            f"Keras cannot be loaded: {error or type(error).__name__}",
            "fix or remove keras.json in ~/.keras or in the folder that KERAS_HOME names",
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


def _import_tensorflow() -> None:
    try:
        with held_back() as written:
            import tensorflow as tf  # noqa: PLC0415  where its noise is held back

            tf.constant(0)  # the first tensor starts the devices
    except Exception:
        sys.stderr.writelines(written)
        raise


@contextmanager
def held_back() -> Iterator[list[str]]:
    """Holds back what libraries write to standard output and error, be it in Python or straight to the descriptors.

    Yields:
        A list, empty until the context ends; then it holds the lines that were written.
    """
    written: list[str] = []
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as held:
        try:
            with ExitStack() as restored:
                for stream, descriptor in ((sys.stdout, 1), (sys.stderr, 2)):
                    if stream is not None:  # a program may be started with either closed
                        stream.flush()
                        saved = os.dup(descriptor)
                        restored.callback(os.close, saved)
                        restored.callback(os.dup2, saved, descriptor)
                        os.dup2(held.fileno(), descriptor)
                restored.enter_context(redirect_stdout(held))
                restored.enter_context(redirect_stderr(held))
                yield written
        finally:
            _release_handlers(held)
            held.seek(0)
            written.extend(held)


def _release_handlers(held: object) -> None:
    """Points handlers that logging libraries made meanwhile to standard error; what holds them now is closed soon."""
    for logger in (logging.root, *logging.root.manager.loggerDict.values()):
        for handler in getattr(logger, "handlers", ()):
            if isinstance(handler, logging.StreamHandler) and handler.stream is held:
                handler.setStream(sys.stderr)
