"""What can be asked of a run: imperative, frozen, with everything a decision needs that is not in the run."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeAlias

import msgspec

from phaseline.rows import ErrorInfo, Progress
from phaseline.unit_of_work import Unit
from phaseline.usage import Spent, Usage

Emission: TypeAlias = tuple[str, Mapping[str, Any]]
"""Name and payload of an application's own event."""


class Offer(msgspec.Struct, frozen=True, gc=False):
    """What the worker that folds a command could take on at once, if that command makes a phase runnable."""

    worker: str
    lease_expires: datetime
    room: int
    """How many bodies it could start now."""
    queues: frozenset[str] | None = None
    """Queues it serves; None for all."""
    waiting: int | None = None
    """Best (lowest) priority among rows known to wait for this worker: worse ones do not jump the queue."""
    threads: int = sys.maxsize
    """How many of those bodies could run in threads."""

    def takes(self, queue: str, priority: int) -> bool:
        """Whether a phase of this queue and priority may start here without a detour through the queue."""
        if self.queues is not None and queue not in self.queues:
            return False
        return self.waiting is None or priority <= self.waiting

    def less(self, taken: int, in_threads: int) -> Offer:
        """What is left of it once ``taken`` bodies have been started, some of them in threads."""
        room, threads = self.room - taken, self.threads - in_threads
        return Offer(self.worker, self.lease_expires, room, self.queues, self.waiting, threads)


NO_OFFER = Offer(worker="", lease_expires=datetime.min, room=0)  # noqa: DTZ901  # never compared


class Start(msgspec.Struct, frozen=True, gc=False):
    """Begin a run that was just made; its first phases become runnable. Does nothing to one that is stored already."""

    available_at: datetime
    length: int | None = None
    """Number of elements of the input, if a map takes it apart."""


class Begin(msgspec.Struct, frozen=True, gc=False):
    """Grant phases that wait in the queue to the offering worker."""

    paths: tuple[str, ...]


class Succeed(msgspec.Struct, frozen=True, gc=False):
    """A body returned."""

    path: str
    fence: int
    output: str
    """Encoded."""
    length: int | None = None
    emitted: tuple[Emission, ...] = ()
    progress: Progress | None = None
    same_as: str | None = None
    """Where this output is stored already: the path of a value that the phase was given."""
    has_saved: bool = False
    """Whether something is stored that the body saved of itself, to be let go of now."""
    spent: tuple[Spent, ...] = ()
    """What the body used since its last step, or the beginning of the attempt."""


class Judge(msgspec.Struct, frozen=True, gc=False):
    """A test was asked."""

    path: str
    fence: int
    held: bool


class Unfold(msgspec.Struct, frozen=True, gc=False):
    """The list that a map takes apart was counted."""

    path: str
    fence: int
    total: int


class Fail(msgspec.Struct, frozen=True, gc=False):
    """A body raised, or ran out of time; what it emitted after its last step is dropped with it."""

    path: str
    fence: int
    error: ErrorInfo
    again_at: datetime | None
    """When to try again; None: it has failed for good."""
    progress: Progress | None = None
    saved: str | None = None
    """What the body saved of itself last, if that is not stored yet; encoded."""
    spent: tuple[Spent, ...] = ()
    """As of ``Succeed``."""
    cut_off: bool = False
    """Whether it was stopped from outside, in the midst of whatever it did."""


class Postpone(msgspec.Struct, frozen=True, gc=False):
    """A body asked to be called again later; past ``limit`` times this is a failure."""

    path: str
    fence: int
    again_at: datetime
    reason: str
    limit: int
    emitted: tuple[Emission, ...] = ()
    progress: Progress | None = None
    saved: str | None = None
    """As of ``Fail``."""
    spent: tuple[Spent, ...] = ()
    """As of ``Succeed``."""


class SkipPhase(msgspec.Struct, frozen=True, gc=False):
    """A body skipped its phase."""

    path: str
    fence: int
    reason: str
    output: str | None
    """What it hands on, encoded."""
    passes_input: bool
    """Without an output: whether the phase's input takes its place."""
    length: int | None = None
    emitted: tuple[Emission, ...] = ()
    same_as: str | None = None
    has_saved: bool = False
    """As of ``Succeed``, both."""
    spent: tuple[Spent, ...] = ()
    """As of ``Succeed``."""


class FinishRun(msgspec.Struct, frozen=True, gc=False):
    """A body ended the whole run."""

    path: str
    fence: int
    output: str
    """The run's output, encoded."""
    emitted: tuple[Emission, ...] = ()
    progress: Progress | None = None
    same_as: str | None = None
    has_saved: bool = False
    """As of ``Succeed``, both."""
    spent: tuple[Spent, ...] = ()
    """As of ``Succeed``."""


class RecordStep(msgspec.Struct, frozen=True, gc=False):
    """A step inside a body has its result."""

    path: str
    fence: int
    key: str
    result: str
    emitted: tuple[Emission, ...] = ()
    progress: Progress | None = None
    spent: tuple[Spent, ...] = ()
    """As of ``Succeed``."""


