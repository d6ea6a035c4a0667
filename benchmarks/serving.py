"""Concurrent clients of ``surgeon serve``, with and without gathering what waits.

python benchmarks/serving.py
"""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from bench import POOLED, images_of, open_bench, phases
from outcome import Outcome, publish, read_options
from PIL import Image
from process import ROOT, run_python

_EDGE = b"edge-of-a-part"


def main() -> None:
    """Runs the benchmark."""
    options = read_options(__doc__, images=34, clients=16, requests=320)
    with open_bench(options.images) as bench:
        out = bench.folder / "run"
        settings = [images_of(bench.flowers / "train"), "data.split.test=0", phases(head=1)]
        sets = [part for setting in settings for part in ("--set", setting)]
        run_python("a run to serve", ["-m", "surgeon", "run", POOLED, "--quiet", "--out", out, *sets])
        rates = {}
        for name, batch in (("one image at a time", 1), ("what waits at once", 32)):
            with serving(out, batch) as address:
                ask(address, options.clients, options.clients)
                started = time.perf_counter()
                ask(address, options.clients, options.requests)
                rates[name] = options.requests / (time.perf_counter() - started)
    ratio = rates["what waits at once"] / rates["one image at a time"]
    outcome = Outcome(
        name="serving",
        title="Concurrent clients",
        compared=f"surgeon serve with EfficientNet-Lite0 at 224 pixels and {options.clients} clients that ask for one "
        "JPEG image each, again and again.",
        columns=["the network is given", "images/s", "ratio"],
        rows=[[name, rate, rate / rates["one image at a time"]] for name, rate in rates.items()],
        ratios={"one image at a time": ratio},
        notes=["Clients and service share the cores, and the service decodes the images too."],
        raw=rates,
    )
    publish(outcome, options)


@contextmanager
def serving(run: Path, batch: int) -> Iterator[str]:
    """Serves a run while it is entered as a context; gives the address once it is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "surgeon", "serve", run, "--port", str(port), "--batch", str(batch)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        while process.poll() is None:
            try:
                with urllib.request.urlopen(f"{address}/ready"):
                    break
            except OSError:
                time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait()


def ask(address: str, clients: int, requests: int) -> None:
    """Sends so many requests from so many clients at once."""
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)).save(buffer, "JPEG")
    head = b'Content-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
    body = b"--" + _EDGE + b"\r\n" + head + buffer.getvalue() + b"\r\n--" + _EDGE + b"--\r\n"
    headers = {"Content-Type": f"multipart/form-data; boundary={_EDGE.decode()}"}

    def one(_: int) -> None:
        request = urllib.request.Request(f"{address}/predict", body, headers)
        with urllib.request.urlopen(request) as answer:
            assert len(json.load(answer)["predictions"]) == 1

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(one, range(requests)))


if __name__ == "__main__":
    main()
