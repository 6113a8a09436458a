"""Permits on their way out: gathered by queue, sent by one thread, so that nobody ever waits for a broker."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from dramatiq.errors import BrokerConnectionError

log: Final = logging.getLogger("phaseline.queue")

PAUSE = 0.01
"""Seconds between two permits for one queue: those that are put meanwhile say the same."""
OUTAGE_PAUSE = 1.0
"""Seconds before permits are tried again that could not be sent."""
LINGER = 10.0
"""Seconds after which a thread without permits ends, and lets go of its connection: RabbitMQ takes a client for dead that
is silent for a minute. A queue that the broker refused is left alone for as long: somebody has to mend it."""
STOP_GRACE = 1.0
"""Seconds that are waited for the thread to end, which may be held up by a broker that is away."""
REFUSAL = "ChannelClosedByBroker", "WRONGTYPE"
"""What the error of a queue that is refused is called by RabbitMQ's client, which need not be installed, and says on Redis."""


class Sender:
    """Sends permits, each queue's at most once at a time."""

    def __init__(self, send: Callable[[str, int], None], rest: Callable[[], None]) -> None:
        """Make one; its thread starts with the first permit.

        Args:
            send: Sends a permit for a queue, with the number of times it was handed on; may block and raise.
            rest: Called on the thread when it ends, to let go of what it sent by.
        """
        self._send, self._rest = send, rest
        self._waiting: dict[str, int] = {}
        self._changed = threading.Condition()
        self._pid: int | None = None
        """The process that the thread runs in: a fork leaves it behind."""
        self._thread: threading.Thread | None = None
        self._busy = False
        self.trouble: Exception | None = None
        """Why no permit could be sent; None once the broker answers."""
        self.refused: dict[str, float] = {}
        """By queue that the broker refused, while it takes others: when it is tried again."""

    def put(self, queue: str, hops: int = 0) -> None:
        """Send a permit soon."""
        with self._changed:
            self._waiting[queue] = min(hops, self._waiting.get(queue, hops))
            if self._thread is None or self._pid != os.getpid():
                self._begin()
            self._changed.notify_all()

    def _begin(self) -> None:
        self._pid, self._busy, self._thread = os.getpid(), False, None
        thread = threading.Thread(target=self._work, name="phaseline-permits", daemon=True)
        try:
            thread.start()
        except (
            RuntimeError
        ) as error:  # no more threads can be had: a commit that is done must not fail for that
            self._note(error)
        else:
            self._thread = thread

    def flush(self, seconds: float) -> bool:
        """Wait until all that was put is sent, or could not be; gives whether that was in time."""
        with self._changed:
            return self._changed.wait_for(self._is_done, seconds)

    def stop(self) -> None:
        """Have the thread end, and drop what it could not send; the next permit starts another one.

        It is waited for, shortly: a host may close its broker next, and must find nobody at work on it.
        """
        with self._changed:
            thread = self._thread if self._pid == os.getpid() else None
            self._waiting, self._thread, self._busy = {}, None, False
            self.refused = {}
            self._changed.notify_all()
        if thread is not None:
            thread.join(STOP_GRACE)

    def _is_done(self) -> bool:
        return not self._busy and (self._waiting.keys() <= self.refused.keys() or self.trouble is not None)

    def _is_mine(self) -> bool:
        return self._thread is threading.current_thread()

    def _work(self) -> None:
        while batch := self._next_batch():
            left = self._sent_but(batch)
            with self._changed:
                if not self._is_mine():
                    break
                self._waiting = left | self._waiting
                self._busy = False
                self._changed.notify_all()
                pause = PAUSE if self.trouble is None else OUTAGE_PAUSE
                self._changed.wait_for(lambda: not self._is_mine(), pause)
        self._rest()

    def _next_batch(self) -> dict[str, int]:
        """Wait for permits; gives none where the thread is to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._due() or not self._is_mine(), LINGER)
            if not self._is_mine():
                return {}
            batch = self._due()  # after so long a wait also those for queues that were refused
            self._waiting = {queue: hops for queue, hops in self._waiting.items() if queue not in batch}
            self._busy = bool(batch)
            if not batch:
                self._thread = None
            return batch

    def _due(self) -> dict[str, int]:
        now = time.monotonic()
        return {queue: hops for queue, hops in self._waiting.items() if self.refused.get(queue, now) <= now}

    def _sent_but(self, batch: dict[str, int]) -> dict[str, int]:
        """Send permits; gives those that could not be."""
        left = dict(batch)
        for queue, hops in batch.items():
            try:
                self._send(queue, hops)
            except Exception as error:  # noqa: BLE001  # whatever a broker's client raises: a permit is a hint
                if not self._is_mine():  # it was stopped, and what it sent by may be closed
                    break
                if not is_refusal(error):  # then of all queues, and each may be a long wait
                    left[queue] = left.pop(queue)  # they go first, should it be the only one after all
                    self._note(error)
                    break
                self._note_answer()
                self._note_refusal(queue, error)
            else:
                del left[queue]
                self._note_answer()
                if self.refused.pop(queue, None) is not None:
                    log.info("permits for queue %r can be sent again", queue)
        return left

    def _note(self, error: Exception) -> None:
        if self.trouble is None:
            log.warning(
                "permits cannot be sent (%s: %s); runs are stored all the same, and workers find them when they "
                "look by themselves. This is said once, and sending is tried again",
                type(error).__name__, error,
            )  # fmt: skip
        self.trouble = error

    def _note_answer(self) -> None:
        if self.trouble is not None:
            log.info("permits can be sent again")
            self.trouble = None

    def _note_refusal(self, queue: str, error: Exception) -> None:
        if queue not in self.refused:
            log.warning(
                "permits for queue %r cannot be sent (%s: %s); its runs are stored all the same, and workers find them "
                "when they look by themselves. This is said once, and sending is tried again",
                queue, type(error).__name__, error,
            )  # fmt: skip
        self.refused[queue] = time.monotonic() + LINGER


def is_refusal(error: Exception) -> bool:
    """Whether a broker that answers refuses one queue, which exists in another shape, say.

    All else concerns every queue, or may do so: no broker answers, one takes nothing more, or leaves the writing to another one.
    """
    raised: Any = error
    cause: object = raised.message if isinstance(error, BrokerConnectionError) else error  # it is wrapped
    return any(word in f"{type(cause).__name__}: {cause}" for word in REFUSAL)
