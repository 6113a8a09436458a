"""What callers get to see of a run."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from phaseline._shell.live import LiveRun
from phaseline.errors import NoOutputError
from phaseline.events import CheckpointCreated, Event
from phaseline.run import Run, RunRecord, RunState

if TYPE_CHECKING:
    from phaseline._shell.runner import Runner


async def describe(runner: Runner, live: LiveRun) -> Run[Any]:
    """Make the picture of a run that callers get."""
    snapshot = live.snapshot
    record = snapshot.run
    landmarks = (
        snapshot.landmarks if snapshot.landmarks is not None else await _read_landmarks(runner, record)
    )
    output, missing = None, None
    if record.state == RunState.COMPLETED:
        try:
            output = await runner.values.output(live)
        except NoOutputError as error:
            missing = error.reason
    return Run(
        id=record.id, pipeline=record.pipeline, version=record.version, state=record.state,
        landmarks=tuple(landmarks), phases=dict(snapshot.rows), created_at=record.created_at,
        started_at=record.started_at, ended_at=record.ended_at, error=record.error,
        parent_id=record.parent_id, parent_path=record.parent_path,
        tags=record.tags, attributes=record.attributes, forked_from=record.forked_from, output=output, missing=missing,
    )  # fmt: skip


async def _read_landmarks(runner: Runner, run: RunRecord) -> list[Event]:
    """Read the facts that moved a run's state or made a checkpoint."""
    landmarks: list[Event] = []
    after = 0
    while after < run.seq:
        page = await runner.read(partial(runner.storage.events, run.namespace, run.id, after, 1_000))
        if not page:
            break
        landmarks += [event for event in page if event.transition or isinstance(event, CheckpointCreated)]
        after = page[-1].seq or run.seq
    return landmarks
