"""Units of work as rows: what a batch writes, table by table, in the order of the rooms of the run row's lock."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import msgspec

from phaseline.events import CheckpointCreated
from phaseline.storage.sql import forks, lanes, rows
from phaseline.unit_of_work import KEPT, Unit

Rows = list[tuple[Any, ...]]

RUN_UPDATE = (*rows.RUN_CHANGES, "namespace", "id", "expected")
AMENDED_UPDATE = (*rows.RUN_AMENDED, "namespace", "id", "expected")
RUN_INSERT = (*rows.RUN, "input")
PHASE_UPDATE = (
    *rows.PHASE_CHANGES,
    "lane",
    "output",
    "revision",
    "namespace",
    "run_id",
    "path",
    "epoch",
    "expected",
)
PHASE_INSERT = ("namespace", "run_id", *rows.PHASE, "lane", "output", "revision")
LEVEL_UPDATE = ("breached", *PHASE_UPDATE)
LEVEL_INSERT = (*PHASE_INSERT, *rows.PHASE_LEVEL)
PHASE_DROP = (*rows.PHASE_DROPPED, "revision", "namespace", "run_id", "path", "epoch", "expected")
CHECKPOINT_DROP = ("gone_in_epoch", "namespace", "run_id", "phase", "epoch")
CHECKPOINT = ("namespace", "run_id", *rows.CHECKPOINT)
EVENT = ("namespace", "run_id", *rows.EVENT, "commit_id")
STEP = ("namespace", "run_id", *rows.STEP)
UNSAVED = ("namespace", "run_id", "path", "generation", "key")
SIGNAL = ("namespace", "run_id", *rows.SIGNAL, "revision")
LETTER = ("namespace", *rows.LETTER)
LETTER_DELETE = ("namespace", "run_id", "seq")
MESSAGE = ("namespace", *rows.MESSAGE)
TAKEN = ("taken_by", "revision", "namespace", "run_id", "seq")


class Batch(msgspec.Struct, frozen=True, kw_only=True, eq=False, gc=False):
    """Rows of many units. ``expected`` is the guard: the revision of a run, the fence of a phase."""

    run_updates: Rows = []  # msgspec gives each batch a list of its own
    amended_updates: Rows = []
    """Of runs of which more changes than with most commits."""
    run_inserts: Rows = []
    phase_updates: Rows = []
    phase_inserts: Rows = []
    level_updates: Rows = []
    """Of phases that should be over within a time."""
    level_inserts: Rows = []
    phase_drops: Rows = []
    checkpoint_drops: Rows = []
    checkpoints: Rows = []
    events: Rows = []
    steps: Rows = []
    saved: Rows = []
    unsaved: Rows = []
    signals: Rows = []
    taken: Rows = []
    letter_deletes: Rows = []
    letters: Rows = []
    mark_deletes: Rows = []
    marks: Rows = []
    messages: Rows = []
    moves: list[lanes.Move] = []
    """To be run behind these rows in the same transaction."""
    is_divisible: bool = False
    """Whether it is of several units, which can be written apart."""


def gather(units: Sequence[Unit]) -> Batch:
    """Make rows of units. Runs come in the order of their ids: so everybody locks them in the same order."""
    batch = Batch(is_divisible=len(units) > 1)
    _gather(batch, sorted(units, key=_order) if len(units) > 1 else units)
    return batch


def _gather(batch: Batch, units: Sequence[Unit]) -> None:
    for unit in units:
        run = unit.run
        head = (run.namespace, run.id)
        commit_id = unit.commit_id
        is_marked = unit.marks_added or unit.marks_removed
        if not unit.expected:
            batch.run_inserts.append((*rows.run_row(run), unit.input))
        elif unit.amended:
            batch.amended_updates.append((*rows.run_amended(run), *head, unit.expected))
        else:
            batch.run_updates.append((*rows.run_changes(run), *head, unit.expected))
        _gather_phases(batch, unit, head)
        for event in unit.events:
            batch.events.append((*head, *rows.event_row(event), commit_id))
            if type(event) is CheckpointCreated:
                batch.checkpoints.append((*head, *rows.checkpoint_row(event)))
        for step in unit.steps:
            batch.steps.append((*head, *rows.step_row(step)))
        if (
            unit.amended
            or is_marked
            or unit.signals
            or unit.taken
            or unit.dropped
            or unit.saved
            or unit.begins
            or unit.messages
        ):
            _gather_rare(batch, unit, head)
        batch.moves.extend(lanes.moves(run, stood=unit.stood))


def _gather_phases(batch: Batch, unit: Unit, head: tuple[str, str]) -> None:
    run, outputs, revision = unit.run, unit.outputs, unit.run.revision
    for row, fence in unit.updated:
        path, changes, lane = row.path, rows.phase_changes(row), lanes.lane_of(run, row)
        values = (*changes, lane, outputs.get(path), revision, *head, path, row.epoch, fence)
        if row.sla_at is None:
            batch.phase_updates.append(values)
        else:
            batch.level_updates.append((row.breached, *values))
    for row in unit.inserted:
        lane = lanes.lane_of(run, row)
        values = (*head, *rows.phase_row(row), lane, outputs.get(row.path), revision)
        if row.sla_at is None:
            batch.phase_inserts.append(values)
        else:
            batch.level_inserts.append((*values, rows.micros(row.sla_at), row.breached))


def _gather_rare(batch: Batch, unit: Unit, head: tuple[str, str]) -> None:
    """Make rows of what most units do not have."""
    namespace, run_id = head
    revision = unit.run.revision
    for saved in unit.saved:
        if saved.value is None:
            batch.unsaved.append((*head, saved.path, saved.generation, KEPT))
        else:
            batch.saved.append((*head, saved.path, saved.generation, KEPT, saved.value))
    for signal in unit.signals:
        batch.signals.append((*head, *rows.signal_row(signal), revision))
    for seq, path in unit.taken:
        batch.taken.append((path, revision, *head, seq))
    for row, fence in unit.dropped:
        changes = rows.phase_dropped(row)
        batch.phase_drops.append((*changes, revision, *head, row.path, row.epoch, fence))
        if row.live:
            batch.checkpoint_drops.append((row.gone_in_epoch, *head, row.path, row.epoch))
    _gather(batch, unit.begins)
    copies = [other.run.id for other in unit.begins if other.run.forked_from == run_id]
    batch.moves.extend(chain.from_iterable(forks.copies(namespace, run_id, copy) for copy in copies))
    if unit.letter_removed:
        batch.letter_deletes.append((*head, unit.letter.seq if unit.letter else 0))
    if unit.letter is not None:
        batch.letters.append((namespace, *rows.letter_row(unit.letter)))
    batch.messages.extend((namespace, *rows.message_row(message)) for message in unit.messages)
    batch.mark_deletes.extend((namespace, mark, run_id) for mark in unit.marks_removed)
    batch.marks.extend((namespace, mark, run_id) for mark in unit.marks_added)


def _order(unit: Unit) -> tuple[str, str]:
    return unit.run.namespace, unit.run.id
