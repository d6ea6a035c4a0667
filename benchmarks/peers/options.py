"""The command lines that both peers have, and what they report."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def parse(description: str) -> argparse.Namespace:
    """Returns what a peer is asked to do; ``phases`` becomes a mapping of names to epochs."""
    parser = _parser(description)
    parser.add_argument("--phases", nargs="+", metavar="WHAT:EPOCHS", help="WHAT is head, block5 or all")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--batch-norm", choices=("inference", "train"), default="inference")
    options = parser.parse_args()
    options.phases = {name: int(epochs) for name, epochs in (phase.split(":") for phase in options.phases)}
    return options


def parse_heads(description: str) -> argparse.Namespace:
    """Returns what a peer that tries several heads is asked to do; ``trials`` becomes pairs of rates and dropouts."""
    parser = _parser(description)
    parser.add_argument("--head", choices=("pooled", "flatten"), default="pooled", help="what its first layer is")
    parser.add_argument("--trials", nargs="+", metavar="RATE:DROPOUT", help="each a head of its own")
    parser.add_argument("--epochs", type=int, default=25, help="of each trial")
    parser.add_argument("--whole", action="store_true", help="train each head behind the network, in one model")
    parser.add_argument("--from", dest="start", default="head", help="with --whole: head, or the first block trained")
    options = parser.parse_args()
    pairs = (trial.split(":") for trial in options.trials)
    options.trials = [(float(rate), float(dropout)) for rate, dropout in pairs]
    return options


def report(out: Path, epochs: dict[str, list[float]]) -> None:
    """Writes the seconds of each phase's epochs, or of whatever else came one after the other."""
    out.write_text(json.dumps(epochs), encoding="utf-8")


def _parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("train", type=Path, help="folder of class folders")
    parser.add_argument("--validation", type=Path, help="the same, to be measured after every epoch")
    parser.add_argument("--network", choices=("vgg16", "mobilenetv2", "efficientnetlite0"), default="vgg16")
    parser.add_argument("--weights", help="in Keras: imagenet, or a file")
    parser.add_argument("--out", type=Path, help="where the seconds of the epochs go, as JSON")
    return parser
