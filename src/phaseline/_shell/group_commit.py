"""Commands that wait for a run are folded into one unit, units into one batch, and a batch is written on a thread."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from functools import partial
from typing import Any, Final

import anyio
import attrs
from anyio.lowlevel import checkpoint

from phaseline._engine.commands import ALONE, Command, Offer
from phaseline._engine.decide import fold
from phaseline._engine.verdicts import Refused
from phaseline._shell.committer import MAX_TRIES, Committer, KeyTaken, Promised, refusal
from phaseline._shell.live import ANY_COMPANY, Folded, Job, LiveRun, Ticket, Verdicts
from phaseline._shell.outage import OUTAGE_PAUSE
from phaseline._shell.threads import Threads
from phaseline.abc import Storage
from phaseline.errors import (
    PhaselineError,
    RunNotFoundError,
    StorageUnavailableError,
)
from phaseline.event_loop import LoopEvent, shared_event_class
from phaseline.rows import PhaseRecord
from phaseline.unit_of_work import Outcome, RunRows

log: Final = logging.getLogger("phaseline.committer")

WHOLE = 16
"""Runs up to which one batch takes all that wait: so few cost less together than apart."""
BLOCKED_TRIES = 4
"""Times a unit that needs what others hold locked is tried until a caller is told: some eight seconds."""
BLOCKED_ADVICE = (
    "end that transaction (one that a run was started in stays open until its host commits), and call again; with the "
    "same key no second run is started"
)


@attrs.frozen(eq=False)
class _Batch:
    """Units that are written together."""

    folded: Sequence[Folded]
    told: LoopEvent
    """Set when it is done with."""
    out_of_reach: bool
    """Whether the storage could not be read when it was gathered."""


@attrs.frozen
class _Written:
    """What became of a batch as a whole."""

    answers: bool = True
    """Whether the storage could be asked afterwards."""
    held: bool = False
    """Whether something is to be tried again after a pause."""


class GroupCommitter(Committer):
    """Writes in batches, on a thread: while one is being written the next one gathers. There is no timer.

    Where the storage is a server two are on their way: one stands ready for the thread, decided, when the other one has
    been written, and meanwhile the bodies are called that it started.
    """

    def __init__(
        self, *args: Any, thread: Threads, later: Callable[[datetime, Callable[[], None]], object]
    ) -> None:
        """Make one, as any; ``thread`` is the one that writes, ``later`` has something done at a time."""
        super().__init__(*args)
        self._thread, self._later = thread, later
        self._deciding = anyio.Lock(fast_acquire=True)
        self._new_event = shared_event_class()
        self._waiting: list[LiveRun] = []
        self._idle: list[LoopEvent] = []
        """Of each task that has nothing to do: set to call it."""
        self._is_coming = False
        """Whether one is about to take what waits: a second one would be called for nothing."""
        self._gathering = self._new_event()
        """Set when the batch that is gathering is done with: one event for all of it, one for each would cost more."""
        self.batches: int = 2 if self._storage.is_server else 1
        """How many may be on their way at once; as many tasks have to ``run``."""
        self._on_their_way: list[_Batch] = []
        self._landed: LoopEvent | None = None
        """Set when one of these is done with, if somebody waits for that."""

    @property
    def deciding(self) -> AbstractAsyncContextManager[object]:
        return self._deciding

    async def settled(self) -> None:
        while self._on_their_way:
            if self._landed is None:
                self._landed = self._new_event()
            await self._landed.wait()

    @property
    def promised(self) -> Promised:
        on_their_way = [
            folded.draft for batch in self._on_their_way for folded in batch.folded if folded.live.in_flight
        ]
        return Promised(
            sum(len(draft.granted) for draft in on_their_way), sum(draft.threads for draft in on_their_way)
        )

    @property
    def busy(self) -> bool:
        return self._deciding.locked() or bool(self._on_their_way)

    async def submit(
        self,
        live: LiveRun,
        command: Command,
        *,
        patient: bool = True,
        job: Job | None = None,
        drives: bool = False,
    ) -> Sequence[PhaseRecord]:
        ticket = Ticket(command, patient=patient, job=job, drives=drives, told=self._gathering)
        live.tickets.append(ticket)
        live.driven += drives
        self._enqueue(live)
        try:
            while ticket.granted is None:
                if ticket.error is not None:
                    raise ticket.error
                if ticket.told.is_set():  # it was left out of that batch, or is to be decided anew
                    ticket.told = self._gathering
                await ticket.told.wait()
        finally:
            live.driven -= drives
        return ticket.granted

    def look_again(self, live: LiveRun) -> None:
        live.doubted = True
        self._enqueue(live)

    def close(self, runs: Iterable[LiveRun]) -> None:
        super().close(runs)
        self._tell_those_who_came()

    # ------------------------------------------------------------------ the batch
    def _enqueue(self, live: LiveRun) -> None:
        if not live.queued and not live.in_flight:
            live.queued = True
            self._waiting.append(live)
            self._call_one()

    def _call_one(self) -> None:
        if self._idle and not self._is_coming:
            self._is_coming = True
            self._idle.pop().set()

    async def run(self) -> None:
        """Write batches until cancelled."""
        while True:
            await self._until_something_waits()
            if await self._write_what_waits():
                await self._clock.sleep_until(self._clock.now() + OUTAGE_PAUSE)

    async def _until_something_waits(self) -> None:
        """Wait for the next batch, which whoever was told of the last one may join."""
        self._is_coming = True
        await checkpoint()
        while not self._waiting:
            self._is_coming = False
            called = self._new_event()
            self._idle.append(called)
            await called.wait()

    async def _write_what_waits(self) -> bool:
        """Write one batch; gives whether the storage is unavailable.

        On its own, so that no run of the last batch is held on to while the next one is waited for.
        """
        async with self._deciding:
            batch = await self._gather()
        try:
            return await self._write_all(batch.folded) or batch.out_of_reach
        finally:
            self._on_their_way.remove(batch)
            if self._landed is not None:
                self._landed.set()
                self._landed = None
            batch.told.set()

    async def _gather(self) -> _Batch:
        """Decide what the next batch writes, which may be nothing; from here on it is on its way."""
        runs = self._take()
        try:
            out_of_reach = await self._look_up(runs)
        except BaseException:
            self._tell_those_who_came()
            raise
        # Whoever came while runs were read may be in this batch; who comes from here on is in the next one. Not the event of
        # before: another batch that failed meanwhile may have set it.
        told, self._gathering = self._gathering, self._new_event()
        batch = self._decide(runs, told, out_of_reach)
        self._on_their_way.append(batch)
        return batch

    def _take(self) -> Sequence[LiveRun]:
        """Take the runs of the next batch: all that wait, unless they are many and few are on their way.

        Half of those that are busy, then, so that bodies of one half are called while the other half is written.
        """
        busy = len(self._waiting) + sum(len(batch.folded) for batch in self._on_their_way)
        number = max(WHOLE, -(-busy // self.batches))
        runs, self._waiting = self._waiting[:number], self._waiting[number:]
        self._is_coming = False
        if self._waiting:
            self._call_one()
        return runs

    async def _look_up(self, runs: Sequence[LiveRun]) -> bool:
        """Read those of the runs that others may have moved on; gives whether the storage is unavailable."""
        paused = False
        for live in runs:
            live.stale = live.stale or live.doubted or live.contended or bool(live.in_doubt)
            if (
                live.stale and not paused
            ):  # else it was out of reach for another one, which may have taken its time
                paused = not await self._catch_up(live)
        return paused

    def _decide(self, runs: Sequence[LiveRun], told: LoopEvent, out_of_reach: bool) -> _Batch:
        """Decide what waits for these runs."""
        folded: list[Folded] = []
        now = self._clock.now()
        offer = self._offer(now).less(*self.promised)
        for live in runs:
            # Not before: it would come into the queue a second time while the batch gathers
            live.queued = False
            one = self._fold_safely(live, now, offer, told) if live.tickets and not live.stale else None
            if one is None:
                self._put_off(live)
            else:
                live.in_flight = True
                offer = offer.less(len(one.draft.granted), one.draft.threads)
                folded.append(one)
        return _Batch(folded, told, out_of_reach)

    async def _write_all(self, batch: Sequence[Folded]) -> bool:
        """Write a batch, in parts if some of it must stand apart; gives whether the storage is unavailable."""
        written, paused = _Written(), False
        for part in _parts(batch):
            if written.answers:
                written = await self._write(part)
                paused = paused or written.held
            else:
                for folded in part:
                    folded.live.in_flight = False
                    folded.live.tickets[:0] = folded.tickets
                    self._enqueue(folded.live)
        return paused

    async def _write(self, batch: Sequence[Folded]) -> _Written:
        """Write units together and settle what came of them."""
        units = [folded.unit for folded in batch]
        outcomes: Sequence[Outcome] = ()
        try:
            with self.scope(shield=True):  # what is being written must be learnt, whoever is cancelled
                outcomes = await self._thread.run(partial(self._storage.commit, units))
        except Exception as error:  # noqa: BLE001  # also what a driver says of a value: the unit at fault is told
            return await self._learn(batch, error)
        for folded, outcome in zip(batch, outcomes, strict=True):
            folded.live.in_flight = False
            self._settle(folded, outcome)
            if folded.live.tickets and outcome is not Outcome.BLOCKED:
                self._enqueue(folded.live)
        return _Written()

    async def _learn(self, batch: Sequence[Folded], error: Exception) -> _Written:
        """Learn what came of a batch that failed, and have what is not stored tried again in smaller company.

        One run's unit may be what the storage refuses, or what it breaks down at: alone it harms nobody else.
        """
        for folded in batch:
            folded.live.unsettled, folded.live.stale = folded, True
            folded.live.in_doubt.append(folded)
        answers = True
        for folded in batch:
            answers = answers and await self._catch_up(folded.live)
        for folded in batch:  # no other batch may decide on them before
            folded.live.in_flight = False
        outage = isinstance(error, StorageUnavailableError)
        if answers and (len(batch) > 1 or len(batch[0].tickets) > 1):
            for folded in batch:
                folded.live.company = 1 if len(batch) > 1 and not outage else len(batch) // 2
                self._put_off(folded.live)
            self._tell_those_who_came()
            return _Written()
        if outage:
            log.warning("%s; finished work is held and written once it is back", error)
        kept = [self._keep(folded, error) for folded in batch]
        self._tell_those_who_came()
        return _Written(answers, outage and any(kept))

    def _tell_those_who_came(self) -> None:
        """Let those look who came while something was being written: they may have been told of a fault."""
        told, self._gathering = self._gathering, self._new_event()
        told.set()

    # ------------------------------------------------------------------ one run
    def _fold_safely(self, live: LiveRun, now: datetime, offer: Offer, told: LoopEvent) -> Folded | None:
        """Decide what waits for a run; a mistake of ours fails this one run's commands and nobody else's."""
        tickets = live.tickets
        try:
            return self._fold(live, now, offer, told)
        except Exception as error:
            log.exception("run %s: its commands could not be decided", live.id, extra={"run_id": live.id})
            live.tickets = tickets
            live.refuse(error)
            return None

    def _fold(self, live: LiveRun, now: datetime, offer: Offer, told: LoopEvent) -> Folded | None:
        """Decide what waits; None if this leaves nothing to write."""
        number = _together(live.tickets) if live.company else 1
        tickets, live.tickets = live.tickets[:number], live.tickets[number:]
        for ticket in tickets:
            ticket.told = told
        draft, verdicts = fold(live.snapshot, [ticket.command for ticket in tickets], now, offer)
        if not draft.is_empty:
            unit = draft.unit(commit_id=self.new_commit_id(), input_text=live.input_text)
            return Folded(live, draft, tickets, verdicts, unit)
        self._tell(live, tickets, verdicts)
        return None

    def _settle(self, folded: Folded, outcome: Outcome) -> None:
        """Take over what was committed and tell those who wait, or have the commands decided anew."""
        live = folded.live
        if outcome is Outcome.COMMITTED:
            for ticket, granted in zip(folded.tickets, folded.verdicts, strict=True):
                if ticket.job is not None and isinstance(granted, list):
                    ticket.job.hand_on()
            self._absorb(live, folded.draft)
            self._tell(live, folded.tickets, folded.verdicts)
            live.company, live.blocked = ANY_COMPANY, 0
            return
        if outcome is Outcome.DUPLICATE:
            for ticket in folded.tickets:
                ticket.error = KeyTaken()
            return
        if outcome is Outcome.BLOCKED:
            self._wait_for_lock(folded)
            return
        live.stale = live.contended = True
        for ticket in folded.tickets:
            ticket.tries += 1
            if ticket.tries == MAX_TRIES:
                ticket.error = self._contended(live)
        live.tickets[:0] = [ticket for ticket in folded.tickets if ticket.error is None]

    def _wait_for_lock(self, folded: Folded) -> None:
        """Have a unit tried again alone, less and less often, while somebody holds locked what it needs."""
        live = folded.live
        live.blocked += 1
        live.company = min(live.company, 1)
        if live.blocked > BLOCKED_TRIES:
            problem = f"run {live.id} needs what another transaction holds locked, such as its key or its row"
            error = StorageUnavailableError(repr(self._storage), problem, BLOCKED_ADVICE, busy=True)
            for ticket in folded.tickets:
                ticket.error = None if ticket.patient else error
        live.tickets[:0] = [ticket for ticket in folded.tickets if ticket.error is None]
        if live.tickets:
            pause = OUTAGE_PAUSE * 2 ** min(live.blocked - 1, BLOCKED_TRIES)
            self._later(self._clock.now() + pause, partial(self._enqueue, live))

    def _tell(self, live: LiveRun, tickets: Sequence[Ticket], verdicts: Verdicts) -> None:
        """Tell those who wait; what nobody of them goes on with is called here, whoever was cancelled meanwhile."""
        for ticket, granted in zip(tickets, verdicts, strict=True):
            if granted is None or isinstance(granted, Refused):
                ticket.error = refusal(live, ticket.command, granted)
            elif ticket.drives and ticket.error is None:
                ticket.granted = granted
            else:
                ticket.granted = ()
                self._adopt(live, granted)

    # ------------------------------------------------------------------ what others wrote, and outages
    def _keep(self, folded: Folded, error: Exception) -> bool:
        """Tell those who do not wait for the storage what it said; gives whether others do."""
        live = folded.live
        outage = isinstance(error, StorageUnavailableError)
        for ticket in _all_waiting(live) if outage else _waiting(folded.tickets):
            if not (outage and ticket.patient):
                ticket.error = error
        live.tickets = [ticket for ticket in live.tickets if ticket.error is None]
        return self._put_off(live)

    def _put_off(self, live: LiveRun) -> bool:
        """Have a run looked at again in the next batch, and say so, if there is a reason to.

        Also where nobody waits any more: a start that is stored after all has been granted to us, and is ours to call.
        """
        if live.unsettled is None and not _all_waiting(live):
            return False
        self._enqueue(live)
        return True

    async def _catch_up(self, live: LiveRun) -> bool:
        """Read what was written of a run, by others or by us without our knowing; gives whether the storage answered.

        The commands of an unknown commit count as carried out where its id is found, and wait again where it is not: it
        may still land, until something else is committed, so it is asked for at each reading.
        """
        run = live.snapshot.run
        read = partial(_read, self._storage, run.namespace, live)
        try:
            rows, landed = await self._thread.run(read)
            if rows is not None:
                live.contended = live.contended and rows.run.revision > run.revision
                live.renew(rows)
        except StorageUnavailableError as error:
            log.warning("%s; finished work is held and written once it is back", error)
            return False
        except PhaselineError as error:
            live.refuse(error)
            return True
        except Exception as error:
            # A mistake of ours fails this one run's commands: without the committer all others would wait for ever.
            log.exception("run %s could not be read", live.id, extra={"run_id": live.id})
            live.refuse(error)
            return True
        if rows is None and run.revision:
            live.refuse(RunNotFoundError(live.id))
            return True
        unsettled, live.unsettled = live.unsettled, None
        live.stale = live.doubted = False
        if unsettled is not None:
            live.tickets[:0] = _waiting(unsettled.tickets)
        if landed is not None:
            live.in_doubt.clear()
            live.input_text = None
            live.tickets = [ticket for ticket in live.tickets if ticket not in landed.tickets]
            self._committed(live, landed.draft)
            self._tell(live, landed.tickets, landed.verdicts)
        if unsettled is not None and not live.tickets:
            self._adopt(live, ())  # nobody waits any more: it may be forgotten
        return True


def _parts(batch: Sequence[Folded]) -> Iterator[Sequence[Folded]]:
    """Divide a batch so that no unit is in larger company than it may be; nearly always it is one part."""
    free = [folded for folded in batch if folded.live.company >= len(batch)]
    if free:
        yield free
    if len(free) < len(batch):
        others = [folded for folded in batch if folded.live.company < len(batch)]
        others.sort(key=lambda folded: folded.live.company)
        while others:
            size = max(others[0].live.company, 1)
            yield others[:size]
            others = others[size:]


def _together(tickets: Sequence[Ticket]) -> int:
    """How many of the commands that wait go into one unit, from the first on."""
    for number, ticket in enumerate(tickets):
        if type(ticket.command) in ALONE:
            return number or 1
    return len(tickets)


def _read(storage: Storage, namespace: str, live: LiveRun) -> tuple[RunRows | None, Folded | None]:
    """Read a run, and which of the units in doubt is in it."""
    since = live.snapshot.run.revision
    rows = storage.load(namespace, live.id, since)
    for folded in live.in_doubt:
        if folded.unit.events and storage.is_committed(namespace, live.id, folded.unit.commit_id):
            again = storage.load(namespace, live.id, since)  # it may have landed after the first reading
            return again, folded
    return rows, None


def _all_waiting(live: LiveRun) -> list[Ticket]:
    return [*live.tickets, *(_waiting(live.unsettled.tickets) if live.unsettled is not None else ())]


def _waiting(tickets: Sequence[Ticket]) -> list[Ticket]:
    return [ticket for ticket in tickets if ticket.error is None and ticket.granted is None]
