"""Between runtimes of one process: for tests, and for a host that opens several."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from phaseline.events import Event
from phaseline.transport import Heard, Line, Missed, Transport


class MemoryTransport(Transport):
    """Hands events on to the other runtimes that were given the same object."""

    def __init__(self) -> None:
        """Make one that nobody uses yet."""
        self._lines: tuple[_MemoryLine, ...] = ()
        self._changing = threading.Lock()

    def __repr__(self) -> str:
        return "MemoryTransport()"

    def join(self, namespace: str, heard: Heard, missed: Missed) -> Line:  # noqa: ARG002  # nothing is ever lost
        line = _MemoryLine(self, namespace, heard)
        with self._changing:
            self._lines = (*self._lines, line)
        return line

    def carry(self, sender: Line, namespace: str, events: Sequence[Event]) -> None:
        """Hand events on to all but the sender."""
        lines = self._lines
        if sender not in lines:  # it has left
            return
        for line in lines:
            if line is not sender and line.namespace == namespace:
                line.heard(events)

    def leave(self, line: Line) -> None:
        """Forget a line."""
        with self._changing:
            self._lines = tuple(known for known in self._lines if known is not line)


class _MemoryLine(Line):
    def __init__(self, transport: MemoryTransport, namespace: str, heard: Heard) -> None:
        self._transport = transport
        self.namespace: str = namespace
        self.heard: Heard = heard

    def send(self, events: Sequence[Event]) -> None:
        self._transport.carry(self, self.namespace, events)

    def close(self) -> None:
        self._transport.leave(self)
