"""``surgeon reproduce``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import typer

from surgeon.cli.output import Format, FormatOption, QuietOption, RunArgument, print_json, print_text
from surgeon.cli.running import OutOption, new_run, run_plan
from surgeon.report.terminal import Terminal


def command(
    run: RunArgument,
    out: OutOption = None,
    output_format: FormatOption = Format.text,
    quiet: QuietOption = False,
) -> None:
    """Run the recipe of a finished run again and tell, figure by figure, what is the same."""
    from surgeon.results.run import result_figures
    from surgeon.runs.differences import compare
    from surgeon.runs.folder import new_folder, read_run
    from surgeon.runs.lock import read_lock

    plan, before = read_run(run)
    figures, lock = result_figures(before), read_lock(run)
    stood_on: Mapping[str, Any] = lock or {}
    console = Terminal(stderr=True, quiet=quiet or output_format is Format.json)
    folder = out or new_folder(plan)
    with new_run(plan, folder):
        result = run_plan(plan, folder, console, earlier=stood_on)
    causes = compare(stood_on, read_lock(folder) or {})
    differences = compare({"result": figures}, {"result": result_figures(result)})
    if output_format is Format.json:
        print_json(
            {
                "folder": str(folder),
                "figures": len(figures),
                "differences": [dataclasses.asdict(difference) for difference in differences],
                "causes": [dataclasses.asdict(cause) for cause in causes],
            }
        )
    else:
        from surgeon.report.tables import differences_table

        if differences and not quiet:
            print_text(differences_table("what came out differently", differences, "before", "now"))
        if causes and not quiet:
            print_text(differences_table("what they stand on", causes, "before", "now"))
        print_text(_verdict(len(figures), len(differences), has_causes=bool(causes), deterministic=plan.deterministic))
    if differences:
        raise typer.Exit(1)


def _verdict(figures: int, differing: int, *, has_causes: bool, deterministic: bool) -> str:
    if not differing:
        return f"all {figures} figures match, bit for bit, the weights after every phase among them"
    said = f"{figures - differing} of {figures} figures match, bit for bit"
    if has_causes:
        return f"{said}; what the runs stand on differs, see above"
    if not deterministic:
        return f"{said}; both stand on the same, but only `deterministic: true` promises the same bits"
    return f"{said}, though both stand on the same and are deterministic; please report this"
