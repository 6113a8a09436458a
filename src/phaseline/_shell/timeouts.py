"""How long a body may take, and how long it may be silent: timers beside its call, where they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from phaseline._engine.commands import Command
from phaseline._engine.draft import Draft
from phaseline._shell.abandoned import TIDYING, abandon
from phaseline._shell.clock import Timer
from phaseline._shell.invoke import invoke, timeout_of
from phaseline._shell.live import Interruption, Job
from phaseline.times import later

if TYPE_CHECKING:
    from phaseline._shell.runner import Runner


async def invoke_with_timeouts(runner: Runner, job: Job) -> Command | Draft:
    """Do as ``invoke`` does, and interrupt the body when its time is over, or when it gives no sign of life.

    If it does not heed that, its phase goes on without it.
    """
    timeout, silence = timeout_of(runner, job), job.binding.heartbeat
    watches: list[Timer | _Watch] = []

    def stop(why: Interruption) -> None:
        job.interrupt(why)
        tidied = later(runner.clock.now(), TIDYING)
        watches.append(runner.timers.at(tidied, partial(runner.spawn, abandon, runner, job)))

    if timeout is not None:
        over = later(runner.clock.now(), timeout)
        watches.append(runner.timers.at(over, partial(stop, Interruption.TIMED_OUT)))
    if silence is not None:
        watches.append(_Watch(runner, job, silence, stop))
    try:
        return await invoke(runner, job)
    finally:
        for watch in watches:
            watch.cancel()


class _Watch:
    """Listens for signs of life: one timer, set anew only when it goes off, however often the body gives a sign."""

    def __init__(
        self, runner: Runner, job: Job, silence: timedelta, stop: Callable[[Interruption], None]
    ) -> None:
        self._runner, self._job, self._silence, self._stop = runner, job, silence, stop
        job.alive_at = runner.clock.now()
        self._timer = runner.timers.at(later(job.alive_at, silence), self._look)

    def _look(self) -> None:
        due = later(self._job.alive_at, self._silence)
        if due <= self._runner.clock.now():
            self._stop(Interruption.SILENT)
        else:
            self._timer = self._runner.timers.at(due, self._look)

    def cancel(self) -> None:
        """Listen no more."""
        self._timer.cancel()
