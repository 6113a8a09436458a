"""Records and units of work for tests of a storage: valid by every rule of the port, and short to write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from msgspec.structs import replace

from phaseline.dead_letter import DeadLetter
from phaseline.events import Event, PhaseStarted
from phaseline.rows import (
    ENDED_STATES,
    Definition,
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
from phaseline.unit_of_work import Message, MessageKind, RunRows, SavedValue, StepResult, Unit
from phaseline.usage import Reservation, Spending, Usage

NAMESPACE = "default"
FINGERPRINT = "plan-1"
DEFINITION = Definition("pipeline", "1", FINGERPRINT)
WORKER = "w-1"
INPUT_TEXT = '{"of":"the run"}'
NOW = datetime(2030, 1, 1, 12, 30, 15, 123_456, tzinfo=UTC)
SECOND = timedelta(seconds=1)
LEASE = timedelta(seconds=30)
ERROR = ErrorInfo(
    category=ErrorCategory.TIMEOUT, type="Late", message="too late", phase="a", traceback="line 1\nline 2"
)

ENDED = frozenset({PhaseState.COMPLETED, PhaseState.FAILED, PhaseState.SKIPPED})


def of_plan(fingerprint: str) -> Definition:
    """Give the definition of the runs that ``make_run`` makes with this fingerprint."""
    return Definition("pipeline", "1", fingerprint)


def make_run(run_id: str = "run", **fields: Any) -> RunRecord:
    """Make a run's row at its first revision; one that has ended says when, and a failed one why."""
    given: dict[str, Any] = {
        "namespace": NAMESPACE, "id": run_id, "pipeline": "pipeline", "version": "1", "fingerprint": FINGERPRINT,
        "state": RunState.IDLE.value, "revision": 1, "seq": 0, "created_at": NOW, "updated_at": NOW, **fields,
    }  # fmt: skip
    if given["state"] == RunState.FAILED:
        given.setdefault("error", ERROR)
    if given["state"] in ENDED_STATES:
        given.setdefault("ended_at", NOW)
    if given["state"] == RunState.ROLLING_BACK:
        given.setdefault("undo_after", 0)
    return RunRecord(**given)


def make_phase(path: str = "a", state: PhaseState = PhaseState.PENDING, **fields: Any) -> PhaseRecord:
    """Make a phase's row that has what its state asks for: a lease where it runs, a time where it has ended."""
    given: dict[str, Any] = {
        "path": path, "state": state, "queue": "default", "priority": 100, "available_at": NOW,
    }  # fmt: skip
    if (
        state is PhaseState.RUNNING and "total" not in fields and "wait_kind" not in fields
    ):  # they have no worker
        given |= {"fence": 1, "attempt": 1, "worker": WORKER, "lease_expires": NOW + LEASE, "started_at": NOW}
    if state in ENDED:
        given |= {"fence": 1, "attempt": 1, "ended_at": NOW, "live": state is PhaseState.COMPLETED}
        given |= {"decided": None if state is PhaseState.FAILED else 1}
    if state is PhaseState.FAILED:
        given |= {"error": ERROR}
    return PhaseRecord(**{**given, **fields})


def make_unit(
    run: RunRecord,
    *,
    expected: int | None = None,
    inserted: Sequence[PhaseRecord] = (),
    updated: Sequence[tuple[PhaseRecord, int]] = (),
    dropped: Sequence[tuple[PhaseRecord, int]] = (),
    outputs: Mapping[str, str] | None = None,
    events: Sequence[Event] = (),
    steps: Sequence[StepResult] = (),
    saved: Sequence[SavedValue] = (),
    signals: Sequence[SignalRecord] = (),
    taken: Sequence[tuple[int, str]] = (),
    marked: Sequence[str] | None = None,
    commit_id: int = 0,
    stood: bool = False,
    amended: bool = False,
    letter: DeadLetter | None = None,
    letter_removed: bool = False,
    begins: Sequence[Unit] = (),
    messages: Sequence[Message] = (),
) -> Unit:
    """Make a unit of work that brings a run to the revision and marks that its row carries.

    It comes from the revision before, and, unless it is new, from these marks; left out, they are the same. ``amended``:
    another one of the fields that hardly ever change does.
    """
    expected = run.revision - 1 if expected is None else expected
    if marked is None:
        marked = run.marks if expected else ()
    added = [mark for mark in run.marks if mark not in marked]
    removed = [mark for mark in marked if mark not in run.marks]
    return Unit(
        run=run, expected=expected, stood=stood, amended=bool(amended or added or removed or letter or letter_removed), letter=letter, letter_removed=letter_removed, input=None if expected else INPUT_TEXT, inserted=inserted, updated=updated,
        dropped=dropped, outputs=outputs or {}, events=events, steps=steps, saved=saved, signals=signals, taken=taken, marks_added=added,
        marks_removed=removed, commit_id=commit_id, begins=begins, messages=messages,
    )  # fmt: skip