class Save(msgspec.Struct, frozen=True, gc=False):
    """A body saved something of itself, for the next attempt of its phase."""

    path: str
    fence: int
    value: str
    """Encoded."""


class Reserve(msgspec.Struct, frozen=True, gc=False):
    """A body is about to use something; refused where the run's budget does not allow so much."""

    path: str
    fence: int
    key: str
    """Name under which it says what it has used."""
    at_most: Usage


class Attach(msgspec.Struct, frozen=True, gc=False):
    """Wait for a run of another pipeline."""

    path: str
    fence: int
    child: str
    """Its id."""
    unit: Unit | None
    """What inserts it; None if it is stored already."""


class ChildEnded(msgspec.Struct, frozen=True, gc=False):
    """A run that may be waited for has ended."""

    path: str
    child: str
    output: str | None
    """Encoded; None if there is none."""
    error: ErrorInfo | None = None
    """Why there is no output."""
    length: int | None = None


class Release(msgspec.Struct, frozen=True, gc=False):
    """A worker gives back what it cannot finish; this counts as nothing."""

    path: str
    fence: int
    saved: str | None = None
    """As of ``Fail``."""
    spent: tuple[Spent, ...] = ()
    """As of ``Succeed``."""


class Reclaim(msgspec.Struct, frozen=True, gc=False):
    """Take phases from workers that are gone; past ``limit`` losses the phase is poison and fails."""

    lost: tuple[tuple[str, int], ...]
    """Path and fence of each, as they were seen."""
    limit: int


class Expire(msgspec.Struct, frozen=True, gc=False):
    """Fail the run if its time is over."""


class TellLate(msgspec.Struct, frozen=True, gc=False):
    """Tell of what was not over when it should have been."""

    paths: tuple[str | None, ...]
    """Of phases; None: the run itself."""


class Receive(msgspec.Struct, frozen=True, gc=False):
    """Somebody sent a signal; one whose id is known does nothing."""

    signal: str
    """Its name."""
    value: str
    """Encoded."""
    key: str | None = None
    id: str | None = None
    actor: str = ""


class Elapse(msgspec.Struct, frozen=True, gc=False):
    """The time of waits has come, as the storage judged it."""

    waits: tuple[tuple[str, datetime], ...]
    """Path and due time of each, as they were seen."""


class Pause(msgspec.Struct, frozen=True, gc=False):
    """Start nothing more; what runs may end."""

    reason: str = ""
    actor: str = ""


class Resume(msgspec.Struct, frozen=True, gc=False):
    """Go on."""

    reason: str = ""
    actor: str = ""


class Cancel(msgspec.Struct, frozen=True, gc=False):
    """End the run at once, with all that runs and waits in it."""

    reason: str = ""
    actor: str = ""


class Retry(msgspec.Struct, frozen=True, gc=False):
    """Take a failed run up again where it failed."""

    reason: str = ""
    actor: str = ""


class RerunFrom(msgspec.Struct, frozen=True, gc=False):
    """Do a phase, and all that comes after it in the graph, once more."""

    phase: str
    """Path of one outside of maps."""
    reason: str = ""
    actor: str = ""


class Restart(msgspec.Struct, frozen=True, gc=False):
    """Do everything once more."""

    reason: str = ""
    actor: str = ""


class RollBack(msgspec.Struct, frozen=True, gc=False):
    """Take the run back to where it was after the commit of a phase, and leave it there."""

    to: str | None = None
    """Path of that phase, outside of maps; None: to before the first one."""
    epoch: int | None = None
    """Epoch in which that phase came up, where one commit of it is meant and no other."""
    reason: str = ""
    actor: str = ""


class Fork(msgspec.Struct, frozen=True, gc=False):
    """Begin another run that has what this one had committed after a phase, and goes on from there."""

    run_id: str
    """Id of the other run."""
    at: str | None = None
    """Path of that phase, outside of maps; None: all that is committed."""
    epoch: int | None = None
    """As of ``RollBack``."""
    reason: str = ""
    actor: str = ""


class Annotate(msgspec.Struct, frozen=True, gc=False):
    """Write something into the run's history."""

    note: str
    reason: str = ""
    actor: str = ""


class Discard(msgspec.Struct, frozen=True, gc=False):
    """Let go of the run's dead letter."""

    reason: str = ""
    actor: str = ""


RunCommand: TypeAlias = (
    Pause | Resume | Cancel | Retry | RerunFrom | Restart | RollBack | Fork | Annotate | Discard
)
"""A command of a person or a program, refused where the state of the run does not allow it."""

ALONE = frozenset({Retry, RerunFrom, Restart, RollBack, Fork})
"""They drop rows that are stored, or copy them, so each is decided in a unit of its own."""

Command: TypeAlias = (
    Start
    | Begin
    | Succeed
    | Judge
    | Unfold
    | Fail
    | Postpone
    | SkipPhase
    | FinishRun
    | RecordStep
    | Save
    | Reserve
    | Attach
    | ChildEnded
    | Release
    | Reclaim
    | Expire
    | TellLate
    | Receive
    | Elapse
    | RunCommand
)
