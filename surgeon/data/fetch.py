"""Files from the internet: looked for in a mirror first, verified, kept for the next time."""

from __future__ import annotations

import os
import tarfile
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from platformdirs import user_cache_path

from surgeon.errors import SurgeonError
from surgeon.results import Progress

if TYPE_CHECKING:
    from collections.abc import Generator

    from surgeon.catalogue.sources import Download


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
    digest = download.hash.partition(":")[2]
    file = user_cache_path("surgeon") / "downloads" / f"{digest[:8]}-{Path(urlsplit(download.url).path).name}"
    if not download.archive:
        yield from _retrieve(download, file)
        return file
    folder = file.with_name(f"{file.name}.contents")
    if not folder.is_dir():
        yield from _retrieve(download, file)
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
            "let it name the folder that holds datasets/ and weights/, or unset it",
        )
    path = Path(mirror) / relative
    return path if path.exists() else None


class _Transfer:
    """Where a download stands, in bytes; what pooch asks of a progress bar."""

    def __init__(self) -> None:
        self.total = 0
        self.done = 0
        self.abandoned = False

    def update(self, amount: int) -> None:
        if self.abandoned:
            raise InterruptedError("nobody waits for this download any more")
        self.done += amount

    def reset(self) -> None:
        self.done = 0

    def close(self) -> None:
        """Does nothing: there is nothing on the screen."""


def _retrieve(download: Download, file: Path) -> Generator[Progress, None, None]:
    """Downloads to ``file``, unless it is there already and whole."""
    import pooch

    pooch.get_logger().setLevel("ERROR")  # the library never prints
    transfer = _Transfer()
    with ThreadPoolExecutor(1) as pool:
        retrieval = pool.submit(
            pooch.retrieve,
            download.url,
            known_hash=download.hash,
            fname=file.name,
            path=file.parent,
            progressbar=transfer,
        )
        try:
            while wait([retrieval], timeout=0.1).not_done:
                # The last chunk counts whole, however short it is; no total means that the server gave none.
                done = min(transfer.done, transfer.total or transfer.done)
                yield Progress(f"download {file.name}", done, transfer.total or None, "bytes")
            retrieval.result()
        except (OSError, ValueError) as error:
            raise SurgeonError(
                f"cannot download {download.url}: {_reason(error, download.url)}",
                f"put the file at {file} by hand, or let SURGEON_MIRROR name a folder that holds {download.mirror}",
            ) from error
        finally:
            transfer.abandoned = True


def _reason(error: Exception, url: str) -> str:
    import requests

    if isinstance(error, requests.Timeout):
        return f"{urlsplit(url).hostname} does not answer"
    if isinstance(error, requests.ConnectionError):
        return f"no connection to {urlsplit(url).hostname}"
    return str(error)


def _unpack(archive: Path, folder: Path) -> None:
    """Unpacks into ``folder``, which appears only when it is whole."""
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            contents = Path(temporary) / "contents"
            with tarfile.open(archive) as opened:
                # Python releases before mid-2023 lack the filter; there the archive's hash has to vouch.
                opened.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
                opened.extractall(contents)
            _put_in_place(contents, folder)
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise SurgeonError(
            f"cannot unpack {archive}: {error}", f"free some disk space, or unpack it to {folder} by hand"
        ) from error


def _put_in_place(contents: Path, folder: Path) -> None:
    try:
        contents.rename(folder)
    except OSError:
        if not folder.is_dir():  # if it is, another process has unpacked the same at the same time
            raise
