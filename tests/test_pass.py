"""The pass through the frozen layers, by the real command, when things go wrong in the middle of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# Early maps of a network on 1,797 images: 235 MB, which is some seconds of work.
RECIPE = """\
recipe: 1
name: pass
data: {source: digits, image_size: 32, batch_size: 64}
backbone: {name: vgg16, weights: none, cut: block2_pool}
head: [global_average_pooling, dense: {units: classes, activation: softmax}]
features: disk
phases:
  - {trainable: block2_conv2.., lr: 0.001, epochs: 1}
"""
SMALL = ("backbone.cut=block1_pool", "phases[0].trainable=head")  # what takes a second

Surgeon = Callable[..., Any]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "pass.yaml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def command(recipe: Path, out: Path, *overrides: str) -> list[str | Path]:
    sets = [part for override in overrides for part in ("--set", override)]
    return [sys.executable, "-m", "surgeon", "run", recipe, "--out", out, "--quiet", *sets]


def in_cache(folder: Path) -> dict[str, str]:
    return {**os.environ, "XDG_CACHE_HOME": str(folder)}


def run(recipe: Path, out: Path, cache: Path) -> dict[str, Any]:
    """Runs to the end; returns what the store was good for."""
    subprocess.run(command(recipe, out), env=in_cache(cache), check=True)
    return dict(json.loads((out / "result.json").read_text())["frozen"])


def predictions(out: Path) -> str:
    return (out / "predictions.csv").read_text(encoding="utf-8")


def kept(cache: Path) -> Path | None:
    """The rows of features that are safe, if there are any; those of decoded images lie elsewhere."""
    shelves = [about.parent for about in cache.rglob("about") if "vgg16" in about.read_text(encoding="utf-8")]
    safe = [shelf / "rows" for shelf in shelves if (shelf / "keys").exists() and (shelf / "keys").stat().st_size]
    return safe[0] if safe else None


@pytest.mark.slow
def test_a_killed_pass_goes_on_where_it_stopped(recipe: Path, tmp_path: Path) -> None:
    run(recipe, tmp_path / "whole", tmp_path / "other-cache")
    cache = tmp_path / "cache"
    process = subprocess.Popen(command(recipe, tmp_path / "killed"), env=in_cache(cache))
    while kept(cache) is None:
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    frozen = run(recipe, tmp_path / "again", cache)
    assert frozen["known"] > 0
    assert frozen["computed"] > 0
    assert frozen["known"] + frozen["computed"] == 1797
    assert predictions(tmp_path / "again") == predictions(tmp_path / "whole")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
@pytest.mark.slow
def test_images_need_no_descriptors(recipe: Path, tmp_path: Path) -> None:
    limited = ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh", *command(recipe, tmp_path / "run", *SMALL)]
    subprocess.run(limited, env=in_cache(tmp_path / "cache"), check=True)
    assert json.loads((tmp_path / "run" / "result.json").read_text())["frozen"]["computed"] == 1797


@pytest.mark.usefixtures("without_pictures")
def test_a_flipped_byte_costs_one_image(
    recipe: Path, photos: Path, tmp_path: Path, surgeon: Surgeon, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))

    def run(out: Path) -> dict[str, Any]:
        assert surgeon(*command(recipe, out, *SMALL, f"data.source={{folder: '{photos}'}}")[3:]).code == 0
        return dict(json.loads((out / "result.json").read_text())["frozen"])

    first = run(tmp_path / "first")
    assert (first["known"], first["computed"]) == (0, 24)
    damaged = kept(cache)
    assert damaged is not None
    with damaged.open("r+b") as file:
        file.seek(1234)
        byte = file.read(1)
        file.seek(1234)
        file.write(bytes([byte[0] ^ 1]))
    again = run(tmp_path / "again")
    assert again["computed"] == 1
    assert predictions(tmp_path / "again") == predictions(tmp_path / "first")
    last = run(tmp_path / "last")
    assert (last["known"], last["computed"]) == (24, 0)


@pytest.mark.slow
@pytest.mark.skipif(
    subprocess.run(["unshare", "-Urm", "true"], capture_output=True, check=False).returncode != 0
    if sys.platform == "linux"
    else True,
    reason="needs a mount namespace",
)
def test_a_full_disk_loses_nothing(recipe: Path, tmp_path: Path) -> None:
    """The cache lies on a small disk, and the recipe insists on it; with more room it goes on."""
    cache = tmp_path / "disk"
    cache.mkdir()
    script = (
        'mount -t tmpfs -o size=100M surgeon "$CACHE" || exit 99\n'
        '"$@" --out "$OUT/full" 2> "$OUT/full.err"; echo $? > "$OUT/code"\n'
        'mount -o remount,size=600M "$CACHE" || exit 99\n'
        '"$@" --out "$OUT/again"\n'
    )
    base = [sys.executable, "-m", "surgeon", "run", recipe, "--quiet"]
    environment = {**in_cache(cache), "CACHE": str(cache), "OUT": str(tmp_path)}
    subprocess.run(["unshare", "-Urm", "sh", "-c", script, "sh", *base], env=environment, check=True)
    assert (tmp_path / "code").read_text() == "1\n"
    error = (tmp_path / "full.err").read_text()
    assert "No space left on device" in error
    assert "surgeon cache clear" in error
    assert "Traceback" not in error
    frozen = json.loads((tmp_path / "again" / "result.json").read_text())["frozen"]
    assert frozen["known"] > 0
    assert frozen["known"] + frozen["computed"] == 1797
    run(recipe, tmp_path / "whole", tmp_path / "other-cache")
    assert predictions(tmp_path / "again") == predictions(tmp_path / "whole")
