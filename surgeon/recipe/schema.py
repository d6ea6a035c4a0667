"""The JSON Schema of recipes: a base that says how one is built, and the catalogue's fragments in it.

Every choice is a mapping whose single key names the alternative, written with ``if``/``then``/``else`` instead
of ``anyOf``, so that an error speaks of the alternative that the recipe chose.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from surgeon.catalogue.augmentations import AUGMENTATIONS
from surgeon.catalogue.backbones import BACKBONES
from surgeon.catalogue.entry import Entry, boolean, choice, integer, number, path
from surgeon.catalogue.head_layers import HEAD_LAYERS
from surgeon.catalogue.optimizers import OPTIMIZERS
from surgeon.catalogue.preprocessing import PREPROCESSINGS
from surgeon.catalogue.schedules import SCHEDULES
from surgeon.catalogue.sources import SOURCES

Schema = dict[str, Any]

KEEPS = ("auto", "memory", "disk", "off")
DTYPES = ("float32", "bfloat16", "float16")
ENGINES = ("auto", "tensorflow", "openvino")
PRECISIONS = ("float32", "bfloat16")
_LONGEST_SELECTOR = 1000  # what a pattern takes to match grows with the square of its length
MONITORS = ("val_loss", "val_accuracy", "loss", "accuracy")
FIGURES = {"accuracy": "accuracy", "macro_f1": "macro average of F1", "weighted_f1": "weighted average of F1"}


def _text(description: str, **rest: Any) -> Schema:
    return {"description": description, "type": "string", **rest}


def _mapping(description: str, properties: Mapping[str, Any], required: tuple[str, ...] = ()) -> Schema:
    schema: Schema = {
        "description": description,
        "type": "object",
        "properties": dict(properties),
        "additionalProperties": False,
    }
    return {**schema, "required": list(required)} if required else schema


def _parameters(entry: Entry) -> Schema:
    """Returns the schema of an entry's parameters, in the long form or as the bare shorthand."""
    long = _mapping(entry.summary, entry.parameters, entry.required)
    if entry.shorthand is None:
        return long
    short = {key: value for key, value in entry.parameters[entry.shorthand].items() if key != "default"}
    types = short.pop("type")
    return {
        "description": long.pop("description"),
        "type": [*([types] if isinstance(types, str) else types), "object"],
        "if": {"type": "object"},
        "then": long,
        "else": short,
    }


def _choice(kind: str, description: str, entries: Mapping[str, Entry], scalar: Schema | None = None) -> Schema:
    """Returns the schema of ``name`` or ``{name: parameters}``; ``scalar`` may stand instead of a bare name."""
    bare = [entry.name for entry in entries.values() if not entry.required]
    otherwise = scalar or {"type": "string", "enum": bare}
    return {
        "title": kind,
        "description": description,
        "type": [otherwise["type"], "object"],
        "if": {"type": "object"},
        "then": {
            "title": kind,
            "minProperties": 1,
            "maxProperties": 1,
            "properties": {entry.name: _parameters(entry) for entry in entries.values()},
            "additionalProperties": False,
        },
        "else": {"title": kind, **{key: value for key, value in otherwise.items() if key != "type"}},
    }


def _data() -> Schema:
    side = {"type": "integer", "minimum": 8, "maximum": 4096}
    fraction: Schema = {"minimum": 0, "exclusiveMaximum": 1}
    split = {
        "test": number("Part of all images that is held out for the test.", 0.25, **fraction),
        "validation": number("Part of all images that training watches itself by.", 0.0, **fraction),
        "seed": integer("Chooses among the possible splits.", 0, minimum=0, maximum=2**32 - 1),
    }
    properties = {
        "source": _choice("source", "Where the images come from.", SOURCES),
        "image_size": {
            "description": "Side in pixels, or [height, width], to which images are resized; "
            "by default what the backbone was trained on, and 224 for a model file that takes any size.",
            "type": ["integer", "array"],
            "if": {"type": "array"},
            "then": {"minItems": 2, "maxItems": 2, "items": side},
            "else": {"minimum": 8, "maximum": 4096},
        },
        "split": _mapping("How images are held out, unless the source has splits of its own.", split),
        "batch_size": integer("Images per step.", 32, minimum=1, maximum=1_000_000),
        "on_leak": choice("What to do about an image that is in more than one split.", ("fail", "warn"), "fail"),
        "on_bad_image": choice("What to do about a file that cannot be decoded.", ("fail", "skip"), "fail"),
    }
    return _mapping("The images.", properties, ("source",))


def _backbone() -> Schema:
    properties = {
        "name": _text("The pretrained network.", enum=list(BACKBONES), title="backbone"),
        "model": path("Instead of `name`: the folder of a run, or a functional Keras model in a `.keras` file."),
        "preprocessing": {
            **choice("With `model`: how it wants its pixels; a run knows.", tuple(PREPROCESSINGS)),
            "title": "preprocessing",
        },
        "weights": _text("`imagenet`, `none`, or a weights file for the network.", default="imagenet", minLength=1),
        "cut": {
            "description": "The last layer that is kept, by index or name; by default the last before the top.",
            "type": ["integer", "string"],
            "maxLength": _LONGEST_SELECTOR,
        },
    }
    return _mapping("The network to operate on.", properties)


