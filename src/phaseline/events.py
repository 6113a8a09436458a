"""Facts: what happened to a run, in the past tense, with stable wire names.

They are written in the commit that makes them true, numbered per run without a gap, and told afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar, TypedDict

import msgspec

from phaseline.rows import Checkpoint, ErrorInfo, error_of
from phaseline.usage import Usage, cost_text


class Transition(msgspec.Struct, frozen=True, gc=False):
    """A move of the run's state machine."""

    source: str
    """State that it left."""
    target: str
    """State that it came to."""


class Head(TypedDict):
    """What each stored fact begins with."""

    run_id: str
    """Id of the run."""
    pipeline: str
    """Name of the pipeline."""
    seq: int
    """Number within the run, from 1."""
    at: datetime
    """When, by the storage's time."""


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Base of all facts."""

    wire_name: ClassVar[str]
    """The stable name on the wire."""
    own_fields: ClassVar[tuple[str, ...]] = ()
    """Names of the fields that this kind has beside those of all kinds."""

    run_id: str
    """Id of the run."""
    pipeline: str
    """Name of the pipeline that it is a run of."""
    seq: int | None
    """Number within the run, from 1; None for what is told live but never stored."""
    at: datetime
    """When, by the storage's time."""
    phase: str | None = None
    """Path of the phase, or of the item of a map, that it is about."""
    transition: Transition | None = None
    """The move of the run that it tells of; None if the run stays where it is."""

    @property
    def type(self) -> str:
        """The stable name on the wire."""
        return self.wire_name

    @property
    def position(self) -> Checkpoint | None:
        """The checkpoint that it made."""
        return None

    @property
    def data(self) -> dict[str, Any]:
        """The fields of this kind of event as plain JSON data; a copy of its own for each reader."""
        return {name: value for name in self.own_fields if (value := getattr(self, name)) is not None}


def _error_data(error: ErrorInfo) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(error).items() if value is not None}


# --------------------------------------------------------------------- the run
class PipelineStarted(Event, frozen=True, kw_only=True, gc=False):
    """A worker took the run up."""

    wire_name = "PIPELINE_STARTED"


class PipelineCompleted(Event, frozen=True, kw_only=True, gc=False):
    """Every phase has ended and none failed."""

    wire_name = "PIPELINE_COMPLETED"


class PipelineFailed(Event, frozen=True, kw_only=True, gc=False):
    """A phase failed for good; phases still in flight were ended in the same commit."""

    wire_name = "PIPELINE_FAILED"
    own_fields: ClassVar[tuple[str, ...]] = ("error",)

    error: ErrorInfo
    """What it failed with."""

    @property
    def data(self) -> dict[str, Any]:
        """The error."""
        return {"error": _error_data(self.error)}


class _Commanded(Event, frozen=True, kw_only=True, gc=False):
    """Somebody commanded it."""

    own_fields: ClassVar[tuple[str, ...]] = ("reason", "actor")

    reason: str = ""
    """Why, in the words of who commanded it."""
    actor: str = ""
    """Who commanded it."""


class PipelinePaused(_Commanded, frozen=True, kw_only=True, gc=False):
    """No phase starts from now on; what runs may end and is committed."""

    wire_name = "PIPELINE_PAUSED"


class PipelineResumed(_Commanded, frozen=True, kw_only=True, gc=False):
    """Phases start again."""

    wire_name = "PIPELINE_RESUMED"


class PipelineAnnotated(_Commanded, frozen=True, kw_only=True, gc=False):
    """Somebody wrote something into the run's history."""

    wire_name = "PIPELINE_ANNOTATED"
    own_fields: ClassVar[tuple[str, ...]] = ("note", "reason", "actor")

    note: str
    """What was written."""


class DeadLetterDiscarded(_Commanded, frozen=True, kw_only=True, gc=False):
    """Somebody let go of the run's dead letter: it stays FAILED."""

    wire_name = "DEAD_LETTER_DISCARDED"


class EpochBegun(_Commanded, frozen=True, kw_only=True, gc=False):
    """Base of what leaves behind all that was begun before: nobody who holds a part of it can write to the run any more."""

    own_fields: ClassVar[tuple[str, ...]] = ("reason", "actor", "epoch")

    epoch: int
    """That of the run from here on."""


class PipelineCancelled(EpochBegun, frozen=True, kw_only=True, gc=False):
    """The run was ended from outside; what ran or waited was ended in the same commit."""

    wire_name = "PIPELINE_CANCELLED"


