from __future__ import annotations

import os
import re
import shutil
import string
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from surgeon.catalogue.kinds import KINDS
from surgeon.errors import Diagnostic, Location, RecipeError
from surgeon.recipe.compiler import compile_recipe, validate_recipe
from surgeon.recipe.document import Document, parse_document, read_document
from surgeon.recipe.text import dump_text, spell_path

if TYPE_CHECKING:
    from collections.abc import Mapping

Write: TypeAlias = Callable[[str, str], Path]
Check: TypeAlias = Callable[..., tuple[Diagnostic, ...]]

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
        [
            *("on", "off", "yes", "no", "y", "n", "On", "NO", "15..18", "15..", "..10", "1_000", "1:30"),
            *("1,5", "0b11", "0x", "0xfg", "1e", "1e5x", ".nan", ".inf", "-.INF", "NaN", ".", "+"),
            *("2026-07-04", "2026-07-04T12:00:00Z", "=", "<<", "block5_*", "tRue", "NULl", "12e03.5", "1.2.3"),
            *("0o8", "+0x1f"),
        ],
    )
    def test_all_else_is_text(self, text: str) -> None:
        assert parse(f"x: {text}").values["x"] == text

    def test_quotes_make_text(self) -> None:
        assert parse("""[ "3", 'true', "null", "1e-4", '' ]""").values == ["3", "true", "null", "1e-4", ""]

    @pytest.mark.parametrize(
        "text", ["9007199254740993", "1e400", "-1e400", "9" * 5000, "-" + "9" * 5000, "0x" + "f" * 20]
    )
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
        assert parse(dump_text(values)).values == values


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
        assert problems("ä: 🌷 ".encode() + b"\xfc") == [
            "x.yaml:1:6: the byte 0xfc is not UTF-8; save the file in UTF-8"
        ]


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
            "&a [*a]",
            "a: &a {b: *a}",
            "&a [*a, *a, *a]",
            "a: &a [" + "x, " * 5000 + "]\nb: [*a, *a, *a, *a]",
            "k0: &k0 {}\n" + "".join(f"k{n}: &k{n} {{a: *k{n - 1}, b: *k{n - 1}}}\n" for n in range(1, 40)),
        ],
    )
    def test_aliases_do_not_multiply(self, text: str) -> None:
        (problem,) = problems(text)
        assert "with its aliases, more than 20,000 values or nested more than 50 deep" in problem

    def test_a_recipe_is_no_large_file(self, tmp_path: Path) -> None:
        file = tmp_path / "x.yaml"
        file.write_text("# " + "x" * 200_000)
        (problem,) = validate_recipe(file)
        assert str(problem) == f"{file}: a recipe may have at most 200,000 bytes"

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("missing.yaml", "no such file"),
            (".", "it is a folder; `surgeon init .` writes a recipe for a folder of images"),
            ("/dev/zero", "not a regular file"),
            ("x" * 300, "file name too long"),
            ("a\0b", "is not a path"),
        ],
    )
    def test_a_file_that_cannot_be_read(self, name: str, reason: str) -> None:
        (problem,) = validate_recipe(Path(name))
        assert problem.location.file == name
        assert reason in str(problem)

    def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        pipe, file = tmp_path / "pipe.yaml", tmp_path / "x.yaml"
        os.mkfifo(pipe)
        file.write_text("extends: pipe.yaml")
        assert [str(problem) for problem in validate_recipe(file)] == [
            f"{file}:1:1: extends: cannot read {pipe}: not a regular file; its path is relative to this recipe"
        ]
        source = f"recipe: 1\ndata: {{source: {{csv: '{pipe}'}}}}"
        assert f"{pipe} is neither a file nor a folder" in "".join(map(str, self.problems_of(file, source)))

    def problems_of(self, file: Path, text: str) -> tuple[Diagnostic, ...]:
        file.write_text(text)
        return validate_recipe(file)

    @pytest.mark.parametrize(
        "text",
        [
            "recipe: 1\ndata: {{source: digits}}\nbackbone: {{name: nasnetlarge}}\n"
            "phases: [{{trainable: '{brackets}', lr: 1, epochs: 1}}]",
            "extends: base.yaml\naugment:\n{keys}",
            "recipe: 1\ndata: {{source: digits}}\nbackbone: {{name: nasnetlarge}}\n"
            "phases: [{{trainable: [{names}], lr: 1, epochs: 1}}]",
        ],
        ids=["50,000 brackets", "9,000 keys over 9,000", "9,000 names of no layer"],
    )
    def test_no_text_takes_long_or_says_much(self, text: str, tmp_path: Path) -> None:
        keys = "".join(f"  k{number}: {number}\n" for number in range(9000))
        names = ", ".join(f"blok{number}" for number in range(9000))
        (tmp_path / "base.yaml").write_text(f"recipe: 1\naugment:\n{keys}")
        started = time.process_time()
        found = self.problems_of(tmp_path / "x.yaml", text.format(brackets="[" * 50_000, keys=keys, names=names))
        assert time.process_time() - started < 10  # of which the YAML takes 2; before, each took minutes
        assert 0 < len(found) <= 101
        assert max(len(str(problem)) for problem in found) < 500

    def test_what_only_together_is_more_than_the_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=100_000_000))
        overrides = ["data.image_size=224", "head=[global_average_pooling, {dense: classes}]"]
        assert validate_recipe(MINIMAL, overrides) == ()  # 59 MB of weights, of which 9 MB are one layer's
        (problem,) = validate_recipe(MINIMAL, [*overrides, "phases[0].trainable=all"])
        assert str(problem).endswith("take more memory than this machine has; train fewer layers")
        monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=10_000_000))
        (problem, *_) = validate_recipe(MINIMAL, overrides)
        assert "for one image 'block1_conv2' takes 13 MB, more than this machine's memory" in str(problem)


