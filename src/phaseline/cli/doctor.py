"""``phaseline doctor``: how a runtime and what it depends on are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Annotated

import anyio
import typer

from phaseline.cli.codes import ExitCode
from phaseline.cli.options import SPAN, Json, RuntimePlace, RuntimeToo, named, span
from phaseline.cli.output import print_json
from phaseline.cli.places import place_of, runtime_of
from phaseline.health import PATIENCE, Health


def doctor(
    runtime: RuntimePlace = None,
    *,
    also: RuntimeToo = None,
    as_json: Json = False,
    patience: Annotated[
        timedelta, typer.Option(metavar=SPAN, parser=span, help="How long a phase may wait for a worker.")
    ] = PATIENCE,
) -> None:
    """Say whether storage, broker, queues and workers of a runtime are well; exit code 1 if something is not.

    Looks at what the workers of a runtime share; nothing is served and nothing changed. The threads of a worker are known to
    its own process alone: runtime.health().
    """
    found = runtime_of(place_of(named(runtime, also)))
    health = anyio.run(partial(found.health, patience=patience))
    if as_json:
        print_json(health.to_dict())
    else:
        print("\n".join(_text(health)))
    if health.storage is not None:
        raise typer.Exit(ExitCode.UNUSABLE)
    if not health.ok:
        raise typer.Exit(ExitCode.FAILED)


def _text(health: Health) -> Iterator[str]:
    alive = sum(worker.alive for worker in health.workers)
    yield f"storage: {health.storage or 'answers'}"
    yield f"broker: {health.broker or 'answers, or is none'}"
    if health.at is not None:
        yield f"workers: {alive} alive, of {len(health.workers)} on the list of namespace {health.namespace!r}"
        yield f"queues on which phases wait: {len(health.queues)}"
    for queue in health.queues:
        yield f"  {queue.queue}: for {queue.waited.total_seconds():.1f} s"
    for definition in health.unknown:
        yield f"left alone, for it is not registered: {definition.pipeline} {definition.version} ({definition.fingerprint:.12})"
    yield "all is well" if health.ok else "not well:"
    for problem in health.problems:
        yield f"  {problem}"