class PipelineRetried(EpochBegun, frozen=True, kw_only=True, gc=False):
    """A failed run goes on: what had not completed comes up again."""

    wire_name = "PIPELINE_RETRIED"


class PipelineRestarted(EpochBegun, frozen=True, kw_only=True, gc=False):
    """A run that had ended is done once more: from ``phase`` on, or, without one, all of it."""

    wire_name = "PIPELINE_RESTARTED"


class PipelineRollingBack(EpochBegun, frozen=True, kw_only=True, gc=False):
    """What was committed after ``phase`` is being compensated, in the reverse order of its commits."""

    wire_name = "PIPELINE_ROLLING_BACK"


class PipelineRolledBack(EpochBegun, frozen=True, kw_only=True, gc=False):
    """The run is where it was after the commit of ``phase``, or, without one, before its first; all else is undone."""

    wire_name = "PIPELINE_ROLLED_BACK"


class PipelineForked(_Commanded, frozen=True, kw_only=True, gc=False):
    """The run was copied: of the origin it tells which run is the copy, and of the copy, as its first fact, which is the origin.

    ``phase`` is the one after which the copy goes on; None, where it has all that was committed.
    """

    wire_name = "PIPELINE_FORKED"
    own_fields: ClassVar[tuple[str, ...]] = ("reason", "actor", "fork", "origin")

    fork: str | None = None
    """Id of the copy."""
    origin: str | None = None
    """Id of the run that was copied."""


class SignalReceived(Event, frozen=True, kw_only=True, gc=False):
    """Somebody sent a signal, and it is kept until a phase takes it; the value is not told, for it may be anything."""

    wire_name = "SIGNAL_RECEIVED"
    own_fields: ClassVar[tuple[str, ...]] = ("signal", "key", "id", "actor")

    signal: str
    """Name of the signal."""
    key: str | None = None
    """Which of several waits for this name it is for; None if for one without a key."""
    id: str | None = None
    """By which a second sending of it is known."""
    actor: str = ""
    """Who sent it, as far as that was said."""


class ChildStarted(Event, frozen=True, kw_only=True, gc=False):
    """A run of another pipeline was started, and the phase waits for its end."""

    wire_name = "CHILD_STARTED"
    own_fields: ClassVar[tuple[str, ...]] = ("child", "child_pipeline", "close", "again")

    child: str
    """Id of the run."""
    child_pipeline: str
    """Name of the pipeline that it is a run of."""
    close: str
    """What becomes of it if the phase does not wait for it any more: ``cancel`` or ``abandon``."""
    again: bool = False
    """Whether it had been started before, and is waited for once more."""


# --------------------------------------------------------------------- its phases
class PhaseStarted(Event, frozen=True, kw_only=True, gc=False):
    """A worker was granted the phase; its body is about to be called."""

    wire_name = "PHASE_STARTED"
    own_fields: ClassVar[tuple[str, ...]] = ("attempt", "fence", "worker", "total")

    attempt: int
    """Number of the attempt, from 1."""
    fence: int
    """Fence of the attempt: rises with every grant."""
    worker: str | None = None
    """Id of the worker that took it up."""
    total: int | None = None
    """Number of items, if it is a map."""


class PhaseCompleted(Event, frozen=True, kw_only=True, gc=False):
    """The phase's output is stored; its body never runs again in this epoch."""

    wire_name = "PHASE_COMPLETED"
    own_fields: ClassVar[tuple[str, ...]] = ("attempt", "length", "held", "finishes")

    attempt: int
    """Number of the attempt, from 1."""
    length: int | None = None
    """Number of elements, if its output feeds a map."""
    held: bool | None = None
    """The verdict, if it is the test of a ``when`` or ``branch``."""
    finishes: bool | None = None
    """True if its body ended the run with it, by ``Finish``."""


class PhaseFailed(Event, frozen=True, kw_only=True, gc=False):
    """The phase failed and will not be tried again by itself."""

    wire_name = "PHASE_FAILED"
    own_fields: ClassVar[tuple[str, ...]] = ("attempt", "error")

    attempt: int
    """Number of the attempt, from 1."""
    error: ErrorInfo
    """What it failed with."""

    @property
    def data(self) -> dict[str, Any]:
        """The attempt and its error."""
        return {"attempt": self.attempt, "error": _error_data(self.error)}


class PhaseDeadLettered(Event, frozen=True, kw_only=True, gc=False):
    """The run fails, and a dead letter tells of the cause until somebody sees to it; without a phase its time was over."""

    wire_name = "PHASE_DEAD_LETTERED"
    own_fields: ClassVar[tuple[str, ...]] = ("category", "attempts", "crashes", "input")

    category: str
    """Category of the error."""
    attempts: int
    """How often a worker took the phase up."""
    crashes: int
    """Attempts whose worker was lost."""
    input: str | None = None
    """Where what the phase was given is stored, as ``DeadLetter.input``."""