class TestExtends:
    @pytest.fixture
    def write(self, tmp_path: Path) -> Write:
        def write(name: str, text: str) -> Path:
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            return file

        return write

    def test_mappings_merge_lists_replace_and_null_removes(self, write: Write) -> None:
        write("base.yaml", "seed: 1\na: {x: 1, y: {z: 2, w: 3}}\nb: [1, 2]\nc: 5\nd: {e: 6}\n")
        file = write("over.yaml", "extends: base.yaml\na: {y: {z: 4}, v: 7}\nb: [3]\nc: null\nd: 8\nseed: null\n")
        document = read_document(file)
        assert document.values == {"a": {"x": 1, "y": {"z": 4, "w": 3}, "v": 7}, "b": [3], "d": 8}
        where = {spell_path(path): str(at).rpartition("/")[2] for path, at in document.locations.items()}
        assert where == {
            "": "over.yaml:1:1",
            "a": "over.yaml:2:1",
            "a.x": "base.yaml:2:5",
            "a.y": "over.yaml:2:5",
            "a.y.z": "over.yaml:2:9",
            "a.y.w": "base.yaml:2:21",
            "a.v": "over.yaml:2:16",
            "b": "over.yaml:3:1",
            "b[0]": "over.yaml:3:5",
            "d": "over.yaml:5:1",
        }

    def test_another_source_replaces_and_the_same_source_merges(self, write: Write) -> None:
        write("base.yaml", "data: {source: {csv: {path: a.csv, label_column: kind}}, batch_size: 8}")
        other = write("other.yaml", "extends: base.yaml\ndata: {source: {folder: {path: b}}}")
        same = write("same.yaml", "extends: base.yaml\ndata: {source: {csv: {path: c.csv}}}")
        assert read_document(other).values["data"] == {"source": {"folder": {"path": "b"}}, "batch_size": 8}
        assert read_document(same).values["data"]["source"] == {"csv": {"path": "c.csv", "label_column": "kind"}}

    def test_a_path_is_relative_to_the_file_that_it_is_written_in(self, write: Write, tmp_path: Path) -> None:
        write("base/base.yaml", "extends: further/first.yaml\nname: base")
        write("base/further/first.yaml", "description: first\nseed: 3")
        document = read_document(write("over.yaml", "extends: base/base.yaml\nseed: 4"))
        assert document.values == {"description": "first", "name": "base", "seed": 4}
        assert document.folder(("description",)) == tmp_path / "base/further"
        assert document.folder(("name",)) == tmp_path / "base"
        assert document.folder(("seed",)) == tmp_path

    def test_a_chain_is_bounded(self, write: Write) -> None:
        for number in range(25):
            write(f"{number}.yaml", f"extends: {number + 1}.yaml\nseed: {number}")
        (problem,) = validate_recipe(write("5.yaml", "extends: 6.yaml"))
        assert "no such file" in str(problem)  # the last of 20
        (problem,) = validate_recipe(write("0.yaml", "extends: 1.yaml"))
        assert problem.message == "more than 20 recipes extend one another"
        assert problem.location.file.endswith("/20.yaml")

    @pytest.mark.parametrize(
        "text", ["root:$6$secret:1::", "-----BEGIN\n*secret", "secret: 1", "&a [!secret x]", "- secret"]
    )
    def test_of_a_file_that_is_no_recipe_nothing_is_told(self, write: Write, text: str) -> None:
        other = write("other", text)
        (problem,) = validate_recipe(write("x.yaml", f"extends: {other}"))
        assert (problem.code, problem.message) == ("no-recipe", f"{other} is not a recipe")

    def test_a_circle_through_a_symbolic_link_is_found(self, write: Write, tmp_path: Path) -> None:
        file = write("a.yaml", "extends: b.yaml")
        (tmp_path / "b.yaml").symlink_to(file)
        (problem,) = validate_recipe(file)
        assert problem.code == "extends-cycle"


