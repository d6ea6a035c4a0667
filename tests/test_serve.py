"""The service: right answers to many clients at once, and clear refusals."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="surgeon[serve] is not installed")

Surgeon = Callable[..., Any]
LIMIT = 0.02  # megabytes an image


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("serve")


@pytest.fixture
def run(folder: Path, surgeon: Surgeon, tiny: Path) -> Path:
    """A finished run, made once."""
    if not (folder / "run").exists():
        assert surgeon("run", tiny, "--out", folder / "run").code == 0
    return folder / "run"


@pytest.fixture
def server(run: Path) -> Iterator[str]:
    """The real command; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    limits = ["--max-images", "8", "--max-megabytes", str(LIMIT)]
    process = subprocess.Popen(
        [sys.executable, "-m", "surgeon", "serve", run, "--port", str(port), *limits],
        stderr=subprocess.PIPE,
        text=True,
    )
    address = f"http://127.0.0.1:{port}"
    for _ in range(600):
        assert process.poll() is None, process.stderr and process.stderr.read()
        try:
            if json.loads(get(f"{address}/ready"))["status"] == "ready":
                break
        except OSError:
            time.sleep(0.1)
    yield address
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    assert process.returncode in (0, 143, -signal.SIGTERM)
    assert "Traceback" not in err


def get(url: str) -> bytes:
    with urllib.request.urlopen(url) as answer:
        return bytes(answer.read())


def post(url: str, files: list[tuple[str, bytes]], field: str = "files") -> tuple[int, Any]:
    """Sends a form with files, as a browser does; returns the status and the JSON or the bytes of the answer."""
    edge = uuid.uuid4().hex
    parts = [
        f'--{edge}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'.encode()
        + body
        + b"\r\n"
        for name, body in files
    ]
    body = b"".join(parts) + f"--{edge}--\r\n".encode()
    request = urllib.request.Request(url, body, {"Content-Type": f"multipart/form-data; boundary={edge}"})
    try:
        with urllib.request.urlopen(request) as answer:
            content, status = answer.read(), answer.status
    except urllib.error.HTTPError as error:
        content, status = error.read(), error.code
    return status, content if content.startswith(b"\x89PNG") else json.loads(content)


def test_concurrent_clients_get_the_answers_of_predict(surgeon: Surgeon, run: Path, photos: Path, server: str) -> None:
    files = sorted(photos.rglob("*.png"))
    lines = surgeon("predict", run, *files, "--format", "jsonl").out.splitlines()
    expected = {Path(line["file"]): line for line in map(json.loads, lines)}

    def ask(file: Path) -> None:
        status, answer = post(f"{server}/predict", [(file.name, file.read_bytes())])
        assert status == 200
        (found,) = answer["predictions"]
        assert found["file"] == file.name
        assert [item["name"] for item in found["classes"]] == expected[file]["classes"]
        values = [item["probability"] for item in found["classes"]]
        assert values == pytest.approx(expected[file]["probabilities"], abs=1e-5)

    with ThreadPoolExecutor(12) as clients:
        list(clients.map(ask, files * 4))
    several = [(file.name, file.read_bytes()) for file in files[:5]]
    status, answer = post(f"{server}/predict?top=1", several)
    assert status == 200
    assert [len(found["classes"]) for found in answer["predictions"]] == [1] * 5


def test_what_is_wrong_gets_a_clear_answer(photos: Path, server: str) -> None:
    good = (photos / "along" / "1.png").read_bytes()
    large = np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(large).save(buffer, "PNG")
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    assert len(bomb.getvalue()) > LIMIT * 1e6  # it is too large even so; a smaller one is below
    cases: list[tuple[list[tuple[str, bytes]], int, str]] = [
        ([("a.png", b"no image")], 422, "not a readable"),
        ([("a.png", good[:80])], 422, "a.png"),
        ([("a.png", b"")], 422, "empty"),
        ([("good.png", good), ("bad.png", b"no image")], 422, "bad.png"),
        ([("a.png", buffer.getvalue())], 413, "at most 20,000 bytes"),
        ([("a.png", good)] * 9, 413, "at most 8"),
        ([("a.png", bytes(400_000))], 413, "a request has at most"),
        ([], 422, "files"),
        ([("../../etc/passwd\x00<script>", b"no image")], 422, "not a readable"),
    ]
    for files, code, words in cases:
        status, answer = post(f"{server}/predict", files)
        assert (status, words in json.dumps(answer)) == (code, True), (files and files[0][0], status, answer)
    status, _ = post(f"{server}/predict", [("a.png", good)])
    assert status == 200


def test_health_page_and_explanation(photos: Path, server: str) -> None:
    assert json.loads(get(f"{server}/health")) == {"status": "alive"}
    assert json.loads(get(f"{server}/ready"))["classes"] == ["across", "along"]
    assert b"/predict" in get(f"{server}/openapi.json")
    page = get(server).decode()
    assert "Drop a photograph" in page
    assert "http" not in page.replace("http-equiv", "")
    status, picture = post(f"{server}/explain", [("a.png", (photos / "along" / "1.png").read_bytes())], "file")
    assert status == 200
    with Image.open(io.BytesIO(picture)) as drawn:
        assert drawn.size == (32, 32)


def test_a_busy_network_is_given_what_waits_at_once() -> None:
    from surgeon.serve.batching import Batcher

    sizes: list[int] = []

    def classify(pixels: Any) -> Any:
        sizes.append(len(pixels))
        time.sleep(0.05)
        return pixels.reshape(len(pixels), -1)[:, :2].astype(np.float32)

    async def ask() -> list[Any]:
        batcher = Batcher(classify, most=16)
        worker = asyncio.create_task(batcher.work())
        images = [np.full((2, 2, 3), value, np.uint8) for value in range(40)]
        rows = await asyncio.gather(*(batcher.classify(image) for image in images))
        worker.cancel()
        return rows

    rows = asyncio.run(ask())
    assert [row[0] for row in rows] == list(range(40))
    assert sum(sizes) == 40
    assert max(sizes) == 16
    assert len(sizes) <= 4


def test_a_guarded_network_is_asked_by_one_thread_at_a_time() -> None:
    from surgeon.serve.batching import one_at_a_time

    inside: list[int] = []
    most: list[int] = []

    def classify(pixels: Any) -> Any:
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.01)
        inside.pop()
        return pixels

    guarded = one_at_a_time(classify)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(guarded, [np.zeros((1, 1, 1, 3), np.uint8)] * 16))
    assert set(most) == {1}


def test_a_failing_network_fails_those_who_wait_and_no_others() -> None:
    from surgeon.serve.batching import Batcher

    def classify(pixels: Any) -> Any:
        if pixels.max() == 255:
            raise RuntimeError("broken")
        return np.zeros((len(pixels), 2), np.float32)

    async def ask() -> list[Any]:
        batcher = Batcher(classify, most=1)
        worker = asyncio.create_task(batcher.work())
        images = [np.full((2, 2, 3), value, np.uint8) for value in (0, 255, 0)]
        rows = await asyncio.gather(*(batcher.classify(image) for image in images), return_exceptions=True)
        worker.cancel()
        return rows

    first, second, third = asyncio.run(ask())
    assert isinstance(second, RuntimeError)
    assert len(first) == len(third) == 2
