"""The rows that every storage keeps of a run and of its phases, frozen, and the words that stand in them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from phaseline.tags import Attribute, attributes_of, tags_of
from phaseline.usage import Spending

INPUT = ""
"""The path under which a run's input is read, where an output is read by its phase's path."""


TOO_LATE = "has its value"
"""How the reason of a phase ends that was ended because another one was faster: its worker, if any, is fenced off."""

FINISHED = "it finished the run"
"""The reason of the phase, COMPLETED, whose stored output is the output of the whole run."""


class RunState(StrEnum):
    """The lifecycle states the engine adds to every pipeline's machine; all others are phase labels."""

    __hash__ = (
        str.__hash__
    )  # that of an enum is a Python function, and each lookup in a set or a dict would call it

    IDLE = "IDLE"
    """Stored; nothing has started yet."""
    INITIALIZING = "INITIALIZING"
    """Taken up by a worker; the first phase is about to start."""
    PAUSED = "PAUSED"
    """No phase starts until it is resumed."""
    COMPLETED = "COMPLETED"
    """Every phase has ended and none failed."""
    FAILED = "FAILED"
    """A phase failed for good, or its time was over."""
    CANCELLED = "CANCELLED"
    """It was ended by command, for good."""
    ROLLING_BACK = "ROLLING_BACK"
    """What was done is being undone."""
    ROLLED_BACK = "ROLLED_BACK"
    """It was taken back, and waits to be resumed."""


ENDED_STATES: frozenset[str] = frozenset(
    {RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED, RunState.ROLLED_BACK}
)
"""The engine has nothing more to do until somebody commands it."""

TAKEN_BACK_STATES: frozenset[str] = frozenset({RunState.ROLLING_BACK, RunState.ROLLED_BACK})
"""Of runs of which something is undone, or all of it was."""
SETTLED_STATES: frozenset[str] = ENDED_STATES | {RunState.PAUSED}

STANDING_STATES: frozenset[str] = SETTLED_STATES | {RunState.ROLLING_BACK}
"""No phase may start in these."""


class PhaseState(StrEnum):
    """The states of one phase, or of one item of a map."""

    __hash__ = str.__hash__  # as above

    PENDING = "PENDING"
    """A worker may take it up."""
    RUNNING = "RUNNING"
    """A worker holds it, or it waits for a signal, a time or a child run."""
    COMPLETED = "COMPLETED"
    """Its output is stored."""
    FAILED = "FAILED"
    """It failed for good."""
    SKIPPED = "SKIPPED"
    """It ended without its body's output."""
    RETRYING = "RETRYING"
    """An attempt ended without an output; the next one follows."""


WAITING_PHASES: frozenset[str] = frozenset({PhaseState.PENDING, PhaseState.RETRYING})
"""A worker may take up a phase in these, once its time has come."""


class WaitKind(StrEnum):
    """What a phase waits for that runs without a worker."""

    SIGNAL = "signal"
    TIMER = "timer"
    CHILD = "child"


class ErrorCategory(StrEnum):
    """Why a phase failed; VALIDATION and STATE are never retried by default."""

    VALIDATION = "VALIDATION"
    """The input is not what it takes."""
    STATE = "STATE"
    """Something is not in the state that it needs."""
    PROCESSING = "PROCESSING"
    """The body raised."""
    TIMEOUT = "TIMEOUT"
    """Its time was over."""
    SYSTEM = "SYSTEM"
    """What it runs on failed it, or it is held to be the cause of the loss of its workers."""


# The records are msgspec structs: frozen like attrs classes, but made in a seventh of the time, and a phase makes eight
# of them. gc=False: they hold no cycles, and the collector need not look at them.


