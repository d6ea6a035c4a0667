"""What a schema cannot say: names against the layer tables, shapes, sums, paths. All problems at once."""

from __future__ import annotations

import math
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from surgeon.catalogue.augmentations import AUGMENTATIONS
from surgeon.catalogue.backbones import BACKBONES
from surgeon.catalogue.building import build_graph, load_table
from surgeon.catalogue.layer_table import LayerTable, open_model, tabulate
from surgeon.catalogue.model_file import (
    DEFAULT_IMAGE_SIZE,
    Sides,
    cut_problem,
    image_sides,
    on_images,
    takes_integers,
)
from surgeon.catalogue.sources import SOURCES
from surgeon.errors import SurgeonError, did_you_mean, install_hint, quote
from surgeon.recipe.bundle import UNKNOWN, read_bundle
from surgeon.recipe.changes import in_short
from surgeon.recipe.check import check_schema
from surgeon.recipe.complete import Values, complete, is_whole
from surgeon.recipe.document import Document
from surgeon.recipe.findings import Findings
from surgeon.recipe.head import check_head_end, check_probe_start
from surgeon.recipe.images import RELATIVE, check_data, is_file, sides_of
from surgeon.recipe.keys import Choice
from surgeon.recipe.memory import layers_beyond_memory, trains_beyond_memory
from surgeon.recipe.network import HeadError, SelectorError, compose, name_head, whole
from surgeon.recipe.pace import phase_length, phase_misfits
from surgeon.recipe.rates import check_rates
from surgeon.recipe.space import read_spaces
from surgeon.recipe.text import MOST_PROBLEMS, ValuePath, first_problems
from surgeon.text import first_few


def validate(document: Document, *, counts_images: bool = False) -> Findings:
    """Checks a document entirely; ``problems`` of the result are in the order of the text.

    Args:
        document: The recipe.
        counts_images: Whether the source lists all its images, if they are here. Whatever trains lists them anyway.
    """
    findings = _begin(document, counts_images=counts_images)
    problems = findings.problems
    checks = (
        _check_augment,
        check_data,
        _check_backbone,
        _check_cut_and_head,
        _check_phases,
        _check_reject,
        _check_packages,
        _check_sweep,
    )
    for check in checks:
        check(findings)
    order = {file: at for at, file in enumerate(dict.fromkeys(problem.location.file for problem in problems))}
    problems.sort(
        key=lambda problem: (
            order[problem.location.file],
            problem.location.line or 0,
            problem.location.column or 0,
        )
    )
    problems[:] = first_problems(problems)
    return findings


def assume(document: Document, classes: tuple[str, ...], table: LayerTable) -> Findings:
    """Returns what a document comes to with known classes and a known backbone; nothing is looked for on the disk."""
    findings = _begin(document, classes=classes, table=table)
    data = findings.values.get("data") or {}
    if is_whole(data.get("image_size")):
        findings.image_size = sides_of(data["image_size"])
    for check in (_check_cut_and_head, _check_phases):
        check(findings)
    return findings


def _begin(document: Document, **known: Any) -> Findings:
    """Returns what is known of a document before its parts are checked one against another."""
    problems = check_schema(document)
    document, more = in_short(document, problems)
    problems += more
    return Findings(document, complete(document, problems), problems, **known)


def _check_augment(findings: Findings) -> None:
    augment = findings.values.get("augment") or {}
    named = [name for name, given in augment.items() if name == "views" or (given or {}).get("of") != "features"]
    if named == ["views"]:
        message = "views are set, but no change to the images"
        findings.report(("augment", "views"), "missing-key", message, "add one, such as flip: horizontal")
    mixing = next((name for name in named if name in AUGMENTATIONS and AUGMENTATIONS[name].mixes), None)
    if "views" in named and mixing is not None:
        message = f"{mixing} mixes the images of a batch, and the result cannot be kept"
        remedy = f"leave out views or {mixing}{', or write mix_up: {of: features}' if mixing == 'mix_up' else ''}"
        findings.report(("augment", "views"), "conflicting-keys", message, remedy)


def _check_sweep(findings: Findings) -> None:
    if (settings := findings.values.get("sweep")) is not None:
        findings.problems.extend(read_spaces(findings.document, settings)[1])


_CONFLICTS = (
    ("name", "preprocessing", "a network of the catalogue has its own"),
    ("model", "weights", "the file has its own"),
    ("model", "name", "keep one of them"),
)


