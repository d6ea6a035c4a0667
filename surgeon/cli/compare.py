"""``surgeon compare``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from surgeon.cli.output import Format, FormatOption, print_json, print_text
from surgeon.errors import UsageError

if TYPE_CHECKING:
    from surgeon.results.run import RunResult
    from surgeon.results.use import McNemar

Hits = dict[tuple[str, str], bool]


def command(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN...", help="Finished runs.", show_default=False)],
    output_format: FormatOption = Format.text,
) -> None:
    """Show runs side by side, and whether each differs from the first by more than chance on the same test images."""
    from surgeon.training.run_folder import read_result

    if len(runs) < 2:
        raise UsageError("there is nothing to compare one run with", "give two runs or more")
    figures = [_figures(read_result(run)) for run in runs]
    first, *others = [_hits(run) for run in runs]
    tests = [None, *(_test(first, other) for other in others)]
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


def _figures(result: RunResult) -> dict[str, float]:
    from surgeon.results.run import headline_figures

    return {
        **headline_figures(result),
        "seconds": result.seconds,
        "epochs": sum(phase.epochs for phase in result.phases),
        "parameters trained": max(phase.trainable_parameters for phase in result.phases),
    }


def _hits(run: Path) -> Hits:
    """Returns whether the network was right about each test image, by the file and its label."""
    from surgeon.training.run_folder import read_predictions

    tested = read_predictions(run)
    if tested is None:
        return {}
    labels = [tested.classes[number] for number in tested.labels]
    right = tested.predicted == tested.labels
    return dict(zip(zip(tested.files, labels, strict=True), map(bool, right), strict=True))


def _test(first: Hits, other: Hits) -> McNemar | None:
    """Tests two networks against each other if they saw the same test images."""
    from surgeon.evaluation.compare import mcnemar

    if not first or first.keys() != other.keys():
        return None
    return mcnemar(list(first.values()), [other[image] for image in first])
