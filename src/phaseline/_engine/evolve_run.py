"""Each fact about a run together with what it changes: made in one place, so that row and history cannot disagree."""

from __future__ import annotations

from msgspec.structs import replace

from phaseline._engine.commands import Fork, Receive
from phaseline._engine.draft import Draft
from phaseline._engine.sla import begin_run, let_go_of_run, tell_of_run
from phaseline._engine.timing import begun_anew, is_timed
from phaseline.dead_letter import DeadLetter
from phaseline.events import (
    DeadLetterDiscarded,
    ErrorOccurred,
    PhaseDeadLettered,
    PipelineAnnotated,
    PipelineCancelled,
    PipelineCompleted,
    PipelineFailed,
    PipelineForked,
    PipelinePaused,
    PipelineRestarted,
    PipelineResumed,
    PipelineRetried,
    PipelineRolledBack,
    PipelineRollingBack,
    PipelineStarted,
    Severity,
    SignalReceived,
    Transition,
)
from phaseline.rows import ErrorCategory, ErrorInfo, PhaseRecord, RunState, SignalRecord


def pipeline_started(draft: Draft) -> None:
    """A worker took the run up."""
    transition = draft.move(RunState.INITIALIZING)
    draft.change_run(started_at=draft.run.started_at or draft.now)
    draft.events.append(
        PipelineStarted(
            run_id=draft.run_id,
            pipeline=draft.run.pipeline,
            seq=draft.next_seq(),
            at=draft.now,
            transition=transition,
        )
    )


def pipeline_completed(draft: Draft) -> None:
    """Every phase has ended and none failed."""
    tell_of_run(draft)
    transition = draft.move(RunState.COMPLETED)
    draft.change_run(ended_at=draft.now)
    draft.events.append(
        PipelineCompleted(
            run_id=draft.run_id,
            pipeline=draft.run.pipeline,
            seq=draft.next_seq(),
            at=draft.now,
            transition=transition,
        )
    )


def pipeline_failed(draft: Draft, error: ErrorInfo) -> None:
    """A phase failed for good, or its time was over."""
    tell_of_run(draft)
    transition = draft.move(RunState.FAILED)
    draft.change_run(ended_at=draft.now, error=error)
    draft.events.append(PipelineFailed(**draft.head(), transition=transition, error=error))


def error_occurred(draft: Draft, row: PhaseRecord | None, error: ErrorInfo, *, ends_run: bool) -> None:
    """Something went wrong, in an attempt of a phase or, without a row, with the run's time."""
    severity = Severity.WARNING
    if ends_run:
        severity = Severity.CRITICAL if error.category is ErrorCategory.SYSTEM else Severity.ERROR
    draft.events.append(
        ErrorOccurred(
            **draft.head(),
            phase=None if row is None else row.path,
            severity=severity,
            error=error,
            attempt=None if row is None else row.attempt,
        )
    )


def dead_lettered(draft: Draft, row: PhaseRecord | None, error: ErrorInfo, input_: str | None) -> None:
    """What is known of a failure was put aside for somebody to see to; without a row it was the run's time that was over."""
    phase, attempts, crashes = (None, 0, 0) if row is None else (row.path, row.attempt, row.crashes)
    head = draft.head()
    draft.more().letter = DeadLetter(
        **head, phase=phase, error=error, attempts=attempts, crashes=crashes, input=input_
    )
    draft.change_run(letter=head["seq"])
    draft.events.append(
        PhaseDeadLettered(
            **head,
            phase=phase,
            category=error.category.value,
            attempts=attempts,
            crashes=crashes,
            input=input_,
        )
    )


def letter_discarded(draft: Draft, reason: str, actor: str) -> None:
    """Somebody let go of it."""
    draft.change_run(letter=None)
    draft.events.append(DeadLetterDiscarded(**draft.head(), reason=reason, actor=actor))


def pipeline_paused(draft: Draft, reason: str, actor: str) -> None:
    """Somebody had it pause."""
    transition = draft.move(RunState.PAUSED)
    draft.events.append(PipelinePaused(**draft.head(), transition=transition, reason=reason, actor=actor))


