"""The verbs of a runtime for code without an event loop: Flask, Django's views, scripts.

A thread of its own carries the runs forward; each call waits in the thread that makes it.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterable, Awaitable, Callable, Generator, Iterable, Mapping
from copy import copy
from datetime import datetime, timedelta
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, ParamSpec, Self, TypeVar, get_args, overload

import anyio

from phaseline._definition.signals import Signal
from phaseline._definition.step import Node
from phaseline._shell.loop_thread import Backend, LoopThread
from phaseline._shell.starting import StartOptions, to_insert
from phaseline._shell.tracing import starting
from phaseline.arguments import check_startable
from phaseline.dead_letters import DeadLetters
from phaseline.errors import DefinitionError, RunningLoopError, RuntimeNotOpenError, RuntimeUsageError
from phaseline.event_loop import loop_here
from phaseline.events import Event
from phaseline.handle import RunHandle
from phaseline.limits import Rate
from phaseline.pipeline import Pipeline
from phaseline.rows import Checkpoint
from phaseline.run import Run
from phaseline.runs import Runs
from phaseline.runtime import Runtime
from phaseline.schedules import Schedules
from phaseline.tags import Attribute, marks_of

if TYPE_CHECKING:
    from phaseline.exports import RunExport

_P = ParamSpec("_P")
T = TypeVar("T")
In = TypeVar("In")
Out = TypeVar("Out")
Out_co = TypeVar("Out_co", covariant=True)


class SyncRuntime:
    """A runtime that is open on a thread of its own: any other thread may call it.

    ``with SyncRuntime(Runtime("sqlite:///runs.db", pipelines=[orders])) as runtime: runtime.start(orders, 3).result()``. A host
    without a place for a ``with`` calls ``open()``, and ``close()`` in the end: ``atexit.register(runtime.close)``. While it is open,
    ``orders.run_sync(3)`` runs on it, too.
    """

    def __init__(self, runtime: Runtime, *, backend: Backend = "asyncio") -> None:
        """Put one together; nothing is opened yet.

        Args:
            runtime: What is opened, and closed: everything is said there.
            backend: Which event loop carries the runs forward, and runs bodies that are ``async def``.

        Raises:
            DefinitionError: There is no such event loop.
        """
        if backend not in get_args(Backend):
            msg = f"SyncRuntime(backend={backend!r}): there are {' and '.join(map(repr, get_args(Backend)))}"
            raise DefinitionError(msg)
        self.runtime: Runtime = runtime
        """The runtime on that thread: what has no twin here is called by ``call``, and walked through by ``walk``."""
        self._backend: Backend = backend
        self._thread: LoopThread | None = None
        self._changing = threading.Lock()
        self._host: SyncRuntime | None = None
        """Of a view, the one that gave it."""

    def __repr__(self) -> str:
        return f"SyncRuntime({self.runtime!r})"

    # ------------------------------------------------------------------ open and close
    def open(self) -> Self:
        """Open the runtime; gives this. Also beside an event loop, as where a server imports an application: it waits a moment.

        Raises:
            RuntimeUsageError: It is open already, is a view, or is not closed yet after an interrupt; or as ``Runtime``'s ``async with`` says.
            MissingDependencyError, StorageError: As ``Runtime``'s ``async with``.
        """
        self._refuse_a_view()
        with self._changing:
            if self._thread is not None:
                self._thread.check_process()
                if self._thread.is_alive:
                    raise RuntimeUsageError(
                        f"{self!r} is open already, or not closed yet; close() waits until it is"
                    )
            thread = LoopThread(self.runtime, self._backend)
            thread.start()
            self._thread = thread
        try:
            thread.wait_until_open()
        except BaseException:
            thread.begin_to_close()  # whoever was interrupted does not wait for what he no longer wants
            raise
        return self

    def close(self) -> None:
        """Let bodies end within the drain, hand over the others, and close the storage; where it is not open, do nothing.

        Interrupted, it goes on being closed; called again, this waits for it again. Beside an event loop it holds that up for all this
        time: there, ``await asyncio.to_thread(runtime.close)`` does not.

        Raises:
            RunningLoopError: It is called on the runtime's own thread, which would wait for itself: begin it in another one, for which
                nothing here waits.
            RuntimeUsageError: It is a view, which is closed with the one that gave it.
        """
        self._refuse_a_view()
        thread = self._thread
        if thread is None or not thread.is_alive:
            return
        if thread.is_here:
            raise RunningLoopError("close()", "threading.Thread(target=runtime.close).start()")
        thread.close()

    def _refuse_a_view(self) -> None:
        if self._host is not None:
            raise RuntimeUsageError(
                f"{self!r} is a view; it is open as long as the one that gave it: open and close that"
            )

    def migrate(self) -> None:
        """Bring the tables of the storage up to this code's version, as ``Runtime.migrate``; before it is opened."""
        _refuse_a_loop("migrate()", "await Runtime(...).migrate()")
        anyio.run(self.runtime.migrate, backend=self._backend)

    def __enter__(self) -> Self:
        """Do as ``open``."""
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do as ``close``."""
        self.close()

    # ------------------------------------------------------------------ whatever there is
    def call(self, function: Callable[_P, Awaitable[T]], /, *args: _P.args, **kwargs: _P.kwargs) -> T:
        """Call an async function on the thread of the runtime, and wait for what it gives, or raises.

        ``runtime.call(runtime.runtime.purge, older_than=timedelta(days=30))``. An interrupt of the wait cancels the call.

        Raises:
            RuntimeNotOpenError: It is not open, or was closed meanwhile.
            RunningLoopError: An event loop runs in this thread.
            RuntimeUsageError: This process is a fork of that in which it was opened; or the function is no async one.
        """
        if loop_here() is not None:
            name = _named(function)
            raise RunningLoopError(f"a call of {name}", f"await {name}(...)")
        value: T = self._open_thread.call(_awaited, function, args, kwargs)
        return value

    def walk(self, items: AsyncIterable[T], /) -> Generator[T]:
        """Walk through what the runtime gives by and by: ``for run in runtime.walk(runtime.runtime.find(state="FAILED"))``.

        Each item is fetched when it is asked for. What is left before its end is closed.

        Raises:
            RuntimeNotOpenError, RunningLoopError, RuntimeUsageError: As ``call``.
        """
        _refuse_for_a_walk()
        return self._open_thread.walk(items, _refuse_for_a_walk)

    @property
    def _open_thread(self) -> LoopThread:
        thread, host = self._thread, self._host
        if thread is None:
            raise RuntimeNotOpenError
        if host is not None and host._thread is not thread and not thread.is_alive:  # noqa: SLF001  # of its own kind
            raise RuntimeNotOpenError(view=repr(self))
        return thread

    # ------------------------------------------------------------------ runs
    def start(
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
    ) -> SyncHandle[Out]:
        """Store a run, and give a handle on it, as ``Runtime.start``, whose arguments these are.

        A ``connection``, a SQLAlchemy Connection or Session, is used in the thread that calls, and in no other.

        Raises:
            RuntimeUsageError: The connection is an async one; and as ``call`` and ``Runtime.start``, with what follows there.
        """
        if connection is None:
            handle = self.call(
                self.runtime.start, pipeline, value,
                priority=priority, delay=delay, key=key, while_open=while_open, tags=tags, attributes=attributes,
                timeout=timeout, deadline=deadline, concurrency_key=concurrency_key, concurrency=concurrency, rate=rate,
            )  # fmt: skip
            return SyncHandle(self, handle)
        options = StartOptions(
            priority=priority, delay=delay, key=key, while_open=while_open, marks=marks_of(tags, attributes),
            timeout=timeout, deadline=deadline, concurrency_key=concurrency_key, concurrency=concurrency,
            rate=rate,
        )  # fmt: skip
        return self._start_on(connection, pipeline, value, options)

    def _start_on(
        self, connection: Any, pipeline: Pipeline[In, Out], value: In, options: StartOptions
    ) -> SyncHandle[Out]:
        """Insert a run here: a statement that waits for a lock must not hold up the thread by which all others go on."""
        _refuse_a_loop("start()", "await runtime.start(...)")
        if hasattr(connection, "run_sync"):
            raise _of_a_loop(connection)
        check_startable(self.runtime, pipeline, options)
        _ = self._open_thread
        runner = self.runtime.runner
        with starting(runner, pipeline.name) as span:
            unit, tell, same = self.call(to_insert, runner, pipeline.plan, value, options)
            inserting = runner.storage.insert_on(connection, unit, tell, same)
            try:
                inserting.send(None)  # on a connection without an event loop there is nothing to await
            except StopIteration as done:
                run_id = str(done.value)
            else:
                inserting.close()
                raise _of_a_loop(connection)
            if span is not None:
                span.tell(run_id=run_id)
        return SyncHandle(self, RunHandle(self.runtime, run_id, None, is_new=run_id == unit.run.id))

    def within(self, namespace: str, /) -> SyncRuntime:
        """Give this runtime as it is in another namespace, as ``Runtime.within``; it is open as long as this one."""
        view = copy(self)
        view.runtime = self.call(self.runtime.within, namespace)
        view._host = self._host or self  # noqa: SLF001  # its own
        return view

    def run(self, pipeline: Pipeline[In, Out], value: In, /) -> Run[Out]:
        """Run a pipeline to its end, as ``Runtime.run``; the explicit twin of ``pipeline.run_sync(value)``."""
        return self.call(self.runtime.run, pipeline, value)

    @overload
    def get(self, run_id: str, /) -> SyncHandle[object]: ...
    @overload
    def get(self, run_id: str, pipeline: Pipeline[Any, Out], /) -> SyncHandle[Out]: ...
    def get(self, run_id: str, pipeline: Pipeline[Any, Any] | None = None, /) -> SyncHandle[Any]:
        """Give a handle on a stored run, as ``Runtime.get``, with what that raises."""
        if pipeline is None:
            return SyncHandle(self, self.call(self.runtime.get, run_id))
        return SyncHandle(self, self.call(self.runtime.get, run_id, pipeline))

    def get_by_key(self, pipeline: Pipeline[Any, Out], key: str, /) -> SyncHandle[Out] | None:
        """Give a handle on the run that holds a key, as ``Runtime.get_by_key``, with what that raises."""
        handle = self.call(self.runtime.get_by_key, pipeline, key)
        return None if handle is None else SyncHandle(self, handle)


class SyncHandle(Generic[Out_co]):
    """A run, wherever it is carried forward; its verbs are those of ``RunHandle``, with what they raise, and wait here."""

    def __init__(self, runtime: SyncRuntime, handle: RunHandle[Out_co]) -> None:
        self.id: str = handle.id
        """Id of the run."""
        self.is_new: bool = handle.is_new
        """Whether the call that gave this handle began the run, as ``RunHandle.is_new``."""
        self._runtime = runtime
        self._handle = handle

    def __repr__(self) -> str:
        return f"SyncHandle({self.id!r})"

    @property
    def is_visible(self) -> bool:
        """Whether the run was seen, as ``RunHandle.is_visible``."""
        return self._handle.is_visible

    def state(self) -> str:
        """The state it is in now."""
        return self._runtime.call(self._handle.state)

    def run(self) -> Run[Out_co]:
        """All that is known of it now."""
        return self._runtime.call(self._handle.run)

    def result(self, timeout: timedelta | None = None) -> Out_co:
        """Wait for the end, through pauses, waits and retries, and give the output, as ``RunHandle.result``."""
        return self._runtime.call(self._handle.result, timeout)

    def wait(self, timeout: timedelta | None = None) -> Run[Out_co]:
        """Wait until it is settled (ended, or paused), and give it, as ``RunHandle.wait``."""
        return self._runtime.call(self._handle.wait, timeout)

    def events(self, *, after: int = 0) -> Generator[Event]:
        """Its events numbered above ``after``: those that are stored, then each as it comes, until the run ends."""
        return self._runtime.walk(self._handle.events(after=after))

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Its checkpoints, oldest first, as ``RunHandle.checkpoints``."""
        return self._runtime.call(self._handle.checkpoints)

    @overload
    def result_of(self, phase: Node[Any, T], /) -> T: ...
    @overload
    def result_of(self, phase: str, /) -> object: ...
    def result_of(self, phase: Node[Any, Any] | str, /) -> object:
        """Give what a phase gave, as ``RunHandle.result_of``."""
        # Each of the twin's overloads by itself: a checker takes no union for them.
        if isinstance(phase, str):
            return self._runtime.call(self._handle.result_of, phase)
        return self._runtime.call(self._handle.result_of, phase)

    def export(self, *, values: bool = True) -> RunExport:
        """All that is stored of it, as a document, as ``RunHandle.export``."""
        return self._runtime.call(self._handle.export, values=values)

    # ------------------------------------------------------------------ commands
    def pause(self, *, reason: str = "", actor: str = "") -> None:
        """Have no phase start from now on, as ``RunHandle.pause``."""
        self._runtime.call(self._handle.pause, reason=reason, actor=actor)

    def resume(self, *, reason: str = "", actor: str = "") -> None:
        """Go on, as ``RunHandle.resume``."""
        self._runtime.call(self._handle.resume, reason=reason, actor=actor)

    def cancel(self, *, reason: str = "", actor: str = "") -> None:
        """End the run for good, as ``RunHandle.cancel``."""
        self._runtime.call(self._handle.cancel, reason=reason, actor=actor)

    def retry(self, *, reason: str = "", actor: str = "") -> None:
        """Take a FAILED run up again where it failed, as ``RunHandle.retry``."""
        self._runtime.call(self._handle.retry, reason=reason, actor=actor)

    def rerun_from(self, phase: str, /, *, reason: str = "", actor: str = "") -> None:
        """Do a phase, and all that comes after it, once more, as ``RunHandle.rerun_from``."""
        self._runtime.call(self._handle.rerun_from, phase, reason=reason, actor=actor)

    def restart(self, *, reason: str = "", actor: str = "") -> None:
        """Do everything once more, as ``RunHandle.restart``."""
        self._runtime.call(self._handle.restart, reason=reason, actor=actor)

    def rollback(self, to: str | None = None, /, *, reason: str = "", actor: str = "") -> None:
        """Take the run back to where it was after a phase, as ``RunHandle.rollback``."""
        self._runtime.call(self._handle.rollback, to, reason=reason, actor=actor)

    def fork(self, at: str | None = None, *, reason: str = "", actor: str = "") -> SyncHandle[Out_co]:
        """Begin another run as a copy of this one up to a place, as ``RunHandle.fork``; gives a handle on the copy."""
        return SyncHandle(
            self._runtime, self._runtime.call(self._handle.fork, at, reason=reason, actor=actor)
        )

    def annotate(self, note: str, /, *, reason: str = "", actor: str = "") -> None:
        """Write something into the run's history, as ``RunHandle.annotate``."""
        self._runtime.call(self._handle.annotate, note, reason=reason, actor=actor)

    def signal(
        self,
        signal: Signal[T],
        value: T,
        /,
        *,
        key: str | None = None,
        id: str | None = None,  # noqa: A002  # the word that users look for
        actor: str = "",
    ) -> None:
        """Send what the run waits for, or will wait for, as ``RunHandle.signal``."""
        self._runtime.call(self._handle.signal, signal, value, key=key, id=id, actor=actor)


