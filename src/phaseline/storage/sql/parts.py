"""Parts of statements that several of them have: states, definitions, moments, and the run of a phase."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final

from phaseline.rows import SETTLED_STATES, STANDING_STATES, Definition
from phaseline.storage.sql import rows
from phaseline.storage.sql.access import Access

SETTLED: Final = ", ".join(f"'{state}'" for state in sorted(SETTLED_STATES))
STANDING: Final = ", ".join(f"'{state}'" for state in sorted(STANDING_STATES))


def moment_of(ask: Access, now: datetime | None) -> tuple[str, tuple[int | None, ...]]:
    """The moment that times are compared with: its text, and the values in it."""
    return (ask.dialect.now, ()) if now is None else ("CAST(? AS BIGINT)", (rows.micros(now),))


def run_is(condition: str) -> str:
    """The condition that the run ``r`` of a phase ``p`` fulfils one; it is looked up by its key for each phase that comes up.

    Of a join PostgreSQL decides what is looked up by what, and a plan that was made while the tables were empty, which is kept,
    reads all runs of the namespace for each phase.
    """
    return f"(SELECT {condition} FROM phaseline_pipeline_run r WHERE r.namespace = p.namespace AND r.id = p.run_id)"  # noqa: S608  # names of ours


def is_of(definitions: Collection[Definition]) -> str:
    """The condition that a run ``r`` is of one of these definitions, with marks for what they consist of."""
    triples = ", ".join(["(?, ?, ?)"] * len(definitions)) or "(NULL, NULL, NULL)"
    return f"(r.pipeline, r.version, r.fingerprint) IN (VALUES {triples})"
