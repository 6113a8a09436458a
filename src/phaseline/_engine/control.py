"""What people and programs command of a run: allowed by the table in ``phaseline.control``, else refused."""

from __future__ import annotations

from typing import assert_never

from phaseline._engine import evolve
from phaseline._engine.commands import Cancel, Order, Pause, Resume
from phaseline._engine.snapshot import Draft, is_ended
from phaseline.control import TABLE, Verb, kind_of
from phaseline.run import RunState


class Refused(Exception):  # noqa: N818  # a verdict: the shell makes an error of it
    """The run does not obey this command now."""

    def __init__(self, verb: Verb, state: str, reason: str = "") -> None:
        super().__init__(verb, state, reason)
        self.verb, self.state, self.reason = verb, state, reason


def obey(draft: Draft, order: Order) -> None:
    """Carry out a command of a person or a program.

    Raises:
        Refused: The state of the run does not allow it; the draft is unchanged.
    """
    match order:
        case Pause():
            _check(draft, Verb.PAUSE)
            evolve.pipeline_paused(draft, order.reason, order.actor)
        case Resume():
            _check(draft, Verb.RESUME)
            _resume(draft, order)
        case Cancel():
            _check(draft, Verb.CANCEL)
            rows = [row for row in draft.all_rows() if not is_ended(row)]
            if rows:
                evolve.phases_cancelled(draft, rows)
            evolve.pipeline_cancelled(draft, order.reason, order.actor)
        case _:
            assert_never(order)


def _check(draft: Draft, verb: Verb) -> None:
    if kind_of(draft.state) not in TABLE[verb]:
        raise Refused(verb, draft.state)


def _resume(draft: Draft, order: Resume) -> None:
    if draft.cursor == len(draft.plan.order):  # what was in flight was all there was
        evolve.pipeline_resumed(draft, None, order.reason, order.actor)
        evolve.pipeline_completed(draft)
    elif _has_begun(draft):
        label = draft.plan.order[draft.cursor].label
        evolve.pipeline_resumed(draft, label, order.reason, order.actor)
    else:
        evolve.pipeline_resumed(draft, RunState.IDLE, order.reason, order.actor)


def _has_begun(draft: Draft) -> bool:
    """Whether anything was started since it last was IDLE."""
    return any(row.attempt and row.epoch == draft.run.epoch for row in draft.all_rows())
