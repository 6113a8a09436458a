"""A batch as one prepared statement of PostgreSQL, which is one round trip and one flush, and by itself all or nothing.

It ends in a division that fails unless every guard held. The rows of many runs travel as array literals of our own making:
measured at 64 runs with our full set of rows, SQLAlchemy Core's executemany does 6 000 phases/s, text with arrays of the
driver's making 10 400, our literals 16 200. The few rows of a run that is alone are spelt out, value by value: an array
of one, which is to be parsed and unfolded for each column, takes the server twice the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain, count
from operator import attrgetter
from typing import Any

from phaseline.storage.sql import batch as columns
from phaseline.storage.sql import rows
from phaseline.storage.sql.batch import Batch, Rows
from phaseline.storage.sql.schema import BOOLEANS, INTEGERS

FEW = {"events": 4}
"""Rows of a kind up to which they are spelt out, if of all kinds there are no more; 1 of those not named here."""

Shape = tuple[tuple[str, int], ...]
"""The kinds of rows in a batch, each with how many of them are spelt out; 0: they are arrays."""


class Statements:
    """The statements that write batches, as far as there were such batches."""

    def __init__(self, spell: Callable[[str], str]) -> None:
        """Note how a statement's tables are spelt."""
        self._spell = spell
        self._of_shape = lru_cache(maxsize=64)(self._written)  # less than a connection keeps prepared

    def of(self, batch: Batch) -> tuple[bytes, list[str | None]]:
        """Give the statement that writes a batch, and the values in it, each as a text."""
        used = [(name, found) for name, found in zip(SECTIONS, _sections_of(batch), strict=True) if found]
        spelt_out = all(len(found) <= FEW.get(name, 1) for name, found in used)
        values: list[str | None] = []
        for name, found in used:
            values += _texts_of(found) if spelt_out else _literals(found, _KINDS[name])
        values += [str(len(found)) for name, found in used if name in GUARDED]
        shape = tuple((name, len(found) if spelt_out else 0) for name, found in used)
        return self._of_shape(shape), values

    def _written(self, shape: Shape) -> bytes:
        numbers = count(1)
        parts = ", ".join(
            f"{name} AS ({STATEMENTS[name].format(_source(SECTIONS[name], spelt_out, numbers))})"
            for name, spelt_out in shape
        )
        # The counts are evaluated from left to right: run rows are locked before any phase row.
        guards = [
            f"(SELECT count(*) FROM {name}) = ${next(numbers)}::bigint"  # noqa: S608  # names of ours
            for name, _ in shape
            if name in GUARDED
        ]
        verdict = f"1 / ({' AND '.join(guards)})::int" if guards else "1"
        return self._spell(f"WITH {parts} SELECT {verdict}").encode()


SECTIONS: Mapping[str, Sequence[str]] = {
    "run_updates": columns.RUN_UPDATE,
    "amended_updates": columns.AMENDED_UPDATE,
    "run_inserts": columns.RUN_INSERT,
    "phase_updates": columns.PHASE_UPDATE,
    "phase_inserts": columns.PHASE_INSERT,
    "level_updates": columns.LEVEL_UPDATE,
    "level_inserts": columns.LEVEL_INSERT,
    "phase_drops": columns.PHASE_DROP,
    "checkpoint_drops": columns.CHECKPOINT_DROP,
    "checkpoints": columns.CHECKPOINT,
    "events": columns.EVENT,
    "steps": columns.STEP,
    "saved": columns.STEP,
    "unsaved": columns.UNSAVED,
    "signals": columns.SIGNAL,
    "taken": columns.TAKEN,
    "letter_deletes": columns.LETTER_DELETE,
    "letters": columns.LETTER,
    "mark_deletes": rows.MARK,
    "marks": rows.MARK,
    "messages": columns.MESSAGE,
}
_sections_of: Callable[[Batch], tuple[Rows, ...]] = attrgetter(*SECTIONS)
GUARDED = ("run_updates", "amended_updates", "phase_updates", "level_updates", "phase_drops", "taken")


