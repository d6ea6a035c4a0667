"""Who may import whom, and what no quick command may load."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import slow_but

import surgeon

PACKAGE = Path(surgeon.__file__).parent

# A module imports from its own row or from rows above it.
ROWS = (
    {
        "cells",
        "errors",
        "files",
        "formats",
        "patterns",
        "records",
        "resizing",
        "share",
        "tensorflow",
        "text",
        "surgeon",
    },
    {"networks"},
    {"catalogue"},
    {"recipe"},
    {"results"},
    {"report"},
    {"store"},
    {"data"},
    {"planning"},
    {"evaluation"},
    {"runs"},
    {"model"},
    {"features"},
    {"training", "inference"},
    {"search"},
    {"export"},
    {"publishing"},
    {"run"},
    {"api"},
    {"searches", "series"},
    {"serve"},
    {"cli", "__main__"},
    {"generate"},
)
REPORT_MAY_IMPORT = {"errors", "text", "catalogue", "recipe", "results", "report"}
MODULES = sorted(PACKAGE.rglob("*.py"))
HEAVY = ("tensorflow", "keras", "sklearn", "numpy", "scipy", "PIL", "matplotlib", "pooch")


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "surgeon"


def imports(path: Path) -> set[str]:
    """The modules of surgeon that a file imports, anywhere in it, for annotations too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{name.name}" if node.module == "surgeon" else node.module for name in node.names}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return {module for module in found if module.split(".")[0] == "surgeon"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_upwards(path: Path) -> None:
    relative = path.relative_to(PACKAGE).with_suffix("")
    own = relative.parts[0] if relative.parts[0] != "__init__" else "searches"  # the front door leads everywhere
    rank = {name: number for number, row in enumerate(ROWS) for name in row}
    for module in imports(path):
        assert rank[room(module)] <= rank[own], f"{relative} imports {module}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "report").glob("*.py")), ids=lambda path: path.name)
def test_report_knows_results_only(path: Path) -> None:
    assert {room(module) for module in imports(path)} <= REPORT_MAY_IMPORT


KERAS_FREE = {"recipe", "results", "report", "store", "data", "planning", "evaluation", "runs", "cli"}
WITH_KERAS = {"networks", "model", "features", "training", "search", "generate"}  # at the top of their modules


@pytest.mark.parametrize("name", sorted(KERAS_FREE))
def test_rooms_without_keras_import_none_by_any_way(name: str) -> None:
    """Neither themselves, anywhere in them, nor through a room that does."""
    for path in (PACKAGE / name).rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        named = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        named |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not {module.split(".")[0] for module in named} & {"keras", "tensorflow"}, path
        assert not {room(module) for module in imports(path)} & WITH_KERAS, path


