"""What keeps runs going that nobody here is busy with: claims, the sweep, the renewal of leases."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import partial

import anyio
from anyio.lowlevel import checkpoint

from phaseline._engine.commands import Begin, Offer, Reclaim, Release
from phaseline._engine.decide import fold
from phaseline._engine.draft import Draft
from phaseline._engine.snapshot import Snapshot
from phaseline._shell.background import survived
from phaseline._shell.clock import Earliest
from phaseline._shell.driving import adopt
from phaseline._shell.ids import host_identity, is_gone, process_started
from phaseline._shell.outbox import Outbox
from phaseline._shell.overdue import scan_overdue
from phaseline._shell.paging import page_by_page
from phaseline._shell.queue_monitor import QueueMonitor
from phaseline._shell.reconcile import reconcile
from phaseline._shell.runner import Runner
from phaseline._shell.sla import scan_late
from phaseline._shell.wait_timers import WaitTimers
from phaseline.abc import Claimed, ClaimRequest, HeldPhase, WorkerRecord
from phaseline.errors import StorageError
from phaseline.event_loop import LoopEvent, loop_post, new_event
from phaseline.unit_of_work import RunRows, Unit

log = logging.getLogger("phaseline.worker")

FIRST_CLAIM, LARGEST_CLAIM = 64, 256
"""Phases that a claim takes at most: the first bodies should not wait long, and many claims cost more than large ones."""
FORGOTTEN_AFTER = 20
"""Leases for which a worker was not seen until its row is removed; on another host nothing else proves that it is gone."""


class Worker:
    """Serves queues in this process, for as long as its runtime is open."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._wake = new_event()
        self._post = loop_post()
        self._due = Earliest()
        self._host = ""
        self._is_listed = True
        self._is_enlisted = False
        """Whether this worker may be on the list."""
        self._solo = False
        """Whether a suspect was started, beside which nothing may run."""
        self._strays: set[HeldPhase] = set()
        self._queue_monitor = QueueMonitor(runner)
        self._look_again = False
        """Whether there was a reason to look for work, and no room for it."""
        self._passes_over = False
        """Whether the last claim met runs that are to be left alone from now on, behind which there may be others."""
        self._claim_size = FIRST_CLAIM
        """How much the next claim takes at most: twice the last one, while more waits than that."""
        self._wait_timers = WaitTimers(runner)
        self._outbox = Outbox(runner)
        self._stop_listening = runner.queue.listen(self._permit, runner.served)
        runner.nudges.on_work = self._permit
        runner.nudges.listen()
        runner.on_waiting = self._look_at
        runner.on_seat = self._seat_is_free
        self._watches = (scan_overdue(runner), scan_late(runner))
        self.busy = False

    def serve(self) -> None:
        """Begin to claim; enough for a storage that nobody else sees."""
        self._runner.spawn(self._claim_for_ever)
        self._wait_timers.serve()
        self._outbox.serve()
        self.wake()

    async def open(self) -> None:
        """Enlist, take over what provably dead workers left, and begin to serve."""
        runner = self._runner
        if runner.storage.shared:  # else there is nobody to take over from, and nobody who could take over
            self._is_enlisted = True
            if await runner.write(self._enlist):
                runner.nudges.serving()
            await self._sweep()
            runner.lead.renewer.add(runner)
            runner.keeps = True
            runner.spawn(self._sweep_for_ever)
        else:
            runner.on_moves = self._look_round
            for watch in self._watches:
                watch.look_at(runner.clock.now())
            # Now, and not by the task: what is missed before that begins counts, too.
            runner.missed = new_event()
            runner.spawn(self._look_round_after_misses, runner.missed)
        self.serve()

    def _enlist(self) -> bool:
        """Put this worker on the list, and say whether others are on it; reads /proc, so in a thread."""
        runner = self._runner
        record = WorkerRecord(
            id=runner.worker_id, namespace=runner.options.namespace, host=host_identity(), pid=os.getpid(),
            process_started=process_started(os.getpid()) or "", seen_at=runner.clock.now(),
        )  # fmt: skip
        self._host = record.host
        return bool(runner.storage.enlist(record))

    def _find_dead(self) -> frozenset[str]:
        """Give the workers on the list that are gone, provably or for so long; reads /proc, so in a thread."""
        runner = self._runner
        found = runner.storage.workers(runner.options.namespace)
        others = [worker for worker in found if worker.id != runner.worker_id]
        seen_since = runner.clock.now() - FORGOTTEN_AFTER * runner.options.lease
        gone = frozenset(
            other.id for other in others if other.seen_at < seen_since or is_gone(other, self._host)
        )
        runner.nudges.has_peers = len(gone) < len(others)
        self._is_listed = len(others) < len(found)
        return gone

    async def stop(self) -> None:
        """Claim nothing more; what a claim under way has started is still taken on."""
        self._stop_listening()
        self._runner.nudges.on_work = None
        self._runner.draining = True
        with anyio.CancelScope(shield=True):
            while self.busy:  # noqa: ASYNC110  # at the close only: an event would have to be set at each claim's end
                await anyio.sleep(0.001)

    async def close(self) -> None:
        """Take this worker off the list; where that cannot be done now, others find that its process is gone."""
        if not self._is_enlisted:
            return
        runner = self._runner
        await runner.write(partial(runner.lead.renewer.remove, runner))
        with survived(log, "this worker cannot be taken off the list, and others find it gone"):
            await runner.write(self._retire)

    def _retire(self) -> None:
        runner = self._runner
        if runner.lead.is_away:  # n tenants must not wait for it n times
            return
        try:
            runner.storage.retire(runner.options.namespace, runner.worker_id)
        except StorageError:
            runner.lead.is_away = runner.lead.draining
            raise

    # ------------------------------------------------------------------ waking up
    def wake(self) -> None:
        """Look for work soon; on the event loop."""
        self._wake.set()

    def _permit(self, queue: str) -> bool:
        """Take a permit, from any thread; gives whether there is room for more work now."""
        runner = self._runner
        if queue not in runner.served or runner.draining:
            return False
        self._post(self.wake)
        return runner.seats > 0

    def _seat_is_free(self) -> None:
        if self._look_again or self._runner.waiting is not None or self._runner.alone:
            self._wake.set()

    def _look_at(self, moment: datetime) -> None:
        """Look for work when something falls due."""
        if moment <= self._runner.clock.now():
            self._wake.set()
        else:
            self._due.at(moment, self._runner.timers, self.wake)

    # ------------------------------------------------------------------ claims
    async def _claim_for_ever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = new_event()
            self.busy = True
            try:
                with survived(
                    log, "cannot look for work now, and do at the next sweep", self._runner.note_miss
                ):
                    await self._claim_what_fits()
            finally:
                self.busy = False

    async def _claim_what_fits(self) -> None:
        runner = self._runner
        tried_solo = False
        while True:
            committer = runner.committer
            async with committer.alone if runner.alone or self._solo else committer.deciding:
                # No batch changes what the claim decides on, or gives its seats away, but those that are on their way.
                room = runner.seats - committer.promised.bodies
                self._look_again = room <= 0
                if self._look_again or runner.draining or (self._solo and not runner.is_vacant):
                    return
                was_alone, solo = runner.alone, runner.alone and runner.is_vacant
                claimed = await self._claim(min(room, self._claim_size), solo=solo)
            if self._passes_over:
                await checkpoint()  # where the storage does not block, nothing else would get a turn
            more = self._passes_over or (claimed.waiting is not None and bool(claimed.units))
            self._claim_size = min(self._claim_size * 2, LARGEST_CLAIM) if more else FIRST_CLAIM
            tried_solo = tried_solo or solo
            if runner.alone:
                if tried_solo or not runner.is_vacant:
                    return
            elif not was_alone and not more:
                return  # what is left waits for a thread, and is looked for when one is free

    async def _claim(self, limit: int, *, solo: bool) -> Claimed:
        """Claim what fits; or, where a suspect waits, that one alone, and nothing until all bodies here have ended."""
        runner, options = self._runner, self._runner.options
        claim = _Claim(runner, 1 if solo else 0 if runner.alone else limit, solo=solo)
        request = ClaimRequest(
            options.namespace, options.queues, frozenset(runner.plans), limit, runner.clock.sql_now(),
            {run_id: snapshot.run.revision for run_id, snapshot in claim.known.items()}, runner.quarantine.run_ids,
        )  # fmt: skip
        claimed = await runner.write(partial(runner.storage.claim, request, claim.grant))
        await runner.committer.settled()  # what was written before the claim is taken note of before it
        self._passes_over = runner.quarantine.add([*claimed.quarantined, *claim.quarantined])
        runner.waiting = claim.left if claimed.waiting is None else claimed.waiting
        self._solo = solo and bool(claim.drafts)
        runner.alone = self._solo or (claim.has_suspects and not solo)
        if claimed.next_due is not None:
            self._look_at(claimed.next_due)
        for unit in claimed.units:
            draft = claim.drafts[unit.run.id]
            live = runner.take_over(draft)
            live.read_input = claim.inputs.get(live.id)
            adopt(runner, live, draft.granted)
        return claimed

    # ------------------------------------------------------------------ the sweep
    async def _sweep_for_ever(self) -> None:
        interval = self._runner.options.sweep_interval
        while True:
            await self._runner.clock.rest(interval)
            with survived(log, "the sweep could not finish and is done again"):
                await self._sweep()

    async def _sweep(self) -> None:
        """Give back to the queue what workers that are gone held, and look for work."""
        runner = self._runner
        namespace = runner.options.namespace
        known = frozenset(runner.plans)
        await runner.read(partial(runner.clock.follow, runner.storage.now))
        await self._renew()
        dead = await runner.read(self._find_dead)
        if not (self._is_listed or runner.draining):  # it was silent for so long that it was taken off
            await runner.write(self._enlist)
            runner.nudges.serving()

        async def read(limit: int) -> Sequence[HeldPhase]:
            now = runner.clock.sql_now()
            lost = await runner.read(partial(runner.storage.lost, namespace, now, dead, known, limit))
            runner.reach("sweep.found")
            return lost

        await page_by_page(read, self._reclaim)
        for worker_id in dead:
            await runner.write(partial(runner.storage.retire, namespace, worker_id))
        for watch in self._watches:
            await watch.look()
        runner.drop_resting()
        self._wait_timers.look()
        self._outbox.look()
        self.wake()
        await self._queue_monitor.look()
        runner.swept_at = runner.clock.now()

    async def _look_round_after_misses(self, missed: LoopEvent) -> None:
        """Look for all that is due once more: where nobody else writes we know of it, unless the storage was away at its moment."""
        runner = self._runner
        while True:
            await missed.wait()
            await runner.clock.rest(runner.options.sweep_interval)
            runner.missed = missed = new_event()
            self._look_round()

    def _look_round(self) -> None:
        for watch in self._watches:
            watch.look_at(self._runner.clock.now())
        self._wait_timers.look()
        self._outbox.look()
        self.wake()

    async def _renew(self) -> None:
        """Extend leases, and have runs looked at whose bodies were ended or taken over by another process."""
        runner = self._runner
        called = runner.held()
        held = set(await runner.write(runner.renew))
        for phase in called.keys() - held:
            runner.committer.look_again(called[phase])
        await self._give_back_strays(held)

    async def _give_back_strays(self, held: Collection[HeldPhase]) -> None:
        """Give back what is held in our name without a body: a claim, a start or an end of which we never learnt.

        Such a commit may land at any time after its connection was lost. Not at first sight: what was granted this
        moment gets its body at once.
        """
        strays = {phase for phase in held if not self._runner.has_body(phase)}
        again, self._strays = strays & self._strays, strays - self._strays
        for phase in again:
            live = self._runner.live.get(phase.run_id)
            if live is not None and live.in_doubt:
                self._runner.committer.look_again(
                    live
                )  # its commit has landed after all: it can be called yet
            else:
                await reconcile(self._runner, phase.run_id, Release(phase.path, phase.fence))

    async def _reclaim(self, lost: Sequence[HeldPhase]) -> None:
        by_run: dict[str, list[tuple[str, int]]] = {}
        for phase in lost:
            if phase.run_id in self._runner.quarantine:
                continue  # it was told, and is tried again after a while
            by_run.setdefault(phase.run_id, []).append((phase.path, phase.fence))
        for run_id, phases in by_run.items():
            log.warning(
                "run %s: of a worker that is gone, back to the queue: %d, such as %s",
                run_id,
                len(phases),
                phases[0][0],
                extra={"run_id": run_id},
            )
            await reconcile(self._runner, run_id, Reclaim(tuple(phases), self._runner.options.crash_limit))


