"""Which runs and phases were not over when they should have been, found by indices of their own."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from itertools import chain

from phaseline.abc import LateLevel, LateLevels
from phaseline.rows import Definition
from phaseline.storage.sql import rows
from phaseline.storage.sql.access import Access
from phaseline.storage.sql.parts import is_of, moment_of, run_is

_IS_OPEN = "sla_at IS NOT NULL AND {0}.breached IS NULL AND {0}.ended_at IS NULL"


def late(
    ask: Access, namespace: str, now: datetime | None, definitions: Collection[Definition], limit: int
) -> LateLevels:
    """Read what is late, and when the next one will be."""
    expression, moment = moment_of(ask, now)
    known = is_of(definitions)
    values = (namespace, *chain(*definitions), *moment)
    runs = (
        f"FROM phaseline_pipeline_run r{ask.dialect.by('run_level')} WHERE r.namespace = ? "  # names of ours
        f"AND r.{_IS_OPEN.format('r')} AND {known}"
    )
    phases = (
        f"FROM phaseline_phase_execution p{ask.dialect.by('phase_level')} WHERE p.namespace = ? "  # names of ours
        f"AND p.{_IS_OPEN.format('p')} AND {run_is(known)}"
    )
    found: list[tuple[int, str, str | None]] = []
    for columns, source in (("sla_at, r.id, NULL", runs), ("sla_at, p.run_id, p.path", phases)):
        statement = (
            f"SELECT {columns} {source} AND sla_at <= {expression} ORDER BY sla_at LIMIT ?"  # names of ours
        )
        found += ask(statement, (*values, limit))
    found = sorted(found, key=_order)[:limit]
    levels = [LateLevel(run_id, path) for _, run_id, path in found]
    if len(levels) == limit:
        return LateLevels(levels, None)
    following = [
        ask.value(
            f"SELECT sla_at {source} AND sla_at > {expression} ORDER BY sla_at LIMIT 1",  # names of ours
            values,
        )
        for source in (runs, phases)
    ]
    return LateLevels(
        levels, rows.moment(min((each for each in following if each is not None), default=None))
    )


def _order(found: tuple[int, str, str | None]) -> tuple[int, str, str]:
    sla_at, run_id, path = found
    return sla_at, run_id, path or ""
