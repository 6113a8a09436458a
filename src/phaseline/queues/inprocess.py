"""Permits for workers of this process: nothing is kept, a permit wakes whoever listens now."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from phaseline.abc import Queue


class InProcessQueue(Queue):
    """Wakes the workers of this process."""

    def __init__(self) -> None:
        self._listeners: dict[object, tuple[Callable[[str], bool], frozenset[str]]] = {}
        """By a key of each listening: one function may listen twice, and threads come and go at the same time."""

    def put(self, queue: str) -> None:
        for wake, queues in tuple(self._listeners.values()):
            if queue in queues:
                wake(queue)

    def listen(self, wake: Callable[[str], bool], queues: Iterable[str]) -> Callable[[], None]:
        key = object()
        self._listeners[key] = wake, frozenset(queues)

        def stop() -> None:
            self._listeners.pop(key, None)

        return stop
