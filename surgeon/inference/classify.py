"""Classes of images, by a run or by whatever was exported of one."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from surgeon.catalogue.entry import find
from surgeon.catalogue.exporters import EXPORTERS, Classifier, ExporterSpec
from surgeon.data.batches import ahead
from surgeon.data.images import load_image
from surgeon.data.threads import in_threads
from surgeon.errors import BadImageError, SurgeonError, require_modules
from surgeon.inference.runtimes import runtime_errors, runtime_failure
from surgeon.recipe.bundle import Bundle, read_bundle
from surgeon.resizing import Resizing
from surgeon.results.events import Progress
from surgeon.tensorflow import load_tensorflow

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BATCH = 32


def open_classifier(folder: Path, images: int = 1, *, trust: bool = False) -> tuple[Bundle, Classifier]:
    """Opens a run or an exported bundle; what its answers say, ``read_answers`` tells.

    Args:
        folder: That of either.
        images: About how many will be classified: for many, a run's network takes the time to start in what is fastest.
        trust: Whether an exported network may do more than compute.

    Returns:
        What it is, and a function from RGB pixels from 0 to 255, of shape (n, height, width, 3), to answers, float32
        of shape (n, answers), computed in the format's own runtime.

    Raises:
        UsageError: If the folder holds no network.
        SurgeonError: If the network cannot be opened, or a package for it is missing.
    """
    bundle = read_bundle(folder)
    path = folder / bundle.file
    if bundle.format == "run":
        from surgeon.inference.trained import open_trained  # noqa: PLC0415  needs TensorFlow, other formats do not

        return bundle, open_trained(folder, bundle, images)
    spec = find("format", EXPORTERS, bundle.format)
    require_modules(spec.name, spec.modules, spec.name)
    if spec.in_tensorflow:
        load_tensorflow()
    if spec.check is not None and not trust:
        spec.check(path)
    return bundle, open_export(spec, spec.open, path)


def open_export(spec: ExporterSpec, opened: Callable[[Path], Classifier], path: Path) -> Classifier:
    """Opens an exported network in its runtime, without the runtime's chatter.

    Args:
        spec: The format.
        opened: The format's ``open`` or ``open_encoded``.
        path: The network.

    Returns:
        What ``opened`` returns; whatever the runtime raises later, too, ends as a SurgeonError.

    Raises:
        SurgeonError: If the runtime cannot open it.
    """
    with runtime_errors(f"the {spec.name} runtime cannot open the network"):
        classifier = opened(path)

    def classify(images: Any) -> Any:
        try:
            return classifier(images)
        except BadImageError:
            raise
        except Exception as error:  # runtimes raise whatever an operation provokes
            raise runtime_failure(f"the {spec.name} runtime cannot compute the network", error, ()) from error

    return classify


def classify(
    bundle: Bundle, classifier: Classifier, images: Sequence[Any]
) -> Generator[Progress, None, tuple[NDArray[np.float32], dict[int, str]]]:
    """Classifies images; while one batch is computed the next is decoded, on all cores.

    Args:
        bundle: What the network needs.
        classifier: Its function.
        images: Each with ``read()``, which returns the bytes of a file.

    Returns:
        Answers of shape (n, answers), NaN in the rows of images that cannot be decoded, and why each of those cannot
        be, by its position.

    Raises:
        SurgeonError: If the network gives no finite numbers.
    """
    answers = np.full((len(images), len(bundle.answers)), np.nan, np.float32)
    bad: dict[int, str] = {}

    def decode(positions: range) -> list[tuple[int, NDArray[np.uint8] | str]]:
        (decoded,) = in_threads(lambda image: _load(image, bundle.resizing), [images[at] for at in positions])
        return list(zip(positions, decoded, strict=True))

    batches = [range(at, min(at + _BATCH, len(images))) for at in range(0, len(images), _BATCH)]
    for decoded in ahead(decode, batches):
        good = [(at, pixels) for at, pixels in decoded if not isinstance(pixels, str)]
        bad |= {at: reason for at, reason in decoded if isinstance(reason, str)}
        if good:
            outputs = np.asarray(classifier(np.stack([pixels for _, pixels in good])))
            if outputs.shape != (len(good), len(bundle.answers)):
                raise SurgeonError(
                    f"the network's outputs have the shape {outputs.shape}, which does not fit {len(good)} images and "
                    f"{len(bundle.answers)} answers",
                    "bundle.json is that of another network: export it again",
                )
            if not np.isfinite(outputs).all():
                raise SurgeonError(
                    "the network answers with numbers that are not finite (NaN or infinity)",
                    "its weights or its precision are broken: train it again with a lower lr, or export it another way",
                )
            answers[[at for at, _ in good]] = outputs
        yield Progress("classify", decoded[-1][0] + 1, len(images), "images")
    return answers, bad


def _load(image: Any, resizing: Resizing) -> NDArray[np.uint8] | str:
    try:
        return load_image(image.read(), resizing)
    except BadImageError as error:
        return error.reason
