"""A run, as its folder holds it: what it was to do, what it came to, and its network at work."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from surgeon.catalogue.entry import find
from surgeon.catalogue.exporters import EXPORTERS
from surgeon.catalogue.sources.listing import LabelledImage
from surgeon.data.images import load_image
from surgeon.errors import BadImageError, UsageError, did_you_mean
from surgeon.recipe.plan import Plan
from surgeon.report.notebook import notebook_html
from surgeon.results.run import RunResult
from surgeon.results.subscribers import drive
from surgeon.results.use import ExportResult, OtherData, Prediction, predictions_of
from surgeon.runs.folder import (
    HISTORY_COLUMNS,
    REPORT,
    Predictions,
    is_finished,
    read_predictions,
    read_result,
    recipe_of,
)
from surgeon.runs.plan_file import read_plan, read_run
from surgeon.text import first_few

if TYPE_CHECKING:
    from surgeon.catalogue.exporters import Classifier
    from surgeon.inference.explaining import Explainer
    from surgeon.recipe.bundle import Bundle

Pixels: TypeAlias = "NDArray[np.uint8]"
ImageLike: TypeAlias = "str | Path | bytes | Pixels"
_METHODS = ("grad-cam", "occlusion")


@dataclass(frozen=True)
class Run:
    """A run in its folder; nothing else is needed, neither its photographs nor its recipe's file.

    Attributes:
        folder: Where it is.

    Examples:
        >>> run = surgeon.open_run("runs/night")
        >>> run.result.evaluation.accuracy
        0.968
    """

    folder: Path

    @cached_property
    def plan(self) -> Plan:
        """The plan of the run, as recorded when it began."""
        return read_plan(self.folder)

    @cached_property
    def result(self) -> RunResult:
        """The result of the run.

        Raises:
            UsageError: If it is not finished.
        """
        return read_result(self.folder)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the network's outputs."""
        return self.plan.classes

    @property
    def history(self) -> dict[str, list[str | float | None]]:
        """The epochs as columns, a row per epoch; ``pandas.DataFrame(run.history)`` makes a table of them.

        They are ``phase``, ``epoch``, ``seconds``, ``lr``, ``loss``, ``accuracy`` and, with validation images,
        ``val_loss`` and ``val_accuracy``.
        """
        columns: dict[str, list[str | float | None]] = {name: [] for name in HISTORY_COLUMNS}
        for phase in self.result.phases:
            for epoch in range(phase.epochs):
                row: dict[str, str | float] = {"phase": phase.name, "epoch": epoch + 1}
                row |= {name: values[epoch] for name, values in phase.history.items()}
                for name, column in columns.items():
                    column.append(row.get(name))
        return {name: column for name, column in columns.items() if any(value is not None for value in column)}

    @property
    def predictions(self) -> dict[str, list[str | float]]:
        """The test images as columns, a row per image; ``pandas.DataFrame(run.predictions)`` makes a table of them.

        They are ``file``, ``label``, ``predicted`` and ``probability``, which is that of ``predicted``, from 0 to 1.
        """
        tested = self._tested
        if tested is None:
            return {"file": [], "label": [], "predicted": [], "probability": []}
        return {
            "file": list(tested.files),
            "label": [tested.classes[number] for number in tested.labels],
            "predicted": [tested.classes[number] for number in tested.predicted],
            "probability": tested.probabilities.max(axis=1).tolist(),
        }

    @property
    def probabilities(self) -> dict[str, list[float]]:
        """For each class a column of its probabilities, from 0 to 1, with a row per test image."""
        tested = self._tested
        if tested is None:
            return {name: [] for name in self.classes}
        return dict(zip(tested.classes, tested.probabilities.T.tolist(), strict=True))

    @cached_property
    def _tested(self) -> Predictions | None:
        return read_predictions(self.folder)

    def _classifier(self, images: int = 1) -> tuple[Bundle, Classifier]:
        """Opens the network once for few images and once for many: that takes longer than the answers to a few."""
        from surgeon.inference.classify import open_classifier
        from surgeon.inference.trained import MANY

        many = images >= MANY
        if many not in self._opened:
            self._opened[many] = open_classifier(self.folder, images)
        return self._opened[many]

    @cached_property
    def _opened(self) -> dict[bool, tuple[Bundle, Classifier]]:
        return {}

    @cached_property
    def _explainers(self) -> dict[str, Explainer]:
        return {}

    def predict(self, images: ImageLike | Iterable[ImageLike], top: int | None = None) -> list[Prediction]:
        """Classifies images.

        Args:
            images: One or several: paths, the bytes of image files, or RGB arrays of any size, uint8 of shape
                (height, width, 3), or (n, height, width, 3) for several.
            top: How many classes to return per image, most likely first; at least 1, by default all.

        Returns:
            One prediction per image, in the same order. If an image cannot be read, ``reason`` says why and there
            are no classes. If it is rejected, because the recipe has ``reject``, ``unknown`` says why.

        Raises:
            UsageError: If the run has no network yet, or what is given is not an image.

        Examples:
            >>> run.predict(["rose.jpg"])[0].classes[0]
            'rose'
        """
        from surgeon.evaluation.rejection import read_answers
        from surgeon.inference.classify import classify

        if top is not None and top < 1:
            raise UsageError(f"expected top of 1 or more, found {top}", "leave it out for all classes")
        encoded = [_encoded(image, at) for at, image in enumerate(_several(images))]
        bundle, classifier = self._classifier(len(encoded))
        answers, bad = drive(classify(bundle, classifier, encoded))
        probabilities, unknown = read_answers(answers, bundle.rejection)
        names = [image.name for image in encoded]
        return predictions_of(names, bundle.classes, probabilities.tolist(), bad, unknown, top or len(bundle.classes))

    def evaluate(
        self, data: str | Path, columns: Mapping[str, str] | None = None, out: str | Path | None = None
    ) -> OtherData:
        """Evaluates the network on other images; classes are matched by name.

        Args:
            data: A folder of class folders, a CSV file, a ZIP archive, or what else ``init`` takes.
            columns: For a CSV file: ``image_column`` and ``label_column``, where their names differ from those in the
                recipe.
            out: A new folder for the results: ``evaluation.json``, ``predictions.csv``, ``confusion.png``.

        Raises:
            UsageError: If ``data`` is none of these, or ``out`` exists.
            SurgeonError: If no image has a class that the network knows, or none can be read.

        Examples:
            >>> run.evaluate("other-photos").evaluation.accuracy
            0.93
        """
        from surgeon.inference.evaluate import evaluate_images, list_other

        listing = list_other(self.folder, Path(data), columns or {})
        return drive(evaluate_images(self.folder, listing, None if out is None else Path(out)))

    def explain(self, image: ImageLike, label: str | None = None, method: str = "grad-cam") -> Image.Image:
        """Shows where in an image the network sees a class.

        Args:
            image: As ``predict`` takes it.
            label: The class; by default the likeliest.
            method: ``grad-cam`` (Selvaraju et al., arXiv 1610.02391) or ``occlusion``, which uses only the outputs.
                Occlusion is used for networks that Grad-CAM does not support.

        Returns:
            The image with a heat map over it, RGB, at the size of the network's input.

        Raises:
            UsageError: If there is no such class or method, or what is given is not an image.
            BadImageError: If the image cannot be read.
        """
        from surgeon.inference.explaining import build_explainer

        if label is not None and label not in self.classes:
            raise UsageError(f"{label!r} is not a class of {self.folder}", _instead(label, self.classes))
        if method not in _METHODS:
            raise UsageError(f"no method is called {method!r}", _instead(method, _METHODS))
        encoded = _encoded(image, 0)
        bundle, classifier = self._classifier()
        try:
            pixels = load_image(encoded.read(), bundle.resizing)
        except BadImageError as error:
            raise BadImageError(f"{encoded.name}: {error.reason}") from error
        likeliest = int(classifier(pixels[None])[0, : len(bundle.classes)].argmax())
        number = likeliest if label is None else bundle.classes.index(label)
        if method not in self._explainers:
            self._explainers[method] = build_explainer(self.folder, bundle, method, classifier)
        return self._explainers[method](pixels, number)

    def export(self, format: str, quantize: str | None = None, out: str | Path | None = None) -> ExportResult:  # noqa: A002
        """Exports the network to another format, after comparing it with the run.

        Args:
            format: ``keras``, ``savedmodel``, ``litert``, ``onnx``, or what another package adds.
            quantize: ``float16`` or ``int8``; ``litert`` only.
            out: A new folder; by default ``export/FORMAT`` in the run's.

        Raises:
            UsageError: If there is no such format, or the folder exists.
            SurgeonError: If a package for it is missing, or the exported network does not agree with the run's.

        Examples:
            >>> surgeon.open_run("runs/night").export("onnx").largest_difference
            2.4e-07
        """
        spec = find("format", EXPORTERS, format)
        from surgeon.export.export import default_folder, export  # seconds, after what is quickly said

        folder = default_folder(self.folder, spec.name, quantize) if out is None else Path(out)
        return drive(export(self.plan, self.folder, spec, quantize, folder))

    def report(self, out: str | Path | None = None) -> Path:
        """Writes the report of the run, by default ``report.html`` in its folder, and returns its path."""
        from surgeon.publishing.page import write_report

        plan, result = read_run(self.folder)
        path = self.folder / REPORT if out is None else Path(out)
        drive(write_report(plan, self.folder, result, path))
        return path

    def card(self, out: str | Path | None = None) -> Path:
        """Writes a model card in Markdown, in the form that model hubs read; by default ``README.md`` in the run.

        Raises:
            UsageError: If there is such a file already.
        """
        from surgeon.publishing.card import write_card

        plan, result = read_run(self.folder)
        path = self.folder / "README.md" if out is None else Path(out)
        write_card(plan, self.folder, result, path)
        return path

    def _repr_html_(self) -> str:
        """Shows the run in a notebook: figures, curves, confusion matrix."""
        return notebook_html(self.folder, self.result if is_finished(self.folder) else None)


