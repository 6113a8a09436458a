"""``phaseline schedules``: runs that begin by themselves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Annotated, Any, TypeAlias

import typer

from phaseline.cli.client import with_client
from phaseline.cli.commands import print_begun
from phaseline.cli.options import (
    SPAN,
    Given,
    Json,
    Namespace,
    NewAttributes,
    NewTags,
    Runtimes,
    json_value,
    moment,
    span,
)
from phaseline.cli.output import print_json, print_rows, when
from phaseline.cli.places import pipeline_in
from phaseline.inspection import state_of
from phaseline.runtime import Runtime
from phaseline.schedule import Schedule
from phaseline.schedules import SLOT
from phaseline.timetable import CatchUp, Overlap
from phaseline.views import SchedulesView, ScheduleView, SlotsView, StateView

app: typer.Typer = typer.Typer(help="Runs that begin by themselves.", no_args_is_help=True)

Name: TypeAlias = Annotated[str, typer.Argument(metavar="NAME", help="Of the schedule.", show_default=False)]
COLUMNS = ("name", "pipeline", "when", "next", "last")


@app.command("list")
def list_schedules(runtime: Runtimes = None, *, namespace: Namespace = None, as_json: Json = False) -> None:
    """List all schedules."""

    async def read(client: Runtime) -> SchedulesView:
        return SchedulesView(schedules=tuple(map(ScheduleView.of, await client.schedules.list())))

    found = with_client(runtime, namespace, read)
    if as_json:
        print_json(found)
    else:
        print_rows(COLUMNS, map(_row, found.schedules), "there are no schedules")


def _row(view: ScheduleView) -> tuple[str, ...]:
    following = "unreadable here" if view.unreadable else when(view.next_at)
    rule = f"every {view.every_seconds:g} s" if view.cron is None else f"{view.cron} ({view.tz})"
    return (
        view.name,
        view.pipeline,
        rule,
        "paused" if view.paused else following,
        when(view.last_slot),
    )


@app.command("show")
def show_schedule(
    name: Name, runtime: Runtimes = None, *, namespace: Namespace = None, as_json: Json = False
) -> None:
    """Show a schedule."""
    _print(runtime, namespace, lambda client: client.schedules.get(name), as_json=as_json)


@app.command("slots")
def list_slots(
    name: Name,
    runtime: Runtimes = None,
    *,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many.")] = 10,
    namespace: Namespace = None,
    as_json: Json = False,
) -> None:
    """List the next slots of a schedule; of a paused one those that there would be."""

    async def read(client: Runtime) -> SlotsView:
        return SlotsView(slots=tuple(await client.schedules.upcoming(name, limit=limit)))

    found = with_client(runtime, namespace, read)
    if as_json:
        print_json(found)
    else:
        print_rows(("slot",), ((slot.isoformat(),) for slot in found.slots), "it fires no more")


@app.command("put")
def put_schedule(
    name: Name,
    pipeline: Annotated[str, typer.Argument(metavar="PIPELINE", help="Name of the pipeline.", show_default=False)],
    value: Annotated[
        Any,
        typer.Argument(
            metavar="JSON", parser=json_value, show_default=False,
            help="What each run takes; @FILE reads it. Left out: each takes its own slot.",
        ),
    ] = SLOT,
    runtime: Runtimes = None,
    *,
    version: Annotated[str | None, typer.Option(help="Of the pipeline, where there are several.")] = None,
    cron: Annotated[str | None, typer.Option(help="A cron text of five fields, or six with seconds first.")] = None,
    every: Annotated[timedelta | None, typer.Option(metavar=SPAN, parser=span, help="Distance of slots.")] = None,
    tz: Annotated[str | None, typer.Option(help="Time zone of the cron text; by default UTC.")] = None,
    overlap: Annotated[
        Overlap, typer.Option(help="A slot while an earlier run goes on.")
    ] = "skip",
    catch_up: Annotated[
        CatchUp, typer.Option(help="Slots that came while nobody could begin them.")
    ] = "latest",
    priority: Annotated[int, typer.Option(min=0, max=999, help="Of its runs; lower goes first.")] = 100,
    tag: NewTags = [],
    attribute: NewAttributes = [],
    namespace: Namespace = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Store a schedule, or change the one of this name."""

    async def put(client: Runtime) -> Schedule:
        taken = value.value if isinstance(value, Given) else value  # else it is SLOT
        return await client.schedules.put(
            name, pipeline_in(client, pipeline, version), input=taken, cron=cron, every=every, tz=tz, overlap=overlap,
            catch_up=catch_up, priority=priority, tags=tag, attributes=dict(attribute),
        )  # fmt: skip

    _print(runtime, namespace, put, as_json=as_json)


@app.command("pause")
def pause_schedule(
    name: Name, runtime: Runtimes = None, *, namespace: Namespace = None, as_json: Json = False
) -> None:
    """Have a schedule begin nothing more until it is resumed."""
    _print(runtime, namespace, lambda client: client.schedules.pause(name), as_json=as_json)


@app.command("resume")
def resume_schedule(
    name: Name, runtime: Runtimes = None, *, namespace: Namespace = None, as_json: Json = False
) -> None:
    """Have a schedule go on with its next slot."""
    _print(runtime, namespace, lambda client: client.schedules.resume(name), as_json=as_json)


@app.command("trigger")
def trigger_schedule(
    name: Name, runtime: Runtimes = None, *, namespace: Namespace = None, as_json: Json = False
) -> None:
    """Begin a run of a schedule now."""

    async def triggered(client: Runtime) -> StateView:
        return await state_of(client, (await client.schedules.trigger(name)).id)

    print_begun(with_client(runtime, namespace, triggered), as_json=as_json)


@app.command("backfill")
def backfill_schedule(
    name: Name,
    runtime: Runtimes = None,
    *,
    since: Annotated[
        datetime,
        typer.Option(metavar="WHEN", parser=moment, show_default=False, help="The first slot may be then."),
    ],
    until: Annotated[
        datetime,
        typer.Option(metavar="WHEN", parser=moment, show_default=False, help="Slots are before then."),
    ],
    namespace: Namespace = None,
    as_json: Json = False,
) -> None:
    """Begin a run for each slot of a past time that has none."""

    async def filled(client: Runtime) -> list[str]:
        return [handle.id for handle in await client.schedules.backfill(name, since=since, until=until)]

    found = with_client(runtime, namespace, filled)
    if as_json:
        print_json({"runs": found})
    else:
        for run_id in found:
            print(run_id)


@app.command("delete")
def delete_schedule(
    name: Name, runtime: Runtimes = None, *, namespace: Namespace = None, as_json: Json = False
) -> None:
    """Delete a schedule; its runs stay."""
    with_client(runtime, namespace, lambda client: client.schedules.delete(name))
    if as_json:
        print_json({"deleted": name})


def _print(
    runtime: str | None, namespace: str | None, do: Callable[[Runtime], Awaitable[Schedule]], *, as_json: bool
) -> None:
    view = ScheduleView.of(with_client(runtime, namespace, do))
    if as_json:
        print_json(view)
    else:
        print_rows(COLUMNS, [_row(view)], "")
