"""The library: what its documentation says, as it says it, and what a program relies on."""

from __future__ import annotations

import inspect
import re
import shutil
import signal
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import write_tiny
from PIL import Image

import surgeon

ROOT = Path(__file__).parent.parent
SNIPPETS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(encoding="utf-8"), re.DOTALL)

# The example of the design, word for word but for the names of what is there.
DESIGN = """
import surgeon

recipe = surgeon.load_recipe("photos.yaml", {"phases[1].lr": 1e-4})
run = surgeon.train(recipe, "runs/night", on_event=print)
run.result.evaluation.accuracy
run.predict(["rose.jpg"])

surgeon.open_run("runs/night").export("onnx")
"""


@pytest.fixture
def desk(tmp_path: Path, photos: Path, small_network: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with photographs, a recipe and two images, as a reader of the documentation has them."""
    shutil.copytree(photos, tmp_path / "photos")
    write_tiny(tmp_path / "photos.yaml", tmp_path / "photos", small_network)
    for name in ("rose", "tulip"):
        with Image.open(photos / "along" / "1.png") as image:
            image.convert("RGB").save(tmp_path / f"{name}.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_documentation_runs_as_it_is_written(desk: Path) -> None:
    pytest.importorskip("pandas")
    assert len(SNIPPETS) >= 8
    names: dict[str, Any] = {}
    for snippet in SNIPPETS:
        exec(compile(snippet, "docs/python.md", "exec"), names)
    assert len(names["epochs"]) == 3
    assert list(names["tested"].columns) == ["file", "label", "predicted", "probability"]
    assert list(names["probabilities"].columns) == ["across", "along"]
    assert len(names["tested"]) == len(names["probabilities"]) == names["run"].result.evaluation.weighted.support
    assert names["first"] == names["run"].predict(["rose.jpg"])[0]
    assert names["found"].images == 24
    assert (desk / "night.html").exists()
    assert (desk / "why.png").exists()


def test_the_example_of_the_design_runs(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tf2onnx")
    pytest.importorskip("onnxruntime")
    exec(compile(DESIGN, "design.md", "exec"), {})
    assert "EpochEnded(phase='fine-tune', epoch=1" in capsys.readouterr().out
    assert (desk / "runs" / "night" / "export" / "onnx" / "model.onnx").exists()


def test_images_may_be_paths_bytes_and_arrays(trained: Path, photos: Path) -> None:
    run, path = surgeon.open_run(trained), photos / "across" / "3.png"
    with Image.open(path) as image:
        array = np.array(image.convert("RGB"))
    predictions = run.predict([path, str(path), path.read_bytes(), array, b"none"])
    assert len({prediction.probabilities for prediction in predictions[:4]}) == 1
    assert predictions[4].classes == ()
    assert "not a readable image" in str(predictions[4].reason)
    assert run.predict(array) == run.predict([array])
    assert [len(prediction.classes) for prediction in run.predict([path, path], top=1)] == [1, 1]
    with pytest.raises(surgeon.UsageError, match="an array of float64"):
        run.predict(np.zeros((4, 4, 3)))


def test_a_run_shows_itself(trained: Path) -> None:
    run = surgeon.open_run(trained)
    shown = run._repr_html_()
    assert run.result.evaluation is not None
    assert f"{run.result.evaluation.accuracy:.4f}" in shown
    assert shown.count("data:image/png;base64,") == 2


def test_training_goes_on_where_it_was_stopped(desk: Path) -> None:
    def stop(event: surgeon.Event) -> None:
        if isinstance(event, surgeon.EpochEnded) and event.phase == "warm-up":
            raise KeyboardInterrupt

    with pytest.raises(surgeon.RunInterruptedError) as stopped:
        surgeon.train("photos.yaml", "stopped", on_event=stop)
    assert "surgeon resume stopped" in str(stopped.value.hint)
    run = surgeon.train("photos.yaml", "stopped")
    whole = surgeon.train("photos.yaml", "whole")
    assert [phase.audit.digest for phase in run.result.phases] == [phase.audit.digest for phase in whole.result.phases]
    with pytest.raises(surgeon.UsageError, match="a finished run"):
        surgeon.train("photos.yaml", "whole")


@pytest.mark.usefixtures("without_pictures")
def test_who_watches_cannot_fail_a_run(desk: Path) -> None:
    told: list[surgeon.Event] = []

    def fail(event: surgeon.Event) -> None:
        told.append(event)
        raise ValueError("no more room on the wall")

    run = surgeon.train("photos.yaml", "run", on_event=fail)
    assert len(told) == 1
    assert run.result.phases[-1].epochs == 1
    assert "no more room on the wall" not in (desk / "run" / "result.json").read_text(encoding="utf-8")


@pytest.mark.usefixtures("without_pictures")
def test_signals_are_as_before_whatever_stops_a_run(desk: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    def stop(_: surgeon.Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(surgeon.RunInterruptedError) as stopped:  # which keeps the frames of the run alive
        surgeon.train("photos.yaml", "run", on_event=stop)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert stopped.value.exit_code == 130


def test_what_cannot_be_is_said(desk: Path) -> None:
    with pytest.raises(surgeon.UsageError, match="no tracker is called 'tensorbord'") as unknown:
        surgeon.train("photos.yaml", log=["tensorbord"])
    assert unknown.value.hint == "did you mean 'tensorboard'?"
    with pytest.raises(surgeon.RecipeError, match=r"phases\[1\]\.epochs"):
        surgeon.load_recipe("photos.yaml", {"phases[1].epochs": 0})
    with pytest.raises(surgeon.UsageError, match="holds no run"):
        surgeon.open_run("photos")


def test_importing_it_loads_nothing() -> None:
    script = (
        "import sys, surgeon\n"
        "surgeon.SurgeonError, dir(surgeon), surgeon.__all__\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules} & "
        "{'tensorflow', 'keras', 'numpy', 'PIL', 'sklearn', 'matplotlib', 'rich', 'yaml', 'typer'}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def public() -> list[tuple[str, Any]]:
    """All functions that a program may call, methods too."""
    found = [(name, getattr(surgeon, name)) for name in surgeon.__all__ if name[0].islower()]
    return found + [(f"Run.{name}", value) for name, value in vars(surgeon.Run).items() if not name.startswith("_")]


@pytest.mark.parametrize(("name", "value"), public())
def test_every_name_is_typed_and_described(name: str, value: Any) -> None:
    function = value.fget if isinstance(value, property) else getattr(value, "func", value)
    if not inspect.isfunction(function):
        return  # a field
    assert inspect.getdoc(function)
    hints = function.__annotations__
    assert "return" in hints
    assert not any(re.search(r"\bAny\b", str(hint)) for hint in hints.values()), hints
    assert all(parameter in hints for parameter in inspect.signature(function).parameters if parameter != "self")


def test_what_is_promised_is_there() -> None:
    assert set(surgeon.__all__) <= set(dir(surgeon))
    assert all(getattr(surgeon, name) is not None for name in surgeon.__all__)
    assert (Path(surgeon.__file__).parent / "py.typed").exists()
    assert set(typing.get_args(surgeon.Event)) <= {getattr(surgeon, name) for name in surgeon.__all__}
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        surgeon.trian  # noqa: B018
