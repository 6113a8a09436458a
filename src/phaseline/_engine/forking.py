"""Forks: a run that begins with what another one had committed, and goes on by itself.

The copy has rows of its own, decided before its first fact: by the numbers 0, -1, -2, … backwards. So nothing that is asked
of the order of facts asks whether a run was forked, and a rollback of the copy ends where it began.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from phaseline._engine import evolve_run, rollback
from phaseline._engine.commands import NO_OFFER, Fork
from phaseline._engine.draft import Copy, Draft
from phaseline._engine.flow import flow_on, take_up
from phaseline._engine.rewind import is_kept
from phaseline._engine.sla import begin_run
from phaseline._engine.snapshot import Snapshot
from phaseline._engine.timing import begun_anew
from phaseline.rows import PhaseRecord, RunRecord, RunState
from phaseline.unit_of_work import RunRows


def obstacle(draft: Draft, order: Fork) -> str:
    """Say why the run cannot be copied up to there; nothing if it can."""
    last = _last(draft, order)
    if isinstance(last, str):
        return last
    if not rollback.goes_on_after(draft, last):
        where = "it has" if order.at is None else f"after phase {order.at!r} there is"
        return f"{where} nothing left to do; name the phase after which the copy is to go on: at=..."
    return ""


def fork(draft: Draft, order: Fork) -> None:
    """Have a copy begin in the same commit; for what has no obstacle."""
    last = _last(draft, order)
    assert isinstance(last, int)  # noqa: S101  # asked before
    evolve_run.pipeline_forked(draft, order, fork=order.run_id)
    record = _record(draft, order)
    rows = _taken_over([row for row in draft.all_rows() if is_kept(row, last)])
    copy = Draft(Snapshot.from_rows(draft.plan, RunRows(record, rows)), draft.now)
    evolve_run.pipeline_forked(copy, order, origin=draft.run_id)
    begin_run(copy, copy.now)
    take_up(copy, copy.plan.members[None], (), NO_OFFER)
    flow_on(copy, NO_OFFER)
    draft.more().forked = Copy(copy, rows)


def _last(draft: Draft, order: Fork) -> int | str:
    """The number of the last fact whose phase the copy has; or why there is none."""
    return draft.seq if order.at is None else rollback.committed(draft, order.at, order.epoch)


def _record(draft: Draft, order: Fork) -> RunRecord:
    """The row of the copy: how it is run is as with the other one, its times begin now."""
    run, now = draft.run, draft.now
    deadline = begun_anew(run, now)["deadline"]
    return RunRecord(
        namespace=run.namespace, id=order.run_id, pipeline=run.pipeline, version=run.version, fingerprint=run.fingerprint,
        state=str(RunState.IDLE), revision=0, seq=0, priority=run.priority, limits=run.limits, marks=run.marks,
        timeout=run.timeout, deadline=deadline, forked_from=run.id, trace=run.trace, created_at=now, updated_at=now,
    )  # fmt: skip


def _taken_over(rows: Sequence[PhaseRecord]) -> list[PhaseRecord]:
    """Rows as the copy has them: decided before its first fact, in the order in which they were."""
    facts = sorted({row.decided or 0 for row in rows}, reverse=True)
    numbers = {fact: -place for place, fact in enumerate(facts)}
    return [
        replace(row, epoch=0, decided=numbers[row.decided or 0], sla_at=None, breached=None) for row in rows
    ]
