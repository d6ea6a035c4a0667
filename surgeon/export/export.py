"""A trained network in another format, compared with its run on real images before it counts."""

from __future__ import annotations

import functools
import shutil
import statistics
import time
import warnings
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from surgeon.catalogue.exporters import EXPORTERS, Classifier, Export, ExporterSpec, labels_text
from surgeon.catalogue.layer_table import open_model
from surgeon.data.images import load_image
from surgeon.errors import BadImageError, SurgeonError, UsageError, require_modules
from surgeon.evaluation.rejection import excess_of, read_answers
from surgeon.export.reference import Reference, find_reference, known_images, training_pixels
from surgeon.export.synthetic import image_files
from surgeon.inference.classify import classify, open_export
from surgeon.inference.runtimes import runtime_errors
from surgeon.inference.whole import usable_network
from surgeon.model.inference import is_float32
from surgeon.recipe.bundle import Bundle, PixelInput, read_bundle, write_bundle
from surgeon.results.events import Event, Note, Progress
from surgeon.results.use import ExportResult
from surgeon.runs.pictures import PICTURES
from surgeon.tensorflow import held_back

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from surgeon.recipe.plan import Plan

TOLERANCE = 1e-3  # of a probability, in float32
_ON_A_BOUND = 1e-3  # of what is rejected, as a part of the bound
_TIMED = 20  # images that are classified one by one


def default_folder(run: Path, name: str, quantize: str | None) -> Path:
    """Returns where an export goes if nobody says: ``export/FORMAT`` in the run."""
    return run / "export" / "-".join(filter(None, (name, quantize)))