def imported_at_the_top(path: Path) -> set[str]:
    """The packages that a file imports as soon as it is imported."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module).split(".")[0])
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_rooms_that_load_keras_import_it_at_the_top(path: Path) -> None:
    """Elsewhere it would come before its settings, since imports are sorted."""
    if imported_at_the_top(path) & {"keras", "tensorflow"}:
        assert path.relative_to(PACKAGE).parts[0] in WITH_KERAS


@pytest.mark.parametrize("name", sorted(WITH_KERAS))
def test_who_enters_a_room_with_keras_has_loaded_it(name: str) -> None:
    *_, last = ast.parse((PACKAGE / name / "__init__.py").read_text(encoding="utf-8")).body
    assert ast.unparse(last) == "load_tensorflow()"


# What shows text, or makes what is obeyed where it is shown, and the modules that alone may name it: there all text is
# made printable. A table's cell and a line given to ``Terminal.show`` need nothing else.
GATES: dict[str, set[str]] = {
    "csv": {"cells.py", "catalogue/sources/csv_file.py"},
    "html": set(),
    "jinja2": {"report/markup.py"},
    "markupsafe": {"report/card.py", "report/markup.py"},
    "print": set(),
    "rich.console.Console": {"report/terminal.py"},
    "rich.get_console": set(),
    "rich.markdown": set(),
    "rich.markup": set(),
    "rich.print": set(),
    "rich.progress.TextColumn": {"report/progress.py"},
    "rich.prompt": set(),
    "rich.text": {"report/terminal.py"},
    "sys.stderr": {"cli/output.py", "tensorflow.py"},
    "sys.stdout": {"cli/output.py", "tensorflow.py"},
    "typer.echo": {"cli/output.py"},
    "typer.secho": set(),
    "typer.style": set(),
    "warnings.warn": {"catalogue/entry.py", "results/subscribers.py"},
}


def detours(source: str, module: str) -> list[str]:
    """What a module names, other than for types, that only others may; and markup that it switches on."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    nodes = list(ast.walk(tree))
    means = {
        alias.asname or alias.name: f"{node.module}.{alias.name}" if isinstance(node, ast.ImportFrom) else alias.name
        for node in nodes
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    means["print"] = means.get("print", "print")
    named = set(means.values()) - {"print"}
    for node in nodes:
        if isinstance(node, ast.Name | ast.Attribute):
            first, *others = ast.unparse(node).split(".")
            if first in means:
                named.add(".".join([means[first], *others]))
    found = {
        gate
        for gate, keepers in GATES.items()
        if module not in keepers and any(f"{name}.".startswith(f"{gate}.") for name in named)
    }
    if module != "report/terminal.py":
        found |= {"Terminal.print" for node in nodes if isinstance(node, ast.Attribute) and node.attr == "print"}
        found |= {"markup" for node in nodes if isinstance(node, ast.keyword) and node.arg in ("markup", "emoji")}
    return sorted(found)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_text_from_outside_has_no_way_around_the_gates(path: Path) -> None:
    module = path.relative_to(PACKAGE).as_posix()
    if not module.startswith("generate/"):
        assert not detours(path.read_text(encoding="utf-8"), module)


@pytest.mark.parametrize(
    ("planted", "gate"),
    [
        ("print(f'the class {name}')", "print"),
        ("import typer\ntyper.echo(name)", "typer.echo"),
        ("from typer import secho as say\nsay(name)", "typer.secho"),
        ("import sys\nsys.stdout.write(name)", "sys.stdout"),
        ("from sys import stderr", "sys.stderr"),
        ("from rich.console import Console\nConsole().print(name)", "rich.console.Console"),
        ("import rich.console as shown\nshown.Console()", "rich.console.Console"),
        ("def f():\n    from rich.text import Text\n    return Text(name)", "rich.text"),
        ("from html import escape\nescape(name)", "html"),
        ("from markupsafe import Markup\nMarkup(name)", "markupsafe"),
        ("import csv\ncsv.writer(file).writerow([name])", "csv"),
        ("from rich import print", "rich.print"),
        ("from rich.markup import escape\ntitle = f'[bold]{escape(name)}'", "rich.markup"),
        ("console.print(name)", "Terminal.print"),
        ("console.render_str(name, markup=True)", "markup"),
    ],
)
def test_a_way_around_the_gates_is_found(planted: str, gate: str) -> None:
    assert gate in detours(planted, "cli/planted.py")


def test_what_is_imported_for_types_only_is_no_way_around() -> None:
    assert not detours("if TYPE_CHECKING:\n    from rich.text import Text\ndef f(x: Text): ...", "cli/planted.py")


RECIPES = PACKAGE.parent / "recipes"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["run", "--help"],
        ["validate", str(RECIPES / "vgg16_flowers17.yaml"), str(RECIPES / "quickstart.yaml")],
        ["layers", "vgg16"],
        ["layers", str(RECIPES / "vgg16_flowers17.yaml")],
        ["backbones"],
        ["optimizers", "adam"],
        ["recipes", "list"],
    ],
    ids=" ".join,
)
def test_quick_commands_load_nothing_heavy(arguments: list[str]) -> None:
    assert loaded_by(arguments, HEAVY) == []


def loaded_by(arguments: Sequence[object], modules: Sequence[str]) -> list[str]:
    """Which of some modules a command that succeeds loads."""
    script = (
        "import sys\n"
        f"sys.argv = ['surgeon', *{list(map(str, arguments))!r}]\n"
        "from surgeon.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        f"print('LOADED', *[name for name in {modules!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1].split()[1:]


@pytest.mark.parametrize("command", slow_but(("report", "card", "diff"), ("report", "card", "compare", "diff")))
def test_a_command_that_reads_runs_loads_no_tensorflow(finished_run: Path, tmp_path: Path, command: str) -> None:
    others = {"compare": [finished_run, "--out", tmp_path / "page.html"], "diff": [finished_run]}
    assert loaded_by([command, finished_run, *others.get(command, [])], ("tensorflow", "keras")) == []


@pytest.mark.slow
@pytest.mark.parametrize(("form", "package"), [("onnx", "onnxruntime"), ("litert", "ai_edge_litert")])
def test_other_runtimes_predict_without_tensorflow(
    finished_run: Path, photos: Path, tmp_path: Path, form: str, package: str
) -> None:
    pytest.importorskip(package)
    surgeon.open_run(finished_run).export(form, out=tmp_path / "bundle")
    heavy = ("tensorflow", "keras", "sklearn", "matplotlib")
    for command, data in (("predict", photos / "along" / "1.png"), ("evaluate", photos)):
        assert loaded_by([command, tmp_path / "bundle", data], heavy) == [], command


@pytest.mark.parametrize("path", sorted((PACKAGE / "cli").glob("*.py")), ids=lambda path: path.name)
def test_the_command_line_has_no_way_of_its_own(path: Path) -> None:
    """It parses, calls and renders; what trains lies behind the front door."""
    assert not {room(module) for module in imports(path)} & {"training", "features", "model"}
