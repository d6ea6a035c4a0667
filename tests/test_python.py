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
    assert names["found"].weighted.support == 24
    assert (desk / "night.html").exists()
    assert (desk / "why.png").exists()


@pytest.mark.slow
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
    assert "not an image that surgeon reads" in str(predictions[4].reason)
    assert run.predict(array) == run.predict([array])
    assert [len(prediction.classes) for prediction in run.predict([path, path], top=1)] == [1, 1]
    assert run.predict(np.stack([array, array])) == run.predict([array, array])


@pytest.mark.parametrize(
    ("images", "message", "hint"),
    [
        (np.zeros((4, 4, 3)), "an array of float64", "RGB from 0 to 255"),
        (np.zeros((4, 4, 1), np.uint8), r"of the shape \(4, 4, 1\)", "RGB from 0 to 255"),
        (Image.new("RGB", (4, 4)), "image 0 is of the type Image", r"numpy\.array\(image\.convert\('RGB'\)\)"),
        ([b"none", 3], "image 1 is of the type int", "give a path"),
    ],
    ids=["float", "grey", "pillow", "number"],
)
def test_what_is_no_image_is_said(trained: Path, images: Any, message: str, hint: str) -> None:
    """The text of an error has the hint: a notebook shows nothing else."""
    with pytest.raises(surgeon.UsageError, match=f"{message}.*; .*{hint}"):
        surgeon.open_run(trained).predict(images)