def _check_backbone(findings: Findings) -> None:
    backbone = findings.values.get("backbone")
    if backbone is None:
        return
    for key, other, hint in _CONFLICTS:
        if key in backbone and other in backbone and (key == "model" or "model" not in backbone):
            at = ("backbone", other)
            is_extended = findings.document.location(at).file != findings.document.location(("backbone",)).file
            advice = f"{hint}; null removes an inherited key" if is_extended else hint
            findings.report(at, "conflicting-keys", f"{other!r} does not go with {key!r}", advice)
    if "model" in backbone:
        _open_model_file(findings, backbone)
    elif "name" not in backbone:
        hint = "name a network (`surgeon backbones` lists them) or give a run or a model file"
        findings.report(("backbone",), "missing-key", "'name' or 'model' is missing", hint)
    elif backbone["name"] is not None:
        _open_table(findings, backbone)


def _open_model_file(findings: Findings, backbone: Values) -> None:
    path = Path(backbone["model"] or "")
    # A run knows its preprocessing; what has a suffix was meant to be a file.
    if "preprocessing" not in backbone and (path.suffix or is_file(path)):
        hint = "a model file does not say which one it needs; `surgeon preprocessing` lists them"
        findings.report(("backbone", "preprocessing"), "missing-key", "'preprocessing' is missing", hint)
    if "cut" not in backbone:
        findings.report(("backbone", "cut"), "missing-key", "'cut' is missing", "name the last layer to keep")
    if backbone["model"] is None:
        return
    if not is_file(path) and not os.path.isdir(path):  # noqa: PTH112 - also of a path that is too long
        findings.report(("backbone", "model"), "missing-path", f"no file at {path}", RELATIVE)
        return
    try:
        if path.is_dir():  # one that holds no network, or it would be the file in it
            read_bundle(path)
        model = open_model(path)
        sides = image_sides(model)
        if takes_integers(model) and backbone.get("preprocessing") not in (None, "none"):
            message = "the model takes integers: unscaled pixels from 0 to 255"
            findings.report(("backbone", "preprocessing"), "unusable-model", message, "write preprocessing: none")
        size = _image_size_of(findings, sides)
        findings.model = on_images(model, size)
    except SurgeonError as error:
        findings.report(("backbone", "model"), "unusable-model", error.message, error.hint)
        return
    findings.table = tabulate(findings.model)


def _image_size_of(findings: Findings, sides: Sides) -> tuple[int, int]:
    """Returns the size of images for a model: what it takes or, where it takes any, what the recipe says."""
    asked = findings.image_size
    wanted = asked or (DEFAULT_IMAGE_SIZE, DEFAULT_IMAGE_SIZE)
    size = (sides[0] or wanted[0], sides[1] or wanted[1])
    if asked is None and "image_size" not in (findings.values.get("data") or {"image_size": None}):
        findings.image_size = size
        findings.values["data"]["image_size"] = size[0] if size[0] == size[1] else list(size)
    elif asked not in (None, size):
        spelled = " x ".join("any" if side is None else str(side) for side in sides)
        findings.report(("data", "image_size"), "image-size", f"the model takes images of {spelled} pixels")
    return size


def _open_table(findings: Findings, backbone: Values) -> None:
    spec = BACKBONES[backbone["name"]]
    weights = backbone.get("weights")
    if weights not in (None, "imagenet", "none") and not is_file(Path(weights)):
        hint = did_you_mean(Path(weights).name, ("imagenet", "none")) or "expected 'imagenet', 'none' or a weights file"
        findings.report(("backbone", "weights"), "missing-path", f"no file at {weights}", hint)
    if weights == "imagenet" and spec.imagenet is None:
        message = f"{spec.name} has no pretrained weights"
        findings.report(("backbone", "weights"), "missing-weights", message, "write weights: none, or give a file")
    size = findings.image_size
    if size is None:
        size = (spec.image_size, spec.image_size)
    elif min(size) < spec.min_image_size:
        message = f"expected at least {spec.min_image_size} pixels for {spec.name}, found {min(size)}"
        findings.report(("data", "image_size"), "image-size", message)
        # At its own size, so that the cut, the head and the phases are checked all the same.
        findings.image_size = size = (spec.image_size, spec.image_size)
    if spec.layer_table is not None:
        findings.table = load_table(spec, size)
        return
    try:
        findings.model = build_graph(spec, size)
    except SurgeonError as error:
        findings.report(("backbone", "name"), "unusable-backbone", error.message, error.hint)
        return
    findings.table = tabulate(findings.model)


