"""Dead letters in tables: looked for in the order in which they were written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from phaseline.dead_letter import DeadLetter, LetterFilter, LetterKey
from phaseline.storage.sql import rows
from phaseline.storage.sql.access import Access

_COLUMNS = ", ".join(rows.LETTER)


def find(
    ask: Access,
    namespace: str,
    wanted: LetterFilter,
    *,
    after: LetterKey | None,
    limit: int,
    newest_first: bool,
) -> Sequence[DeadLetter]:
    """Read a page of letters."""
    given: list[tuple[str, Any]] = [("namespace = ?", namespace)]
    for column, names in (("pipeline", wanted.pipelines), ("category", wanted.categories)):
        if names is not None:
            listed, value = ask.dialect.among(names)
            given.append((f"{column} {listed}", value))
    if wanted.phase is not None:
        given.append(("phase = ?", wanted.phase))
    if wanted.since is not None:
        given.append(("at >= ?", rows.micros(wanted.since)))
    if wanted.until is not None:
        given.append(("at < ?", rows.micros(wanted.until)))
    conditions, bound = [condition for condition, _ in given], [value for _, value in given]
    if after is not None:
        conditions.append(f"(at, run_id) {'<' if newest_first else '>'} (?, ?)")
        bound += [rows.micros(after[0]), after[1]]
    order = "at DESC, run_id DESC" if newest_first else "at, run_id"
    found = ask(
        f"SELECT {_COLUMNS} FROM phaseline_dead_letter WHERE {' AND '.join(conditions)} ORDER BY {order} LIMIT ?",  # noqa: S608  # names of ours
        (*bound, limit),
    )
    return [rows.letter_from(row) for row in found]


def count(ask: Access, namespace: str, at_most: int) -> Mapping[str, int]:
    """Count letters by pipeline, up to a bound in all."""
    found = ask(
        "SELECT d.pipeline, count(*) FROM (SELECT pipeline FROM phaseline_dead_letter WHERE namespace = ? ORDER BY at LIMIT ?) d "
        "GROUP BY d.pipeline",
        (namespace, at_most),
    )
    return {str(pipeline): int(number) for pipeline, number in found}
