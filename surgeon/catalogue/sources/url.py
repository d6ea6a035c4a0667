"""Class folders behind a URL, such as those of object storage, by the library ``fsspec``; each image comes once."""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from platformdirs import user_cache_path

from surgeon.catalogue.entry import Parameters, Schema
from surgeon.catalogue.sources.listing import Listing, SourceSpec, classes_or_none
from surgeon.catalogue.sources.patterned import SPLIT_PATTERN
from surgeon.catalogue.sources.split_names import ARE_SPLITS
from surgeon.catalogue.sources.tree import has_splits, list_tree
from surgeon.errors import SurgeonError, require_modules
from surgeon.files import read_regular
from surgeon.formats import MAX_IMAGE_BYTES, too_large

_URL: Schema = {"description": "Where the class folders or the splits are.", "type": "string", "minLength": 1}


def _read(parameters: Parameters, paths: tuple[Path, ...]) -> Listing:
    url = parameters["url"]
    system, root, files = _list(url)
    found = [
        (PurePosixPath(file.removeprefix(root).lstrip("/")), partial(_content, system, file, info))
        for file, info in files.items()
    ]
    listing = list_tree(url, found, parameters)
    if not listing.images:
        raise SurgeonError(f"no labelled images at {url}", "it has to lead to class folders of images")
    return listing


def _list(url: str) -> tuple[Any, str, dict[str, dict[str, Any]]]:
    """Returns a file system, the root in it, and the files below that, each with what the system knows of it.

    Raises:
        SurgeonError: If that cannot be had.
    """
    if "://" not in url:
        raise SurgeonError(
            f"{url} is not a URL", "give one such as s3://bucket/photos, or a folder to data.source.folder"
        )
    require_modules("this source", ("fsspec",), "url")
    from fsspec.core import url_to_fs

    try:
        system, root = url_to_fs(url)
        return system, root, system.find(root, detail=True)
    except ImportError as error:
        raise SurgeonError(f"cannot list {url}: {error}", "install the package that it names") from error
    except Exception as error:  # each system has its own, such as those of a cloud's library
        raise _unreachable(url, error) from error


def _unreachable(what: str, error: Exception) -> SurgeonError:
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return SurgeonError(f"cannot read {what}: {reason}", "check the URL, the network and your credentials for it")


def _content(system: Any, file: str, info: dict[str, Any]) -> bytes:
    """Returns an image, which is kept in the cache for as long as the system says the same of the file.

    Raises:
        BadImageError: If it is larger than it may be.
        SurgeonError: If it cannot be had, which is not the image's fault.
    """
    if (info.get("size") or 0) > MAX_IMAGE_BYTES:
        raise too_large(f"{info['size']:,} bytes")
    known = sorted((key, str(value)) for key, value in info.items())
    digest = hashlib.sha256(repr((system.protocol, known)).encode()).hexdigest()
    kept = user_cache_path("surgeon") / "downloads" / "urls" / digest[:2] / digest
    with suppress(OSError):  # of one that is not there yet
        return read_regular(kept, MAX_IMAGE_BYTES)
    try:
        content: bytes = system.cat_file(file, end=MAX_IMAGE_BYTES + 1)
    except Exception as error:  # as above
        raise _unreachable(file, error) from error
    if len(content) > MAX_IMAGE_BYTES:
        raise too_large(f"more than {MAX_IMAGE_BYTES:,} bytes")
    _keep(content, kept)
    return content


def _keep(content: bytes, path: Path) -> None:
    """Writes a file as a whole or not at all; where the cache cannot be written, the image comes again next time."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:  # of several threads or processes
            file.write(content)
        Path(file.name).replace(path)


SPEC = SourceSpec(
    name="url",
    summary="Class folders behind a URL such as `s3://bucket/photos`, of any file system of the library fsspec.",
    parameters={
        "url": _URL,
        "splits": ARE_SPLITS,
        "split_pattern": SPLIT_PATTERN,
    },
    required=("url",),
    shorthand="url",
    read=_read,
    classes=lambda parameters: classes_or_none(lambda: _read(parameters, ()).classes),
    splits=lambda parameters: has_splits(lambda: _read(parameters, ())),
)
