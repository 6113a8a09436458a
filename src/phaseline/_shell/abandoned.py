"""Bodies that go on although they were interrupted: their phases go on without them."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from phaseline._shell.after_commit import tell_of_slot
from phaseline._shell.failure_log import log_failure
from phaseline._shell.invoke import interrupted
from phaseline._shell.live import Job
from phaseline.errors import LeaseLostError

if TYPE_CHECKING:
    from phaseline._shell.runner import Runner

log: Final = logging.getLogger("phaseline.runner")

TIDYING: Final = timedelta(seconds=5)
"""What a body has to tidy up once its time is over; what takes longer goes on beside the next attempt."""


async def abandon(runner: Runner, job: Job) -> None:
    """Commit what the interruption of a body makes of its phase, though it has not ended: it may never do.

    It keeps its seat until it returns, as a thread that was abandoned does. What it gives then is ignored, and what it would
    store before is refused, since its attempt is over.
    """
    if not job.is_called:  # it has ended after all
        return
    live, row = job.live, job.row
    log.error(
        "phase %r of run %s was stopped (%s), and its body goes on all the same: nobody waits for it, and it has its seat until it returns",
        row.path,
        live.id,
        "" if job.interruption is None else job.interruption.value,
        extra=job.log_fields,
    )
    del live.jobs[row.path]
    job.is_left = True
    command = interrupted(runner, job)
    try:
        if command is not None:
            await runner.committer.submit(live, command)
            log_failure(job, command)
    except LeaseLostError as error:
        log.info("%s", error, extra=job.log_fields)
    except Exception as error:  # noqa: BLE001  # nobody is left to hear of it
        log.error(  # noqa: TRY400  # the error says it all
            "what phase %r of run %s came to could not be stored: %s",
            row.path,
            live.id,
            error,
            extra=job.log_fields,
        )
    runner.drop_if_idle(live)
    if row.limits is not None:
        tell_of_slot(runner, row.queue)


def returned(runner: Runner, job: Job) -> None:
    """Take note that a body has ended that was left behind: its seat is free."""
    log.warning(
        "the body of phase %r of run %s has ended now", job.row.path, job.live.id, extra=job.log_fields
    )
    runner.seats += 1
    runner.thread_seats += job.node.in_thread
    if runner.on_seat is not None:
        runner.on_seat()
