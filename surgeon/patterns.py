"""Regular expressions from outside, searched in a process of their own, which ends when its time is up.

Python's ``re`` is what people know, and some patterns take it exponential time, during which it holds the interpreter.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache

from surgeon.errors import SurgeonError, quote

LONGEST = 500  # characters of a pattern
_SECONDS = 20.0  # for all texts, of which a million take three

# It gets a pattern and texts, and answers with the first group in each, or with what is wrong with the pattern.
_PROGRAM = """
import json, re, sys, warnings
warnings.simplefilter("ignore")
pattern, texts = json.load(sys.stdin)
try:
    compiled = re.compile(pattern)
except Exception as error:
    answer = str(error)
else:
    answer = [found[1] if (found := compiled.search(text)) else None for text in texts] if compiled.groups else 0
json.dump(answer, sys.stdout)
"""


def first_groups(pattern: str, texts: Sequence[str]) -> list[str | None]:
    r"""Returns what the first group of a pattern matches in each text, or None where nothing or no character does.

    Args:
        pattern: A regular expression as Python's ``re`` has it; it may match anywhere, so ``^`` means the beginning.
        texts: What it is searched in.

    Raises:
        SurgeonError: If it is not a regular expression, has no group, or takes too long.

    Examples:
        >>> first_groups(r"^(\w+?)_", ["ann_1.jpg", "ann_2.jpg", "3.jpg"])
        ['ann', 'ann', None]
    """
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _PROGRAM],
            input=json.dumps([pattern, texts]),
            capture_output=True,
            text=True,
            check=True,
            timeout=_SECONDS,
        )
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        slow = isinstance(error, subprocess.TimeoutExpired)
        reason = f"takes more than {_SECONDS:g} s" if slow else "runs out of memory"
        raise SurgeonError(
            f"the pattern {spell_pattern(pattern)} {reason} for {len(texts):,} name{'s' * (len(texts) != 1)}",
            r"avoid nested repetition, as in (\w+)+",
        ) from error
    answer = json.loads(done.stdout)
    if isinstance(answer, str):
        raise SurgeonError(
            f"{spell_pattern(pattern)} is not a regular expression: {answer}",
            r"expected the syntax of Python's re, as in '^(\w+?)_'; write it in single quotes",
        )
    if answer == 0:
        raise SurgeonError(
            f"the pattern {spell_pattern(pattern)} has no group",
            r"put the part that counts into parentheses, as in '^(\w+?)_'",
        )
    return [found or None for found in answer]


def spell_pattern(pattern: str) -> str:
    """Returns a pattern as a message shows it, with each backslash once."""
    return quote(pattern).replace(r"\\", "\\")


@lru_cache
def check_pattern(pattern: str) -> SurgeonError | None:
    """Returns what is wrong with a pattern by itself, or None."""
    try:
        first_groups(pattern, ())
    except SurgeonError as error:
        return error
    return None
