"""``phaseline run``: a run begun, and watched to its end."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Annotated, Any

import anyio
import typer

from phaseline.cli.client import with_client
from phaseline.cli.codes import ExitCode
from phaseline.cli.commands import print_begun
from phaseline.cli.options import (
    SPAN,
    Json,
    Namespace,
    NewAttributes,
    NewTags,
    Runtimes,
    json_value,
    moment_to_come,
    span,
)
from phaseline.cli.output import console, print_json
from phaseline.cli.places import NoRuntimeError, pipeline_in, place_of, runtime_of
from phaseline.inspection import detail_of, state_of
from phaseline.rows import RunState
from phaseline.runtime import Runtime
from phaseline.views import RunDetail, StateView


def run(
    pipeline: Annotated[
        str, typer.Argument(metavar="PIPELINE", help="Name of the pipeline.", show_default=False)
    ],
    value: Annotated[
        Any,
        typer.Argument(
            metavar="JSON",
            parser=json_value,
            show_default=False,
            help="What it takes; @FILE reads it, @- from stdin.",
        ),
    ],
    runtime: Runtimes = None,
    *,
    version: Annotated[str | None, typer.Option(help="Of the pipeline, where there are several.")] = None,
    key: Annotated[str | None, typer.Option(help="Idempotency key: one run for each.")] = None,
    while_open: Annotated[
        bool, typer.Option("--while-open", help="Let go of the key when the run ends.")
    ] = False,
    priority: Annotated[int, typer.Option(min=0, max=999, help="Lower goes first.")] = 100,
    delay: Annotated[
        timedelta, typer.Option(metavar=SPAN, parser=span, show_default=False, help="Begin only then.")
    ] = timedelta(0),
    timeout: Annotated[
        timedelta | None, typer.Option(metavar=SPAN, parser=span, help="How long it may be active.")
    ] = None,
    deadline: Annotated[
        Any,  # a datetime or a timedelta, of which typer knows no union
        typer.Option(
            metavar="WHEN",
            parser=moment_to_come,
            show_default=False,
            help="When it must be over: ISO 8601, or how long from now on, 2h.",
        ),
    ] = None,
    tag: NewTags = [],
    attribute: NewAttributes = [],
    namespace: Namespace = None,
    detach: Annotated[
        bool,
        typer.Option(
            "--detach", help="Only start it, and print its id: a worker takes it up. Nothing is served here."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Start a run, serve the runtime until it has ended, and print its output as JSON, if it completed.

    Its progress is told on stderr. The exit code is 1 if it ends otherwise than COMPLETED. With a key that stands for a run,
    that one is watched. With --json the whole run is printed.
    """

    async def begin(opened: Runtime) -> str:
        handle = await opened.start(
            pipeline_in(opened, pipeline, version), value.value, key=key, while_open=while_open, priority=priority, delay=delay,
            timeout=timeout, deadline=deadline, tags=tag, attributes=dict(attribute),
        )  # fmt: skip
        if not handle.is_new:
            print(f"its key stands for run {handle.id}, which was started before", file=sys.stderr)
        return handle.id

    if detach:

        async def started(client: Runtime) -> StateView:
            return await state_of(client, await begin(client))

        print_begun(with_client(runtime, namespace, started), as_json=as_json)
        return
    place = place_of(runtime)
    if place.is_url:
        raise NoRuntimeError("a run needs its pipeline: write MODULE:NAME, such as shop.worker:runtime")
    found = runtime_of(place)
    begun: list[str] = []

    async def to_the_end() -> RunDetail:
        from phaseline.console import watch

        async with found as host:
            opened = host if namespace is None else await host.within(namespace)
            begun.append(await begin(opened))
            if not sys.stderr.isatty():  # where it is drawn, its id stands above
                print(f"run {begun[0]}", file=sys.stderr, flush=True)
            await watch(await opened.get(begun[0]), console=console(stderr=True))
            return await detail_of(opened, begun[0])

    try:
        ended = anyio.run(to_the_end)
    except KeyboardInterrupt:
        if begun:
            print(
                f"run {begun[0]} goes on where a worker takes it up: phaseline runs watch {begun[0]}",
                file=sys.stderr,
            )
        raise
    _print_ended(ended, as_json=as_json)


def _print_ended(ended: RunDetail, *, as_json: bool) -> None:
    completed = ended.state == RunState.COMPLETED
    if as_json or completed:
        print_json(ended if as_json else ended.output)
    if not completed:
        raise typer.Exit(ExitCode.FAILED)
