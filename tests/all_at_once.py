"""Whatever befalls runs, in whatever order: memory, SQLite and PostgreSQL tell the same, and keep the promises.

Workers do what they were granted, fail, die, or go on with what was taken from them; operators and time do their part. What may
be done by whom is told by a small model, which knows nothing of rows: who holds what, and which runs stand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import attrs
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace
from tests.databases import Database
from tests.worlds import APPROVED, LEASE, NAMES, START, Answer, Dump, World, output_of

from phaseline._definition.plan import NodeKind, Plan
from phaseline._engine.commands import (
    NO_OFFER,
    Annotate,
    Cancel,
    Command,
    Discard,
    Elapse,
    Expire,
    Fail,
    FinishRun,
    Fork,
    Offer,
    Pause,
    Postpone,
    Receive,
    Reclaim,
    RecordStep,
    Release,
    RerunFrom,
    Restart,
    Resume,
    Retry,
    RollBack,
    RunCommand,
    Save,
    SkipPhase,
    Start,
    Succeed,
    TellLate,
)
from phaseline._engine.control import verb_of
from phaseline._engine.snapshot import ENDED_PHASES
from phaseline.abc import Storage
from phaseline.control import TABLE, kind_of
from phaseline.limits import joined, limit_text
from phaseline.rows import ENDED_STATES, ErrorCategory, ErrorInfo, PhaseRecord, RunRecord, RunState
from phaseline.storage.memory import MemoryStorage
from phaseline.storage.sql.store import SqlStorage
from phaseline.testing.checker import check
from phaseline.timetable import ScheduleRecord, key_of, slot_text, turn_of
from phaseline.unit_of_work import Unit

T = TypeVar("T")
MOST_RUNS = 4
WAIT = "wait_for_approved"
"""The one phase that waits for a signal."""
CRASHES, POSTPONED = 1, 2
WORKERS = st.sampled_from(["w-1", "w-2", "w-3"])
PICK = st.integers(0, 30)
"""Which of several; they are told apart by their remainder, so that a failing example shrinks to the first ones."""
QUEUES = st.sampled_from([None, frozenset({"default"}), frozenset({"slow"})])
BOOM = ErrorInfo(category=ErrorCategory.PROCESSING, type="Boom", message="boom")
SECOND = timedelta(seconds=1)
SOME_SECONDS = st.sampled_from([1, 3, 6, 31])
EVERY = 10 * SECOND
KEY_LIMIT = 2
ORDERS: Sequence[RunCommand] = [
    Pause(), Pause(), Resume(), Resume(), Resume(), Retry(), Retry(), Restart(), Annotate("seen"), Discard(), RollBack(),
    RollBack(), Cancel(),
]  # fmt: skip
ANEW = (RollBack, Retry, RerunFrom, Restart, Cancel)
"""What takes all that is held from those who hold it."""


@attrs.frozen
class Wish:
    """How a run is to begin."""

    pipeline: str
    priority: int
    delay: timedelta
    key: str | None
    while_open: bool
    shares: bool
    """Whether it is under the limit that others share."""
    timeout: timedelta | None
    deadline: timedelta | None
    room: int


WISHES = st.builds(
    Wish,
    pipeline=st.sampled_from([*NAMES, "order"]),
    priority=st.sampled_from([100, 1]),
    delay=st.sampled_from([0 * SECOND, 0 * SECOND, 3 * SECOND]),
    key=st.sampled_from([None, None, "k-1", "k-2"]),
    while_open=st.booleans(),
    shares=st.sampled_from([False, False, True]),
    timeout=st.sampled_from([None, None, 90 * SECOND]),
    deadline=st.sampled_from([None, None, 120 * SECOND]),
    room=st.integers(0, 1),
)


@attrs.frozen
class Token:
    """What a worker was granted, and may try to use for ever."""

    run_id: str
    path: str
    fence: int
    worker: str
    limits: str | None


@attrs.frozen
class Decided:
    """What somebody decided on a run, and has not written yet; the same in each world."""

    run_id: str
    answers: tuple[tuple[Answer, Unit | None], ...]
    token: Token | None
    command: Command


class AllAtOnce(RuleBasedStateMachine):
    """Everybody at once, on all storages; what they answer is compared, and then all that they hold."""

    def __init__(self, storages: Sequence[Storage], space: str) -> None:
        super().__init__()
        self.space = space
        self.worlds = [World(storage, space) for storage in storages]
        self.now = START
        self.runs: list[str] = []
        self.held: list[Token] = []
        self.taken: list[Token] = []
        """What was granted and is no more: whoever held it goes on all the same."""
        self.decided: list[Decided] = []
        self.standing: set[str] = set()
        """Runs that were paused, and of which nothing may start."""
        self.cancelled: set[str] = set()
        self.slots = Counter[str]()
        self.commits = count(1)
        self.touched: set[str] = set()
        """Runs of which something was asked since all was compared."""
        self.stepped: dict[str, set[str]] = {}
        """Phases that have kept a step, by run."""
        self.schedule = self.read_schedule()
        """As a process read it at some time."""

    def read_schedule(self) -> ScheduleRecord:
        first = ScheduleRecord(
            namespace=self.space, name="every", pipeline="items", version="1", cron=None, every=EVERY, zone="UTC", input="1",
            overlap="allow", catch_up="all", priority=100, marks=(), revision=1, next_at=self.now + EVERY,
            created_at=self.now, updated_at=self.now,
        )  # fmt: skip
        self.all(lambda world: world.storage.timetable.put(first, 0))
        return first

    # ------------------------------------------------------------------ asking everybody
    def all(self, ask: Callable[[World], T]) -> T:
        """Ask in each world, and compare the answers."""
        answers = [ask(world) for world in self.worlds]
        assert answers[1:] == answers[:-1]
        return answers[0]

    def do(self, run_id: str, command: Command, offer: Offer = NO_OFFER) -> Answer:
        """Carry a command out in each world, and keep the model."""
        number, state = next(self.commits), self.state_of(run_id)
        self.touched.add(run_id)
        answer = self.all(lambda world: world.do(run_id, command, self.now, number, offer))
        self.learn(run_id, command, answer, offer.worker, state)
        return answer

    def has_received(self, run_id: str, id_: str | None) -> bool:
        """Whether a signal that is named so came to a run."""
        rows = self.worlds[0].storage.load(self.space, run_id)
        assert rows is not None
        return id_ is not None and any(signal.id == id_ for signal in rows.signals)

    def may_take(self, run_id: str) -> bool:
        """Whether something in a run waits for the signal, or will."""
        rows = self.worlds[0].storage.load(self.space, run_id)
        assert rows is not None
        waits = [row for row in rows.phases if row.path == WAIT and row.gone_in_epoch is None]
        return rows.run.pipeline == "order" and all(row.state not in ENDED_PHASES for row in waits)

    def state_of(self, run_id: str) -> str:
        head = self.worlds[0].storage.head(self.space, run_id)
        assert head is not None
        return head.state

    def learn(self, run_id: str, command: Command, answer: Answer, worker: str, before: str) -> None:
        """Note what a command that was carried out means for those who hold something of its run, which was in a state."""
        if not answer.is_done:
            return
        state = self.state_of(run_id)
        is_taken_back = RunState.ROLLING_BACK in {state} - {before}  # by a command, or because it failed
        if isinstance(command, Pause):
            self.standing.add(run_id)
        elif isinstance(command, (Resume, *ANEW)) or is_taken_back:
            self.standing.discard(run_id)
        if isinstance(command, Cancel):
            self.cancelled.add(run_id)
        if isinstance(command, (*ANEW, FinishRun)) or state in ENDED_STATES or is_taken_back:
            self.take_from([token for token in self.held if token.run_id == run_id])
        for row in answer.started:
            self.give(run_id, row, worker)

    def give(self, run_id: str, row: PhaseRecord, worker: str) -> None:
        """Note that a worker was granted a phase: nobody else holds it, and its run does not stand."""
        self.touched.add(run_id)
        assert run_id not in self.standing
        assert run_id not in self.cancelled
        assert (run_id, row.path) not in {(token.run_id, token.path) for token in self.held}
        fences = [token.fence for token in self.taken if (token.run_id, token.path) == (run_id, row.path)]
        assert row.fence > max(fences, default=0)
        assert row.worker == worker
        self.held.append(Token(run_id, row.path, row.fence, worker, row.limits))

    def take_from(self, tokens: Sequence[Token]) -> None:
        for token in tokens:
            self.held.remove(token)
            self.taken.append(token)

    def end(self, token: Token, command: Command, offer: Offer = NO_OFFER, *, ends: bool = True) -> None:
        """Have a worker tell what its body came to: it is taken from who holds the phase, and from nobody else."""
        is_held = token in self.held
        before = self.dump_of_model(token.run_id)
        answer = self.do_as(token, command, offer, ends=ends and is_held)
        if is_held:
            assert answer.is_done
        else:
            assert answer.outcome == "fenced"
            assert self.dump_of_model(token.run_id) == before

    def dump_of_model(self, run_id: str) -> Dump:
        return self.worlds[0].dump([run_id], self.stepped)

    def do_as(self, token: Token, command: Command, offer: Offer, *, ends: bool) -> Answer:
        if ends:  # what it makes runnable may be granted in the same commit
            self.take_from([token])
        return self.do(token.run_id, command, offer)

    def a_run(self, pick: int) -> str:
        return self.runs[pick % len(self.runs)]

    def a_token(self, pick: int, *, stale: bool) -> Token | None:
        tokens = self.taken if stale and self.taken else self.held
        return tokens[pick % len(tokens)] if tokens else None

    def offer(self, worker: str, room: int) -> Offer:
        return Offer(worker, self.now + LEASE, room) if room else NO_OFFER

    def success(self, token: Token) -> Succeed:
        plan = self.plan_of(token.run_id)
        text, length = output_of(plan, token.path)
        has_saved = token.path in self.stepped.get(token.run_id, ())
        return Succeed(token.path, token.fence, text, length, has_saved=has_saved)

    def plan_of(self, run_id: str) -> Plan:
        head = self.worlds[0].storage.head(self.space, run_id)
        assert head is not None
        return NAMES[head.pipeline]

    # ------------------------------------------------------------------ beginnings
    @initialize(wishes=st.lists(WISHES, min_size=2, max_size=3))
    def begin(self, wishes: Sequence[Wish]) -> None:
        for wish in wishes:
            self.submit(wish)

    @precondition(lambda self: len(self.runs) < MOST_RUNS)
    @rule(wish=WISHES)
    def submit(self, wish: Wish) -> None:
        record = replace(
            self.new_run(f"run-{len(self.runs)}", wish.pipeline), priority=wish.priority, key=wish.key,
            while_open=wish.while_open, timeout=wish.timeout,
            deadline=None if wish.deadline is None else self.now + wish.deadline,
        )  # fmt: skip
        if wish.shares:
            record = replace(record, limits=joined(record.limits, limit_text(KEY_LIMIT, "key", "customer")))
        number, offer = next(self.commits), self.offer("w-1", wish.room)
        command = Start(self.now + wish.delay)
        answer = self.all(lambda world: world.start(record, command, number, offer))
        if answer.is_done:
            self.runs.append(record.id)
            self.touched.add(record.id)
            self.learn(record.id, command, answer, "w-1", record.state)
        else:
            assert answer.outcome == "duplicate"
            assert wish.key is not None

    def new_run(self, run_id: str, pipeline: str) -> RunRecord:
        plan = NAMES[pipeline]
        return RunRecord(
            namespace=self.space, id=run_id, pipeline=plan.name, version=plan.version, fingerprint=plan.fingerprint,
            state=str(RunState.IDLE), revision=0, seq=0, limits=plan.limits, created_at=self.now, updated_at=self.now,
        )  # fmt: skip

    @rule(stale=st.booleans())
    def tick(self, stale: bool) -> None:
        """A process fires what is due of the schedule as it reads it, or as it read it some time ago."""
        if not stale:
            found = self.all(lambda world: world.storage.timetable.get(self.space, "every"))
            assert found is not None
            self.schedule = found
        schedule = self.schedule
        if schedule.next_at is None or schedule.next_at > self.now:
            return
        turn = turn_of(schedule, self.now, self.now)
        assert turn.slot is not None
        slot = slot_text(turn.slot)
        record = replace(self.new_run(f"slot-{slot}", "items"), key=key_of("every", turn.slot))
        moved = replace(schedule, revision=schedule.revision + 1, next_at=turn.next_at, last_slot=turn.slot)
        number, is_full = next(self.commits), len(self.runs) >= 2 * MOST_RUNS
        command = Start(self.now)
        outcome = self.all(
            lambda world: world.fire(moved, schedule.revision, None if is_full else record, command, number)
        )
        if outcome == "committed":
            self.slots[slot] += 1
            assert self.slots[slot] == 1
            if not is_full:
                self.runs.append(record.id)
                self.touched.add(record.id)
        else:
            assert outcome == "stale"

    # ------------------------------------------------------------------ workers
    @rule(worker=WORKERS, queues=QUEUES, room=st.integers(1, 4))
    def claim(self, worker: str, queues: frozenset[str] | None, room: int) -> None:
        number = next(self.commits)
        grants = self.all(lambda world: world.claim(worker, queues, room, self.now, number))
        assert len(grants.started) <= room
        for run_id, row in grants.started:
            self.give(run_id, row, worker)

    @rule(worker=WORKERS, turns=st.integers(1, 8))
    def work(self, worker: str, turns: int) -> None:
        """A worker takes up what there is, and does it, for a while."""
        for _ in range(turns):
            held = [token for token in self.held if token.worker == worker]
            if held:
                self.end(held[0], self.success(held[0]), self.offer(worker, 1))
            else:
                self.claim(worker, None, 2)

    # Of the rules some are left out in each example; without work the others have nothing to disturb.
    @rule(worker=WORKERS, turns=st.integers(1, 8))
    def work_on(self, worker: str, turns: int) -> None:
        self.work(worker, turns)

    @rule(worker=WORKERS, turns=st.integers(1, 8), seconds=SOME_SECONDS)
    def work_after_a_while(self, worker: str, turns: int, seconds: int) -> None:
        self.advance(seconds)
        self.sweep()
        self.work(worker, turns)

    @rule(pick=PICK, stale=st.booleans(), room=st.integers(0, 2))
    def complete(self, pick: int, stale: bool, room: int) -> None:
        token = self.a_token(pick, stale=stale)
        if token is not None:
            self.end(token, self.success(token), self.offer(token.worker, room))

    @rule(pick=PICK, stale=st.booleans(), again=st.booleans())
    def fail(self, pick: int, stale: bool, again: bool) -> None:
        token = self.a_token(pick, stale=stale)
        if token is not None:
            self.end(token, Fail(token.path, token.fence, BOOM, self.now + 2 * SECOND if again else None))

    @rule(
        pick=PICK,
        stale=st.booleans(),
        how=st.sampled_from(["postpone", "release", "skip", "finish", "step", "save"]),
    )
    def come_to_something_else(self, pick: int, stale: bool, how: str) -> None:
        token = self.a_token(pick, stale=stale)
        if token is None:
            return
        path, fence = token.path, token.fence
        node, _ = self.plan_of(token.run_id).locate(path)
        is_undo = node.kind is NodeKind.UNDO
        match how:
            case "postpone":
                saved = "2" if path in self.stepped.get(token.run_id, ()) else None
                self.end(token, Postpone(path, fence, self.now + SECOND, "later", POSTPONED, saved=saved))
            case "release":
                self.end(token, Release(path, fence))
            case "skip" if not is_undo:
                self.end(token, SkipPhase(path, fence, "no", None, passes_input=False))
            case "finish" if node.may_finish:
                self.end(token, FinishRun(path, fence, "7"))
            case "step":
                self.stepped.setdefault(token.run_id, set()).add(path)
                self.end(token, RecordStep(path, fence, "key", "1", (("SEEN", {"n": 1}),)), ends=False)
            case "save":
                self.stepped.setdefault(token.run_id, set()).add(path)
                self.end(token, Save(path, fence, f'"{self.now}"'), ends=False)
            case _:
                pass

    @rule(worker=WORKERS)
    def crash(self, worker: str) -> None:
        """A worker dies, others learn of it; what was said to be dead may go on all the same."""
        self.sweep_after({worker})

    @rule()
    def sweep(self) -> None:
        """Leases that ran out are given to others, waits end, and so do runs whose time is over; what is late is told."""
        self.sweep_after(set())

    def sweep_after(self, dead: set[str]) -> None:
        found = self.all(lambda world: world.look(self.now, dead))
        lost: dict[str, list[tuple[str, int]]] = {}
        for phase in sorted(found.lost, key=lambda phase: (phase.run_id, phase.path)):
            lost.setdefault(phase.run_id, []).append((phase.path, phase.fence))
        held = {(token.run_id, token.path, token.fence): token for token in self.held}
        for run_id, phases in lost.items():
            self.take_from([held[run_id, *phase] for phase in phases])  # nothing is lost that nobody holds
            self.do(run_id, Reclaim(tuple(phases), CRASHES))
        for wait in found.waits.waits:
            self.do(wait.run_id, Elapse(((wait.path, wait.due_at),)))
        for run_id in found.runs.run_ids:
            self.do(run_id, Expire())
        late: dict[str, list[str | None]] = {}
        for level in found.levels.levels:
            late.setdefault(level.run_id, []).append(level.path)
        for run_id, paths in late.items():
            self.do(run_id, TellLate(tuple(paths)))

    @rule(worker=WORKERS)
    def renew(self, worker: str) -> None:
        held = self.all(
            lambda world: {
                (phase.run_id, phase.path, phase.fence)
                for phase in world.storage.renew(self.space, worker, self.now, self.now + LEASE)
            }
        )
        self.touched.update(run_id for run_id, _, _ in held)
        assert held == {(t.run_id, t.path, t.fence) for t in self.held if t.worker == worker}

    # ------------------------------------------------------------------ who comes late
    @precondition(lambda self: self.runs)
    @rule(pick=PICK, what=st.sampled_from(["end", "pause", "cancel", "rollback"]))
    def decide(self, pick: int, what: str) -> None:
        """Somebody reads a run and decides; others may come in between before he writes."""
        token = self.a_token(pick, stale=False)
        if what == "end" and token is not None:
            run_id, command = token.run_id, self.success(token)
        else:
            orders: dict[str, RunCommand] = {"pause": Pause(), "cancel": Cancel(), "rollback": RollBack()}
            run_id, command, token = self.a_run(pick), orders.get(what, Pause()), None
        number = next(self.commits)
        answers = tuple(world.decide(run_id, command, self.now, number) for world in self.worlds)
        assert answers[1:] == answers[:-1]
        if answers[0][1] is not None:
            self.decided.append(Decided(run_id, answers, token, command))

    @precondition(lambda self: self.decided)
    @rule(pick=PICK)
    def write_late(self, pick: int) -> None:
        """He writes: either nobody came in between, or nothing of it is stored."""
        late = self.decided.pop(pick % len(self.decided))
        units = iter([unit for _, unit in late.answers if unit is not None])
        expected = next(unit.expected for _, unit in late.answers if unit is not None)
        self.touched.add(late.run_id)
        head = self.worlds[0].storage.head(self.space, late.run_id)
        assert head is not None
        answer = self.all(lambda world: world.land(late.answers[0][0], next(units)))
        assert (answer.outcome != "stale") == (expected == head.revision)
        if answer.is_done and late.token is not None:
            self.take_from([late.token])
        self.learn(late.run_id, late.command, answer, "", head.state)

    @precondition(lambda self: self.runs)
    @rule(
        pick=PICK, what=st.sampled_from(["end", "pause", "cancel", "rollback"]), order=st.sampled_from(ORDERS)
    )
    def overtake(self, pick: int, what: str, order: RunCommand) -> None:
        """Somebody decides, somebody else is faster, and then the first one writes."""
        self.decide(pick, what)
        if self.decided:
            self.give_order(self.decided[-1].run_id, order)
            self.write_late(len(self.decided) - 1)

    # ------------------------------------------------------------------ operators, the world and time
    @precondition(lambda self: self.runs)
    @rule(
        pick=PICK,
        order=st.sampled_from(ORDERS),
    )
    def command(self, pick: int, order: RunCommand) -> None:
        self.give_order(self.a_run(pick), order)

    @precondition(lambda self: self.runs)
    @rule(pick=PICK, node=PICK, back=st.booleans())
    def command_to_a_phase(self, pick: int, node: int, back: bool) -> None:
        run_id = self.a_run(pick)
        paths = [node.path for node in self.plan_of(run_id).order]
        path = paths[node % len(paths)]
        self.give_order(run_id, RollBack(path) if back else RerunFrom(path))

    @precondition(lambda self: self.runs and len(self.runs) < 2 * MOST_RUNS)
    @rule(pick=PICK, node=PICK)
    def fork(self, pick: int, node: int) -> None:
        """A run is copied, where that can be; the copy is one of the runs from then on."""
        run_id, copy = self.a_run(pick), f"copy-{len(self.runs)}"
        places = [None, *(node.path for node in self.plan_of(run_id).order)]
        self.give_order(run_id, Fork(copy, places[node % len(places)]))
        if self.all(lambda world: world.storage.head(self.space, copy)) is not None:
            self.runs.append(copy)
            self.touched.add(copy)

    def give_order(self, run_id: str, order: RunCommand) -> None:
        state = self.state_of(run_id)
        before = self.dump_of_model(run_id)
        answer = self.do(run_id, order)
        if kind_of(state) not in TABLE[verb_of(order)]:
            assert answer.outcome == "refused"
        if answer.outcome == "refused":
            assert self.dump_of_model(run_id) == before
        elif isinstance(order, Pause | Resume | Cancel | Annotate):
            # A key that another run holds now is the only obstacle to what the table allows.
            assert answer.is_done or (answer.outcome == "duplicate" and state in ENDED_STATES)

    @precondition(lambda self: self.runs)
    @rule(pick=PICK, worker=WORKERS, turns=st.integers(1, 6))
    def take_back(self, pick: int, worker: str, turns: int) -> None:
        """A run is taken back, and somebody is there to undo what it did."""
        self.give_order(self.a_run(pick), RollBack())
        self.work(worker, turns)

    @precondition(lambda self: self.runs)
    @rule(pick=PICK, id_=st.sampled_from([None, "one", "one"]))
    def signal(self, pick: int, id_: str | None) -> None:
        run_id = self.a_run(pick)
        is_open = self.may_take(run_id) and self.state_of(run_id) not in {
            *ENDED_STATES,
            RunState.ROLLING_BACK,
        }
        before, is_known = self.dump_of_model(run_id), self.has_received(run_id, id_)
        answer = self.do(run_id, Receive(APPROVED.name, "1", None, id_))
        assert answer.outcome == ("done" if is_open or is_known else "refused")
        if is_known:
            assert self.dump_of_model(run_id) == before

    @rule(seconds=SOME_SECONDS)
    def advance(self, seconds: int) -> None:
        self.now += seconds * SECOND

    # ------------------------------------------------------------------ what holds after each step
    @invariant()
    def all_hold_the_same_and_keep_the_promises(self) -> None:
        """What others hold is what the model does; so it is enough to check that."""
        if self.touched:
            self.all(lambda world: world.dump(self.touched, self.stepped))
            check(self.worlds[0].storage, self.space)
            self.touched.clear()

    def teardown(self) -> None:
        """In the end also what nobody meant to touch is compared, and checked on each storage."""
        self.all(lambda world: world.dump(self.runs, self.stepped))
        for world in self.worlds:
            check(world.storage, self.space)

    @invariant()
    def nothing_is_over_its_limit(self) -> None:
        sizes: dict[str, int] = {}
        at_once = Counter[str]()
        for token in self.held:
            for line in (token.limits or "").splitlines():
                size, _, name = line.partition(" ")
                if "/" in size:
                    continue  # a rate, which the checker looks after
                sizes[name] = int(size)
                at_once[name] += 1
        assert all(number <= sizes[name] for name, number in at_once.items()), at_once

    @invariant()
    def what_was_cancelled_stays_so(self) -> None:
        assert all(self.state_of(run_id) == RunState.CANCELLED for run_id in self.cancelled)


@contextmanager
def one_of_each(folder: Path, postgres: Database) -> Iterator[Sequence[Storage]]:
    """Storages of each kind, open; each example has a namespace of its own."""
    storages = [MemoryStorage(), SqlStorage(f"sqlite:///{folder / 'runs.db'}"), postgres.storage()]
    with ExitStack() as stack:
        for storage in storages:
            stack.callback(storage.close)
            storage.open()
        yield storages


def try_sequences(storages: Sequence[Storage], number: int, steps: int) -> None:
    """Try so many sequences of so many steps."""
    spaces = (f"space-{uuid4()}" for _ in count())
    run_state_machine_as_test(
        lambda: AllAtOnce(storages, next(spaces)),
        settings=settings(
            max_examples=number, stateful_step_count=steps, suppress_health_check=list(HealthCheck)
        ),
    )
