"""Which engine computes frozen layers fastest here: each is tried on a batch."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from surgeon.errors import SurgeonError
from surgeon.model.engine import build_engine
from surgeon.model.precision import weighed
from surgeon.results.events import Note, Progress

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from surgeon.model.engine import Engine
    from surgeon.model.prediction import Prepare

_TIMED = 2  # batches; the faster one counts


def fastest_engine(
    engines: Sequence[Engine], part: Any, prepare: Prepare, pixels: NDArray[np.uint8]
) -> Generator[Note | Progress, None, Engine]:
    """Returns the engine that takes the least time for a batch, where exactness is worth a tenth of it.

    Args:
        engines: At least one. One that cannot compute the part is passed over, unless it is the last.
        part: Layers from the image on.
        prepare: What pixels go through before them.
        pixels: The batch, of shape (n, height, width, 3), RGB from 0 to 255.

    Raises:
        SurgeonError: If none of them can compute the part.
    """
    milliseconds: dict[Engine, float] = {}
    for number, engine in enumerate(engines, start=1):
        try:
            milliseconds[engine] = 1000 * _seconds(engine, part, prepare, pixels) / len(pixels)
        except SurgeonError:
            if number == len(engines) and not milliseconds:
                raise
        yield Progress("time engines", number, len(engines), "engines")
    told = (f"{taken:,.1f} ms with {engine.name} in {engine.precision}" for engine, taken in milliseconds.items())
    yield Note(f"an image takes {', '.join(told)} through the frozen layers")
    return min(milliseconds, key=lambda engine: weighed(milliseconds[engine], engine.precision))


def _seconds(engine: Engine, part: Any, prepare: Prepare, pixels: NDArray[np.uint8]) -> float:
    """Returns the time of a batch once the engine is warm."""
    compute = build_engine(part, prepare, engine)
    compute((pixels,))
    taken = []
    for _ in range(_TIMED):
        started = time.perf_counter()
        compute((pixels,))
        taken.append(time.perf_counter() - started)
    return min(taken)