def export(
    plan: Plan, run: Path, spec: ExporterSpec, quantize: str | None, out: Path
) -> Generator[Event, None, ExportResult]:
    """Writes the network of a run in another format into a new folder, which appears once it has been compared.

    Args:
        plan: Of the run's recipe.
        run: The run.
        spec: The format.
        quantize: One of the format's quantizations, or None.
        out: The folder.

    Raises:
        UsageError: If ``out`` exists, or the format has no such quantization.
        SurgeonError: If a package for the format is missing, or the exported network does not agree with the run's.
    """
    if quantize is not None and quantize not in spec.quantizations:
        able = [other.name for other in EXPORTERS.values() if quantize in other.quantizations]
        hint = f"{' or '.join(able)} can" if able else f"expected {' or '.join(spec.quantizations) or 'none'}"
        raise UsageError(f"{spec.name} cannot be written as {quantize}", hint)
    require_modules(spec.name, spec.modules, spec.name)
    if out.exists():
        raise UsageError(f"{out} exists", "give another folder (--out)")
    bundle = read_bundle(run)
    trained = open_model(run / bundle.file)
    network = usable_network(run, bundle, trained)
    narrow = not (plan.precision == plan.features_dtype == "float32" and is_float32(trained))
    narrow |= bundle.rejection is not None  # what is stored does not say how near an image was to being rejected
    images, resized = yield from known_images(plan, run)
    # What is cropped already is not to be cropped again.
    seen = replace(bundle, resize="squash", scale=1.0) if images and resized else bundle
    if quantize == "int8" and not any(image.split == "train" for image in images):
        raise SurgeonError(
            "int8 needs training images for calibration, but the run keeps none",
            f"restore its photographs and remove {PICTURES}",
        )
    reference = yield from find_reference(run, seen, network, images, narrow=narrow)
    partial = out.with_name(f"{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield Progress(f"write {spec.name}", 0, None, "files")
        calibration = functools.partial(training_pixels, images, seen.resizing)
        with runtime_errors(f"this network cannot be written as {spec.name}"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            asked = Export(bundle.name, network, bundle.answers, bundle.resizing, quantize, calibration)
            spec.write(asked, partial / spec.file)
        takes = None if spec.input is None else PixelInput(spec.input, "float32", (spec.batch, *bundle.image_size, 3))
        contained = replace(bundle, preprocessing="none", from_logits=False, flip=False)
        write_bundle(partial, replace(contained, format=spec.name, file=spec.file, input=takes))
        (partial / "labels.txt").write_text(labels_text(bundle.answers), encoding="utf-8")
        result = yield from _compare(spec, partial / spec.file, quantize, bundle, seen, reference)
        _check(result)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return result


def _compare(
    spec: ExporterSpec, path: Path, quantize: str | None, bundle: Bundle, seen: Bundle, reference: Reference
) -> Generator[Event, None, ExportResult]:
    """Opens what was written and classifies the images of the reference by it, which are resized as ``seen`` says."""
    classifier = open_export(spec, spec.open, path)
    found, _ = yield from classify(seen, classifier, reference.images)
    seconds = []
    for image in reference.images[:_TIMED]:
        pixels = load_image(image.read(), seen.resizing)[None]
        started = time.perf_counter()
        classifier(pixels)
        seconds.append(time.perf_counter() - started)
    if spec.open_encoded is not None:
        classify_encoded = open_export(spec, spec.open_encoded, path)
        yield from _compare_decoders(bundle, classifier, classify_encoded)
        if seen.resizing.scale == bundle.resizing.scale:
            found = yield from _classify_encoded(reference, found, classify_encoded)
        else:
            yield Note(
                f"the kept {reference.split} images are cropped already, so pixels are compared instead of files"
            )
    (probabilities, rejected), (expected, rejected_before) = (
        read_answers(answers, bundle.rejection) for answers in (found, reference.answers)
    )
    decisions, before = probabilities.argmax(axis=1), expected.argmax(axis=1)
    changed = decisions != before
    if bundle.rejection is not None:
        # An image that lies on a bound may fall on either side of it.
        is_clear = np.abs(excess_of(reference.answers) - 1) > _ON_A_BOUND
        changed[[at for at in rejected.keys() ^ rejected_before.keys() if is_clear[at]]] = True
    return ExportResult(
        format=spec.name,
        quantize=quantize,
        reference=reference.source,
        images=len(reference.images),
        split=reference.split,
        largest_difference=float(np.abs(probabilities - expected).max()),
        changed_decisions=int(changed.sum()),
        accuracy_before=None if reference.labels is None else float((before == reference.labels).mean()),
        accuracy=None if reference.labels is None else float((decisions == reference.labels).mean()),
        size=sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()),
        seconds_per_image=statistics.median(seconds),
    )


def _compare_decoders(
    bundle: Bundle, classifier: Classifier, classify_encoded: Classifier
) -> Generator[Event, None, None]:
    """Raises SurgeonError if the exported network decodes a synthetic image file otherwise than the run does."""
    refused = 0
    files = list(image_files())
    for name, content in files:
        try:
            with held_back():  # what TensorFlow remarks about an error, too
                answers = classify_encoded([content])
        except BadImageError:
            refused += 1
            continue
        pixels = load_image(content, bundle.resizing)[None]
        (found, _), (expected, _) = (read_answers(one, bundle.rejection) for one in (answers, classifier(pixels)))
        difference = float(np.abs(found - expected).max())
        if not difference <= TOLERANCE:
            raise SurgeonError(
                f"the exported network decodes a synthetic {name} otherwise than surgeon does: probabilities differ by "
                f"up to {difference:.2g}; allowed are {TOLERANCE:g}",
                "nothing was left; try another format, and report this",
            )
    yield Note(
        f"it decodes images by itself: {len(files) - refused} of {len(files)} synthetic files of all kinds as surgeon "
        "does, and it refuses the others"
    )


def _classify_encoded(
    reference: Reference, found: NDArray[np.float32], classify_encoded: Classifier
) -> Generator[Event, None, NDArray[np.float32]]:
    """Returns ``found`` with new rows for all images that the exported network decodes by itself."""
    rows, refused = found.copy(), []
    for at, image in enumerate(reference.images):
        try:
            with held_back():
                (rows[at],) = classify_encoded([image.read()])
        except BadImageError as error:
            refused.append(f"{image.name}: {error.reason}")
        yield Progress("classify encoded images", at + 1, len(rows), "images")
    if refused:
        yield Note(
            f"it refuses {len(refused)} of the {len(rows)} {reference.split} images, so of those decoded pixels are "
            f"compared; the first is {refused[0]}"
        )
    return rows


def _check(result: ExportResult) -> None:
    """Raises SurgeonError if an export in float32 disagrees; what narrower numbers lose is reported."""
    # Of what is no number no comparison holds.
    if result.quantize is None and not (result.largest_difference <= TOLERANCE and result.changed_decisions == 0):
        raise SurgeonError(
            f"the exported network disagrees with {result.reference}: {result.changed_decisions} of {result.images} "
            f"{result.split} images get another class, and probabilities differ by up to "
            f"{result.largest_difference:.2g}; allowed are {TOLERANCE:g}",
            "nothing was left; try another format, and report this",
        )
