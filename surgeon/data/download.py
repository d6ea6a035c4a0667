"""Files from the internet, transferred and verified."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pooch
import requests

from surgeon.errors import SurgeonError
from surgeon.results.events import Progress

if TYPE_CHECKING:
    from collections.abc import Generator

    from surgeon.catalogue.sources.listing import Download


@dataclass
class _Transfer:
    """Where a download stands, in bytes; what the thread that downloads and the one that waits share."""

    done: int = 0
    total: int | None = None
    abandoned: bool = False


def retrieve(download: Download, file: Path) -> Generator[Progress, None, None]:
    """Downloads to ``file``, unless it is there already and whole.

    Raises:
        SurgeonError: If it cannot be had, differs from its hash, or cannot be kept.
    """
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
    with requests.get(url, stream=True, timeout=30) as response, Path(file).open("wb") as opened:
        response.raise_for_status()
        transfer.total = int(response.headers.get("content-length", 0)) or None
        for chunk in response.iter_content(2**16):
            if transfer.abandoned:
                raise InterruptedError("nobody waits for this download any more")
            opened.write(chunk)
            transfer.done += len(chunk)


def _not_to_be_had(download: Download, file: Path, error: Exception) -> SurgeonError:
    mirror = f"set SURGEON_MIRROR to a folder that contains {download.mirror}"
    if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
        return SurgeonError(
            f"cannot keep a download at {file}: {error.strerror or error}",
            f"free some disk space, set XDG_CACHE_HOME to a writable folder, or {mirror}",
        )
    return SurgeonError(
        f"cannot download {download.url}: {_reason(error, download.url)}",
        f"put the file at {file} by hand, or {mirror}",
    )


def _reason(error: Exception, url: str) -> str:
    if isinstance(error, requests.Timeout):
        return f"{urlsplit(url).hostname} does not answer"
    if isinstance(error, requests.ConnectionError):
        return f"no connection to {urlsplit(url).hostname}"
    return str(error)
