"""What pip is told: by pyproject.toml, by the hints, by the documentation."""

from __future__ import annotations

import ast
import importlib.metadata
import itertools
import json
import re
import shlex
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import surgeon
from surgeon.catalogue.backbones import BACKBONES
from surgeon.catalogue.exporters import EXPORTERS
from surgeon.errors import DISTRIBUTION, BadImageError, install_hint
from surgeon.formats import recognize
from surgeon.results.subscribers import Tracker
from surgeon.runs.lock import installed_versions

ROOT = Path(__file__).parent.parent
PYPROJECT = (ROOT / "pyproject.toml").read_text("utf-8")
PROJECT = tomllib.loads(PYPROJECT)["project"]
EXTRAS = PROJECT["optional-dependencies"]
TREES = [ast.parse(path.read_text("utf-8")) for path in sorted((ROOT / "surgeon").rglob("*.py"))]
NODES = [node for tree in TREES for node in ast.walk(tree)]
TEXTS = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "SECURITY.md", "Makefile")),
    *(
        path
        for folder in ("surgeon", "docs", "recipes")
        for path in sorted((ROOT / folder).rglob("*.*"))
        if path.suffix in (".md", ".py", ".html", ".svg", ".yaml")
    ),
]
FORBIDDEN = re.compile(r"(?<![\w./-])surgeon\[[a-z]|\binstall\b[^`\n]*[\s'\"]surgeon['\"`\s]")


def canonical(requirement: str) -> str:
    """A distribution's name, as PEP 503 spells it, at the beginning of a requirement."""
    (name,) = re.findall(r"^[\w.-]+", requirement)
    return re.sub(r"[-_.]+", "-", name).lower()


DECLARED = {canonical(one) for one in [*PROJECT["dependencies"], *(one for some in EXTRAS.values() for one in some)]}


def imported_modules() -> set[str]:
    """The top-level modules of other projects that surgeon imports, anywhere."""
    names = {alias.name for node in NODES if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in NODES if isinstance(node, ast.ImportFrom)}
    return {name.split(".")[0] for name in names} - {"surgeon"} - sys.stdlib_module_names


def extras_of_hints() -> Iterator[str]:
    """The extras that hints name: written out, or made from the name of an entry of the catalogue."""
    for node in NODES:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            at = {"install_hint": 0, "require_modules": 2}.get(node.func.id)
            if at is not None and isinstance(extra := node.args[at], ast.Constant):
                yield str(extra.value)
    yield from (name for name, spec in EXPORTERS.own.items() if spec.modules)
    yield from (tracker.value for tracker in Tracker)
    # Lite0 is a dependency.
    yield from {name.removeprefix("efficientnet") for name, spec in BACKBONES.own.items() if spec.weights_package} - {
        "lite0"
    }


# The name


def test_the_distribution_has_a_name_of_its_own() -> None:
    assert PROJECT["name"] == DISTRIBUTION
    assert PROJECT["scripts"] == {"surgeon": "surgeon.cli:main"}


def test_a_lock_knows_the_release_by_the_name_that_it_always_had() -> None:
    assert installed_versions()["surgeon"] == surgeon.__version__


def test_nobody_is_told_to_install_the_other_surgeon() -> None:
    assert not {path: found for path in TEXTS if (found := FORBIDDEN.findall(path.read_text("utf-8")))}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("pip install surgeon", True),
        ("`pip install surgeon`", True),
        ("pip install -U 'surgeon' rich", True),
        ("pip install 'surgeon[heic]'", True),
        ("with `surgeon[heic]`", True),
        ("pip install network-surgeon", False),
        ("pip install 'network-surgeon[heic]'", False),
        ("pip install --editable '/home/me/surgeon[heic]'", False),
    ],
)
def test_the_other_surgeon_is_recognized(text: str, wrong: bool) -> None:
    assert bool(FORBIDDEN.search(f"{text}\n")) == wrong


# Extras


def test_every_extra_of_a_hint_exists() -> None:
    named = set(extras_of_hints())
    assert {"heic", "labels", "openvino", "serve", "onnx", "litert", "lite1", "mlflow"} <= named <= set(EXTRAS)


def test_every_extra_of_the_documentation_exists() -> None:
    for path in TEXTS:
        for extras in re.findall(rf"(?:{DISTRIBUTION}|'\.)\[([\w,-]+)\]", path.read_text("utf-8")):
            assert set(extras.split(",")) <= set(EXTRAS), path


def test_the_tests_install_every_extra() -> None:
    for file in ("Makefile", ".github/workflows/ci.yml"):
        (extras,) = re.findall(r"'\.\[(.+?)\]'", (ROOT / file).read_text("utf-8"))
        assert sorted(extras.split(",")) == sorted(EXTRAS), file


