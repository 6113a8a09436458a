"""From commands to committed facts; here each by itself, in ``group_commit.py`` many together."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import datetime
from functools import cached_property
from typing import Final, NamedTuple

import anyio

from phaseline._engine.commands import Command, Offer, Receive, Reserve
from phaseline._engine.decide import fold_one
from phaseline._engine.draft import Draft
from phaseline._engine.verdicts import OverBudget, Refused
from phaseline._shell.ids import commit_ids
from phaseline._shell.live import Job, LiveRun, Ticket
from phaseline._shell.outage import OUTAGE_PAUSE
from phaseline.abc import Clock, Storage
from phaseline.control import allowed_in
from phaseline.errors import (
    BudgetExceededError,
    CommandRefusedError,
    LeaseLostError,
    RuntimeNotOpenError,
    SignalRefusedError,
    StorageUnavailableError,
)
from phaseline.event_loop import scope_class, shared_event_class
from phaseline.rows import PhaseRecord, PhaseState
from phaseline.unit_of_work import Outcome
from phaseline.usage import NO_SPENDING

log: Final = logging.getLogger("phaseline.committer")

MAX_TRIES = 100
"""Times a unit is decided anew because somebody else moved its run; each time one of the two got through."""


class KeyTaken(Exception):  # noqa: N818  # a verdict: the runner makes a handle or an error of it
    """Another run of the pipeline holds the key of a run that was to be started; nothing was stored."""


class Promised(NamedTuple):
    """What is to be started here once it is committed."""

    bodies: int
    threads: int
    """How many of the bodies run in threads."""


NOTHING_PROMISED: Final = Promised(0, 0)
COMMITTED: Final = Outcome.COMMITTED  # looked up once and not with each phase


class Committer(ABC):
    """Turns commands into committed facts."""

    def __init__(
        self,
        storage: Storage,
        clock: Clock,
        offer: Callable[[datetime], Offer],
        committed: Callable[[LiveRun, Draft], None],
        adopt: Callable[[LiveRun, Sequence[PhaseRecord]], None],
    ) -> None:
        """Make one.

        Args:
            storage: Where to write.
            clock: The time of facts.
            offer: What this process could start at the moment of a decision.
            committed: Called on the loop after each commit, before those who wait for it go on.
            adopt: Calls the bodies of phases that a commit has started, where nobody who waits does so.
        """
        self._storage, self._clock = storage, clock
        self._offer, self._committed, self._adopt = offer, committed, adopt

    @cached_property
    def scope(self) -> type[anyio.CancelScope]:
        """Makes cancel scopes of the event loop that runs here."""
        return scope_class()

    @cached_property
    def new_commit_id(self) -> Callable[[], int]:
        """Draws ids of commits; made where one is needed, for its seed costs as much as half a phase."""
        return commit_ids()

    @property
    def deciding(self) -> AbstractAsyncContextManager[object]:
        """Entered by whoever decides on runs of this process: a batch, or a claim."""
        return nullcontext()  # nothing is awaited between a decision and its commit

    async def settled(self) -> None:  # noqa: B027  # where nothing is ever on its way
        """Wait until what is on its way is done with; for who is deciding, so that nothing new sets out."""

    @property
    @asynccontextmanager
    async def alone(self) -> AsyncGenerator[None]:
        """Entered by whoever decides while nothing is on its way."""
        async with self.deciding:
            await self.settled()
            yield

    @property
    def promised(self) -> Promised:
        """What is on its way to be started here."""
        return NOTHING_PROMISED

    @property
    def busy(self) -> bool:
        """Whether a batch or a claim is being decided or written."""
        return False

    @abstractmethod
    async def submit(
        self,
        live: LiveRun,
        command: Command,
        *,
        patient: bool = True,
        job: Job | None = None,
        drives: bool = False,
    ) -> Sequence[PhaseRecord]:
        """Commit a command, and give the phases it started on this worker to a caller who goes on with them.

        Args:
            live: The run.
            command: What to do to it.
            patient: Whether to try again for as long as the storage is unavailable.
            job: The body it is about, whose output is handed on with the commit.
            drives: Whether the caller calls what this starts. Only for tasks of our own: a caller who is cancelled
                while the commit is under way would leave it granted and never called.

        Raises:
            LeaseLostError: The phase is no longer held under the command's fence; nothing was stored.
            CommandRefusedError: The run does not obey the command in its state; nothing was stored.
            KeyTaken: Another run holds the key of the run that was to be started.
            StorageError: The storage cannot be written, and the caller is not patient.
        """

    async def store(self, live: LiveRun, command: Command) -> None:
        """Commit a command of a caller who is told of an outage; who is cancelled meanwhile learns first what came of it.

        Raises:
            StorageError: The storage cannot be written.
            CommandRefusedError: As with ``submit``.
            KeyTaken: As with ``submit``.
        """
        with self.scope(shield=True):
            await self.submit(live, command, patient=False)

    @abstractmethod
    def look_again(self, live: LiveRun) -> None:
        """Have a run read again soon, since others may have moved it on."""

    def close(self, runs: Iterable[LiveRun]) -> None:
        """Refuse what waits: nothing is written any more, and who shields the wait could not be cancelled out of it."""
        for live in runs:
            live.refuse(RuntimeNotOpenError())

    def _absorb(self, live: LiveRun, draft: Draft) -> None:
        live.snapshot.absorb(draft)
        live.in_doubt.clear()  # they expected a revision that is past
        live.input_text = None
        self._committed(live, draft)

    def _contended(self, live: LiveRun) -> StorageUnavailableError:
        problem = f"run {live.id} was moved on by others {MAX_TRIES} times in a row"
        return StorageUnavailableError(repr(self._storage), problem, "try again", busy=True)


class ClosedCommitter(Committer):
    """Refuses everything: who was still reading when the runtime closed may ask for a commit after it."""

    def __init__(self) -> None:
        """Make one, which knows of no runner."""

    def look_again(self, live: LiveRun) -> None:
        """Nothing is read any more."""

    async def submit(self, *_: object, **__: object) -> Sequence[PhaseRecord]:
        raise RuntimeNotOpenError


class DirectCommitter(Committer):
    """Writes each command at once: for a storage that does not block, a batch would be a detour."""

    def look_again(self, live: LiveRun) -> None:
        live.doubted = True

    async def store(self, live: LiveRun, command: Command) -> None:
        await self.submit(live, command, patient=False)  # where nothing is awaited nobody is cancelled

    async def submit(
        self,
        live: LiveRun,
        command: Command,
        *,
        patient: bool = True,
        job: Job | None = None,
        drives: bool = False,
    ) -> Sequence[PhaseRecord]:
        tries = MAX_TRIES
        while tries:
            tries -= 1
            try:
                if live.stale:
                    known = live.snapshot.run
                    live.renew(self._storage.load(known.namespace, live.id, known.revision))
                now = self._clock.now()
                draft, granted = fold_one(live.snapshot, command, now, self._offer(now))
                if granted is None or isinstance(granted, Refused):
                    raise refusal(live, command, granted)
                if draft.is_empty:
                    return granted
                outcome = self._storage.commit((draft.unit(input_text=live.input_text),))[0]
            except StorageUnavailableError as error:  # nothing is stored: what does not block loses no answer
                await self._outlast(live, command, error, patient=patient)
                tries = MAX_TRIES
                continue
            if outcome is COMMITTED:
                if job is not None:
                    job.hand_on()
                live.snapshot.absorb(draft)
                live.input_text = None
                self._committed(live, draft)
                if drives:
                    return granted
                self._adopt(live, granted)
                return ()
            if outcome is Outcome.DUPLICATE:
                raise KeyTaken
            live.stale = True
        raise self._contended(live)

    async def _outlast(
        self, live: LiveRun, command: Command, outage: StorageUnavailableError, *, patient: bool
    ) -> None:
        """Hold a command for a while; it is decided anew then, since others may have moved the run on.

        Raises:
            StorageUnavailableError: The caller is not patient.
            RuntimeNotOpenError: Nothing is written any more.
        """
        if not patient:
            raise outage
        log.warning("%s; finished work is held and written once it is back", outage)
        ticket = Ticket(command, patient=True, job=None, drives=False, told=shared_event_class()())
        live.tickets.append(ticket)  # the run is not idle, and is not forgotten meanwhile
        try:
            await self._clock.sleep_until(self._clock.now() + OUTAGE_PAUSE)
        finally:
            if ticket in live.tickets:
                live.tickets.remove(ticket)
        if ticket.error is not None:
            raise ticket.error


def refusal(
    live: LiveRun, command: Command, verdict: Refused | None
) -> LeaseLostError | CommandRefusedError | SignalRefusedError | BudgetExceededError:
    """Tell why a command changed nothing."""
    if isinstance(verdict, OverBudget) and isinstance(command, Reserve):
        return _exceeded(live, command, verdict.bounds)
    if verdict is not None and isinstance(command, Receive):
        return SignalRefusedError(live.id, command.signal, verdict.state, verdict.reason)
    if verdict is not None:
        allowed = [str(verb) for verb in allowed_in(verdict.state) if verb not in verdict.barred]
        return CommandRefusedError(live.id, verdict.verb, verdict.state, allowed, verdict.reason)
    return LeaseLostError(live.id, getattr(command, "path", ""), getattr(command, "fence", 0))


def _exceeded(live: LiveRun, order: Reserve, bounds: Sequence[str]) -> BudgetExceededError:
    spending, budget = live.snapshot.run.spending or NO_SPENDING, live.snapshot.plan.budget
    assert budget is not None  # noqa: S101  # else nothing is refused

    def fence_of(path: str) -> int | None:
        row = live.snapshot.rows.get(path)
        return None if row is None or row.state is not PhaseState.RUNNING else row.fence

    reserved, cut_off = spending.reserved_by(fence_of)
    return BudgetExceededError(
        live.id, order.path, order.key, budget=budget, bounds=bounds, at_most=order.at_most, used=spending.used,
        reserved=reserved, cut_off=cut_off,
    )  # fmt: skip
