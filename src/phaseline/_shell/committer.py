"""From commands to committed facts: commands that wait for a run are folded into one unit, units into one batch."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

import anyio
import attrs
from anyio.lowlevel import checkpoint

from phaseline._engine.commands import Command, Offer
from phaseline._engine.decide import fold
from phaseline._engine.snapshot import Draft
from phaseline._shell.live import LiveRun, Ticket
from phaseline._shell.threads import Threads
from phaseline.abc import Clock, Outcome, Storage, Unit
from phaseline.errors import LeaseLostError, PhaselineError, StorageUnavailableError
from phaseline.run import PhaseRecord

log = logging.getLogger("phaseline.committer")

Verdicts = Sequence[Sequence[PhaseRecord] | None]
"""For each command the phases that it started here, or None if it was fenced."""
MAX_TRIES = 100
"""Times a unit is decided anew because somebody else moved its run; each time one of the two got through."""
OUTAGE_PAUSE = timedelta(seconds=0.5)


class Committer(ABC):
    """Turns commands into committed facts."""

    def __init__(
        self,
        storage: Storage,
        clock: Clock,
        offer: Callable[[datetime], Offer],
        committed: Callable[[LiveRun, Draft], None],
    ) -> None:
        """Make one.

        Args:
            storage: Where to write.
            clock: The time of facts.
            offer: What this process could start at the moment of a decision.
            committed: Called on the loop after each commit, before those who wait for it go on.
        """
        self._storage, self._clock = storage, clock
        self._offer, self._committed = offer, committed
        self.busy = False
        """Whether a batch is being written."""

    @abstractmethod
    async def submit(self, live: LiveRun, command: Command, *, patient: bool = True) -> Sequence[PhaseRecord]:
        """Commit a command, and give the phases it started on this worker.

        Args:
            live: The run.
            command: What to do to it.
            patient: Whether to try again for as long as the storage is unavailable.

        Raises:
            LeaseLostError: The phase is no longer held under the command's fence; nothing was stored.
            StorageError: The storage cannot be written, and the caller is not patient.
        """

    def _absorb(self, live: LiveRun, draft: Draft) -> None:
        live.snapshot.absorb(draft)
        live.input_text = None
        self._committed(live, draft)

    def _contended(self, live: LiveRun) -> StorageUnavailableError:
        problem = f"run {live.id} was moved on by others {MAX_TRIES} times in a row"
        return StorageUnavailableError(repr(self._storage), problem, "try again")


class DirectCommitter(Committer):
    """Writes each command at once: for a storage that does not block, a batch would be a detour."""

    async def submit(
        self,
        live: LiveRun,
        command: Command,
        *,
        patient: bool = True,  # noqa: ARG002  # what does not block has no outages
    ) -> Sequence[PhaseRecord]:
        for _ in range(MAX_TRIES):
            if live.stale:
                live.renew(self._storage.load(live.snapshot.run.namespace, live.id))
            now = self._clock.now()
            draft, (granted,) = fold(live.snapshot, (command,), now, self._offer(now))
            if granted is None:
                raise _lease_lost(live, command)
            if draft.is_empty:
                return granted
            if self._storage.commit((draft.unit(input_text=live.input_text),))[0] is Outcome.COMMITTED:
                self._absorb(live, draft)
                return granted
            live.stale = True
        raise self._contended(live)


class GroupCommitter(Committer):
    """Writes in batches, on a thread: while one batch is being written the next one gathers. There is no timer."""

    def __init__(
        self,
        storage: Storage,
        clock: Clock,
        thread: Threads,
        offer: Callable[[datetime], Offer],
        committed: Callable[[LiveRun, Draft], None],
    ) -> None:
        """Make one; ``thread`` is the one that writes."""
        super().__init__(storage, clock, offer, committed)
        self._thread = thread
        self._waiting: list[LiveRun] = []
        self._wake = anyio.Event()
        self._gathering = anyio.Event()
        """Set when the batch that is gathering is done with: one event for all of it, one for each would cost more."""

    async def submit(self, live: LiveRun, command: Command, *, patient: bool = True) -> Sequence[PhaseRecord]:
        ticket = Ticket(command, patient=patient)
        live.tickets.append(ticket)
        self._enqueue(live)
        while ticket.granted is None:
            if ticket.error is not None:
                raise ticket.error
            await self._gathering.wait()
        return ticket.granted

    # ------------------------------------------------------------------ the batch
    def _enqueue(self, live: LiveRun) -> None:
        if not live.queued and not live.in_flight:
            live.queued = True
            self._waiting.append(live)
            self._wake.set()

    async def run(self) -> None:
        """Write batches until cancelled."""
        while True:
            await self._wake.wait()
            await checkpoint()  # whoever is ready joins the batch
            self._wake = anyio.Event()
            runs, self._waiting = self._waiting, []
            written, self._gathering = self._gathering, anyio.Event()
            self.busy = True
            try:
                paused = await self._flush(runs)
            finally:
                self.busy = False
                written.set()
            if paused:
                await self._clock.sleep_until(self._clock.now() + OUTAGE_PAUSE)

    async def _flush(self, runs: Sequence[LiveRun]) -> bool:
        """Write what waits for these runs; gives whether the storage is unavailable."""
        batch: list[_Folded] = []
        now = self._clock.now()
        offer = self._offer(now)
        for live in runs:
            live.queued = False
            if live.stale and not await self._reload(live):
                continue
            folded = self._fold(live, now, offer)
            if folded is not None:
                live.in_flight = True
                offer = offer.less(len(folded.draft.granted))
                batch.append(folded)
        if not batch:
            return False
        try:
            outcomes = await self._write([folded.unit for folded in batch])
        except PhaselineError as error:
            return self._hold_back(batch, error)
        for folded, outcome in zip(batch, outcomes, strict=True):
            folded.live.in_flight = False
            self._settle(folded, outcome)
            if folded.live.tickets:
                self._enqueue(folded.live)
        return False

    async def _write(self, units: Sequence[Unit]) -> list[Outcome]:
        with anyio.CancelScope(shield=True):  # what is being written must be learnt, whoever is cancelled
            return await self._thread.run(partial(self._storage.commit, units))
        raise AssertionError  # nobody cancels the scope, so it swallows nothing

    async def _reload(self, live: LiveRun) -> bool:
        run = live.snapshot.run
        try:
            live.renew(await self._thread.run(partial(self._storage.load, run.namespace, run.id)))
        except PhaselineError as error:
            live.refuse(error)
            return False
        return True

    def _hold_back(self, batch: Sequence[_Folded], error: PhaselineError) -> bool:
        """Tell the impatient; keep what bodies have finished until the storage is back. Gives whether any is kept."""
        outage = isinstance(error, StorageUnavailableError)
        kept = False
        for folded in batch:
            live = folded.live
            live.in_flight = False
            live.stale = live.snapshot.run.revision > 0
            for ticket in folded.tickets:
                if not (outage and ticket.patient):
                    ticket.error = error
            live.tickets[:0] = [ticket for ticket in folded.tickets if ticket.error is None]
            if live.tickets:
                kept = True
                self._enqueue(live)
        if kept:
            log.warning("%s; finished work is held and written once it is back", error)
        return kept

    # ------------------------------------------------------------------ one run
    def _fold(self, live: LiveRun, now: datetime, offer: Offer) -> _Folded | None:
        """Decide what waits; None if this leaves nothing to write."""
        tickets, live.tickets = live.tickets, []
        draft, verdicts = fold(live.snapshot, [ticket.command for ticket in tickets], now, offer)
        if not draft.is_empty:
            return _Folded(live, draft, tickets, verdicts, draft.unit(input_text=live.input_text))
        _tell(live, tickets, verdicts)
        return None

    def _settle(self, folded: _Folded, outcome: Outcome) -> None:
        """Take over what was committed and tell those who wait, or have the commands decided anew."""
        live = folded.live
        if outcome is Outcome.COMMITTED:
            self._absorb(live, folded.draft)
            _tell(live, folded.tickets, folded.verdicts)
            return
        live.stale = True
        for ticket in folded.tickets:
            ticket.tries += 1
            if ticket.tries == MAX_TRIES:
                ticket.error = self._contended(live)
        live.tickets[:0] = [ticket for ticket in folded.tickets if ticket.error is None]


@attrs.frozen(slots=False)
class _Folded:
    """Commands of one run, decided and on their way to the storage."""

    live: LiveRun
    draft: Draft
    tickets: list[Ticket]
    verdicts: Verdicts
    unit: Unit


def _tell(live: LiveRun, tickets: Sequence[Ticket], verdicts: Verdicts) -> None:
    for ticket, granted in zip(tickets, verdicts, strict=True):
        if granted is None:
            ticket.error = _lease_lost(live, ticket.command)
        else:
            ticket.granted = granted


def _lease_lost(live: LiveRun, command: Command) -> LeaseLostError:
    return LeaseLostError(live.id, getattr(command, "path", ""), getattr(command, "fence", 0))
