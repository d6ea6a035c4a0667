from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from surgeon.catalogue.sources import SOURCES
from surgeon.catalogue.sources.listing import Download
from surgeon.data.fetch import fetch, mirror_path
from surgeon.errors import SurgeonError
from surgeon.results.events import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Server:
    """Serves a folder; can be told to stop in the middle of each file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests: list[str] = []
        self.go_on = threading.Event()
        self.go_on.set()
        server = self

        class Handler(SimpleHTTPRequestHandler):
            def log_message(self, *message: object) -> None:
                pass

            def copyfile(self, source: io.BufferedReader, target: io.BufferedWriter) -> None:  # type: ignore[override]
                server.requests.append(self.path)
                data = source.read()
                target.write(data[: len(data) // 2])
                target.flush()
                server.go_on.wait(10)
                target.write(data[len(data) // 2 :])

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def offer(self, name: str, data: bytes, archive: bool = False) -> Download:
        (self.folder / name).write_bytes(data)
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        return Download(f"{self.url}/{name}", digest, f"datasets/{name.partition('.')[0]}", archive)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "served").mkdir()
    server = Server(tmp_path / "served")
    thread = threading.Thread(target=server.http.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.go_on.set()
    server.http.shutdown()
    server.http.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "user cäche"
    monkeypatch.setattr("surgeon.data.fetch.user_cache_path", lambda name: folder / name)
    monkeypatch.delenv("SURGEON_MIRROR", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return folder / "surgeon" / "downloads"


@pytest.mark.parametrize("inside", ["", "surgeon/downloads"])
def test_a_folder_that_cannot_be_written_is_named_with_what_to_do(
    inside: str, server: Server, finish: Callable, tmp_path: Path
) -> None:
    file = tmp_path / "user cäche" / inside
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("a file where a folder should be")
    with pytest.raises(SurgeonError, match=r"cannot keep a download at .*: (Not a directory|File exists)") as error:
        finish(fetch(server.offer("data.bin", b"content")))
    assert "XDG_CACHE_HOME" in str(error.value.hint)


def tar(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def leftovers(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir())


class TestMirror:
    def test_it_is_looked_in_first(
        self, tmp_path: Path, server: Server, finish: Callable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        download = server.offer("weights.h5", b"downloaded")
        mirrored = tmp_path / "mirror" / "datasets" / "weights"
        mirrored.mkdir(parents=True)
        monkeypatch.setenv("SURGEON_MIRROR", str(tmp_path / "mirror"))
        assert mirror_path("datasets/weights") == mirrored
        assert finish(fetch(download)) == (mirrored, [])
        assert server.requests == []

    def test_what_it_lacks_is_downloaded(
        self, tmp_path: Path, server: Server, finish: Callable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SURGEON_MIRROR", str(tmp_path))
        assert mirror_path("datasets/weights") is None
        path, _ = finish(fetch(server.offer("weights.h5", b"downloaded")))
        assert path.read_bytes() == b"downloaded"

    def test_a_mirror_that_does_not_exist_is_an_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SURGEON_MIRROR", str(tmp_path / "gone"))
        with pytest.raises(SurgeonError, match=r"gone.* is not a folder"):
            mirror_path("datasets/weights")
        monkeypatch.setenv("SURGEON_MIRROR", "")
        assert mirror_path("datasets/weights") is None

    @pytest.mark.mirror
    def test_flowers17_come_from_the_mirror(
        self, mirror: Path, finish: Callable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SURGEON_MIRROR", str(mirror))
        (archive,) = SOURCES["flowers17"].downloads({})
        folder, _ = finish(fetch(archive))
        assert (folder / "jpg" / "image_1360.jpg").is_file()


class TestDownload:
    def test_a_file_is_downloaded_once(
        self, server: Server, cache: Path, finish: Callable, capfd: pytest.CaptureFixture[str]
    ) -> None:
        download = server.offer("weights.h5", bytes(1_000_000))
        path, _ = finish(fetch(download))
        assert path.read_bytes() == bytes(1_000_000)
        assert path.parent == cache
        assert finish(fetch(download)) == (path, [])
        assert server.requests == ["/weights.h5"]
        assert capfd.readouterr() == ("", "")

    def test_progress_is_told_in_bytes(self, server: Server) -> None:
        server.go_on.clear()
        work = fetch(server.offer("weights.h5", bytes(1_000_000)))
        event = next(work)
        while event.done == 0:
            event = next(work)
        assert (event.total, event.unit) == (1_000_000, "bytes")
        assert 0 < event.done <= 1_000_000
        assert "weights.h5" in event.task
        server.go_on.set()
        assert list(work)[-1:] in ([], [Progress(event.task, 1_000_000, 1_000_000, "bytes")])

    def test_an_abandoned_download_leaves_nothing(self, server: Server, cache: Path, finish: Callable) -> None:
        server.go_on.clear()
        download = server.offer("weights.h5", bytes(1_000_000))
        work = fetch(download)
        next(work)
        threading.Timer(0.1, server.go_on.set).start()
        work.close()
        assert leftovers(cache) == []
        path, _ = finish(fetch(download))
        assert path.stat().st_size == 1_000_000

    def test_a_file_put_there_by_hand_counts_if_it_is_the_right_one(
        self, server: Server, cache: Path, finish: Callable
    ) -> None:
        download = server.offer("weights.h5", b"right")
        path, _ = finish(fetch(download))
        path.write_bytes(b"right")
        finish(fetch(download))
        assert len(server.requests) == 1
        path.write_bytes(b"wrong")
        finish(fetch(download))
        assert len(server.requests) == 2
        assert path.read_bytes() == b"right"

    def test_failures_say_what_to_do(self, server: Server, cache: Path, finish: Callable) -> None:
        offered = server.offer("weights.h5", b"other than expected")
        missing = Download(f"{server.url}/gone.h5", offered.hash, "weights/gone.h5", archive=False)
        other = Download(offered.url, f"md5:{'0' * 32}", "weights/weights.h5", archive=False)
        unreachable = Download("http://127.0.0.1:9/x.h5", offered.hash, "weights/x.h5", archive=False)
        for download, reason in [
            (missing, "404"),
            (other, "does not match the known hash"),
            (unreachable, "no connection to 127.0.0.1"),
        ]:
            with pytest.raises(SurgeonError, match=reason) as error:
                finish(fetch(download))
            assert download.url in error.value.message
            assert str(cache) in str(error.value.hint)
            assert f"set SURGEON_MIRROR to a folder that contains {download.mirror}" in str(error.value.hint)
            assert leftovers(cache) == []


class TestArchive:
    def test_it_is_unpacked_once(self, server: Server, finish: Callable) -> None:
        download = server.offer("photos.tgz", tar(("jpg/a.jpg", b"A"), ("jpg/b.jpg", b"B")), archive=True)
        folder, events = finish(fetch(download))
        assert (folder / "jpg" / "b.jpg").read_bytes() == b"B"
        assert any(event.task.startswith("unpack") for event in events)
        (folder / "jpg" / "a.jpg").write_bytes(b"still the same")
        assert finish(fetch(download)) == (folder, [])
        assert (folder / "jpg" / "a.jpg").read_bytes() == b"still the same"

    @pytest.mark.parametrize("name", ["../outside", "/outside", "jpg/../../outside"])
    def test_nothing_is_written_outside(
        self, server: Server, cache: Path, finish: Callable, tmp_path: Path, name: str
    ) -> None:
        download = server.offer("evil.tgz", tar(("inside", b""), (name, b"")), archive=True)
        with pytest.raises(SurgeonError, match=f"'{name}' in it is outside of its folder"):
            finish(fetch(download))
        assert list(tmp_path.rglob("outside")) == []
        assert len(leftovers(cache)) == 1  # the archive

    def test_links_are_not_made(self, server: Server, finish: Callable, tmp_path: Path) -> None:
        link = tarfile.TarInfo("jpg")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w:gz") as opened:
            opened.addfile(link)
        download = server.offer("evil.tgz", archive.getvalue(), archive=True)
        with pytest.raises(SurgeonError, match="'jpg' in it is outside of its folder, or a link"):
            finish(fetch(download))

    def test_an_interrupted_unpacking_is_not_taken_for_whole(
        self, server: Server, cache: Path, finish: Callable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        download = server.offer("photos.tgz", tar(("jpg/a.jpg", b"A"), ("jpg/b.jpg", b"B")), archive=True)
        with monkeypatch.context() as patch:
            patch.setattr(tarfile.TarFile, "makefile", interrupt)
            with pytest.raises(KeyboardInterrupt):
                finish(fetch(download))
        assert len(leftovers(cache)) == 1  # the archive
        folder, _ = finish(fetch(download))
        assert sorted(path.name for path in (folder / "jpg").iterdir()) == ["a.jpg", "b.jpg"]
        assert len(server.requests) == 1

    def test_what_is_no_archive_is_an_error(self, server: Server, finish: Callable) -> None:
        for data in (b"no archive", tar(("a", bytes(5000)))[:60]):
            with pytest.raises(SurgeonError, match="cannot unpack"):
                finish(fetch(server.offer("photos.tgz", data, archive=True)))


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt
