"""Permits for workers of this process: nothing is kept, a permit wakes whoever listens now."""

from __future__ import annotations

from collections.abc import Callable

from phaseline.abc import Queue


class InProcessQueue(Queue):
    """Wakes the workers of this process."""

    def __init__(self) -> None:
        self._listeners: dict[object, Callable[[str], None]] = {}
        """By a key of each listening: one function may listen twice, and threads come and go at the same time."""

    def put(self, queue: str) -> None:
        for wake in tuple(self._listeners.values()):
            wake(queue)

    def listen(self, wake: Callable[[str], None]) -> Callable[[], None]:
        key = object()
        self._listeners[key] = wake

        def stop() -> None:
            self._listeners.pop(key, None)

        return stop