def _kind(column: str) -> str:
    return "bigint" if column in INTEGERS else "boolean" if column in BOOLEANS else "text"


_KINDS = {name: [_kind(column) for column in names] for name, names in SECTIONS.items()}


def _source(names: Sequence[str], spelt_out: int, numbers: Iterator[int]) -> str:
    """Rows as a table ``d``."""
    quoted = ", ".join(f'"{name}"' for name in names)
    if spelt_out:
        each = [
            "(" + ", ".join(f"${next(numbers)}::{_kind(name)}" for name in names) + ")"
            for _ in range(spelt_out)
        ]
        return f"(VALUES {', '.join(each)}) AS d ({quoted})"
    arrays = ", ".join(f"${next(numbers)}::{_kind(name)}[]" for name in names)
    # OFFSET 0: the planner must not see through to the values and choose a plan by them.
    return f"(SELECT * FROM unnest({arrays}) AS t ({quoted}) OFFSET 0) AS d"  # noqa: S608  # names of ours


def _inserting(table: str, names: Sequence[str]) -> str:
    quoted = ", ".join(f'"{name}"' for name in names)
    return f"INSERT INTO phaseline_{table} ({quoted}) SELECT * FROM {{}}"  # noqa: S608  # names of ours


def _assigned(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}" = d."{name}"' for name in names)


def _updating_runs(changes: Sequence[str]) -> str:
    return (
        f"UPDATE phaseline_pipeline_run r SET {_assigned(changes)} FROM {{}} "  # noqa: S608  # names of ours
        "WHERE r.namespace = ANY (ARRAY[d.namespace]) AND r.id = d.id AND r.revision = d.expected RETURNING 1"
    )


_NOT_RENEWED = tuple(name for name in rows.PHASE_CHANGES if name != "lease_expires")


def _updating_phases(*more: str) -> str:
    # Who decides on a phase that goes on does not know how often its lease was renewed since.
    lease = (
        "CASE WHEN p.worker = d.worker AND p.fence = d.fence THEN p.lease_expires ELSE d.lease_expires END"
    )
    return (
        f"UPDATE phaseline_phase_execution p SET {_assigned((*more, *_NOT_RENEWED))}, lease_expires = {lease}, "  # noqa: S608  # names of ours
        "lane = d.lane, output = coalesce(d.output, p.output), revision = d.revision FROM {} "
        "WHERE p.namespace = ANY (ARRAY[d.namespace]) AND p.run_id = d.run_id AND p.path = d.path AND p.epoch = d.epoch "
        "AND p.fence = d.expected RETURNING 1"
    )


