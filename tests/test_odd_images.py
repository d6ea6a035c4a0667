"""Odd images through the commands: they come to what their pixels, in a plain PNG, come to, or are named."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from odd_images import odd_images
from PIL import Image

Surgeon = Callable[..., Any]

PHASE = "phases=[{trainable: all, batch_norm: train, optimizer: adam, lr: 0.01, epochs: 1}]"


def test_predict_and_evaluate_see_the_pixels_of_odd_images(surgeon: Surgeon, tiny: Path, tmp_path: Path) -> None:
    run, odd, plain = tmp_path / "run", tmp_path / "odd", tmp_path / "plain"
    assert surgeon("run", tiny, "--out", run, "-q", "--set", PHASE).code == 0
    cases = {f"{('across', 'along')[at % 2]}/{at:03}.png": case for at, case in enumerate(odd_images())}
    for name, case in cases.items():  # which says nothing of the content
        for folder in (odd, plain):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (odd / name).write_bytes(case.data)
        if case.pixels is not None:
            Image.fromarray(case.pixels).save(plain / name)

    found, expected = predict(surgeon, run, odd), predict(surgeon, run, plain)
    assert np.ptp(list(expected.values())) > 0.1
    for name, case in cases.items():
        if case.pixels is None:
            assert re.search(case.refusal, str(found[name])), case.name
        else:
            assert found[name] == pytest.approx(expected[name], abs=1e-5 + 0.02 * case.tolerance), case.name

    of_odd, of_plain = evaluate(surgeon, run, odd), evaluate(surgeon, run, plain)
    assert of_odd["images"] == of_plain["images"] == len(expected)
    assert set(of_odd["bad_images"]) == {name for name, case in cases.items() if case.pixels is None}
    assert of_odd["evaluation"]["accuracy"] == pytest.approx(of_plain["evaluation"]["accuracy"], abs=0.02)


def predict(surgeon: Surgeon, run: Path, folder: Path) -> dict[str, float | str]:
    """The probability of one of the two classes, or the reason why there is none."""
    found = {}
    for line in map(json.loads, surgeon("predict", run, folder, "--format", "jsonl").out.splitlines()):
        name = Path(line["file"]).relative_to(folder).as_posix()
        found[name] = line["reason"] or dict(zip(line["classes"], line["probabilities"], strict=True))["along"]
    return found


def evaluate(surgeon: Surgeon, run: Path, folder: Path) -> dict[str, Any]:
    done = surgeon("evaluate", run, folder, "--format", "json")
    assert done.code == 0, done.err
    return dict(json.loads(done.out))
