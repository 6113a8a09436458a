"""What large values begin with, read without the rest of them."""

from __future__ import annotations

from typing import Any

import attrs

from phaseline.abc import Beginning
from phaseline.rows import INPUT
from phaseline.storage.sql.access import Access

_PHASE = "phaseline_phase_execution"
_OF_RUN = "namespace = ? AND run_id = ? AND path = ?"


@attrs.frozen
class Kept:
    """Where a value stands."""

    table: str
    column: str
    where: str
    values: tuple[Any, ...]
    has_rowid: bool
    """Whether the rows of the table have one, on SQLite."""


def beginning(ask: Access, namespace: str, run_id: str, path: str, characters: int) -> Beginning | None:
    """Read so many characters; asked by several statements, which are to see the same moment."""
    kept = _kept(ask, namespace, run_id, path)
    found = None if kept is None else ask.dialect.beginning(ask, kept, characters)
    if found is None:
        return None
    text, size = found
    return Beginning(text, size, len(text.encode()) == size)


def _kept(ask: Access, namespace: str, run_id: str, path: str) -> Kept | None:
    """Find where a value stands: in its own row, or where the phase was given it."""
    of_run = (namespace, run_id)
    given = Kept("phaseline_pipeline_run", "input", "namespace = ? AND id = ?", of_run, has_rowid=False)
    if path == INPUT:
        return given
    row = ask.first(
        f"SELECT epoch, same_as FROM {_PHASE} WHERE {_OF_RUN} AND gone_in_epoch IS NULL "  # noqa: S608  # names of ours
        "AND (output IS NOT NULL OR same_as IS NOT NULL)",
        (*of_run, path),
    )
    if row is None:
        return None
    epoch, same_as = row
    if same_as == INPUT:
        return given
    if same_as is not None:  # of several times that it ran, the one that this one was given
        path = same_as
        epoch = ask.value(
            f"SELECT max(epoch) FROM {_PHASE} WHERE {_OF_RUN} AND epoch <= ?",  # noqa: S608  # names of ours
            (*of_run, path, epoch),
        )
    return Kept(_PHASE, "output", f"{_OF_RUN} AND epoch = ?", (*of_run, path, epoch), has_rowid=True)
