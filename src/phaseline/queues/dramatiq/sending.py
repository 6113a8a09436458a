"""Permits on their way out: gathered by queue, sent by one thread, so that nobody ever waits for a broker."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Final

log: Final = logging.getLogger("phaseline.queue")

PAUSE = 0.01
"""Seconds between two permits for one queue: those that are put meanwhile say the same."""
OUTAGE_PAUSE = 1.0
"""Seconds before permits are tried again that could not be sent."""


class Sender:
    """Sends permits, each queue's at most once at a time."""

    def __init__(self, send: Callable[[str, int], None]) -> None:
        """Make one; its thread starts with the first permit.

        Args:
            send: Sends a permit for a queue, with the number of times it was handed on; may block and raise.
        """
        self._send = send
        self._waiting: dict[str, int] = {}
        self._changed = threading.Condition()
        self._pid: int | None = None
        """The process that the thread runs in: a fork leaves it behind."""
        self._busy = False
        self.trouble: Exception | None = None
        """Why the last permit could not be sent; None if it was."""

    def put(self, queue: str, hops: int = 0) -> None:
        """Send a permit soon."""
        with self._changed:
            self._waiting[queue] = min(hops, self._waiting.get(queue, hops))
            if self._pid != os.getpid():
                self._pid, self._busy = os.getpid(), False
                threading.Thread(target=self._work, name="phaseline-permits", daemon=True).start()
            self._changed.notify_all()

    def flush(self, seconds: float) -> bool:
        """Wait until all that was put is sent, or could not be; gives whether that was in time."""
        with self._changed:
            return self._changed.wait_for(self._is_done, seconds)

    def _is_done(self) -> bool:
        return not self._busy and (not self._waiting or self.trouble is not None)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                batch, self._waiting, self._busy = self._waiting, {}, True
            left = self._sent_but(batch)
            with self._changed:
                for queue, hops in left.items():
                    self._waiting.setdefault(queue, hops)
                self._busy = False
                self._changed.notify_all()
            time.sleep(OUTAGE_PAUSE if left else PAUSE)

    def _sent_but(self, batch: dict[str, int]) -> dict[str, int]:
        """Send permits; gives those that could not be."""
        for number, (queue, hops) in enumerate(batch.items()):
            try:
                self._send(queue, hops)
            except Exception as error:  # noqa: BLE001  # whatever a broker's client raises: a permit is a hint
                if self.trouble is None:
                    log.warning(
                        "permits cannot be sent (%s: %s); runs are stored all the same, and workers find them when they "
                        "look by themselves. This is said once, and sending is tried again",
                        type(error).__name__, error,
                    )  # fmt: skip
                self.trouble = error
                return dict(list(batch.items())[number:])
            if self.trouble is not None:
                log.info("permits can be sent again")
                self.trouble = None
        return {}
