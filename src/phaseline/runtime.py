"""The composition root: a runtime puts a storage, a queue and a worker together, and keeps them open."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from copy import copy
from datetime import datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, overload

import anyio
import attrs
from anyio import to_thread
from anyio.lowlevel import EventLoopToken, checkpoint, current_token

from phaseline._definition.deps import Dep, check_provided, checked_deps
from phaseline._shell import checkup, retention
from phaseline._shell.controlling import carry_out, command_of
from phaseline._shell.describing import describe
from phaseline._shell.options import RunnerOptions
from phaseline._shell.own_tasks import own_tasks
from phaseline._shell.runner import Runner
from phaseline._shell.service import Duties, Service
from phaseline._shell.starting import AT_ONCE, Found, StartOptions, start, start_on
from phaseline._shell.storage_use import Use, looks_ended, used_by
from phaseline._shell.view_service import ViewService
from phaseline._shell.waiting import ended_run, raise_unless_completed
from phaseline._values.spans import check_unit
from phaseline.abc import Clock, Queue, Storage
from phaseline.arguments import (
    check_bounds,
    check_kinds,
    check_namespace,
    check_startable,
    checked_clock,
    checked_namespaces,
    checked_pipeline,
    checked_pipelines,
    checked_queue,
    checked_queues,
    checked_storage,
    checked_transport,
)
from phaseline.bus import DEFAULT_BUFFER, EventBus, check_buffer
from phaseline.control import Verb
from phaseline.dead_letters import DeadLetters
from phaseline.errors import (
    DefinitionError,
    RunNotFoundError,
    RuntimeNotOpenError,
    RuntimeUsageError,
)
from phaseline.event_filter import Kind, interest
from phaseline.events import ErrorOccurred
from phaseline.handle import RunHandle
from phaseline.health import PATIENCE, Health
from phaseline.instrumentation import Observers
from phaseline.limits import Rate
from phaseline.logs import Called
from phaseline.pipeline import Pipeline, Selected, elsewhere, names_of, open_hosts, warn_of_endless
from phaseline.query_arguments import check_asked, check_moment, check_page, check_run_id
from phaseline.queues.inprocess import InProcessQueue
from phaseline.retry import Retry
from phaseline.rows import ENDED_STATES, ErrorCategory
from phaseline.run import Run
from phaseline.run_filter import Order, Orphans, Stage, run_filter
from phaseline.runs import Runs, orphans_of
from phaseline.schedules import Schedules
from phaseline.settings import WITHOUT_SETTINGS, Settings
from phaseline.streams import EventStream, checked_after
from phaseline.tags import Attribute, marks_of
from phaseline.transport import Transport
from phaseline.usage import Quota

In = TypeVar("In")
Out = TypeVar("Out")


class Runtime:
    """Where pipelines run: open it with ``async with``.

    Entering starts a worker in this process, which also takes up what an earlier process left unfinished.
    """

    def __init__(
        self,
        storage: str | Storage | None = None,
        *,
        pipelines: Iterable[Pipeline[Any, Any]] = (),
        queue: str | Queue | None = None,
        serve: bool = True,
        queues: Iterable[str] | None = None,
        concurrency: int = 256,
        sync_threads: int = 32,
        lease: timedelta = timedelta(seconds=30),
        drain: timedelta = timedelta(seconds=10),
        namespace: str = "default",
        namespaces: Iterable[str] = (),
        namespace_concurrency: int | None = None,
        namespace_rate: Rate | None = None,
        namespace_quota: Quota | None = None,
        namespace_open_runs: int | None = None,
        retain: timedelta | None = None,
        age_after: timedelta | None = None,
        deps: Mapping[Dep[Any], Any] | None = None,
        retry: Retry | None = None,
        timeout: timedelta | None = None,
        classify: Callable[[BaseException], ErrorCategory | None] | None = None,
        tracebacks: bool = False,
        on_error: Callable[[ErrorOccurred], object] | None = None,
        checkpoints: bool | None = None,
        checkpoint_interval: timedelta | None = None,
        settings: Settings | None = None,
        clock: Clock | None = None,
        bus: EventBus | None = None,
        transport: str | Transport | None = None,
    ) -> None:
        """Put one together; nothing is opened yet.

        Args:
            storage: ``"memory"``, ``"sqlite:///path"``, ``"postgresql://user:password@host/database"``, a URL whose scheme
                is that of an installed plugin, or a storage. By default what the settings say, else ``"memory"``.
            pipelines: What it runs. Where somebody names a pipeline by its name alone, over HTTP or at a shell, the first one listed of
                that name is meant: list the newest version first.
            queue: Carries permits between workers: ``"memory"`` within this process, ``"redis://host:6379/0"`` or
                ``"amqp://user:password@host:5672"`` between those on many machines, a URL whose scheme is that of an
                installed plugin, or a queue. By default what the settings say, else ``"memory"``.
            serve: False for a process that only starts runs and asks about them.
            queues: Queues that the worker serves; None for all.
            concurrency: Bodies that may run at once in this process. One that awaits another run on this runtime keeps its
                place meanwhile; where all do, they wait for ever: put the pipeline into the graph instead.
            sync_threads: Those among them that may be plain functions, in threads.
            lease: How long a phase stays granted to a worker that gives no sign of life: at least 100 milliseconds. Workers give
                three while it lasts.
            drain: How long bodies may go on when the runtime closes; then they are handed over.
            namespace: Keeps runs, keys and workers of several tenants apart.
            namespaces: Others that it is opened in too, as by ``within``: those of the tenants that a worker process serves.
            namespace_concurrency: Bodies of runs started here that may run at once in all processes of the namespace
                together; None for any number.
            namespace_rate: How many of them may be begun in a time, each attempt by itself.
            namespace_quota: How much all runs of the namespace together may use in a time, as far as their bodies record it:
                ``Quota(Budget(cost=Decimal("50")), per=timedelta(days=1))``. Who starts a run here when it is used up, or
                reserves more than is left, is refused; by what was stored a moment ago. By default what the settings say.
            namespace_open_runs: How many runs of the namespace may be open, begun or not, so that another one may be started here;
                those who start one at the same moment may pass it together. By default what the settings say.
            retain: How long runs are kept after their end; then the worker purges them, by and by. None: for ever.
            age_after: How long a phase may be due and wait for a worker until it goes before all others, whatever its run's
                priority; each such process looks after the queues of the whole namespace. None: priorities are strict.
            deps: What phases need from their host.
            retry: For phases of which neither their definition nor their pipeline's says anything; by default one attempt.
            timeout: How long a run may be active of a pipeline that says nothing of it; by default for ever.
            classify: Says of an exception that a body raised which category it is of; None for what would be said
                without it. It is called on the event loop, and must be quick.
            tracebacks: Store the last 4,000 characters of a traceback with each failure of a phase:
                ``run.phases[path].error.traceback``; and log the exception with each. Exceptions may carry secrets, so they are
                left out by default.
            on_error: Called with each ``ErrorOccurred`` of a commit of this process, as ``bus.subscribe`` calls handlers: what
                it raises is logged, and however long it takes, no run waits for it.
            checkpoints: False leaves out checkpoints of runs, and events of them, and nothing else.
            checkpoint_interval: Least time between two ``ctx.save`` of an attempt that are stored; by default 60 seconds.
            settings: For what the arguments do not say: ``Settings.from_env()``. Without them nothing of the environment is
                read.
            clock: Where the time comes from.
            bus: Where events are told; of one open runtime at a time.
            transport: Carries events between the processes of a namespace, so that each is told of the commits of all:
                ``"redis://host:6379/0"``, a URL whose scheme is that of an installed plugin, or a transport. Without one,
                a process is told of its own.

        Raises:
            DefinitionError: Two of the pipelines share name and version, an argument is of another kind or makes no sense,
                or the queue cannot carry the name that a phase gives its own.
            StorageURLError: The URL names no storage.
            QueueURLError: The URL names no queue.
            TransportURLError: The URL names no transport.
            PluginError: The plugin that a URL names cannot be used.
        """
        check_bounds(
            namespace=namespace, concurrency=concurrency, sync_threads=sync_threads, lease=lease, drain=drain,
            retain=retain, retry=retry, timeout=timeout, serve=serve, tracebacks=tracebacks,
            namespace_concurrency=namespace_concurrency, namespace_rate=namespace_rate,
            checkpoints=checkpoints, checkpoint_interval=checkpoint_interval, age_after=age_after,
            namespace_quota=namespace_quota, namespace_open_runs=namespace_open_runs,
        )  # fmt: skip
        check_kinds(settings=settings, bus=bus, classify=classify)
        chosen = settings or WITHOUT_SETTINGS
        storage = chosen.storage if storage is None else storage
        queue = chosen.queue if queue is None else queue
        retry, timeout = retry or chosen.retry, timeout or chosen.timeout
        checkpoints = chosen.enable_checkpoints if checkpoints is None else checkpoints
        if checkpoint_interval is None:
            checkpoint_interval = chosen.checkpoint_interval
        namespace_quota = namespace_quota or chosen.namespace_quota
        namespace_open_runs = namespace_open_runs or chosen.namespace_open_runs
        self._storage, self._queue = checked_storage(storage), checked_queue(queue)
        if self._queue.crosses_processes and not self._storage.shared:
            msg = f"{self._queue!r} reaches other processes, but {self._storage!r} belongs to this one; use a database"
            raise RuntimeUsageError(msg)
        self._pipelines = checked_pipelines(pipelines)
        if retry.is_endless:
            for pipeline in self._pipelines.values():
                warn_of_endless(pipeline.plan, pipeline.plan.without_policy)
        served = checked_queues(queues, self._named)
        for name in self._named.union(served or ()):
            self._queue.check(name)
        self._options = RunnerOptions(
            namespace=namespace, concurrency=concurrency, sync_threads=sync_threads, lease=lease, drain=drain,
            retry=retry, timeout=timeout, classify=classify, tracebacks=tracebacks, checkpoints=checkpoints,
            namespace_concurrency=namespace_concurrency, namespace_rate=namespace_rate,
            checkpoint_interval=checkpoint_interval, namespace_quota=namespace_quota, namespace_open_runs=namespace_open_runs,
            queues=served if serve else frozenset[str](),
        )  # fmt: skip
        self._duties = Duties(
            serve=serve, retain=retain, age_after=age_after, transport=checked_transport(transport)
        )
        self._namespaces = checked_namespaces(namespaces)
        self._deps, self._clock = checked_deps(deps), checked_clock(clock)
        self.bus: EventBus = bus or EventBus()
        """Where events of its runs are heard."""
        self.observers: Observers = Observers()
        """What takes traces and figures, of ``phaseline.otel`` and ``phaseline.prometheus``; for adapters, not for applications."""
        if on_error is not None:
            self.bus.subscribe(on_error, types=[ErrorOccurred], own=True)
        self._on_error = on_error
        self._service: Service | None = None
        self._use: Use | None = None
        """That of the storage, while it is open."""
        self._host: Runtime | None = None
        """Of a view, the runtime that it is one of."""
        self._views: dict[str, Runtime] = {}
        """By their namespaces: those that are open, or about to be."""
        self._view_service: ViewService | None = None
        """Of a view, what keeps it open."""
        self._token: EventLoopToken | None = None
        self._pid: int | None = None
        self._stack = AsyncExitStack()

    def __repr__(self) -> str:
        return (
            f"Runtime({self._storage!r})"
            if self._host is None
            else f"{self._host!r} within {self.namespace!r}"
        )

    def client(self, *, namespace: str | None = None) -> Runtime:
        """The same one, as if made with ``serve=False``: for a process that only starts runs and asks about them.

        The two share what was given to this one, so only one of them can be open.

        Args:
            namespace: As if made with this one too.

        Raises:
            DefinitionError: It is no name of a namespace.
            RuntimeUsageError: This one is open.
        """
        if self._service is not None:
            msg = f"{self!r} is open and serves: use it as it is, or make its client before it is opened"
            raise RuntimeUsageError(msg)
        if namespace is None:
            namespace = self.namespace
        check_namespace(namespace, "runtime.client(...)")
        twin = copy(self)
        twin._host, twin._views, twin._namespaces = None, {}, ()  # noqa: SLF001  # its own, as below
        twin._pid = None  # noqa: SLF001  # this one may be about to close
        twin._duties = attrs.evolve(self._duties, serve=False)  # noqa: SLF001
        twin._options = attrs.evolve(self._options, namespace=namespace, queues=frozenset[str]())  # noqa: SLF001
        return twin

    # ------------------------------------------------------------------ open and close
    async def __aenter__(self) -> Self:
        """Open the storage and begin to serve.

        Raises:
            MissingDependencyError: It serves a phase that requires what was not provided.
            StorageError: It cannot be opened.
            RuntimeUsageError: It is open already, or its bus or its storage is that of another open runtime.
        """
        if self._host is not None:
            raise RuntimeUsageError(
                f"{self!r} is a view; it is open as long as that runtime, which gives it: within()"
            )
        stack = AsyncExitStack()
        self._use = stack.enter_context(used_by(self, self._storage))  # left last
        stack.callback(self._forget)
        try:
            await self._open(stack)
        except BaseException as error:
            await self._leave(stack, error)
            raise
        self._stack = stack
        return self

    async def _open(self, stack: AsyncExitStack) -> None:
        if self._duties.serve:  # who only starts runs calls no bodies
            plans = [pipeline.plan for pipeline in self._pipelines.values()]
            check_provided(plans, self._deps or {}, self._options.queues)
        await looks_ended(self._storage)  # before it is ours to close
        runner = self._new_runner()
        # Left in reverse: what writes is stopped before the storage closes, and its threads go last.
        stack.push_async_callback(runner.threads_ended)
        stack.callback(runner.close)
        stack.push_async_callback(runner.write, self._storage.close)
        stack.push_async_callback(runner.reads_ended)
        use = self._use
        assert use is not None  # noqa: S101  # entered before
        stack.callback(setattr, use, "is_open", False)
        await runner.write(self._storage.open)
        use.is_open = True
        if (
            self._storage.shared
        ):  # due times are judged by its clock, also those of a process that only submits
            await runner.read(partial(runner.clock.follow, self._storage.now))
        ending = AsyncExitStack()
        tasks = await stack.enter_async_context(own_tasks(ending))
        service = Service(runner, self._duties)
        ending.push_async_callback(service.close)
        await service.open(tasks)
        self._service, self._token, self._pid = service, current_token(), os.getpid()
        open_hosts.append(self)
        ending.push_async_callback(self._stop, service)
        for namespace in self._namespaces:
            await self.within(namespace)

    def _new_runner(self, beside: Runner | None = None) -> Runner:
        runner = Runner(
            self._storage, self._queue, plans=[p.plan for p in self._pipelines.values()],
            deps=self._deps, clock=self._clock if beside is None else beside.clock, bus=self.bus, options=self._options,
            observers=self.observers, beside=beside,
        )  # fmt: skip
        runner.use = self._use
        return runner

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let bodies end within the drain, hand over the others, and close the storage."""
        await self._leave(self._stack, error)

    async def _leave(self, stack: AsyncExitStack, error: BaseException | None) -> None:
        # An exception is the caller's own: it is not for a task group to wrap. A cancellation may be the group's.
        if isinstance(error, anyio.get_cancelled_exc_class()):
            await stack.__aexit__(type(error), error, error.__traceback__)
        else:
            await stack.aclose()

    async def _stop(self, service: Service) -> None:
        """Have all bodies end within one and the same drain, and close the views.

        Raises:
            Exception: What the first of them said that could not be ended in order.
        """
        views, self._views = [*self._views.values()], {}
        besides = [view._view_service for view in views if view._view_service is not None]  # noqa: SLF001  # of its own kind, as below
        for each in (service, *(beside.service for beside in besides)):
            # First: a body that is refused from here on is handed over, and has not failed.
            each.runner.draining = True
        for host in (self, *views):
            host._service = host._token = None  # noqa: SLF001
        for view in views:
            view._pid = None  # noqa: SLF001  # this one is found by it to the last
        failures: list[Exception] = []

        async def end(stop: Callable[[], Awaitable[None]]) -> None:
            try:
                await stop()
            except Exception as error:  # noqa: BLE001  # raised below, when all have ended
                failures.append(error)

        async with anyio.create_task_group() as ending:
            for stop in (service.stop, *(beside.close for beside in besides)):
                ending.start_soon(end, stop)
        if failures:
            raise failures[0]

    def _forget(self) -> None:
        """Be known no more: not before the last body has ended, which might run a pipeline."""
        if self in open_hosts:
            open_hosts.remove(self)
        self._pid = None

    # ------------------------------------------------------------------ views
    async def within(self, namespace: str, /) -> Runtime:
        """Give this runtime as it is in another namespace: the same verbs, on the runs, keys, schedules and events of that one.

        A view is open until this runtime is closed, and serves if this one does. It shares pipelines, dependencies and settings, and
        the threads and connections by which the storage is read and written. Bus, concurrency and threads of bodies are its own: no
        tenant takes another one's place. ``pipeline.run()`` means the view in a body of its runs, and elsewhere this runtime: there
        name it, ``view.run(pipeline, value)``.

        Args:
            namespace: That one. Called again with it, this gives the same view.

        Raises:
            DefinitionError: It is no name of a namespace.
            RuntimeNotOpenError: This runtime is not open.
            StorageError: The storage cannot be read.
        """
        host = self.host
        check_namespace(namespace, "runtime.within(...)")
        runner = host.runner
        if namespace == host.namespace:
            return host
        view = host._views.get(namespace)  # noqa: SLF001  # of its own kind, as below
        if view is None:
            view = host._views[namespace] = host._new_view(namespace)  # noqa: SLF001
            assert view._view_service is not None  # noqa: S101, SLF001  # it is a view
            try:
                runner.spawn(view._view_service.keep)  # noqa: SLF001
            except RuntimeError as error:  # its tasks have ended, and it is about to
                host._views.pop(namespace, None)  # noqa: SLF001
                raise RuntimeNotOpenError from error
        assert view._view_service is not None  # noqa: S101, SLF001  # as above
        await view._view_service.until_open()  # noqa: SLF001
        return view

    def _new_view(self, namespace: str) -> Runtime:
        view = copy(self)
        view._host, view._service, view._views = self, None, {}  # noqa: SLF001  # its own, as all of these
        view._stack = AsyncExitStack()  # noqa: SLF001
        view._options = attrs.evolve(self._options, namespace=namespace)  # noqa: SLF001
        view.bus = EventBus()
        if self._on_error is not None:
            view.bus.subscribe(self._on_error, types=[ErrorOccurred], own=True)
        if isinstance(self._queue, InProcessQueue):
            view._queue = InProcessQueue()  # noqa: SLF001  # else work of one namespace would wake the workers of all
        service = Service(view._new_runner(self.runner), self._duties, owns_queue=False)  # noqa: SLF001

        def opened() -> None:
            if self._views.get(namespace) is view:  # else this runtime has begun to close
                view._service = service  # noqa: SLF001

        def ended() -> None:
            view._service = None  # noqa: SLF001
            if self._views.get(namespace) is view:  # whoever asks next has it opened anew
                del self._views[namespace]

        view._view_service = ViewService(service, opened=opened, ended=ended)  # noqa: SLF001
        return view

    @property
    def runners(self) -> Sequence[Runner]:
        """Its own, and those of its views; for adapters, not for applications.

        Raises:
            RuntimeNotOpenError: The runtime is not open.
        """
        views = [view._service for view in [*self._views.values()]]  # noqa: SLF001  # of its own kind
        return (self.runner, *(service.runner for service in views if service is not None))

    @property
    def runner(self) -> Runner:
        """What carries runs forward; for adapters, not for applications.

        Raises:
            RuntimeNotOpenError: The runtime is not open.
            RuntimeUsageError: It was opened before this process was forked.
        """
        if self._service is None:
            raise RuntimeNotOpenError
        if self._pid != os.getpid():
            raise elsewhere(self, self._pid)
        return self._service.runner

    @property
    def token(self) -> EventLoopToken:
        """The event loop it lives on.

        Raises:
            RuntimeNotOpenError: The runtime is not open.
        """
        if self._token is None:
            raise RuntimeNotOpenError
        return self._token

    @property
    def pid(self) -> int:
        """The process that it was opened in: one that was forked from that has a copy, which does nothing.

        Raises:
            RuntimeNotOpenError: The runtime is not open.
        """
        if self._pid is None:
            raise RuntimeNotOpenError
        return self._pid

    @property
    def is_open(self) -> bool:
        """Whether it takes what it is asked for: from the end of its opening to the begin of its close."""
        return self._service is not None

    @property
    def queue(self) -> Queue:
        """What carries permits."""
        return self._queue

    @property
    def serves(self) -> bool:
        """Whether a worker is in it, and queues for it to serve."""
        return self._options.queues != frozenset()

    @property
    def drain(self) -> timedelta:
        """How long bodies may go on when it is closed."""
        return self._options.drain

    @property
    def namespace(self) -> str:
        """Where its runs, keys and schedules are: those of other namespaces are none for it."""
        return self._options.namespace

    @property
    def pipelines(self) -> Sequence[Pipeline[Any, Any]]:
        """What it runs, in the order in which it was registered."""
        return tuple(self._pipelines.values())

    @property
    def names(self) -> frozenset[str]:
        """Names of the pipelines that were registered."""
        return frozenset(name for name, _ in self._pipelines)

    @property
    def host(self) -> Runtime:
        """Of a view, the runtime that it is one of; else itself."""
        return self._host or self

    def around(self, called: Called | None, /) -> Runtime:
        """Itself, or its view in whose namespace a body is being called: what that runs is its tenant's too."""
        view = None if called is None else self._views.get(called.namespace)
        return self if view is None or view._service is None else view  # noqa: SLF001  # of its own kind

    def has(self, pipeline: Pipeline[Any, Any]) -> bool:
        """Whether the pipeline, or one of equal name, version and shape, was registered."""
        known = self._pipelines.get((pipeline.name, pipeline.version))
        return known is not None and known.plan.fingerprint == pipeline.plan.fingerprint

    async def health(self, *, patience: timedelta = PATIENCE) -> Health:
        """Find out how the storage, the broker, the transport, the queues, the workers and this process's threads are.

        What is wrong is told, never raised. A runtime that is not open connects for it, unless another one here has done so, and
        serves nothing.

        Args:
            patience: How long a phase may wait for a worker before this is a problem.
        """
        known = {pipeline.plan.definition for pipeline in self._pipelines.values()}
        given = self._storage, self._queue, known, self._options, patience
        service = self._service
        if service is not None:
            runner = service.runner
            found = await runner.read(partial(checkup.examine, *given, now=runner.clock.sql_now()))
            return attrs.evolve(
                found, last_sweep=runner.swept_at, threads=checkup.threads_of(runner),
                transport=None if service.relay is None else service.relay.trouble,
            )  # fmt: skip
        if self._storage.blocking:
            return await to_thread.run_sync(partial(checkup.examine_closed, *given))
        return checkup.examine_closed(*given)

    # ------------------------------------------------------------------ runs
    async def start(
        self,
        pipeline: Pipeline[In, Out],
        value: In,
        /,
        *,
        priority: int = 100,
        delay: timedelta = timedelta(0),
        key: str | None = None,
        while_open: bool = False,
        tags: Iterable[str] = (),
        attributes: Mapping[str, Attribute] | None = None,
        timeout: timedelta | None = None,
        deadline: datetime | timedelta | None = None,
        concurrency_key: str | None = None,
        concurrency: int | None = None,
        rate: Rate | None = None,
        connection: Any = None,
    ) -> RunHandle[Out]:
        """Store a run, and give a handle on it; a worker carries it forward.

        Args:
            pipeline: One that is registered here.
            value: Its input; validated before anything is stored.
            priority: 0 to 999, lower goes first.
            delay: Not to be started before.
            key: Idempotency key: the first call with it starts a run, later ones with equal input give a handle on
                that run, which is not ``.is_new``. It is the pipeline's own, within the namespace.
            while_open: Let go of the key when the run ends, so that the next call starts another one.
            tags: Words by which the run is found: at most 32, of up to 100 characters.
            attributes: Names and values by which it is found: at most 32, each a text of up to 500 characters, an int
                of 64 bits, a finite float or a bool. They are stored as they are: put no secret into them.
            timeout: How long it may be active, without pauses, waits and delays; then it fails with TIMEOUT. By default what
                the pipeline says, else the runtime.
            deadline: When it must be over, whatever it waits for: an aware moment, or a time from now on. Then it fails with
                TIMEOUT.
            concurrency_key: Under one key, whatever the pipelines, at most ``concurrency`` bodies run at once in all
                processes together: 1 to 200 characters, such as a customer's number.
            concurrency: That number; by default 1, or none where a rate is given.
            rate: How many bodies may be begun in a time under this key, each attempt by itself:
                ``Rate(10, per=timedelta(minutes=1))``.
            connection: A SQLAlchemy Connection, Session, AsyncConnection or AsyncSession to the runtime's database, in
                a transaction of yours: the run is there when you commit, and never was when you roll back. Until then
                only ``.id``, ``.is_new`` and ``result()`` of the handle can be used.

        Raises:
            DeadlinePassedError: It should be over already.
            InvalidInputError: The value is not what the pipeline takes.
            InvalidMarkError: A tag or an attribute is not as said above.
            KeyConflictError: The key stands for a run that was started with another input.
            NamespaceFullError: The quota of the namespace is used up, or it has as many open runs as it may.
            PipelineNotRegisteredError: It was not registered.
            StorageError: The run could not be stored.
            DefinitionError: Another argument makes no sense.
        """
        options = StartOptions(
            priority=priority, delay=delay, key=key, while_open=while_open, marks=marks_of(tags, attributes),
            timeout=timeout, deadline=deadline, concurrency_key=concurrency_key, concurrency=concurrency,
            rate=rate,
        )  # fmt: skip
        # What follows is shielded, or waits for nothing: who starts runs without end is cancelled here.
        await checkpoint()
        if connection is None:
            return RunHandle(self, *await self._start(pipeline, value, options))
        check_startable(self, pipeline, options)
        return RunHandle(self, *await start_on(self.runner, connection, pipeline.plan, value, options))

    async def run(self, pipeline: Pipeline[In, Out], value: In, /) -> Run[Out]:
        """Run a pipeline to its end here; the explicit twin of ``pipeline.run(value)``."""
        started = (await self._start(pipeline, value, AT_ONCE)).live
        assert started is not None  # noqa: S101  # without a key no other run is found in its place
        live = await ended_run(self.runner, started)
        run = await describe(self.runner, live)
        raise_unless_completed(run, live.cause)
        return run

    async def _start(self, pipeline: Pipeline[Any, Any], value: object, options: StartOptions) -> Found:
        check_startable(self, pipeline, options)
        found = await start(self.runner, pipeline.plan, value, options)
        if self._service is None:  # it was closed meanwhile
            raise RuntimeNotOpenError(found.id)
        return found

    def wake(self) -> None:
        """Have the worker look for work now, as after a commit of yours that started runs; it would by itself, soon."""
        for queue in self._named:
            self._queue.put(queue)

    @property
    def _named(self) -> frozenset[str]:
        """Queues that phases of the registered pipelines name."""
        return frozenset(node.queue for pipeline in self._pipelines.values() for node in pipeline.plan.nodes)

    async def migrate(self) -> None:
        """Bring the tables of the storage up to this code's version; before the runtime is opened.

        Raises:
            SchemaVersionError: They are newer than this code.
            StorageUnavailableError: The storage cannot be reached or written.
        """
        await to_thread.run_sync(self._storage.migrate)

    @property
    def schedules(self) -> Schedules:
        """Runs that begin by themselves: store, pause, trigger and delete their schedules.

        Raises:
            RuntimeNotOpenError: The runtime is not open.
        """
        return Schedules(self, None if self._service is None else self._service.scheduler)

    def find(
        self,
        *,
        pipeline: Selected | Iterable[Selected] | None = None,
        version: str | Iterable[str] | None = None,
        state: str | Iterable[str] | None = None,
        ended: bool | None = None,
        stage: Stage | None = None,
        tags: str | Iterable[str] = (),
        attributes: Mapping[str, Attribute] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        parent: str | None = None,
        forked_from: str | None = None,
        text: str = "",
        order: Order = "newest",
        limit: int | None = None,
        after: str | None = None,
    ) -> Runs:
        """Ask for the runs that fulfil all conditions given; nothing is read before the answer is used.

        ``async for run in runtime.find(...)`` walks through them, ``await runtime.find(...)`` gives one page, and
        ``await runtime.find(...).count()`` counts them by state, ``await runtime.find(...).control(verb)`` commands them.

        Args:
            pipeline: Name of a pipeline, or the pipeline, or several; of whatever version.
            version: Version text, or several.
            state: State, or several: those of ``RunState``, and labels of phases.
            ended: Whether they have ended.
            stage: Of those that go on, ``"waiting"``: no worker has begun with them, or they wait for a signal or a time, as
                their state says (IDLE, WAIT_FOR_…, SLEEP…); or ``"active"``: the others, but for what is paused or rolled back.
            tags: Tags, all of which they have.
            attributes: Attributes, all of which they have, with these values.
            since: Created at this moment or later; aware.
            until: Created before this moment; aware.
            parent: Started by the run of this id, with ``start_child``.
            forked_from: Copied from the run of this id, with ``handle.fork``; copies of copies are not among them.
            text: Part of the id, key, pipeline's name, a tag or attribute, or of the type or message of what the run
                failed with; A-Z and a-z are alike. Runs are compared one by one: name a state or a mark too, where
                there are very many.
            order: ``"newest"`` or ``"oldest"`` first, by creation.
            limit: How many at most; without it a page has 100, and a walk goes on to the end.
            after: Where to go on: ``page.next``, or the id of a run.

        Raises:
            DefinitionError: An argument makes no sense: there is no such state or stage, a time is not aware.
            InvalidMarkError: No run could have such a tag or attribute.
            RuntimeNotOpenError: The runtime is not open.
        """
        check_page(order, limit, "runs")
        check_asked(after, "after")
        wanted = run_filter(
            pipeline=names_of(pipeline), version=version, state=state, ended=ended, stage=stage, tags=tags,
            attributes=attributes, since=since, until=until, parent=parent, forked_from=forked_from, text=text,
        )  # fmt: skip
        return Runs(self.runner, wanted, order, limit, after)

    def events(
        self,
        *,
        types: Iterable[Kind] | None = None,
        run: str | None = None,
        pipeline: Selected | None = None,
        after: Mapping[str, int] | None = None,
        since: datetime | None = None,
        buffer: int = DEFAULT_BUFFER,
    ) -> EventStream:
        """Walk through the events of all runs from now on, in the order of each run's numbers, until the runtime closes.

        ``async with runtime.events() as events: async for event in events: ...``; it hears from the call on. Of a run
        that is told of, no stored event is left out or repeated: what this process did not hear is read from the
        storage. Without a transport it is told of the runs on which this process works.

        Args:
            types: As ``bus.subscribe``.
            run: As ``bus.subscribe``.
            pipeline: As ``bus.subscribe``, or the pipeline itself.
            after: Number of the last event seen, by id of run: of these runs what is stored beyond comes first.
            since: Of runs created at this moment or later all that is stored comes first; aware.
            buffer: Events kept for a reader that lags; what has no room is read from the storage, and told then. Of
                those that are told live only, it is lost.

        Raises:
            DefinitionError: One of these is of another kind.
            RunNotFoundError: No run has such an id as in ``after``.
            RuntimeNotOpenError: The runtime is not open.
        """
        name = pipeline.name if isinstance(pipeline, Pipeline) else pipeline
        wanted = interest("runtime.events", types=types, run=run, pipeline=name)
        check_buffer(buffer, "runtime.events")
        check_moment(since, "since")
        return EventStream(self.runner, wanted, checked_after(after), since, buffer)

    async def orphans(self) -> Sequence[Orphans]:
        """Give the runs that are not over and that this runtime leaves alone, grouped by their definition.

        A run goes on only under the name, version and shape that it began under. Each group tells what to do. All runs that
        are not over are read for it.

        Raises:
            RuntimeNotOpenError: The runtime is not open.
            StorageError: They cannot be read.
        """
        return await orphans_of(self.runner)

    @property
    def dead_letters(self) -> DeadLetters:
        """What tells of runs that failed, until somebody sees to them.

        Raises:
            RuntimeNotOpenError: The runtime is not open.
        """
        return DeadLetters(self.runner)

    async def purge(
        self,
        *,
        older_than: timedelta,
        pipeline: Selected | Iterable[Selected] | None = None,
        version: str | Iterable[str] | None = None,
        state: str | Iterable[str] | None = None,
        tags: str | Iterable[str] = (),
        attributes: Mapping[str, Attribute] | None = None,
        dry_run: bool = False,
    ) -> int:
        """Delete runs that ended long ago, each as a whole; gives how many. What goes on is never deleted.

        They are deleted in batches, each in a transaction of its own: if it is interrupted, call it again. A purged run
        is unknown, and its key is free.

        Args:
            older_than: Only those that ended at least so long ago, by the storage's clock.
            pipeline: As with ``find``.
            version: As with ``find``.
            state: As with ``find``; states in which a run has ended.
            tags: As with ``find``.
            attributes: As with ``find``.
            dry_run: Delete nothing, and say how many ended so long ago; a child whose parent has yet to hear of its end is among
                them, and is spared by a purge until then.

        Raises:
            DefinitionError: The time is negative, or a run in this state has not ended.
            InvalidMarkError: No run could have such a tag or attribute.
            StorageError: The storage could not be read or written; what was deleted before stays so.
        """
        if check_unit(older_than, "older_than", "purge") < timedelta(0):
            msg = (
                f"purge(older_than={older_than}): no run has ended in the future; timedelta(0) stands for all"
            )
            raise DefinitionError(msg)
        wanted = run_filter(
            pipeline=names_of(pipeline), version=version, state=state, tags=tags, attributes=attributes
        )
        going_on = sorted((wanted.states or frozenset()) - ENDED_STATES)
        if going_on:
            msg = (
                f"purge(state={', '.join(going_on)}): such a run has not ended; cancel it first, or purge those in "
                f"{', '.join(sorted(ENDED_STATES))}"
            )
            raise DefinitionError(msg)
        old = retention.older_than(self.runner, older_than, wanted)
        if not dry_run:
            return await retention.purge(self.runner, old)
        count = partial(self.runner.storage.count, self.runner.options.namespace, old)
        return sum((await self.runner.read(count)).values())

    @overload
    async def get(self, run_id: str, /) -> RunHandle[object]: ...
    @overload
    async def get(self, run_id: str, pipeline: Pipeline[Any, Out], /) -> RunHandle[Out]: ...
    async def get(self, run_id: str, pipeline: Pipeline[Any, Any] | None = None, /) -> RunHandle[Any]:
        """Give a handle on a stored run.

        Args:
            run_id: Its id.
            pipeline: The pipeline it is a run of, so that its output has a type.

        Raises:
            RunNotFoundError: There is no such run in this namespace, or it is one of another pipeline.
            PipelineNotRegisteredError: Its pipeline, in the shape it started under, was not registered here.
        """
        check_run_id(run_id, "runtime.get")
        if pipeline is not None:
            checked_pipeline(pipeline, "runtime.get")
        live = await self.runner.load(run_id)
        found = live.snapshot.run.pipeline
        if pipeline is not None and found != pipeline.name:
            raise RunNotFoundError(run_id, f"it is a run of {found!r}, not of {pipeline.name!r}")
        return RunHandle(self, live.id, live)

    async def get_by_key(self, pipeline: Pipeline[Any, Out], key: str, /) -> RunHandle[Out] | None:
        """Give a handle on the run of a pipeline that holds a key; None if none does, and nothing is started.

        Args:
            pipeline: Each one has keys of its own.
            key: As it was given to ``start``.

        Raises:
            DefinitionError: What is given is no pipeline, or the key no text.
            PipelineNotRegisteredError: The run is one of a version, or a shape, that was not registered here.
            StorageError: It cannot be read.
        """
        checked_pipeline(pipeline, "runtime.get_by_key")
        check_asked(key, "key")
        runner = self.runner
        run_id = await runner.read(
            partial(runner.storage.keyed, runner.options.namespace, pipeline.name, key)
        )
        if run_id is None:
            return None
        try:
            return await self.get(run_id, pipeline)
        except RunNotFoundError:  # it was purged in between
            return None

    async def control(  # by name
        self,
        run_id: str,
        verb: Verb | str,
        /,
        *,
        reason: str = "",
        actor: str = "",
        phase: str | None = None,
        to: str | None = None,
        note: str | None = None,
    ) -> None:
        """Command a run by its id: the twin of the verbs of ``RunHandle``, for programs that command many.

        Args:
            run_id: Its id.
            verb: A ``Verb``, or its text: ``"cancel"``. For ``fork``, which gives another run, there is ``handle.fork()`` alone.
            reason: Why, for the run's history.
            actor: Who commands it, for the run's history.
            phase: What ``rerun_from`` begins with.
            to: Where ``rollback`` goes.
            note: What ``annotate`` writes.

        Raises:
            DefinitionError: There is no such verb, it is ``fork``, or what it needs is missing.
            EncodeError: A text cannot be stored, or a note is empty or longer than 2,000 characters.
            RunNotFoundError: There is no such run in this namespace.
            UnknownPhaseError, UnknownCheckpointError: There is no such phase, no such checkpoint.
            CommandRefusedError: The run does not obey it in its state.
            PipelineNotRegisteredError: Its pipeline, in the shape it started under, was not registered here.
            StorageError: It is not known to be stored.
        """
        check_run_id(run_id, "runtime.control")
        command = command_of(verb, reason, actor, phase=phase, to=to, note=note)
        await carry_out(self.runner, run_id, command)
