"""How runs went, in numbers: counted and ranked by the database, group by group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import attrs

from phaseline.rows import RunState
from phaseline.run_filter import RunFilter
from phaseline.statistics import QUANTILES, Grouping, Percentiles, Statistics, in_order, phase_group, rank
from phaseline.storage.sql import rows
from phaseline.storage.sql.access import Access
from phaseline.storage.sql.finding import Range, ranges
from phaseline.usage import NOTHING_USED, Usage, spending_from

DAY: Final = 86_400_000_000
"""Microseconds."""
_PHASES: Final = " JOIN phaseline_phase_execution p ON p.namespace = r.namespace AND p.run_id = r.id AND p.gone_in_epoch IS NULL"


def statistics(ask: Access, namespace: str, wanted: RunFilter, by: Grouping) -> Sequence[Statistics]:
    """Count, rank and add up."""
    parts = ranges(ask, namespace, wanted, apart=True)
    found = _Found(ask, parts, by)
    states, took, waited = found.states(), found.percentiles("took"), found.percentiles("waited")
    usage = _usage(ask, parts, by)
    return in_order(
        Statistics(
            group=_named(group, by), states=counts, duration=took.get(group), waited=waited.get(group),
            usage=usage.get(_named(group, by), NOTHING_USED),
        )
        for group, counts in states.items()
    )  # fmt: skip


@attrs.frozen
class _Found:
    """What is counted: a row with its group, its state, and how long it took and waited."""

    _ask: Access
    _parts: Sequence[Range]
    _by: Grouping

    @property
    def _rows(self) -> tuple[str, tuple[Any, ...]]:
        of_phases = self._by == "phase"
        row = "p" if of_phases else "r"
        group = {
            "pipeline": "r.pipeline",
            "day": f"r.created_at / {DAY}",
            "phase": f"r.pipeline || '/' || {self._ask.dialect.without_indices('p.path')}",
        }[self._by]
        # Of those that have ended, a range may have the state in another column than the rest.
        columns = (
            f"{group} AS part, {'p.state' if of_phases else '{state}'} AS state, "
            f"{row}.ended_at - {row}.started_at AS took, "
            f"{row}.started_at - {row}.{'available_at' if of_phases else 'created_at'} AS waited"
        )
        texts = [
            f"SELECT {columns.replace('{state}', part.state)} FROM {part.source}{_PHASES if of_phases else ''} WHERE {part.where}"  # noqa: S608  # names of ours
            for part in self._parts
        ]
        return " UNION ALL ".join(texts), tuple(value for part in self._parts for value in part.values)

    def states(self) -> Mapping[Any, Mapping[str, int]]:
        """Count, by group and state."""
        text, values = self._rows
        counts: defaultdict[Any, dict[str, int]] = defaultdict(dict)
        statement = (
            f"SELECT part, state, count(*) FROM ({text}) AS found GROUP BY part, state ORDER BY part, state"  # noqa: S608  # as above
        )
        for group, state, count in self._ask(statement, values):
            counts[group][state] = count
        return counts

    def percentiles(self, what: str) -> Mapping[Any, Percentiles]:
        """Rank, by group: the times of what completed, or the waits of all."""
        text, values = self._rows
        which = f"state = '{RunState.COMPLETED}' AND " if what == "took" else ""
        ranked = (
            f"SELECT part, {what} AS span, row_number() OVER (PARTITION BY part ORDER BY {what}) AS place, "  # noqa: S608  # as above
            f"count(*) OVER (PARTITION BY part) AS total FROM ({text}) AS found WHERE {which}{what} IS NOT NULL"
        )
        places = ", ".join(f"(total * {percent} + 99) / 100" for percent in QUANTILES)
        statement = f"SELECT part, total, place, span FROM ({ranked}) AS ranked WHERE place IN ({places})"  # noqa: S608  # as above
        spans: defaultdict[Any, dict[int, timedelta]] = defaultdict(dict)
        totals: dict[Any, int] = {}
        for group, total, place, span in self._ask(statement, values):
            totals[group], spans[group][place] = total, span * rows.MICROSECOND
        return {
            group: Percentiles(*(spans[group][rank(total, percent)] for percent in QUANTILES))
            for group, total in totals.items()
        }


def _usage(ask: Access, parts: Sequence[Range], by: Grouping) -> Mapping[str, Usage]:
    """Add up what the rows of runs say that was used; most say nothing, and are not read."""
    used: dict[str, Usage] = {}
    for part in parts:
        told = part.which("r.spending IS NOT NULL")
        statement = (
            f"SELECT r.pipeline, r.created_at / {DAY}, r.spending FROM {told.source} WHERE {told.where}"  # noqa: S608  # as above
        )
        for pipeline, day, text in ask(statement, told.values):
            spending = spending_from(text)
            assert spending is not None  # noqa: S101  # as asked for
            for path, usage in spending.phases.items():
                groups = {
                    "pipeline": pipeline,
                    "day": _named(day, "day"),
                    "phase": phase_group(pipeline, path),
                }
                used[groups[by]] = used.get(groups[by], NOTHING_USED) + usage
    return used


def _named(group: Any, by: Grouping) -> str:
    return (rows.EPOCH + timedelta(days=group)).date().isoformat() if by == "day" else str(group)
