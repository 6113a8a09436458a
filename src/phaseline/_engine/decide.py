"""What a command does to a run: read the draft, record facts. The only place where rules live, with ``flow``.

A command that may not be carried out is refused before anything is recorded: by ``Fenced`` where the phase is no
longer the caller's, by ``Refused`` where the run's state does not allow it, silently where there is nothing left to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias

from msgspec.structs import replace

from phaseline._definition.plan import NodeKind
from phaseline._engine import evolve_phase, evolve_run
from phaseline._engine.children import attach, child_ended
from phaseline._engine.commands import (
    Attach,
    Begin,
    ChildEnded,
    Command,
    Elapse,
    Emission,
    Expire,
    Fail,
    FinishRun,
    Judge,
    Offer,
    Postpone,
    Receive,
    Reclaim,
    RecordStep,
    Release,
    Reserve,
    Save,
    SkipPhase,
    Start,
    Succeed,
    TellLate,
    Unfold,
)
from phaseline._engine.control import obey
from phaseline._engine.draft import Draft
from phaseline._engine.endings import fail_for_good, fail_overdue, finish_run, skip_arm
from phaseline._engine.flow import flow_on, open_map, open_node, start, unfold_map
from phaseline._engine.rollback import take_back_failure, undone
from phaseline._engine.sla import begin_run, tell_late
from phaseline._engine.snapshot import Snapshot
from phaseline._engine.spending import reserve, settle, spend
from phaseline._engine.verdicts import Fenced, Refused
from phaseline._engine.waits import begin_wait, elapse, receive
from phaseline.rows import (
    SETTLED_STATES,
    STANDING_STATES,
    WAITING_PHASES,
    ErrorCategory,
    ErrorInfo,
    PhaseRecord,
    PhaseState,
    Progress,
    RunState,
)
from phaseline.unit_of_work import SavedValue, StepResult

RUNNING, UNDO = PhaseState.RUNNING, NodeKind.UNDO
FAILED_RUN = RunState.FAILED


Verdict: TypeAlias = list[PhaseRecord] | Refused | None
"""What became of a command: the phases it started on the offering worker, why it was refused, or None if it was fenced."""


def fold(
    base: Snapshot, commands: Sequence[Command], now: datetime, offer: Offer
) -> tuple[Draft, list[Verdict]]:
    """Decide the commands that wait for one run, one after another, into one unit of work."""
    if len(commands) == 1:
        draft, verdict = fold_one(base, commands[0], now, offer)
        return draft, [verdict]
    draft = Draft(base, now)
    verdicts: list[Verdict] = []
    for command in commands:
        before = len(draft.granted)
        try:
            decide(draft, command, offer)
        except Fenced:
            verdicts.append(None)
        except Refused as refusal:
            verdicts.append(refusal)
        else:
            verdicts.append(draft.granted[before:])
    # What was started may have been ended in the same unit.
    draft.granted = [row for row in draft.granted if draft.row(row.path) is row]
    verdicts = [
        [row for row in verdict if draft.row(row.path) is row] if isinstance(verdict, list) else verdict
        for verdict in verdicts
    ]
    return draft, verdicts


def fold_one(base: Snapshot, command: Command, now: datetime, offer: Offer) -> tuple[Draft, Verdict]:
    """Do as ``fold`` does for a command that waits alone, as most do."""
    draft = Draft(base, now)
    try:
        decide(draft, command, offer)
    except Fenced:
        return draft, None
    except Refused as refusal:
        return draft, refusal
    if draft.cuts:
        draft.granted = [row for row in draft.granted if draft.row(row.path) is row]
    return draft, draft.granted


def decide(draft: Draft, command: Command, offer: Offer) -> None:  # noqa: C901, PLR0912  # one case for each command
    """Carry a command out on a draft.

    Raises:
        Fenced: It comes from a worker that no longer holds the phase; the draft is unchanged.
        Refused: The state of the run does not allow it; the draft is unchanged.
    """
    match command:
        case Succeed():
            _succeed(draft, command, offer)
        case Begin():
            _begin(draft, command, offer)
        case Start():
            _start(draft, command, offer)
        case Judge():
            _judge(draft, command)
        case Unfold():
            unfold_map(draft, _held(draft, command.path, command.fence), offer, command.total)
        case Fail():
            _fail(draft, command)
        case Postpone():
            _postpone(draft, command)
        case SkipPhase():
            _skip(draft, command)
        case FinishRun():
            _finish(draft, command)
        case RecordStep():
            _record_step(draft, command)
        case Save():
            _save(draft, _held(draft, command.path, command.fence), command.value)
        case Reserve():
            reserve(draft, _held(draft, command.path, command.fence), command)
        case Release():
            row = _held(draft, command.path, command.fence)
            spend(draft, row, command.spent)  # what it reserved stays: it was stopped in the midst of it
            _save_last(draft, row, command.saved)
            evolve_phase.phase_retrying(draft, row, "handed_over", draft.now)
        case Reclaim():
            _reclaim(draft, command)
        case Attach():
            attach(draft, command, _held(draft, command.path, command.fence))
        case ChildEnded():
            child_ended(draft, command)
        case Expire():
            fail_overdue(draft)
        case TellLate():
            tell_late(draft, command)
        case Receive():
            receive(draft, command)
        case Elapse():
            elapse(draft, command)
        case _:
            obey(draft, command)
    if draft.state == FAILED_RUN:
        take_back_failure(draft)
    flow_on(draft, offer)


def _held(draft: Draft, path: str, fence: int) -> PhaseRecord:
    row = draft.rows.get(path) or draft.known.get(path)
    if row is None or row.state is not RUNNING or row.fence != fence:
        raise Fenced
    return row


# --------------------------------------------------------------------- beginnings
def _start(draft: Draft, command: Start, offer: Offer) -> None:
    if draft.run.revision > 0:
        return
    begin_run(draft, command.available_at)
    for node in draft.plan.entries:
        open_node(draft, node, (), offer, available_at=command.available_at, length=command.length)


def _begin(draft: Draft, command: Begin, offer: Offer) -> None:
    if draft.state in SETTLED_STATES:
        return
    for path in command.paths:
        row = draft.row(path)
        if row is None or row.state not in WAITING_PHASES or row.available_at > draft.now:
            continue  # somebody was faster, and it failed or was put off again
        node, items = draft.plan.locate(path)
        if node.kind is NodeKind.MAP and row.total is not None:
            open_map(draft, node, path, row, offer, row.total)
        elif node.awaits is not None:
            begin_wait(draft, node, items, row)
        else:
            start(draft, node, path, row, offer)


# --------------------------------------------------------------------- what bodies came to
def _succeed(draft: Draft, command: Succeed, offer: Offer) -> None:
    path = command.path
    row = _held(draft, path, command.fence)
    if command.spent or draft.spending is not None:
        settle(draft, row, command.spent)
    if command.has_saved:
        _save(draft, row, None)
    if command.emitted:
        _tell(draft, path, command.emitted)
    if command.progress is not None:
        row = replace(row, progress=command.progress)
    if command.same_as is None:
        draft.outputs[path] = command.output
    else:
        row = _given_same(draft, row, command.same_as)
    node, items = draft.plan.locate(path)
    if node.kind is UNDO:
        undone(draft, row, offer)
        return
    evolve_phase.phase_completed(draft, row, command.length)
    draft.just_ended.append((node, items))


def _judge(draft: Draft, command: Judge) -> None:
    row = _held(draft, command.path, command.fence)
    node, items = draft.plan.locate(row.path)
    evolve_phase.test_decided(draft, row, held=command.held)
    draft.just_ended.append((node, items))
    skip_arm(draft, node, items, held=command.held)


def _skip(draft: Draft, command: SkipPhase) -> None:
    row = _held(draft, command.path, command.fence)
    settle(draft, row, command.spent)
    if command.has_saved:
        _save(draft, row, None)
    _tell(draft, row.path, command.emitted)
    if command.same_as is not None:
        row = _given_same(draft, row, command.same_as)
    elif command.output is not None:
        draft.outputs[row.path] = command.output
    node, items = draft.plan.locate(row.path)
    # An item that skips itself is left out of the list: what it took is no output of it.
    live = command.output is not None or (command.passes_input and not node.ends_item)
    evolve_phase.phase_skipped(draft, row, command.reason, live=live, length=command.length)
    draft.just_ended.append((node, items))


def _finish(draft: Draft, command: FinishRun) -> None:
    row = _with_progress(_held(draft, command.path, command.fence), command.progress)
    settle(draft, row, command.spent)
    if command.has_saved:
        _save(draft, row, None)
    _tell(draft, row.path, command.emitted)
    if command.same_as is None:
        draft.outputs[row.path] = command.output
    else:
        row = _given_same(draft, row, command.same_as)
    finish_run(draft, row)


def _given_same(draft: Draft, row: PhaseRecord, path: str) -> PhaseRecord:
    """Give a row that refers to a stored value; always to where its text is, however often it was handed on."""
    given = draft.row(path)
    return replace(row, same_as=path if given is None or given.same_as is None else given.same_as)


def _fail(draft: Draft, command: Fail) -> None:
    row = _with_progress(_held(draft, command.path, command.fence), command.progress)
    (spend if command.cut_off else settle)(draft, row, command.spent)
    _save_last(draft, row, command.saved)
    if command.again_at is None:
        fail_for_good(draft, row, command.error)
    else:
        evolve_phase.phase_retrying(draft, row, "failed", command.again_at, command.error)
        evolve_run.error_occurred(draft, row, command.error, ends_run=False)


def _postpone(draft: Draft, command: Postpone) -> None:
    row = _with_progress(_held(draft, command.path, command.fence), command.progress)
    settle(draft, row, command.spent)
    _save_last(draft, row, command.saved)
    _tell(draft, row.path, command.emitted)
    if row.postponed < command.limit:
        evolve_phase.phase_retrying(draft, row, "again", command.again_at, note=command.reason)
        return
    message = f"asked to be called again more than {command.limit} times"
    error = ErrorInfo(category=ErrorCategory.PROCESSING, type="Again", message=message, phase=row.path)
    fail_for_good(draft, row, error)


def _record_step(draft: Draft, command: RecordStep) -> None:
    row = _held(draft, command.path, command.fence)
    if command.spent:
        spend(draft, row, command.spent)
    _tell(draft, row.path, command.emitted)
    if command.progress is not None:
        draft.rows[row.path] = _with_progress(row, command.progress)
    draft.more().steps.append(StepResult(row.path, row.generation, command.key, command.result))


def _save(draft: Draft, row: PhaseRecord, value: str | None) -> None:
    draft.more().saved[row.path] = SavedValue(row.path, row.generation, value)


def _save_last(draft: Draft, row: PhaseRecord, value: str | None) -> None:
    """Store with the end of an attempt what its body saved last."""
    if value is not None:
        _save(draft, row, value)


def _reclaim(draft: Draft, command: Reclaim) -> None:
    for path, fence in command.lost:
        row = draft.row(path)
        if row is None or row.state is not RUNNING or row.fence != fence:
            continue  # it ended, or somebody was faster
        if row.crashes < command.limit:
            evolve_phase.phase_retrying(draft, row, "lost", draft.now)
            continue
        message = f"its worker was lost {row.crashes + 1} times while it ran; it is held to be the cause"
        error = ErrorInfo(category=ErrorCategory.SYSTEM, type="WorkerLost", message=message, phase=path)
        fail_for_good(draft, replace(row, crashes=row.crashes + 1), error)
        if draft.state in STANDING_STATES:
            return


def _tell(draft: Draft, path: str, emitted: Sequence[Emission]) -> None:
    for name, payload in emitted:
        evolve_phase.emitted(draft, path, name, payload)


def _with_progress(row: PhaseRecord, progress: Progress | None) -> PhaseRecord:
    return row if progress is None else replace(row, progress=progress)
