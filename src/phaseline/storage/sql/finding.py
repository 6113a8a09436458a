"""Runs by what is known of them, a page at a time, each page from a range of an index.

Runs that have ended stand in an index by state and id, those that go on in one by id, those of them that are of schedules in one of
their own too, and runs with a mark in a table of marks, those that others started and those that are copies in indexes by these
others. So a page costs what it holds, however many runs there are, unless what is left to be compared row by row
(pipeline, version, time, text) is rare.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from heapq import merge
from typing import Any

import attrs

from phaseline.rows import ENDED_STATES, RunRecord, RunState
from phaseline.run_filter import WAITS, RunFilter, Stage, ascii_lower
from phaseline.storage.sql import rows
from phaseline.storage.sql.access import Access
from phaseline.storage.sql.dialect import Dialect
from phaseline.storage.sql.parts import STANDING
from phaseline.usage import AMOUNTS, Usage, total, usage_of

_COLUMNS = ", ".join(f"r.{name}" for name in rows.RUN)
_RUNS = "phaseline_pipeline_run r"
_HAS_MARK = "(SELECT true FROM phaseline_run_mark o WHERE o.namespace = r.namespace AND o.mark = ? AND o.run_id = r.id)"
"""Looked up for each run that comes up; of an EXISTS PostgreSQL makes a join, as is told of ``parts.run_is``."""
_RUN_OF_MARK = Dialect.run_of_mark
_SCHEDULE = "schedule="
"""How the mark begins that runs of a schedule have."""
_OF_SCHEDULES = f"replace(r.marks, '{_SCHEDULE}', '') <> r.marks"
"""Which runs stand in the index of those of schedules, in the words of that index."""
_BEGINS = (f"r.state LIKE '{each.replace('_', '!_')}%' ESCAPE '!'" for each in WAITS)
_WAITS = " OR ".join((f"r.state = '{RunState.IDLE}'", *_BEGINS))
_STAGES: Mapping[Stage, str] = {
    "waiting": f"({_WAITS})",
    "active": f"NOT ({_WAITS}) AND r.state NOT IN ({STANDING})",
}
FEW = 1_000
"""With no more runs than this, a mark leads to what is looked for faster than a state."""


@attrs.frozen
class Range:
    """Some of the runs that are looked for: they stand side by side in an index, in the order of their ids."""

    source: str = _RUNS
    conditions: tuple[str, ...] = ()
    values: tuple[Any, ...] = ()
    state: str = "r.state"
    """Column that holds their state, in the index that they stand in if it has one."""
    key: str = "r.id"
    """Column of the id, in that index."""

    def which(self, *conditions: str, values: tuple[Any, ...] = ()) -> Range:
        """Those of them that fulfil conditions."""
        return attrs.evolve(self, conditions=(*self.conditions, *conditions), values=(*self.values, *values))

    @property
    def where(self) -> str:
        """Text of all conditions."""
        return " AND ".join(self.conditions)


def find(  # as the port has it
    ask: Access,
    namespace: str,
    wanted: RunFilter,
    *,
    after: str | None,
    limit: int,
    newest_first: bool,
    besides: str | None = None,
) -> Sequence[RunRecord]:
    """Read a page of runs; ``besides``: those that fulfil another condition too, on a run ``r``."""
    also = () if besides is None else (besides,)
    pages = [
        list(_page(ask, part.which(*also), after=after, limit=limit, newest_first=newest_first))
        for part in ranges(ask, namespace, wanted)
    ]
    return list(merge(*pages, key=lambda run: run.id, reverse=newest_first))[:limit]


def _page(
    ask: Access, part: Range, *, after: str | None, limit: int, newest_first: bool
) -> Iterator[RunRecord]:
    if after is not None:
        part = part.which(f"{part.key} {'<' if newest_first else '>'} ?", values=(after,))
    found = ask(
        f"SELECT {_COLUMNS} FROM {part.source} WHERE {part.where} "  # noqa: S608  # names of ours
        f"ORDER BY {part.key}{' DESC' if newest_first else ''} LIMIT ?",
        (*part.values, limit),
    )
    return map(rows.run_from, found)


def count(ask: Access, namespace: str, wanted: RunFilter) -> Mapping[str, int]:
    """Count runs by state."""
    counts: dict[str, int] = {}
    for part in ranges(ask, namespace, wanted, apart=True):
        statement = (
            f"SELECT {part.state}, count(*) FROM {part.source} WHERE {part.where} GROUP BY {part.state}"  # noqa: S608  # names of ours
        )
        counts.update(ask(statement, part.values))
    return counts


def open_runs(ask: Access, namespace: str, at_most: int) -> int:
    """Count runs that go on up to a bound, by their index alone: states would have to be read from each."""
    source = f"{_RUNS}{ask.dialect.by('run_open')}"
    statement = f"SELECT count(*) FROM (SELECT 1 FROM {source} WHERE r.namespace = ? AND r.ended_at IS NULL LIMIT ?) AS found"  # noqa: S608  # names of ours
    return int(ask.value(statement, (namespace, at_most)))


def usage(ask: Access, namespace: str, wanted: RunFilter) -> Usage:
    """Add up what was used in runs."""
    amounts = [f"sum(CAST({ask.dialect.field('r.spending', name)} AS bigint))" for name in AMOUNTS]
    found: list[Usage] = []
    for part in ranges(ask, namespace, wanted, apart=True):
        part = part.which("r.spending IS NOT NULL")  # noqa: PLW2901
        statement = f"SELECT {', '.join(amounts)} FROM {part.source} WHERE {part.where}"  # noqa: S608  # names of ours
        sums = ask(statement, part.values)[0]
        found.append(usage_of(dict(zip(AMOUNTS, (each or 0 for each in sums), strict=True))))
    return total(found)


# --------------------------------------------------------------------- where they stand
def ranges(ask: Access, namespace: str, wanted: RunFilter, *, apart: bool = False) -> list[Range]:
    """Give the ranges that hold all runs that are wanted, each run in one.

    Args:
        ask: The connection.
        namespace: Where the runs live.
        wanted: Which are meant.
        apart: Order does not matter: those that go on may come apart from those that have ended, so that the index of the
            latter can be enough.
    """
    if wanted.stage is not None and wanted.ended is None:
        wanted = attrs.evolve(wanted, ended=False)
    if wanted.parent is not None or wanted.forked_from is not None:
        index = "run_parent" if wanted.parent is not None else "run_forked"
        come_of = Range(f"{_RUNS}{ask.dialect.by(index)}").which(
            "r.namespace = ?", *[_HAS_MARK] * len(wanted.marks), values=(namespace, *wanted.marks)
        )
        for column, value in (
            ("r.parent_id", wanted.parent), ("r.parent_path", wanted.parent_path), ("r.forked_from", wanted.forked_from)
        ):  # fmt: skip
            if value is not None:
                come_of = come_of.which(f"{column} = ?", values=(value,))
        return [_compared(ask.dialect, come_of, wanted)]
    if wanted.marks:
        first, few = _rarest(ask, namespace, wanted.marks)
        if few or (wanted.states is None and wanted.ended is None):
            others = tuple(mark for mark in wanted.marks if mark != first)
            its_run = (
                _RUN_OF_MARK if apart else ask.dialect.run_of_mark
            )  # all of them are joined, of a page each is looked up
            marked = Range(f"phaseline_run_mark m {its_run}", key="m.run_id").which(
                "m.namespace = ?", "m.mark = ?", values=(namespace, first)
            )
            return [_compared(ask.dialect, marked.which(*[_HAS_MARK] * len(others), values=others), wanted)]
    all_ = Range().which(
        "r.namespace = ?", *[_HAS_MARK] * len(wanted.marks), values=(namespace, *wanted.marks)
    )
    parts = _by_state(ask.dialect, all_, wanted, apart=apart)
    return [_compared(ask.dialect, part, attrs.evolve(wanted, states=None, ended=None)) for part in parts]


def _by_state(dialect: Dialect, all_: Range, wanted: RunFilter, *, apart: bool) -> list[Range]:
    states, ended = wanted.states, wanted.ended
    looks_at_rows = wanted.pipelines or wanted.versions or wanted.text or wanted.since or wanted.until
    if states is None and ended is None and (looks_at_rows or not apart):
        return [all_]  # one walk through the table, from the first to the last that could be meant
    parts: list[Range] = []
    outcome = f"r.{dialect.outcome}"
    going = attrs.evolve(all_, source=f"{_RUNS}{dialect.by('run_open')}").which("r.ended_at IS NULL")
    if _go_on_by_schedule(wanted):
        going = attrs.evolve(going, source=f"{_RUNS}{dialect.by('run_scheduled')}").which(_OF_SCHEDULES)
    over = attrs.evolve(all_, source=f"{_RUNS}{dialect.by('run_ended')}", state=outcome).which(
        "r.ended_at IS NOT NULL", f"{outcome} IS NOT NULL"
    )
    if ended is not False:
        found = ENDED_STATES if states is None else states & ENDED_STATES
        parts += (
            [over]
            if states is None and apart
            else [over.which(f"{outcome} = ?", values=(state,)) for state in sorted(found)]
        )
    if ended is not True and states is None:
        parts.append(going)
    elif ended is not True and states is not None and (active := states - ENDED_STATES):
        listed, value = dialect.among(active)
        parts.append(going.which(f"r.state {listed}", values=(value,)))
    return parts


def _go_on_by_schedule(wanted: RunFilter) -> bool:
    """Whether runs of a schedule are meant that go on: each slot asks for them, and most often there is none."""
    return wanted.ended is False and any(mark.startswith(_SCHEDULE) for mark in wanted.marks)


def _rarest(ask: Access, namespace: str, marks: Sequence[str]) -> tuple[str, bool]:
    """Give the mark that the fewest runs have, and whether those are few."""
    statement = "SELECT count(*) FROM (SELECT 1 FROM phaseline_run_mark WHERE namespace = ? AND mark = ? LIMIT ?) AS found"
    counts = {mark: int(ask.value(statement, (namespace, mark, FEW))) for mark in marks}
    first = min(marks, key=counts.__getitem__)
    return first, counts[first] < FEW


# --------------------------------------------------------------------- what is compared row by row
def _compared(dialect: Dialect, part: Range, wanted: RunFilter) -> Range:
    for column, names in (
        ("r.pipeline", wanted.pipelines), ("r.version", wanted.versions), ("r.state", wanted.states)
    ):  # fmt: skip
        if names is not None:
            listed, value = dialect.among(names)
            part = part.which(f"{column} {listed}", values=(value,))
    if wanted.ended is not None:
        part = part.which(f"r.ended_at IS {'NOT ' if wanted.ended else ''}NULL")
    if wanted.stage is not None:
        part = part.which(_STAGES[wanted.stage])
    for bound, value in (
        (f"{part.key} >= ?", wanted.from_id), (f"{part.key} < ?", wanted.to_id),
        ("r.created_at >= ?", wanted.since and rows.micros(wanted.since)),
        ("r.created_at < ?", wanted.until and rows.micros(wanted.until)),
        ("r.ended_at < ?", wanted.ended_before and rows.micros(wanted.ended_before)),
        ("r.ended_at >= ?", wanted.ended_since and rows.micros(wanted.ended_since)),
    ):  # fmt: skip
        if value is not None:
            part = part.which(bound, values=(value,))
    if wanted.text:
        told = [dialect.holds(dialect.field("r.error", name)) for name in ("type", "message")]
        tests = [dialect.holds(text) for text in ("r.id", "r.key", "r.pipeline", "r.marks")]
        # Most runs have no error, and to look for fields of none takes longer than to see that there is none.
        part = part.which(
            f"({' OR '.join(tests)} OR (r.error IS NOT NULL AND ({' OR '.join(told)})))",
            values=(dialect.held(ascii_lower(wanted.text)),) * (len(tests) + len(told)),
        )
    return part