def with_overrides(*overrides: str) -> tuple[str, ...]:
    return tuple(map(str, validate_recipe(MINIMAL, overrides)))


class TestSet:
    def test_values_are_typed_as_in_a_file(self) -> None:
        overrides = [
            *("seed=3", "description=a = b", "phases[0].lr={cosine: 1e-3}", "name='1'", "head.0=unit_norm"),
            *("head[0]=global_average_pooling", "augment.flip.mode=vertical"),
        ]
        document = read_document(MINIMAL, overrides)
        assert document.values["seed"] == 3
        assert document.values["description"] == "a = b"
        assert document.values["phases"][0]["lr"] == {"cosine": 0.001}
        assert document.values["head"][0] == "global_average_pooling"  # the later of the two
        assert document.values["name"] == "1"
        assert document.values["augment"] == {"flip": {"mode": "vertical"}}
        assert validate_recipe(MINIMAL, overrides) == ()

    def test_origins_tell_what_was_set(self) -> None:
        plan = compile_recipe(MINIMAL, ["data.split.seed=1", "phases[0].optimizer=sgd", "data.source.digits={}"])
        assert plan.data.split.seed == 1
        assert plan.origins["data.split.seed"] == "--set data.split.seed"
        assert plan.origins["data.split.test"] == "default"
        assert plan.origins["phases[0].optimizer.sgd.momentum"] == "default"
        assert plan.origins["phases[0].lr.constant.value"] == f"{MINIMAL}:10:23"

    def test_a_list_is_replaced_whole_with_all_its_locations(self) -> None:
        document = read_document(MINIMAL, ["head=[global_average_pooling, dense: classes]"])
        assert document.values["head"] == ["global_average_pooling", {"dense": "classes"}]
        assert {str(at) for path, at in document.locations.items() if path[:1] == ("head",)} == {"--set head"}

    def test_null_removes_a_key(self) -> None:
        everything = RECIPES / "valid/everything.yaml"
        before = read_document(everything).values
        assert "augment" in before
        assert "name" in before["phases"][0]
        removed = ["augment=null", "phases[0].name=~", "data.split.seed=null", "evaluate.no_such=null"]
        document = read_document(everything, removed)
        assert "augment" not in document.values
        assert document.values["phases"][0] == {key: at for key, at in before["phases"][0].items() if key != "name"}
        assert "seed" not in document.values["data"]["split"]
        assert document.values["evaluate"] == before["evaluate"]
        assert not {path[:1] for path in document.locations} & {("augment",)}
        (problem,) = with_overrides("backbone=null")
        assert "'backbone' is missing" in problem

    def test_a_path_is_relative_to_the_current_folder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(RECIPES / "data")
        plan = compile_recipe(MINIMAL, ["data.source.folder=photos"])
        assert plan.data.source.parameters["path"] == str(RECIPES / "data/photos")

    def test_a_path_is_spelled_without_dots_where_that_is_the_same(self, tmp_path: Path) -> None:
        def spelled(path: Path) -> str:
            found = compile_recipe(MINIMAL, [f"data.source.folder={path}"]).data.source.parameters["path"]
            assert isinstance(found, str)
            return found

        photos = RECIPES / "data/photos"
        assert spelled(photos / "../photos") == str(photos)
        shutil.copytree(photos, tmp_path / "data/photos")
        (tmp_path / "data/near").symlink_to(photos)
        across = tmp_path / "data/near/../photos"  # what the link leads to lies elsewhere
        assert spelled(across) == str(across)

    @pytest.mark.parametrize(
        ("override", "problem"),
        [
            ("seed", "--set: expected KEY=VALUE such as data.split.seed=1, found 'seed'"),
            ("=3", "--set: expected KEY=VALUE such as data.split.seed=1, found '=3'"),
            ("seed=many", "--set seed: expected a whole number, found 'many'"),
            ("seed=", "--set seed: expected a whole number, found nothing; give it a value, or remove it"),
            ("phases[0]=null", "--set phases[0]: expected a mapping, found nothing; give it a value, or remove it"),
            ("data.split.sede=3", "--set data.split.sede: unknown key 'sede'; did you mean 'seed'?"),
            ("1=3", "--set 1: unknown key '1'; expected "),
            ("phases[1].lr=0.1", "--set phases[1].lr: phases[1]: expected the index 0, found '1'"),
            ("phases[-1].lr=1", "--set phases[-1].lr: phases[-1]: expected the index 0, found '-1'"),
            ("phases.first.lr=1", "--set phases.first.lr: phases[first]: expected the index 0, found 'first'"),
            ("phases[²].lr=1", "--set phases[²].lr: phases[²]: expected the index 0, found '²'"),
            ("phases[0].lr=0", "--set phases[0].lr: expected more than 0, found 0"),
            ("backbone.cut=99", "--set backbone.cut: no layer has the index 99; expected 0 to 22"),
            ("extends=x.yaml", "--set extends: --set cannot change 'extends'; write it in the recipe"),
            (
                "name=a: b: c",
                "--set name: not YAML: mapping values are not allowed here; "
                "put text that holds a colon into quotes, or correct the indentation",
            ),
            ("name=!x y", "--set name: unknown tag '!x'; recipes may contain only plain values"),
        ],
    )
    def test_mistakes(self, override: str, problem: str) -> None:
        (found,) = with_overrides(override)
        assert found.startswith(problem) if problem.endswith(" ") else found == problem

    def test_all_mistakes_at_once(self) -> None:
        assert len(with_overrides("seed", "name=[", "phases[7].lr=1")) == 3
        assert len(with_overrides("seed=x", "phases[0].lr=0", "backbone.cut=99")) == 3


