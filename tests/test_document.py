from __future__ import annotations

import re
import shutil
import string
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from surgeon.catalogue.kinds import KINDS
from surgeon.errors import Location, RecipeError
from surgeon.recipe.compiler import compile_recipe, validate_recipe
from surgeon.recipe.document import Document, dump_document, parse_document, read_document, spell_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from surgeon.errors import Diagnostic

RECIPES = Path(__file__).parent / "recipes"
MINIMAL = RECIPES / "valid/minimal.yaml"


def parse(text: bytes | str) -> Document:
    return parse_document(text, Path("x.yaml"))


def problems(text: bytes | str) -> list[str]:
    with pytest.raises(RecipeError) as error:
        parse(text)
    return [str(diagnostic) for diagnostic in error.value.diagnostics]


class TestScalars:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("3", 3),
            ("-3", -3),
            ("+3", 3),
            ("007", 7),
            ("0x1f", 31),
            ("0o17", 15),
            ("1e-4", 0.0001),
            ("1E3", 1000.0),
            ("1.", 1.0),
            (".5", 0.5),
            ("-.5", -0.5),
            ("2.5e+2", 250.0),
            ("9007199254740992", 2**53),
            ("true", True),
            ("True", True),
            ("FALSE", False),
            ("null", None),
            ("~", None),
            ("", None),
            ("!!str 3", "3"),
            ("!!int '3'", 3),
            ("!!float 3", 3),
            ("!!null ''", None),
        ],
    )
    def test_numbers_booleans_and_null(self, text: str, value: object) -> None:
        found = parse(f"x: {text}").values["x"]
        assert found == value
        assert type(found) is type(value) or text == "!!float 3"

    @pytest.mark.parametrize(
        "text",
        "on off yes no y n On NO 15..18 15.. ..10 1_000 1:30 1,5 0b11 0x 0xfg 1e 1e5x .nan .inf -.INF NaN . + - "
        "2026-07-04 2026-07-04T12:00:00Z = << block5_* tRue NULl 12e03.5 1.2.3 0o8 +0x1f".split(),
    )
    def test_all_else_is_text(self, text: str) -> None:
        if text in {"-", "*"}:
            pytest.skip("an indicator of YAML")
        assert parse(f"x: {text}").values["x"] == text

    def test_quotes_make_text(self) -> None:
        assert parse("""[ "3", 'true', "null", "1e-4", '' ]""").values == ["3", "true", "null", "1e-4", ""]

    @pytest.mark.parametrize("text", ["9007199254740993", "1e400", "-1e400", "9" * 5000, "-" + "9" * 5000, "0x" + "f" * 20])
    def test_numbers_beyond_what_a_float_counts_are_refused(self, text: str) -> None:
        (problem,) = problems(f"x: {text}")
        assert problem.startswith("x.yaml:1:4: x: '")
        assert problem.endswith(" is too large; numbers go up to 9,007,199,254,740,992")
        assert len(problem) < 150

    def test_a_dumped_document_reads_as_the_same_values(self) -> None:
        values = {
            "texts": ["3", "1e-4", "0o17", "true", "on", "~", "", "15..18", ".5", "1_000", "null", "<<", "=", "ä 🌷\n"],
            "numbers": [3, 1e-7, 0.5, -2.0, 2**53, 1e22 / 1e10],
            "1": True,
            "null": None,
            "lists": [[], {}, [[1], {"a": [2]}]],
        }
        assert parse(dump_document(values)).values == values


class TestEncodings:
    TEXT = "name: Bäume 🌷\n"

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_a_byte_order_mark_is_honoured(self, encoding: str) -> None:
        assert parse(self.TEXT.encode(encoding)).values == {"name": "Bäume 🌷"}

    def test_line_ends_of_windows(self) -> None:
        document = parse("a: 1\r\nb: 2\r\n")
        assert document.values == {"a": 1, "b": 2}
        assert document.location(("b",)) == Location("x.yaml", 2, 1)

    def test_columns_count_characters_and_not_bytes(self) -> None:
        assert problems("ä: 🌷 \N{DELETE}") == ["x.yaml:1:6: not YAML: the character '\\x7f' is not allowed; remove it"]
        assert problems("ä: 🌷 ".encode() + b"\xfc") == ["x.yaml:1:6: the byte 0xfc is not UTF-8; save the file in UTF-8"]


class TestLocations:
    DOCUMENT = parse("a: 1\nb:\n  - c: [x,  y]\n    d: {e: 2}\n  - |\n    text\n")

    @pytest.mark.parametrize(
        ("path", "line", "column"),
        [
            ((), 1, 1),
            (("a",), 1, 1),
            (("b",), 2, 1),
            (("b", 0), 3, 5),
            (("b", 0, "c"), 3, 5),
            (("b", 0, "c", 0), 3, 9),
            (("b", 0, "c", 1), 3, 13),
            (("b", 0, "d", "e"), 4, 9),
            (("b", 1), 5, 5),
        ],
    )
    def test_an_entry_stands_where_its_key_does_and_an_item_where_it_begins(
        self, path: tuple[str | int, ...], line: int, column: int
    ) -> None:
        assert self.DOCUMENT.locations[path] == Location("x.yaml", line, column)

    def test_what_is_missing_is_located_at_the_nearest_value_around_it(self) -> None:
        assert self.DOCUMENT.location(("b", 0, "d", "missing", 3)) == Location("x.yaml", 4, 5)
        assert self.DOCUMENT.location(("missing",)) == Location("x.yaml", 1, 1)

    def test_an_aliased_value_is_located_at_its_anchor(self) -> None:
        document = parse("a: &here {x: 1}\nb: *here\n")
        assert document.values["b"] == {"x": 1}
        assert document.location(("b",)) == Location("x.yaml", 2, 1)
        assert document.location(("b", "x")) == Location("x.yaml", 1, 11)

    def test_paths_are_spelled_apart(self) -> None:
        assert spell_path(()) == ""
        assert spell_path(("phases", 1, "lr")) == "phases[1].lr"
        assert spell_path(("data.split",)) == "['data.split']"
        assert spell_path(("a", "", 0, "b c", "größe-1")) == "a[''][0]['b c'].größe-1"


class TestBounds:
    def test_fifty_levels_are_enough(self) -> None:
        assert parse("[" * 50 + "]" * 50).values
        assert problems("[" * 51 + "]" * 51) == ["x.yaml:1:51: values are nested more than 50 deep"]

    @pytest.mark.parametrize(
        "text",
        [
            "a: &a [x, x, x, x]\n" + "".join(f"{key}: &{key} [*{key - 1}, *{key - 1}]\n" for key in ()),
            "&a [*a]",
            "a: &a {b: *a}",
            "&a [*a, *a, *a]",
            "a: &a [" + "x, " * 5000 + "]\nb: [*a, *a, *a, *a]",
            "".join(f"k{n}: &k{n} {{a: {f'*k{n - 1}' if n else 1}, b: {f'*k{n - 1}' if n else 1}}}\n" for n in range(40)),
        ],
    )
    def test_aliases_do_not_multiply(self, text: str) -> None:
        if "*" not in text:
            return
        (problem,) = problems(text)
        assert "with its aliases, more than 20,000 values or nested more than 50 deep" in problem

    def test_a_recipe_is_no_large_file(self, tmp_path: Path) -> None:
        file = tmp_path / "x.yaml"
        file.write_text("# " + "x" * 200_000)
        (problem,) = validate_recipe(file)
        assert str(problem) == f"{file}: a recipe has at most 200,000 bytes"
