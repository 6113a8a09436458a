"""Phases that wait for runs of their own: how the wait begins, and how it ends."""

from __future__ import annotations

from phaseline._engine import evolve_phase
from phaseline._engine.commands import Attach, ChildEnded
from phaseline._engine.draft import Draft
from phaseline._engine.endings import fail_for_good
from phaseline._engine.messages import waits_for_child
from phaseline.rows import PhaseRecord


def attach(draft: Draft, command: Attach, row: PhaseRecord) -> None:
    """Let go of the worker, and wait; a run that was stored before may have ended, and is to be looked at."""
    node, _ = draft.plan.locate(row.path)
    evolve_phase.child_started(draft, node, row, command.child, again=command.unit is None)
    draft.more().started[row.path] = command.unit


def child_ended(draft: Draft, command: ChildEnded) -> None:
    """End the wait for a run; does nothing where nobody waits for it any more."""
    row = draft.row(command.path)
    if row is None or not waits_for_child(row) or row.wait_key != command.child:
        return
    if command.error is not None:
        fail_for_good(draft, row, command.error)
        return
    assert command.output is not None  # noqa: S101  # else there would be an error
    draft.outputs[row.path] = command.output
    evolve_phase.phase_completed(draft, row, command.length)
    draft.just_ended.append(draft.plan.locate(row.path))
