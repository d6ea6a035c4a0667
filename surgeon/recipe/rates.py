"""Whether what a phase says of the rates and the anchor of layers can act on those that it trains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from surgeon.errors import quote
from surgeon.recipe.complete import is_whole
from surgeon.recipe.network import SelectorError, whole
from surgeon.recipe.text import MOST_PROBLEMS

if TYPE_CHECKING:
    from collections.abc import Set

    from surgeon.recipe.complete import Values
    from surgeon.recipe.findings import Findings
    from surgeon.recipe.network import Network
    from surgeon.recipe.text import ValuePath


def check_rates(findings: Findings, phase: Values, path: ValuePath) -> None:
    """Checks ``lr_scale``, ``layer_decay`` and ``anchor`` of a phase whose layers are known."""
    network, wanted, scales = findings.network, phase.get("trainable"), phase.get("lr_scale") or {}
    if network is None and findings.table is not None:
        # Without a sound cut and head, only the backbone's names can be checked.
        _check_names(findings, whole(findings.table), scales, (*path, "lr_scale"))
    if network is None or wanted is None or not is_whole(wanted):
        return
    try:
        rows = network.select(wanted if isinstance(wanted, list) else [wanted])
    except SelectorError:  # said where it is written
        return
    trained = {row.name for row in rows if row.trainable}
    if trained:
        _check_scales(findings, network, scales, trained, (*path, "lr_scale"))
    acting = {"layer_decay": phase["layer_decay"] not in (None, 1.0), "anchor": bool(phase["anchor"])}
    if trained and trained.isdisjoint(row.name for row in network.backbone):
        for key in (key for key, acts in acting.items() if acts):
            message = f"{key!r} acts on trained layers of the backbone, but the phase trains none"
            findings.report((*path, key), "misfit", message, "leave it out, or train more than the head")


def _check_names(findings: Findings, network: Network, scales: Values, path: ValuePath) -> None:
    for selector in scales:
        if len(findings.problems) > MOST_PROBLEMS:
            return  # the nearest name is looked for each time
        if "head" not in selector and not selector.isdecimal():
            try:
                network.select([selector])
            except SelectorError as error:
                findings.report((*path, selector), "unknown-layer", error.message, error.hint)


def _check_scales(findings: Findings, network: Network, scales: Values, trained: Set[str], path: ValuePath) -> None:
    """Every selector means a layer that is trained, and no layer is meant by two."""
    owners: dict[str, str] = {}
    for selector in scales:
        if len(findings.problems) > MOST_PROBLEMS:
            return  # the nearest name is looked for each time
        try:
            names = [row.name for row in network.select([selector]) if row.trainable]
        except SelectorError as error:
            findings.report((*path, selector), "unknown-layer", error.message, error.hint)
            continue
        twice = next((name for name in names if name in owners), None)
        if trained.isdisjoint(names):
            message = f"the phase trains none of the layers that {quote(selector)} matches"
            findings.report((*path, selector), "misfit", message, "leave it out, or train the layer")
        elif twice is not None:
            message = f"{quote(owners[twice])} and {quote(selector)} both match {quote(twice)}"
            findings.report((*path, selector), "misfit", message, "give each layer one factor")
        owners |= dict.fromkeys(names, selector)
