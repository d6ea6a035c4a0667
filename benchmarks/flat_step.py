"""What a step of many heads on flattened maps is made of: two products and the update of the weights.

python benchmarks/flat_step.py
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from machine import memory_bandwidth, product_seconds
from outcome import Outcome, publish, read_options

INPUTS, UNITS, BATCH = 25_088, 256, 32
_TIMED = 5  # calls; the fastest one counts
# Values that each part moves for each weight: it reads it; it writes the gradient; Adam reads the gradient, the weight
# and both moments, and writes the last three.
_MOVED = {"forward product": 1, "gradient product": 1, "Adam's update": 7}


def main() -> None:
    """Runs the benchmark."""
    options = read_options(__doc__, trials=30)
    seconds = {name: _seconds(part) for name, part in _parts(options.trials).items()}
    weights, bandwidth = options.trials * INPUTS * UNITS, memory_bandwidth()
    products = {
        "forward product": options.trials * product_seconds(BATCH, INPUTS, UNITS),
        "gradient product": options.trials * product_seconds(INPUTS, BATCH, UNITS),
    }
    moving = {name: 4 * moved * weights / bandwidth for name, moved in _MOVED.items()}
    least = {name: max(moving[name], products.get(name, 0.0)) for name in _MOVED}
    outcome = Outcome(
        name="flat_step",
        title="A step of flatten heads",
        compared=f"The parts of a step of {options.trials} heads, {INPUTS:,} inputs and {UNITS} units each, on one "
        f"batch of {BATCH} images, compiled by XLA as the sweep's step is, each alone and all in one; beside them what "
        "NumPy takes for the products, and what moving the weights, their gradients and moments takes.",
        columns=["", "XLA, ms", "moving, ms", "NumPy's products, ms"],
        rows=[
            [name, 1000 * seconds[name], 1000 * moving[name], 1000 * products[name] if name in products else None]
            for name in _MOVED
        ]
        + [["all in one", 1000 * seconds["all in one"], 1000 * sum(moving.values()), 1000 * sum(products.values())]],
        ratios={},
        notes=[
            f"Bytes move at {bandwidth / 1e9:.1f} GB/s, at which NumPy adds arrays on all cores. If each part took "
            f"only the longer of its moving and its product, the step would take {1000 * sum(least.values()):.0f} ms: "
            f"{sum(least.values()) / sum(moving.values()):.2f} times of moving the bytes.",
        ],
        raw={"seconds": seconds, "moving": moving, "products": products, "bytes per second": bandwidth},
    )
    publish(outcome, options)


def _parts(trials: int) -> dict[str, Callable[[], Any]]:
    """Returns the parts of a step, and a whole one, each of which returns something to wait for."""
    shape = (trials, INPUTS, UNITS)
    weights, mean, square, gradient = (tf.Variable(tf.random.normal(shape, stddev=0.01)) for _ in range(4))
    images = tf.random.normal((1, BATCH, INPUTS))
    errors = tf.random.normal((trials, BATCH, UNITS))

    def forward() -> Any:
        return tf.matmul(tf.repeat(images, trials, 0), weights)

    def differentiate(errors: Any) -> Any:
        return tf.matmul(tf.repeat(images, trials, 0), errors, transpose_a=True)

    def update(value: Any) -> None:
        means, squares = mean + (value - mean) * 0.1, square + (value**2 - square) * 0.001
        weights.assign_sub(1e-6 * means / (tf.sqrt(squares) + 1e-7))
        mean.assign(means)
        square.assign(squares)

    def whole() -> Any:
        value = differentiate(errors + 1e-6 * forward())
        update(value)
        return gradient.assign(value)

    parts = {
        "forward product": forward,
        "gradient product": lambda: gradient.assign(differentiate(errors)),
        "Adam's update": lambda: update(gradient.value()),
        "all in one": whole,
    }
    return {name: tf.function(part, jit_compile=True) for name, part in parts.items()}


def _seconds(part: Callable[[], Any]) -> float:
    """Returns the time of a part once it is compiled; on a processor it is over when the call returns."""
    part()
    best = math.inf
    for _ in range(_TIMED):
        started = time.perf_counter()
        part()
        best = min(best, time.perf_counter() - started)
    return best


if __name__ == "__main__":
    main()
