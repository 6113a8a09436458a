"""Lanes: where rows wait for a worker, so that a claim walks over nothing that it may not take.

A lane holds the waiting rows of one definition, one priority, one queue and the same limits, those that are due first. Its name stands in a
column of the phase's row, with an index, and is NULL in rows that wait for no worker: they run, have ended, or are of a run
that stands. So a claim looks at a few lanes, however many rows are in others, are put off, or are paused.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from phaseline.rows import ENDED_STATES, SETTLED_STATES, WAITING_PHASES, Definition, PhaseRecord, RunRecord

_FIRST = 1_000
"""Added to priorities, so that they have four digits and stand in their order as texts."""
LEAVE = (
    "UPDATE phaseline_phase_execution SET lane = NULL "
    "WHERE namespace = ? AND run_id = ? AND coalesce(lane, '') <> ''"  # found by the key of the run, not by the lanes
)
"""Has the rows of a run wait for nobody."""
ENTER = (
    f"UPDATE phaseline_phase_execution SET lane = ? || CAST({_FIRST} + priority AS TEXT) || ':' || queue || coalesce('|' || limits, '') "  # noqa: S608  # a number
    "WHERE namespace = ? AND run_id = ? AND state IN ('PENDING', 'RETRYING') AND coalesce(lane, '') = ''"
)
"""Has them wait again."""

EVERY = (
    "WITH RECURSIVE lanes (lane) AS (SELECT min(p.lane) FROM phaseline_phase_execution p WHERE p.namespace = ? "
    "AND p.lane IS NOT NULL "  # else SQLite walks through all rows of the namespace to find the first
    "UNION ALL SELECT (SELECT min(p.lane) FROM phaseline_phase_execution p WHERE p.namespace = ? AND p.lane > l.lane) "
    "FROM lanes l WHERE l.lane IS NOT NULL) "
)
"""Before a query: the table of all lanes of a namespace, named twice, with a NULL behind the last."""


@lru_cache(maxsize=1_000)
def head(definition: Definition) -> str:
    """How the names of all lanes of a definition begin; the tables say which one it is exactly."""
    return blake2b("\0".join(definition).encode(), digest_size=5).hexdigest() + ":"


def after(head: str) -> str:
    """The first text behind all that begin so."""
    return head[:-1] + chr(ord(head[-1]) + 1)


def lane_of(run: RunRecord, row: PhaseRecord) -> str | None:
    """The lane in which a row waits."""
    if row.state not in WAITING_PHASES or run.state in SETTLED_STATES:
        return None
    lane = f"{head(run.definition)}{_FIRST + row.priority}:{row.queue}"
    return lane if row.limits is None else f"{lane}|{row.limits}"


def parts(lane: str) -> tuple[int, str, str]:
    """Priority and queue of a lane, and the limits that all in it are under, if any."""
    _, priority, rest = lane.split(":", 2)
    queue, _, limits = rest.partition("|")
    return int(priority) - _FIRST, queue, limits


def first(lane: str) -> str:
    """The lane of what is in another one and goes before all the rest."""
    definition, _, rest = lane.split(":", 2)
    return f"{definition}:{_FIRST}:{rest}"


Move = tuple[str, tuple[Any, ...]]
"""A statement and its values."""


def moves(run: RunRecord, *, stood: bool) -> Sequence[Move]:
    """What brings the rows of a run to where they wait, if it stands from now on or no more.

    The rows that are written with it are where they belong already. A run that ends takes all its phases along.
    """
    stands = run.state in SETTLED_STATES
    if stands == stood or run.state in ENDED_STATES:
        return ()
    if stands:
        return ((LEAVE, (run.namespace, run.id)),)
    return ((ENTER, (head(run.definition), run.namespace, run.id)),)