# From here on: no text whatsoever makes the validation raise anything.

NAMES = sorted({name for entries in KINDS.values() for name in entries})
TOKEN = re.compile(r"[\w.*]+|[^\w\s]|\s+")
LINES = {file.name: file.read_text(encoding="utf-8").splitlines() for file in sorted(RECIPES.glob("valid/*.yaml"))}
TOKENS = sorted({token for lines in LINES.values() for line in lines for token in TOKEN.findall(line)} | set(NAMES))
NASTY = (
    *("null", "[]", "{}", "''", "1e999", ".nan", "-1", "0", "99", "1e-4", "true", "*x", "&x", "!!int", "<<", "---"),
    *("'", '"', "\t", "\\0", '"\\0"', '"\\ud800"', "..", "..15", "18..15", "*", "?", "[", "- - -", "|", "#", "%", "@"),
    *("\x00", "\x85", "\u2028", "\ufeff", "9" * 5000, "ü" * 300, "~nobodyhere", "."),
)
BRIEFLY = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> Check:
    """Validates a recipe's text beside the valid recipes; one that is well is compiled too."""
    folder = tmp_path_factory.mktemp("properties") / "recipes"
    shutil.copytree(RECIPES, folder)
    file = folder / "valid/generated.yaml"

    def check(text: bytes | str, *overrides: str) -> tuple[Diagnostic, ...]:
        file.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
        diagnostics = validate_recipe(file, overrides)
        assert isinstance(diagnostics, tuple)
        for diagnostic in diagnostics:
            assert diagnostic.message
            assert diagnostic.location.file
            assert str(diagnostic).isprintable()
        if not diagnostics:
            plan = compile_recipe(file, overrides)
            file.write_text(dump_text(plan.recipe), encoding="utf-8")
            assert compile_recipe(file).network == plan.network
        return diagnostics

    return check


@given(text=st.one_of(st.binary(max_size=200), st.text(max_size=200)))
@BRIEFLY
def test_any_bytes_and_any_text(check: Check, text: bytes | str) -> None:
    assert check(text)


@given(text=st.text(st.sampled_from("ab1.:-[]{}!&*|>?'\"%@#\\ \n\t,~<"), max_size=60))
@BRIEFLY
def test_any_text_of_yamls_indicators(check: Check, text: str) -> None:
    assert check(text)


