"""A page, opened in a browser without a window."""

from __future__ import annotations

import base64
import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

# Run in the page: what a person would see, written where --dump-dom shows it. A light page is brighter than its ink.
_PROBE = """
<script>
const faults = [];
const brightness = part => getComputedStyle(document.body)[part].match(/\\d+/g).map(Number).reduce((a, b) => a + b);
addEventListener("error", event => faults.push(event.message ?? "a resource"), true);
addEventListener("load", () => setTimeout(async () => {
  const images = [...document.images];
  const told = {
    faults, images: images.length, ...(await (async () => {%s})()),
    broken: images.filter(image => !image.complete || !image.naturalWidth).length,
    requests: performance.getEntriesByType("resource").map(({name}) => name).filter(name => !name.startsWith("data:")),
    overflow: document.documentElement.scrollWidth > innerWidth,
    light: brightness("backgroundColor") > brightness("color"),
  };
  const end = document.createElement("pre");
  end.id = "told";
  end.textContent = btoa(unescape(encodeURIComponent(JSON.stringify(told))));
  parent.document.body.append(end);
}, 300));
</script>
"""


def look(page: Path, width: int, script: str = "", *, dark: bool = False) -> dict[str, Any]:
    """Opens a page; returns what the probe saw, and the object that ``script`` returns inside the page."""
    text = page.read_text(encoding="utf-8").replace("<body>", f"<body>{_PROBE % script}", 1)
    done = _open(page.with_name("probed.html"), text, (width, 900), dark, "--dump-dom", "--virtual-time-budget=10000")
    found = re.search(r'<pre id="told">([^<]+)</pre>', done.stdout)
    assert found, done.stderr[-2000:]
    told = dict(json.loads(base64.b64decode(found[1])))
    return {**told, "faults": [*told["faults"], *re.findall(r":ERROR:CONSOLE.*", done.stderr)]}


def photograph(page: Path, picture: Path, size: tuple[int, int], *, dark: bool = False) -> None:
    """Opens a page of some width and height, and draws what is seen into a PNG file."""
    text = page.read_text(encoding="utf-8")
    _open(page.with_name("framed.html"), text, size, dark, f"--screenshot={picture.absolute()}", "--hide-scrollbars")


def _open(frame: Path, text: str, size: tuple[int, int], dark: bool, *options: str) -> subprocess.CompletedProcess[str]:
    """Opens a text in a frame, since a window of Chromium is never narrower than 500 pixels."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    width, height = size
    inner = f'<iframe style="width:{width}px;height:{height}px;border:0" srcdoc="{html.escape(text)}"></iframe>'
    frame.write_text(f'<!doctype html><meta charset="utf-8"><body style="margin:0">{inner}', encoding="utf-8")
    common = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        f"--window-size={width},{height}",
    ]
    common += ["--blink-settings=preferredColorScheme=0"] if dark else []
    command = [CHROMIUM, *common, *options, frame.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
