"""Whether two networks differ by more than chance on the same images."""

from __future__ import annotations

from collections.abc import Sequence

from scipy.stats import binomtest

from surgeon.results.use import McNemar


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> McNemar:
    """Returns McNemar's exact test (McNemar 1947) of two networks on the same images.

    Args:
        first: Whether the first network was right about each image.
        second: The same of the second one, in the same order.
    """
    only_first = sum(a and not b for a, b in zip(first, second, strict=True))
    only_second = sum(b and not a for a, b in zip(first, second, strict=True))
    differing = only_first + only_second
    p_value = float(binomtest(only_first, differing).pvalue) if differing else 1.0
    return McNemar(only_first=only_first, only_second=only_second, p_value=p_value)
