"""Who may import whom, and what no quick command may load."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import surgeon

PACKAGE = Path(surgeon.__file__).parent

# A module imports from its own row or from rows above it.
ROWS = (
    {"errors", "files", "formats", "share", "tensorflow", "text", "surgeon"},
    {"networks"},
    {"catalogue"},
    {"recipe"},
    {"results"},
    {"report"},
    {"store"},
    {"data"},
    {"model"},
    {"evaluation"},
    {"training"},
    {"export"},
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


def imports(path: Path, *, for_types: bool) -> set[str]:
    """The modules of surgeon that a file imports, anywhere in it; with or without those for annotations only."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    only_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in only_types and not for_types:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{name.name}" if node.module == "surgeon" else node.module for name in node.names}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return {module for module in found if module.split(".")[0] == "surgeon"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_upwards(path: Path) -> None:
    relative = path.relative_to(PACKAGE).with_suffix("")
    own = relative.parts[0] if relative.parts[0] != "__init__" else "surgeon"
    rank = {name: number for number, row in enumerate(ROWS) for name in row}
    for module in imports(path, for_types=False):
        assert rank[room(module)] <= rank[own], f"{relative} imports {module}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "report").glob("*.py")), ids=lambda path: path.name)
def test_report_knows_results_only(path: Path) -> None:
    assert {room(module) for module in imports(path, for_types=False)} <= REPORT_MAY_IMPORT


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_report_and_cli_print(path: Path) -> None:
    if path.relative_to(PACKAGE).parts[0] in {"report", "cli", "generate"}:
        return
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    assert not [call for call in calls if ast.unparse(call.func) in {"print", "typer.echo", "console.print"}]


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
    script = (
        "import sys\n"
        f"sys.argv = ['surgeon', *{arguments!r}]\n"
        "from surgeon.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        f"print('LOADED', *[name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED"
