"""Transactional phases: body, decision and commit in one thread, on one connection, in one transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import attrs

from phaseline._engine.commands import NO_OFFER, Succeed
from phaseline._engine.decide import fold
from phaseline._engine.draft import Draft
from phaseline._engine.snapshot import Snapshot
from phaseline._shell.context import BodyContext
from phaseline._shell.live import Job
from phaseline._shell.outage import OUTAGE_PAUSE, patiently
from phaseline.abc import Transaction
from phaseline.errors import LeaseLostError, RunNotFoundError, StorageUnavailableError
from phaseline.unit_of_work import RunRows

if TYPE_CHECKING:
    from phaseline._shell.runner import Runner

log = logging.getLogger("phaseline.transact")

MAX_TRIES = 5
"""Times body and transaction are run anew, in one attempt, because others were in the way."""


@attrs.define
class _Attempt:
    """One run through the body and its transaction."""

    transaction: Transaction
    commit_id: int
    draft: Draft | None = None
    """What was decided, from the moment on at which it may be committed."""


async def transact(runner: Runner, job: Job, context: BodyContext, body: Callable[[], Any]) -> Draft:
    """Call a transactional body and commit it; gives what was committed.

    Body and transaction run anew, in the same attempt, where the storage went away or others were in the way.

    Raises:
        LeaseLostError: The phase is no longer held; nothing of it was stored, neither the body's rows.
        BaseException: What the body raised; nothing of it was stored.
    """
    base = job.live.snapshot.advanced(
        RunRows(job.live.snapshot.run, (), since=job.live.snapshot.run.revision)
    )  # a copy: the loop goes on with the run meanwhile
    tries = 0
    while True:
        attempt = _Attempt(runner.storage.begin(), runner.committer.new_commit_id())
        context.begin(attempt.transaction)
        try:
            return await runner.call_in_thread(partial(_work, job, base, context, body, attempt))
        except StorageUnavailableError as error:
            if attempt.draft is not None and await _is_committed(runner, attempt, attempt.draft):
                return attempt.draft
            tries += error.busy
            if tries >= MAX_TRIES:
                raise
            log.warning(
                "phase %r of run %s: %s; it is called again",
                job.row.path,
                job.live.id,
                error,
                extra=job.log_fields,
            )
            if not error.busy:
                await runner.clock.sleep_until(runner.clock.now() + OUTAGE_PAUSE)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(
                shield=True
            ):  # the thread may still be in the body: nothing it writes may stay
                await runner.off_loop(attempt.transaction.abandon)
            raise


def _work(
    job: Job, base: Snapshot, context: BodyContext, body: Callable[[], Any], attempt: _Attempt
) -> Draft:
    """In a thread: call the body, lock the run, decide on it as it is now, write, commit."""
    transaction, row, run = attempt.transaction, job.row, base.run
    try:
        text, copy = job.binding.output.encode(_called(body, transaction))
        length = len(copy) if job.binding.is_counted else None
        emitted, progress = context.take_emitted(), context.take_progress()
        command = Succeed(
            row.path, row.fence, text, length, emitted, progress, job.same_as(text), spent=job.used()
        )
        if job.is_interrupted():  # it returned after all, but too late
            raise LeaseLostError(run.id, row.path, row.fence)
        rows = transaction.lock(run.namespace, run.id, run.revision)
        if rows is None:
            raise RunNotFoundError(run.id)
        # What follows is left to a claim: a lease given before the body may have run out, and seats change meanwhile.
        draft, (granted,) = fold(base.advanced(rows), (command,), context.now(), NO_OFFER)
        if not isinstance(granted, list):
            raise LeaseLostError(run.id, row.path, row.fence)
        transaction.write(draft.unit(commit_id=attempt.commit_id))
        attempt.draft = draft
        transaction.commit()
    finally:
        transaction.roll_back()
    if job.binding.hands_on:
        job.copy, job.text = copy, text
    return draft


def _called(body: Callable[[], Any], transaction: Transaction) -> Any:
    """Call the body; an outage or a conflict that its own statements met is the storage's, and not a failure of it."""
    try:
        return body()
    except Exception as error:
        fault = transaction.fault(error)
        if fault is None:
            raise
        raise fault from error


async def _is_committed(runner: Runner, attempt: _Attempt, draft: Draft) -> bool:
    """Ask until the storage answers: a body must not run again while its work may be stored."""
    ask = partial(runner.storage.is_committed, draft.run.namespace, draft.run_id, attempt.commit_id)
    return await patiently(runner.clock, partial(runner.read, ask))
