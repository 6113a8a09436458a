"""The port of transports: how events that one process commits reach the others that listen.

A third party implements ``Transport`` and proves it with ``phaseline.testing.TransportContract``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import timedelta

from phaseline.events import Event

Heard = Callable[[Sequence[Event]], object]
"""Takes events that other processes have told, in order of each run."""
Missed = Callable[[timedelta], object]
"""Takes how long events may have been missed: what happened since is to be read."""


class Line(ABC):
    """One runtime's end of a transport."""

    @abstractmethod
    def send(self, events: Sequence[Event]) -> None:
        """Send events of one run to all others in the namespace, soon and in this order.

        They are committed, or told live only. Never blocks and never raises, whatever is the matter with the transport;
        called on an event loop. What cannot be sent for long may be lost.
        """

    @property
    def trouble(self) -> str | None:
        """What keeps events from being sent or heard now; None if nothing is known to."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Send what waits, for about a second at most, and hear no more. May block; a second time it does nothing."""


class Transport(ABC):
    """Carries events between processes: a fast path beside the storage, from which whoever missed some reads them.

    Losing or doubling events, and mixing up those of different senders, makes nobody miss or repeat anything that is stored:
    each event bears the number that it has in its run.
    """

    @abstractmethod
    def join(self, namespace: str, heard: Heard, missed: Missed) -> Line:
        """Take part; may block for some seconds, and does not raise if nobody can be reached.

        Args:
            namespace: Whose events are sent and heard, and no others.
            heard: Called, from any thread, with events of one run that another line has sent after this returned.
            missed: Called, from any thread, when some may have been lost that were sent during the time before, whenever
                that is noticed; the longer the time, the more is looked for in the storage.
        """
