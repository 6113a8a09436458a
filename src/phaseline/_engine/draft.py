"""A run as a decision changes it.

A draft keeps its changes apart from the snapshot below, so that a commit that is refused costs nothing: it is
thrown away. What it holds when the folding is over is the unit of work that a storage writes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from phaseline._definition.plan import Items, Plan, PlanNode
from phaseline._engine import messages, timing
from phaseline._engine.snapshot import ENDED_PHASES, ItemCount, Snapshot
from phaseline.dead_letter import DeadLetter
from phaseline.errors import InvalidTransitionError
from phaseline.events import Event, Head, Transition
from phaseline.rows import SETTLED_STATES, STANDING_STATES, PhaseRecord, RunRecord, RunState, SignalRecord
from phaseline.unit_of_work import AMENDED, Message, SavedValue, StepResult, Unit
from phaseline.usage import Spending

_AMENDED = frozenset(AMENDED)
_amendable = attrgetter(*AMENDED)


class Extras:
    """What is decided in hardly any unit; those that are like most pay for no empty collection of it."""

    __slots__ = (
        "begins",
        "closed",
        "dropped",
        "emits",
        "expires_at",
        "forked",
        "letter",
        "level_at",
        "messages",
        "opens",
        "saved",
        "signals",
        "started",
        "steps",
        "taken",
    )  # fmt: skip

    def __init__(self) -> None:
        self.dropped: dict[str, tuple[PhaseRecord, int]] = {}
        """Rows that are gone from this unit on, each with the fence that it had."""
        self.steps: list[StepResult] = []
        self.saved: dict[str, SavedValue] = {}
        """What bodies saved of themselves, or is let go of, by path."""
        self.signals: dict[int, SignalRecord] = {}
        """What this unit receives, by number."""
        self.taken: dict[int, str] = {}
        """Stored signals that this unit takes: the path of the phase, by number."""
        self.started: dict[str, Unit | None] = {}
        """Of phases that wait for a run from now on, by path: what inserts it; None if it was stored before."""
        self.opens: bool = False
        """Whether phases that it does not change may be taken up from now on."""
        self.emits: bool = False
        """Whether it tells events of the application, which may be large: nobody keeps these."""
        self.letter: DeadLetter | None = None
        """What is to be kept of a failure."""
        self.forked: Copy | None = None
        """The copy of the run that begins with this unit."""
        self.closed: set[tuple[int, Items]] = set()
        """Items that ended in this unit, each with the index of its map."""
        self.expires_at: datetime | None = None
        """When the run fails by its time, where this unit makes that another moment; known with the unit."""
        self.level_at: datetime | None = None
        """The first moment at which something should be over that begins with this unit."""
        self.begins: Sequence[Unit] = ()
        """What inserts the other runs that begin with it; known with the unit."""
        self.messages: Sequence[Message] = ()
        """What it tells other runs; known with the unit."""


NO_EXTRAS: Final = Extras()
"""Read, and never written."""


class Draft:
    """One unit of work while it is being decided."""

    __slots__ = (
        "_changes",
        "base",
        "before",
        "cursor",
        "cuts",
        "events",
        "extras",
        "granted",
        "items",
        "just_ended",
        "known",
        "now",
        "outputs",
        "plan",
        "positions",
        "revision",
        "rows",
        "run",
        "run_id",
        "seq",
        "spending",
        "state",
        "threads",
        "waits",
    )  # fmt: skip

    cursor: int
    positions: int
    revision: int
    """The revision that the run has once this unit is committed."""

    def __init__(self, base: Snapshot, now: datetime) -> None:
        run = base.run
        self.base: Snapshot = base
        self.before: RunRecord = run
        """The run's row as it was, also once the base has taken this unit over."""
        self.plan: Plan = base.plan
        self.now: datetime = now
        self.known: dict[str, PhaseRecord] = base.rows
        self.run_id: str = run.id
        self.run: RunRecord = run
        """The run's row; brought up to date by ``unit``."""
        self.state: str = run.state
        self.seq: int = run.seq
        self.cursor, self.positions, self.revision = base.cursor, base.positions, run.revision + 1
        self.spending: Spending | None = run.spending
        """What was used in the run and is reserved, as this unit sees it."""
        self._changes: dict[str, Any] = {}
        self.rows: dict[str, PhaseRecord] = {}
        """Rows that this unit writes."""
        self.items: dict[str, ItemCount] = {}
        self.events: list[Event] = []
        self.outputs: dict[str, str] = {}
        self.threads: int = 0
        """How many of the granted bodies run in threads."""
        self.granted: list[PhaseRecord] = []
        """Phases that this unit starts on the worker that decides it."""
        self.waits: bool = False
        """Whether it leaves a phase that waits for a worker or for its time."""
        self.cuts: bool = False
        """Whether it ends phases that somebody is busy with."""
        self.just_ended: deque[tuple[PlanNode, Items]] = deque()
        """Nodes from which the flow has yet to go on."""
        self.extras: Extras = NO_EXTRAS
        """The rest, to be read; written by ``more``."""

    def more(self) -> Extras:
        """The extras, to write to them."""
        if self.extras is NO_EXTRAS:
            self.extras = Extras()
        return self.extras

    @property
    def is_empty(self) -> bool:
        """Whether nothing was decided, so that there is nothing to commit."""
        if self.events or self.rows or self.extras.steps or self.extras.saved:
            return False
        return not self._changes and self.spending is self.run.spending

    # ------------------------------------------------------------------ rows
    def row(self, path: str) -> PhaseRecord | None:
        """A phase as this unit sees it."""
        return self.rows.get(path) or self.known.get(path)

    def all_rows(self) -> Iterator[PhaseRecord]:
        """All phases as this unit sees them, in the order in which they came up."""
        for path, row in self.known.items():
            yield self.rows.get(path, row)
        for path, row in self.rows.items():
            if path not in self.known:
                yield row

    def _newest_rows(self) -> Iterator[PhaseRecord]:
        """All phases as this unit sees them, in no certain order: what it writes, and what came up late, first."""
        yield from self.rows.values()
        for path in reversed(self.known):
            if path not in self.rows:
                yield self.known[path]

    def new_row(self, path: str) -> tuple[int, int, int]:
        """Give position, generation and fence of a row that comes up now: the latter go on from one before it."""
        position = self.positions
        self.positions = position + 1
        dropped = self.extras.dropped
        if dropped or self.base.gone:
            past = dropped[path][0] if path in dropped else self.base.gone.get(path)
            if past is not None:
                return position, past.generation, past.fence
        return position, 0, 0

    def drop(self, row: PhaseRecord, generation: int) -> None:
        """Take a row out of the run: it stays as history, and ``generation`` is that of the one to come."""
        path, dropped = row.path, self.more().dropped
        if not dropped:
            self.known = dict(self.known)
        gone = replace(
            row, gone_in_epoch=self.run.epoch, generation=generation, worker=None, lease_expires=None
        )
        dropped[path] = gone, self.known.pop(path).fence
        self.rows.pop(path, None)
        self.outputs.pop(path, None)

    def pass_ended(self) -> None:
        """Move the cursor past nodes that have ended."""
        stops, cursor, rows, known = self.plan.stops, self.cursor, self.rows, self.known
        count = len(stops)
        while cursor < count:
            path = stops[cursor]
            row = rows.get(path) or known.get(path)
            if row is None or row.state not in ENDED_PHASES:
                break
            cursor += 1
        self.cursor = cursor

    @property
    def letter_seq(self) -> int | None:
        """Number of the event that tells of the run's dead letter, as this unit sees it."""
        seq: int | None = self._changes.get("letter", self.run.letter)
        return seq

    @property
    def level(self) -> tuple[datetime | None, int | None]:
        """When the run should be over, and the number of the event that tells that it was not; as this unit sees it."""
        changes, run = self._changes, self.run
        return changes.get("sla_at", run.sla_at), changes.get("breached", run.breached)

    def note_level(self, moment: datetime) -> datetime:
        """Note that something should be over at a moment."""
        extras = self.more()
        extras.level_at = moment if extras.level_at is None else min(moment, extras.level_at)
        return moment

    @property
    def has_ended(self) -> bool:
        """Whether the run has ended, as this unit sees it."""
        return self._changes.get("ended_at", self.run.ended_at) is not None

    # ------------------------------------------------------------------ signals
    def all_signals(self) -> dict[int, SignalRecord]:
        """What the run has received, as this unit sees it, in order."""
        known, extras = self.base.signals, self.extras
        taken = {seq: replace(known[seq], value=None, taken_by=path) for seq, path in extras.taken.items()}
        return {**known, **taken, **extras.signals}

    def take_signal(self, signal: SignalRecord, path: str) -> str:
        """Note that a phase takes a signal; gives its value, encoded."""
        assert signal.value is not None  # noqa: S101  # nobody has taken it
        extras = self.more()
        if signal.seq in extras.signals:
            extras.signals[signal.seq] = replace(signal, value=None, taken_by=path)
        else:
            extras.taken[signal.seq] = path
        return signal.value

    # ------------------------------------------------------------------ maps
    def item_count(self, map_path: str) -> ItemCount:
        """How far a map is, as this unit sees it."""
        return self.items.get(map_path) or self.base.items[map_path]

    # ------------------------------------------------------------------ the run
    def next_seq(self) -> int:
        """Number of the next fact."""
        self.seq += 1
        return self.seq

    def head(self) -> Head:
        """What the next fact begins with. Facts of each run and each phase spell it out: they are told without a detour."""
        return {"run_id": self.run_id, "pipeline": self.run.pipeline, "seq": self.next_seq(), "at": self.now}

    def begin_epoch(self) -> None:
        """Leave everything begun so far behind: nobody who holds a part of it may write to this run any more."""
        self.run = replace(self.run, epoch=self.run.epoch + 1)

    def change_run(self, **changes: Any) -> None:
        """Change fields of the run's row."""
        self._changes.update(changes)

    def move_on(self) -> Transition | None:
        """Move the run to the label of its earliest unfinished node; None if it is there, stands, or none is left."""
        order, cursor, state = self.plan.order, self.cursor, self.state
        if cursor < len(order):
            label = order[cursor].label
        else:
            label = order[-1].label if state == RunState.INITIALIZING else state
        return None if label == state or state in STANDING_STATES else self.move(label)

    def move(self, target: str) -> Transition | None:
        """Move the run's state machine; gives the transition for the fact that moves it, None if it stays.

        Raises:
            InvalidTransitionError: The table has no such edge: the rules and the derived machine disagree.
        """
        source = self.state
        if target == source:
            return None
        transition = self.plan.moves.get((source, target))
        if transition is None:
            machine = self.plan.transitions
            raise InvalidTransitionError(machine.name, source, target, machine.allowed(source))
        self.state = target
        return transition

    def unit(self, *, commit_id: int = 0, input_text: str | None = None) -> Unit:
        """The work to commit, under a random id."""
        changes, run, base = self._changes, self.run, self.base.run
        if run.letter is not None and self.state != RunState.FAILED:
            changes["letter"] = None
        if self.spending is not run.spending:
            changes["spending"] = self.spending
        # A deadline that is over is let go of where a run goes on after its end.
        if timing.is_timed(run) or base.expires_at is not None:
            changes.update(timing.times(run, self.state, self._newest_rows(), self.now))
        is_amended = run is not base or (not base.revision and bool(base.marks))
        if changes:
            is_amended = is_amended or not _AMENDED.isdisjoint(changes)
            run = replace(
                run, state=self.state, seq=self.seq, revision=self.revision, updated_at=self.now, **changes
            )
        else:  # as most are, and fields that are known by name cost half
            run = replace(run, state=self.state, seq=self.seq, revision=self.revision, updated_at=self.now)
        self.run, known = run, self.known
        inserted: list[PhaseRecord] = []
        updated: list[tuple[PhaseRecord, int]] = []
        for path, row in self.rows.items():
            before = known.get(path)
            if before is None:
                inserted.append(row)
            else:
                updated.append((row, before.fence))
        unit = Unit(
            run=run, expected=base.revision, stood=base.state in SETTLED_STATES, input=input_text, inserted=inserted,
            updated=updated, outputs=self.outputs, events=self.events, commit_id=commit_id,
        )  # fmt: skip
        if base.parent_id is not None or self.plan.starts:
            told = messages.messages_of(self)
            if told:
                self.more().messages = told
        return unit if self.extras is NO_EXTRAS and not is_amended else self._amended(unit)

    def _amended(self, unit: Unit) -> Unit:
        """Add what only those units write that change what hardly ever changes of a run, or bring what most do not."""
        run, base, extras = self.run, self.base.run, self.extras
        if run.expires_at != base.expires_at or (run.expires_at is not None and not base.revision):
            extras = self.more()
            extras.expires_at = run.expires_at
        if extras.forked is not None or extras.started:
            extras.begins = (*self._begins(unit.commit_id),)
        marks, marked = run.marks, base.marks if base.revision else ()
        return replace(
            unit, steps=[*extras.steps], saved=[*extras.saved.values()], taken=[*extras.taken.items()],
            amended=_amendable(base) != _amendable(run), dropped=[*extras.dropped.values()], letter=extras.letter,
            letter_removed=base.letter is not None and base.letter != run.letter, marks_added=_without(marks, marked),
            marks_removed=_without(marked, marks), signals=[*extras.signals.values()],
            begins=extras.begins, messages=extras.messages,
        )  # fmt: skip

    def _begins(self, commit_id: int) -> Iterator[Unit]:
        """Give what inserts a copy of the run, and the runs that are still waited for at the end of the unit that starts them."""
        if self.extras.forked is not None:
            yield self.extras.forked.unit(commit_id)
        for path, unit in self.extras.started.items():
            is_awaited = messages.waits_for_child(self.row(path))
            if is_awaited and unit is not None:
                yield unit


class Copy(msgspec.Struct, frozen=True, gc=False):
    """A run that begins with what another one had committed."""

    draft: Draft
    """What is decided on it."""
    taken_over: list[PhaseRecord]
    """Rows that it has from the other one."""

    def unit(self, commit_id: int) -> Unit:
        """The work that inserts it; values are copied by the storage."""
        unit = self.draft.unit(commit_id=commit_id, input_text="")
        return replace(unit, inserted=[*self.taken_over, *unit.inserted])


def _without(marks: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    return marks if not marks or not others else tuple(mark for mark in marks if mark not in others)
