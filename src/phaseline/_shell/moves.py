"""What another runtime on the same memory has committed is taken note of: there is no other way to hear of it."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from phaseline._shell.background import survived
from phaseline.errors import CompensationNotRegisteredError
from phaseline.event_loop import loop_post
from phaseline.rows import ENDED_STATES

if TYPE_CHECKING:
    from phaseline._shell.runner import Runner
    from phaseline._shell.storage_use import Use

log: Final = logging.getLogger("phaseline.runner")


class Moves:
    """Hears of commits from any thread, and looks on the event loop: once for all that came meanwhile."""

    def __init__(self, runner: Runner, use: Use) -> None:
        """Begin to hear, on the event loop of the runner."""
        self._runner, self._use = runner, use
        self._post = loop_post()
        self._moved: set[str] = set()
        self._is_to_look = False
        use.listeners[runner.options.namespace] = self

    def close(self) -> None:
        """Hear no more; a later one of the namespace may be there by now, and goes on."""
        namespace = self._runner.options.namespace
        if self._use.listeners.get(namespace) is self:
            del self._use.listeners[namespace]

    def heard(self, run_id: str) -> None:
        """Take note that a run was moved on elsewhere; from any thread."""
        self._moved.add(run_id)  # first: who looks says so before he takes what is there
        if not self._is_to_look:
            self._is_to_look = True
            self._post(self._look)

    def _look(self) -> None:
        self._is_to_look = False
        runner = self._runner
        while self._moved:
            run_id = self._moved.pop()
            if runner.closed:
                continue
            with survived(
                log, "what another runtime has committed cannot be read now, and is with the next command"
            ):
                self._read(run_id)
            runner.bus.wake(run_id)
        if runner.on_moves is not None and not runner.closed:
            runner.on_moves()

    def _read(self, run_id: str) -> None:
        runner = self._runner
        live = runner.live.get(run_id)
        if live is None:
            return
        live.stale = True  # as long as it could not be read
        rows = runner.storage.load(runner.options.namespace, run_id, live.snapshot.run.revision)
        if rows is None:  # it was purged meanwhile
            if live.is_idle:
                del runner.live[run_id]
            return
        with suppress(CompensationNotRegisteredError):  # it stays stale, and its bodies are interrupted
            live.renew(rows)
        if rows.run.state in ENDED_STATES:
            runner.drop_if_idle(live)
