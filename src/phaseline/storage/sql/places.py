"""The phases of a run folded by their place in the graph, and page by page: the database counts, so that no row of many is read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from phaseline.places import Place
from phaseline.rows import PhaseRecord, PhaseState
from phaseline.storage.sql import rows
from phaseline.storage.sql.access import Access
from phaseline.storage.sql.reads import PHASE_COLUMNS

_THERE: Final = (
    "FROM phaseline_phase_execution p WHERE namespace = ? AND run_id = ? AND gone_in_epoch IS NULL"
)
_NO_ITEM: Final = "path NOT LIKE '%[%'"


def places(ask: Access, namespace: str, run_id: str) -> Sequence[Place]:
    """Fold them; asked by two statements, which are to see the same moment."""
    single = {row.path: row for row in _read(ask, f"AND {_NO_ITEM}", (namespace, run_id))}
    place = ask.dialect.without_indices("path", "[]")
    groups: dict[str, list[rows.Row]] = {}
    counted = ask(
        f"SELECT {place}, state, count(*), count(ended_at), min(started_at), max(ended_at), min(position) "  # names of ours
        f"{_THERE} GROUP BY 1, 2 ORDER BY 7",
        (namespace, run_id),
    )
    for row in counted:
        groups.setdefault(row[0], []).append(row[1:])
    return [_folded(path, group, single.get(path)) for path, group in groups.items()]


def _folded(path: str, group: Sequence[rows.Row], phase: PhaseRecord | None) -> Place:
    states, counts, ended, began, ends, _ = zip(*group, strict=True)
    return Place(
        path=path, states=dict(zip(map(PhaseState, states), counts, strict=True)), phase=phase,
        started_at=rows.moment(min((each for each in began if each is not None), default=None)),
        ended_at=rows.moment(max(ends)) if sum(ended) == sum(counts) else None,
    )  # fmt: skip


def page(
    ask: Access,
    namespace: str,
    run_id: str,
    *,
    place: str | None,
    states: Collection[PhaseState] | None,
    after: int,
    limit: int,
) -> Sequence[PhaseRecord]:
    """Read a page of them, in the order in which they came up."""
    conditions = "AND position > ?"
    values: list[Any] = [namespace, run_id, after]
    if place is not None:
        conditions += f" AND {ask.dialect.without_indices('path', '[]') if '[]' in place else 'path'} = ?"
        values.append(place)
    if states is not None:
        listed, value = ask.dialect.among(states)
        conditions += f" AND state {listed}"
        values.append(value)
    return _read(ask, f"{conditions} ORDER BY position LIMIT ?", (*values, limit))


def _read(ask: Access, conditions: str, values: tuple[Any, ...]) -> list[PhaseRecord]:
    return [
        rows.phase_from(row)
        for row in ask(f"SELECT {PHASE_COLUMNS} {_THERE} {conditions}", values)  # names of ours
    ]
