"""Rollbacks: what of a run is kept, what is undone, and where the run stands then."""

from __future__ import annotations

from phaseline._engine import evolve
from phaseline._engine.again import drop_rows
from phaseline._engine.commands import RollBack
from phaseline._engine.snapshot import Draft, is_ended
from phaseline.control import ACTIVE, kind_of
from phaseline.run import FINISHED, PhaseRecord, RunState

GOING = frozenset({ACTIVE, str(RunState.IDLE), str(RunState.INITIALIZING)})


def obstacle(draft: Draft, order: RollBack) -> str:
    """Say why the run cannot be taken back there; nothing if it can."""
    if order.to is None:
        return ""
    row = draft.row(order.to)
    if row is None or row.decided is None:
        return f"phase {order.to!r} is not committed"
    if order.epoch not in (None, row.epoch):
        return f"that checkpoint is gone: phase {order.to!r} was undone after it, and done once more"
    rest = (draft.row(node.path) for node in draft.plan.order)
    if row.reason == FINISHED or all(other is not None and is_kept(other, row.decided) for other in rest):
        return f"nothing comes after phase {order.to!r} that could be undone"
    return ""


def is_kept(row: PhaseRecord, last: int) -> bool:
    """Whether a phase was decided by the fact of this number, or by one before it."""
    return row.decided is not None and row.decided <= last


def roll_back(draft: Draft, order: RollBack) -> None:
    """Fence off what runs, and undo what was committed after the phase that is named."""
    target = None if order.to is None else draft.row(order.to)
    last = 0 if target is None else target.decided or 0
    if kind_of(draft.state) in GOING:
        evolve.pipeline_paused(draft, order.reason, order.actor)
    unfinished = [row for row in draft.all_rows() if not is_ended(row)]
    if unfinished:
        evolve.phases_cancelled(draft, unfinished)
    evolve.pipeline_rolled_back(draft, order.to, order.reason, order.actor)
    drop_rows(draft, [row for row in draft.all_rows() if not is_kept(row, last)])
