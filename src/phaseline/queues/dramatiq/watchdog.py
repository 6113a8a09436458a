"""Consumers of Dramatiq's that have stopped to consume, found out and begun anew.

A consumer is a thread that connects again by itself when its broker was away. Some ways of failing end the thread, or leave
it connected to nothing; the worker goes on, and takes nothing from that queue any more. It would find work all the
same, by nudges and by looking, only later.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Final

from dramatiq import Worker as DramatiqWorker

from phaseline.queues.dramatiq.queue import reconnect

log: Final = logging.getLogger("phaseline.queue")

INTERVAL = 10.0
"""Seconds between two looks."""
STOP_GRACE = 1.0
"""Seconds for which the end of the thread is waited for."""


class Watchdog:
    """Looks after the consumers of one worker."""

    def __init__(
        self,
        worker: DramatiqWorker,
        queues: Callable[[], frozenset[str]],
        traffic: Callable[[str], tuple[int, int]],
    ) -> None:
        """Make one; ``start`` has it look now and then.

        Args:
            worker: Whose consumers.
            queues: Gives the queues to look at.
            traffic: Gives for a queue how many permits wait in the broker, and how many have come here so far.
        """
        self._worker, self._queues, self._traffic = worker, queues, traffic
        self._ignored: dict[str, int] = {}
        """By queue on which permits waited at the last look: how many had come here by then."""
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="phaseline-watchdog", daemon=True)

    def start(self) -> None:
        """Look again and again, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more, and wait for the end of the thread, within a bound."""
        self._stopped.set()
        self._thread.join(STOP_GRACE)

    def _work(self) -> None:
        while not self._stopped.wait(INTERVAL):
            self.look()

    def look(self) -> None:
        """Begin anew each consumer that has ended, or took nothing since the last look though permits wait."""
        for queue in sorted(self._queues()):
            consumer = self._worker.consumers.get(queue)
            if consumer is None:  # the command line chose other queues: -Q
                continue
            if not consumer.is_alive():
                self._restart(queue, "its thread has ended")
            elif self._is_ignored(queue):
                self._restart(queue, f"permits have waited for {INTERVAL:g} s, and none was taken")

    def _is_ignored(self, queue: str) -> bool:
        earlier = self._ignored.pop(queue, None)
        try:
            waiting, heard = self._traffic(queue)
        except Exception as error:  # noqa: BLE001  # whatever a broker's client raises: it is away, and nobody can consume
            log.debug("the permits of queue %r cannot be counted: %s", queue, error)
            return False
        if (
            not waiting or self._worker.work_queue.qsize()
        ):  # what was taken waits for busy threads: there is no room
            return False
        self._ignored[queue] = heard
        return heard == earlier

    def _restart(self, queue: str, reason: str) -> None:
        log.warning("the consumer of queue %r is begun anew: %s", queue, reason)
        self._ignored.pop(queue, None)
        consumer: Any = self._worker.consumers.pop(queue)
        consumer.stop()
        try:
            consumer.close()
        except Exception as error:  # noqa: BLE001  # its connection is what may be broken
            log.debug("the old consumer of queue %r could not be closed: %s", queue, error)
        worker: Any = self._worker
        reconnect(worker.broker)
        worker._add_consumer(queue)  # noqa: SLF001  # there is no public way; Dramatiq's own middleware calls this