async def _awaited(function: Callable[..., object], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    given: Any = function(*args, **kwargs)
    found: object = given  # whatever its type says
    if not isinstance(found, Awaitable):
        name, kind = _named(function), type(found).__name__
        raise RuntimeUsageError(
            f"call({name}): it gave {kind}, which cannot be awaited; give an async function, or call {name}(...) by itself"
        )
    return await given


_OWNERS: Final[Mapping[type, str]] = {
    Runtime: "runtime", RunHandle: "handle", Runs: "runtime.find(...)", Schedules: "runtime.schedules",
    DeadLetters: "runtime.dead_letters",
}  # fmt: skip
"""What a method's object is called where somebody writes it."""


def _named(function: Callable[..., object]) -> str:
    """Name a function as it is written where it is called."""
    while isinstance(function, partial):
        function = function.func
    name = getattr(function, "__name__", type(function).__name__)
    of: object = getattr(function, "__self__", None)
    owner = _OWNERS.get(type(of))
    return name if owner is None else f"{owner}.{name}"


def _refuse_for_a_walk() -> None:
    _refuse_a_loop("walk()", "async for ...")


def _refuse_a_loop(verb: str, instead: str) -> None:
    if loop_here() is not None:
        raise RunningLoopError(verb, instead)


def _of_a_loop(connection: object) -> RuntimeUsageError:
    what = type(connection).__name__
    return RuntimeUsageError(
        f"start(connection={what}): it belongs to an event loop; give a Connection or a Session"
    )
