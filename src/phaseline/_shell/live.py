"""A run as this process holds it while it works on it: its snapshot, waiting commands, bodies and values."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio
import attrs

from phaseline._engine.commands import Command
from phaseline._engine.decide import Verdict
from phaseline._engine.draft import Draft
from phaseline._engine.snapshot import Snapshot
from phaseline._values.nothing import NOTHING
from phaseline.errors import CompensationNotRegisteredError, LeaseLostError, RunNotFoundError
from phaseline.event_loop import LoopEvent
from phaseline.rows import TAKEN_BACK_STATES, PhaseRecord, PhaseState
from phaseline.unit_of_work import RunRows, Unit
from phaseline.usage import Spent

if TYPE_CHECKING:
    from phaseline._definition.plan import Binding, Items, PlanNode


LARGE = 1_024
"""Characters from which on an encoded value is stored once, however many phases hand it on as it is."""
ANY_COMPANY = 1 << 62
"""More units than there can be in a batch."""


class Stored(NamedTuple):
    """A large value as it is stored."""

    path: str
    """Where it is read."""
    text: str


_HELD_OR_DONE = frozenset({PhaseState.RUNNING, PhaseState.COMPLETED})
"""Under the fence of a body: it is still to be committed, or, of a transactional phase, it was committed by the body."""


class Interruption(Enum):
    """Why a body is stopped from outside."""

    TIMED_OUT = "timed out"
    SILENT = "silent"
    FENCED_OFF = "fenced off"
    HANDED_OVER = "handed over"
    CANCELLED = "cancelled"
    """By itself: asyncio lets a body cancel the task that it runs in."""


class Job:
    """One granted phase: a body to be called, or being called."""

    __slots__ = (
        "alive_at",
        "binding",
        "copy",
        "given",
        "interruption",
        "is_left",
        "items",
        "live",
        "node",
        "raised",
        "row",
        "saved",
        "seat",
        "spent",
        "text",
    )

    def __init__(self, live: LiveRun, row: PhaseRecord) -> None:
        self.live: LiveRun = live
        self.row: PhaseRecord = row
        self.node: PlanNode
        self.items: Items
        self.node, self.items = live.snapshot.plan.locate(row.path)
        self.binding: Binding = live.snapshot.plan.binding_of(self.node)
        self.interruption: Interruption | None = None
        self.is_left: bool = False
        """Whether its phase went on without its body, which was interrupted and goes on."""
        self.alive_at: datetime = row.available_at
        """When its body last gave a sign of life; asked only where it has to."""
        self.seat: anyio.CancelScope | None = None
        """The scope its body runs in, while it runs."""
        self.copy: object = NOTHING
        """What the body gave, decoded anew; handed on once it is committed."""
        self.text: str = ""
        """The same, encoded."""
        self.saved: str | None = None
        """What the body saved of itself last, encoded, if that is not stored yet."""
        self.spent: list[Spent] = []
        """What the body used since its last step."""
        self.given: Stored | None = None
        """What the body was given, if it is large and the whole of one stored value."""
        self.raised: BaseException
        """What it failed with, until that is logged; only where the host has tracebacks kept, and unset until then: a phase
        that succeeds does not pay for it."""

    @property
    def namespace(self) -> str:
        """That of its run."""
        return self.live.snapshot.run.namespace

    @property
    def log_fields(self) -> dict[str, object]:
        """What log records tell of it."""
        run, row = self.live.snapshot.run, self.row
        return {"run_id": run.id, "pipeline": run.pipeline, "phase": row.path, "attempt": row.attempt}

    @property
    def is_called(self) -> bool:
        """Whether its body was not seen to end yet."""
        return self.live.jobs.get(self.row.path) is self

    def is_interrupted(self) -> bool:
        """Whether its result is wanted no more; a call, for it changes while one waits."""
        return self.interruption is not None

    @property
    def is_over(self) -> bool:
        """Whether nothing of the attempt can be stored any more, as far as this process knows; from any thread."""
        return self.interruption is not None or not self.is_called

    def check_not_over(self) -> None:
        """Keep a body from what has an effect elsewhere once it works in vain: its thread cannot be stopped.

        Raises:
            LeaseLostError: The attempt is over.
        """
        if self.is_over:
            raise LeaseLostError(self.live.id, self.row.path, self.row.fence)

    def used(self) -> tuple[Spent, ...]:
        """What is to be stored of it with the end of the attempt."""
        return tuple(self.spent) if self.spent else ()

    def hand_on(self) -> None:
        """Let who takes its output next have the copy; to be called at the commit, before anybody is told of it."""
        if self.copy is not NOTHING:
            self.live.keep(self.row.path, self.copy, self.text)

    def same_as(self, text: str) -> str | None:
        """Where a value is stored that the body gives, if it is what it was given; None if it is to be stored."""
        given = self.given
        return given.path if given is not None and given.text == text else None

    def interrupt(self, why: Interruption) -> None:
        """Stop the body; the first reason counts."""
        if self.interruption is None:
            self.interruption = why
            if self.seat is not None:
                self.seat.cancel()


Verdicts = Sequence[Verdict]
"""What became of each command."""


class Ticket:
    """A command that waits for its commit."""

    __slots__ = ("command", "drives", "error", "granted", "job", "patient", "told", "tries")

    def __init__(
        self, command: Command, *, patient: bool, job: Job | None, drives: bool, told: LoopEvent
    ) -> None:
        self.command = command
        self.job = job
        """The body it is about."""
        self.drives = drives
        """Whether the one who waits goes on with what it starts; else that is called at the commit."""
        self.patient = patient
        """Whether it is tried again while the storage is unavailable."""
        self.granted: Sequence[PhaseRecord] | None = None
        """What it started here; None until it is committed."""
        self.error: BaseException | None = None
        self.told: LoopEvent = told
        """Set when something was learnt of the batch that it is in, or was gathering when it came."""
        self.tries = 0


@attrs.frozen(slots=False)
class Folded:
    """Commands of one run, decided and on their way to the storage."""

    live: LiveRun
    draft: Draft
    tickets: list[Ticket]
    verdicts: Verdicts
    unit: Unit


class LiveRun:
    """One run in this process."""

    __slots__ = (
        "_reading",
        "blocked",
        "cause",
        "company",
        "contended",
        "copies",
        "doubted",
        "driven",
        "in_doubt",
        "in_flight",
        "input_text",
        "items",
        "jobs",
        "queued",
        "read_input",
        "resting",
        "snapshot",
        "stale",
        "tickets",
        "unsettled",
    )

    def __init__(self, snapshot: Snapshot, input_text: str | None = None) -> None:
        self.snapshot: Snapshot = snapshot
        self.input_text: str | None = input_text
        """Encoded input, until the run is stored."""
        self.read_input: str | None = None
        """The same, as it came with a claim, until a phase takes it."""
        self.stale: bool = False
        """Whether somebody else moved it on, so that it must be read again before the next decision."""
        self.doubted: bool = False
        """Whether it is to be read again all the same, since a command is judged by what is known of it."""
        self.contended: bool = False
        """Whether somebody else had moved it on when it was last looked at. So it is read before each decision: that costs less
        than a unit that is refused."""
        self.unsettled: Folded | None = None
        """Work of which it is not known whether it was committed."""
        self.in_doubt: list[Folded] = []
        """Work that was not found committed, and may be so yet: its connection was lost."""
        self.resting: bool = False
        """Whether nothing was done to it since the last sweep."""
        self.company: int = ANY_COMPANY
        """Units among which its next one may be written; 0: by itself, of one command."""
        self.blocked: int = 0
        """Times in a row that somebody held locked what it needed."""
        self.queued: bool = False
        self.in_flight: bool = False
        self.driven: int = 0
        """Commits under way whose callers go on with what these start: it is theirs before it is among the jobs."""
        self.cause: BaseException | None = None
        """The exception by which it failed, if it did so in this process."""
        self.tickets: list[Ticket] = []
        self.jobs: dict[str, Job] = {}
        self.copies: dict[str, tuple[Any, Stored | None]] = {}
        """Decoded values that no phase has taken yet, by path; with what is stored of those that are large."""
        self._reading: dict[str, anyio.Lock] = {}
        self.items: dict[str, list[Any]] = {}
        """Decoded elements that items of a map have yet to take, by path of the map."""

    @property
    def id(self) -> str:
        """Id of the run."""
        return self.snapshot.run.id

    def reading(self, path: str) -> anyio.Lock:
        """Held by the one that reads the list of a map, which many items are about to need.

        One for each list: that of a map inside a map is found in an element of the outer one's.
        """
        lock = self._reading.get(path)
        if lock is None:
            lock = self._reading[path] = anyio.Lock()
        return lock

    @property
    def is_idle(self) -> bool:
        """Whether this process has nothing more to do with it at the moment."""
        return not (self.jobs or self.tickets or self.in_flight or self.unsettled or self.driven)

    def keep(self, path: str, copy: object, text: str) -> None:
        """Keep a decoded value for the phase that takes it."""
        self.copies[path] = copy, Stored(path, text) if len(text) >= LARGE else None

    def renew(self, rows: RunRows | None) -> None:
        """Go on from what is stored.

        Raises:
            RunNotFoundError: Nothing is.
            CompensationNotRegisteredError: It is being undone by what its pipeline does not have here; what was known of it
                stays, and is stale.
        """
        if rows is None:
            raise RunNotFoundError(self.id)
        base = self.snapshot
        if rows.run.epoch != base.run.epoch:
            self.forget_values()
            if rows.run.state not in TAKEN_BACK_STATES:
                self.cause = None
        try:
            self.snapshot = base.advanced(rows) if rows.since else Snapshot.from_rows(base.plan, rows)
        except CompensationNotRegisteredError:
            self.stale = True
            for job in self.jobs.values():  # the commit that began the rollback ended all of them
                job.interrupt(Interruption.FENCED_OFF)
            raise
        self.stale = False
        self.interrupt_fenced()

    def forget_values(self) -> None:
        """Let go of decoded values: what they were made by is not part of the run any more."""
        self.copies.clear()
        self.items.clear()

    def refuse(self, error: BaseException) -> None:
        """End all commands that wait."""
        unsettled = self.unsettled.tickets if self.unsettled is not None else ()
        for ticket in (*self.tickets, *unsettled):
            ticket.error = error
        self.tickets, self.unsettled = [], None

    def interrupt_fenced(self) -> None:
        """Stop the bodies whose phase was ended or taken over by a commit that is not their own."""
        rows = self.snapshot.rows
        for path, job in self.jobs.items():
            row = rows.get(path)
            if row is None or row.fence != job.row.fence or row.state not in _HELD_OR_DONE:
                job.interrupt(Interruption.FENCED_OFF)