class PhaseRetrying(Event, frozen=True, kw_only=True, gc=False):
    """An attempt ended without an output and the phase waits for the next one."""

    wire_name = "PHASE_RETRYING"
    own_fields: ClassVar[tuple[str, ...]] = ("attempt", "reason", "again_at", "error", "note")

    attempt: int
    """Number of the attempt, from 1."""
    reason: str
    """``failed``, ``lost`` (its worker died), ``handed_over`` (its worker stopped) or ``again`` (it asked to)."""
    again_at: datetime
    """When the next attempt may start."""
    error: ErrorInfo | None = None
    """What the attempt failed with; None where it did not fail."""
    note: str = ""
    """What the body gave as its reason to ask for another call."""

    @property
    def data(self) -> dict[str, Any]:
        """The attempt, why it ended, and when the next one may start (ISO 8601)."""
        data: dict[str, Any] = {
            "attempt": self.attempt,
            "reason": self.reason,
            "again_at": self.again_at.isoformat(),
        }
        if self.error is not None:
            data["error"] = _error_data(self.error)
        if self.note:
            data["note"] = self.note
        return data


class Severity(StrEnum):
    """How much an error matters."""

    WARNING = "WARNING"
    """The run goes on: the attempt is made once more, or a map collects the failure."""
    ERROR = "ERROR"
    """The run has failed."""
    CRITICAL = "CRITICAL"
    """The run has failed, and other runs may be about to: the category is SYSTEM, as where a phase is held to be the cause
    of the loss of its workers."""


class ErrorOccurred(Event, frozen=True, kw_only=True, gc=False):
    """Something went wrong that somebody may want to be told of: an attempt that failed, or the end of a run's time."""

    wire_name = "ERROR_OCCURRED"
    own_fields: ClassVar[tuple[str, ...]] = ("severity", "attempt", "error")

    severity: Severity
    """How much it matters."""
    error: ErrorInfo
    """What it failed with."""
    attempt: int | None = None
    """The attempt that failed; None where it was none."""

    @property
    def data(self) -> dict[str, Any]:
        """The severity, the attempt, and the error."""
        return {**super().data, "severity": self.severity.value, "error": _error_data(self.error)}


class PhaseSkipped(Event, frozen=True, kw_only=True, gc=False):
    """A phase, or ``count`` of them at once, will not run."""

    wire_name = "PHASE_SKIPPED"
    own_fields: ClassVar[tuple[str, ...]] = ("reason", "count", "paths", "live", "length")

    reason: str
    """Why, in words."""
    count: int = 1
    """How many phases."""
    paths: tuple[str, ...] = ()
    """The first hundred paths, when several end at once."""
    live: bool = False
    """Whether a value is handed on all the same."""
    length: int | None = None
    """Number of elements, if what is handed on feeds a map."""

    @property
    def data(self) -> dict[str, Any]:
        """Why, how many, and which."""
        return {**super().data, "paths": list(self.paths)}


class PhaseCompensated(Event, frozen=True, kw_only=True, gc=False):
    """What undoes a phase has returned; ``phase`` is its own path, ``reserve~`` for phase ``reserve``."""

    wire_name = "PHASE_COMPENSATED"
    own_fields: ClassVar[tuple[str, ...]] = ("attempt",)

    attempt: int
    """Number of the attempt, from 1."""


class PhaseCompensationFailed(PhaseFailed, frozen=True, kw_only=True, gc=False):
    """What undoes a phase failed and is not tried again by itself; the run fails, and ``retry`` goes on from there."""

    wire_name = "PHASE_COMPENSATION_FAILED"


class PhaseProgress(Event, frozen=True, kw_only=True, gc=False):
    """Live only: how far a body says it is."""

    wire_name = "PHASE_PROGRESS"
    own_fields: ClassVar[tuple[str, ...]] = ("done", "total", "note")

    done: float
    """How far it is."""
    total: float | None = None
    """Where it ends, if the body knows."""
    note: str = ""
    """What the body says of it."""


