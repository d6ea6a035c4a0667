"""Odd images through the commands: they come to what their pixels, in a plain PNG, come to, or are named."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from odd_images import GREY, chunk, odd_images, packed, png
from PIL import Image

from surgeon.data.images import load_image
from surgeon.networks.decoding import decode_images
from surgeon.resizing import Resizing

Surgeon = Callable[..., Any]

# What every decoder has to read.
ORDINARY = re.compile(
    "png (grey|palette) [1248]( interlaced)?|png (rgba?|grey|grey-alpha) (8|16)|jpeg (4:.*|progressive.{0,6}|grey.*)|"
    "jpeg orientation (. .*endian|far away|after .*|in XMP only)|jpeg two images in one file|gif|gif that moves|bmp 24|"
    "webp loss.*|webp orientation .*"
)
PHASE = "phases=[{trainable: all, batch_norm: train, optimizer: adam, lr: 0.01, epochs: 1}]"


@pytest.mark.slow
@pytest.mark.usefixtures("without_pictures")
def test_predict_and_evaluate_see_the_pixels_of_odd_images(surgeon: Surgeon, tiny: Path, tmp_path: Path) -> None:
    run, odd, plain = tmp_path / "run", tmp_path / "odd", tmp_path / "plain"
    assert surgeon("run", tiny, "--out", run, "-q", "--set", PHASE).code == 0
    cases = {f"{('across', 'along')[at % 2]}/{at:03}.png": case for at, case in enumerate(odd_images())}
    for name, case in cases.items():  # which says nothing of the content
        for folder in (odd, plain):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (odd / name).write_bytes(case.data)
        if case.pixels is not None:
            Image.fromarray(case.pixels).save(plain / name)

    found, expected = predict(surgeon, run, odd), predict(surgeon, run, plain)
    assert np.ptp(list(expected.values())) > 0.1
    for name, case in cases.items():
        if case.pixels is None:
            assert re.search(case.refusal, str(found[name])), case.name
        else:
            assert found[name] == pytest.approx(expected[name], abs=1e-5 + 0.02 * case.tolerance), case.name

    of_odd, of_plain = evaluate(surgeon, run, odd), evaluate(surgeon, run, plain)
    assert of_odd["images"] == of_plain["images"] == len(expected)
    assert set(of_odd["bad_images"]) == {name for name, case in cases.items() if case.pixels is None}
    assert of_odd["evaluation"]["accuracy"] == pytest.approx(of_plain["evaluation"]["accuracy"], abs=0.02)


SIZE = (28, 44)  # of most of them; resizing would hide differences


@cache
def decoder() -> Any:
    """What a SavedModel has: one graph for all images."""
    return tf.function(lambda images: decode_images(images, Resizing(SIZE)), [tf.TensorSpec((None,), tf.string)])


def decoded(content: bytes) -> Any:
    """Returns the pixels, or the message of the refusal."""
    try:
        return decoder()(tf.constant([content]))[0].numpy()
    except tf.errors.InvalidArgumentError as error:
        return error.message


@pytest.mark.slow
def test_a_graph_sees_the_pixels_of_odd_images_or_refuses_them() -> None:
    found = {case.name: decoded(case.data) for case in odd_images()}
    for case in odd_images():
        if not isinstance(found[case.name], str):
            np.testing.assert_array_equal(found[case.name], load_image(case.data, Resizing(SIZE)), err_msg=case.name)
        elif case.refusal != "damaged":  # which only a decoder finds, and says in its own words
            assert re.search("surgeon: .*; save it anew .*`surgeon predict`", found[case.name]), case.name
    refused = [name for name in found if ORDINARY.fullmatch(name) and isinstance(found[name], str)]
    assert not refused


def test_a_graph_refuses_what_decoders_differ_in() -> None:
    """They fill what a progressive JPEG lacks, each release in its own way, and end a GIF in black."""
    cases = {case.name: case.data for case in odd_images()}
    jpeg, gif = cases["jpeg progressive"], cases["gif"]
    without_last_scan = jpeg[: jpeg.rindex(b"\xff\xda")] + b"\xff\xd9"
    palette, opacity = chunk(b"PLTE", bytes(range(99))), chunk(b"tRNS", bytes(9))
    out_of_place = png(8, 3, packed(GREY // 8, 8), opacity, palette)
    for content in (
        out_of_place,
        without_last_scan,
        gif[: len(gif) // 2] + bytes(20),
        jpeg[:40],
        gif[:9],
        b"\xff\xd8\xff",
        b"RIFF",
    ):
        assert "surgeon: " in decoded(content)


def predict(surgeon: Surgeon, run: Path, folder: Path) -> dict[str, float | str]:
    """The probability of one of the two classes, or the reason why there is none."""
    found = {}
    for line in map(json.loads, surgeon("predict", run, folder, "--format", "jsonl").out.splitlines()):
        name = Path(line["file"]).relative_to(folder).as_posix()
        found[name] = line["reason"] or dict(zip(line["classes"], line["probabilities"], strict=True))["along"]
    return found


def evaluate(surgeon: Surgeon, run: Path, folder: Path) -> dict[str, Any]:
    done = surgeon("evaluate", run, folder, "--format", "json")
    assert done.code == 0, done.err
    return dict(json.loads(done.out))
