"""A run of the engine alone, without a shell, that holds each of its commits against the rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import attrs
from msgspec.structs import replace

from phaseline._definition.derive import derive_machine
from phaseline._definition.edges import takes_given
from phaseline._definition.phase import phase
from phaseline._definition.plan import UNDO_MARK, Binding, Call, Items, NodeKind, Plan
from phaseline._engine.commands import NO_OFFER, Command, Offer
from phaseline._engine.decide import Verdict, fold
from phaseline._engine.draft import Draft
from phaseline._engine.liveness import liveness
from phaseline._engine.snapshot import ItemCount, Snapshot, is_ended
from phaseline.events import (
    CheckpointCreated,
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
from phaseline.rows import (
    ENDED_STATES,
    SETTLED_STATES,
    STANDING_STATES,
    WAITING_PHASES,
    PhaseRecord,
    PhaseState,
    RunRecord,
    WaitKind,
)
from phaseline.storage.memory import MemoryStorage
from phaseline.unit_of_work import Outcome, Unit

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LEASE = timedelta(seconds=30)
PLENTY = 10_000


@phase
def nobody(number: int) -> int:
    return number


def compensated(plan: Plan) -> Plan:
    """The same plan where there is something to undo of every phase."""
    undo = Call(print, None, True, None)  # called by nobody here
    bindings = tuple(
        Binding(nobody, None, None, None, None, "", undo=undo if node.kind is NodeKind.PHASE else None)
        for node in plan.nodes
    )
    return attrs.evolve(
        plan, bindings=bindings, transitions=derive_machine(plan.name, plan.nodes, compensates=True)
    )


def taken_back(plan: Plan) -> Plan:
    """The same plan where a run that fails is undone by itself."""
    return attrs.evolve(compensated(plan), on_failure="rollback")


class CheckedRun:
    """Folds and commits commands, and holds each commit against the rules."""

    def __init__(self, plan: Plan, *, now: datetime = NOON, run_id: str = "r1") -> None:
        self.run_id = run_id
        record = RunRecord(
            namespace="default", id=run_id, pipeline=plan.name, version="1", fingerprint=plan.fingerprint,
            state="IDLE", revision=0, seq=0, created_at=now, updated_at=now,
        )  # fmt: skip
        self.plan, self.now = plan, now
        self.snapshot = Snapshot(plan, record)
        self.followed = self.snapshot
        """The run as another process knows it, that reads after each commit what is new."""
        self.storage = MemoryStorage()
        self.facts: list[Event] = []
        self.not_before = now
        self.commands: list[Command] = []
        """Every command that was ever given."""
        self.state = "IDLE"
        self.states: dict[str, PhaseState] = {}
        """State of each phase as the facts tell it."""
        self.last_fences: dict[str, int] = {}
        """The last fence of each phase in the epochs before."""
        self.grants: dict[str, list[tuple[int, int]]] = {}
        """Attempt and fence of each start of a phase, in order, as the facts tell them."""

    def copied(self, run_id: str) -> CheckedRun:
        """The run that is a copy of this one, as it is stored."""
        copy = CheckedRun(self.plan, now=self.now, run_id=run_id)
        copy.storage = self.storage
        stored = self.storage.load("default", run_id)
        assert stored is not None
        copy.snapshot = Snapshot.from_rows(self.plan, stored)
        for row in stored.phases:
            if row.is_taken_over:
                copy.states[row.path] = row.state
                copy.grants[row.path] = [(number, number) for number in range(1, row.attempt + 1)]
        for fact in self.storage.events("default", run_id, 0, PLENTY):
            copy.follow(fact)
        copy.check_stored()
        return copy

    @property
    def ended(self) -> bool:
        """Whether the run came to an end."""
        return self.snapshot.run.state in ENDED_STATES

    @property
    def output_live(self) -> bool | None:
        """Whether the run has an output."""
        return liveness(self.plan, self.plan.output, (), self.snapshot.rows.get)

    @property
    def held(self) -> list[PhaseRecord]:
        """Phases whose bodies run; a map has none."""
        return [row for row in self.snapshot.rows.values() if row.worker is not None]

    @property
    def resting(self) -> list[PhaseRecord]:
        """Phases that wait for a signal or a time, and nobody is busy with."""
        return [
            row
            for row in self.snapshot.rows.values()
            if row.wait_kind in (WaitKind.SIGNAL, WaitKind.TIMER) and row.state is PhaseState.RUNNING
        ]

    @property
    def waiting(self) -> list[PhaseRecord]:
        """Phases that wait for a worker or for their time."""
        return [row for row in self.snapshot.rows.values() if row.state in WAITING_PHASES]

    def do(self, *commands: Command, offer: Offer = NO_OFFER) -> list[Verdict]:
        """Fold, check, commit and absorb, as the shell does."""
        self.commands += commands
        draft, verdicts = fold(self.snapshot, commands, self.now, offer)
        assert len(commands) == len(verdicts)
        accepted = [
            command for command, verdict in zip(commands, verdicts, strict=True) if isinstance(verdict, list)
        ]
        if draft.is_empty:
            return verdicts
        unit = draft.unit(input_text="1")
        self.check_refused(unit, accepted, offer)
        if offer.room in (0, PLENTY):
            self.check_one_by_one(draft, unit, commands, offer)
        self.check_grants(unit, verdicts, offer)
        assert self.storage.commit((unit,)) == [Outcome.COMMITTED]
        self.snapshot.absorb(draft)
        for fact in unit.events:
            self.follow(fact)
        self.check_stored()
        return verdicts

    def check_refused(self, unit: Unit, accepted: Sequence[Command], offer: Offer) -> None:
        """A command that was fenced or refused changed nothing: without it the unit is the same."""
        without, verdicts = fold(self.snapshot, accepted, self.now, offer)
        assert unit == without.unit(input_text="1")
        assert all(isinstance(verdict, list) for verdict in verdicts)

    def check_one_by_one(
        self, together: Draft, unit: Unit, commands: Sequence[Command], offer: Offer
    ) -> None:
        """With the same grants, commands folded one after another come to the same as folded at once."""
        stored = self.storage.load("default", self.run_id)
        other = Snapshot(self.plan, self.snapshot.run)
        if stored is not None:
            other = Snapshot.from_rows(self.plan, stored)
        facts: list[Event] = []
        for command in commands:
            draft, _ = fold(other, (command,), self.now, offer)
            if not draft.is_empty:
                facts += draft.unit().events
                other.absorb(draft)
        kept = {path: row for path, row in self.snapshot.rows.items() if path not in together.extras.dropped}
        assert {**kept, **together.rows} == other.rows
        assert replace(unit.run, revision=0) == replace(other.run, revision=0)
        assert together.cursor == other.cursor
        assert list(together.all_signals().items()) == list(other.signals.items())
        assert [unplaced(fact) for fact in unit.events] == [unplaced(fact) for fact in facts]

    def check_grants(self, unit: Unit, verdicts: Sequence[Verdict], offer: Offer) -> None:
        """Whoever asked is told of exactly the bodies that the unit starts, none of them beyond the offer."""
        told = [row for granted in verdicts if isinstance(granted, list) for row in granted]
        started = [row for row in unit.inserted if row.worker]
        assert all(offer.takes(row.queue, row.priority) for row in started)
        resumed = [row for row, fence in unit.updated if row.worker and row.fence > fence]
        assert len(started) + len(resumed) <= offer.room
        by_path = [sorted(rows, key=lambda row: row.path) for rows in (told, started + resumed)]
        assert by_path[0] == by_path[1]
        assert all(row.worker == offer.worker and row.lease_expires == offer.lease_expires for row in told)

    def follow(self, fact: Event) -> None:
        """Read one fact as a history is read: numbers without a gap, moves in the table, phases in their order."""
        self.facts.append(fact)
        assert len(self.facts) == fact.seq
        if isinstance(fact, EpochBegun):
            self.begin_epoch(fact)
        if fact.transition is not None:
            assert self.state == fact.transition.source
            assert fact.transition.target in self.plan.transitions.allowed(self.state)
            self.state = fact.transition.target
        path = fact.phase or ""
        match fact:
            case PhaseStarted():
                assert self.states.get(path) in (None, PhaseState.RETRYING)
                is_undo = path.endswith(UNDO_MARK)
                assert self.state not in SETTLED_STATES
                assert (self.state == "ROLLING_BACK") == is_undo
                self.grants.setdefault(path, []).append((fact.attempt, fact.fence))
                assert fact.worker is None or self.not_before <= self.now
                if not is_undo:
                    self.check_parents(path)
                self.states[path] = PhaseState.RUNNING
            case PhaseCompleted() | PhaseFailed() | PhaseRetrying() | PhaseCompensated():
                assert self.states[path] is PhaseState.RUNNING
                self.states[path] = {
                    PhaseCompleted: PhaseState.COMPLETED, PhaseFailed: PhaseState.FAILED,
                    PhaseRetrying: PhaseState.RETRYING, PhaseCompensated: PhaseState.COMPLETED,
                    PhaseCompensationFailed: PhaseState.FAILED,
                }[type(fact)]  # fmt: skip
            case PhaseSkipped():
                for skipped in fact.paths or (path,):
                    before = self.states.get(skipped)
                    assert before in (None, PhaseState.RUNNING, PhaseState.RETRYING)
                    self.states[skipped] = PhaseState.SKIPPED
                assert fact.count == len(fact.paths or (path,))
            case _:
                pass

    def begin_epoch(self, fact: EpochBegun) -> None:
        """Of what was begun before, the rows that were kept stay as they are; all others begin anew, if at all."""
        epochs = [fact.epoch for fact in self.facts if isinstance(fact, EpochBegun)]
        assert epochs == list(range(1, len(epochs) + 1))
        rows = self.snapshot.rows
        kept = {path for path in self.states if path in rows and rows[path].epoch < fact.epoch}
        self.states = {path: state for path, state in self.states.items() if path in kept}
        for path in [*self.grants]:
            if path not in kept:
                self.last_fences[path] = self.grants.pop(path)[-1][1]

    def check_parents(self, path: str) -> None:
        """No phase starts before all its parents ended, one of them with a value; no item before its map."""
        node, items = self.plan.locate(path)
        ended = {PhaseState.COMPLETED, PhaseState.SKIPPED}
        for index in node.after if node.is_race else node.parents:
            assert self.states.get(self.plan.nodes[index].at(items)) in ended
        assert takes_given(node.source) or any(self.hands_on(index, items) for index in node.parents)
        if node.scope is not None:
            assert self.states[self.plan.nodes[node.scope].at(items[:-1])] is PhaseState.RUNNING

    def hands_on(self, index: int, items: Items) -> bool:
        """Whether a value comes from a node, whichever way."""
        node = self.plan.nodes[index]
        row = self.snapshot.rows.get(node.at(items))
        return row is not None and (row.live is True or node.kind is NodeKind.TEST)

    def check_stored(self) -> None:
        """Rows, facts and what is kept in the process tell the same story."""
        stored = self.storage.load("default", self.run_id)
        assert stored is not None
        assert list(self.facts) == list(self.storage.events("default", self.run_id, 0, PLENTY))
        assert stored.run.seq == len(self.facts)
        assert stored.run.state == self.state
        visible = [row for row in stored.phases if row.gone_in_epoch is None]
        told = {row.path: row.state for row in visible if row.state is not PhaseState.PENDING}
        assert told == self.states
        positions = [row.position for row in stored.phases]
        assert positions == sorted(set(positions))
        assert list(self.snapshot.rows) == [row.path for row in visible]
        for row in visible:
            attempts = [attempt for attempt, _ in self.grants.get(row.path, ())]
            fences = [fence for _, fence in self.grants.get(row.path, ())]
            assert attempts == list(range(1, row.attempt + 1))
            assert fences == sorted(set(fences))
            assert row.fence >= max(fences, default=0)
            assert not fences or min(fences) > self.last_fences.get(row.path, 0)
            assert row.decided is not None or row.state is not PhaseState.COMPLETED
            is_run = row.state is PhaseState.RUNNING and row.total is None and row.wait_kind is None
            assert (row.worker is not None) == is_run
            assert (row.live is not None) == is_ended(row)
            assert (row.ended_at is not None) == is_ended(row)
        again = Snapshot.from_rows(self.plan, stored)
        assert again.run == self.snapshot.run
        assert again.rows == self.snapshot.rows
        assert again.gone == self.snapshot.gone
        assert list(again.signals.items()) == list(self.snapshot.signals.items())
        assert stored.run.signals == len(again.signals)
        self.check_signals()
        assert again.cursor == self.snapshot.cursor
        new = self.storage.load("default", self.run_id, self.followed.run.revision)
        assert new is not None
        self.followed = self.followed.advanced(new)
        counts = [self.open_counts(snapshot) for snapshot in (again, self.snapshot, self.followed)]
        assert counts[0] == counts[1] == counts[2]
        self.check_limits(counts[0])

    def check_signals(self) -> None:
        """None is kept while a phase waits for it that may take it; what was taken was taken by a wait."""
        kept = {(s.name, s.key) for s in self.snapshot.signals.values() if s.taken_by is None}
        for row in self.resting if self.state not in STANDING_STATES else ():
            awaits = self.plan.locate(row.path)[0].awaits
            assert awaits is not None
            assert (awaits.signal, row.wait_key) not in kept
        for signal in self.snapshot.signals.values():
            assert (signal.value is None) == (signal.taken_by is not None)
            assert signal.taken_by is None or self.plan.locate(signal.taken_by)[0].awaits is not None

    @staticmethod
    def open_counts(snapshot: Snapshot) -> dict[str, ItemCount]:
        """How far the open maps are; nobody counts the items of one that ended before them."""
        rows = snapshot.rows
        return {p: count for p, count in snapshot.items.items() if rows[p].state is PhaseState.RUNNING}

    def check_limits(self, counts: Mapping[str, ItemCount]) -> None:
        """No map has more items under way than it may, and none less while it has items left."""
        for path, count in counts.items():
            limit = self.plan.locate(path)[0].limit or PLENTY
            assert count.spawned - count.ended == min(limit, count.total - count.ended)


def unplaced(fact: Event) -> Event:
    """A fact without what depends on how commits were cut."""
    return replace(fact, revision=0) if isinstance(fact, CheckpointCreated) else fact
