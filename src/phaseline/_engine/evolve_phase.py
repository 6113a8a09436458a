"""Each fact about a phase together with what it changes: made in one place, so that rows and history cannot disagree."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from phaseline._definition.plan import Items, NodeKind, PlanNode
from phaseline._engine import evolve_run
from phaseline._engine.commands import Offer
from phaseline._engine.draft import Draft
from phaseline._engine.sla import level_of, told_if_late
from phaseline.events import (
    CheckpointCreated,
    ChildStarted,
    Emitted,
    PhaseCompensated,
    PhaseCompensationFailed,
    PhaseCompleted,
    PhaseFailed,
    PhaseRetrying,
    PhaseSkipped,
    PhaseStarted,
)
from phaseline.limits import joined
from phaseline.rows import FINISHED, ErrorInfo, PhaseRecord, PhaseState, RunState, WaitKind
from phaseline.times import later

# Members of an enum that are looked up once and not with each phase.
RUNNING, COMPLETED, PENDING = PhaseState.RUNNING, PhaseState.COMPLETED, PhaseState.PENDING
IDLE = RunState.IDLE
PHASE, UNDO = NodeKind.PHASE, NodeKind.UNDO

MANY = 100
"""Paths listed in a fact that ends many phases at once."""


# --------------------------------------------------------------------- what undoes phases
def undo_pending(draft: Draft, node: PlanNode, path: str, undone: PhaseRecord) -> PhaseRecord:
    """What undoes a phase waits for a worker; its key is of the generation that it undoes."""
    draft.waits = True
    position, _, fence = draft.new_row(path)
    row = draft.rows[path] = PhaseRecord(
        path=path, state=PENDING, queue=node.queue, priority=draft.run.priority, available_at=draft.now,
        position=position, epoch=draft.run.epoch, generation=undone.generation, fence=fence,
        limits=limits_of(draft, node),
    )  # fmt: skip
    return row


def phase_compensated(draft: Draft, row: PhaseRecord) -> None:
    """What undoes a phase has returned."""
    draft.rows[row.path] = replace(
        row, state=COMPLETED, worker=None, lease_expires=None, live=True, error=None, ended_at=draft.now,
        decided=draft.seq + 1,
    )  # fmt: skip
    draft.events.append(PhaseCompensated(**draft.head(), phase=row.path, attempt=row.attempt))


def compensation_failed(draft: Draft, row: PhaseRecord, error: ErrorInfo) -> None:
    """What undoes a phase failed and is not tried again by itself."""
    draft.rows[row.path] = replace(
        row, state=PhaseState.FAILED, worker=None, lease_expires=None, live=False, failures=row.failures + 1,
        error=error, ended_at=draft.now,
    )  # fmt: skip
    draft.events.append(
        PhaseCompensationFailed(**draft.head(), phase=row.path, attempt=row.attempt, error=error)
    )


# --------------------------------------------------------------------- phases
def phase_pending(
    draft: Draft, node: PlanNode, path: str, available_at: datetime, total: int | None = None
) -> None:
    """A phase waits for a worker, or a map for its time; no fact tells this, the row is enough."""
    draft.waits = True
    position, generation, fence = draft.new_row(path)
    draft.rows[path] = PhaseRecord(
        path=path, state=PENDING, queue=node.queue, priority=draft.run.priority, available_at=available_at,
        position=position, epoch=draft.run.epoch, generation=generation, fence=fence, total=total,
        limits=limits_of(draft, node), sla_at=level_of(draft, node, available_at),
    )  # fmt: skip


def limits_of(draft: Draft, node: PlanNode) -> str | None:
    """The limits that a node is under: those of its phase, where a body is called; tests and lists are under none."""
    if node.kind is not PHASE and node.kind is not UNDO:
        return None
    common, own = draft.run.limits, node.limits
    return common if own is None else own if common is None else joined(common, own)


def phase_noted(draft: Draft, node: PlanNode, path: str) -> PhaseRecord:
    """A phase that no worker is given has a row; what becomes of it is told next."""
    position, generation, fence = draft.new_row(path)
    row = draft.rows[path] = PhaseRecord(
        path=path, state=PENDING, queue=node.queue, priority=draft.run.priority, available_at=draft.now,
        position=position, epoch=draft.run.epoch, generation=generation, fence=fence,
    )  # fmt: skip
    return row


def phase_started(draft: Draft, node: PlanNode, path: str, row: PhaseRecord | None, offer: Offer) -> None:
    """A worker was granted a phase that waited (its row), or that became runnable this very moment (no row yet)."""
    now, run, worker, lease = draft.now, draft.run, offer.worker, offer.lease_expires
    if row is None:
        attempt = 1
        position, generation, fence = draft.new_row(path)
        fence += 1
        row = PhaseRecord(
            path=path, state=RUNNING, queue=node.queue, priority=run.priority, available_at=now,
            position=position, epoch=run.epoch, generation=generation, attempt=1, fence=fence, worker=worker,
            lease_expires=lease, first_started_at=now, started_at=now,
            sla_at=None if node.sla is None else level_of(draft, node, now),
        )  # fmt: skip
    else:
        attempt, fence = row.attempt + 1, row.fence + 1
        row = replace(
            row, state=RUNNING, attempt=attempt, fence=fence, worker=worker, lease_expires=lease, started_at=now,
            first_started_at=row.first_started_at or now, reason="",
        )  # fmt: skip
    draft.rows[path] = row
    transition = draft.move_on()
    draft.seq += 1
    draft.events.append(
        PhaseStarted(
            run_id=run.id, pipeline=run.pipeline, seq=draft.seq, at=now, phase=path, transition=transition, attempt=attempt,
            fence=fence, worker=worker,
        )
    )  # fmt: skip
    draft.granted.append(row)
    draft.threads += node.in_thread


def map_started(draft: Draft, node: PlanNode, path: str, row: PhaseRecord | None, total: int) -> None:
    """A map was taken apart; its row runs without a worker, its items have those."""
    if row is None:
        row = phase_noted(draft, node, path)
    fence = row.fence + 1
    draft.rows[path] = replace(row, state=RUNNING, attempt=1, fence=fence, total=total, started_at=draft.now)
    transition = draft.move_on()
    draft.events.append(
        PhaseStarted(**draft.head(), phase=path, transition=transition, attempt=1, fence=fence, total=total)
    )


def wait_started(draft: Draft, node: PlanNode, items: Items, row: PhaseRecord | None) -> PhaseRecord:
    """A wait began; its row runs without a worker until a signal or its time comes."""
    awaits, path = node.awaits, node.at(items)
    assert awaits is not None  # noqa: S101  # only waits are begun
    due_at = None if awaits.span is None else later(draft.now, awaits.span)
    if row is None:
        row = phase_noted(draft, node, path)
    draft.waits = draft.waits or due_at is not None
    row = draft.rows[path] = replace(
        row, state=RUNNING, attempt=row.attempt + 1, fence=row.fence + 1, started_at=draft.now,
        first_started_at=row.first_started_at or draft.now, reason="", due_at=due_at,
        wait_kind=WaitKind.TIMER if awaits.signal is None else WaitKind.SIGNAL,
        wait_key=None if awaits.signal is None else awaits.key_of(items),
    )  # fmt: skip
    transition = draft.move_on()
    draft.events.append(
        PhaseStarted(**draft.head(), phase=path, transition=transition, attempt=row.attempt, fence=row.fence)
    )
    return row


def child_started(draft: Draft, node: PlanNode, row: PhaseRecord, child: str, *, again: bool) -> None:
    """The worker has started a run, or found one that was, and is fenced off: from now on nobody is busy with the phase."""
    assert node.starts is not None  # noqa: S101  # only such phases do
    draft.rows[row.path] = replace(
        row, fence=row.fence + 1, worker=None, lease_expires=None, wait_kind=WaitKind.CHILD, wait_key=child
    )
    draft.events.append(
        ChildStarted(
            **draft.head(),
            phase=row.path,
            child=child,
            child_pipeline=node.starts,
            close=node.close,
            again=again,
        )
    )


def map_counted(draft: Draft, row: PhaseRecord, total: int) -> None:
    """A worker counted the list of a map, and is fenced off from it; no fact tells this, the row is enough."""
    draft.rows[row.path] = replace(row, total=total, fence=row.fence + 1, worker=None, lease_expires=None)


def test_decided(draft: Draft, row: PhaseRecord, *, held: bool) -> None:
    """A test has its verdict."""
    draft.rows[row.path] = replace(
        row, state=COMPLETED, worker=None, lease_expires=None, live=held, error=None, ended_at=draft.now,
        decided=draft.seq + 1,
    )  # fmt: skip
    draft.events.append(PhaseCompleted(**draft.head(), phase=row.path, attempt=row.attempt, held=held))


def phase_completed(draft: Draft, row: PhaseRecord, length: int | None) -> None:
    """A phase has its output."""
    now, path = draft.now, row.path
    if row.sla_at is not None:
        row = told_if_late(draft, row)
    draft.rows[path] = replace(
        row,
        state=COMPLETED,
        worker=None,
        lease_expires=None,
        live=True,
        length=length,
        error=None,
        ended_at=now,
        decided=draft.seq + 1,
    )
    draft.pass_ended()
    transition = draft.move_on()
    draft.seq += 1
    draft.events.append(
        PhaseCompleted(
            run_id=draft.run_id, pipeline=draft.run.pipeline, seq=draft.seq, at=now, phase=path, transition=transition, attempt=row.attempt,
            length=length,
        )
    )  # fmt: skip


def phase_finished_run(draft: Draft, row: PhaseRecord) -> None:
    """A phase has the output of the whole run; where the run is then, its own end tells."""
    row = told_if_late(draft, row)
    draft.rows[row.path] = replace(
        row, state=COMPLETED, worker=None, lease_expires=None, live=True, reason=FINISHED, error=None,
        ended_at=draft.now, decided=draft.seq + 1,
    )  # fmt: skip
    draft.events.append(PhaseCompleted(**draft.head(), phase=row.path, attempt=row.attempt, finishes=True))
    draft.pass_ended()


def phase_skipped(
    draft: Draft, row: PhaseRecord, reason: str, *, live: bool, length: int | None = None
) -> None:
    """A phase ended without running to its end; ``live`` if a value is handed on all the same."""
    if draft.state == IDLE:  # it goes on after an end, and this is what it begins with
        evolve_run.pipeline_started(draft)
    row = told_if_late(draft, row)
    draft.rows[row.path] = replace(
        row, state=PhaseState.SKIPPED, worker=None, lease_expires=None, live=live, length=length, reason=reason,
        error=None, ended_at=draft.now, decided=draft.seq + 1,
    )  # fmt: skip
    draft.pass_ended()
    transition = draft.move_on()
    draft.events.append(
        PhaseSkipped(
            **draft.head(), phase=row.path, transition=transition, reason=reason, live=live, length=length
        )
    )


def phase_failed(draft: Draft, row: PhaseRecord, error: ErrorInfo, *, final: bool = False) -> None:
    """A phase failed and is not tried again by itself; not ``final``: a retry of the run takes it up again."""
    row = told_if_late(draft, row)
    draft.rows[row.path] = replace(
        row, state=PhaseState.FAILED, worker=None, lease_expires=None, live=False, failures=row.failures + 1,
        error=error, ended_at=draft.now, decided=draft.seq + 1 if final else None,
    )  # fmt: skip
    draft.pass_ended()
    draft.events.append(PhaseFailed(**draft.head(), phase=row.path, attempt=row.attempt, error=error))


def phase_retrying(
    draft: Draft,
    row: PhaseRecord,
    reason: str,
    again_at: datetime,
    error: ErrorInfo | None = None,
    *,
    note: str = "",
) -> None:
    """An attempt ended without an output, and the phase waits for the next one."""
    draft.waits = True
    draft.rows[row.path] = replace(
        row, state=PhaseState.RETRYING, worker=None, lease_expires=None, available_at=again_at,
        failures=row.failures + (reason == "failed"), crashes=row.crashes + (reason == "lost"),
        postponed=row.postponed + (reason == "again"), reason=reason, error=error,
    )  # fmt: skip
    draft.events.append(
        PhaseRetrying(
            **draft.head(),
            phase=row.path,
            attempt=row.attempt,
            reason=reason,
            again_at=again_at,
            error=error,
            note=note,
        )
    )


def phases_cancelled(
    draft: Draft, rows: list[PhaseRecord], reason: str = "cancelled", *, final: bool = False
) -> None:
    """Many phases end at once, fenced off; one fact tells of them all.

    Not ``final``: a retry of the run takes them up again.
    """
    draft.cuts = True
    rows = [told_if_late(draft, row) for row in rows]
    for row in rows:
        draft.rows[row.path] = replace(
            row, state=PhaseState.SKIPPED, fence=row.fence + 1, worker=None, lease_expires=None, live=False,
            reason=reason, ended_at=draft.now, decided=draft.seq + 1 if final else None,
        )  # fmt: skip
    draft.pass_ended()
    draft.events.append(
        PhaseSkipped(
            **draft.head(), reason=reason, count=len(rows), paths=tuple(row.path for row in rows[:MANY])
        )
    )


def phases_skipped(draft: Draft, rows: list[PhaseRecord], reason: str, passing: Collection[str] = ()) -> None:
    """Phases that a decision left over end at once, fenced off; those at ``passing`` hand on what they would take."""
    if draft.state == IDLE:  # as above
        evolve_run.pipeline_started(draft)
    rows = [told_if_late(draft, row) for row in rows]
    for row in rows:
        draft.cuts = draft.cuts or row.worker is not None
        draft.rows[row.path] = replace(
            row, state=PhaseState.SKIPPED, fence=row.fence + (row.attempt > 0), worker=None, lease_expires=None,
            live=row.path in passing, reason=reason, error=None, ended_at=draft.now, decided=draft.seq + 1,
        )  # fmt: skip
    draft.pass_ended()
    transition = draft.move_on()
    alone = rows[0].path if len(rows) == 1 else None
    draft.events.append(
        PhaseSkipped(
            **draft.head(),
            phase=alone,
            transition=transition,
            reason=reason,
            count=len(rows),
            paths=() if alone else tuple(row.path for row in rows[:MANY]),
            live=bool(passing),
        )
    )


def checkpoint_created(draft: Draft, path: str) -> None:
    """The position after a phase was noted."""
    run = draft.run
    draft.seq = seq = draft.seq + 1
    draft.events.append(
        CheckpointCreated(
            run_id=run.id, pipeline=run.pipeline, seq=seq, at=draft.now, phase=path, checkpoint=f"{run.id}:{seq}",
            revision=draft.revision, epoch=run.epoch,
        )
    )  # fmt: skip


def emitted(draft: Draft, path: str, name: str, payload: Mapping[str, Any]) -> None:
    """A body told an event of the application."""
    draft.more().emits = True
    draft.events.append(Emitted(**draft.head(), phase=path, name=name, payload=payload))
