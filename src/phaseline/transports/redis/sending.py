"""Events on their way to Redis: gathered, and sent by one thread, so that no commit ever waits for a server."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Final

from phaseline.events import Event
from phaseline.wire import all_to_json

log: Final = logging.getLogger("phaseline.transport")

MOST_WAITING = 10_000
"""Batches that wait while the server is away; past it the oldest are dropped, and the others read the storage."""
AT_ONCE = 200
"""Batches of one round trip."""
OUTAGE_PAUSE = 0.25
"""Seconds before it is tried again."""
FLUSH_GRACE = 1.0
"""Seconds that what waits has at the close to be sent."""
STOP_GRACE = 1.0
"""Seconds for which the end of the thread is waited for after that."""
IDLE_DAYS = 1
"""Days after which a stream is gone to which nobody appends."""


class Sender:
    """Appends batches to a stream, each with the sender's name and a number, by which readers see what is missing."""

    def __init__(self, connect: Callable[[None], Any], key: str, name: str, kept: int) -> None:
        self._connect, self._key, self._name, self._kept = connect, key, name, kept
        self._waiting: deque[tuple[int, Sequence[Event]]] = deque()
        self._number = 0
        self._changed = threading.Condition()
        self._is_stopped = False
        self._thread = threading.Thread(target=self._work, name="phaseline-events-out", daemon=True)
        self.trouble: str | None = None
        """Why the last batches could not be sent; None if they were."""

    def start(self) -> None:
        """Begin; not with the first batch, since no commit should meet a process that can have no more threads."""
        self._thread.start()

    def put(self, events: Sequence[Event]) -> None:
        """Send a batch soon."""
        with self._changed:
            if self._is_stopped:
                return
            self._number += 1
            if len(self._waiting) >= MOST_WAITING:
                self._waiting.popleft()
            self._waiting.append((self._number, events))
            self._changed.notify_all()

    def stop(self) -> None:
        """Send what waits, within a bound, and end."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting or self.trouble is not None, FLUSH_GRACE)
            self._is_stopped = True
            self._changed.notify_all()
        self._thread.join(STOP_GRACE)

    def _work(self) -> None:
        client = self._connect(None)
        while batches := self._next():
            try:
                self._send(client, batches)
            except Exception as error:  # noqa: BLE001  # whatever the client raises: no run depends on it
                # Also where the server answers, that it only reads, say: its name may lead to another one by now.
                with suppress(Exception):
                    client.connection_pool.disconnect()
                self._pause(error)
            else:
                self._done(batches[-1][0])
        client.close()

    def _next(self) -> list[tuple[int, Sequence[Event]]]:
        """Wait for batches, which stay in their place; none where the thread is to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_stopped)
            return [] if self._is_stopped else list(islice(self._waiting, AT_ONCE))

    def _send(self, client: Any, batches: Sequence[tuple[int, Sequence[Event]]]) -> None:
        with client.pipeline(transaction=False) as pipe:
            for number, events in batches:
                entry = {"from": self._name, "n": number, "events": all_to_json(events)}
                pipe.xadd(self._key, entry, maxlen=self._kept, approximate=True)
            pipe.expire(self._key, IDLE_DAYS * 24 * 3600)
            pipe.execute()

    def _done(self, number: int) -> None:
        with self._changed:
            while self._waiting and self._waiting[0][0] <= number:
                self._waiting.popleft()
            if self.trouble is not None:
                log.info("events can be sent to Redis again")
            self.trouble = None
            self._changed.notify_all()

    def _pause(self, error: Exception) -> None:
        with self._changed:
            if self.trouble is None:
                log.warning(
                    "events cannot be sent to Redis (%s: %s); runs go on, and other processes hear of them later. This is "
                    "said once, and sending is tried again",
                    type(error).__name__, error,
                )  # fmt: skip
            self.trouble = f"{type(error).__name__}: {error}"
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._is_stopped, OUTAGE_PAUSE)
