"""Whether a head ends as a classifier does, and begins where it says."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from surgeon.catalogue.head_layers import HEAD_LAYERS, LINEAR_PROBE
from surgeon.recipe.network import activation

if TYPE_CHECKING:
    from surgeon.recipe.findings import Findings
    from surgeon.recipe.network import HeadLayer, Network


def check_head_end(findings: Findings, network: Network, head: tuple[HeadLayer, ...], classes: int) -> None:
    """A head ends in one output per class, with a softmax or with logits; there is no softmax before that."""
    shape = network.rows[-1].shape
    last = len(head) - 1
    if shape != (classes,):
        message = f"the head's output shape is {shape}, expected ({classes},), one value per class"
        if len(shape) == 3:
            hint = "pool or flatten the feature maps first"
        else:
            hint = "end it with `dense: {units: classes, activation: softmax}`"
        findings.report(("head", last), "head-outputs", message, hint)
    end, nonlinearity = _last_nonlinearity(head)
    if nonlinearity not in (None, "softmax"):
        message = f"the head ends with {nonlinearity!r}, expected 'softmax' or 'linear'"
        findings.report(("head", end), "head-activation", message)
    for at, layer in enumerate(head[:-1]):
        if activation(layer) == "softmax":
            findings.report(("head", at), "softmax-inside", "softmax before the last layer", "keep it for that layer")


def check_probe_start(findings: Findings, head: tuple[HeadLayer, ...]) -> None:
    """The layer that begins with a linear probe takes the probe's features, and puts out what the probe does."""
    started = [at for at, layer in enumerate(head) if layer.parameters.get("kernel_initializer") == LINEAR_PROBE]
    for at in started:
        before = itertools.dropwhile(lambda layer: HEAD_LAYERS[layer.kind].is_shaping, head[:at])
        after = any(layer.kind == "dense" for layer in head[at + 1 :])
        own = head[at].parameters
        if after or not all(layer.kind == "dropout" for layer in before):
            message = "a layer that begins with a linear probe has to be the only computing layer of the head"
            hint = "before it, use only pooling, flatten or unit_norm, then dropout; after it, no dense layer"
        elif not own["use_bias"] or own["activation"] not in ("linear", "softmax"):
            message, hint = "a linear probe needs a bias and no activation but softmax", "keep the defaults"
        else:
            continue
        findings.report(("head", at, "dense", "kernel_initializer"), "probe-start", message, hint)


def _last_nonlinearity(head: tuple[HeadLayer, ...]) -> tuple[int, str | None]:
    """Returns the last nonlinearity from the last dense layer on, such as that before a dropout, and its place."""
    for at in reversed(range(len(head))):
        found = activation(head[at])
        if found not in (None, "linear"):
            return at, found
        if head[at].kind == "dense":
            break
    return len(head) - 1, None
