"""``phaseline runs``: runs looked at and let go of; what commands them is in ``commands``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from anyio import to_thread

from phaseline._values.texts import printable
from phaseline.cli import commands, figures
from phaseline.cli.client import NAME_CODE, runs_of, why_none, with_client
from phaseline.cli.codes import ExitCode
from phaseline.cli.options import (
    SPAN,
    After,
    Attributes,
    Json,
    Limit,
    Namespace,
    Order,
    Pipelines,
    Runtimes,
    Since,
    States,
    Tags,
    Until,
    Versions,
    span,
)
from phaseline.cli.output import console, print_json, print_rows, when
from phaseline.cli.showing import ROWS_ALONE, facts, raised_in, read
from phaseline.cli.unserved import telling_if_unserved
from phaseline.exports import RunExport
from phaseline.rows import RunState
from phaseline.run_filter import Stage
from phaseline.runtime import Runtime
from phaseline.views import RunsView, RunView
from phaseline.wire import to_wire

app: typer.Typer = typer.Typer(help="Runs: look at them, and command them.", no_args_is_help=True)
commands.add_to(app)
figures.add_to(app)

RunId = Annotated[str, typer.Argument(metavar="ID", help="Id of the run.", show_default=False)]


@app.command("list")
def list_runs(
    runtime: Runtimes = None,
    *,
    namespace: Namespace = None,
    pipeline: Pipelines = [],
    version: Versions = [],
    state: States = [],
    ended: Annotated[
        bool | None,
        typer.Option(
            "--ended/--going-on", help="Only those that have ended, or have not.", show_default=False
        ),
    ] = None,
    stage: Annotated[
        Stage | None,
        typer.Option(
            help="Of those that go on: waiting, for a first worker, a signal or a time, or active.",
            show_default=False,
        ),
    ] = None,
    tag: Tags = [],
    attribute: Attributes = [],
    since: Since = None,
    until: Until = None,
    parent: Annotated[str | None, typer.Option(metavar="ID", help="Started by this run.")] = None,
    forked_from: Annotated[str | None, typer.Option(metavar="ID", help="Copied from this run.")] = None,
    text: Annotated[
        str,
        typer.Option(
            help="Part of id, key, pipeline, a tag, an attribute, or of what the run failed with.",
            show_default=False,
        ),
    ] = "",
    order: Order = "newest",
    limit: Limit = 100,
    after: After = None,
    ids: Annotated[bool, typer.Option("--ids", help="Print only ids, one a line, for xargs.")] = False,
    as_json: Json = False,
) -> None:
    """List runs, page by page."""

    async def page(client: Runtime) -> tuple[RunsView, str]:
        found = await runs_of(
            client, pipeline=pipeline, version=version, state=state, tag=tag, attribute=attribute, ended=ended, stage=stage, since=since, until=until, parent=parent,
            forked_from=forked_from, text=text, order=order, limit=limit, after=after,
        )  # fmt: skip
        view = RunsView(runs=tuple(map(RunView.of, found.runs)), next=found.next)
        return view, "" if view.runs else await why_none(client, states=state)

    found, empty = with_client(runtime, namespace, page)
    if as_json:
        print_json(found)
    elif ids:
        for run in found.runs:
            print(run.id)
    else:
        print_rows(("id", "pipeline", "state", "created", "about"), map(_row, found.runs), empty)
        if found.next is not None:
            typer.echo(f"there are more: --after {found.next}", err=True)


def _row(run: RunView) -> Sequence[str]:
    attributes = (f"{name}={value}" for name, value in run.attributes.items())
    marks = " ".join([*(f"#{tag}" for tag in run.tags), *attributes])
    where = "" if run.phase is None else f"at {run.phase}"
    error = "" if run.error is None else f"{run.error.type}: {run.error.message}"
    return (
        run.id,
        run.pipeline,
        run.state,
        when(run.created_at),
        "; ".join(filter(None, (where, error, marks))),
    )


@app.command("show")
def show_run(
    run_id: RunId, runtime: Runtimes = None, *, namespace: Namespace = None, as_json: Json = False
) -> None:
    """Show a run with its phases, its history, and its output if there is one; of the storage alone, what stands in its rows."""
    from phaseline.console import Picture

    shown = with_client(runtime, namespace, lambda client: read(client, run_id))
    if shown.pipeline is None:
        typer.echo(
            f"pipeline {printable(shown.run.pipeline)!r} is not registered here: {ROWS_ALONE}{NAME_CODE}",
            err=True,
        )
    if as_json:
        print_json(shown.detail)
        return
    console().print(Picture(shown.run, shown.pipeline, datetime.now(UTC), shown.retry))
    for name, value in facts(shown):
        print(f"{name}: {printable(value)}")
    if (raised := raised_in(shown.run)) is not None:
        print(printable(raised, lines=True).rstrip())
    if shown.detail.output is not None:
        print_json({"output": shown.detail.output})


@app.command("watch")
def watch_run(
    run_id: RunId,
    runtime: Runtimes = None,
    *,
    namespace: Namespace = None,
    after: Annotated[
        int, typer.Option(min=0, help="With --json: number of the last event that is known.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print each event as a line of JSON.")] = False,
) -> None:
    """Show a run while it goes on, until it ends; exit code 1 if it ends otherwise than COMPLETED."""

    async def watched(client: Runtime) -> str:
        from phaseline.console import watch

        handle = await client.get(run_id)

        async def shown() -> str:
            if not as_json:
                return (await watch(handle, console=console())).state
            async for event in handle.events(after=after):
                await to_thread.run_sync(partial(print_json, to_wire(event), indent=None))
            return await handle.state()

        return await telling_if_unserved(handle, shown)

    if with_client(runtime, namespace, watched) != RunState.COMPLETED:
        raise typer.Exit(ExitCode.FAILED)


def _file(path: Path | None) -> Path | None:
    """Refuse a file that cannot be made, before anything is read for it."""
    if path is None or os.access(path, os.F_OK) or os.access(path.parent, os.W_OK | os.X_OK):
        return path
    problem = "may not be written to" if os.access(path.parent, os.F_OK) else "is not there"
    raise typer.BadParameter(f"the directory {str(path.parent)!r} {problem}")


@app.command("export")
def export_run(
    run_id: RunId,
    runtime: Runtimes = None,
    *,
    namespace: Namespace = None,
    values: Annotated[
        bool, typer.Option(help="With input, outputs, and what the application put into events.")
    ] = True,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", dir_okay=False, writable=True, callback=_file, help="File to write."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write all that is stored of a run as a document: Markdown, or JSON."""

    async def export(client: Runtime) -> RunExport:
        return await (await client.get(run_id)).export(values=values)

    found = with_client(runtime, namespace, export)
    if output is not None:
        try:
            output.write_text(f"{found.to_json()}\n" if as_json else found.to_markdown(), "utf-8")
        except OSError as error:
            problem = f"{str(output)!r} cannot be written: {error.strerror}"
            raise typer.BadParameter(problem, param_hint="--output") from error
    elif as_json:
        print_json(found)
    else:
        print(found.to_markdown(), end="")


@app.command("purge")
def purge_runs(
    runtime: Runtimes = None,
    *,
    namespace: Namespace = None,
    older_than: Annotated[
        timedelta,
        typer.Option(metavar=SPAN, parser=span, show_default=False, help="Ended at least so long ago: 30d."),
    ],
    pipeline: Pipelines = [],
    version: Versions = [],
    state: States = [],
    tag: Tags = [],
    attribute: Attributes = [],
    yes: Annotated[
        bool, typer.Option("--yes", help="Delete them; without it they are counted only.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Delete runs that ended long ago, each as a whole; what goes on is never deleted."""

    async def purge(client: Runtime) -> int:
        return await client.purge(
            older_than=older_than, pipeline=pipeline or None, version=version or None, state=state or None, tags=tag,
            attributes=dict(attribute), dry_run=not yes,
        )  # fmt: skip

    found = with_client(runtime, namespace, purge)
    if as_json:
        print_json({"runs": found, "deleted": yes})
    else:
        print(f"{found:,} runs deleted" if yes else f"{found:,} runs ended so long ago; --yes deletes them")