class ErrorInfo(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An exception as data: it is never rebuilt as a class."""

    category: ErrorCategory
    type: str
    """Name of the exception's class."""
    message: str
    """Bounded in length."""
    phase: str | None = None
    """Path of the phase that failed."""
    traceback: str | None = None
    """Its last 4,000 characters, of a runtime with ``tracebacks=True``."""


class Progress(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The latest progress a body reported."""

    done: float
    total: float | None = None
    """Where it ends, if the body knows."""
    note: str = ""


def error_of(data: Mapping[str, Any]) -> ErrorInfo:
    """Read an error of its plain data, maybe those of a later version: what that has added is left out."""
    return ErrorInfo(**{**_known(ErrorInfo, data), "category": ErrorCategory(data["category"])})


def progress_of(data: Mapping[str, Any]) -> Progress:
    """Read a progress, as ``error_of`` does an error."""
    return Progress(**_known(Progress, data))


def _known(kind: type[msgspec.Struct], data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: data[name] for name in kind.__struct_fields__ if name in data}


class StateChange(msgspec.Struct, frozen=True, gc=False):
    """One entry of a run's history."""

    source: str
    target: str
    at: datetime
    reason: str = ""
    """Of a command: why, in the words of who gave it."""
    actor: str = ""
    """Of a command: who gave it."""


class Definition(NamedTuple):
    """What a run is a run of: name and version of a pipeline, and the digest of its shape, which verifies the two."""

    pipeline: str
    version: str
    fingerprint: str


class RunRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The row of a run."""

    namespace: str
    """Runs of one namespace do not see those of another."""
    id: str
    pipeline: str
    """Name of the pipeline."""
    version: str
    """Version text of the pipeline's definition."""
    fingerprint: str
    """Digest of the plan the run started under."""
    state: str
    """A ``RunState``, or the label of the phase it is at."""
    revision: int
    """Counts the commits of this run: the optimistic guard of every write."""
    seq: int
    """Number of the newest event; events are numbered 1..seq without a gap."""
    epoch: int = 0
    """Rises when the run is taken up anew after an end; fences off what was started before."""
    priority: int = 100
    """Lower goes first, 0 to 999."""
    key: str | None = None
    """Idempotency key: one run of the pipeline holds it."""
    while_open: bool = False
    """Whether the key is held only until the run ends."""
    limits: str | None = None
    """Limits that each of its phases is under, as ``phaseline.limits`` writes them."""
    signals: int = 0
    """How many signals it has received."""
    timeout: timedelta | None = None
    """How long it may be active: the time in which a phase runs or could run, without pauses, waits and delays."""
    deadline: datetime | None = None
    """When it must be over."""
    active_ms: int = 0
    """How long it was active until ``active_since``, in milliseconds; counted where it has a timeout."""
    active_since: datetime | None = None
    """Since when it is active, or when it will be: what is put off may run then. None where it is not."""
    expires_at: datetime | None = None
    """When it fails, unless it comes to something else before: by its deadline, or by its timeout if it stays active."""
    sla_at: datetime | None = None
    """When it should be over, by the service level of its pipeline; None where that has none, or it is being taken back."""
    breached: int | None = None
    """Number of the event that tells that it was not over by then."""
    marks: tuple[str, ...] = ()
    """Its tags and attributes, each as one text, in order."""
    forked_from: str | None = None
    """Id of the run that it is a copy of."""
    letter: int | None = None
    """Number of the event that tells of its dead letter, as long as there is one."""
    error: ErrorInfo | None = None
    """What it failed with."""
    spending: Spending | None = None
    """What was used in it, and is reserved; None as long as that is nothing."""
    undo_after: int | None = None
    """While a rollback is unfinished: number of the last fact whose phase it keeps, 0 for none."""
    parent_id: str | None = None
    """Id of the run that started it."""
    parent_path: str | None = None
    """Path of the phase there that waits for it."""
    parent_generation: int | None = None
    """Generation of that phase: how often what it had committed was undone or redone before."""
    trace: str | None = None
    """Trace context of who started it, for the spans of whichever process works on it; None where nobody traces."""
    created_at: datetime
    updated_at: datetime
    """Time of the latest commit."""
    started_at: datetime | None = None
    """When its first phase was taken up."""
    ended_at: datetime | None = None

    @property
    def definition(self) -> Definition:
        """What it is a run of."""
        return Definition(self.pipeline, self.version, self.fingerprint)

    @property
    def tags(self) -> tuple[str, ...]:
        """Words by which it is found."""
        return tags_of(self.marks)

    @property
    def attributes(self) -> Mapping[str, Attribute]:
        """Names and values by which it is found."""
        return attributes_of(self.marks)


class PhaseRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The row of one execution of a phase, of a map, or of one item of a map (path ``enrich[3]``).

    Its output is kept beside it in the storage and read by path.
    """

    path: str
    """``outer/enrich``; of one item of a map ``enrich[3]``."""
    state: PhaseState
    """What has become of it."""
    queue: str
    """Where workers take it up."""
    priority: int
    """That of the run: lower goes first."""
    available_at: datetime
    """Not to be started before."""
    position: int = 0
    """Counts the phases of a run in the order in which they came up."""
    epoch: int = 0
    """Epoch of the run in which it came up."""
    limits: str | None = None
    """Limits that it is under, as ``phaseline.limits`` writes them: while it runs it holds a slot of each."""
    generation: int = 0
    """Part of the idempotency key: rises only when its committed output, or what it takes, is undone or redone. Of a row
    that is gone: that of the one which takes its place."""
    attempt: int = 0
    """Number of times a worker took it up: 0 until the first, 1 in the first."""
    failures: int = 0
    """Attempts that ended in an error; the retry policy counts these."""
    crashes: int = 0
    """Attempts whose worker was lost."""
    postponed: int = 0
    """Attempts that asked to come back later."""
    fence: int = 0
    """Rises with every grant; who holds a smaller one can no longer write."""
    worker: str | None = None
    """Who holds it, or held it last."""
    lease_expires: datetime | None = None
    """When others may take it over, unless its worker renews the lease."""
    live: bool | None = None
    """Once ended: whether it hands a value on; None until then. A skipped phase may, a failed one does not."""
    length: int | None = None
    """Once ended: number of elements, if its output feeds a map."""
    same_as: str | None = None
    """Where its output is kept, if that is a value which it was given: the path of another phase, or that of the input."""
    total: int | None = None
    """Of a map: number of its items."""
    reason: str = ""
    """Why it was skipped, or waits to be called again."""
    decided: int | None = None
    """Number of the fact by which it came to what it stays; None if a retry of the run takes it up again: unfinished,
    failed, or cut off. A failure that a map collects is decided. 0 and less: the run was forked, and took it over; in the
    order of the facts of the other run."""
    gone_in_epoch: int | None = None
    """Epoch of the run that does without it, so that it is history; None as long as it is part of the run."""
    error: ErrorInfo | None = None
    """What the latest failed attempt failed with."""
    progress: Progress | None = None
    """What its body last told of itself, as of the latest commit."""
    wait_kind: WaitKind | None = None
    """What it waits for, or waited for at last; while it does it is RUNNING and nobody holds it."""
    wait_key: str | None = None
    """Of a wait for a signal: the key that the signal must carry; None where it must carry none. Of a wait for a child
    run: its id."""
    due_at: datetime | None = None
    """When its wait ends by itself."""
    sla_at: datetime | None = None
    """When it should be over, by its service level; it stays as it was when the phase came up."""
    breached: int | None = None
    """Number of the event that tells that it was not over by then."""
    first_started_at: datetime | None = None
    """Start of the first attempt; retry policies that end after a time count from it."""
    started_at: datetime | None = None
    """Start of the latest attempt."""
    ended_at: datetime | None = None
    """When it ended; None as long as it has not."""

    @property
    def is_taken_over(self) -> bool:
        """Whether the run is a copy of another one, and has it from there."""
        return self.decided is not None and self.decided <= 0

    @property
    def duration(self) -> timedelta | None:
        """Time from the start of the latest attempt to its end."""
        if self.started_at is None or self.ended_at is None:
            return None
        return self.ended_at - self.started_at


class SignalRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The row of a signal that a run has received."""

    seq: int
    """Number of the event that tells of it: signals are taken in this order."""
    name: str
    key: str | None = None
    """Which of several waits for this name it is for."""
    id: str | None = None
    """By which a second sending of it is known."""
    value: str | None
    """Encoded; None once it was taken, for then it is the output of the phase that took it."""
    taken_by: str | None = None
    """Path of the phase that took it."""
    received_at: datetime


class Checkpoint(msgspec.Struct, frozen=True, gc=False):
    """A named position of a run: after this phase, at this revision."""

    id: str
    """By which ``rollback`` and ``fork`` take it."""
    phase: str
    """Path of the phase after which it stands."""
    revision: int
    """Revision of the run that made it."""
    epoch: int
    """Epoch of the run in which it was made."""
    created_at: datetime
    """When it was made."""
