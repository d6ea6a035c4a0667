"""Writes ``docs/recipe.md`` from the schema and the catalogue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from surgeon.catalogue.backbones import BackboneSpec
from surgeon.catalogue.entry import Entry
from surgeon.catalogue.kinds import KINDS, listing_command
from surgeon.recipe.schema import recipe_schema

_HEAD = """\
# Recipe reference

Generated from the schema and the catalogue by `make generate`.

A recipe is a YAML file, read strictly: duplicate keys, unknown tags and aliases that multiply are errors, `1e-4` is a
number and `on` is a string. Paths are relative to the file that they are written in. Editors that read
`# yaml-language-server: $schema=...` complete and check recipes with `schemas/recipe.schema.json`.

A choice is written as its name, or as a mapping whose one key is its name: `sgd` is `{sgd: {}}`. Where an entry has a
shorthand, a bare value stands for that parameter: `{dropout: 0.5}` is `{dropout: {rate: 0.5}}`.

`surgeon run --set KEY=VALUE` overrides a value: `--set data.split.seed=1`, `--set 'phases[0].lr=1e-4'`. `null` removes
a key: `--set augment=null`.

## Which layers: `trainable` and `cut`

Layers are numbered as `surgeon layers BACKBONE` prints them; the head's follow the cut. A cut in a network with
branches drops the layers that do not feed it, and the numbers of the others stay.

| `trainable` | trains |
|---|---|
| `head`, `backbone`, `all` | the sewn-on layers, the pretrained ones, all of them |
| `15`, `block5_conv1` | one layer, by index or name |
| `15..18`, `block5_conv1..block5_conv3` | a range with both ends included |
| `15..`, `..10` | from a layer to the end, from the beginning to a layer |
| `block5_*` | every layer whose name matches |
| `[block5_*, head]` | all layers that any of them matches |

The head's layers are called `head_` and their kind, from the second of a kind with its number: `head_dense`,
`head_dropout`, `head_dense_2`. Names that the backbone has, as a former run's network does, are skipped. `head` is the
new head alone. A selector that matches nothing is an error, and so is a phase that would train nothing.

The layers of a model file may be called anything. `=NAME` is the layer of exactly that name: `=5`, `=head`, `=a..b`,
`=conv*`. Without the sign the words `head`, `backbone` and `all` mean what the table says. A number, a range or a glob
that is the name of another layer, too, is an error, which says how to write either.

## A run or a model file as backbone

`backbone: {model: RUN, cut: ...}` takes the network of a run, by its folder, with the preprocessing that it was trained
with. The folder of an export to Keras will do as well.

`backbone: {model: FILE.keras, preprocessing: ..., cut: ...}` takes a functional or sequential Keras model with one
input, (height, width, 3) with the channels last, and weights in float32. It may take any size, a fixed batch, whole
numbers or one input in a mapping, compute in mixed precision, have several outputs, and hold models, random layers and
layers that are called in several places, if all their calls lead to the cut. Operations that are not layers belong to
the layer that they alone follow while they keep its shape, as a residual sum does; a mean or a slice is cut
off. What cannot be taken is refused by `surgeon validate`, which opens the file for that; no code of it is run.
"""


def recipe_reference() -> str:
    """Returns the reference as Markdown."""
    sections = [_HEAD, "## Keys\n", "| key | type | default | |\n|---|---|---|---|"]
    sections += _keys(recipe_schema(), "")
    for kind, entries in KINDS.items():
        sections.append(f"\n## {listing_command(kind).replace('-', ' ').capitalize()}\n")
        sections += list(_entries(entries.own))
    return "\n".join(sections) + "\n"


def _keys(schema: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for name, value in schema["properties"].items():
        path = f"{prefix}{name}"
        required = name in schema.get("required", ())
        default = "required" if required else f"`{_spell(value['default'])}`" if "default" in value else ""
        yield f"| `{path}` | {_type(value)} | {default} | {value['description']} |"
        if value.get("title") not in KINDS:
            inner = value.get("items", value)
            if name == "augment":  # its changes have a chapter of their own
                inner = {"properties": {key: inner["properties"][key] for key in ("views", "changes")}}
            if "properties" in inner:
                yield from _keys(inner, f"{path}[]." if "items" in value else f"{path}.")


def _type(schema: Mapping[str, Any]) -> str:
    kind = schema.get("title") or schema.get("items", {}).get("title")
    if kind in KINDS:
        link = f"[{kind}](#{listing_command(kind)})"
        return f"list of {link}" if schema.get("type") == "array" else link
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{option}`" for option in schema["enum"])
    types = schema["type"]
    names = [types] if isinstance(types, str) else types
    return " or ".join({"object": "mapping", "array": "list"}.get(name, name) for name in names)


def _entries(entries: Mapping[str, Entry]) -> Iterator[str]:
    if any(isinstance(entry, BackboneSpec) for entry in entries.values()):
        yield "| name | | pixels | at least | preprocessing |\n|---|---|---|---|---|"
        for entry in entries.values():
            if isinstance(entry, BackboneSpec):
                yield (
                    f"| `{entry.name}` | {entry.summary} | {entry.image_size} | {entry.min_image_size} "
                    f"| {entry.preprocessing} |"
                )
        return
    for entry in entries.values():
        yield f"### `{entry.name}`\n\n{entry.summary}\n"
        if entry.parameters:
            yield "| parameter | type | default | |\n|---|---|---|---|"
        for name, schema in entry.parameters.items():
            default = (
                "required"
                if name in entry.required
                else f"`{_spell(schema['default'])}`"
                if "default" in schema
                else ""
            )
            short = " The shorthand." if name == entry.shorthand else ""
            yield f"| `{name}` | {_type(schema)} | {default} | {schema['description']}{short} |"
        yield ""


def _spell(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value) if value != "" else "''"
