"""What callers get to see of a run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from phaseline._engine.snapshot import is_landmark
from phaseline._shell.live import LiveRun
from phaseline.errors import NoOutputError
from phaseline.events import Event, PipelineFailed
from phaseline.rows import TAKEN_BACK_STATES, ErrorInfo, RunRecord, RunState
from phaseline.run import Run

if TYPE_CHECKING:
    from phaseline._shell.runner import Runner


async def describe(runner: Runner, live: LiveRun) -> Run[Any]:
    """Make the picture of a run that callers get."""
    output, missing = None, None
    if live.snapshot.run.state == RunState.COMPLETED:
        try:
            output = await runner.values.output(live)
        except NoOutputError as error:
            missing = error.reason
    return picture(live, await facts_of(runner, live), output, missing)


def picture(
    live: LiveRun, facts: Sequence[Event], output: object = None, missing: str | None = None
) -> Run[Any]:
    """Make it of what was read."""
    return Run(
        record=live.snapshot.run, phases=dict(live.snapshot.rows), facts=tuple(facts), taken_back=taken_back(live.snapshot.run, facts),
        output=output, missing=missing,
    )  # fmt: skip


def taken_back(run: RunRecord, facts: Sequence[Event]) -> ErrorInfo | None:
    """What a run failed with that is rolled back: not what a compensation failed with, nor what it went on from since."""
    error = None
    if run.state in TAKEN_BACK_STATES:
        for fact in facts:
            move = fact.transition
            if move is None or move.target in TAKEN_BACK_STATES:
                continue
            if isinstance(fact, PipelineFailed):
                error = error if move.source == RunState.ROLLING_BACK else fact.error
            else:
                error = None
    return error


async def facts_of(runner: Runner, live: LiveRun) -> Sequence[Event]:
    """Give at least the facts that moved a run's state or made a checkpoint; they are read where they are not known."""
    known = live.snapshot.facts
    return await landmarks_of(runner, live.snapshot.run) if known is None else known


async def landmarks_of(runner: Runner, run: RunRecord) -> Sequence[Event]:
    """Read the facts that moved a run's state or made a checkpoint."""
    landmarks: list[Event] = []
    after = 0
    while after < run.seq:
        page = await runner.read(partial(runner.storage.events, run.namespace, run.id, after, 1_000))
        if not page:
            break
        landmarks += filter(is_landmark, page)
        after = page[-1].seq or run.seq
    return landmarks