def _check_cut_and_head(findings: Findings) -> None:
    backbone, table = findings.values.get("backbone"), findings.table
    if table is None or backbone is None:
        return
    cut: int | None = table.top - 1
    if "cut" in backbone:
        cut = _find_cut(findings, table, backbone["cut"])
    head = findings.values.get("head")
    if cut is None or not is_whole(head) or head is None:
        return
    backbone["cut"] = whole(table).spell(table.rows[cut])
    layers = [next(iter(layer.items())) for layer in head]
    count = len(findings.classes) if findings.classes else 2
    resolved = [(kind, _count_units(parameters, count)) for kind, parameters in layers]
    taken = {table.rows[index].name for index in table.ancestors(cut)} | table.inside
    findings.head = name_head(resolved, taken)
    try:
        findings.network = compose(table, cut, findings.head)
    except HeadError as error:
        hint = "pool or flatten feature maps once, before dense layers"
        findings.report(("head", error.at), "head-shape", str(error), hint)
        return
    for row, message in layers_beyond_memory(findings.network):
        at = ("head", row.index - cut - 1) if row.index > cut else ("data", "image_size")
        findings.report(at, "too-large", f"{message}, more than this machine's memory", "use smaller layers or images")
    if findings.classes is not None or any(parameters.get("units") == "classes" for _, parameters in layers):
        check_head_end(findings, findings.network, findings.head, count)
    check_probe_start(findings, findings.head)


def _find_cut(findings: Findings, table: LayerTable, wanted: Any) -> int | None:
    if wanted is None:
        return None
    try:
        cut = whole(table).row(wanted).index
    except SelectorError as error:
        code = "cut-out-of-range" if isinstance(wanted, int) else "unknown-layer"
        findings.report(("backbone", "cut"), code, error.message, error.hint)
        return None
    if findings.model is not None:
        kept = {table.rows[index].name for index in table.ancestors(cut)}
        problem = cut_problem(findings.model, table.rows[cut].name, kept)
        if problem is not None:
            findings.report(("backbone", "cut"), "unusable-cut", problem, "cut elsewhere")
            return None
        return cut
    spec = BACKBONES.get(table.network)
    # Behind a Flatten the number of weights depends on the size of the images.
    flattened = any(
        row.kind == "Flatten" and row.inputs != () and math.prod(table.rows[row.inputs[0]].shape[:-1]) > 1
        for row in map(table.rows.__getitem__, table.ancestors(cut))
    )
    if spec and flattened and findings.image_size not in (None, (spec.image_size, spec.image_size)):
        message = f"the dense layers of {spec.name} need images of {spec.image_size} pixels"
        findings.report(("backbone", "cut"), "image-size", message, f"cut before {table.rows[table.top].name!r}")
        return None
    return cut


def _count_units(parameters: Values, classes: int) -> Values:
    return {**parameters, "units": classes} if parameters.get("units") == "classes" else parameters


def _check_phases(findings: Findings) -> None:
    phases = findings.values.get("phases") or []
    names = set[str]()
    for at, phase in enumerate(phases):
        if phase is None or len(findings.problems) > MOST_PROBLEMS:
            continue
        path: ValuePath = ("phases", at)
        if phase["name"] in names:
            message = f"another phase is called {quote(phase['name'])} too"
            findings.report((*path, "name"), "duplicate-name", message, "rename one of them")
        names.add(phase["name"])
        _check_trainable(findings, phase, (*path, "trainable"))
        check_rates(findings, phase, path)
        _check_pace(findings, phase, path)
        _check_monitors(findings, phase, path)
        _check_balance(findings, phase, path)


def _check_trainable(findings: Findings, phase: Values, path: ValuePath) -> None:
    wanted = phase.get("trainable")
    if findings.table is None or not is_whole(wanted):
        return
    selectors = wanted if isinstance(wanted, list) else [wanted]
    network = findings.network or whole(findings.table)
    # Without a sound cut and head, only the backbone's names can be checked.
    trains, trained = findings.network is None, set[str]()
    for at, selector in enumerate(selectors):
        if findings.network is None and (isinstance(selector, int) or "head" in selector):
            continue
        try:
            trained |= {row.name for row in network.select([selector]) if row.trainable}
        except SelectorError as error:
            findings.report((*path, at) if selectors is wanted else path, "unknown-layer", error.message, error.hint)
            trains = True  # one problem is enough
            if len(findings.problems) > MOST_PROBLEMS:
                return  # the nearest name is looked for each time
    if findings.network is not None and trains_beyond_memory(findings.network, trained):
        message = "the weights and gradients take more memory than this machine has"
        findings.report(path, "too-large", message, "train fewer layers")
    if not (trains or trained):
        named = ", ".join(first_few(map(quote, selectors), 5))
        message = f"the phase would train nothing: no layer of {named} has weights"
        findings.report(path, "trains-nothing", message, f"`surgeon layers {network.name}` shows which layers do")


