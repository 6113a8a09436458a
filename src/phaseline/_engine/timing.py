"""How long a run is active, and when its time is over: for runs that have a timeout or a deadline.

A run is active while a phase of it runs or could run. What waits for a time or a signal, and a run that stands, is not.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from phaseline.rows import (
    STANDING_STATES,
    WAITING_PHASES,
    ErrorCategory,
    ErrorInfo,
    PhaseRecord,
    PhaseState,
    RunRecord,
    RunState,
)
from phaseline.times import later

RUNNING = PhaseState.RUNNING
MILLISECOND = timedelta(milliseconds=1)


def is_timed(run: RunRecord) -> bool:
    """Whether there is anything to count of a run."""
    return run.timeout is not None or run.deadline is not None


def times(run: RunRecord, state: str, rows: Iterable[PhaseRecord], now: datetime) -> dict[str, Any]:
    """Say how long a run was active and when it fails, once a commit has left it in a state, with these rows.

    Args:
        run: Its row, as it was before.
        state: The state in which it is left.
        rows: Its phases; those that are likely to be active first.
        now: The moment of the commit.
    """
    changes: dict[str, Any] = {}
    since, active_ms = run.active_since, run.active_ms
    expiries: list[datetime] = []
    if run.timeout is not None:
        begin = None if state in STANDING_STATES else _active_from(rows, now)
        if since is None or since > now:
            since = begin
        elif begin is None or begin > now:
            active_ms, since = _active(run, now) // MILLISECOND, begin
        changes.update(active_ms=active_ms, active_since=since)
        if since is not None:
            expiries.append(later(since, run.timeout - active_ms * MILLISECOND))
    if run.deadline is not None and _may_expire(state):
        expiries.append(run.deadline)
    return {**changes, "expires_at": min(expiries, default=None)}


def begun_anew(run: RunRecord, now: datetime) -> dict[str, Any]:
    """Say what of its times a run keeps that goes on after an end: a deadline that is still to come."""
    is_past = run.deadline is not None and run.deadline <= now
    return {"active_ms": 0, "active_since": None, "deadline": None if is_past else run.deadline}


def overdue(run: RunRecord, state: str, now: datetime) -> ErrorInfo | None:
    """Say with what a run fails whose time is over; None if it is not."""
    if not _may_expire(state):
        return None
    if run.deadline is not None and run.deadline <= now:
        return _too_late(f"it was not over at its deadline, {run.deadline.isoformat()}")
    if run.timeout is None or state in STANDING_STATES:
        return None
    if _active(run, now) < run.timeout:
        return None
    return _too_late(
        f"it was not over after {run.timeout.total_seconds():g} s, without pauses, waits and delays"
    )


def _may_expire(state: str) -> bool:
    return state not in STANDING_STATES or state == RunState.PAUSED


def _active(run: RunRecord, now: datetime) -> timedelta:
    since = run.active_since
    counted = run.active_ms * MILLISECOND
    return counted if since is None else counted + max(timedelta(0), now - since)


def _active_from(rows: Iterable[PhaseRecord], now: datetime) -> datetime | None:
    """Say from when on a phase runs or could run: from now on, or when one that is put off may; None if none does."""
    begin: datetime | None = None
    for row in rows:
        if row.state is RUNNING and row.worker is not None:
            return now
        if row.state in WAITING_PHASES:
            if row.available_at <= now:
                return now
            begin = row.available_at if begin is None else min(begin, row.available_at)
    return begin


def _too_late(message: str) -> ErrorInfo:
    return ErrorInfo(category=ErrorCategory.TIMEOUT, type="TimeoutError", message=message)
