"""What converters and runtimes raise and write, said in words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from surgeon.errors import SurgeonError
from surgeon.tensorflow import held_back


@contextmanager
def runtime_errors(what: str) -> Iterator[None]:
    """Turns whatever a converter or a runtime raises into a SurgeonError, and holds back what it writes meanwhile."""
    try:
        with held_back() as written:
            yield
    except Exception as error:
        raise runtime_failure(what, error, written) from error


def runtime_failure(what: str, error: Exception, written: Sequence[str]) -> SurgeonError:
    """Returns what was raised, with the point of it, as an error; ``written`` is what was written meanwhile."""
    text = str(error)
    # MLIR quotes source code before it comes to the point.
    point = re.search(r"(?<=error: ).+", text)
    reason = " ".join((point.group() if point else text or "".join(written[-3:]) or type(error).__name__).split())
    return SurgeonError(f"{what}: {reason[:500]}", "try another format: `keras` and `savedmodel` stay in TensorFlow")
