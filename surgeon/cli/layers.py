"""``surgeon layers``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from surgeon.catalogue.backbones import BACKBONES
from surgeon.catalogue.building import load_table
from surgeon.catalogue.entry import find
from surgeon.cli.completion import complete_network
from surgeon.cli.output import Format, FormatOption, SetOption, print_json, print_text
from surgeon.errors import UsageError
from surgeon.planning.frontier import phase_frontiers
from surgeon.planning.modes import layer_states
from surgeon.planning.rates import rate_scales
from surgeon.recipe.compiler import compile_recipe
from surgeon.report.layers import layer_table, network_table


def command(
    network: Annotated[
        str,
        typer.Argument(
            metavar="BACKBONE|RECIPE",
            help="A backbone's name or a recipe's file.",
            autocompletion=complete_network,
            show_default=False,
        ),
    ],
    overrides: SetOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Show the layers of a backbone, or of the network that a recipe composes and what its phases train."""
    if network.endswith((".yaml", ".yml")) or Path(network).is_file():
        _show_recipe(Path(network), overrides or [], output_format)
    elif Path(network).is_dir():
        raise UsageError(f"{network} is a folder, not a backbone or a recipe", "give a recipe's file")
    else:
        _show_backbone(network, output_format)


def _show_backbone(name: str, output_format: Format) -> None:
    spec = find("backbone", BACKBONES, name)
    layers = load_table(spec, (spec.image_size, spec.image_size))
    if output_format is Format.json:
        rows = [dataclasses.asdict(row) for row in layers.rows]
        print_json({"backbone": name, "top": layers.top, "default_cut": layers.top - 1, "layers": rows})
    else:
        print_text(layer_table(layers))


def _show_recipe(path: Path, overrides: list[str], output_format: Format) -> None:
    plan = compile_recipe(path, overrides)
    states = {phase.name: layer_states(plan.network, phase) for phase in plan.phases}
    scales = {phase.name: rate_scales(plan.network, phase) for phase in plan.phases}
    kept = {phase.name: phase_frontiers(plan, number)[1].layers for number, phase in enumerate(plan.phases, start=1)}
    if output_format is Format.json:

        def record(row: Any) -> dict[str, Any]:
            return {**dataclasses.asdict(row), "phases": {phase: states[phase].get(row.name) for phase in states}}

        print_json(
            {
                "backbone": plan.network.name,
                "cut": plan.network.cut,
                "kept": kept,
                "lr_scale": scales,
                "layers": list(map(record, plan.network.rows)),
            }
        )
    else:
        print_text(network_table(plan.network, states, scales, kept))
