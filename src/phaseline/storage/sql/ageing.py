"""What has waited for long goes first: it is moved to the lane of priority 0."""

from __future__ import annotations

from datetime import datetime, timedelta

from phaseline.storage.sql import lanes, rows
from phaseline.storage.sql.access import Access

_OLD = (
    f"{lanes.EVERY}"  # noqa: S608  # names of ours
    "SELECT l.lane FROM lanes l WHERE l.lane IS NOT NULL AND "
    "(SELECT min(p.available_at) FROM phaseline_phase_execution p WHERE p.namespace = ? AND p.lane = l.lane) <= {until}"
)
"""The lanes in which something has waited for so long."""


def age(ask: Access, namespace: str, now: datetime | None, waited: timedelta, limit: int) -> int:
    """Give priority 0 to what was due for so long; gives how many rows that were."""
    until = f"{ask.dialect.now if now is None else rows.micros(now)} - {waited // rows.MICROSECOND}"
    # Rows that are being written at this moment are passed over, as where leases are renewed: nobody is waited for who
    # could wait for these.
    move = (
        "UPDATE phaseline_phase_execution SET priority = 0, lane = ? WHERE (namespace, run_id, path, epoch) IN ("  # noqa: S608  # names and numbers of ours
        "SELECT namespace, run_id, path, epoch FROM phaseline_phase_execution WHERE namespace = ? AND lane = ? "
        f"AND available_at <= {until} ORDER BY available_at, run_id, path LIMIT ?{ask.dialect.lock})"
    )
    moved = 0
    for (lane,) in ask(_OLD.format(until=until), (namespace,) * 3):
        if lanes.parts(lane)[0] > 0 and moved < limit:
            moved += ask.changed(move, (lanes.first(lane), namespace, lane, limit - moved))
    return moved
