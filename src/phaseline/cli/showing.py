"""What ``phaseline runs show`` tells of a run beside the picture of its phases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from phaseline.cli.output import when
from phaseline.errors import PipelineNotRegisteredError
from phaseline.events import PhaseCompensated, PipelineRollingBack
from phaseline.inspection import detail_of, events_of, outline_of, pipeline_of
from phaseline.pipeline import Pipeline
from phaseline.retry import Retry
from phaseline.rows import PhaseState, RunState
from phaseline.run import Run
from phaseline.runtime import Runtime
from phaseline.usage import Usage
from phaseline.views import RunDetail

ROWS_ALONE: Final = "what is yet to come, the output and the commands are not told"


def facts(shown: Shown) -> Iterator[tuple[str, str]]:
    """What is told of a run in a line each; what it has not is left out."""
    detail, run = shown.detail, shown.run
    told: Mapping[str, str | None] = {
        "key": detail.key,
        "tags": " ".join(detail.tags),
        "attributes": " ".join(f"{name}={value}" for name, value in detail.attributes.items()),
        "created": when(run.created_at),
        "deadline": when(run.deadline),
        "service level": _level_of(run),
        "ended": when(run.ended_at),
        "commanded": _command_of(run),
        "copy of": run.forked_from,
        "started by": run.parent_id,
        "used": "" if run.usage == Usage() else str(run.usage),
        "undone": shown.undone,
        "checkpoints": " ".join(f"{point.id} ({point.phase})" for point in run.checkpoints),
        "commands": " ".join(detail.allowed).replace("_", "-"),
    }
    yield from ((name, value) for name, value in told.items() if value)


def _level_of(run: Run[object]) -> str:
    """By when it should be over, and whether it was not."""
    if run.sla_at is None:
        return ""
    return f"{'should be over by' if run.breached is None else 'was not over by'} {when(run.sla_at)}"


def _command_of(run: Run[object]) -> str:
    """By which command it came to the state that it has: who gave it, and why."""
    last = run.history[-1] if run.history else None
    if last is None or not (last.actor or last.reason):
        return ""
    return f"{last.target}{last.actor and f' by {last.actor}'}{last.reason and f': {last.reason}'}"


@attrs.frozen
class Shown:
    """A run as it was read."""

    detail: RunDetail
    run: Run[object]
    pipeline: Pipeline[Any, Any] | None
    """None where it is not registered, so that only what stands in the rows is known."""
    retry: Retry
    """The policy of the runtime."""
    undone: str


async def read(runtime: Runtime, run_id: str) -> Shown:
    """Read a run; where its pipeline is not registered, as much as its rows tell.

    Raises:
        RunNotFoundError: There is no such run in this namespace.
        StorageError: It cannot be read.
    """
    pipeline: Pipeline[Any, Any] | None = None
    try:
        detail, run = await detail_of(runtime, run_id), await (await runtime.get(run_id)).run()
        pipeline = pipeline_of(runtime, run)
    except PipelineNotRegisteredError:
        detail, run = await outline_of(runtime, run_id)
    undone = await undone_in(runtime, run)
    return Shown(detail, run, pipeline, runtime.runner.options.retry, undone)


async def undone_in(runtime: Runtime, run: Run[object]) -> str:
    """What the rollback undid after which a run stands, in that order: its rows are history, and in no picture any more."""
    if run.state != RunState.ROLLED_BACK or all(move.target != RunState.ROLLING_BACK for move in run.history):
        return ""
    undone: list[str] = []
    async for event in events_of(runtime, run.id):
        if isinstance(event, PipelineRollingBack):
            undone.clear()
        elif isinstance(event, PhaseCompensated):
            undone.append(event.phase or "")
    return " ".join(undone)


def raised_in(run: Run[object]) -> str | None:
    """Where it was raised what the run failed with, or what a phase is tried again for; None where it was not kept."""
    errors = (run.error, *(row.error for row in run.phases.values() if row.state is PhaseState.RETRYING))
    return next((error.traceback for error in errors if error is not None and error.traceback), None)
