"""Files from the internet: looked for in a mirror first, verified, kept for the next time."""

from __future__ import annotations

import os
import tarfile
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
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


@dataclass
class _Transfer:
    """Where a download stands, in bytes; what the thread that downloads and the one that waits share."""

    done: int = 0
    total: int | None = None
    abandoned: bool = False


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
            downloader=partial(_stream, transfer=transfer),
        )
        try:
            while wait([retrieval], timeout=0.1).not_done:
                yield Progress(f"download {file.name}", transfer.done, transfer.total, "bytes")
            retrieval.result()
        except (OSError, ValueError) as error:
            raise _not_to_be_had(download, file, error) from error
        finally:
            transfer.abandoned = True


def _stream(url: str, file: str, _: object, *, transfer: _Transfer) -> None:
    """Downloads in the way that pooch asks for; pooch's own downloader leaves its connection open on errors."""
    import requests

    with requests.get(url, stream=True, timeout=30) as response, Path(file).open("wb") as opened:
        response.raise_for_status()
        transfer.total = int(response.headers.get("content-length", 0)) or None
        for chunk in response.iter_content(2**16):
            if transfer.abandoned:
                raise InterruptedError("nobody waits for this download any more")
            opened.write(chunk)
            transfer.done += len(chunk)


def _not_to_be_had(download: Download, file: Path, error: Exception) -> SurgeonError:
    import requests

    mirror = f"let SURGEON_MIRROR name a folder that holds {download.mirror}"
    if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
        return SurgeonError(
            f"cannot keep a download at {file}: {error.strerror or error}",
            f"free some disk space, let XDG_CACHE_HOME name a folder that can be written, or {mirror}",
        )
    return SurgeonError(
        f"cannot download {download.url}: {_reason(error, download.url)}",
        f"put the file at {file} by hand, or {mirror}",
    )


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
