"""BMP files: those of runs, which Pillow decodes in Python, are bounded."""

from __future__ import annotations

from surgeon.data.container import Container
from surgeon.errors import BadImageError

_RUNS = (1, 2)  # compressions of 8 and 4 bits
_MAX_RUNS = 2 << 20  # bytes; they take about a second


def open_bmp(data: bytes) -> Container:
    """Looks at how a BMP is compressed.

    Raises:
        BadImageError: If decoding would take too long.
    """
    if len(data) > _MAX_RUNS and int.from_bytes(data[14:18], "little") >= 40 and data[30] in _RUNS:
        raise BadImageError(f"a run-length encoded BMP of over {_MAX_RUNS >> 20} MiB takes too long; convert it to PNG")
    return Container(data)
