"""What waits for a worker, told by its lanes: a few looks at an index, however many rows wait in each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from phaseline.abc import Backlog
from phaseline.rows import Definition
from phaseline.storage.sql import lanes, rows
from phaseline.storage.sql.access import Access
from phaseline.storage.sql.parts import SETTLED, moment_of

_OF_LANE = "FROM phaseline_phase_execution p WHERE p.namespace = ? AND p.lane = l.lane"
_STATEMENT = (
    f"{lanes.EVERY}"  # noqa: S608  # names of ours
    "SELECT r.pipeline, r.version, r.fingerprint, f.lane, f.available_at FROM ("
    f"SELECT l.lane, (SELECT min(p.available_at) {_OF_LANE}) available_at, "
    f"(SELECT p.run_id {_OF_LANE} ORDER BY p.available_at, p.run_id, p.path LIMIT 1) run_id "
    "FROM lanes l WHERE l.lane IS NOT NULL) f "
    "JOIN phaseline_pipeline_run r ON r.namespace = ? AND r.id = f.run_id "
    f"WHERE r.state NOT IN ({SETTLED}) AND f.available_at <= "
)


def backlog(ask: Access, namespace: str, now: datetime | None) -> Sequence[Backlog]:
    """Read which definitions have phases that are due, on which queues, and since when."""
    expression, moment = moment_of(ask, now)
    first: dict[tuple[Definition, str], int] = {}
    for pipeline, version, fingerprint, lane, due_at in map(
        tuple, ask(_STATEMENT + expression, (*[namespace] * 5, *moment))
    ):
        _, queue, _ = lanes.parts(lane)
        place = Definition(pipeline, version, fingerprint), queue
        first[place] = min(due_at, first.get(place, due_at))
    return [Backlog(*place, rows.time_of(due_at)) for place, due_at in first.items()]


def waiting(ask: Access, namespace: str, now: datetime | None, at_most: int) -> Mapping[str, int]:
    """Count what is due on each queue, up to a bound in each lane; runs that stand have nothing in a lane."""
    expression, moment = moment_of(ask, now)
    counts: Counter[str] = Counter()
    for lane, count in map(
        tuple,
        ask(
            f"{lanes.EVERY}SELECT l.lane, (SELECT count(*) FROM (SELECT 1 {_OF_LANE} AND p.available_at <= {expression} LIMIT ?) d) "  # noqa: S608  # names of ours
            "FROM lanes l WHERE l.lane IS NOT NULL",
            (namespace, namespace, namespace, *moment, at_most),
        ),
    ):
        counts[lanes.parts(lane)[1]] += count
    return {queue: count for queue, count in counts.items() if count}
