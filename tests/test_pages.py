"""Every page, wide and narrow, light and dark, as a browser shows it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from browser import look, photograph
from conftest import call, write_tiny
from PIL import Image
from test_serve import get, serving

PAGES = ("run", "folds", "comparison", "sweep", "sheet", "service", "service_docs")
VARIED = "{'phases[0].lr': [0.001, 0.01, 0.1], 'phases[1].trainable': [head, block2a_dwconv..]}"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """A folder with a page of each kind, of a small network on few images, some of them faulty."""
    root = tmp_path_factory.mktemp("pages")
    images = Path(shutil.copytree(photos, root / "images"))
    recipe = write_tiny(root / "tiny.yaml", images)
    swept = root / "swept.yaml"
    swept.write_text(
        recipe.read_text(encoding="utf-8") + f"sweep: {{vary: {VARIED}, method: grid}}\n", encoding="utf-8"
    )
    assert call("run", recipe, "--folds", "2", "--out", root / "series", "--quiet") == 0
    assert call("sweep", swept, "--out", root / "sweep", "--quiet") == 0
    assert call("report", root / "sweep") == 0
    first, second = sorted(path.parent for path in root.glob("series/*/report.html"))
    assert call("compare", first, second, "--out", root / "comparison.html") == 0
    shutil.copy(next(images.glob("along/*.png")), images / "across" / "doubled.png")
    (images / "across" / "damaged.jpg").write_bytes(b"\xff\xd8\xff\xe0 and nothing else")
    assert call("check", images, "--sheet", root / "sheet.html", "--fail-on", "never") == 0
    with serving("-m", "surgeon", "serve", first, "--port", "0") as (address, _):
        for name, path in (("service", "/"), ("service_docs", "/docs")):
            (root / f"{name}.html").write_bytes(get(address + path))
    for name, page in (("run", first), ("folds", root / "series"), ("sweep", root / "sweep")):
        shutil.copy(page / "report.html", root / f"{name}.html")
    return root


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1400, 420])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_stands_alone_and_fits(pages: Path, name: str, width: int, dark: bool) -> None:
    page, picture = pages / f"{name}.html", pages / f"{name}-{width}-{dark}.png"
    assert page.stat().st_size < 3_000_000
    told = look(page, width, dark=dark)
    assert (told["faults"], told["requests"], told["broken"], told["overflow"]) == ([], [], 0, False)
    photograph(page, picture, (width, 2400), dark=dark)
    with Image.open(picture) as seen:
        brightness = np.asarray(seen.convert("L"))
    assert (brightness.mean() > 128) is not dark
    assert brightness.std() > 5  # something is written


# Answers as the service would, refusing the second photograph, and gives the page two.
SHOW_TWO = """
  const picture = await (await fetch("data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=")).blob();
  window.fetch = async (path, {body} = {}) => {
    if (path === "explain") return new Response(picture);
    if (body.get("files").name === "b.gif") return Response.json({detail: [{reason: "damaged"}]}, {status: 422});
    return Response.json({predictions: [{unknown: null, classes: [{name: "<b>rose", probability: 0.9}]}]});
  };
  await showAll(["a.gif", "b.gif"].map(name => new File([picture], name, {type: "image/gif"})));
  const answers = [...document.querySelectorAll(".answer")];
  return {answers: answers.map(one => [...one.querySelectorAll("h2, p, li")].map(part => part.textContent)),
          explained: answers.map(one => !one.querySelectorAll("figure")[1].hidden)};
"""


SHOW_LARGER = """
  const shown = document.querySelector("dialog"), image = document.querySelector(".gallery img");
  image.click();
  const copy = shown.querySelector("img"), opened = shown.open;
  const same = copy.src === image.src, grown = copy.width > image.width;
  shown.click();
  return {opened, same, grown, closed: !shown.open};
"""


def test_a_picture_of_a_run_is_shown_larger_on_a_click(pages: Path) -> None:
    told = look(pages / "run.html", 1400, SHOW_LARGER)
    assert [told[name] for name in ("opened", "same", "grown", "closed")] == [True] * 4


def test_the_page_of_the_service_shows_an_answer_for_each_photograph(pages: Path) -> None:
    told = look(pages / "service.html", 420, SHOW_TWO)
    assert told["images"] == 2  # a training image of each class
    assert told["answers"] == [["b.gif", "damaged"], ["a.gif", "", "<b>rose0.900"]]
    assert told["explained"] == [False, True]
    assert not told["overflow"]
