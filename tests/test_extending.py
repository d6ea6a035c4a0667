"""Entries of other packages: listed, checked, trained and exported as surgeon's own; what is wrong is left out."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from surgeon.catalogue import BackboneSpec, ExporterSpec, SourceSpec
from surgeon.catalogue.building import load_table
from surgeon.errors import SurgeonError

TESTS = Path(__file__).parent
GARDEN, WEEDS = TESTS / "data" / "garden", TESTS / "data" / "weeds"
RECIPE = """\
recipe: 1
data: {{source: {{beds: 8}}, split: {{test: 0.25, seed: 1}}, batch_size: 4}}
backbone: {{name: {name}, weights: none}}
head: [global_average_pooling, {{dense: {{units: classes, activation: softmax}}}}]
phases:
  - {{trainable: head, lr: 0.01, epochs: 1}}
  - {{trainable: {trainable}, lr: 0.01, epochs: 1}}
"""
SCRIPT = """\
import sys
from surgeon.cli import main
for arguments in {commands!r}:
    sys.argv = ["surgeon", *arguments]
    try:
        main()
    except SystemExit as end:
        print("EXIT", end.code or 0)
print("LOADED", "tensorflow" in sys.modules)
"""


def front_door(folder: Path, *commands: str, packages: tuple[Path, ...] = (GARDEN,)) -> tuple[list[str], str, str]:
    """Runs commands in a process of their own, in which packages are installed; returns exit codes, output, errors."""
    path = os.pathsep.join(map(str, (TESTS.parent, *packages)))
    script = SCRIPT.format(commands=[command.split() for command in commands])
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    return re.findall("^EXIT (.+)$", done.stdout, re.MULTILINE), done.stdout, done.stderr


def test_entries_of_other_packages_are_listed_and_checked_and_faulty_ones_left_out(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(RECIPE.format(name="tulip", trainable="block2_conv.."))
    (tmp_path / "bad.yaml").write_text(RECIPE.format(name="tulp", trainable="head").replace("beds", "bedz"))
    commands = ("backbones", "sources beds --format json", "exporters", "layers tulip", "validate good.yaml bad.yaml")
    codes, out, err = front_door(tmp_path, *commands, packages=(WEEDS, GARDEN))
    assert codes == ["0", "0", "0", "0", "2"]
    assert re.search("^ tulip .+ garden", out, re.MULTILINE)
    assert re.search("^ thistle .+ weeds", out, re.MULTILINE)
    assert '"package": "garden"' in out
    assert re.search("^ parts .+ garden", out, re.MULTILINE)
    assert "The top begins at 7 (pool); the default cut is after layer 6 (block2_relu)." in " ".join(out.split())
    assert "good.yaml: OK" in out
    assert "no backbone is called 'tulp'; did you mean 'tulip'?" in out
    assert "no source is called 'bedz'; did you mean 'beds'?" in out
    assert "LOADED False" in out
    assert [line for line in err.splitlines() if line.startswith("warning: ")] == [
        "warning: 'vgg16' of the backbones of the package weeds is left out: surgeon has one of that name",
        "warning: 'tulip' of the backbones of the package weeds is left out: garden has one of that name",
        "warning: the sources of the package weeds (weeds.missing:SOURCE) are left out: ModuleNotFoundError: "
        "No module named 'weeds.missing'; 'weeds' is not a package",
        "warning: the exporters of the package weeds (weeds:EXPORTER) are left out: expected ExporterSpec or an "
        "iterable of them, found 'not a spec'",
    ]
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_network_of_other_packages_is_trained_exported_and_opened(tmp_path: Path) -> None:
    """Daisy has no layer table, and tulip is cut in its top."""
    (tmp_path / "daisy.yaml").write_text(RECIPE.format(name="daisy", trainable="conv2d_1.."))
    tulip = RECIPE.format(name="tulip", trainable="predictions..").replace("none}", "none, cut: predictions}")
    (tmp_path / "tulip.yaml").write_text(tulip.replace("global_average_pooling, ", ""))
    image = TESTS / "recipes" / "data" / "cats" / "cat" / "1.png"
    codes, out, err = front_door(
        tmp_path,
        "validate daisy.yaml tulip.yaml",
        "layers daisy",
        "run daisy.yaml --out daisy -q",
        "run tulip.yaml --out tulip -q",
        "export daisy --to parts",
        f"predict daisy/export/parts {image}",
    )
    assert codes == ["0"] * 6, err
    assert "It has no top; the default cut is after layer 3 (max_pooling2d)." in " ".join(out.split())
    assert json.loads((tmp_path / "daisy" / "lock.json").read_text())["versions"]["garden"] == "1.2"
    without = (f"predict daisy {image}", f"predict daisy/export/parts {image}", "reproduce daisy --out again")
    codes, _, err = front_door(tmp_path, *without, packages=())
    assert codes == ["0", "2", "2"]
    assert "no format is called 'parts'\nhint: there are keras, savedmodel, litert, onnx; if it belongs to" in err
    assert "no source is called 'beds'" in err


def test_the_code_in_the_docs_is_that_of_the_package() -> None:
    page = (TESTS.parent / "docs" / "extending.md").read_text("utf-8")
    package = (GARDEN / "garden" / "__init__.py").read_text("utf-8")
    blocks = re.findall(r"```python\n(.+?)```", page, re.DOTALL)
    assert len([block for block in blocks if block in package]) == len(blocks) - 1  # one writes the table
    points = (GARDEN / "garden-1.2.dist-info" / "entry_points.txt").read_text("utf-8")
    named = re.findall(r'^(\w+) = "(.+)"$', page, re.MULTILINE)
    assert re.findall(r"^(\w+) = (.+)$", points, re.MULTILINE) == named


def test_the_layer_table_of_the_package_is_as_the_docs_write_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(GARDEN)
    import garden  # type: ignore[import-not-found]

    from surgeon.generate.layer_tables import layer_table_text

    assert garden.TULIP.layer_table.read_text("utf-8") == layer_table_text(garden.TULIP)


def with_lambda(input_shape: tuple[int, int, int], include_top: bool) -> Any:
    import keras

    return keras.Sequential([keras.Input(input_shape), keras.layers.Lambda(lambda maps: maps, name="code")])


def with_a_layer_of_its_own(input_shape: tuple[int, int, int], include_top: bool) -> Any:
    import keras

    class Own(keras.layers.Layer):  # type: ignore[misc]
        pass

    return keras.Sequential([keras.Input(input_shape), Own(name="own")])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda *_: 1 / 0, "odd cannot be built for images of 32 x 32 pixels: division by zero"),
        (lambda *_: None, "odd is built as NoneType"),
        (with_lambda, "layer 'code' of odd is a Lambda, which cannot be opened again"),
        (with_a_layer_of_its_own, "layer 'own' of odd is a Own, which cannot be opened again"),
    ],
)
def test_a_backbone_that_cannot_be_used_is_said(build: Any, message: str) -> None:
    spec = BackboneSpec(name="odd", summary="", preprocessing="none", image_size=32, build=build)
    with pytest.raises(SurgeonError, match=re.escape(message)):
        load_table(spec, (32, 32))


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (SourceSpec, {"read": None, "shorthand": "number"}, "'odd' has no parameter 'number'"),
        (SourceSpec, {"read": None, "required": ("number",)}, "'odd' has no parameter 'number'"),
        (SourceSpec, {"read": None, "parameters": {"number": {}}}, "'number' of 'odd' needs a type"),
        (BackboneSpec, {"build": None, "image_size": 32, "preprocessing": "cafe"}, "did you mean 'caffe'?"),
        (ExporterSpec, {"file": "model", "write": None, "open": None, "name": "run"}, "no format can be called 'run'"),
    ],
)
def test_a_spec_that_would_fail_later_is_refused(kind: Any, fields: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, SurgeonError), match=re.escape(message)):
        kind(**{"name": "odd", "summary": "", **fields})
