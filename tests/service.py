"""The service with a network of two lines, whose faults the red of an image chooses; run as a script by its tests.

python tests/service.py SECONDS
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
from PIL import Image

from surgeon.recipe.bundle import Bundle
from surgeon.serve.app import build_app
from surgeon.serve.edge import hosts_of
from surgeon.serve.limits import Limits
from surgeon.serve.server import listen, serve, url_of

FAULTS = {
    "raises StopIteration": 250,
    "fewer rows": 240,
    "other classes": 230,
    "NaN": 220,
    "infinity": 210,
    "hangs": 200,
}
LIMITS = Limits(images=8, image_bytes=300_000, batch=4, seconds=float(sys.argv[1]) if __name__ == "__main__" else 0)
BUNDLE = Bundle(
    "<i>two lines</i>",
    ("dark", "</script>"),
    (32, 32),
    "run",
    "model.keras",
    "none",
    False,
    "squash",
    1.0,
    "bilinear",
    None,
)


def classify(pixels: Any) -> Any:
    """The fault of an image, or how dark it is."""
    red = pixels[..., 0].mean((1, 2))
    if FAULTS["raises StopIteration"] in red:
        raise StopIteration
    if FAULTS["hangs"] in red:
        time.sleep(LIMITS.seconds + 2)
    light = np.select([red == FAULTS["NaN"], red == FAULTS["infinity"]], [np.nan, np.inf], red / 255)
    rows = np.stack([1 - light, light], axis=1)
    if FAULTS["other classes"] in red:
        return rows[:, :1]
    return rows[1:] if FAULTS["fewer rows"] in red else rows


def explain(pixels: Any, number: int) -> Image.Image:
    """Raises for a white image."""
    if pixels.min() == 255:
        raise StopIteration
    return Image.fromarray(pixels)


if __name__ == "__main__":
    listener = listen("127.0.0.1", 0)
    app = build_app(BUNDLE, classify, explain, LIMITS, hosts_of("127.0.0.1", ["behind.example"]), {})
    serve(app, listener, LIMITS.seconds, lambda: print("is served at", url_of(listener), flush=True))  # noqa: T201