def make_wait(path: str = "a", due_at: datetime | None = NOW, **fields: Any) -> PhaseRecord:
    """Make the row of a phase that waits for a signal, by default without a key."""
    return make_phase(
        path, PhaseState.RUNNING, **{"wait_kind": WaitKind.SIGNAL, "due_at": due_at, "fence": 1, **fields}
    )


def make_signal(seq: int, **fields: Any) -> SignalRecord:
    """Make the row of a signal that nobody has taken."""
    given: dict[str, Any] = {"name": "approve", "value": "true", "received_at": NOW, **fields}
    return SignalRecord(seq=seq, **given)


def make_message(sender: str = "child", run_id: str = "run", **fields: Any) -> Message:
    """Make the message by which a run tells its parent of its end."""
    given: dict[str, Any] = {"seq": 1, "kind": MessageKind.ENDED, **fields}
    return Message(sender=sender, run_id=run_id, **given)


def make_letter(run_id: str = "run", **fields: Any) -> DeadLetter:
    """Make a letter of a run whose first phase failed."""
    given: dict[str, Any] = {
        "pipeline": "pipeline", "seq": 1, "phase": "a", "error": ERROR, "attempts": 1, "crashes": 0, "input": "",
        "at": NOW, **fields,
    }  # fmt: skip
    return DeadLetter(run_id=run_id, **given)


def dead_run(run_id: str = "run", *, namespace: str = NAMESPACE, **fields: Any) -> Unit:
    """Make the unit that inserts a run that has failed, with its letter."""
    letter = make_letter(run_id, **fields)
    run = make_run(
        run_id, namespace=namespace, state=RunState.FAILED.value, pipeline=letter.pipeline, letter=letter.seq
    )
    return make_unit(run, letter=letter)


def new_run(run_id: str = "run", *phases: PhaseRecord, **fields: Any) -> Unit:
    """Make the unit that inserts a run with these phases, which come up in this order."""
    rows = [replace(row, position=number) for number, row in enumerate(phases)]
    return make_unit(make_run(run_id, **fields), inserted=rows)


def following(run: RunRecord, **fields: Any) -> RunRecord:
    """Make a run's row at its next revision."""
    return replace(run, revision=run.revision + 1, **fields)


class Take:
    """A grant that starts all it is offered on one worker, and keeps what it was asked."""

    def __init__(self, worker: str = WORKER, until: datetime = NOW + LEASE) -> None:
        self.worker: str = worker
        self.until: datetime = until
        self.asked: list[tuple[RunRows, Sequence[str]]] = []
        self.moments: list[datetime] = []
        self.given: list[Unit] = []

    def __call__(self, rows: RunRows, paths: Sequence[str], now: datetime) -> Unit | None:
        """Start the phases."""
        self.asked.append((rows, paths))
        self.moments.append(now)
        unit = self.start(rows, paths)
        self.given.append(unit)
        return unit

    def start(self, rows: RunRows, paths: Sequence[str]) -> Unit:
        """Make the unit of work that starts these phases."""
        by_path = {row.path: row for row in rows.phases}
        updated = [(self._started(by_path[path]), by_path[path].fence) for path in paths]
        first = rows.run.seq + 1
        events = [
            PhaseStarted(
                run_id=rows.run.id,
                pipeline=rows.run.pipeline,
                seq=first + n,
                at=NOW,
                phase=row.path,
                attempt=row.attempt,
                fence=row.fence,
            )
            for n, (row, _) in enumerate(updated)
        ]
        run = following(rows.run, seq=rows.run.seq + len(events))
        return make_unit(run, updated=updated, events=events)

    def _started(self, row: PhaseRecord) -> PhaseRecord:
        return replace(
            row, state=PhaseState.RUNNING, fence=row.fence + 1, attempt=row.attempt + 1, worker=self.worker,
            lease_expires=self.until, started_at=NOW,
        )  # fmt: skip

    @property
    def paths(self) -> list[tuple[str, str]]:
        """Run id and path of what was offered, in this order."""
        return [(rows.run.id, path) for rows, paths in self.asked for path in paths]