class _Claim:
    """Decides the units of one claim, inside the storage's transaction (on its thread)."""

    def __init__(self, runner: Runner, room: int, *, solo: bool) -> None:
        self._runner, self._room, self._solo = runner, room, solo
        self._threads: int = runner.free_threads - runner.committer.promised.threads
        self.left: int | None = None
        """Best priority among phases that were found and could not be started, for lack of threads."""
        self.has_suspects = False
        """Whether it has met phases that are to run alone."""
        self.known: dict[str, Snapshot] = {
            run_id: live.snapshot
            for run_id, live in runner.live.items()
            if not (live.stale or live.in_flight) and live.snapshot.run.revision
        }
        """Runs that need not be read as a whole; nobody changes them while the claim is decided."""
        self.quarantined: set[str] = set()
        """Runs of which nothing could be started."""
        self.drafts: dict[str, Draft] = {}
        self.inputs: dict[str, str] = {}
        """Encoded inputs that were read with runs, by their id."""

    def grant(self, rows: RunRows, paths: Sequence[str], now: datetime) -> Unit | None:
        """Start the phases that wait; None if there is nothing to start any more."""
        options = self._runner.options
        # The transaction may be tried anew: what the first try took is free again, and where it failed this one may not.
        self.quarantined.discard(rows.run.id)
        earlier = self.drafts.pop(rows.run.id, None)
        if earlier is not None:
            self._room += len(earlier.granted)
            self._threads += earlier.threads
        offer = Offer(
            self._runner.worker_id, now + options.lease, self._room, options.queues, threads=self._threads
        )
        try:
            base = self._snapshot(rows)
            draft, _ = fold(base, (Begin(self._fitting(base, paths)),), now, offer)
        except Exception:
            log.exception(
                "run %s is left alone: what waits of it could not be started",
                rows.run.id,
                extra={"run_id": rows.run.id},
            )
            self.quarantined.add(rows.run.id)
            return None
        if any(draft.row(path) is base.rows[path] for path in paths):
            priority = rows.run.priority
            self.left = priority if self.left is None else min(priority, self.left)
        if draft.is_empty:
            return None
        self._room -= len(draft.granted)
        self._threads -= draft.threads
        self.drafts[rows.run.id] = draft
        if rows.input is not None:
            self.inputs[rows.run.id] = rows.input
        return draft.unit(commit_id=self._runner.committer.new_commit_id())

    def _fitting(self, base: Snapshot, paths: Sequence[str]) -> tuple[str, ...]:
        """Choose what this claim is for.

        Whoever dies takes along all that run beside it, and each is charged with the crash. So none is given up for
        crashes in company: the last one that the limit allows is suffered alone.
        """
        limit = self._runner.options.crash_limit
        suspects = {path for path in paths if base.rows[path].crashes >= limit}
        self.has_suspects = self.has_suspects or bool(suspects)
        return tuple(path for path in paths if (path in suspects) is self._solo)

    def _snapshot(self, rows: RunRows) -> Snapshot:
        known = self.known.get(rows.run.id) if rows.since else None
        if known is None:
            return Snapshot.from_rows(self._runner.plans[rows.run.definition], rows)
        return known if rows.run.revision == rows.since else known.advanced(rows)
