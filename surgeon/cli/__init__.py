"""The command line: each command parses, calls, renders and sets the exit code."""

from __future__ import annotations

import re
import signal
import sys
from typing import Annotated

import typer

import surgeon
from surgeon.cli import (
    cache,
    card,
    catalogue,
    check,
    compare,
    depth,
    diff,
    evaluate,
    explain,
    export,
    init,
    layers,
    lr,
    plan,
    predict,
    probe,
    recipes,
    report,
    reproduce,
    resume,
    run,
    serve,
    sweep,
    validate,
)
from surgeon.cli.output import open_streams, plain_warnings, print_error, print_text
from surgeon.errors import RunInterruptedError, SurgeonError, UsageError

app = typer.Typer(
    name="surgeon",
    help="Network surgery as a file: cut a pretrained network, sew on a head, train it in phases.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        print_text(f"surgeon {surgeon.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


app.command("run")(run.command)
app.command("resume")(resume.command)
app.command("reproduce")(reproduce.command)
app.command("diff")(diff.command)
app.command("predict")(predict.command)
app.command("evaluate")(evaluate.command)
app.command("export")(export.command)
app.command("report")(report.command)
app.command("compare")(compare.command)
app.command("card")(card.command)
app.command("explain")(explain.command)
app.command("serve")(serve.command)
app.command("validate")(validate.command)
app.command("layers")(layers.command)
app.command("plan")(plan.command)
app.command("check")(check.command)
app.command("probe")(probe.command)
app.command("depth")(depth.command)
app.command("lr")(lr.command)
app.command("sweep")(sweep.command)
app.command("init")(init.command)
app.add_typer(recipes.app, name="recipes")
app.add_typer(cache.app, name="cache")
catalogue.register(app)


# What other tools call it.
_HABITS = {
    **dict.fromkeys(("train", "fit"), "`surgeon run RECIPE` trains; `surgeon init PHOTOS` drafts a recipe"),
    **dict.fromkeys(
        ("test", "val"),
        "`surgeon evaluate RUN PHOTOS` measures a run on other images; `surgeon validate RECIPE` checks a recipe",
    ),
    **dict.fromkeys(("models", "list"), "`surgeon backbones` lists the networks"),
    **dict.fromkeys(("summary", "info"), "see `surgeon layers`, `surgeon plan` and `surgeon report`"),
    **dict.fromkeys(("lr-find", "lr_find"), "`surgeon lr RECIPE` finds a learning rate"),
    "version": "see `surgeon --version`",
    "help": "see `surgeon --help`",
    **dict.fromkeys(
        ("--epochs", "--lr", "--batch-size"), "recipes say that; --set changes it: --set 'phases[0].epochs=5'"
    ),
}


def _asked(error: typer.TyperException) -> str:
    """Returns the command or the option that there is not, if that is what is wrong; its text alone names a command."""
    option = getattr(error, "option_name", None)
    found = re.match(r"No such command '(.*)'", error.format_message())
    return str(option or (found[1] if found else ""))


@plain_warnings()
def main() -> None:
    """Runs the command line.

    Exit codes: 0 done, 1 failed, 2 the recipe or the call is wrong, 128 and a signal's number interrupted by it.
    """
    open_streams()
    try:
        sys.exit(app(standalone_mode=False))
    except typer.TyperException as error:  # the library would print what was typed as it is
        if message := error.format_message().replace("Value error, ", ""):  # nothing where it has printed the help
            command = getattr(getattr(error, "ctx", None), "command_path", "surgeon")
            print_error(UsageError(message, _HABITS.get(_asked(error), f"see `{command} --help`")))
        sys.exit(2)
    except SurgeonError as error:
        print_error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print_error(RunInterruptedError(signal.SIGINT))
        sys.exit(128 + signal.SIGINT)
    except OSError as error:
        if error.filename is None:  # of no file that a user could mend
            raise
        print_error(
            SurgeonError(f"cannot use {error.filename}: {error.strerror}", "check the path and its permissions")
        )
        sys.exit(SurgeonError.exit_code)
