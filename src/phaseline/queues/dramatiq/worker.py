"""Runtimes inside the worker processes that the ``dramatiq`` command starts."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Final, Protocol

import anyio
from dramatiq import Broker, Middleware
from dramatiq import Worker as DramatiqWorker

from phaseline.abc import Queue
from phaseline.errors import RuntimeUsageError
from phaseline.event_loop import loop_post
from phaseline.queues.dramatiq.queue import DramatiqQueue
from phaseline.queues.dramatiq.watchdog import Watchdog
from phaseline.serving import closed_within, end_process_after, serve, settle_heap

log: Final = logging.getLogger("phaseline.worker")

LAST_WORDS: Final = timedelta(seconds=5)
"""What Dramatiq's own end may take before a process that would not end is ended by force."""
BOOT_PATIENCE = 30.0
"""Seconds that the start of a worker process waits for its runtimes; what takes longer goes on beside it."""


class Served(AbstractAsyncContextManager[object], Protocol):
    """What a worker process keeps open: a runtime."""

    @property
    def queue(self) -> Queue:
        """What carries its permits."""
        ...

    @property
    def drain(self) -> timedelta:
        """How long bodies may go on when it is closed."""
        ...


def worker_broker(runtime: Served, /, *more: Served, backend: str = "asyncio") -> Broker:
    """Have runtimes served by Dramatiq's workers, and give the broker to start these with.

    ``dramatiq myapp.worker:broker`` then opens the runtimes in each of its worker processes, on an event loop of their
    own, and drains them when the process is told to stop. Dramatiq's own threads take permits and no more: how many
    phases run at once is for ``Runtime(concurrency=…, sync_threads=…)`` to say.

    Args:
        runtime: One whose queue is on Dramatiq.
        more: Others on the same queue, such as one for each namespace.
        backend: ``"asyncio"`` or ``"trio"``.

    Raises:
        RuntimeUsageError: A runtime's queue is another one.
    """
    queue = runtime.queue
    for each in (runtime, *more):
        if not isinstance(queue, DramatiqQueue) or each.queue is not queue:
            msg = (
                f"worker_broker({each!r}): its permits go through {each.queue!r}; make it with "
                "Runtime(..., queue='redis://host:6379/0') or queue=DramatiqQueue(broker), the same for all"
            )
            raise RuntimeUsageError(msg)
    assert isinstance(queue, DramatiqQueue)  # noqa: S101  # seen above
    queue.broker.add_middleware(Serving((runtime, *more), queue, backend))
    return queue.broker


class Serving(Middleware):
    """Opens runtimes when a worker of Dramatiq's has started, and closes them when it stops."""

    def __init__(self, hosts: tuple[Served, ...], queue: DramatiqQueue, backend: str) -> None:
        self._hosts, self._queue, self._backend = hosts, queue, backend
        self._thread: threading.Thread | None = None
        self._booted = threading.Semaphore(0)
        self._stop: Callable[[], object] | None = None
        """Has the runtimes close; nobody waits for the event loop, which a body may be blocking."""
        self._watchdog: Watchdog | None = None
        self._is_up = self._failed = False
        self._owns_process = False
        """Whether the process was started to serve: by the ``dramatiq`` command."""

    # ------------------------------------------------------------------ told by Dramatiq
    def after_process_boot(self, broker: Broker) -> None:  # noqa: ARG002  # as Dramatiq calls it
        """Take note that nobody else lives in this process."""
        self._owns_process = True

    def after_worker_boot(self, broker: Broker, worker: DramatiqWorker) -> None:  # noqa: ARG002  # as Dramatiq calls it
        """Open the runtimes; a mistake ends the process."""
        self._thread = threading.Thread(target=self._run, name="phaseline-loop", daemon=True)
        self._thread.start()
        for _ in self._hosts:
            self._booted.acquire(timeout=BOOT_PATIENCE)
        self._is_up = True
        self._exit_if_failed()
        if self._owns_process:
            settle_heap()
        self._watchdog = Watchdog(worker, lambda: self._queue.served, self._queue.traffic)
        self._watchdog.start()

    def before_worker_shutdown(self, broker: Broker, worker: DramatiqWorker) -> None:  # noqa: ARG002  # as above
        """Have them begin to drain, beside Dramatiq's own end."""
        if self._stop is not None:
            self._stop()
        if self._watchdog is not None:
            self._watchdog.stop()

    def after_worker_shutdown(self, broker: Broker, worker: DramatiqWorker) -> None:  # noqa: ARG002  # as above
        """Wait until they are closed, within a bound: a body may go on for ever."""
        if self._thread is not None:
            drain = max(host.drain for host in self._hosts)
            self._thread.join(closed_within(drain).total_seconds())
            if self._thread.is_alive():
                log.error("a runtime of this worker does not close: it is left as it is")
                if self._owns_process:  # else its host decides
                    end_process_after(LAST_WORDS, 128 + signal.SIGTERM)
        self._exit_if_failed()

    def _exit_if_failed(self) -> None:
        if (
            self._failed
        ):  # no exception of another kind gets through Dramatiq, and an exit of 0 would restart nothing
            raise SystemExit(1)

    # ------------------------------------------------------------------ in the thread of the event loop
    def _run(self) -> None:
        try:
            anyio.run(self._serve, backend=self._backend)
        except BaseException:
            log.critical(
                "the runtimes of this worker ended unexpectedly, and so does its process", exc_info=True
            )
            self._failed = True
            self._booted.release(len(self._hosts))
            if self._is_up:
                os.kill(os.getpid(), signal.SIGTERM)  # as a supervisor would: Dramatiq ends in order

    async def _serve(self) -> None:
        stopped, post = anyio.Event(), loop_post()
        self._stop = lambda: post(stopped.set)
        async with anyio.create_task_group() as tasks:
            for host in self._hosts:
                tasks.start_soon(serve, host, stopped, self._booted.release)