@st.composite
def mutated_lines(draw: st.DrawFn) -> str:
    lines = list(LINES[draw(st.sampled_from(sorted(LINES)))])
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        other = draw(st.sampled_from(draw(st.sampled_from(sorted(LINES.values())))))
        indented = " " * draw(st.integers(0, 6)) + lines[at].strip()
        lines[at : at + 1] = draw(
            st.sampled_from([[], [lines[at], lines[at]], [other], [other, lines[at]], [indented], [lines[at][:-1]]])
        )
        lines = lines or [""]
    return "\n".join(lines)


@given(text=mutated_lines())
@BRIEFLY
def test_recipes_with_lines_gone_doubled_and_exchanged(check: Check, text: str) -> None:
    check(text)


@st.composite
def mutated_tokens(draw: st.DrawFn) -> str:
    tokens = TOKEN.findall("\n".join(LINES[draw(st.sampled_from(sorted(LINES)))]))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(tokens) - 1))
        new = draw(st.one_of(st.sampled_from(TOKENS), st.sampled_from(NASTY), st.text(string.printable, max_size=3)))
        tokens[at : at + 1] = draw(st.sampled_from([[], [tokens[at], tokens[at]], [new], [new], [new, tokens[at]]]))
        tokens = tokens or [""]
    return "".join(tokens)


@given(text=mutated_tokens())
@BRIEFLY
def test_recipes_with_tokens_gone_doubled_and_exchanged(check: Check, text: str) -> None:
    check(text)


KEYS = sorted({token for token in TOKENS if token.isidentifier()} | {"model", "preprocessing", "<<", "x.y"})
# No absolute paths: a source would go and look at the whole disk.
TEXTS = st.one_of(
    st.sampled_from([*KEYS, "15..18", "..", "block5_*", "*", "[!", "~x", ".", "a\0b", "x" * 300]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/~"), max_size=8),
)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.integers(-2, 300), st.floats(), TEXTS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(st.sampled_from(KEYS), TEXTS), inner, max_size=4)
    ),
    max_leaves=8,
)
RECIPE_VALUES: Mapping[str, Any] = {
    name: parse("\n".join(lines)).values for name, lines in LINES.items() if "extends" not in "".join(lines)
}


def places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Returns the path of each value inside ``value``."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [above, *(place for key, item in inside for place in places(item, (*above, key)))]


def put(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    """Returns ``value`` with ``new`` at ``place``."""
    if not place:
        return new
    key, rest = place[0], place[1:]
    if isinstance(value, dict):
        return {**value, key: put(value.get(key), rest, new)}
    return [put(item, rest, new) if at == key else item for at, item in enumerate(value)]


@st.composite
def with_odd_values(draw: st.DrawFn) -> str:
    values = RECIPE_VALUES[draw(st.sampled_from(sorted(RECIPE_VALUES)))]
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(places(values)))
        target = values
        for key in place:
            target = target[key]
        if isinstance(target, dict) and draw(st.booleans()):
            place = (*place, draw(st.one_of(st.sampled_from(KEYS), TEXTS)))
        values = put(values, place, draw(VALUES))
    return str(yaml.safe_dump(values, allow_unicode=True))


@given(text=with_odd_values())
@BRIEFLY
def test_recipes_with_any_value_anywhere(check: Check, text: str) -> None:
    check(text)


@given(text=VALUES.map(yaml.safe_dump))
@BRIEFLY
def test_any_structure(check: Check, text: str) -> None:
    assert check(text)


@st.composite
def any_override(draw: st.DrawFn) -> str:
    parts = st.one_of(st.sampled_from([*KEYS, "0", "1", "[0]", "[9]", "²", ""]), st.text(max_size=4))
    target = ".".join(draw(st.lists(parts, max_size=4)))
    written = VALUES.map(lambda value: str(yaml.safe_dump(value, default_flow_style=True)))
    value = draw(st.one_of(TEXTS, SCALARS.map(str), written))
    return draw(st.sampled_from([f"{target}={value}", f"{target}={value}", f"{target}={value}", target, value]))


@given(overrides=st.lists(any_override(), min_size=1, max_size=3))
@BRIEFLY
def test_any_override(check: Check, overrides: list[str]) -> None:
    check("\n".join(LINES["minimal.yaml"]), *overrides)
