"""Where phases stand in the graph of a run: all items of a map at one place, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

import attrs

from phaseline.rows import PhaseRecord, PhaseState
from phaseline.statistics import without_indices


@attrs.frozen(kw_only=True)
class Place:
    """A phase, or all items of a map that stand at one place in the graph."""

    path: str
    """In the graph: ``pick[]`` of the items ``pick[0]``, ``pick[1]``."""
    states: Mapping[PhaseState, int]
    """How many there are in each state; those of none are left out."""
    phase: PhaseRecord | None
    """Where no index is in the path, so that it is one phase."""
    started_at: datetime | None
    """When the first of them began, in the attempt that is the last one of each."""
    ended_at: datetime | None
    """When the last of them ended, if all have."""


def place_of(path: str) -> str:
    """Where a phase stands in the graph: ``pick[]`` for ``pick[3]``."""
    return without_indices(path, "[]")


def places_of(rows: Iterable[PhaseRecord]) -> Sequence[Place]:
    """Fold the phases of a run that are not gone, which are given in the order in which they came up."""
    found: dict[str, list[PhaseRecord]] = {}
    for row in rows:
        if row.gone_in_epoch is None:
            found.setdefault(place_of(row.path), []).append(row)
    return [_folded(path, together) for path, together in found.items()]


def _folded(path: str, rows: Sequence[PhaseRecord]) -> Place:
    ended = [row.ended_at for row in rows if row.ended_at is not None]
    return Place(
        path=path, states=Counter(row.state for row in rows), phase=rows[0] if rows[0].path == path else None,
        started_at=min((row.started_at for row in rows if row.started_at is not None), default=None),
        ended_at=max(ended) if len(ended) == len(rows) else None,
    )  # fmt: skip


def page_of(
    rows: Iterable[PhaseRecord],
    *,
    place: str | None,
    states: Collection[PhaseState] | None,
    after: int,
    limit: int,
) -> Sequence[PhaseRecord]:
    """Give a page of the phases of a run that are not gone; see ``Storage.phases``."""
    found = [
        row
        for row in rows
        if row.gone_in_epoch is None
        and row.position > after
        and (place is None or place in (row.path, place_of(row.path)))
        and (states is None or row.state in states)
    ]
    return sorted(found, key=lambda row: row.position)[:limit]
