"""Whatever is asked of them, in whatever order: SQLite answers as memory does."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import attrs
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from msgspec.structs import replace

from phaseline.abc import Claimed, ClaimRequest, Storage, WorkerRecord
from phaseline.events import CheckpointCreated, Emitted, Event, PhaseRetrying, PhaseSkipped, Transition
from phaseline.rows import (
    ENDED_STATES,
    SETTLED_STATES,
    ErrorCategory,
    ErrorInfo,
    PhaseRecord,
    PhaseState,
    Progress,
    RunRecord,
    RunState,
    SignalRecord,
    WaitKind,
)
from phaseline.run_filter import RunFilter
from phaseline.storage.memory import MemoryStorage
from phaseline.storage.sql.store import SqlStorage
from phaseline.testing.storage.base import PLENTY
from phaseline.testing.storage.build import NOW, Take, make_message, make_phase, make_run, make_unit, of_plan
from phaseline.unit_of_work import Message, MessageKind, RunRows, SavedValue, StepResult, Unit

# --------------------------------------------------------------------- small worlds, so that things meet
SPACES = st.sampled_from(["one", "two"])
RUN_IDS = st.sampled_from(["run-9", "run-10", "Run-9"])
PATHS = ["a", "B", "b[9]", "b[10]", "é"]
QUEUES = ["default", "other"]
PLANS = ["plan-1", "plan-2"]
WORKERS = ["w-1", "w-2"]
STATES = ["IDLE", "DECOMPOSING", "WAIT_FOR_PAPER", *RunState]
UNDO_AFTER = {
    "ROLLING_BACK": st.integers(0, 9),
    "FAILED": st.none() | st.integers(0, 9),
}
"""What a rollback keeps that is unfinished."""
TIMES = st.integers(-3, 3).map(lambda n: NOW + timedelta(microseconds=n))

PIPELINES = ["pipeline", "fly"]
KEYS = st.none() | st.sampled_from(["k-1", "K"])
SOME_MARKS = st.lists(st.sampled_from(["#a", "#b", 'name="É"']), unique=True).map(
    lambda some: tuple(sorted(some))
)

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)
MAYBE_TIME = st.none() | TIMES
COUNT = st.integers(0, 3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=3,
)
ERRORS = st.builds(
    ErrorInfo, category=st.sampled_from(ErrorCategory), type=TEXT, message=TEXT, phase=st.none() | TEXT,
    traceback=st.none() | TEXT,
)  # fmt: skip
PROGRESS = st.builds(
    Progress,
    done=st.floats(allow_nan=False, allow_infinity=False),
    total=st.none() | st.floats(0, 9),
    note=TEXT,
)
REQUESTS = st.builds(
    ClaimRequest,
    namespace=SPACES,
    queues=st.none() | st.frozensets(st.sampled_from(QUEUES)),
    definitions=st.frozensets(st.sampled_from(PLANS).map(of_plan)),
    limit=st.integers(1, 4),
    now=TIMES,
)
PARENTS = st.just({}) | st.fixed_dictionaries(
    {"parent_id": RUN_IDS, "parent_path": st.sampled_from(PATHS), "parent_generation": COUNT}
)
FILTERS = st.builds(
    RunFilter,
    pipelines=st.none() | st.frozensets(st.sampled_from([*PIPELINES, "none"])),
    versions=st.none() | st.frozensets(st.sampled_from("12")),
    states=st.none() | st.frozensets(st.sampled_from(STATES)),
    ended=st.none() | st.booleans(),
    stage=st.none() | st.sampled_from(["active", "waiting"]),
    marks=SOME_MARKS,
    since=st.none() | TIMES,
    until=st.none() | TIMES,
    ended_before=st.none() | TIMES,
    ended_since=st.none() | TIMES,
    from_id=st.none() | RUN_IDS,
    to_id=st.none() | RUN_IDS,
    parent=st.none() | RUN_IDS,
    text=st.just("") | st.sampled_from(["UN-9", "run-1", "Ly", "#a", '"É', "k-1", "%", "_", "late"]),
)
ENDED = [PhaseState.COMPLETED, PhaseState.SKIPPED, PhaseState.FAILED]


@st.composite
def phases(
    draw: st.DrawFn, path: str, position: int, *, has_output: bool = False, epoch: int = 0
) -> PhaseRecord:
    """A row as the engine may write one."""
    state = draw(st.sampled_from(ENDED[:2] if has_output else list(PhaseState)))
    fields: dict[str, Any] = {
        "position": position, "epoch": epoch, "generation": 0, "queue": draw(st.sampled_from(QUEUES)),
        "priority": draw(COUNT), "available_at": draw(TIMES), "attempt": draw(COUNT), "failures": draw(COUNT),
        "crashes": draw(COUNT), "postponed": draw(COUNT), "fence": draw(COUNT), "reason": draw(TEXT),
        "progress": draw(st.none() | PROGRESS), "started_at": draw(MAYBE_TIME), "error": draw(st.none() | ERRORS),
        "length": draw(st.none() | COUNT), "sla_at": draw(MAYBE_TIME),
    }  # fmt: skip
    if state is PhaseState.RUNNING:
        fields |= {"worker": draw(st.sampled_from(WORKERS)), "lease_expires": draw(TIMES)}
        if draw(st.integers(0, 4)) == 0:
            fields |= {"worker": None, "lease_expires": None, "total": 3}
        elif draw(st.booleans()):
            kind = draw(st.sampled_from(WaitKind))
            timed = kind is WaitKind.TIMER or draw(st.booleans())
            key = None if kind is WaitKind.TIMER else draw(TEXT.filter(bool))
            if kind is WaitKind.SIGNAL and draw(st.booleans()):
                key = None
            fields |= {
                "worker": None, "lease_expires": None, "wait_kind": kind, "wait_key": key,
                "due_at": draw(TIMES) if timed else None,
            }  # fmt: skip
    if state in ENDED:
        fields |= {"ended_at": draw(TIMES), "live": state is PhaseState.COMPLETED or has_output}
    if state is PhaseState.FAILED:
        fields["error"] = draw(ERRORS)
    if fields["sla_at"] is not None:
        fields["breached"] = draw(st.none() | COUNT)
    return make_phase(path, state, **fields)


@st.composite
def facts(draw: st.DrawFn, run: RunRecord, seq: int, revision: int) -> Event:
    """An event of some kind."""
    common: dict[str, Any] = {
        "run_id": run.id, "pipeline": run.pipeline, "seq": seq, "at": draw(TIMES), "phase": draw(st.none() | st.sampled_from(PATHS)),
        "transition": draw(st.none() | st.builds(Transition, TEXT, TEXT)),
    }  # fmt: skip
    match draw(st.integers(0, 3)):
        case 0:
            return CheckpointCreated(
                **common, checkpoint=f"{run.id}:{seq}", revision=revision, epoch=draw(COUNT)
            )
        case 1:
            payload = draw(st.dictionaries(TEXT, JSON, max_size=2))
            return Emitted(**common, name=f"OWN_{draw(TEXT)}", payload=payload)
        case 2:
            return PhaseRetrying(
                **common,
                attempt=draw(COUNT),
                reason=draw(TEXT),
                again_at=draw(TIMES),
                error=draw(st.none() | ERRORS),
            )
        case _:
            paths = tuple(draw(st.lists(TEXT, max_size=2)))
            return PhaseSkipped(
                **common, reason=draw(TEXT), count=draw(COUNT), paths=paths, live=draw(st.booleans())
            )


@st.composite
def units(draw: st.DrawFn, model: Storage, space: str, run_id: str) -> Unit:
    """A unit for a run as it is stored, or, sometimes, as it is not: its guards may miss."""
    stored = model.load(space, run_id)
    newest = [] if stored is None else list(stored.phases)
    rows = [row for row in newest if row.gone_in_epoch is None]
    gone = {row.path: row for row in newest if row.gone_in_epoch is not None}
    outputs = model.values(space, run_id, PATHS)
    revision = 0 if stored is None else stored.run.revision
    expected = draw(st.sampled_from([revision] * 8 + [revision + 1, max(revision - 1, 0)]))
    base = (
        make_run(
            run_id,
            namespace=space,
            fingerprint=draw(st.sampled_from(PLANS)),
            created_at=draw(TIMES),
            pipeline=draw(st.sampled_from(PIPELINES)),
            version=draw(st.sampled_from("12")),
            key=draw(KEYS),
            timeout=draw(st.none() | st.timedeltas(timedelta(0), timedelta(days=1))),
            **draw(PARENTS),
        )
        if stored is None
        else stored.run
    )

    changed: list[tuple[PhaseRecord, int]] = []
    # Nothing brings a row back to where it could be late, once it has ended or that was told.
    open_rows = [row for row in rows if row.sla_at is None or row.ended_at is None]
    for row in draw(st.lists(st.sampled_from(open_rows), unique=True, max_size=3)) if open_rows else []:
        new = draw(phases(row.path, row.position, has_output=row.path in outputs, epoch=row.epoch))
        told = new.breached if row.breached is None else row.breached
        new = replace(new, sla_at=row.sla_at, breached=None if row.sla_at is None else told)
        changed.append((new, draw(st.sampled_from([row.fence] * 8 + [row.fence + 1]))))
    if draw(st.integers(0, 19)) == 0:
        changed.append((make_phase("never came up", position=99), 0))
    left = [row for row in rows if row.path not in {new.path for new, _ in changed}]
    dropped = [
        (draw(cuts(row)), draw(st.sampled_from([row.fence] * 8 + [row.fence + 1])))
        for row in (draw(st.lists(st.sampled_from(left), unique=True, max_size=2)) if left else [])
    ]
    free = [path for path in PATHS if path not in {row.path for row in rows}]
    paths = draw(st.lists(st.sampled_from(free), unique=True, max_size=3)) if free else []
    inserted = [
        draw(phases(path, gone[path].position, epoch=gone[path].epoch + 1))
        if path in gone
        else draw(phases(path, len(newest) + n))
        for n, path in enumerate(paths)
    ]

    written = [*inserted, *(row for row, _ in changed)]
    seq = base.seq
    known = [] if stored is None else list(stored.signals)
    open_signals = [signal.seq for signal in known if signal.taken_by is None]
    taking = draw(st.lists(st.sampled_from(open_signals), unique=True, max_size=2)) if open_signals else []
    received = [
        draw(signals(len(known) + n + 1, {signal.id for signal in known}))
        for n in range(draw(st.integers(0, 1)))
    ]
    events = [draw(facts(base, seq + n + 1, expected + 1)) for n in range(draw(COUNT))]
    after = {row.path: row for row in [*rows, *written, *(row for row, _ in dropped)]}
    states = STATES
    if any(row.state not in ENDED for row in after.values()):  # a run ends together with all its phases
        states = [state for state in STATES if state not in ENDED_STATES]
    state = str(draw(st.sampled_from(states)))
    run = replace(
        base, revision=expected + 1, seq=seq + len(events), state=state, epoch=max(draw(COUNT), int(bool(gone or dropped))), priority=draw(COUNT),
        error=draw(ERRORS) if state == RunState.FAILED else None, updated_at=draw(TIMES), started_at=draw(MAYBE_TIME),
        ended_at=draw(TIMES) if state in ENDED_STATES else None, marks=draw(SOME_MARKS), signals=len(known) + len(received),
        undo_after=draw(UNDO_AFTER.get(state, st.none())),
    )  # fmt: skip
    times: dict[str, Any] = {}
    if draw(st.booleans()) or (state in ENDED_STATES and base.expires_at is not None):
        times = draw(times_of(base, state))
    message = st.builds(
        Message,
        sender=st.just(run_id),
        seq=st.just(expected),
        run_id=RUN_IDS,
        kind=st.sampled_from(MessageKind),
    )
    step = st.builds(StepResult, st.sampled_from(PATHS), st.integers(0, 1), st.sampled_from("xy"), TEXT)
    saved = st.builds(SavedValue, st.sampled_from(PATHS), st.integers(0, 1), st.none() | TEXT)
    return make_unit(
        replace(run, **times),
        expected=expected,
        amended=bool(times) or run.undo_after != base.undo_after,
        stood=stored is not None and stored.run.state in SETTLED_STATES,
        inserted=inserted,
        updated=changed,
        dropped=dropped,
        outputs={row.path: draw(TEXT) for row in written if row.live and draw(st.booleans())},
        events=events,
        steps=draw(st.lists(step, max_size=3)),
        saved=draw(st.lists(saved, max_size=2, unique_by=lambda each: each.path)),
        signals=received,
        taken=[(number, draw(st.sampled_from(PATHS))) for number in taking],
        marked=base.marks if expected else (),
        messages=draw(st.lists(message, unique=True, max_size=2)),
    )


@st.composite
def times_of(draw: st.DrawFn, base: RunRecord, state: str) -> dict[str, Any]:
    """When a run must be over, and how long it was active."""
    deadline = draw(MAYBE_TIME)
    is_timed = base.timeout is not None or deadline is not None
    return {
        "deadline": deadline,
        "active_ms": draw(COUNT),
        "active_since": draw(MAYBE_TIME) if base.timeout is not None else None,
        "expires_at": draw(MAYBE_TIME) if is_timed and state not in ENDED_STATES else None,
        "sla_at": draw(MAYBE_TIME),
        "breached": draw(st.none() | COUNT),
    }


@st.composite
def cuts(draw: st.DrawFn, row: PhaseRecord) -> PhaseRecord:
    """A row as it is when it is gone."""
    if row.ended_at is None:
        row = replace(
            row, state=PhaseState.SKIPPED, worker=None, lease_expires=None, live=False, ended_at=draw(TIMES)
        )
    return replace(row, gone_in_epoch=row.epoch + draw(st.integers(1, 2)), generation=draw(COUNT))


@st.composite
def signals(draw: st.DrawFn, seq: int, known: set[str | None]) -> SignalRecord:
    """A signal that has just come."""
    taken_by = draw(st.none() | st.sampled_from(PATHS))
    return SignalRecord(
        seq=seq, name=draw(TEXT), key=draw(st.none() | TEXT.filter(bool)), received_at=draw(TIMES),
        id=draw(st.none() | TEXT.filter(lambda id_: id_ not in known)), taken_by=taken_by,
        value=draw(TEXT) if taken_by is None else None,
    )  # fmt: skip


class SqliteLikeMemory(RuleBasedStateMachine):
    """Both are asked the same, and then all that can be read is compared."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp()
        self.model, self.tested = MemoryStorage(), SqlStorage(f"sqlite:///{self.folder}/runs.db")
        for storage in (self.model, self.tested):
            storage.open()

    def teardown(self) -> None:
        self.tested.close()
        shutil.rmtree(self.folder)

    def both(self, ask: Callable[[Storage], object]) -> None:
        """Ask both, and compare what they say."""
        assert answer(self.tested, ask) == answer(self.model, ask)

    # ------------------------------------------------------------------ verbs
    @rule(keys=st.lists(st.tuples(SPACES, RUN_IDS), min_size=1, max_size=4), data=st.data())
    def commit(self, keys: list[tuple[str, str]], data: st.DataObject) -> None:
        batch = [
            data.draw(units(self.model, *key)) for key in keys
        ]  # a key twice: both must refuse the batch
        self.both(lambda storage: storage.commit(batch))
        for key in set(keys):
            self.look_at(*key)

    @rule(
        request=REQUESTS,
        lease=st.tuples(st.sampled_from(WORKERS), TIMES),
        declined=st.frozensets(RUN_IDS, max_size=1),
        breaks=st.integers(0, 9).map(lambda n: n == 0),
    )
    def claim(
        self, request: ClaimRequest, lease: tuple[str, datetime], declined: frozenset[str], breaks: bool
    ) -> None:
        def ask(storage: Storage) -> object:
            take = Take(*lease)

            def grant(rows: RunRows, paths: Sequence[str], now: datetime) -> Unit | None:
                unit = take(rows, paths, now)
                if breaks and len(take.asked) > 1:
                    raise ArithmeticError
                return None if rows.run.id in declined else unit

            claimed = storage.claim(request, grant)
            return plain(claimed), [(plain(rows), list(paths)) for rows, paths in take.asked]

        self.both(ask)
        self.look_at_all(request.namespace)

    @rule(space=SPACES, plans=st.sets(st.sampled_from(PLANS)), data=st.data())
    def hear(self, space: str, plans: set[str], data: st.DataObject) -> None:
        definitions = list(map(of_plan, plans))
        self.both(lambda storage: set(storage.messages(space, definitions, PLENTY)))
        known = self.model.messages(space, list(map(of_plan, PLANS)), PLENTY)
        heard = data.draw(st.lists(st.sampled_from([*known, make_message()]), max_size=3))
        self.both(lambda storage: storage.heard(space, heard))

    @rule(space=SPACES, worker=st.sampled_from([*WORKERS, "w-3"]), now=TIMES, until=TIMES)
    def renew(self, space: str, worker: str, now: datetime, until: datetime) -> None:
        self.both(lambda storage: set(storage.renew(space, worker, now, until)))
        self.look_at_all(space)

    @rule(
        space=SPACES, now=TIMES, dead=st.sets(st.sampled_from(WORKERS)), plans=st.sets(st.sampled_from(PLANS))
    )
    def lost(self, space: str, now: datetime, dead: set[str], plans: set[str]) -> None:
        self.both(lambda storage: set(storage.lost(space, now, dead, [*map(of_plan, plans)], 100)))
        self.both(lambda storage: len(storage.lost(space, now, dead, [*map(of_plan, plans)], 2)))

    @rule(space=SPACES, now=TIMES, plans=st.sets(st.sampled_from(PLANS)), limit=st.integers(1, 4))
    def due(self, space: str, now: datetime, plans: set[str], limit: int) -> None:
        def ask(storage: Storage) -> object:
            found = storage.due(space, now, [*map(of_plan, plans)], limit)
            return list(found.waits), found.next_due

        self.both(ask)

    @rule(space=SPACES, now=TIMES, plans=st.sets(st.sampled_from(PLANS)), limit=st.integers(1, 4))
    def late(self, space: str, now: datetime, plans: set[str], limit: int) -> None:
        def ask(storage: Storage) -> object:
            found = storage.late(space, now, [*map(of_plan, plans)], limit)
            return list(found.levels), found.next_due

        self.both(ask)

    @rule(space=SPACES, now=TIMES, plans=st.sets(st.sampled_from(PLANS)), limit=st.integers(1, 4))
    def overdue(self, space: str, now: datetime, plans: set[str], limit: int) -> None:
        def ask(storage: Storage) -> object:
            found = storage.overdue(space, now, [*map(of_plan, plans)], limit)
            return list(found.run_ids), found.next_due

        self.both(ask)

    @rule(
        worker=st.builds(
            WorkerRecord, id=st.sampled_from(WORKERS), namespace=SPACES, host=TEXT, pid=COUNT, process_started=TEXT,
            seen_at=TIMES,
        )
    )  # fmt: skip
    def enlist(self, worker: WorkerRecord) -> None:
        self.both(lambda storage: set(storage.enlist(worker)))
        other = attrs.evolve(worker, id="who asks")
        self.both(lambda storage: set(storage.enlist(other)))

    @rule(space=SPACES, worker=st.sampled_from(WORKERS))
    def retire(self, space: str, worker: str) -> None:
        self.both(lambda storage: storage.retire(space, worker))

    @rule(space=SPACES, run_id=RUN_IDS, after=st.integers(0, 12), limit=st.integers(1, 5))
    def page(self, space: str, run_id: str, after: int, limit: int) -> None:
        self.both(lambda storage: list(storage.events(space, run_id, after, limit)))

    @rule(
        space=SPACES, wanted=FILTERS, newest=st.booleans(), after=st.none() | RUN_IDS, limit=st.integers(1, 3)
    )  # fmt: skip
    def find(self, space: str, wanted: RunFilter, newest: bool, after: str | None, limit: int) -> None:
        self.both(
            lambda storage: list(storage.find(space, wanted, after=after, limit=limit, newest_first=newest))
        )
        self.both(lambda storage: dict(storage.count(space, wanted)))

    @rule(space=SPACES, wanted=FILTERS, limit=st.integers(1, 3))
    def purge(self, space: str, wanted: RunFilter, limit: int) -> None:
        self.both(lambda storage: list(storage.purge(space, wanted, limit)))
        self.look_at_all(space)

    @rule()
    def reopen(self) -> None:
        self.tested.close()
        self.tested.open()

    # ------------------------------------------------------------------ what is there now
    def look_at_all(self, space: str) -> None:
        for run_id in ("run-9", "run-10", "Run-9"):
            self.look_at(space, run_id)

    def look_at(self, space: str, run_id: str) -> None:
        def read(storage: Storage) -> object:
            return (
                plain(storage.load(space, run_id)),
                storage.head(space, run_id),
                dict(storage.values(space, run_id, ["", *PATHS])),
                [
                    dict(storage.steps(space, run_id, path, generation))
                    for path in PATHS[:2]
                    for generation in (0, 1)
                ],
                list(storage.checkpoints(space, run_id)),
                list(storage.events(space, run_id, 0, 1_000)),
            )

        self.both(read)


def answer(storage: Storage, ask: Callable[[Storage], object]) -> object:
    """What a storage says, or the kind of error that it raises."""
    try:
        return ask(storage)
    except (ValueError, ArithmeticError) as error:
        return type(error)


def plain(value: RunRows | Claimed | None) -> object:
    """A value with its sequences as lists."""
    match value:
        case RunRows():
            return value.run, list(value.phases), list(value.signals)
        case Claimed():
            return list(value.units), value.waiting, value.next_due
        case None:
            return None


def test_sqlite_answers_as_memory_does() -> None:
    """Any sequence of verbs leaves both in the same state, with the same outcomes on the way."""
    run_state_machine_as_test(
        SqliteLikeMemory,
        settings=settings(
            max_examples=40, stateful_step_count=25, suppress_health_check=[HealthCheck.too_slow]
        ),
    )
