"""A compiled recipe: every name resolved, every default filled in, nothing left to decide.

A field that is annotated with a JSON Schema is a key of recipes, and this is where it is declared: the schema, the
defaults, the reference and the compiler follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from surgeon.catalogue.augmentations import AUGMENTATIONS
from surgeon.catalogue.entry import boolean, choice, fraction, integer, number, path
from surgeon.catalogue.head_layers import LINEAR_PROBE
from surgeon.catalogue.schedules import MONITORS
from surgeon.recipe.data_plan import DataPlan
from surgeon.recipe.keys import (
    REQUIRED,
    Choice,
    Section,
    by_selector,
    figure,
    mapping,
    name_of,
    one_of,
    or_bare,
    parameters_of,
    section,
    selector,
    selectors,
    sequence,
    text,
    weights_by_name,
)
from surgeon.recipe.network import HeadLayer, Network


@dataclass(frozen=True)
class BackbonePlan:
    """The network to operate on.

    Attributes:
        name: An entry of the backbones' catalogue, or None for a model file.
        model: A ``.keras`` file, or None for a catalogue entry.
        preprocessing: An entry of the preprocessings.
        weights: ``imagenet``, ``none`` or the path of a weights file; None for a model file, which has its own.
        cut: Name of the last layer that is kept.
    """

    name: Annotated[str | None, name_of("backbone", "The pretrained network.")]
    model: Annotated[
        Path | None, path("Instead of `name`: the folder of a run, or a functional Keras model in a `.keras` file.")
    ]
    preprocessing: Annotated[str, name_of("preprocessing", "With `model`: the one that it needs; a run knows its own.")]
    weights: Annotated[
        str | None, text("`imagenet`, `none`, or a weights file for the network.", default="imagenet", minLength=1)
    ]
    cut: Annotated[str, selector("The last layer that is kept, by index or name; by default the last before the top.")]


@dataclass(frozen=True)
class UntilPlan:
    """When a phase may stop before its last epoch."""

    monitor: Annotated[str, choice("The figure to watch.", MONITORS, "val_loss")]
    patience: Annotated[int, integer("Epochs without improvement before the phase stops.", 5, minimum=1)]
    min_delta: Annotated[float, number("The smallest change that counts as an improvement.", 0.0, minimum=0)]
    restore_best: Annotated[
        bool,
        boolean(
            "End with the weights of the best epoch, not with those of the last; a phase that did not improve ends "
            "with its initial weights.",
            True,
        ),
    ]

    @property
    def validates(self) -> bool:
        """Whether it watches a figure of the validation images, which can be measured before the first epoch."""
        return self.monitor.startswith("val_")


@dataclass(frozen=True)
class PhasePlan:
    """One phase of training.

    Attributes:
        trainable: Names of the layers whose weights are trained, in the network's order.
        lr_scale: By the name of each layer with weights that a selector matches, trained or not.
        class_weight: ``balanced``, ``sqrt_balanced``, a weight for each class that does not weigh 1, or None.
        sample: ``balanced`` or None.
        average: ``alpha`` and ``with``, or None.
    """

    name: Annotated[str, text("What to call the phase; by default its number.", minLength=1)]
    trainable: Annotated[
        tuple[str, ...],
        selectors(
            "The layers to train: `head`, `backbone`, `all`, an index, a name, a range, a glob, or a list of these."
        ),
        REQUIRED,
    ]
    optimizer: Annotated[Choice, one_of("optimizer", "The optimizer.", default="adam")]
    lr: Annotated[
        Choice,
        one_of("schedule", "The learning rate: a number or a schedule.", {"type": "number", "exclusiveMinimum": 0}),
        REQUIRED,
    ]
    lr_scale: Annotated[
        Mapping[str, float] | None,
        by_selector(
            "Factors of the learning rate for some of the trained layers, by selectors as in `trainable`: "
            "`{'block5_*': 0.1}`. No layer may match two of them.",
            number("The factor.", exclusiveMinimum=0),
        ),
    ]
    layer_decay: Annotated[
        float,
        number(
            "Each block's learning rate as a factor of the next one's towards the output; the head has the full rate.",
            1.0,
            exclusiveMinimum=0,
            maximum=1,
        ),
    ]
    epochs: Annotated[
        int, integer("Maximum number of passes over the training images.", minimum=1, maximum=1_000_000), REQUIRED
    ]
    until: Annotated[UntilPlan | None, section(UntilPlan)]
    loss: Annotated[Choice, one_of("loss", "The loss to minimize.", default="cross_entropy")]
    class_weight: Annotated[
        Mapping[str, float] | str | None,
        weights_by_name(
            "Weight classes by inverse frequency (`balanced`), by its square root (`sqrt_balanced`), or by name: "
            "`{rose: 2}`, where the others weigh 1.",
            ("balanced", "sqrt_balanced"),
        ),
    ]
    sample: Annotated[
        str | None,
        choice("Draw each class equally often, as many images per epoch as there are.", ("balanced",)),
    ]
    label_smoothing: Annotated[
        float, fraction("Share of the probability that is spread over all classes.", 0.0, minimum=0, exclusiveMaximum=1)
    ]
    anchor: Annotated[
        float,
        number(
            "L2-SP: adds to the loss half of this value times the squared distance of the backbone's trained weights "
            "from those that the run began with.",
            0.0,
            minimum=0,
        ),
    ]
    average: Annotated[
        Mapping[str, Any] | None,
        or_bare(
            mapping(
                "WiSE-FT: measure the average of the trained weights and those that the phase began with, and end with "
                "it.",
                {
                    "alpha": fraction(
                        "Share of the trained weights in it.", 0.5, exclusiveMinimum=0, exclusiveMaximum=1
                    ),
                    "with": choice("What they are averaged with.", ("start",), "start"),
                },
            ),
            "alpha",
        ),
    ]
    batch_norm: Annotated[
        str,
        choice("Mode of the backbone's trained BatchNormalization layers.", ("inference", "train"), "inference"),
    ]


@dataclass(frozen=True)
class RejectPlan:
    """Answer `unknown` for images that the network is unsure of, or that are unlike those it was trained on."""

    accept: Annotated[
        float,
        fraction(
            "Fraction of the validation images to accept, which sets the bounds.", 0.95, exclusiveMinimum=0, maximum=1
        ),
    ]


_VARIED = (
    "What is varied: for each path, such as `phases[1].lr`, a list of values or a range: `{uniform: [0.2, 0.6]}`, "
    "`{log_uniform: [1e-5, 1e-3]}`, `{int_uniform: [64, 512]}`. A list of such mappings joins their combinations."
)


@dataclass(frozen=True)
class SweepPlan:
    """What `surgeon sweep` varies and how it searches; other commands ignore it.

    Attributes:
        vary: As it is written; see ``recipe/sweep.py``.
        budget: As it is written.
    """

    vary: Annotated[Any, {"description": _VARIED, "type": ["object", "array"]}, REQUIRED]
    objective: Annotated[
        str,
        choice("The objective: a figure of the validation images.", ("val_accuracy", "val_loss"), "val_accuracy"),
    ]
    folds: Annotated[
        int | None,
        integer(
            "Cross-validation: the objective's mean over this many folds of the training and validation images.",
            minimum=2,
            maximum=100,
        ),
    ]
    trials: Annotated[int | None, integer("Maximum number of recipes to try.", minimum=1, maximum=100_000)]
    budget: Annotated[
        str | None,
        text("How long the search may take, such as `20 min`; the unit is `s`, `min` or `h`.", examples=["20 min"]),
    ]
    method: Annotated[
        str,
        choice("How recipes are proposed; `grid` takes all combinations.", ("tpe", "random", "grid"), "tpe"),
    ]
    pruning: Annotated[
        str,
        choice(
            "How unpromising trials are stopped early, in their last phase: by comparison after as many epochs.",
            ("none", "median", "hyperband"),
            "none",
        ),
    ]


_AUGMENT = mapping(
    "Random changes to training images, applied in this order.",
    {
        "views": integer(
            "Keep this many changed copies of each image and use one per epoch.", minimum=1, maximum=10_000
        ),
        "changes": sequence(
            "The changes as a list, applied in its order, instead of one key per change.",
            one_of("augmentation", "A change."),
        ),
        **{entry.name: parameters_of(entry) for entry in AUGMENTATIONS.values()},
    },
)
_EVALUATE = Section("evaluate", "What to evaluate on the test images at the end.")
_EXPECTED = mapping(
    "What the author measured; runs are compared with it.",
    {
        "accuracy": figure("accuracy"),
        "macro_f1": figure("macro average of F1"),
        "weighted_f1": figure("weighted average of F1"),
    },
)


@dataclass(frozen=True)
class Plan:
    """A pretrained network, where to cut it, what head to sew on, and how to train the result.

    Attributes:
        augment: Random changes of training images, in this order.
        views: How many changed copies of each image are kept; 0 if each epoch makes new ones.
        feature_changes: Random changes of what the frozen layers of a phase put out, in this order.
        loss_from_logits: Whether the head ends without a softmax.
        expected: What the author measured: ``mean`` and, if known, ``std`` over other seeds of some figures.
        classes: Names of the classes; a class's number is its position.
        network: The rows of the composed network.
        recipe: The resolved recipe, as plain values that compile to this plan again.
        origins: Where each value of ``recipe`` comes from, by its path: a file position, ``--set`` or ``default``.
    """

    name: Annotated[
        str,
        text("Name of the runs; by default the file's name.", minLength=1, **{"not": {"pattern": r"[/\\\x00-\x1f]"}}),
    ]
    description: Annotated[str, text("What the recipe is for.", default="")]
    seed: Annotated[int, integer("Seed of weights, order, dropout and augmentation.", 0, minimum=0, maximum=2**31 - 1)]
    data: Annotated[DataPlan, section(DataPlan), REQUIRED]
    augment: Annotated[tuple[Choice, ...], _AUGMENT]
    views: int
    backbone: Annotated[BackbonePlan, section(BackbonePlan), REQUIRED]
    head: Annotated[
        tuple[HeadLayer, ...],
        sequence("The layers that are sewn on, in order.", one_of("head layer", "A layer.")),
        REQUIRED,
    ]
    loss_from_logits: bool
    phases: Annotated[tuple[PhasePlan, ...], sequence("The phases of training.", section(PhasePlan)), REQUIRED]
    features: Annotated[
        str,
        choice(
            "Where the output of frozen layers is kept; with `off` every epoch computes it again.",
            ("auto", "memory", "disk", "off"),
            "auto",
        ),
    ]
    features_dtype: Annotated[
        str,
        choice(
            "Number format of the kept output; 16-bit formats take half the space and are less exact.",
            ("float32", "bfloat16", "float16"),
            "float32",
        ),
    ]
    engine: Annotated[
        str,
        choice(
            "What computes frozen layers; `auto` uses OpenVINO where it is installed and suitable, and times it "
            "where there is much to compute.",
            ("auto", "tensorflow", "openvino"),
            "auto",
        ),
    ]
    precision: Annotated[
        str,
        choice(
            "Number format of computations; weights stay float32. bfloat16 is less exact, and faster on some "
            "processors with some networks; `auto` times both in passes and phases in which there is much to compute.",
            ("auto", "float32", "bfloat16"),
            "float32",
        ),
    ]
    deterministic: Annotated[bool, boolean("Bit-identical results on the same machine, even if that is slower.", False)]
    test_time_augmentation: Annotated[
        str,
        choice(
            "Averaged in use and on test images: with `flip`, the probabilities of an image and its mirror image.",
            ("none", "flip"),
            "none",
        ),
    ]
    reject: Annotated[RejectPlan | None, section(RejectPlan)]
    linear_probe: Annotated[bool, boolean("Also evaluate a logistic regression on frozen features.", False), _EVALUATE]
    expected: Annotated[Mapping[str, Mapping[str, float]], _EXPECTED]
    sweep: Annotated[SweepPlan | None, section(SweepPlan)]
    classes: tuple[str, ...]
    network: Network
    recipe: Mapping[str, Any] = field(repr=False)
    origins: Mapping[str, str] = field(repr=False)
    feature_changes: tuple[Choice, ...] = ()

    @property
    def untimed_precision(self) -> str:
        """What the network computes in where nothing is timed."""
        return "float32" if self.precision == "auto" else self.precision

    @property
    def probe_layer(self) -> str | None:
        """The layer of the head that begins with the weights of the linear probe; None if none does."""
        starts = (layer.name for layer in self.head if layer.parameters.get("kernel_initializer") == LINEAR_PROBE)
        return next(starts, None)

    @property
    def fits_probe(self) -> bool:
        """Whether a linear probe is fitted to the frozen features, to compare with or to begin with."""
        return self.linear_probe or self.probe_layer is not None

    @property
    def uses_unchanged(self) -> bool:
        """Whether training images are looked at as they are, where training sees changed copies of them only."""
        return self.fits_probe or self.reject is not None
