"""Hints between the processes of one storage: that there is work, and that a run has come to an end."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from phaseline.abc import Nudge, Storage
from phaseline.bus import EventBus
from phaseline.event_loop import Post, loop_post

AWAITED = 10.0
"""Seconds for which ends of runs are told after somebody has said that he waits for some."""
REPEATED = 4.0
"""Seconds after which whoever still waits says so again."""


class Nudges:
    """What one process tells the others, and hears from them."""

    def __init__(self, storage: Storage, namespace: str, bus: EventBus, name: str) -> None:
        self._storage, self._namespace, self._bus = storage, namespace, bus
        self._name = name
        self.on_work: Callable[[str], object] | None = None
        """Called with a queue on which others left work; from any thread."""
        self.has_peers: bool = storage.shared
        """Whether other processes may serve this namespace; a worker knows better."""
        self._stop: Callable[[], None] | None = None
        self._awaited_until = self._said_at = -AWAITED

    def listen(self) -> None:
        """Hear from others from now on; on the event loop."""
        if self._stop is None:
            self._stop = self._storage.listen(self._namespace, partial(self._heard, loop_post()))

    def close(self) -> None:
        """Hear no more."""
        if self._stop is not None:
            self._stop()

    # ------------------------------------------------------------------ telling
    def work(self, queues: frozenset[str]) -> None:
        """Tell that there is work on queues."""
        self._storage.nudge(self._namespace, Nudge(queues=queues))

    def serving(self) -> None:
        """Tell that work may be left to this process from now on, so that others need not look who is there."""
        self._storage.nudge(self._namespace, Nudge(workers=frozenset((self._name,))))

    def ended(self, run_id: str) -> None:
        """Tell that a run has come to an end, if somebody elsewhere is known to wait for one."""
        if self._awaited_until > time.monotonic():
            self._storage.nudge(self._namespace, Nudge(runs=frozenset((run_id,))))

    def wait(self) -> None:
        """Have others tell when runs come to an end."""
        if self._storage.nudges:
            self.listen()
            now = time.monotonic()
            if now - self._said_at > REPEATED:
                self._said_at = now
                self._storage.nudge(self._namespace, Nudge(awaited_by=frozenset((self._name,))))

    # ------------------------------------------------------------------ hearing
    def _heard(self, post: Post, nudge: Nudge) -> None:
        """Take a nudge, on a thread of the storage's."""
        on_work = self.on_work  # which the event loop may take away at any moment
        if on_work is not None:
            for queue in nudge.queues:
                on_work(queue)
        if nudge.workers - {self._name}:
            self.has_peers = True
        if nudge.awaited_by or nudge.runs:
            post(partial(self._take_note, nudge))

    def _take_note(self, nudge: Nudge) -> None:
        if nudge.awaited_by - {self._name}:
            self._awaited_until = time.monotonic() + AWAITED
        for run_id in nudge.runs:
            self._bus.wake(run_id)
