"""``surgeon reproduce``."""

from __future__ import annotations

import dataclasses

import typer

from surgeon.cli.output import Format, FormatOption, QuietOption, RunArgument, print_json, print_text
from surgeon.cli.running import OutOption, progress_console
from surgeon.report.progress import ProgressDisplay


def command(
    run: RunArgument,
    out: OutOption = None,
    output_format: FormatOption = Format.text,
    quiet: QuietOption = False,
) -> None:
    """Run the recipe of a finished run again and report, figure by figure, what is the same."""
    from surgeon.api import reproduce
    from surgeon.results.run import result_figures
    from surgeon.run import open_run
    from surgeon.runs.differences import compare
    from surgeon.runs.lock import read_lock

    before = open_run(run)
    figures = result_figures(before.result)
    with ProgressDisplay(progress_console(output_format, quiet=quiet)) as display:
        again = reproduce(before, out, on_event=display.show)
    causes = compare(read_lock(run) or {}, read_lock(again.folder) or {})
    differences = compare({"result": figures}, {"result": result_figures(again.result)})
    if output_format is Format.json:
        print_json(
            {
                "folder": str(again.folder),
                "figures": len(figures),
                "differences": [dataclasses.asdict(difference) for difference in differences],
                "causes": [dataclasses.asdict(cause) for cause in causes],
            }
        )
    else:
        from surgeon.report.results import differences_table

        if differences and not quiet:
            print_text(differences_table("different results", differences, "before", "now"))
        if causes and not quiet:
            print_text(differences_table("different inputs or environment", causes, "before", "now"))
        print_text(
            _verdict(len(figures), len(differences), has_causes=bool(causes), deterministic=before.plan.deterministic)
        )
    if differences:
        raise typer.Exit(1)


def _verdict(figures: int, differing: int, *, has_causes: bool, deterministic: bool) -> str:
    if not differing:
        return f"all {figures} figures match bit for bit, including the weights after every phase"
    matching = f"{figures - differing} of {figures} figures match bit for bit"
    if has_causes:
        return f"{matching}; the inputs or the environment of the runs differ"
    if not deterministic:
        return f"{matching}; inputs and environment are the same, but only `deterministic: true` guarantees equal bits"
    return f"{matching}, although inputs and environment are the same and deterministic; please report this"
