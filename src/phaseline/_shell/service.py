"""What goes on beside a runner while a runtime is open: its worker, its schedules, its ear for others; and their end, in order."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial

import attrs
from anyio.abc import TaskGroup

from phaseline._shell import ageing, retention
from phaseline._shell.relay import Relay
from phaseline._shell.runner import Runner
from phaseline._shell.scheduling import Scheduler
from phaseline._shell.worker import Worker
from phaseline.transport import Transport

FLUSH_GRACE = 1.0
"""Seconds that permits have at the close to be sent."""
HANDLER_GRACE = 1.0
"""Seconds that handlers of events have at the close for what still waits for them."""


@attrs.frozen(kw_only=True)
class Duties:
    """What a host wants done beside the runs."""

    serve: bool
    """Whether bodies are called here; a process that only starts runs has no worker."""
    retain: timedelta | None
    """How long runs are kept after their end."""
    age_after: timedelta | None
    """How long a phase may wait until it goes before all others."""
    transport: Transport | None
    """What carries events between processes."""


class Service:
    """A runner at work, on one namespace."""

    def __init__(self, runner: Runner, duties: Duties, *, owns_queue: bool = True) -> None:
        """Put one together; ``owns_queue`` says whether the queue is closed with it."""
        self.runner = runner
        self._owns_queue = owns_queue
        self.relay: Relay | None = None
        """Tells events to other processes, and hears theirs."""
        self.scheduler: Scheduler | None = None
        """Begins runs that begin by themselves."""
        self._duties = duties
        self._worker: Worker | None = None
        self._is_stopped = False
        self._ending = AsyncExitStack()

    async def open(self, tasks: TaskGroup) -> None:
        """Begin; whatever has begun is ended by ``close``, also where the rest could not."""
        runner, duties, ending = self.runner, self._duties, self._ending
        runner.open(tasks)
        if duties.transport is not None:
            self.relay = Relay(runner, duties.transport)
            ending.push_async_callback(self.relay.close)
            await self.relay.open()
        runner.bus.open(runner.spawn_for_caller, runner.handler_threads)
        ending.callback(runner.bus.close)
        ending.callback(runner.dismiss)
        ending.push_async_callback(runner.bus.drain, HANDLER_GRACE)
        if duties.serve:
            await self._serve()
        if self._owns_queue and runner.queue.crosses_processes:
            ending.push_async_callback(self._flush)

    async def _serve(self) -> None:
        runner, duties = self.runner, self._duties
        self._worker = Worker(runner)
        self._ending.push_async_callback(self._worker.close)  # also of one that could not be opened
        await self._worker.open()
        if duties.retain is not None:
            runner.spawn(retention.keep_for, runner, duties.retain)
        if duties.age_after is not None:
            runner.spawn(ageing.age, runner, duties.age_after)
        if runner.storage.keeps_schedules:
            self.scheduler = Scheduler(runner)
            runner.spawn(self.scheduler.run)

    async def stop(self) -> None:
        """Claim nothing more, and let bodies end within the drain; the others are handed over. Once: there is one drain."""
        if self._is_stopped:
            return
        self._is_stopped = True
        try:
            if self._worker is not None:
                await self._worker.stop()
        finally:
            await self.runner.stop_bodies()

    async def _flush(self) -> None:
        """Have the last permits sent: a process that only starts runs may be about to end."""
        # On a thread that there is already: at the end of the interpreter none can be begun.
        await self.runner.write(partial(self.runner.queue.flush, FLUSH_GRACE))
        await self.runner.write(self.runner.queue.close)

    async def close(self) -> None:
        """End all of it, in order."""
        try:
            await self.stop()
        finally:
            await self._ending.aclose()