def decline(rows: RunRows, paths: Sequence[str], now: datetime) -> None:
    """Grant nothing."""


SPENDING: Final = Spending(
    {
        "prepare": Usage(requests=2, input_tokens=1_200, output_tokens=3, cost=Decimal("0.0042")),
        "order/prepare": Usage(requests=1, cost=Decimal("7e-9")),
    },
    (Reservation("order[7]/prepare", 3, "call 1", Usage(requests=1, input_tokens=2**53)),),
)


def full_runs() -> list[RunRecord]:
    """Rows of a run that between them have a value of their own in every field."""
    failed = make_run(
        namespace="space", pipeline="prepare", version="1.2.3", fingerprint="f00d", state=RunState.FAILED.value,
        seq=41, epoch=3, priority=7, limits="2 pipeline prepare\n1 key order 7", key="order 7", while_open=True, signals=2, marks=("#urgent", "customer=42"), error=ERROR, created_at=NOW, updated_at=NOW + 3 * SECOND,
        started_at=NOW + SECOND, ended_at=NOW + 2 * SECOND, timeout=90 * SECOND, deadline=NOW + 60 * SECOND, active_ms=1_500, letter=40,
        undo_after=17, spending=SPENDING, sla_at=NOW + 70 * SECOND, breached=39, forked_from="run-0", parent_id="parent", parent_path="order[7]/prepare", parent_generation=2,
        trace="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )  # fmt: skip
    active = replace(
        failed, letter=None, undo_after=None, state="DECOMPOSING", error=None, priority=999, ended_at=None, active_since=NOW + SECOND / 1_000,
        expires_at=NOW + 60 * SECOND,
    )  # fmt: skip
    return [failed, active]


def full_phases() -> list[PhaseRecord]:
    """Rows of one phase that between them have a value of their own in every field, one for each state and more."""
    same: dict[str, Any] = {
        "queue": "enrichment", "priority": 7, "available_at": NOW + SECOND, "position": 0, "epoch": 3,
        "generation": 2, "limits": "4 phase prepare/phase", "attempt": 9, "failures": 4, "crashes": 3, "postponed": 2, "fence": 12,
        "reason": "because", "progress": Progress(done=0.1, total=3.5, note="on it"), "started_at": NOW - SECOND,
        "first_started_at": NOW - 2 * SECOND, "sla_at": NOW + 2 * SECOND,
    }  # fmt: skip
    path = "outer/inner[3]/phase"
    return [
        make_phase(path, PhaseState.PENDING, **same),
        make_phase(path, PhaseState.RETRYING, **same, error=ERROR),
        make_phase(path, PhaseState.RUNNING, **same, worker="w-7", lease_expires=NOW + 9 * SECOND),
        make_phase(path, PhaseState.RUNNING, **same, total=600, breached=40),
        make_wait(path, NOW + 4 * SECOND, **{**same, "wait_key": "order 7"}),
        make_wait(path, None, **same),
        make_wait(path, NOW - SECOND, **{**same, "wait_kind": WaitKind.TIMER}),
        make_wait(path, None, **{**same, "wait_kind": WaitKind.CHILD, "wait_key": "child"}),
        make_phase(path, PhaseState.COMPLETED, **same, live=True, length=0, ended_at=NOW + 5 * SECOND),
        make_phase(
            path,
            PhaseState.COMPLETED,
            **same,
            live=True,
            length=8,
            same_as="outer",
            ended_at=NOW + 5 * SECOND,
        ),
        make_phase(path, PhaseState.SKIPPED, **same, live=False, ended_at=NOW + 5 * SECOND),
        make_phase(path, PhaseState.SKIPPED, **same, decided=None, ended_at=NOW + 5 * SECOND),
        make_phase(path, PhaseState.FAILED, **same, live=False, error=ERROR, ended_at=NOW + 5 * SECOND),
        make_phase(
            path, PhaseState.PENDING, epoch=3, generation=2, limits=same["limits"], sla_at=same["sla_at"]
        ),
    ]


def paths_of(rows: Iterable[PhaseRecord]) -> list[str]:
    """Paths of rows, in order."""
    return [row.path for row in rows]
