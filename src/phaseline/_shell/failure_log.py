"""What the log tells of a phase that fails, in the process that called its body."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Final

from phaseline._engine.commands import Command, Fail, Postpone
from phaseline._engine.endings import collector
from phaseline._shell.live import Job

log: Final = logging.getLogger("phaseline.failure")


def log_failure(job: Job, committed: Command) -> None:
    """Log what was committed of a body, if that is a failure: by the name of the exception, for its words may hold secrets."""
    match committed:
        case Fail():
            _tell(job, committed.error.type, committed.again_at)
        case Postpone() if job.row.postponed >= committed.limit:
            _tell(job, "Again", None)
        case _:
            return


def _tell(job: Job, error: str, again_at: datetime | None) -> None:
    row, fields = job.row, job.log_fields
    at = row.path, job.live.id, row.attempt, error
    raised: BaseException | None = getattr(job, "raised", None)
    if raised is not None:
        del job.raised  # its traceback leads back to the job
    taken_by = None if again_at is not None else collector(job.live.snapshot.plan, job.node)
    if again_at is not None:
        when = again_at.isoformat(" ", "milliseconds")
        text = "phase %r of run %s: attempt %d failed with %s; it is tried again at %s"
        log.warning(text, *at, when, exc_info=raised, extra=fields)
    elif taken_by is not None:
        text = (
            "phase %r of run %s failed for good in attempt %d with %s; %r collects that, and the run goes on"
        )
        log.warning(text, *at, taken_by.path, exc_info=raised, extra=fields)
    else:
        text = "phase %r of run %s failed for good in attempt %d with %s, and the run with it"
        log.error(text, *at, exc_info=raised, extra=fields)
