"""What people and programs command of a run: allowed by the table in ``phaseline.control``, else refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from phaseline._engine import evolve_phase, evolve_run, forking, rollback
from phaseline._engine.commands import (
    NO_OFFER,
    Annotate,
    Cancel,
    Discard,
    Fork,
    Pause,
    RerunFrom,
    Restart,
    Resume,
    Retry,
    RollBack,
    RunCommand,
)
from phaseline._engine.draft import Draft
from phaseline._engine.flow import take_up
from phaseline._engine.rewind import drop_rows, from_here_on, undecided
from phaseline._engine.snapshot import is_ended
from phaseline._engine.verdicts import Refused
from phaseline._engine.waits import take_what_came
from phaseline.control import TABLE, Verb, kind_of
from phaseline.rows import PhaseRecord, RunState

VERBS: Mapping[type[RunCommand], Verb] = {
    Pause: Verb.PAUSE, Resume: Verb.RESUME, Cancel: Verb.CANCEL, Retry: Verb.RETRY, RerunFrom: Verb.RERUN_FROM,
    Restart: Verb.RESTART, RollBack: Verb.ROLLBACK, Fork: Verb.FORK, Annotate: Verb.ANNOTATE, Discard: Verb.DISCARD,
}  # fmt: skip

_NOT_HALFWAY = frozenset({Verb.RERUN_FROM, Verb.RESTART, Verb.ROLLBACK, Verb.FORK})
"""What a run that failed amid a rollback does not obey: a part of it is undone."""


def verb_of(order: RunCommand) -> Verb:
    """The verb of a command."""
    return VERBS[type(order)]


def obey(draft: Draft, order: RunCommand) -> None:  # noqa: C901  # one case for each command
    """Carry out a command of a person or a program.

    Raises:
        Refused: The state of the run does not allow it; the draft is unchanged.
    """
    verb = verb_of(order)
    _check_state(draft, verb)
    match order:
        case Pause():
            evolve_run.pipeline_paused(draft, order.reason, order.actor)
        case Resume():
            _resume(draft, order)
        case Cancel():
            _cancel(draft, order)
        case Retry():
            _retry(draft, order)
        case RerunFrom():
            _rerun_from(draft, order)
        case Restart():
            _restart(draft, order)
        case RollBack():
            _roll_back(draft, order)
        case Fork():
            _fork(draft, order)
        case Annotate():
            evolve_run.pipeline_annotated(draft, order.note, order.reason, order.actor)
        case Discard():
            if draft.letter_seq is None:
                raise Refused(verb, draft.state, "its dead letter was discarded before")
            evolve_run.letter_discarded(draft, order.reason, order.actor)
        case _:
            assert_never(order)


def _check_state(draft: Draft, verb: Verb) -> None:
    if kind_of(draft.state) not in TABLE[verb]:
        is_rolling_back = draft.state == RunState.ROLLING_BACK
        raise Refused(verb, draft.state, "a rollback is finishing" if is_rolling_back else "")
    if draft.run.undo_after is not None and verb in _NOT_HALFWAY:
        raise Refused(verb, draft.state, "a rollback of it is unfinished; retry finishes it", _NOT_HALFWAY)


def _cancel(draft: Draft, order: Cancel) -> None:
    rows = [row for row in draft.all_rows() if not is_ended(row)]
    if rows:
        evolve_phase.phases_cancelled(draft, rows)
    evolve_run.pipeline_cancelled(draft, order.reason, order.actor)


def _roll_back(draft: Draft, order: RollBack) -> None:
    if obstacle := rollback.obstacle(draft, order):
        raise Refused(Verb.ROLLBACK, draft.state, obstacle)
    rollback.roll_back(draft, order)


def _fork(draft: Draft, order: Fork) -> None:
    if obstacle := forking.obstacle(draft, order):
        raise Refused(Verb.FORK, draft.state, obstacle)
    forking.fork(draft, order)


def _go_on_without(draft: Draft, rows: list[PhaseRecord]) -> None:
    """Bring up again what comes of the rest."""
    drop_rows(draft, rows)
    _take_up(draft)


def _take_up(draft: Draft) -> None:
    """Bring up what is to be done next, for workers to claim."""
    take_up(draft, draft.plan.members[None], (), NO_OFFER)


def _retry(draft: Draft, order: Retry) -> None:
    if draft.run.undo_after is not None:
        rollback.go_on(draft, order)
        return
    evolve_run.pipeline_retried(draft, order.reason, order.actor)
    _go_on_without(draft, undecided(draft))


def _rerun_from(draft: Draft, order: RerunFrom) -> None:
    if not is_ended(draft.row(order.phase)):
        raise Refused(Verb.RERUN_FROM, draft.state, f"phase {order.phase!r} has not come up yet")
    evolve_run.pipeline_restarted(draft, order.phase, order.reason, order.actor)
    _go_on_without(draft, from_here_on(draft, draft.plan.by_path[order.phase]))


def _restart(draft: Draft, order: Restart) -> None:
    evolve_run.pipeline_restarted(draft, None, order.reason, order.actor)
    _go_on_without(draft, [*draft.all_rows()])


def _resume(draft: Draft, order: Resume) -> None:
    if draft.state == RunState.ROLLED_BACK:
        evolve_run.pipeline_resumed(draft, RunState.IDLE, order.reason, order.actor)
        _take_up(draft)
    elif draft.cursor == len(draft.plan.order):  # what was in flight was all there was
        evolve_run.pipeline_resumed(draft, None, order.reason, order.actor)
        evolve_run.pipeline_completed(draft)
    elif _has_begun(draft):
        label = draft.plan.order[draft.cursor].label
        evolve_run.pipeline_resumed(draft, label, order.reason, order.actor)
        take_what_came(draft)
    else:
        evolve_run.pipeline_resumed(draft, RunState.IDLE, order.reason, order.actor)


def _has_begun(draft: Draft) -> bool:
    """Whether anything was started since it last was IDLE."""
    epoch = draft.run.epoch
    rows = (row for row in draft.all_rows() if row.epoch == epoch and not row.is_taken_over)
    return any(row.attempt or is_ended(row) for row in rows)
