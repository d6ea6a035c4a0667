"""A commented recipe for images that were looked at."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import yaml

from surgeon.catalogue.sources.listing import left_out_lines
from surgeon.share import schema_address
from surgeon.text import first_few, printable

if TYPE_CHECKING:
    from surgeon.data.survey import Survey

_RECIPE = Template("""\
# yaml-language-server: $$schema=$schema
# surgeon run $file
#
# $images images of $count classes: $counts.$remarks
recipe: 1
name: $name
data:
  source:
    $source
  image_size: $size # pixels; the median of the images' shorter sides is $side
  split: $split
  on_bad_image: $on_bad_image # fail names them and stops; skip names them and goes on
augment: # training images only
  views: $views # changed copies to keep of each image; without this, every epoch makes new ones and takes longer
  flip: horizontal # remove this if left and right matter, as in text
  rotation: 0.05 # fraction of a full turn
backbone:
  name: efficientnetlite0 # small and fast, and its weights came with surgeon; see `surgeon backbones`
  weights: imagenet$cut
head:
  - global_average_pooling
  - dropout: $dropout
  - dense: {units: classes, activation: softmax, kernel_initializer: linear_probe} # instead of a warm-up
phases:
  - name: fine-tune # `surgeon layers $file` shows what is trained
    trainable: $trainable
    optimizer: {adamw: {weight_decay: 0.01}}
    lr: {cosine: {peak: $peak, warmup_epochs: 2}}
    epochs: $epochs
    label_smoothing: 0.1$class_weight$until
precision: auto # bfloat16, if that is found to be faster; float32 is always exact
evaluate:
  linear_probe: true # a logistic regression on the same features, to compare with$reject
""")


_LEAST_VIEWS = 2
_EXTREME = 20.0  # times the images of the smallest class
_COPIES = 20_000  # of all images that are trained on, that a disk has room for
_UNTIL = """
    until: {{monitor: val_accuracy, patience: {}, restore_best: false}} # all epochs, or its start if that was better"""
_REJECT = """
# reject: {accept: 0.95} # uncomment this, and images of anything else become `unknown`"""


@dataclass(frozen=True)
class Choices:
    """What a look at the images does not tell; by default what does well for many.

    Attributes:
        cut: Where to cut the backbone; None for its end.
        dropout: Of the head.
        trainable: What is trained.
        peak: The highest learning rate.
        epochs: Of the phase.
        views: Changed copies of each image, at the most.
        side: Of the images, at the most, in pixels.
        reasons: Why, each a comment at the end of the recipe's head.
    """

    cut: str | None = None
    dropout: float = 0.2
    trainable: str = "block4a_expand_conv.."
    peak: float = 4e-4
    epochs: int = 16
    views: int = 8
    side: int = 224
    reasons: tuple[str, ...] = ()


def draft_recipe(survey: Survey, file: Path, choices: Choices = Choices()) -> str:
    """Returns the text of a recipe for images; ``file`` is where it will stand."""
    counts = sorted(survey.classes.items(), key=lambda item: -item[1])
    most, least = counts[0][1], counts[-1][1]
    shown = ", ".join(first_few((f"{name} ({number})" for name, number in counts), 8))
    remarks = ""
    if most > 2 * least:
        remarks += f"\n# The largest class has {most / least:.3g} times the images of the smallest, hence class_weight."
    if survey.bad:
        remarks += f"\n# {survey.bad} of the images that were looked at cannot be decoded."
    remarks += "".join(f"\n# {printable(line)}" for line in left_out_lines(survey.left_out))
    remarks += "".join(f"\n# {printable(reason)}" for reason in choices.reasons)
    return _RECIPE.substitute(
        schema=schema_address(),
        file=printable(file),
        images=f"{survey.images:,}",
        count=len(counts),
        counts=printable(shown),
        remarks=remarks,
        name=_scalar(re.sub(r"[/\\]", "_", printable(survey.path.stem if survey.path.is_file() else survey.path.name))),
        source=_source(survey, file.parent),
        size=min(224 if survey.side >= 160 else 128, choices.side),
        side=survey.side or "unknown",
        split=_split(survey),
        cut="" if choices.cut is None else f"\n  cut: {_scalar(choices.cut)}",
        dropout=f"{choices.dropout:g}",
        trainable=_scalar(choices.trainable),
        peak=f"{choices.peak:.2g}",
        epochs=choices.epochs,
        views=min(max(_COPIES // survey.splits.get("train", survey.images), _LEAST_VIEWS), choices.views),
        on_bad_image="skip" if survey.bad else "fail",
        class_weight=_class_weight(most / least),
        until=_UNTIL.format(choices.epochs) if _has_validation(survey) else "",
        reject=_REJECT if _has_validation(survey) else "",
    )


def _class_weight(ratio: float) -> str:
    """Returns the line of the weights for classes whose largest is so many times the smallest."""
    if ratio > _EXTREME:
        return "\n    class_weight: sqrt_balanced # with balanced, training would follow the few rare images"
    return "\n    class_weight: balanced" if ratio > 2 else ""


def _source(survey: Survey, start: Path) -> str:
    """Returns the lines that name the images in a recipe in the folder ``start``."""
    path = os.path.relpath(survey.path, start)
    path = str(survey.path) if path.startswith("~") else path  # which would be somebody's home
    if not survey.source.parameters:
        return f"{survey.source.name}: {_scalar(path)}"
    named = {"path": path, **survey.source.parameters}
    return "\n      ".join([f"{survey.source.name}:", *(f"{key}: {_scalar(value)}" for key, value in named.items())])


def _split(survey: Survey) -> str:
    split = survey.split
    small = "" if split.small_classes == "fail" else f", small_classes: {split.small_classes}"
    values = f"{{test: {split.test:g}, validation: {split.validation:g}, seed: 0{small}}}"
    if survey.splits:
        found = ", ".join(f"{split} ({number})" for split, number in survey.splits.items())
        return f"{values} # only for splits that the images lack; they have {found}"
    least, few = min(survey.classes.items(), key=lambda item: item[1])
    too_few = f"{printable(least)!r} has only {few} image{'s, or too few that differ' if few > 1 else ''}"
    if survey.only_trained:
        kept = ", ".join(
            first_few((f"{printable(name)!r} ({survey.classes[name]})" for name in survey.only_trained), 4)
        )
        return f"{values} # stratified by class; {kept}: too few images, only trained on"
    if split.validation:
        return f"{values} # fractions of all images, stratified by class"
    if split.test:
        return f"{values} # no validation images, since {too_few}: every phase runs to its last epoch"
    return f"{values} # nothing is held out or tested, since {too_few}"


def _has_validation(survey: Survey) -> bool:
    return survey.split.validation > 0 or "validation" in survey.splits


def _scalar(text: str) -> str:
    """Returns ``text`` as a YAML scalar on one line that no reader takes for a number."""
    style = None if text[:1].isalpha() or text[:1] in "./" else '"'
    return yaml.safe_dump(text, width=10**6, allow_unicode=True, default_style=style).removesuffix("...\n").strip()
