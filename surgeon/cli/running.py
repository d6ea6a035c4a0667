"""What the commands that train share: a run with its progress, and how its result is printed."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from surgeon.cli.interrupt import RunInterruptedError, until_interrupted
from surgeon.cli.output import Format, print_json, print_text, show_progress
from surgeon.errors import SurgeonError
from surgeon.report.terminal import Terminal, styled
from surgeon.tensorflow import load_tensorflow
from surgeon.training.trackers import Tracker

if TYPE_CHECKING:
    from surgeon.recipe.plan import Plan
    from surgeon.results.run import RunResult

LogOption = Annotated[
    list[Tracker] | None,
    typer.Option(
        "--log",
        help="Log epochs for TensorBoard into the run, or to MLflow where its environment variables say. Repeatable.",
        show_default=False,
    ),
]
OutOption = Annotated[
    Path | None, typer.Option(help="Folder for the run; by default runs/NAME-TIME.", show_default=False)
]


@contextmanager
def new_run(plan: Plan, folder: Path) -> Iterator[None]:
    """Makes a run's folder and takes it away again if the run fails before its first epoch is finished.

    Weights that cannot be had or an extra that is missing shall not stand in the way of the next try. A run that
    a person has stopped stays.
    """
    from surgeon.runs.folder import create_run_folder, is_begun

    create_run_folder(plan, folder)
    try:
        yield
    except RunInterruptedError:
        raise
    except Exception:
        if not is_begun(folder):
            shutil.rmtree(folder, ignore_errors=True)
        raise


def run_and_print(plan: Plan, folder: Path, output_format: Format, *, quiet: bool, log: Collection[Tracker]) -> None:
    """Does what is left of a run and prints its result; see ``run_plan``."""
    console = Terminal(stderr=True, quiet=quiet or output_format is Format.json)
    result = run_plan(plan, folder, console, log=log)
    if output_format is Format.json:
        from surgeon.results.run import result_record

        print_json({**result_record(result), "folder": str(folder)})
    elif not quiet:
        print_result(result, folder)


def run_plan(
    plan: Plan,
    folder: Path,
    console: Terminal,
    *,
    earlier: Mapping[str, Any] | None = None,
    log: Collection[Tracker] = (),
) -> RunResult:
    """Does what is left of a run with its progress on ``console``.

    Args:
        plan: What its recipe asks for.
        folder: The run's, which holds its recipe already.
        console: For the progress.
        earlier: The lock of a run that this one is to repeat.
        log: What its epochs are logged to besides.

    Raises:
        SurgeonError: If the run cannot be done or was interrupted; what it had written stays.
    """
    from surgeon.publishing.page import publish
    from surgeon.runs.checkpoint import rewind
    from surgeon.runs.folder import finish_run, is_begun, record_event, run_in_use
    from surgeon.training.runner import run
    from surgeon.training.trackers import tracked

    go_on = f"go on with `surgeon resume {folder}`"
    try:
        with run_in_use(folder):
            rewind(plan, folder)
            load_tensorflow()
            work = until_interrupted(run(plan, folder, earlier), console)
            with tracked(log, plan, folder, console.show) as track:
                result = show_progress(work, console, (partial(record_event, folder), track))
                finish_run(folder, result)
                go_on = f"the run is finished; `surgeon report {folder}` draws what is missing"
                show_progress(publish(plan, folder, result), console)
                track(result)
    except RunInterruptedError as error:
        error.hint = go_on
        raise
    except KeyboardInterrupt as error:
        raise RunInterruptedError(signal.SIGINT, go_on) from error
    except OSError as error:
        where = error.filename or folder
        remedy = f"mend that, and {go_on if is_begun(folder) else 'start again'}"
        raise SurgeonError(f"cannot use {where}: {error.strerror or error}", remedy) from error
    return result


def print_result(result: RunResult, folder: Path) -> None:
    """Prints the table of the classes, the methods side by side, and where everything lies."""
    from surgeon.report.tables import averages_text, classification_table, expectation_text, frozen_text, methods_table

    if result.evaluation is not None:
        total = result.evaluation.weighted.support
        print_text(classification_table(result.evaluation, f"{result.name}: {total} test images"))
        if (over := averages_text(result.evaluation)) is not None:
            print_text(over)
        print_text(methods_table(result))
    if (text := expectation_text(result)) is not None:
        print_text(text)
    print_text(frozen_text(result.frozen))
    print_text(styled(f"{result.seconds:.0f} s; everything is in ", (str(folder), "bold")))
