"""Waiting for runs, wherever they are carried forward: here, or in another process."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any, Final

import anyio

from phaseline._shell.live import LiveRun
from phaseline._shell.outage import patiently
from phaseline._shell.positions import stored
from phaseline._shell.runner import Runner
from phaseline.errors import (
    PipelineCancelledError,
    PipelineFailedError,
    PipelineRolledBackError,
    RuntimeNotOpenError,
)
from phaseline.events import Event
from phaseline.rows import ENDED_STATES, ErrorInfo, RunState
from phaseline.run import Run
from phaseline.watches import Watch

FIRST_POLL, POLL, SLOW_POLL = 0.02, 0.25, 1.0
"""Seconds between two looks at a run that another process may carry forward: doubled each time, up to the second, or to the
third where processes nudge each other. All that are carried forward here are looked at together, as rarely as that."""
RARE_POLL = 10.0
"""The same on a memory that no other runtime uses: one may be opened on it."""
_UNTOLD: Final = frozenset({RunState.PAUSED})
"""What other processes may make of a run that is carried forward here, and nothing tells of: it stops no body. Ends are told, for
these stop them."""

UNRAISED: Final = frozenset({"WorkerLost", "SignalTimeout", "Again"})
"""Failures of phases that are found by looking at the run: nothing was raised."""


async def ended_run(
    runner: Runner, live: LiveRun, states: frozenset[str] = ENDED_STATES, *, anew: bool = False
) -> LiveRun:
    """Give the run once it is in one of the states.

    Args:
        runner: Of this process.
        live: The run, as the caller knows it.
        states: What is waited for.
        anew: Whether its end was told before, so that it may have gone on since.

    Raises:
        RuntimeNotOpenError: The runtime was closed before.
    """
    if live.snapshot.run.state in ENDED_STATES and not live.stale and not anew:
        return live
    run_id, pause = live.id, FIRST_POLL
    followed: LiveRun | None = None
    with runner.bus.watch_for_end(run_id) as watch:
        while True:
            watch.look()
            longest = _longest_pause(runner)
            here = _carried_here(runner, run_id)
            followed = here or followed
            if followed is not None and followed.snapshot.run.state in states and not followed.stale:
                return followed
            looked_for = states if here is None else states & _UNTOLD
            if looked_for:
                runner.nudges.wait()
                record = await patiently(runner.clock, partial(runner.record_of, run_id))
                if record.state in looked_for:  # not before: a large run is not read again and again
                    live = await patiently(runner.clock, partial(runner.load, run_id))
                    if live.snapshot.run.state in looked_for:
                        return live
            if runner.closed:
                raise RuntimeNotOpenError(run_id)
            if here is None:
                pause = min(pause, longest)
                await _told(watch, pause)
                pause *= 2
            else:  # of what is done here we are told, and also when nothing is done here any more
                if longest < math.inf:
                    runner.look_round(longest)
                await watch.wait()


async def follow(runner: Runner, run_id: str, after: int) -> AsyncGenerator[Event]:
    """Give a run's events: the stored ones first, then each as it comes, until the run ends."""
    with runner.bus.watch(run_id) as watch:
        while True:
            live = watch.take()
            _carried_here(runner, run_id)  # else it is read as it is stored
            record = await patiently(runner.clock, partial(runner.record_of, run_id))
            while after < record.seq:
                page = await stored(runner, run_id, after)
                if not page:
                    break
                for event in page:
                    yield event
                after = page[-1].seq or after
            for event in live:
                yield event
            if record.state in ENDED_STATES and after >= record.seq:
                return
            if runner.closed:
                raise RuntimeNotOpenError(run_id)
            await _told(watch, POLL if runner.storage.shared else _longest_pause(runner))


async def _told(watch: Watch, pause: float) -> None:
    """Wait until there is something new of a run, or may be, because who carries it forward elsewhere tells us nothing."""
    with anyio.move_on_after(pause):
        await watch.wait()


def _longest_pause(runner: Runner) -> float:
    """Give the seconds between two looks at a run that may go on elsewhere, in another process or on another runtime here."""
    if runner.storage.shared:
        return SLOW_POLL if runner.storage.nudges else POLL
    if runner.use is None:  # a memory of its own
        return math.inf
    return POLL if runner.shares_memory else RARE_POLL


def _carried_here(runner: Runner, run_id: str) -> LiveRun | None:
    """Give a run that this runner is busy with, or alone to be so."""
    live = runner.busy_with(run_id)
    if live is not None and runner.shares_memory and live.is_idle:
        live.stale = True  # another one on the same memory may have moved it on
        return None
    return live


def _advice(error: ErrorInfo | None) -> str:
    """Say where more is told of a failure, and how the next one would tell where it was raised, if that was not kept."""
    advice = "error.run.phases tells of the last attempt of each phase"
    if error is None or error.phase is None or error.type in UNRAISED or error.traceback is not None:
        return advice
    return f"{advice}; Runtime(tracebacks=True) keeps where it was raised"


def raise_unless_completed(run: Run[Any], cause: BaseException | None) -> None:
    """Turn the ends without an output into exceptions."""
    match run.state:
        case RunState.FAILED:
            raise PipelineFailedError(run, run.error, _advice(run.error)) from cause
        case RunState.CANCELLED:
            raise PipelineCancelledError(run)
        case RunState.ROLLED_BACK:
            raise PipelineRolledBackError(run, run.error) from cause
        case _:
            return
