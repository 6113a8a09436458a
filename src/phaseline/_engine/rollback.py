"""Rollbacks: what of a run is kept, what is undone, and where the run stands then.

What undoes a phase is an execution of its own, at the path of the phase with a mark behind it. One at a time comes up: that of
the phase that was committed latest. The rows of both are part of the run until everything is undone, for by them is known
what is left to do, and they hold what is needed for it; then they are dropped at once.
"""

from __future__ import annotations

from phaseline._definition.plan import UNDO_MARK
from phaseline._engine import evolve_phase, evolve_run
from phaseline._engine.commands import NO_OFFER, Offer, Retry, RollBack
from phaseline._engine.draft import Draft
from phaseline._engine.flow import start
from phaseline._engine.rewind import drop_rows, is_kept, is_undone_by_itself, undoable
from phaseline._engine.snapshot import is_ended
from phaseline.control import ACTIVE, kind_of
from phaseline.rows import FINISHED, PhaseRecord, PhaseState, RunState

ITS_FAILURE = "it failed"
"""The reason of a rollback that nobody commanded."""
GOING = frozenset({ACTIVE, str(RunState.IDLE), str(RunState.INITIALIZING)})


def obstacle(draft: Draft, order: RollBack) -> str:
    """Say why the run cannot be taken back there; nothing if it can."""
    if order.to is None:
        return ""
    last = committed(draft, order.to, order.epoch)
    if isinstance(last, str):
        return last
    if last < 0:
        return (
            f"phase {order.to!r} was taken over from run {draft.run.forked_from}, and what followed it there is not this "
            "run's to undo; fork that run after it"
        )
    if not goes_on_after(draft, last):
        return f"nothing comes after phase {order.to!r} that could be undone"
    return ""


def committed(draft: Draft, path: str, epoch: int | None) -> int | str:
    """Give the number of the fact that decided a phase, in an epoch if one is named, or say why there is none."""
    row = draft.row(path)
    if row is None or row.decided is None:
        return f"phase {path!r} is not committed"
    if epoch not in (None, row.epoch):
        return f"that checkpoint is gone: phase {path!r} was undone after it, and done once more"
    return row.decided


def goes_on_after(draft: Draft, last: int) -> bool:
    """Whether anything is left to be done, or was done, after what was decided by the fact of this number."""
    rows = [draft.row(node.path) for node in draft.plan.order]
    kept = [row for row in rows if row is not None and is_kept(row, last)]
    return len(kept) < len(rows) and all(row.reason != FINISHED for row in kept)


def roll_back(draft: Draft, order: RollBack) -> None:
    """Fence off what runs, and undo what was committed after the phase that is named."""
    target = None if order.to is None else draft.row(order.to)
    last = 0 if target is None else target.decided or 0
    if kind_of(draft.state) in GOING:
        evolve_run.pipeline_paused(draft, order.reason, order.actor)
    unfinished = [row for row in draft.all_rows() if not is_ended(row)]
    if unfinished:
        evolve_phase.phases_cancelled(draft, unfinished)
    if not draft.plan.undos:
        _finish(draft, order.to, last, order.reason, order.actor)
        return
    evolve_run.pipeline_rolling_back(draft, order.to, last, order.reason, order.actor)
    _undo_next(draft, last, NO_OFFER)


def take_back_failure(draft: Draft) -> None:
    """Undo what a run had committed that failed this moment, if its pipeline says so, and if there is anything to undo.

    In the same unit: whoever waits for its end waits for that of the rollback, and no crash comes in between.
    """
    if is_undone_by_itself(draft):
        evolve_run.pipeline_rolling_back(draft, None, 0, ITS_FAILURE, "")
        _undo_next(draft, 0, NO_OFFER)


def go_on(draft: Draft, order: Retry) -> None:
    """Go on with a rollback that failed: with what failed of it."""
    evolve_run.pipeline_retried(draft, order.reason, order.actor, RunState.ROLLING_BACK)
    for row in [row for row in _undos(draft) if row.decided is None]:
        draft.drop(row, row.generation)
    _undo_next(draft, draft.run.undo_after or 0, NO_OFFER)


def undone(draft: Draft, row: PhaseRecord, offer: Offer) -> None:
    """Go on from what was undone this moment to what is undone next."""
    evolve_phase.phase_compensated(draft, row)
    _undo_next(draft, draft.run.undo_after or 0, offer)


def _undo_next(draft: Draft, last: int, offer: Offer) -> None:
    """Undo what was committed latest of all that is not undone yet; or come to the end, where nothing is left."""
    row = _latest(draft, last)
    if row is None:
        to = next((row.path for row in draft.all_rows() if row.decided == last), None) if last else None
        _finish(draft, to, last)
        return
    node, _ = draft.plan.undos[draft.plan.locate(row.path)[0].index]
    path = row.path + UNDO_MARK
    pending = evolve_phase.undo_pending(draft, node, path, row)
    if pending.limits is None:  # else a claim alone knows whether a slot is free
        start(draft, node, path, pending, offer)


def _latest(draft: Draft, last: int) -> PhaseRecord | None:
    """The phase to be undone next: one after the other, in the reverse order of their commits."""
    base = draft.base
    todo = base.undoing
    if todo is None:
        todo = [row.path for row in sorted(undoable(draft, last), key=lambda row: row.decided or 0)]
        if base.run.state == RunState.ROLLING_BACK:  # from here on nothing is committed but what undoes these
            base.undoing = todo
    while todo and _is_undone(base.rows.get(todo[-1] + UNDO_MARK)):
        todo.pop()
    left = (path for path in reversed(todo) if not _is_undone(draft.row(path + UNDO_MARK)))
    path = next(left, None)
    return None if path is None else draft.row(path)


def _is_undone(row: PhaseRecord | None) -> bool:
    return row is not None and row.state is PhaseState.COMPLETED


def _undos(draft: Draft) -> list[PhaseRecord]:
    return [row for row in draft.all_rows() if row.path.endswith(UNDO_MARK)]


def _finish(draft: Draft, to: str | None, last: int, reason: str = "", actor: str = "") -> None:
    evolve_run.pipeline_rolled_back(draft, to, reason, actor)
    undos = _undos(draft)
    for row in undos:
        draft.drop(row, row.generation)
    drop_rows(draft, [row for row in draft.all_rows() if not is_kept(row, last)])
