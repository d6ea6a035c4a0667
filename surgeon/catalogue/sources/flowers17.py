"""Oxford Flowers-17."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from surgeon.catalogue.entry import Parameters, integer
from surgeon.catalogue.sources.listing import Download, LabelledImage, Listing, SourceSpec
from surgeon.errors import SurgeonError

FLOWERS = (
    "daffodil",
    "snowdrop",
    "lilyvalley",
    "bluebell",
    "crocus",
    "iris",
    "tigerlily",
    "tulip",
    "fritillary",
    "sunflower",
    "daisy",
    "coltsfoot",
    "dandelion",
    "cowslip",
    "buttercup",
    "windflower",
    "pansy",
)
FLOWERS_PER_CLASS = 80


def _downloads(parameters: Parameters) -> tuple[Download, ...]:
    url = "https://www.robots.ox.ac.uk/~vgg/data/flowers/17/"
    archive = Download(
        url + "17flowers.tgz",
        "sha256:fe38a60f8b4a95e657551247d3e7d799a3fafcdbc595be504b12839967823d70",
        "datasets/flowers17",
        archive=True,
    )
    splits = Download(
        url + "datasplits.mat",
        "md5:4828cddfd0d803c5abbdebcb1e148a1e",
        "datasets/flowers17/datasplits.mat",
        archive=False,
    )
    return (archive, splits) if parameters.get("official_split") else (archive,)


def _read(parameters: Parameters, paths: tuple[Path, ...]) -> Listing:
    official = parameters.get("official_split")
    splits = _official_split(paths[1], official) if official else {}
    files = {
        number: paths[0] / "jpg" / f"image_{number:04}.jpg" for number in range(1, len(FLOWERS) * FLOWERS_PER_CLASS + 1)
    }
    missing = [file for file in files.values() if not file.is_file()]
    if missing:
        raise SurgeonError(
            f"{len(missing)} of the {len(files)} images of Flowers-17 are missing, the first is {missing[0]}",
            f"remove {paths[0]} to have it fetched again, or complete it",
        )
    images = (
        LabelledImage(f"jpg/{file.name}", FLOWERS[(number - 1) // FLOWERS_PER_CLASS], splits.get(number), file)
        for number, file in files.items()
    )
    return Listing(tuple(images), FLOWERS, ignored=0)


def _official_split(file: Path, number: int) -> Mapping[int, str]:
    """Returns the split of each image by the image's number, which counts from 1."""
    from scipy.io import loadmat

    names = {f"trn{number}": "train", f"val{number}": "validation", f"tst{number}": "test"}
    try:
        matrices = loadmat(file, variable_names=list(names))
        return {int(image): split for name, split in names.items() for image in matrices[name].flat}
    except Exception as error:  # the reader of a format this loose fails in any way it likes
        raise SurgeonError(f"{file} does not hold the official splits of Flowers-17: {error}", "remove it") from error


SPEC = SourceSpec(
    name="flowers17",
    summary="Oxford Flowers-17: 1,360 photographs, 17 classes of 80 (60 MB to download).",
    parameters={
        "official_split": integer(
            "Which of the three official splits (680 train, 340 validation, 340 test) to use instead of data.split.",
            minimum=1,
            maximum=3,
        )
    },
    read=_read,
    classes=lambda parameters: FLOWERS,
    splits=lambda parameters: "official_split" in parameters,
    downloads=_downloads,
)