def _phase() -> Schema:
    selector: Schema = {
        "type": ["integer", "string"],
        "maxLength": _LONGEST_SELECTOR,
        "description": "`head`, `backbone`, `all`, an index, a name, a range such as `15..` or `a..b`, or a glob.",
    }
    until = {
        "monitor": choice("The figure to watch.", MONITORS, "val_loss"),
        "patience": integer("Epochs without improvement before the phase stops.", 5, minimum=1),
        "min_delta": number("The least change that counts as improvement.", 0.0, minimum=0),
        "restore_best": boolean("End with the weights of the best epoch.", True),
    }
    rate: Schema = {"type": "number", "exclusiveMinimum": 0}
    properties = {
        "name": _text("What to call the phase; by default its number.", minLength=1),
        "trainable": {
            **selector,
            "type": ["integer", "string", "array"],
            "if": {"type": "array"},
            "then": {"minItems": 1, "items": selector},
            "description": "The layers to train: "
            "`head`, `backbone`, `all`, an index, a name, a range, a glob, or a list of these.",
        },
        "optimizer": {**_choice("optimizer", "How gradients become updates.", OPTIMIZERS), "default": "adam"},
        "lr": _choice("schedule", "The learning rate: a number or a schedule.", SCHEDULES, rate),
        "epochs": integer("Passes over the training images, at the most.", minimum=1, maximum=1_000_000),
        "until": _mapping("Stop early.", until),
        "class_weight": choice("Weigh classes by the inverse of their frequency.", ("balanced",)),
        "label_smoothing": number(
            "Part of the probability that is spread over all classes.", 0.0, minimum=0, exclusiveMaximum=1
        ),
        "batch_norm": choice(
            "Mode of the backbone's BatchNormalization layers that are trained.",
            ("inference", "train"),
            "inference",
        ),
    }
    return _mapping("One phase of the training.", properties, ("trainable", "lr", "epochs"))


def _figure(label: str) -> Schema:
    bounds = {"minimum": 0, "maximum": 1}
    spread = {
        "mean": number("Its mean over runs with other seeds.", **bounds),
        "std": number("Their standard deviation, as `surgeon run --repeat` gives it.", minimum=0, maximum=1),
    }
    description = f"Its {label} on the test images: a number, or `{{mean: 0.9, std: 0.01}}` over seeds."
    long = _mapping(description, spread, ("mean",))
    return {
        "description": long.pop("description"),
        "type": ["number", "object"],
        "if": {"type": "object"},
        "then": long,
        "else": bounds,
    }


@functools.cache
def recipe_schema() -> Schema:
    """Returns the schema that recipes are checked against and that editors read."""
    properties: Schema = {
        "recipe": {"description": "Version of the recipe language.", "const": 1},
        "extends": path("Another recipe that this one is laid upon; null removes a key of it."),
        "name": {
            **_text("What runs are called; by default the file's name.", minLength=1),
            "not": {"pattern": r"[/\\\x00-\x1f]"},
        },
        "description": _text("What the recipe is for.", default=""),
        "seed": integer("Seeds weights, order, dropout and augmentation.", 0, minimum=0, maximum=2**31 - 1),
        "data": _data(),
        "augment": _mapping(
            "Random changes of training images, in this order.",
            {
                "views": integer(
                    "Keep so many changed copies of each image and draw one per epoch.", minimum=1, maximum=10_000
                ),
                "changes": {
                    "description": "The changes as a list, which says their order; instead of one key for each.",
                    "type": "array",
                    "minItems": 1,
                    "items": _choice("augmentation", "A change.", AUGMENTATIONS),
                },
                **{entry.name: _parameters(entry) for entry in AUGMENTATIONS.values()},
            },
        ),
        "backbone": _backbone(),
        "head": {
            "description": "The layers that are sewn on, in order.",
            "type": "array",
            "minItems": 1,
            "items": _choice("head layer", "A layer.", HEAD_LAYERS),
        },
        "phases": {"description": "The training.", "type": "array", "minItems": 1, "items": _phase()},
        "features": choice(
            "Where the output of frozen layers is kept; with `off` every epoch computes it again.", KEEPS, "auto"
        ),
        "features_dtype": choice(
            "The numbers that are kept of it; narrower ones take half the room and are less exact.", DTYPES, "float32"
        ),
        "engine": choice(
            "What computes frozen layers; `auto` takes OpenVINO where it is installed and can.", ENGINES, "auto"
        ),
        "precision": choice(
            "The numbers that layers compute with; weights stay float32. bfloat16 is faster on processors that "
            "have it, and less exact.",
            PRECISIONS,
            "float32",
        ),
        "deterministic": boolean("Bit-identical results on one machine, whatever may be faster without.", False),
        "evaluate": _mapping(
            "What is measured on the test images at the end.",
            {"linear_probe": boolean("Also a logistic regression on the same frozen features.", False)},
        ),
        "expected": _mapping(
            "What the author measured; a run compares itself with it.",
            {name: _figure(label) for name, label in FIGURES.items()},
        ),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "surgeon recipe",
        **_mapping(
            "A pretrained network, where to cut it, what head to sew on, and how to train the result.",
            properties,
            ("recipe", "data", "backbone", "head", "phases"),
        ),
    }
