"""All that a storage tells of a run, read through its port."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import attrs

from phaseline.abc import Storage
from phaseline.dead_letter import DeadLetter, LetterKey
from phaseline.events import (
    EpochBegun,
    Event,
    PhaseCompensated,
    PhaseCompensationFailed,
    PhaseCompleted,
    PhaseFailed,
    PhaseRetrying,
    PhaseSkipped,
    PhaseStarted,
)
from phaseline.rows import INPUT, Checkpoint, PhaseRecord, PhaseState, RunRecord, SignalRecord
from phaseline.run_filter import EVERY_RUN, RunFilter

PAGE = 500

STATES_AFTER: Mapping[type[Event], PhaseState] = {
    PhaseStarted: PhaseState.RUNNING,
    PhaseCompleted: PhaseState.COMPLETED,
    PhaseFailed: PhaseState.FAILED,
    PhaseCompensated: PhaseState.COMPLETED,
    PhaseCompensationFailed: PhaseState.FAILED,
    PhaseRetrying: PhaseState.RETRYING,
    PhaseSkipped: PhaseState.SKIPPED,
}
"""The state that an event about a phase leaves it in."""


@attrs.frozen(slots=False)
class StoredRun:
    """All that a storage tells of one run."""

    run: RunRecord
    rows: Mapping[str, PhaseRecord]
    """Of each phase the newest one, also if it is gone."""
    events: Sequence[Event]
    checkpoints: Sequence[Checkpoint]
    values: Mapping[str, str]
    signals: Sequence[SignalRecord] = ()
    letter: DeadLetter | None = None

    @cached_property
    def present(self) -> Mapping[str, PhaseRecord]:
        """Rows that are part of the run now."""
        return {path: row for path, row in self.rows.items() if row.gone_in_epoch is None}

    @cached_property
    def lives(self) -> Mapping[tuple[str, int], Sequence[Event]]:
        """The events of each phase in each epoch of the run."""
        lives: dict[tuple[str, int], list[Event]] = {}
        epoch = 0
        for event in self.events:
            if isinstance(event, EpochBegun):
                epoch = event.epoch
            for path in _paths(event):
                lives.setdefault((path, epoch), []).append(event)
        return lives


def _paths(event: Event) -> tuple[str, ...]:
    """The phases whose state an event changes."""
    if isinstance(event, PhaseSkipped) and event.phase is None:
        return event.paths
    if event.phase is None or type(event) not in STATES_AFTER:
        return ()
    return (event.phase,)


def stored_runs(storage: Storage, namespace: str, wanted: RunFilter = EVERY_RUN) -> Iterator[StoredRun]:
    """Read all runs of a namespace that are wanted, in the order of their ids."""
    letters = {letter.run_id: letter for letter in stored_letters(storage, namespace)}
    after: str | None = None
    while page := storage.find(namespace, wanted, after=after, limit=PAGE):
        yield from (_read(storage, run, letters.get(run.id)) for run in page)
        after = page[-1].id


def stored_letters(storage: Storage, namespace: str) -> Iterator[DeadLetter]:
    """Read all dead letters of a namespace, in their order."""
    after: LetterKey | None = None
    while page := storage.letters(namespace, after=after, limit=PAGE):
        yield from page
        after = page[-1].key


def _read(storage: Storage, run: RunRecord, letter: DeadLetter | None) -> StoredRun:
    rows = storage.load(run.namespace, run.id)
    if rows is None:
        return StoredRun(run, {}, (), (), {}, letter=letter)
    newest = {row.path: row for row in sorted(rows.phases, key=lambda row: row.epoch)}
    return StoredRun(
        rows.run,
        newest,
        list(_events(storage, run)),
        storage.checkpoints(run.namespace, run.id),
        storage.values(run.namespace, run.id, (INPUT, *newest)),
        rows.signals,
        letter,
    )


def _events(storage: Storage, run: RunRecord) -> Iterator[Event]:
    after = 0
    while page := storage.events(run.namespace, run.id, after, PAGE):
        yield from page
        after = page[-1].seq or after + len(page)