# {} stands for the rows, a table d. Each row is looked up by the key of its table. The namespace is compared as one of an array:
# a plain equality could be merged on, so that the planner would think of walking all of an index in its order, and do that, once
# for each row of the batch, where it takes the table for empty.
STATEMENTS = {
    "run_updates": _updating_runs(rows.RUN_CHANGES),
    "amended_updates": _updating_runs(rows.RUN_AMENDED),
    "run_inserts": _inserting("pipeline_run", columns.RUN_INSERT),
    "phase_updates": _updating_phases(),
    "phase_inserts": _inserting("phase_execution", columns.PHASE_INSERT),
    "level_updates": _updating_phases("breached"),
    "level_inserts": _inserting("phase_execution", columns.LEVEL_INSERT),
    "phase_drops": (
        f"UPDATE phaseline_phase_execution p SET {_assigned(rows.PHASE_DROPPED)}, worker = NULL, lease_expires = NULL, lane = NULL, "  # noqa: S608  # names of ours
        "revision = d.revision FROM {} "
        "WHERE p.namespace = ANY (ARRAY[d.namespace]) AND p.run_id = d.run_id AND p.path = d.path AND p.epoch = d.epoch "
        "AND p.fence = d.expected RETURNING 1"
    ),
    "checkpoint_drops": (
        "UPDATE phaseline_checkpoint c SET gone_in_epoch = d.gone_in_epoch FROM {} "
        "WHERE c.namespace = ANY (ARRAY[d.namespace]) AND c.run_id = d.run_id AND c.phase = d.phase AND c.epoch = d.epoch"
    ),
    "checkpoints": _inserting("checkpoint", columns.CHECKPOINT),
    "events": _inserting("event", columns.EVENT),
    # The first result of a step stays: an attempt may have gone on with it.
    "steps": f"{_inserting('step_result', columns.STEP)} ON CONFLICT DO NOTHING",
    "saved": (
        f"{_inserting('step_result', columns.STEP)} "
        "ON CONFLICT (namespace, run_id, path, generation, key) DO UPDATE SET result = excluded.result"
    ),
    "unsaved": (
        "DELETE FROM phaseline_step_result s USING {} WHERE s.namespace = ANY (ARRAY[d.namespace]) AND s.run_id = d.run_id "
        "AND s.path = d.path AND s.generation = d.generation AND s.key = d.key"
    ),
    "signals": _inserting("signal", columns.SIGNAL),
    "taken": (
        "UPDATE phaseline_signal s SET taken_by = d.taken_by, revision = d.revision, value = NULL "
        "FROM {} WHERE s.namespace = ANY (ARRAY[d.namespace]) AND s.run_id = d.run_id AND s.seq = d.seq "
        "AND s.taken_by IS NULL RETURNING 1"
    ),
    "letter_deletes": (
        "DELETE FROM phaseline_dead_letter l USING {} "
        "WHERE l.namespace = ANY (ARRAY[d.namespace]) AND l.run_id = d.run_id AND l.seq <> d.seq"
    ),
    "letters": _inserting("dead_letter", columns.LETTER),
    "mark_deletes": (
        "DELETE FROM phaseline_run_mark m USING {} "
        "WHERE m.namespace = ANY (ARRAY[d.namespace]) AND m.mark = d.mark AND m.run_id = d.run_id"
    ),
    "marks": _inserting("run_mark", rows.MARK),
    "messages": _inserting("message", columns.MESSAGE),
}


def _texts_of(values: Rows) -> list[str | None]:
    """Write the values of rows one after another, as PostgreSQL reads them; it takes True and False as Python writes them."""
    return [
        value if value is None or type(value) is str else str(value) for value in chain.from_iterable(values)
    ]


def _literals(values: Rows, kinds: Sequence[str]) -> list[str]:
    """Write columns of rows as PostgreSQL's array literals."""
    spelt = (_TEXTS[kind] for kind in kinds)
    return [spell(column) for spell, column in zip(spelt, zip(*values, strict=True), strict=True)]


def _texts(column: Sequence[str | None]) -> str:
    texts = [text for text in column if text is not None]
    if not texts:
        return "{" + ",".join(("NULL",) * len(column)) + "}"
    # Most columns hold names, ids and times. One look at all of their texts together costs less than one at each.
    together = "".join(texts)
    if '"' in together or "\\" in together:
        texts = [text.replace("\\", "\\\\").replace('"', '\\"') for text in texts]
    if len(texts) == len(column):
        return '{"' + '","'.join(texts) + '"}'
    quoted = iter(texts)
    return "{" + ",".join(["NULL" if text is None else f'"{next(quoted)}"' for text in column]) + "}"


def _integers(column: Sequence[int | None]) -> str:
    if None not in column:
        return "{" + ",".join(map(str, column)) + "}"
    return "{" + ",".join(["NULL" if number is None else str(number) for number in column]) + "}"


def _booleans(column: Sequence[bool | None]) -> str:
    return "{" + ",".join(["NULL" if flag is None else "t" if flag else "f" for flag in column]) + "}"


_TEXTS: dict[str, Callable[[Sequence[Any]], str]] = {
    "text": _texts,
    "bigint": _integers,
    "boolean": _booleans,
}