def pipeline_resumed(draft: Draft, target: str | None, reason: str, actor: str) -> None:
    """Somebody had it go on; without a target its own end tells where it is then."""
    transition = None if target is None else draft.move(target)
    _go_on(draft)
    draft.events.append(PipelineResumed(**draft.head(), transition=transition, reason=reason, actor=actor))


def pipeline_retried(draft: Draft, reason: str, actor: str, target: RunState = RunState.IDLE) -> None:
    """Somebody had it taken up where it failed."""
    transition = _reopened(draft, target)
    draft.events.append(
        PipelineRetried(
            **draft.head(), transition=transition, reason=reason, actor=actor, epoch=draft.run.epoch
        )
    )


def pipeline_restarted(draft: Draft, phase: str | None, reason: str, actor: str) -> None:
    """Somebody had it done once more, from a phase on, or all of it."""
    transition = _reopened(draft)
    draft.events.append(
        PipelineRestarted(
            **draft.head(),
            phase=phase,
            transition=transition,
            reason=reason,
            actor=actor,
            epoch=draft.run.epoch,
        )
    )


def _reopened(draft: Draft, target: RunState = RunState.IDLE) -> Transition | None:
    draft.begin_epoch()
    had_ended = draft.has_ended
    _go_on(draft)
    if had_ended and target is RunState.IDLE:
        begin_run(draft, draft.now)
    return draft.move(target)


def pipeline_rolling_back(draft: Draft, to: str | None, last: int, reason: str, actor: str) -> None:
    """What was committed after a phase, or all, is being compensated."""
    let_go_of_run(draft)
    transition = _reopened(draft, RunState.ROLLING_BACK)
    draft.change_run(undo_after=last)
    draft.events.append(
        PipelineRollingBack(
            **draft.head(), phase=to, transition=transition, reason=reason, actor=actor, epoch=draft.run.epoch
        )
    )


def _go_on(draft: Draft) -> None:
    """Have phases taken up from now on; after an end the run's times begin anew."""
    draft.more().opens = draft.waits = True
    if not draft.has_ended:
        return
    if is_timed(draft.run):
        draft.run = replace(draft.run, **begun_anew(draft.run, draft.now))
    draft.change_run(ended_at=None, error=None)


def pipeline_rolled_back(draft: Draft, to: str | None, reason: str, actor: str) -> None:
    """It is where it was after the commit of a phase, or before its first."""
    let_go_of_run(draft)
    draft.begin_epoch()
    transition = draft.move(RunState.ROLLED_BACK)
    draft.change_run(ended_at=draft.now, error=None, undo_after=None)
    draft.events.append(
        PipelineRolledBack(
            **draft.head(), phase=to, transition=transition, reason=reason, actor=actor, epoch=draft.run.epoch
        )
    )


def pipeline_forked(draft: Draft, order: Fork, *, fork: str | None = None, origin: str | None = None) -> None:
    """The run was copied, or is a copy."""
    draft.events.append(
        PipelineForked(
            **draft.head(), phase=order.at, fork=fork, origin=origin, reason=order.reason, actor=order.actor
        )
    )


def pipeline_annotated(draft: Draft, note: str, reason: str, actor: str) -> None:
    """Somebody wrote something into its history."""
    draft.events.append(PipelineAnnotated(**draft.head(), note=note, reason=reason, actor=actor))


def pipeline_cancelled(draft: Draft, reason: str, actor: str) -> None:
    """Somebody ended it."""
    tell_of_run(draft)
    draft.begin_epoch()
    transition = draft.move(RunState.CANCELLED)
    draft.change_run(ended_at=draft.now)
    draft.events.append(
        PipelineCancelled(
            **draft.head(), transition=transition, reason=reason, actor=actor, epoch=draft.run.epoch
        )
    )


def signal_received(draft: Draft, sent: Receive) -> SignalRecord:
    """Somebody sent a signal."""
    head = draft.head()
    record = SignalRecord(
        seq=head["seq"], name=sent.signal, key=sent.key, id=sent.id, value=sent.value, received_at=head["at"]
    )
    received = draft.more().signals
    received[record.seq] = record
    draft.change_run(signals=draft.base.run.signals + len(received))
    told = SignalReceived(**head, signal=sent.signal, key=sent.key, id=sent.id, actor=sent.actor)
    draft.events.append(told)
    return record
