"""The service: right answers to many clients at once, and clear refusals."""

from __future__ import annotations

import asyncio
import io
import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="network-surgeon[serve] is not installed")

from service import BUNDLE, FAULTS

Surgeon = Callable[..., Any]
EDGE = "edge-of-a-part"
FORM = {"Content-Type": f"multipart/form-data; boundary={EDGE}"}
SERVICE = Path(__file__).parent / "service.py"
SECONDS = 3


@contextmanager
def serving(*command: object) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Runs a service until the end of the context; gives its address as it says it."""
    process = subprocess.Popen(
        [sys.executable, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        said = re.search(r"is served at (http://\S+:[1-9]\d*)", process.stdout.readline())
        assert said, process.communicate()[1]
        yield said[1], process
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode in (0, 143, -signal.SIGTERM)
    assert len(err) < 10_000  # one line or traceback of each kind


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """The service with a network that fails as it is told to; gives its address."""
    with serving(SERVICE, SECONDS) as (address, _):
        yield address


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return bytes(answer.read())


def form(files: list[tuple[str, bytes]], field: str = "files") -> bytes:
    """A form with files, as a browser sends it."""
    parts = [
        f'--{EDGE}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'.encode()
        + body
        + b"\r\n"
        for name, body in files
    ]
    return b"".join(parts) + f"--{EDGE}--\r\n".encode()


def ask(url: str, body: bytes | None = None, method: str | None = None, **headers: str) -> tuple[int, Any]:
    """Sends a request; returns the status and the JSON or the picture of the answer."""
    request = urllib.request.Request(url, body, {**FORM, **headers}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            content, status = answer.read(), answer.status
    except urllib.error.HTTPError as error:
        content, status = error.read(), error.code
    return status, content if content.startswith(b"\x89PNG") else json.loads(content)


def picture(red: int = 100, form: str = "PNG", size: tuple[int, int] = (32, 32)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (red, 0, 0)).save(buffer, form)
    return buffer.getvalue()


def test_concurrent_clients_get_the_answers_of_the_network(service: str) -> None:
    def ask_for(red: int) -> None:
        status, answer = ask(f"{service}/predict", form([("a.png", picture(red))]))
        assert status == 200
        found = {item["name"]: item["probability"] for item in answer["predictions"][0]["classes"]}
        assert found == pytest.approx({"dark": 1 - red / 255, "</script>": red / 255}, abs=1e-5)

    with ThreadPoolExecutor(12) as clients:
        list(clients.map(ask_for, range(0, 200, 4)))


@pytest.mark.slow
def test_concurrent_clients_get_the_answers_of_predict(surgeon: Surgeon, trained: Path, photos: Path) -> None:
    files = sorted(photos.rglob("*.png"))
    lines = surgeon("predict", trained, *files, "--format", "jsonl").out.splitlines()
    expected = {Path(line["file"]): line for line in map(json.loads, lines)}

    def ask_for(file: Path) -> None:
        status, answer = ask(f"{address}/predict", form([(file.name, file.read_bytes())]))
        assert status == 200
        (found,) = answer["predictions"]
        assert found["file"] == file.name
        assert [item["name"] for item in found["classes"]] == expected[file]["classes"]
        values = [item["probability"] for item in found["classes"]]
        assert values == pytest.approx(expected[file]["probabilities"], abs=1e-5)

    with serving("-m", "surgeon", "serve", trained, "--port", 0) as (address, _):
        assert json.loads(get(f"{address}/ready"))["classes"] == ["across", "along"]
        with ThreadPoolExecutor(12) as clients:
            list(clients.map(ask_for, files * 4))
        several = form([(file.name, file.read_bytes()) for file in files[:5]])
        status, answer = ask(f"{address}/predict?top=1", several)
        assert status == 200
        assert [len(found["classes"]) for found in answer["predictions"]] == [1] * 5
        status, drawn = ask(f"{address}/explain", form([("a.png", files[0].read_bytes())], "file"))
        assert status == 200
        with Image.open(io.BytesIO(drawn)) as image:
            assert image.size == (48, 48)  # that of the photograph, not of what the network takes


GOOD = ("a.png", picture())
BAD = ("a\x1b[31m.png", b"no image")
OPTION = f'--{EDGE}\r\nContent-Disposition: form-data; name="top"\r\n\r\n5\r\n'
REFUSED: dict[str, tuple[bytes, int, str]] = {
    "no image": (form([BAD]), 422, "not an image that surgeon reads"),
    "half an image": (form([("a.png", picture()[:50])]), 422, "a.png"),
    "an empty file": (form([("a.png", b"")]), 422, "empty"),
    "two bad images of one name": (form([BAD, GOOD, BAD]), 422, r'[{"file": "a\\x1b[31m.png", "reason": "not a'),
    "too large an image": (form([("a.png", bytes(300_001))]), 413, "a.png: an image may have at most 300,000 bytes"),
    "too many images": (form([GOOD] * 9), 413, "at most 8"),
    "too much altogether": (form([("a.png", bytes(5_000_000))]), 413, "a request may have at most"),
    "no files": (form([]), 422, "files"),
    "another field": (form([GOOD], "image"), 422, "'image'"),
    "an option besides the image": (OPTION.encode() + form([GOOD]), 422, "'top' is unknown"),
    "a path and no file": (OPTION.replace("top", "files").encode() + form([]), 422, "'files' is not a file"),
    "half a form": (form([GOOD])[:-20], 400, "incomplete"),
    "no form": (b"x" * 100, 400, "damaged"),
    "a long header of a part": (f"--{EDGE}\r\nX: {'y' * 5000}".encode(), 400, "damaged"),
    "many headers of a part": (f"--{EDGE}\r\n{'X: y' * 50}".replace("yX", "y\r\nX").encode(), 400, "damaged"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_form_with_something_wrong_gets_a_clear_answer(case: str, service: str) -> None:
    body, code, words = REFUSED[case]
    status, answer = ask(f"{service}/predict", body)
    assert (status, words in json.dumps(answer)) == (code, True), answer


def test_what_a_service_is_asked_otherwise(service: str) -> None:
    good = form([GOOD])
    assert ask(f"{service}/predict?top=99", good)[0] == 200
    for path, body, method, headers, code in (
        ("/predict?top=0", good, "POST", {}, 422),
        ("/predict?topk=1", good, "POST", {}, 422),
        ("/explain?class=rose", form([GOOD], "file"), "POST", {}, 422),
        ("/predict", None, "GET", {}, 405),
        ("/predict", good, "PUT", {}, 405),
        ("/nothing", good, "POST", {}, 404),
        ("/predict", b"{}", "POST", {"Content-Type": "application/json"}, 415),
        ("/predict", good, "POST", {"Content-Type": "multipart/form-data"}, 415),
        ("/predict", good, "POST", {"Content-Type": f"multipart/form-data; boundary={'x' * 5000}"}, 400),
        ("/explain", form([GOOD] * 2, "file"), "POST", {}, 413),
        ("/ready", None, "GET", {"Host": "rebound.example"}, 403),
        ("/ready", None, "GET", {"Host": "192.168.0.1"}, 403),
        ("/ready", None, "GET", {"Host": "behind.example"}, 200),
        ("/ready", None, "GET", {"Host": "LOCALHOST:1"}, 200),
        ("/predict", good, "POST", {"Origin": "http://evil.example"}, 403),
        ("/predict", good, "POST", {"Origin": "null"}, 403),
        ("/predict", good, "POST", {"Origin": "http://127.0.0.1:1"}, 403),
        ("/predict", good, "POST", {"Origin": "https://behind.example"}, 200),
        ("/predict", good, "POST", {"Origin": service}, 200),
    ):
        status, answer = ask(service + path, body, method, **headers)
        assert status == code, (path, headers, answer)
        assert code == 200 or answer["detail"], (path, headers)


@pytest.mark.parametrize("path", ["/", "/docs", "/health", "/ready", "/openapi.json"])
def test_pages_answer_head_and_load_nothing_from_elsewhere(path: str, service: str) -> None:
    request = urllib.request.Request(service + path, method="HEAD")
    with urllib.request.urlopen(request, timeout=60) as answer:
        headers, body = answer.headers, answer.read()
    content = get(service + path).decode()
    assert (body, int(headers["Content-Length"])) == (b"", len(content.encode()))
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    if headers["Content-Type"].startswith("text/html"):
        assert "//" not in content
        assert "<i>two lines" not in content


@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "hangs"])
def test_a_network_that_gives_no_answer_fails_that_request_alone(fault: str, service: str) -> None:
    status, answer = ask(f"{service}/predict", form([("a.png", picture(FAULTS[fault]))]))
    assert status == 500
    assert "network" in answer["detail"]
    assert json.loads(get(f"{service}/ready"))["status"] == "ready"  # it was asked again
    assert ask(f"{service}/predict", form([GOOD]))[0] == 200


def test_an_explanation_that_fails_is_told(service: str) -> None:
    white = io.BytesIO()
    Image.new("RGB", (32, 32), "white").save(white, "PNG")
    status, answer = ask(f"{service}/explain", form([("a.png", white.getvalue())], "file"))
    assert (status, "explanation" in answer["detail"]) == (500, True)
    assert ask(f"{service}/explain", form([GOOD], "file"))[0] == 200


def raw(address: str, *parts: bytes, pause: float = 0) -> tuple[int, Any, float]:
    """Sends bytes as no client should; returns the status and the JSON of the answer, and the seconds that it took."""
    host, _, port = address.removeprefix("http://").partition(":")
    started = time.monotonic()
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        for part in parts:
            connection.sendall(part.replace(b"HOST", f"{host}:{port}".encode()))
            time.sleep(pause)
        content = b""
        while not content.endswith(b"}") and (received := connection.recv(65536)):
            content += received
    head, _, body = content.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body), time.monotonic() - started


POST = b"POST /predict HTTP/1.1\r\nHost: HOST\r\nContent-Type: multipart/form-data; boundary=" + EDGE.encode() + b"\r\n"
START = f'--{EDGE}\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'.encode()
CHUNK = b"10000\r\n" + bytes(65536) + b"\r\n"
ATTACKS: dict[str, tuple[list[bytes], float, int, str]] = {
    "Content-Length and chunks": (
        [POST, b"Content-Length: 10\r\nTransfer-Encoding: chunked\r\n\r\n", *[CHUNK] * 500],
        0,
        400,
        "not both",
    ),
    "an image in endless chunks": (
        [POST, b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(START), START), *[CHUNK] * 500],
        0,
        413,
        "an image may have at most",
    ),
    "a form in endless chunks": ([POST, b"Transfer-Encoding: chunked\r\n\r\n", *[CHUNK] * 500], 0, 400, "damaged"),
    "a length beyond all": (
        [POST, b"Content-Length: 99999999999999999999\r\n\r\n"],
        0,
        413,
        "a request may have at most",
    ),
    "a length that is none": ([POST, b"Content-Length: -1\r\n\r\n"], 0, 400, "not a valid HTTP request"),
    "endless headers": ([POST, *[b"X: " + b"y" * 8000 + b"\r\n"] * 3], 0, 400, "not a valid HTTP request"),
    "no HTTP": ([bytes(range(256))], 0, 400, "not a valid HTTP request"),
    "two hosts": ([b"GET / HTTP/1.1\r\nHost: HOST\r\nHost: x\r\n\r\n"], 0, 400, "not a valid HTTP request"),
    "no host": ([b"GET / HTTP/1.0\r\n\r\n"], 0, 403, "does not answer"),
    "headers that do not end": ([POST], 0, 408, "3 seconds"),
    "headers that drip": ([b"GET / HTTP/1.1\r\n", *[b"X: y\r\n"] * 8], 0.3, 408, "3 seconds"),
    "a body that does not come": ([POST, b"Content-Length: 100\r\n\r\n"], 0, 408, "3 seconds"),
    "a body that drips": ([POST, b"Content-Length: 1000\r\n\r\n", START, *[b"x"] * 8], 0.3, 408, "3 seconds"),
}


def test_attacks_are_refused_in_time_while_others_are_served(service: str) -> None:
    with ThreadPoolExecutor(len(ATTACKS)) as attackers:
        refusals = {
            attack: attackers.submit(raw, service, *parts, pause=pause)
            for attack, (parts, pause, _, _) in ATTACKS.items()
        }
        for _ in range(10):
            assert ask(f"{service}/predict", form([GOOD]))[0] == 200
            time.sleep(0.1)
    for attack, (_, _, code, words) in ATTACKS.items():
        status, answer, seconds = refusals[attack].result()
        assert (status, words in answer["detail"]) == (code, True), (attack, answer)
        assert seconds < SECONDS + 10, attack


def test_idle_connections_shut_nobody_out(service: str) -> None:
    host, _, port = service.removeprefix("http://").partition(":")
    with ExitStack() as held:
        for _ in range(400):
            held.enter_context(socket.create_connection((host, int(port)), timeout=30))
        assert ask(f"{service}/predict", form([GOOD]))[0] == 200


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_few_descriptors_are_enough() -> None:
    few = ["import resource, runpy, sys", "resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))"]
    script = "\n".join([*few, f"sys.argv[0] = {str(SERVICE)!r}", "runpy.run_path(sys.argv[0], run_name='__main__')"])
    with serving("-c", script, SECONDS) as (address, _):
        test_idle_connections_shut_nobody_out(address)


def slow_jpeg(side: int, scans: int) -> bytes:
    """A small file that takes long: an empty image whose last scan comes again and again."""
    buffer = io.BytesIO()
    Image.new("L", (side, side)).save(buffer, "JPEG", progressive=True)
    content = buffer.getvalue()
    last = content.rindex(b"\xff\xda")
    return content[:-2] + content[last:-2] * scans + b"\xff\xd9"


def test_images_that_are_slow_to_decode_keep_no_others_waiting(service: str) -> None:
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    slow = [slow_jpeg(5000, 10), slow_jpeg(5000, 10), slow_jpeg(2000, 5000), bomb.getvalue()]
    assert max(map(len, slow)) < 300_000
    bodies = [form([("slow.jpg", content)]) for content in slow * 3] + [form([("slow.jpg", slow[0])] * 8)] * 2
    with ThreadPoolExecutor(len(bodies)) as attackers:
        refusals = [attackers.submit(ask, f"{service}/predict", body) for body in bodies]
        for _ in range(5):
            assert ask(f"{service}/predict", form([GOOD]))[0] == 200
        assert {refused.result()[0] for refused in refusals} <= {200, 422, 503}


@pytest.mark.slow
def test_a_network_that_hangs_is_told_and_waited_for(service: str) -> None:
    hanging = form([("a.png", picture(FAULTS["hangs"]))])
    with ThreadPoolExecutor(1) as client:
        refused = client.submit(ask, f"{service}/predict", hanging)
        time.sleep(0.5)
        status, answer = ask(f"{service}/predict", form([GOOD]))  # it waits behind the other
        assert (status, "not finished within 3 seconds" in answer["detail"]) == (503, True)
        assert ask(f"{service}/ready")[0] == 503
        assert refused.result()[0] == 503
    until_ready(service)
    assert ask(f"{service}/predict", form([GOOD]))[0] == 200


def until_ready(service: str) -> None:
    for _ in range(100):
        if ask(f"{service}/ready")[0] == 200:
            return
        time.sleep(0.1)
    raise AssertionError("not ready after 10 seconds")


@pytest.mark.slow
def test_an_unfinished_upload_does_not_outlive_the_service() -> None:
    with serving(SERVICE, 600) as (address, process):
        with ThreadPoolExecutor(1) as client:
            unfinished = client.submit(raw, address, POST, b"Content-Length: 100\r\n\r\n")
            time.sleep(0.5)
            started = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert unfinished.result()[:2] == (503, {"detail": "the service is shutting down"})
            process.wait(timeout=20)
        assert time.monotonic() - started < 15


def test_a_port_that_is_taken_is_told_before_anything_is_loaded(surgeon: Surgeon, tmp_path: Path) -> None:
    from surgeon.recipe.bundle import write_bundle

    write_bundle(tmp_path, BUNDLE)
    (tmp_path / BUNDLE.file).touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        outcome = surgeon("serve", tmp_path, "--port", taken.getsockname()[1])
    assert outcome.code == 1
    assert "cannot listen at 127.0.0.1, port" in outcome.err
    assert "served" not in outcome.out


def test_an_address_is_written_as_browsers_take_it() -> None:
    from surgeon.serve.server import listen, url_of

    for host, url in (("::1", "http://[::1]:"), ("localhost", "http://")):
        with listen(host, 0) as listener:
            assert url_of(listener).startswith(url)
            assert not url_of(listener).endswith(":0")


@pytest.mark.parametrize(
    ("host", "allowed", "name", "answers"),
    [
        ("127.0.0.1", [], "localhost", True),
        ("localhost", [], "[::1]:80", True),
        ("127.0.0.1", [], "evil.example", False),
        ("127.0.0.1", [], "10.0.0.1", False),
        ("127.0.0.1", [], "", False),
        ("127.0.0.1", ["proxy.example"], "Proxy.Example:443", True),
        ("0.0.0.0", [], "10.0.0.1:8000", True),
        ("::", [], "[fe80::1]:8000", True),
        ("0.0.0.0", [], "evil.example", False),
        ("0.0.0.0", ["*"], "evil.example", True),
        ("box.example", [], "box.example:8000", True),
    ],
)
def test_which_names_a_service_answers_to(host: str, allowed: list[str], name: str, answers: bool) -> None:
    from surgeon.serve.edge import hostname, hosts_of

    assert (hostname(name) in hosts_of(host, allowed)) is answers


def test_a_busy_network_is_given_what_waits_at_once() -> None:
    from surgeon.serve.batching import Batcher

    sizes: list[int] = []

    def classify(pixels: Any) -> Any:
        sizes.append(len(pixels))
        time.sleep(0.05)
        return pixels.reshape(len(pixels), -1)[:, :2].astype(np.float32)

    async def ask() -> list[Any]:
        batcher = Batcher(classify, most=16, answers=2)
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


def test_what_a_client_that_left_waited_for_is_not_computed() -> None:
    from surgeon.serve.batching import Batcher

    seen: list[int] = []

    def classify(pixels: Any) -> Any:
        seen.extend(pixels[:, 0, 0, 0])
        time.sleep(0.05)
        return np.zeros((len(pixels), 2), np.float32)

    async def ask_and_leave() -> None:
        batcher = Batcher(classify, most=1, answers=2)
        worker = asyncio.create_task(batcher.work())
        clients = [asyncio.create_task(batcher.classify(np.full((2, 2, 3), value, np.uint8))) for value in range(3)]
        await asyncio.sleep(0.01)
        clients[1].cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        worker.cancel()

    asyncio.run(ask_and_leave())
    assert seen == [0, 2]


def test_the_largest_upload_gives_way() -> None:
    from surgeon.serve.form import Uploads
    from surgeon.serve.limits import BusyError

    async def upload() -> None:
        uploads = Uploads(100)
        with uploads.one() as large, uploads.one() as small, uploads.one() as whole:
            uploads.add(whole, 60)
            whole.arriving = False
            uploads.add(large, 35)
            uploads.add(small, 10)
            assert (large.gave_way, small.gave_way, whole.gave_way) == (True, False, False)
            with pytest.raises(BusyError):
                uploads.add(small, 50)

    asyncio.run(upload())


def test_a_failing_network_fails_those_who_wait_and_no_others() -> None:
    from surgeon.serve.batching import Batcher, NetworkError

    def classify(pixels: Any) -> Any:
        if pixels.max() == 255:
            raise RuntimeError("broken")
        return np.zeros((len(pixels), 2), np.float32)

    async def ask() -> list[Any]:
        batcher = Batcher(classify, most=1, answers=2)
        worker = asyncio.create_task(batcher.work())
        images = [np.full((2, 2, 3), value, np.uint8) for value in (0, 255, 0)]
        rows = await asyncio.gather(*(batcher.classify(image) for image in images), return_exceptions=True)
        worker.cancel()
        return rows

    first, second, third = asyncio.run(ask())
    assert isinstance(second, NetworkError)
    assert len(first) == len(third) == 2
