"""All commands put together."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from phaseline import __version__
from phaseline._values.texts import printable
from phaseline.cli import console, db, doctor, graph, letters, run, runs, schedules, template, worker
from phaseline.cli.client import told
from phaseline.cli.codes import EPILOG, code_of
from phaseline.cli.configuration import ConfigurationError
from phaseline.cli.places import NoRuntimeError
from phaseline.errors import PhaselineError


class Commands(TyperGroup):
    """Errors of phaseline are told in their words, and by the exit code."""

    def invoke(self, ctx: Any) -> Any:  # of the click that typer brings with it
        """Carry out the command."""
        try:
            return super().invoke(ctx)
        except (PhaselineError, NoRuntimeError, ConfigurationError) as error:
            print(printable(told(error), lines=True), file=sys.stderr)
            raise typer.Exit(code_of(error)) from error


# Help and errors as plain text, that a pipe and a narrow terminal take too; tracebacks as Python writes them, for rich's
# would show what variables hold.
app: typer.Typer = typer.Typer(
    cls=Commands,
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("run")(run.run)
app.add_typer(runs.app, name="runs")
app.add_typer(letters.app, name="dead-letters")
app.add_typer(schedules.app, name="schedules")
app.command("pipelines")(graph.pipelines)
app.command("graph")(graph.graph)
app.add_typer(db.app, name="db")
app.add_typer(template.app, name="template")
app.command("worker")(worker.worker)
app.command("console")(console.console)
app.command("doctor")(doctor.doctor)


def _version(asked: bool) -> None:
    if asked:
        print(f"phaseline {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[  # told as soon as it is read
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version, and nothing else."
        ),
    ] = False,
) -> None:
    """Durable phase pipelines: look at runs, command and serve them."""
