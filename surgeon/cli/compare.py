"""``surgeon compare``."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from surgeon.cli.output import Format, FormatOption, print_json, print_text
from surgeon.errors import UsageError


def command(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN...", help="Finished runs.", show_default=False)],
    output_format: FormatOption = Format.text,
) -> None:
    """Show runs side by side, and whether each differs from the first by more than chance on the same test images."""
    from surgeon.evaluation.compare import mcnemar
    from surgeon.results import headline_figures

    if len(runs) < 2:
        raise UsageError("there is nothing to compare one run with", "give two runs or more")
    records = [_result(run) for run in runs]
    hits = [_hits(run) for run in runs]
    figures = [{**headline_figures(record), **_costs(record)} for record in records]
    tests = [mcnemar(*_aligned(hits[0], other)) if other and hits[0].keys() == other.keys() else None for other in hits]
    if output_format is Format.json:
        columns = zip(runs, figures, tests, strict=True)
        print_json(
            [
                {"run": str(run), "figures": own, "against_the_first": test and dataclasses.asdict(test)}
                for run, own, test in columns
            ]
        )
        return
    from surgeon.report.tables import comparison_table

    print_text(comparison_table([str(run) for run in runs], figures, tests))


def _result(run: Path) -> dict[str, Any]:
    from surgeon.training.run_folder import read_result, recipe_of

    recipe_of(run)
    record = read_result(run)
    if record is None:
        raise UsageError(f"{run} is not finished", f"`surgeon resume {run}`")
    return record


def _costs(record: dict[str, Any]) -> dict[str, float]:
    return {
        "seconds": record["seconds"],
        "epochs": float(sum(phase["epochs"] for phase in record["phases"])),
        "parameters trained": float(max(phase["trainable_parameters"] for phase in record["phases"])),
    }


def _hits(run: Path) -> dict[tuple[str, str], bool]:
    """Returns whether the network was right about each test image, by the file and its label."""
    path = run / "predictions.csv"
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        _, *rows = csv.reader(file)
    return {(row[0], row[1]): row[1] == row[2] for row in rows}


def _aligned(first: dict[tuple[str, str], bool], second: dict[tuple[str, str], bool]) -> tuple[list[bool], list[bool]]:
    return list(first.values()), [second[image] for image in first]