class UsageRecorded(Event, frozen=True, kw_only=True, gc=False):
    """A body used something that is paid for; stored with its next commit, also where its attempt failed."""

    wire_name = "USAGE_RECORDED"
    own_fields: ClassVar[tuple[str, ...]] = ("key", "requests", "input_tokens", "output_tokens", "cost")

    key: str
    """Name that the body gave to it: that of the step, where it was used in one."""
    requests: int
    """Number of requests."""
    input_tokens: int
    """Tokens that were sent."""
    output_tokens: int
    """Tokens that were answered."""
    cost: Decimal
    """As ``Usage.cost``."""

    @property
    def usage(self) -> Usage:
        """How much."""
        return Usage(
            requests=self.requests,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cost=self.cost,
        )

    @property
    def data(self) -> dict[str, Any]:
        """The name and the amounts; the cost as the text of a decimal number."""
        return {**super().data, "cost": cost_text(self.cost)}


class SlaBreached(Event, frozen=True, kw_only=True, gc=False):
    """A phase, or without one the run, was not over when its service level says that it should be; it goes on all the same."""

    wire_name = "SLA_BREACHED"
    own_fields: ClassVar[tuple[str, ...]] = ("sla_at", "state")

    sla_at: datetime
    """When it should have been over."""
    state: str
    """In which it was: of the phase, or of the run. Where nobody looked before, this is told with its end, just before it."""

    @property
    def data(self) -> dict[str, Any]:
        """The state, and when it should have been over (ISO 8601)."""
        return {"sla_at": self.sla_at.isoformat(), "state": self.state}


class CheckpointCreated(Event, frozen=True, kw_only=True, gc=False):
    """A position was stored to which the run can be taken back."""

    wire_name = "CHECKPOINT_CREATED"
    own_fields: ClassVar[tuple[str, ...]] = ("checkpoint", "revision", "epoch")

    checkpoint: str
    """Id of the checkpoint."""
    revision: int
    """Revision of the run with this commit."""
    epoch: int = 0
    """Epoch of the run."""

    @property
    def position(self) -> Checkpoint:
        """The checkpoint that it made."""
        return Checkpoint(self.checkpoint, self.phase or "", self.revision, self.epoch, self.at)


class Emitted(Event, frozen=True, kw_only=True, gc=False):
    """What a body emitted: an event of the application's own kind."""

    wire_name = "EMITTED"

    name: str
    """The name that the application gave to this kind."""
    payload: Mapping[str, Any]
    """What the application put into it, as plain JSON data."""

    @property
    def type(self) -> str:
        """The name that the application gave to this kind."""
        return self.name

    @property
    def data(self) -> dict[str, Any]:
        """What the application put into it; a copy, so that nobody can change what happened."""
        return deepcopy(dict(self.payload))


_KINDS: tuple[type[Event], ...] = (
    PipelineStarted, PipelineCompleted, PipelineFailed, PipelinePaused, PipelineResumed, PipelineCancelled,
    PipelineRetried, PipelineRestarted, PipelineRollingBack, PipelineRolledBack, PipelineForked,
    PipelineAnnotated,
    DeadLetterDiscarded, SignalReceived, ChildStarted,
    PhaseStarted, PhaseCompleted, PhaseFailed, PhaseDeadLettered, PhaseRetrying, PhaseSkipped,
    PhaseCompensated, PhaseCompensationFailed, PhaseProgress,
    ErrorOccurred, CheckpointCreated, UsageRecorded, SlaBreached,
)  # fmt: skip
ENGINE_EVENTS: Mapping[str, type[Event]] = {kind.wire_name: kind for kind in _KINDS}
"""Kinds the engine itself tells, by wire name; an application's own names must differ."""


def rebuilt(
    type_: str,
    data: Mapping[str, Any],
    *,
    run_id: str,
    pipeline: str,
    seq: int | None,
    at: datetime,
    phase: str | None,
    transition: Transition | None,
) -> Event:
    """Rebuild an event of what was written of it; a name the engine does not know is an application's own."""
    kind = ENGINE_EVENTS.get(type_)
    if kind is None:
        return Emitted(
            run_id=run_id,
            pipeline=pipeline,
            seq=seq,
            at=at,
            phase=phase,
            transition=transition,
            name=type_,
            payload=data,
        )
    own = dict(data)
    if "error" in own:
        own["error"] = error_of(own["error"])
    if "severity" in own:
        own["severity"] = Severity(own["severity"])
    for moment in ("again_at", "sla_at"):
        if moment in own:
            own[moment] = datetime.fromisoformat(own[moment])
    if kind is UsageRecorded:
        own["cost"] = Decimal(own["cost"])
    if "paths" in own:
        own["paths"] = tuple(own["paths"])
    known = {name: own[name] for name in kind.own_fields if name in own}
    return kind(run_id=run_id, pipeline=pipeline, seq=seq, at=at, phase=phase, transition=transition, **known)
