"""``surgeon plan`` says what a run would do."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from surgeon.planning import processor

RECIPES = Path(__file__).parent.parent / "recipes"

Surgeon = Callable[..., Any]


def test_plan_tells_origins_counts_and_steps(surgeon: Surgeon, tiny: Path) -> None:
    shown = json.loads(surgeon("plan", tiny, "--set", "seed=9", "--format", "json").out)
    assert shown["values"]["seed"] == {"value": 9, "origin": "--set seed"}
    assert shown["values"]["data.batch_size"]["origin"] == f"{tiny}:8:3"
    assert shown["values"]["data.on_bad_image"] == {"value": "fail", "origin": "default"}
    assert shown["images"] == {
        "train": {"across": 6, "along": 6},
        "validation": {"across": 3, "along": 3},
        "test": {"across": 3, "along": 3},
    }
    assert (shown["phases"][0]["trained"], shown["phases"][0]["steps"]) == (50, 6)
    text = surgeon("plan", tiny).out
    assert "default" in text
    assert "validation" in text


def test_plan_tells_what_is_kept_and_how_long_it_takes(surgeon: Surgeon, tiny: Path) -> None:
    shown = json.loads(surgeon("plan", tiny, "--format", "json").out)
    (once,) = shown["passes"]
    assert once.keys() == {
        "before_phase", "kept", "images", "views", "bytes", "dtype", "place", "multiply_adds", "seconds"
    }  # fmt: skip
    assert once["kept"] == [{"layer": "head_global_average_pooling", "shape": [24], "bytes_per_image": 96}]
    assert (once["images"], once["bytes"]) == (24, 24 * 96)
    assert once["place"] == {"kind": "disk", "reason": "on disk, for the next runs too"}
    warm_up, fine_tune = shown["phases"]
    assert warm_up["starts_from"] == once["kept"]
    # The first maps are larger than the image.
    assert fine_tune["starts_from"] == [{"layer": None, "shape": [32, 32, 3], "bytes_per_image": 3072}]
    assert 0 < warm_up["multiply_adds_per_epoch"] < fine_tune["multiply_adds_per_epoch"]
    for phase in shown["phases"]:
        assert phase["seconds"] == pytest.approx(phase["epochs"] * phase["seconds_per_epoch"])
    expected = shown["expected_seconds"]
    assert expected["passes"] == once["seconds"]
    assert expected["epochs"] == pytest.approx(sum(phase["seconds"] for phase in shown["phases"]))
    assert expected["all"] == pytest.approx(expected["passes"] + expected["epochs"] + expected["evaluation"])
    assert shown["with_views"] is None
    assert shown["notes"] == []


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("seed=1", "once, before phase 1"),
        ("augment={flip: horizontal}", "augment without views: every epoch starts from the decoded images"),
        ("augment={zoom: 0.1, cut_mix: 1}", "cut_mix mixes the images of a batch, which cannot be kept: every epoch"),
        ("augment={zoom: 0.1, mix_up: 1}", "starts from the decoded images; views: 4 without mix_up would"),
        ("augment={mix_up: 1}", "a run without mix_up would"),
        ("augment={views: 3, flip: horizontal}", "48, with 3 changed copies of each training image"),
        ("features=off", "starts from decoded image (32 x 32 x 3, 3.1 KB per image)"),
        ("features_dtype=float16", "in float16"),
        ("phases[0].until={monitor: loss, patience: 1}", "at most 2, 6 steps"),
    ],
)
def test_plan_fits_on_a_terminal(
    override: str, expected: str, surgeon: Surgeon, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")  # a terminal without colours, 80 columns wide
    done = surgeon("plan", tiny, "--set", override)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert re.sub(r"\s+", " ", expected) in re.sub(r"\s+", " ", done.out)


def test_plan_says_where_bfloat16_gains_nothing(surgeon: Surgeon, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "cpu_flags", lambda: frozenset({"avx2"}))
    said = "this processor does not compute in bfloat16"
    assert said in surgeon("plan", tiny, "--set", "precision=bfloat16").out
    assert said not in surgeon("plan", tiny).out


def test_plan_loads_no_tensorflow() -> None:
    script = (
        "import sys\n"
        f"sys.argv = ['surgeon', 'plan', {str(RECIPES / 'quickstart.yaml')!r}]\n"
        "from surgeon.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "print('LOADED', *[name for name in ('tensorflow', 'keras', 'openvino') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED"


@pytest.mark.mirror
def test_flowers_are_planned_from_the_mirror(surgeon: Surgeon, mirror: Path) -> None:
    shown = json.loads(surgeon("plan", RECIPES / "vgg16_flowers17.yaml", "--format", "json").out)
    assert {split: sum(classes.values()) for split, classes in shown["images"].items()}["test"] == 340
    assert set(shown["images"]["test"].values()) == {20}
