"""Files from the internet: looked for in a mirror first, verified, kept for the next time."""

from __future__ import annotations

import os
import tarfile
import tempfile
import zlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from platformdirs import user_cache_path

from surgeon.errors import SurgeonError
from surgeon.results.events import Progress

if TYPE_CHECKING:
    from collections.abc import Generator

    from surgeon.catalogue.sources.listing import Download


def fetch(download: Download) -> Generator[Progress, None, Path]:
    """Makes a download available on this machine.

    Returns:
        The file, or for an archive the folder of its contents.

    Raises:
        SurgeonError: If the file cannot be had, differs from its hash, or cannot be unpacked.
    """
    mirrored = mirror_path(download.mirror)
    if mirrored is not None:
        return mirrored
    from surgeon.data.download import retrieve  # noqa: PLC0415  what transfers takes a while to load, and few need it

    digest = download.hash.partition(":")[2]
    file = user_cache_path("surgeon") / "downloads" / f"{digest[:8]}-{Path(urlsplit(download.url).path).name}"
    if not download.archive:
        yield from retrieve(download, file)
        return file
    folder = file.with_name(f"{file.name}.contents")
    if not folder.is_dir():
        yield from retrieve(download, file)
        yield Progress(f"unpack {file.name}", 0, None, "files")
        _unpack(file, folder)
    return folder


def mirror_path(relative: str) -> Path | None:
    """Returns where the mirror that ``SURGEON_MIRROR`` names holds ``relative``, or None if it does not.

    Raises:
        SurgeonError: If the mirror is not a folder.
    """
    mirror = os.environ.get("SURGEON_MIRROR")
    if not mirror:
        return None
    if not Path(mirror).is_dir():
        raise SurgeonError(
            f"SURGEON_MIRROR names {mirror!r}, which is not a folder",
            "set it to the folder that contains datasets/ and weights/, or unset it",
        )
    path = Path(mirror) / relative
    return path if path.exists() else None


def _unpack(archive: Path, folder: Path) -> None:
    """Unpacks into ``folder``, which appears only when it is whole."""
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            contents = Path(temporary) / "contents"
            with tarfile.open(archive) as opened:
                _check_members(opened)
                opened.extraction_filter = getattr(tarfile, "data_filter", None)  # Python has one since 3.11.4
                opened.extractall(contents)
            _put_in_place(contents, folder)
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise SurgeonError(
            f"cannot unpack {archive}: {error}", f"free some disk space, or unpack it to {folder} by hand"
        ) from error


def _check_members(archive: tarfile.TarFile) -> None:
    """Raises TarError if something in an archive would be written elsewhere, or is neither a file nor a folder."""
    for member in archive:
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts or not (member.isfile() or member.isdir()):
            raise tarfile.TarError(f"{member.name!r} in it is outside of its folder, or a link")


def _put_in_place(contents: Path, folder: Path) -> None:
    try:
        contents.rename(folder)
    except OSError:
        if not folder.is_dir():  # if it is, another process has unpacked the same at the same time
            raise
