"""The hub of a runtime in one process: starts runs, calls bodies, commits what comes of them, goes on.

Only the hub calls the others. One ``Runner`` belongs to one event loop.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextvars import Context
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Any, TypeVar

import anyio
import attrs
from anyio.abc import TaskGroup

from phaseline._definition.deps import Dep
from phaseline._definition.plan import Plan
from phaseline._engine.commands import NO_OFFER, Command, Offer
from phaseline._engine.draft import Draft
from phaseline._engine.snapshot import Snapshot
from phaseline._shell.abandoned import abandon
from phaseline._shell.after_commit import tell
from phaseline._shell.chains import Crew, crew_of
from phaseline._shell.clock import SystemClock, Timer, Timers
from phaseline._shell.committer import ClosedCommitter, Committer, DirectCommitter
from phaseline._shell.driving import adopt
from phaseline._shell.group_commit import GroupCommitter
from phaseline._shell.ids import new_run_id, new_worker_id, run_ids
from phaseline._shell.live import Interruption, Job, LiveRun
from phaseline._shell.moves import Moves
from phaseline._shell.nudges import Nudges
from phaseline._shell.options import DEFAULT_OPTIONS, RunnerOptions
from phaseline._shell.quarantine import Quarantine
from phaseline._shell.quotas import Quotas
from phaseline._shell.renewing import Renewer
from phaseline._shell.storage_use import Use
from phaseline._shell.threads import OffLoop, Threads
from phaseline._shell.values import Values
from phaseline.abc import Clock, HeldPhase, Queue, Storage
from phaseline.bus import EventBus
from phaseline.errors import (
    PipelineNotRegisteredError,
    RunNotFoundError,
    RuntimeNotOpenError,
    RuntimeUsageError,
)
from phaseline.event_loop import LoopEvent, Post, is_known, knowing_context, loop_post, scope_class
from phaseline.events import Event
from phaseline.instrumentation import Observers
from phaseline.rows import ENDED_STATES, Definition, PhaseRecord, RunRecord
from phaseline.times import later

T = TypeVar("T")
log = logging.getLogger("phaseline.runner")

_NO_QUEUES: frozenset[str] = frozenset()


class Runner:
    """Carries runs forward in this process."""

    leased_until: datetime = datetime.min.replace(tzinfo=UTC)
    """When leases run out that were last renewed."""
    swept_at: datetime | None = None
    """When the worker of this process last looked over everything."""
    use: Use | None = None
    """Its runtime's use of the storage; None where nobody else can know that."""
    is_away: bool = False
    """Whether the storage was found out of reach at the close."""
    closed: bool = False
    """Whether nothing is carried forward here any more, so that waiting for a run is in vain."""
    went_over_ends: int = 0
    """Counts the ends of runs here, and the commits with which they went on after one: who was told of an end looks again."""
    missed: LoopEvent | None = None
    """Set where what was due could not be seen to; None where a sweep looks at it anyway."""
    on_message: Callable[[], None] | None = None
    """Told when a commit has told other runs something."""
    on_due: Callable[[datetime], None] | None = None
    """Told when a commit leaves a phase that waits, until the moment at which its wait ends by itself."""
    on_expiry: Callable[[datetime], None] | None = None
    """Told when a commit leaves a run that must be over at a moment."""
    on_level: Callable[[datetime], None] | None = None
    """Told when a commit leaves what should be over at a moment."""
    on_moves: Callable[[], None] | None = None
    """Told when another runtime on the same memory has committed something, and may have left work, or times."""
    _moves: Moves | None = None
    """What hears of that."""
    _post: Post
    _context: Context
    """In which tasks begin, also such as other threads or callbacks of the loop ask for: by it the libraries of event loops know where they are."""
    scope: type[anyio.CancelScope]
    """Makes the scopes in which bodies can be cancelled."""
    _handlers: Threads | None = None
    _timers: Timers | None = None
    _looks_round: bool = False
    """Whether those who wait for runs will be told to look again."""
    _rests: Timer | None = None
    """Goes off when runs are forgotten that rest."""

    def __init__(
        self,
        storage: Storage,
        queue: Queue,
        *,
        plans: Sequence[Plan],
        deps: Mapping[Dep[Any], Any] | None = None,
        clock: Clock | None = None,
        bus: EventBus | None = None,
        options: RunnerOptions | None = None,
        observers: Observers | None = None,
        beside: Runner | None = None,
    ) -> None:
        """Put one together; ``beside`` has the storage open, and shares the threads that write and read it."""
        self.storage = storage
        self.reach: Callable[[str], None] = storage.reach
        self.queue = queue
        self.options: RunnerOptions = options or DEFAULT_OPTIONS
        self.clock: Clock = clock or SystemClock()
        self.bus: EventBus = bus or EventBus()
        self.observers: Observers = observers or Observers()
        self.publish: Callable[[Sequence[Event]], None] = self.bus.publish
        """Tells events of this process; where there is a transport, it does so in the bus's place."""
        self.deps: Mapping[Dep[Any], Any] = deps or {}
        for plan in plans:
            if plan.transactional and not storage.transactional:
                msg = f"phase {plan.transactional[0]!r} of pipeline {plan.name!r} is transactional; {storage!r} has no transactions"
                raise RuntimeUsageError(f"{msg}: run it on a database, sqlite:///path or postgresql://…")
        self.plans: dict[Definition, Plan] = {
            plan.definition: plan if self.options.checkpoints else attrs.evolve(plan, checkpoints=False)
            for plan in plans
        }
        self.worker_id: str = new_worker_id()
        self.new_run_id: Callable[[datetime], str] = run_ids() if storage.blocking else new_run_id
        """Draws ids of runs. Where a thread writes beside the event loop, this never asks the system for them."""
        self.live: dict[str, LiveRun] = {}
        self.draining: bool = False
        self.keeps: bool = not storage.shared
        """Whether runs that have not ended are kept while nothing is done to them; a sweep must drop them in the end."""
        self.commits: int = 0
        self.seats: int = self.options.concurrency
        """Bodies that could be started now."""
        self.alone: bool = False
        """Whether nothing more is started here, because a phase runs, or is to run, with nothing beside it."""
        self.thread_seats: int = self.options.sync_threads
        """Sync bodies among them, of which none is granted yet."""
        self.waiting: int | None = None
        """Best priority among rows known to wait for this worker."""
        self.on_waiting: Callable[[datetime], None] | None = None
        """Told when a commit leaves a phase that waits for a worker until a moment."""
        self.on_seat: Callable[[], None] | None = None
        """Told when a body has ended and its seat is free."""
        self._tasks: TaskGroup | None = None
        self.crew: Crew | None = None
        self.bodies: Threads | None = None
        """Where sync bodies run, from the first one on."""
        self._beside = beside
        self._writer, self._readers = _threads_of(storage) if beside is None else beside.threads_of_storage
        self.off_loop: OffLoop = OffLoop(self._readers)
        """Calls what blocks where the storage does, beside the committer: what it writes is in no order with that one's batches."""
        self.values: Values = Values(storage, self.off_loop)
        self.committer: Committer
        to = storage, self.clock, self._offer, self.committed, partial(adopt, self)
        if self._writer is None:
            self.committer = DirectCommitter(*to)
        else:
            self.committer = GroupCommitter(*to, thread=self._writer, later=self._later)

    @cached_property
    def served(self) -> frozenset[str]:
        """Queues on which there may be work for this process."""
        named = frozenset(node.queue for plan in self.plans.values() for node in plan.nodes)
        return named if self.options.queues is None else named & self.options.queues

    @cached_property
    def blanks(self) -> dict[Definition, RunRecord]:
        """What the rows of runs have in common that are started without options."""
        return {}

    @cached_property
    def quotas(self) -> Quotas:
        """What all runs of the namespace together may have."""
        return Quotas(self)

    @property
    def lead(self) -> Runner:
        """The one that has the storage open, for all that share it."""
        return self if self._beside is None else self._beside

    @property
    def shares_memory(self) -> bool:
        """Whether another runtime uses the same memory, and may have moved on what is known here."""
        return self.use is not None and self.use.others > 0

    @cached_property
    def renewer(self) -> Renewer:
        """Extends the leases of all of them."""
        return Renewer()

    @cached_property
    def quarantine(self) -> Quarantine:
        """Runs that could not be carried on here."""
        return Quarantine(self)

    @cached_property
    def nudges(self) -> Nudges:
        """What is told to other processes, and heard from them."""
        return Nudges(self.storage, self.options.namespace, self.bus, self.worker_id)

    def open(self, tasks: TaskGroup) -> None:
        """Begin to write batches, and be able to do several things at once."""
        self._tasks, self.crew = tasks, crew_of(tasks)
        self._post, self._context, self.scope = loop_post(), knowing_context(), scope_class()
        if self.use is not None and not self.storage.shared:
            self._moves = Moves(self, self.use)
        if isinstance(self.committer, GroupCommitter):
            for _ in range(self.committer.batches):
                self.spawn(self.committer.run)

    def spawn(self, fn: Callable[..., Coroutine[Any, Any, object]], *args: Any) -> None:
        """Run something beside everything else, for as long as this process serves; on the event loop, also in a callback of it.

        It begins in the context in which this was opened: whoever happens to be the first to need it may be a request, of one user.
        """
        assert self._tasks is not None  # noqa: S101  # only a plan that is a line is driven without tasks
        # A copy: what is run in a context may come to this again.
        self._context.copy().run(self._tasks.start_soon, fn, *args)

    def spawn_for_caller(self, fn: Callable[..., Coroutine[Any, Any, object]], *args: Any) -> None:
        """Do as ``spawn``, in the context of the caller: for what goes on in his name."""
        assert self._tasks is not None  # noqa: S101  # as above
        if is_known():
            self._tasks.start_soon(fn, *args)
        else:
            self._context.copy().run(self._tasks.start_soon, fn, *args)

    def spawn_soon(self, fn: Callable[..., Coroutine[Any, Any, object]], *args: Any) -> None:
        """Do as ``spawn``, from any thread; where nothing is served any more, nothing is done.

        Raises:
            RuntimeNotOpenError: The event loop has ended.
        """

        def spawn() -> None:
            if not self.closed:
                self.spawn(fn, *args)

        if not self._post(spawn):
            raise RuntimeNotOpenError

    # ------------------------------------------------------------------ runs
    def has_body(self, held: HeldPhase) -> bool:
        """Whether a phase that is held in this worker's name is called here, or what it came to is being committed."""
        live = self.live.get(held.run_id)
        return live is not None and (held.path in live.jobs or not live.is_idle)

    def held(self) -> dict[HeldPhase, LiveRun]:
        """Give all phases whose bodies are called here, and wanted."""
        return {
            HeldPhase(live.id, path, job.row.fence): live
            for live in self.live.values()
            for path, job in live.jobs.items()
            if not job.is_interrupted()
        }

    def renew(self) -> Collection[HeldPhase]:
        """Extend the leases of this process, and say what it holds; may be called from any thread."""
        now = self.clock.now()
        until = now + self.options.lease
        held = self.storage.renew(self.options.namespace, self.worker_id, now, until)
        self.leased_until = max(self.leased_until, until)
        return held

    def lease_is_over(self, row: PhaseRecord) -> bool:
        """Whether a phase that was granted here may be taken over by others, as far as this process knows."""
        if not self.storage.shared or row.lease_expires is None:
            return False
        return self.clock.now() > max(row.lease_expires, self.leased_until)

    async def submit(self, live: LiveRun, command: Command) -> Sequence[PhaseRecord]:
        """Commit a command of a body."""
        return await self.committer.submit(live, command)

    def drop_if_idle(self, live: LiveRun) -> None:
        """Forget a run that nothing here is busy with.

        One that has not ended is kept a while where a worker is: its next phases are likely to be claimed soon, and a
        large run should not be read again for each. Who waits for it is told that it may go on elsewhere.
        """
        live.resting = False
        if not live.is_idle:
            return
        ended, run_id = live.snapshot.run.state in ENDED_STATES, live.id
        if (ended or not self.keeps) and self.live.get(run_id) is live:
            del self.live[run_id]
        elif not self.storage.shared and live.snapshot.plan.rests:
            self._rest_soon()  # where nothing sweeps
        if not ended and self.storage.shared:
            self.bus.wake(run_id)

    def drop_resting(self) -> None:
        """Forget the runs with which nothing was done for a whole interval of the sweep."""
        for live in list(self.live.values()):
            if live.is_idle and (live.resting or live.snapshot.run.state in ENDED_STATES):
                del self.live[live.id]
            live.resting = True

    def look_round(self, pause: float) -> None:
        """Have those who wait for runs that are carried forward here look again in so many seconds; one pause serves all.

        They are told when there is something to see; this is in case they were not.
        """
        if not self._looks_round:
            self._looks_round = True
            self.spawn(self._look_round, pause)

    async def _look_round(self, pause: float) -> None:
        await anyio.sleep(pause)
        self._looks_round = False
        self.bus.wake_waiting()

    def _rest_soon(self) -> None:
        """Forget, after a while, the runs that wait for something."""
        if self._rests is None and self._tasks is not None:
            moment = later(self.clock.now(), self.options.sweep_interval)
            self._rests = self.timers.at(moment, self._rest)

    def _rest(self) -> None:
        self._rests = None
        self.drop_resting()
        if any(live.is_idle for live in self.live.values()):
            self._rest_soon()

    def busy_with(self, run_id: str) -> LiveRun | None:
        """Give a run as this process knows it, if that is how it is: nobody else may have moved it on meanwhile."""
        live = self.live.get(run_id)
        if live is None or live.stale or (live.is_idle and self.storage.shared):
            return None
        return live

    @property
    def handler_threads(self) -> Threads:
        """The bus's own thread for sync handlers."""
        if self._handlers is None:
            self._handlers = Threads("phaseline-bus", 1)
        return self._handlers

    async def call_in_thread(self, fn: Callable[[], T]) -> T:
        """Call a sync body."""
        if self.bodies is None:
            self.bodies = Threads("phaseline-body", self.options.sync_threads)
        return await self.bodies.run(fn)

    # ------------------------------------------------------------------ commits
    def take_over(self, draft: Draft) -> LiveRun:
        """Take note of what was committed beside the committer: by a claim, or by a transactional phase.

        To be called while nobody else decides on runs of this process.
        """
        live = self.live.get(draft.run_id)
        if live is None:
            live = self.live[draft.run_id] = LiveRun(draft.base)
        elif live.snapshot.run.revision > draft.base.run.revision:
            live.stale = True  # a batch came in between: read what both have written
        elif live.snapshot is not draft.base:
            live.snapshot = draft.base  # others moved it on, and this was decided on what they wrote
            live.stale = live.unsettled is not None
        if live.snapshot is draft.base:
            live.snapshot.absorb(draft)
        live.interrupt_fenced()
        self.committed(live, draft)
        return live

    @property
    def is_vacant(self) -> bool:
        """Whether no body runs here."""
        return self.seats == self.options.concurrency

    def _offer(self, now: datetime) -> Offer:
        if self.draining or self.alone or self.seats <= 0 or self.options.queues == _NO_QUEUES:
            return NO_OFFER
        options = self.options
        threads = self.thread_seats if self.bodies is None else self.free_threads
        return Offer(self.worker_id, now + options.lease, self.seats, options.queues, self.waiting, threads)

    @property
    def free_threads(self) -> int:
        """Sync bodies that could be started now; one that was abandoned keeps its thread until it returns."""
        busy = 0 if self.bodies is None else self.bodies.busy
        return max(0, min(self.thread_seats, self.options.sync_threads - busy))

    def committed(self, live: LiveRun, draft: Draft) -> None:
        """Take note of a commit: seats, observers, those who wait."""
        self.commits += 1
        self.seats -= len(draft.granted)
        self.thread_seats -= draft.threads
        # Else it is driven by its caller alone, in a memory of its own: nobody hears of it, and nothing runs beside it.
        if self._tasks is not None:
            tell(self, live, draft)
            if self.use is not None and self.use.others:
                self.use.tell_others(self.options.namespace, live.id)

    def note_miss(self) -> None:
        """Have it looked again at what is due."""
        if self.missed is not None:
            self.missed.set()

    def tell_live(self, event: Event) -> None:
        """Tell an event that is not stored."""
        self.publish((event,))

    def _later(self, moment: datetime, action: Callable[[], None]) -> None:
        self.timers.at(moment, action)

    @property
    def timers(self) -> Timers:
        """The heap of everything that is to happen at a time; its task starts with the first use."""
        if self._timers is None:
            self._timers = Timers(self.clock)
            self.spawn(self._timers.run)
        return self._timers

    # ------------------------------------------------------------------ what others read
    def read(self, fn: Callable[[], T]) -> Coroutine[Any, Any, T]:
        """Read from the storage, off the event loop if it blocks."""
        return self.off_loop(fn)

    async def write(self, fn: Callable[[], T]) -> T:
        """Write to the storage beside the committer, on the thread that it writes on."""
        if self._writer is None:
            return fn()
        with anyio.CancelScope(shield=True):
            return await self._writer.run(fn)
        raise AssertionError  # nobody cancels the scope, so it swallows nothing

    async def record_of(self, run_id: str) -> RunRecord:
        """Give a run's row.

        Raises:
            RunNotFoundError: There is none.
        """
        live = None if self.storage.shared or self.shares_memory else self.live.get(run_id)
        if live is not None and not live.stale:
            return live.snapshot.run
        record = await self.read(partial(self.storage.head, self.options.namespace, run_id))
        if record is None:
            raise RunNotFoundError(run_id)
        return record

    async def hold(self, run_id: str) -> LiveRun:
        """Give the one object by which commands to a run are committed here: a batch may not name one twice."""
        return self.live.get(run_id) or self.live.setdefault(run_id, await self.load(run_id))

    async def load(self, run_id: str) -> LiveRun:
        """Read a run, apart from what this process is doing with it.

        Raises:
            RunNotFoundError: There is none.
            PipelineNotRegisteredError: Its definition is not known here, or what undoes one of its phases.
        """
        rows = await self.read(partial(self.storage.load, self.options.namespace, run_id))
        if rows is None:
            raise RunNotFoundError(run_id)
        plan = self.plans.get(rows.run.definition)
        if plan is None:
            known = {plan.name for plan in self.plans.values()}
            raise PipelineNotRegisteredError(
                rows.run.pipeline, "this runtime", known, version=rows.run.version
            )
        return LiveRun(Snapshot.from_rows(plan, rows))

    # ------------------------------------------------------------------ the end
    @property
    def in_thread(self) -> bool:
        """Whether a sync body runs."""
        return self.bodies is not None and self.bodies.busy > 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being written or read."""
        busy = any(threads.busy for threads in (self._writer, self._readers) if threads is not None)
        return not busy and not self.committer.busy

    async def stop_bodies(self) -> None:
        """Let bodies end by themselves for a while, then have them handed over, whether or not they end at that."""
        self.draining = True  # what they make runnable is left to others
        await self._all_ended(within=self.options.drain.total_seconds())
        for job in self._jobs():
            job.interrupt(Interruption.HANDED_OVER)
        await self._all_ended(within=1)
        for job in self._jobs():
            self.spawn(abandon, self, job)
        await self._all_ended(within=1)

    def _jobs(self) -> list[Job]:
        return [job for live in self.live.values() for job in live.jobs.values()]

    async def _all_ended(self, *, within: float) -> None:
        with anyio.move_on_after(within, shield=True):
            while any(not live.is_idle for live in self.live.values()):  # noqa: ASYNC110  # at the close only: an event would have to be set at each run's end
                await anyio.sleep(0.005)

    async def reads_ended(self) -> None:
        """Wait until nothing is being read: a connection that is still out would outlive the storage."""
        with anyio.move_on_after(1, shield=True):
            while self._readers is not None and self._readers.busy:  # noqa: ASYNC110  # at the close only
                await anyio.sleep(0.001)

    def dismiss(self) -> None:
        """Send away whoever still waits for a run."""
        self.closed = True
        self.nudges.close()
        self.bus.wake_readers()

    def close(self) -> None:
        """Let the threads go, and what refers back to this runner: it is freed at once, not by the collector."""
        for threads in self._threads():
            threads.close()
        self.on_waiting = self.on_due = self.on_seat = self.on_expiry = self.on_level = self.on_message = None
        self.on_moves = None
        if self._moves is not None:
            self._moves.close()
            self._moves = None
        self.publish = self.bus.publish
        self.committer.close(self.live.values())
        self.committer = ClosedCommitter()

    async def threads_ended(self) -> None:
        """Wait for the end of the threads that were let go, but for those whose call goes on."""
        for threads in self._threads():
            await threads.ended()

    @property
    def threads_of_storage(self) -> tuple[Threads | None, Threads | None]:
        """Those that write it, and those that read it; none where it does not block."""
        return self._writer, self._readers

    def _threads(self) -> list[Threads]:
        """Those that end with this runner."""
        of_storage = () if self._beside is not None else (self._writer, self._readers)
        return [threads for threads in (self.bodies, *of_storage, self._handlers) if threads is not None]


def _threads_of(storage: Storage) -> tuple[Threads | None, Threads | None]:
    """Make those that write a storage, one after the other, and those that read it."""
    if not storage.blocking:
        return None, None
    return Threads("phaseline-writer", 1, ahead=2), Threads("phaseline-reader", 4)