def test_the_citation_is_of_this_release() -> None:
    assert f"\nversion: {surgeon.__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")


@pytest.fixture
def installed_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[object], None]]:
    """Makes pip's record say where surgeon was installed from; None is an index."""
    record = tmp_path / "site" / f"network_surgeon-{surgeon.__version__}.dist-info"

    def install(origin: object) -> None:
        record.mkdir(parents=True)
        (record / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {DISTRIBUTION}\nVersion: 0.1.0\n")
        if origin is not None:
            (record / "direct_url.json").write_text(json.dumps(origin))

    monkeypatch.syspath_prepend(str(record.parent))
    install_hint.cache_clear()
    yield install
    install_hint.cache_clear()


@pytest.mark.parametrize(
    "origin", [None, {"url": "file:///tmp/network_surgeon-0.1.0-py3-none-any.whl", "archive_info": {}}]
)
def test_what_came_from_an_index_or_a_wheel_gets_its_extra_by_name(
    origin: object, installed_from: Callable[[object], None]
) -> None:
    installed_from(origin)
    assert install_hint("heic") == "pip install 'network-surgeon[heic]'"


@pytest.mark.parametrize("editable", [False, True])
@pytest.mark.parametrize("name", ["surgeon", "my own surgeon", "Jane's [old] #1 été"])
def test_what_came_from_a_checkout_gets_its_extra_from_there(
    name: str, editable: bool, tmp_path: Path, installed_from: Callable[[object], None]
) -> None:
    checkout = tmp_path / name
    checkout.mkdir()
    (checkout / "pyproject.toml").touch()
    installed_from({"url": checkout.as_uri(), "dir_info": {"editable": True} if editable else {}})
    option = ["--editable"] if editable else []
    assert shlex.split(install_hint("heic")) == ["pip", "install", *option, f"{checkout}[heic]"]
    assert install_hint("heic", travels=True) == "pip install 'network-surgeon[heic]'"


def test_a_checkout_that_is_gone_is_not_named(tmp_path: Path, installed_from: Callable[[object], None]) -> None:
    installed_from({"url": (tmp_path / "gone").as_uri(), "dir_info": {"editable": True}})
    assert install_hint("heic") == "pip install 'network-surgeon[heic]'"


def test_what_is_said_of_an_image_does_not_tell_where_a_checkout_lies(
    tmp_path: Path, installed_from: Callable[[object], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").touch()
    installed_from({"url": tmp_path.as_uri(), "dir_info": {"editable": True}})
    monkeypatch.setattr("surgeon.formats.find_spec", lambda module: None)
    with pytest.raises(BadImageError) as caught:
        recognize(b"\0\0\0\x18ftypheic")
    assert caught.value.reason == "a HEIC image; pip install 'network-surgeon[heic]', or convert it to JPEG"


def test_the_shells_of_windows_get_no_single_quotes(
    installed_from: Callable[[object], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    installed_from(None)
    monkeypatch.setattr(sys, "platform", "win32")
    assert install_hint("heic") == "pip install network-surgeon[heic]"


# Dependencies


def test_what_is_imported_is_declared() -> None:
    homes = importlib.metadata.packages_distributions()
    for module in imported_modules() & homes.keys():  # the others belong to extras that are not installed here
        assert {canonical(home) for home in homes[module]} & DECLARED, f"{module} comes from {homes[module]}"


def test_what_is_declared_is_imported() -> None:
    # Converters and servers are also named as text: to `require_modules`, or to be run.
    named = imported_modules() | {spec.weights_package for spec in BACKBONES.own.values()}
    named |= {node.value for node in NODES if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    modules: dict[str, set[str]] = {}
    for module, homes in importlib.metadata.packages_distributions().items():
        for home in homes:
            modules.setdefault(canonical(home), set()).add(module)
    for name in DECLARED & modules.keys():
        assert modules[name] & named, f"{name} brings {modules[name]}"


def test_every_dependency_says_why_it_is_there() -> None:
    (table,) = re.findall(r"^dependencies = \[\n.+?^\[project.scripts\]", PYPROJECT, re.MULTILINE | re.DOTALL)
    lines = table.splitlines()
    for before, line in itertools.pairwise(lines):
        if re.search(r'"[\w-]+[=>]=', line):
            assert "  # " in line or before.lstrip().startswith("#"), line


def test_keras_is_bounded() -> None:
    """Private names of it are used, which a minor release may change."""
    (keras,) = (one for one in PROJECT["dependencies"] if canonical(one) == "keras")
    assert re.fullmatch(r"keras>=[\d.]+,<3\.\d+", keras)
