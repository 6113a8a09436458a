"""``phaseline doctor``: how a runtime and what it depends on are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import partial
from typing import Annotated

import anyio
import typer

from phaseline.cli.client import empty
from phaseline.cli.codes import ExitCode
from phaseline.cli.options import SPAN, Json, Namespace, RuntimePlace, RuntimeToo, named, span
from phaseline.cli.output import print_json
from phaseline.cli.places import client_of, place_of
from phaseline.health import PATIENCE, Health
from phaseline.runtime import Runtime


def doctor(
    runtime: RuntimePlace = None,
    *,
    also: RuntimeToo = None,
    namespace: Namespace = None,
    as_json: Json = False,
    patience: Annotated[
        timedelta, typer.Option(metavar=SPAN, parser=span, help="How long a phase may wait for a worker.")
    ] = PATIENCE,
) -> None:
    """Say whether storage, broker, queues and workers of a runtime are well; exit code 1 if something is not.

    Looks at what the workers of a runtime share; nothing is served and nothing changed. The threads of a worker are known to
    its own process alone: runtime.health().
    """
    found = client_of(place_of(named(runtime, also)), namespace=namespace)
    health = anyio.run(partial(found.health, patience=patience))
    if as_json:
        print_json(health.to_dict())
    else:
        print("\n".join(_text(health, anyio.run(_remarks, found, health))))
    if health.storage is not None:
        raise typer.Exit(ExitCode.UNUSABLE)
    if not health.ok:
        raise typer.Exit(ExitCode.FAILED)


async def _remarks(runtime: Runtime, health: Health) -> Sequence[str]:
    """What is said beside it of a namespace in which there is nothing."""
    if not health.lists_workers or not health.ok or health.workers or health.queues:
        return ()
    async with runtime:
        told = await empty(runtime)
        return () if told is None else (told,)


def _text(health: Health, remarks: Sequence[str]) -> Iterator[str]:
    alive = sum(worker.alive for worker in health.workers)
    yield f"storage: {health.storage or 'answers'}"
    yield f"broker: {health.broker or 'answers, or is none'}"
    if health.at is not None:
        yield f"workers: {alive} alive, of {len(health.workers)} on the list of namespace {health.namespace!r}"
        yield f"queues on which phases wait: {len(health.queues)}"
    for queue in health.queues:
        yield f"  {queue.queue}: for {queue.waited.total_seconds():.1f} s"
    if health.lost:
        yield f"phases whose worker is gone: {health.lost}"
    for definition in health.unknown:
        yield (
            f"  of {definition.pipeline} {definition.version} ({definition.fingerprint:.12}), which is not registered here: left "
            "to a worker that has it"
        )
    if not health.ok:
        yield "not well:"
    elif health.queues:
        yield f"all is well: nothing has waited for longer than {health.patience.total_seconds():g} s"
    else:
        yield "all is well"
    for told in (*health.problems, *remarks):
        yield f"  {told}"
