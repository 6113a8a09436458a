"""All that the memory storage keeps of one run, and what must hold of it for a unit to be written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from msgspec.structs import replace

from phaseline.events import CheckpointCreated, Event
from phaseline.rows import INPUT, PhaseRecord, RunRecord, SignalRecord
from phaseline.statistics import Grouping, Sample, phase_group
from phaseline.unit_of_work import KEPT, SavedValue, Unit
from phaseline.usage import NO_SPENDING, total


class Extras:
    """What is kept of a run that most runs have nothing of; a run of its own pays for no empty collection of it."""

    __slots__ = ("commits", "gone", "signals", "signals_written", "steps")

    def __init__(self) -> None:
        self.steps: dict[tuple[str, int], dict[str, str]] = {}
        self.signals: dict[int, SignalRecord] = {}
        self.signals_written: dict[int, int] = {}
        """Revision of the run at which a signal was last written, by its number."""
        self.gone: set[int] = set()
        """Numbers of the events whose checkpoint is gone with its phase."""
        self.commits: set[int] = set()
        """Ids of the units that have events; those that were given one."""


MANY_EVENTS: Final = 100
"""As many are put together anew with each unit; a list grows in place."""
_NO_EXTRAS: Final = Extras()
"""Read, and never written."""


class MemoryRun(msgspec.Struct, gc=False):
    """All rows of one run.

    Nothing of a plain run is what the garbage collector tracks: it would look at all runs that are kept, again and again, and
    take the longer the more there are.
    """

    run: RunRecord
    phases: dict[str, PhaseRecord]
    values: dict[str, str]
    events: Sequence[Event]
    """A tuple as long as they are few, then a list."""
    written: dict[str, int]
    """Revision of the run at which a phase was last written, by path."""
    extras: Extras

    @classmethod
    def of(cls, unit: Unit) -> MemoryRun:
        """Make the one that a unit begins; it is yet to be written."""
        return cls(unit.run, {}, {INPUT: unit.input or ""}, (), {}, _NO_EXTRAS)

    def _more(self) -> Extras:
        """The extras, to write to them."""
        if self.extras is _NO_EXTRAS:
            self.extras = Extras()
        return self.extras

    def samples(self, by: Grouping) -> Iterator[Sample]:
        """What is counted of it for statistics."""
        run = self.run
        day = run.created_at.astimezone(UTC).date().isoformat()
        used = (run.spending or NO_SPENDING).phases.items()
        if by == "phase":
            for row in self.phases.values():
                if row.gone_in_epoch is None:
                    group, began = phase_group(run.pipeline, row.path), row.started_at
                    yield Sample(
                        group, row.state, _between(began, row.ended_at), _between(row.available_at, began)
                    )
            for path, usage in used:
                yield Sample(phase_group(run.pipeline, path), None, None, None, usage)
            return
        took, waited = _between(run.started_at, run.ended_at), _between(run.created_at, run.started_at)
        group = run.pipeline if by == "pipeline" else day
        yield Sample(group, run.state, took, waited, total(usage for _, usage in used))

    def write(self, unit: Unit) -> None:
        """Write a unit whose guards hold."""
        self.run = unit.run
        revision = unit.run.revision
        phases, written = self.phases, self.written
        for row, _ in unit.updated:
            path = row.path
            phases[path] = row if row.worker is None else _as_renewed(row, phases[path])
            written[path] = revision
        if unit.dropped:
            self._drop(unit)
        for row in unit.inserted:
            path = row.path
            phases[path] = row
            written[path] = revision
        if unit.events:
            self._add(unit.events)
            if unit.commit_id:
                self._more().commits.add(unit.commit_id)
        if unit.outputs:
            self.values.update(unit.outputs)
        for step in unit.steps:
            self._more().steps.setdefault((step.path, step.generation), {}).setdefault(step.key, step.result)
        if unit.saved:
            self._save(unit.saved)
        if unit.signals or unit.taken:
            self._take_signals(unit)

    def _add(self, events: Sequence[Event]) -> None:
        known = self.events
        if isinstance(known, list):
            known += events
        else:
            together = (*known, *events)
            self.events = together if len(together) < MANY_EVENTS else [*together]

    def _drop(self, unit: Unit) -> None:
        for row, _ in unit.dropped:
            self.phases[row.path] = row
            self.written[row.path] = unit.run.revision
            self.values.pop(row.path, None)
        self._drop_checkpoints({(row.path, row.epoch) for row, _ in unit.dropped if row.live})

    def _take_signals(self, unit: Unit) -> None:
        revision, extras = unit.run.revision, self._more()
        for signal in unit.signals:
            extras.signals[signal.seq] = signal
            extras.signals_written[signal.seq] = revision
        for seq, path in unit.taken:
            extras.signals[seq] = replace(extras.signals[seq], value=None, taken_by=path)
            extras.signals_written[seq] = revision

    def _save(self, saved: Iterable[SavedValue]) -> None:
        for each in saved:
            kept = self._more().steps.setdefault((each.path, each.generation), {})
            if each.value is None:
                kept.pop(KEPT, None)
            else:
                kept[KEPT] = each.value

    def take_over(self, origin: MemoryRun) -> None:
        """Have values of the run that this one is a copy of."""
        self.values[INPUT] = origin.values[INPUT]
        for row in self.phases.values():
            if not row.is_taken_over:
                continue
            if row.path in origin.values:
                self.values[row.path] = origin.values[row.path]
            kept = origin.extras.steps.get((row.path, row.generation), {})
            if KEPT in kept:
                self._more().steps[row.path, row.generation] = {KEPT: kept[KEPT]}

    def _drop_checkpoints(self, of: Collection[tuple[str, int]]) -> None:
        for event in self.events:
            if isinstance(event, CheckpointCreated) and (event.phase or "", event.epoch) in of:
                self._more().gone.add(event.seq or 0)

    def value(self, path: str) -> str | None:
        """Give the input or an output, encoded, from where its text is."""
        row = self.phases.get(path)
        if row is None or row.same_as is None:
            return self.values.get(path)
        return self.values.get(row.same_as) if row.gone_in_epoch is None else None


def _as_renewed(row: PhaseRecord, before: PhaseRecord) -> PhaseRecord:
    """A phase that goes on has the lease that was renewed last: who decides on it does not know of that."""
    if (row.worker, row.fence) != (before.worker, before.fence):
        return row
    return replace(row, lease_expires=before.lease_expires)


def guards_hold(stored: MemoryRun | None, unit: Unit) -> bool:
    """Whether the rows that a unit changes carry the fences that it names, and signals are as it takes them to be."""
    known = {} if stored is None else stored.phases
    for row, fence in (*unit.updated, *unit.dropped) if unit.dropped else unit.updated:
        before = known.get(row.path)
        if before is None or before.fence != fence:
            return False
    return not (unit.taken or unit.signals) or _are_new(stored, unit)


def _are_new(stored: MemoryRun | None, unit: Unit) -> bool:
    """Whether what a unit takes is there to be taken, and what it brings was not received before."""
    known = {} if stored is None else stored.extras.signals
    if any(seq not in known or known[seq].taken_by is not None for seq, _ in unit.taken):
        return False
    ids = {signal.id for signal in known.values()} - {None}
    return not any(signal.seq in known or signal.id in ids for signal in unit.signals)


def _between(began: datetime | None, ended: datetime | None) -> timedelta | None:
    return None if began is None or ended is None else ended - began