def open_run(folder: str | Path) -> Run:
    """Opens a run by its folder.

    Raises:
        UsageError: If the folder holds no run.

    Examples:
        >>> surgeon.open_run("runs/night").classes
        ('daisy', 'rose')
    """
    path = Path(folder)
    recipe_of(path)
    return Run(path)


def _several(images: ImageLike | Iterable[ImageLike]) -> Sequence[ImageLike]:
    """Returns one or several images as several."""
    if isinstance(images, np.ndarray):
        return list(images) if images.ndim == 4 else [images]
    if isinstance(images, str | Path | bytes) or not isinstance(images, Iterable):
        return [images]
    return list(images)


def _instead(found: str, known: Sequence[str]) -> str:
    """Returns what there is instead of a name that there is not."""
    return did_you_mean(found, known) or f"expected {', '.join(first_few(known, 10))}"


def _encoded(image: ImageLike, number: int) -> LabelledImage:
    """Returns an image as one of a source, which is decoded in one way, whatever it came as."""
    if isinstance(image, str | Path):
        return LabelledImage(str(image), "", None, path=Path(image))
    if isinstance(image, bytes):
        return LabelledImage(f"image {number}", "", None, data=image)
    if not isinstance(image, np.ndarray):
        raise UsageError(
            f"image {number} is of the type {type(image).__name__}",
            "give a path, the bytes of a file or an array; for a Pillow image, numpy.array(image.convert('RGB'))",
        )
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
        raise UsageError(
            f"image {number} is an array of {image.dtype} of the shape {image.shape}",
            "give RGB from 0 to 255: uint8 of the shape (height, width, 3)",
        )
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG", compress_level=1)
    return LabelledImage(f"image {number}", "", None, data=content.getvalue())