def _check_pace(findings: Findings, phase: Values, path: ValuePath) -> None:
    """Whatever the schedule and the optimizer say must be able to happen in the phase."""
    batch_size = (findings.values.get("data") or {}).get("batch_size")
    if not batch_size or not all(is_whole(phase.get(key)) for key in ("epochs", "lr", "optimizer")):
        return
    lr, optimizer = (Choice(*next(iter(phase[key].items()))) for key in ("lr", "optimizer"))
    length = phase_length(phase["epochs"], findings.train_images, batch_size)
    for below, misfit in phase_misfits(lr, optimizer, length):
        findings.report((*path, *below), "misfit", misfit.message, misfit.hint)


def _check_monitors(findings: Findings, phase: Values, path: ValuePath) -> None:
    """The figures that a phase watches are measured, and it goes on for long enough to lower the rate by them."""
    until, lr = (phase.get(key) if is_whole(phase.get(key)) else None for key in ("until", "lr"))
    rate = next(iter(lr.values())) if lr else {}
    for monitor, key in (((until or {}).get("monitor"), "until"), (rate.get("monitor"), "lr")):
        if monitor and monitor.startswith("val_") and _lacks_validation(findings):
            message = f"{monitor} needs validation images, and data.split.validation is 0"
            remedy = "hold some out (data.split.validation: 0.1) or monitor loss"
            findings.report((*path, key), "no-validation", message, remedy)
    if until and until["monitor"] == rate.get("monitor") and until["patience"] <= rate["patience"]:
        message = f"the phase ends after {until['patience']} epochs without improvement; "
        message += f"the learning rate would fall only after {rate['patience']}"
        findings.report((*path, "until"), "misfit", message, "give `until` more patience than the schedule")


def _lacks_validation(findings: Findings) -> bool:
    """Tells whether there will be no validation images, as far as that is known."""
    data = findings.values.get("data")
    if data is None or not is_whole(data["split"]) or findings.classes is None:
        return False
    ((name, parameters),) = data["source"].items()
    return not data["split"]["validation"] and not SOURCES[name].splits(parameters)


def _check_reject(findings: Findings) -> None:
    """Bounds are set by validation images, and what is rejected is called as no class is."""
    if "reject" not in findings.values:
        return
    if _lacks_validation(findings):
        message = "reject sets its bounds by validation images, but data.split.validation is 0"
        findings.report(("reject",), "no-validation", message, "hold some out (data.split.validation: 0.15)")
    head = findings.values.get("head")
    if is_whole(head) and head and not any("dense" in layer for layer in head):
        message = "reject compares the inputs of the head's last dense layer, but there is none"
        findings.report(("reject",), "conflicting-keys", message, "end the head with a dense layer")
    if findings.values.get("test_time_augmentation") == "flip":
        message = "reject sets its bounds by single images, but test_time_augmentation averages two"
        findings.report(("test_time_augmentation",), "conflicting-keys", message, "remove one of them")
    if findings.classes is not None and UNKNOWN in findings.classes:
        message = f"a class is called {UNKNOWN!r}, the answer for rejected images"
        remedy = f"rename it, `data.classes: {{rename: {{{UNKNOWN}: other}}}}`, or leave it out"
        findings.report(("reject",), "conflicting-keys", message, remedy)


def _check_balance(findings: Findings, phase: Values, path: ValuePath) -> None:
    weights = phase.get("class_weight")
    if isinstance(weights, str) and phase.get("sample") == "balanced":
        message = (
            f"'sample: balanced' does not go with 'class_weight: {weights}': together they favour rare classes twice"
        )
        findings.report((*path, "sample"), "conflicting-keys", message, "keep one of them")
    if isinstance(weights, dict) and findings.classes is not None:
        for name in (name for name in weights if name not in findings.classes):
            if len(findings.problems) > MOST_PROBLEMS:
                return  # the nearest name is looked for each time
            hint = did_you_mean(name, findings.classes) or f"expected {', '.join(first_few(findings.classes, 5))}"
            findings.report((*path, "class_weight", name), "unknown-class", f"no class is called {quote(name)}", hint)


def _check_packages(findings: Findings) -> None:
    if findings.values.get("engine") == "openvino" and find_spec("openvino") is None:
        message = "OpenVINO is not installed"
        findings.report(("engine",), "missing-package", message, f"{install_hint('openvino')}, or engine: auto")
    backbone = findings.values.get("backbone") or {}
    spec = BACKBONES.get(str(backbone.get("name")))
    if spec is None or spec.weights_package is None or backbone.get("weights") != "imagenet":
        return
    # A mirror may hold what a package would bring.
    if find_spec(spec.weights_package) is None and "SURGEON_MIRROR" not in os.environ:
        message = f"the ImageNet weights of {spec.name} are not installed"
        hint = f"{install_hint(spec.name.removeprefix('efficientnet'))}, or weights: none"
        findings.report(("backbone", "name"), "missing-package", message, hint)
