"""Bodies are called, what comes of them is committed, and what that makes runnable here follows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio
from anyio.lowlevel import checkpoint

from phaseline._definition.plan import Plan
from phaseline._engine.commands import Attach, Command, Fail, Succeed
from phaseline._engine.draft import Draft
from phaseline._shell.abandoned import returned
from phaseline._shell.after_commit import tell_of_slot
from phaseline._shell.chains import Chain
from phaseline._shell.children import let_go
from phaseline._shell.failure_log import log_failure
from phaseline._shell.invoke import interrupted, invoke, unstorable
from phaseline._shell.live import Interruption, Job, LiveRun
from phaseline._shell.starting import AT_ONCE, new_run
from phaseline._shell.timeouts import invoke_with_timeouts
from phaseline._shell.tracing import traced
from phaseline.errors import LeaseLostError, StorageRefusedError
from phaseline.rows import SETTLED_STATES, PhaseRecord, PhaseState

if TYPE_CHECKING:
    from phaseline._shell.runner import Runner

log: Final = logging.getLogger("phaseline.runner")

TURNS = 16
"""Phases of a run that are carried out before other tasks get a turn for certain."""


async def begin(runner: Runner, plan: Plan, value: object) -> tuple[LiveRun, Job | None]:
    """Do as ``start`` does, and give the first body for the caller to drive; for runs that nobody else sees."""
    live, command = new_run(runner, plan, value, AT_ONCE)
    return live, take_seats(runner, live, await runner.committer.submit(live, command, drives=True))


def adopt(runner: Runner, live: LiveRun, granted: Sequence[PhaseRecord]) -> None:
    """Call the bodies of phases that a claim has granted."""
    launch(runner, take_seats(runner, live, granted))


def launch(runner: Runner, job: Job | None) -> None:
    """Call a body, and what follows it, in a task of its own."""
    if job is not None:
        assert runner.crew is not None  # noqa: S101  # only a plan that is a line is driven without tasks
        runner.crew.start(partial(drive, runner), Chain(job))


async def drive(runner: Runner, chain: Chain) -> None:
    """Call a body, commit what comes of it, and go on with what this makes runnable here."""
    while chain.job is not None:
        # One scope for the whole chain: a scope for each phase would cost as much as the phase.
        with runner.scope() as seat:
            await follow(runner, chain, seat)
        await _leave(runner, chain)


async def _leave(runner: Runner, chain: Chain) -> None:
    """Commit what an interruption makes of a body, if that is where a chain stands: its scope is spent."""
    job = chain.stopped_at()
    if job is None:
        return
    job.seat = None
    if job.is_left:  # it is committed already
        chain.job = None
        returned(runner, job)
    else:
        chain.job = await _commit(runner, job, interrupted(runner, job))


async def follow(runner: Runner, chain: Chain, seat: anyio.CancelScope | None = None) -> None:
    """Go on until nothing follows, or a body is interrupted; without a seat, where nobody could interrupt it."""
    turns = 0
    while (job := chain.job) is not None:
        if job.interruption is not None:  # it came before the body was called
            return
        job.seat = seat
        runner.reach("body.begin")
        call = invoke_with_timeouts if job.binding.is_bounded else invoke
        untraced = runner.observers.tracing is None
        command = await (call(runner, job) if untraced else traced(runner, job, call))
        job.seat = None
        runner.reach("body.end")
        task = chain.task
        is_cancelled = (
            task is not None and task.cancelling() and not (seat is not None and seat.cancel_called)
        )
        if is_cancelled and await chain.takes_back_cancelling():
            job.interrupt(Interruption.CANCELLED)
        if job.is_interrupted():
            return
        chain.job = await _commit(runner, job, command)
        turns += 1
        if turns % TURNS == 0:
            await checkpoint()  # bodies and a storage that never wait must not keep the loop to themselves


async def _commit(runner: Runner, job: Job, result: Command | Draft | None) -> Job | None:
    """Commit what a body came to, if anything; gives what follows for the caller to call."""
    live = job.live
    granted: Sequence[PhaseRecord] = ()
    # The seat is free before the commit: what that makes runnable may take it at once.
    if job.is_called:
        del live.jobs[job.row.path]
    runner.seats += 1
    runner.thread_seats += job.node.in_thread
    try:
        if type(result) is Succeed:  # asked first: nearly all bodies come to that
            granted = await runner.committer.submit(live, result, job=job, drives=True)
        elif isinstance(result, Draft):  # a transactional phase, which is committed already
            async with runner.committer.alone:
                job.hand_on()
                live, granted = runner.take_over(result), result.granted
        elif result is None:
            raise LeaseLostError(live.id, job.row.path, job.row.fence)  # noqa: TRY301  # as where it is learnt by the commit
        else:
            granted = await runner.committer.submit(live, result, job=job, drives=True)
            log_failure(job, result)
    except LeaseLostError as error:
        await _take_loss(runner, job, result, error)
    except Exception as error:  # noqa: BLE001  # nobody is left to hear of it
        log.error(  # noqa: TRY400  # the error says it all
            "what phase %r of run %s came to could not be stored: %s",
            job.row.path,
            live.id,
            error,
            extra=job.log_fields,
        )
        if isinstance(error, StorageRefusedError) and not isinstance(result, Fail):
            await _commit_refusal(runner, job, error)
    following = take_seats(runner, live, granted)
    if job.row.limits is not None:
        tell_of_slot(runner, job.row.queue)
    if runner.on_seat is not None:
        runner.on_seat()
    return following


async def _take_loss(runner: Runner, job: Job, result: Command | Draft | None, error: LeaseLostError) -> None:
    """See to a phase that is somebody else's by now, or nobody's: nothing of what it came to is stored."""
    live = job.live
    row = live.snapshot.rows.get(job.row.path)
    # Skipped by a command, or since another one was faster.
    was_ended = row is None or row.state is PhaseState.SKIPPED
    expected = was_ended or live.snapshot.run.state in SETTLED_STATES
    log.log(logging.INFO if expected else logging.WARNING, "%s", error, extra=job.log_fields)
    if isinstance(result, Attach) and result.unit is None:
        await let_go(runner, job, result.child)


async def _commit_refusal(runner: Runner, job: Job, error: StorageRefusedError) -> None:
    """Fail a phase for good whose result the storage does not take: called again it would come to the same."""
    try:
        command = unstorable(runner, job, error)
        await runner.committer.submit(job.live, command)
        log_failure(job, command)
    except Exception as second:  # noqa: BLE001  # as above
        log.error(  # noqa: TRY400  # as above
            "nor can phase %r of run %s be failed: %s",
            job.row.path,
            job.live.id,
            second,
            extra=job.log_fields,
        )


def take_seats(runner: Runner, live: LiveRun, granted: Sequence[PhaseRecord]) -> Job | None:
    """Make jobs of granted phases: the first for the caller, a task for each of the others."""
    first: Job | None = None
    for row in granted:
        job = live.jobs[row.path] = Job(live, row)
        if first is None:
            first = job
        else:
            launch(runner, job)
    if first is None:
        runner.drop_if_idle(live)
    return first
