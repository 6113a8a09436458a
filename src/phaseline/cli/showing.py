"""What ``phaseline runs show`` tells of a run beside the picture of its phases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from phaseline.cli.output import when
from phaseline.events import PhaseCompensated, PipelineRollingBack
from phaseline.handle import RunHandle
from phaseline.rows import PhaseState, RunState
from phaseline.run import Run
from phaseline.usage import Usage
from phaseline.views import RunDetail


def facts(shown: RunDetail, run: Run[object], undone: str) -> Iterator[tuple[str, str]]:
    """What is told of a run in a line each; what it has not is left out."""
    told: Mapping[str, str | None] = {
        "key": shown.key,
        "tags": " ".join(shown.tags),
        "attributes": " ".join(f"{name}={value}" for name, value in shown.attributes.items()),
        "created": when(run.created_at),
        "ended": when(run.ended_at),
        "copy of": run.forked_from,
        "started by": run.parent_id,
        "used": "" if run.usage == Usage() else str(run.usage),
        "undone": undone,
        "checkpoints": " ".join(f"{point.id} ({point.phase})" for point in run.checkpoints),
        "commands": " ".join(shown.allowed).replace("_", "-"),
    }
    yield from ((name, value) for name, value in told.items() if value)


async def undone_in(handle: RunHandle[Any], run: Run[object]) -> str:
    """What the rollback undid after which a run stands, in that order: its rows are history, and in no picture any more."""
    if run.state != RunState.ROLLED_BACK or all(move.target != RunState.ROLLING_BACK for move in run.history):
        return ""
    undone: list[str] = []
    async for event in handle.events():
        if isinstance(event, PipelineRollingBack):
            undone.clear()
        elif isinstance(event, PhaseCompensated):
            undone.append(event.phase or "")
    return " ".join(undone)


def raised_in(run: Run[object]) -> str | None:
    """Where it was raised what the run failed with, or what a phase is tried again for; None where it was not kept."""
    errors = (run.error, *(row.error for row in run.phases.values() if row.state is PhaseState.RETRYING))
    return next((error.traceback for error in errors if error is not None and error.traceback), None)
