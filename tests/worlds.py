"""Several storages with the engine on each, asked the same step by step: what they answer and what they hold must be equal."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import attrs
import msgspec

from phaseline import Context, Pipeline, Rate, Signal, each, parallel, phase
from phaseline._definition.plan import NodeKind, Plan
from phaseline._engine.commands import NO_OFFER, Begin, Command, Offer
from phaseline._engine.decide import Verdict, fold
from phaseline._engine.draft import Draft
from phaseline._engine.snapshot import Snapshot
from phaseline._engine.verdicts import Refused
from phaseline.abc import ClaimRequest, DueRuns, DueWaits, HeldPhase, LateLevels, Storage
from phaseline.rows import Definition, PhaseRecord, RunRecord
from phaseline.run_filter import RunFilter
from phaseline.testing.stored import stored_runs
from phaseline.timetable import Firing, ScheduleRecord
from phaseline.unit_of_work import Outcome, RunRows, Unit

START = datetime(2030, 1, 1, tzinfo=UTC)
LEASE = timedelta(seconds=30)
PLENTY = 1_000
APPROVED = Signal[int]("approved")


# --------------------------------------------------------------------- what runs; nobody calls these bodies
async def undo(_taken: int, _given: object, ctx: Context) -> None:
    raise AssertionError(ctx.phase)


@phase(compensate=undo, concurrency=1, sla=timedelta(seconds=6))
async def reserve(number: int) -> list[int]:
    return [number]


@phase(compensate=undo, sla=timedelta(seconds=4))
async def pack(number: int) -> int:
    return number


@phase(may_finish=True)
async def total(numbers: list[int]) -> int:
    return sum(numbers)


@phase(compensate=undo)
async def confirm(number: int) -> int:
    return number


@phase
async def ship(decided: tuple[int, int]) -> int:
    return sum(decided)


@phase
async def read(number: int) -> int:
    return number


@phase(queue="slow", may_finish=True, rate=Rate(2, per=timedelta(seconds=4)))
async def left(number: int) -> int:
    return number


@phase(sla=timedelta(seconds=9))
async def right(number: int) -> int:
    return number


@phase
async def join(numbers: tuple[int, int]) -> int:
    return sum(numbers)


@phase
async def listed(number: int) -> list[int]:
    return [number]


@phase(concurrency=2, rate=Rate(3, per=timedelta(seconds=3)))
async def item(number: int) -> int:
    return number


@phase
async def counted(numbers: list[object]) -> int:
    return len(numbers)


PIPELINES = (
    Pipeline(
        "order",
        reserve
        >> each(pack, limit=2)
        >> total
        >> confirm.wait_for(APPROVED, timeout=timedelta(seconds=20))
        >> ship,
        sla=timedelta(seconds=9),
    ),
    Pipeline(
        "report",
        read.with_options(compensate=undo) >> parallel(left, right.sleep_for(timedelta(seconds=5))) >> join,
        concurrency=2,
        on_failure="rollback",
    ),
    Pipeline("items", listed >> each(item, on_error="collect") >> counted),
)
PLANS: Mapping[Definition, Plan] = {pipeline.plan.definition: pipeline.plan for pipeline in PIPELINES}
NAMES: Mapping[str, Plan] = {plan.name: plan for plan in PLANS.values()}


class Answer(msgspec.Struct, frozen=True):
    """What came of a command: what it started, or why it was not carried out."""

    outcome: str
    started: tuple[PhaseRecord, ...] = ()
    reason: str = ""

    @property
    def is_done(self) -> bool:
        """Whether it was carried out."""
        return self.outcome == "done"


FENCED = Answer("fenced")


@attrs.frozen
class Grants:
    """What a claim came to."""

    started: tuple[tuple[str, PhaseRecord], ...]
    waiting: int | None
    next_due: datetime | None


@attrs.frozen
class Sweep:
    """What a look at all that is late came to."""

    lost: frozenset[HeldPhase]
    waits: DueWaits
    runs: DueRuns
    levels: LateLevels


Dump: TypeAlias = Sequence[object]


@attrs.define
class World:
    """One storage, and the engine on it: reads a run, decides, and commits, as the shell does."""

    storage: Storage
    namespace: str
    seen: dict[str, Snapshot] = attrs.field(factory=dict[str, Snapshot])
    """Runs as they were read at some time: what is read later is read as what came since, too."""

    def load(self, run_id: str) -> Snapshot:
        """Read a run as a whole, and as what was written since it was read last: it must come to the same."""
        rows = self.storage.load(self.namespace, run_id)
        assert rows is not None
        whole = Snapshot.from_rows(PLANS[rows.run.definition], rows)
        before = self.seen.get(run_id)
        if before is not None:
            since = self.storage.load(self.namespace, run_id, before.run.revision)
            assert since is not None
            assert same_snapshot(before.advanced(since), whole)
        self.seen[run_id] = whole
        return whole

    def do(
        self, run_id: str, command: Command, now: datetime, commit_id: int, offer: Offer = NO_OFFER
    ) -> Answer:
        """Carry a command out."""
        answer, unit = self.decide(run_id, command, now, commit_id, offer)
        return answer if unit is None else self.land(answer, unit)

    def decide(
        self, run_id: str, command: Command, now: datetime, commit_id: int, offer: Offer = NO_OFFER
    ) -> tuple[Answer, Unit | None]:
        """Decide a command on the run as it is now, and write nothing."""
        draft, (verdict,) = fold(self.load(run_id), (command,), now, offer)
        return answer_of(verdict), None if draft.is_empty else draft.unit(commit_id=commit_id)

    def land(self, answer: Answer, unit: Unit) -> Answer:
        """Write what was decided at some time."""
        outcome = self.storage.commit((unit,))[0]
        return answer if outcome is Outcome.COMMITTED else Answer(outcome.value)

    def start(self, record: RunRecord, command: Command, commit_id: int, offer: Offer) -> Answer:
        """Store a new run."""
        base = Snapshot(PLANS[record.definition], record)
        draft, (verdict,) = fold(base, (command,), record.created_at, offer)
        return self.land(answer_of(verdict), draft.unit(commit_id=commit_id, input_text="1"))

    def claim(
        self, worker: str, queues: frozenset[str] | None, room: int, now: datetime, commit_id: int
    ) -> Grants:
        """Claim as a worker does, who knows some runs from before."""
        drafts: dict[str, Draft] = {}
        known = {run_id: snapshot.run.revision for run_id, snapshot in self.seen.items()}

        def grant(rows: RunRows, paths: Sequence[str], moment: datetime) -> Unit | None:
            before = self.seen.get(rows.run.id) if rows.since else None
            plan = PLANS[rows.run.definition]
            base = Snapshot.from_rows(plan, rows) if before is None else before.advanced(rows)
            left = room - sum(len(draft.granted) for draft in drafts.values())
            draft, _ = fold(base, (Begin(tuple(paths)),), moment, Offer(worker, moment + LEASE, left, queues))
            if draft.is_empty:
                return None
            drafts[rows.run.id] = draft
            return draft.unit(commit_id=commit_id)

        request = ClaimRequest(self.namespace, queues, frozenset(PLANS), room, now, known)
        claimed = self.storage.claim(request, grant)
        started = [(unit.run.id, row) for unit in claimed.units for row in drafts[unit.run.id].granted]
        return Grants(tuple(started), claimed.waiting, claimed.next_due)

    def look(self, now: datetime, dead: Collection[str]) -> Sweep:
        """Look for all that is late: leases, waits and runs."""
        space, plans = self.namespace, frozenset(PLANS)
        lost = self.storage.lost(space, now, dead, plans, PLENTY)
        waits = self.storage.due(space, now, plans, PLENTY)
        runs = self.storage.overdue(space, now, plans, PLENTY)
        levels = self.storage.late(space, now, plans, PLENTY)
        return Sweep(
            frozenset(lost),
            attrs.evolve(waits, waits=list(waits.waits)),
            attrs.evolve(runs, run_ids=list(runs.run_ids)),
            attrs.evolve(levels, levels=sorted(levels.levels, key=str)),
        )

    def fire(
        self,
        schedule: ScheduleRecord,
        expected: int,
        record: RunRecord | None,
        command: Command,
        commit_id: int,
    ) -> str:
        """Fire a slot of a schedule as it was read at some time, or let it go."""
        unit = None
        if record is not None:
            draft, _ = fold(
                Snapshot(PLANS[record.definition], record), (command,), record.created_at, NO_OFFER
            )
            unit = draft.unit(commit_id=commit_id, input_text="1")
        return self.storage.timetable.fire([Firing(schedule, expected, unit)])[0].value

    def dump(self, run_ids: Iterable[str], stepped: Mapping[str, set[str]]) -> Dump:
        """All that is stored of some runs, with the steps of these phases, to be compared."""
        return [
            *(self._plain(run_id, stepped.get(run_id, ())) for run_id in sorted(run_ids)),
            list(self.storage.timetable.all(self.namespace)),
        ]

    def _plain(self, run_id: str, stepped: Iterable[str]) -> object:
        only = RunFilter(from_id=run_id, to_id=f"{run_id}\x01")
        (account,) = stored_runs(self.storage, self.namespace, only)
        steps = {
            path: [
                dict(self.storage.steps(self.namespace, run_id, path, n))
                for n in range(account.rows[path].generation + 1)
            ]
            for path in stepped
        }
        return (
            account.run, dict(account.rows), list(account.events), list(account.checkpoints), dict(account.values),
            list(account.signals), account.letter, steps,
        )  # fmt: skip


def answer_of(verdict: Verdict) -> Answer:
    """A verdict as it can be compared."""
    if verdict is None:
        return FENCED
    if isinstance(verdict, Refused):
        return Answer("refused", reason=f"{verdict.verb} in {verdict.state}: {verdict.reason}")
    return Answer("done", tuple(verdict))


def same_snapshot(one: Snapshot, other: Snapshot) -> bool:
    """Whether two ways of reading a run came to the same.

    Nobody counts the items of a map that has ended, and that a lease was renewed is no commit of the run.
    """

    def plain(snapshot: Snapshot) -> object:
        rows = {path: msgspec.structs.replace(row, lease_expires=None) for path, row in snapshot.rows.items()}
        counts = {path: count for path, count in snapshot.items.items() if rows[path].ended_at is None}
        return (
            snapshot.run,
            rows,
            snapshot.gone,
            snapshot.cursor,
            snapshot.positions,
            [*snapshot.signals.items()],
            counts,
        )

    return plain(one) == plain(other)


def output_of(plan: Plan, path: str) -> tuple[str, int | None]:
    """What the body of a phase gives, encoded, and its length where a map takes it apart."""
    node, _ = plan.locate(path)
    if node.kind is NodeKind.UNDO:
        return "null", None
    return ("[1,2]", 2) if plan.binding_of(node).is_counted else ("1", None)