def test_a_run_opens_its_network_once(trained: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from surgeon.inference import classify

    opened: list[int] = []

    def count(folder: Path, images: int = 1) -> Any:
        opened.append(images)
        return open_classifier(folder, images)

    open_classifier = classify.open_classifier
    monkeypatch.setattr(classify, "open_classifier", count)
    run, path = surgeon.open_run(trained), photos / "across" / "3.png"
    assert run.predict(path) == run.predict([path, path])[:1]
    run.explain(path, method="occlusion")
    monkeypatch.setattr("surgeon.inference.explaining.build_explainer", None)  # a second one fails
    run.explain(path, method="occlusion")
    assert opened == [1]


def test_a_run_shows_itself(trained: Path) -> None:
    run = surgeon.open_run(trained)
    shown = run._repr_html_()
    assert run.result.evaluation is not None
    assert f"{run.result.evaluation.accuracy:.4f}" in shown
    assert shown.count("data:image/png;base64,") == 2


def test_what_a_notebook_shows_of_a_value_is_short(desk: Path) -> None:
    """Of a plan the choices, of the images the classes: neither hundreds of layers nor thousands of files."""
    recipe, checked = surgeon.load_recipe("photos.yaml"), surgeon.check("photos")
    assert "LayerRow" not in repr(recipe)
    assert "epochs=2" in repr(recipe)
    assert ".png" not in repr(checked.index)
    assert "classes=('across', 'along')" in repr(checked.index)


@pytest.mark.usefixtures("without_pictures")
def test_progress_is_shown_on_request(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a file there are the lines that stay; without being asked, the library writes nothing."""
    surgeon.train("photos.yaml", "asked", on_event=surgeon.show_progress)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("phase 2/2: fine-tune, ")]
    assert [line.split()[:2] for line in lines if line.startswith("  epoch")] == [["epoch", n] for n in "121"]
    assert not any("decode" in line or "step 1/" in line for line in lines)
    surgeon.check("photos")
    assert capsys.readouterr() == ("", "")


def test_progress_overwrites_its_line_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # what rich takes for a terminal
    monkeypatch.setenv("COLUMNS", "60")
    surgeon.show_progress(surgeon.Progress("decode\x1b[2J images", 1, 2, "images"))
    surgeon.show_progress(surgeon.Progress("decode images", 2, 2, "images"))
    surgeon.show_progress(surgeon.BatchEnded("warm-up", 1, 3, 4, 0.25, 0.5))
    surgeon.show_progress(surgeon.EpochEnded("warm-up", 1, 1.5, {"loss": 0.25}))
    _, begun, cleared, step, line = re.split("\r+", capsys.readouterr().out)
    assert begun == "decode\\x1b[2J images: 1/2 images".ljust(59)
    assert cleared == " " * 59
    assert step == "  epoch  1  step 3/4  loss 0.250  accuracy 0.500".ljust(59)
    assert line == "  epoch  1  loss 0.25  1.5 s".ljust(59) + "\n"


@pytest.mark.slow
def test_training_goes_on_where_it_was_stopped(desk: Path) -> None:
    def stop(event: surgeon.Event) -> None:
        if isinstance(event, surgeon.EpochEnded) and event.phase == "warm-up":
            raise KeyboardInterrupt

    with pytest.raises(surgeon.RunInterruptedError) as stopped:
        surgeon.train("photos.yaml", "stopped", on_event=stop)
    assert "`surgeon resume stopped` or, in Python, `surgeon.train(recipe, 'stopped')`" in str(stopped.value)
    assert "not finished" in surgeon.open_run("stopped")._repr_html_()
    with pytest.raises(surgeon.UsageError, match="a run of another recipe"):
        surgeon.train(surgeon.load_recipe("photos.yaml", {"seed": 8}), "stopped")
    run = surgeon.train("photos.yaml", "stopped")
    whole = surgeon.train("photos.yaml", "whole")
    assert [phase.audit.digest for phase in run.result.phases] == [phase.audit.digest for phase in whole.result.phases]
    with pytest.raises(surgeon.UsageError, match=r"a finished run.*surgeon\.open_run\('whole'\)"):
        surgeon.train("photos.yaml", "whole")
    with pytest.raises(surgeon.UsageError, match="runs in this folder: 2; the latest is whole"):
        surgeon.open_run(".")


@pytest.mark.usefixtures("without_pictures")
def test_who_watches_cannot_fail_a_run(desk: Path) -> None:
    told: list[surgeon.Event] = []

    def fail(event: surgeon.Event) -> None:
        told.append(event)
        raise ValueError("no more room on the wall")

    with pytest.warns(RuntimeWarning, match=r"fail gets no more events.* ValueError: no more room on the wall"):
        run = surgeon.train("photos.yaml", "run", on_event=fail)
    assert len(told) == 1
    assert run.result.phases[-1].epochs == 1
    surgeon.check("photos", on_event=fail)  # warnings are errors here, and no reason to stop either
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
    with pytest.raises(surgeon.UsageError, match=r"holds no run: there is no recipe\.yaml in it"):
        surgeon.open_run("photos")
    with pytest.raises(surgeon.UsageError, match="there is no folder photo"):
        surgeon.open_run("photo")
    with pytest.raises(surgeon.UsageError, match="no tracker is called 'tensorbord'"):
        surgeon.train("photos.yaml", log="tensorbord")
    with pytest.raises(surgeon.UsageError, match=r"on_event is True, not a function.*surgeon\.show_progress"):
        surgeon.train("photos.yaml", on_event=True)  # type: ignore[arg-type]
    with pytest.raises(surgeon.UsageError, match=r"phases\[1\]\.epochs: expected a number.*found set"):
        surgeon.load_recipe("photos.yaml", {"phases[1].epochs": {1}})
    assert not (desk / "runs").exists()


def test_overrides_may_be_numbers_of_numpy_and_paths(desk: Path) -> None:
    values = {"phases[1].lr": np.float32(0.5), "seed": np.int64(3), "data.source.folder": desk / "photos"}
    recipe = surgeon.load_recipe("photos.yaml", values)
    assert (recipe.phases[1].lr.parameters["value"], recipe.seed) == (0.5, 3)
    assert Path(recipe.data.source.parameters["path"]) == desk / "photos"


def test_what_cannot_be_asked_of_a_run_is_said(trained: Path) -> None:
    run = surgeon.open_run(trained)
    with pytest.raises(surgeon.UsageError, match=r"'bee' is not a class.*expected across, along"):
        run.explain("rose.jpg", "bee")
    with pytest.raises(surgeon.UsageError, match="no method is called 'gradcam'; did you mean 'grad-cam'"):
        run.explain("rose.jpg", method="gradcam")
    with pytest.raises(surgeon.BadImageError, match=r"rose\.jpg: cannot be read"):
        run.explain("rose.jpg")
    with pytest.raises(surgeon.UsageError, match="expected top of 1 or more, found 0"):
        run.predict("rose.jpg", top=0)


def test_a_logger_that_awakes_in_silence_speaks_afterwards() -> None:
    """TensorFlow's makes its handler at the first warning; what it would write to is closed with the silence."""
    script = (
        "import logging\n"
        "from surgeon.tensorflow import held_back\n"
        "logger = logging.getLogger('awakes in silence')\n"
        "with held_back():\n    logger.addHandler(logging.StreamHandler())\n"
        "logger.warning('too many shapes')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == "too many shapes\n"


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
