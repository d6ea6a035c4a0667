"""What the documentation refers to is there."""

from __future__ import annotations

import re
from pathlib import Path

import surgeon

TESTS = Path(__file__).parent
FAULTS = re.findall(
    r"^\| .+ \| .+ \| (.+) \|$", (TESTS.parent / "docs" / "reliability.md").read_text("utf-8"), re.MULTILINE
)


def test_the_python_reference_has_every_public_name() -> None:
    text = (TESTS.parent / "docs" / "api.md").read_text("utf-8")
    named = {name for members in re.findall(r"members: \[(.+)\]", text) for name in members.split(", ")}
    assert set(surgeon.__all__) <= named


def test_every_fault_survived_has_its_test() -> None:
    """A name without a file before it is of the last one named in its line."""
    assert len(FAULTS) > 80
    for cell in FAULTS[1:]:
        source = ""
        for reference in re.findall(r"`([^`]+)`", cell):
            if reference.startswith("recipes/"):
                assert (TESTS / reference).exists(), reference
                continue
            file, *names = reference.split("::") if ".py" in reference else ("", *reference.split("::"))
            source = (TESTS / file).read_text("utf-8") if file else source
            for name in filter(None, names):
                assert re.search(rf"(def|class) {name}\b", source), reference
