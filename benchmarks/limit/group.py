"""Group commit in a thread, without a timer: while one batch is being written, the next one gathers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from benchmarks.limit.rows import Batch, Unit, gather

Waiting = list[tuple[Unit, asyncio.Future[None]]]


class GroupWriter:
    """Writes units of many runs; made inside a running event loop."""

    def __init__(self, write: Callable[[Batch], None]) -> None:
        """Note how a batch is written: all or nothing, and durable when it returns."""
        self._write = write
        self._loop = asyncio.get_running_loop()
        self._waiting: Waiting = []
        self._is_busy = False
        self._batches: SimpleQueue[Waiting | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="limit-writer")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._batches.put(None)
        self._thread.join()

    def commit(self, unit: Unit) -> asyncio.Future[None]:
        """Have a unit written; done when it is."""
        future = self._loop.create_future()
        self._waiting.append((unit, future))
        self._hand_over_soon()
        return future

    def _hand_over_soon(self) -> None:
        if self._waiting and not self._is_busy:
            self._is_busy = True
            self._loop.call_soon(self._hand_over)  # whoever is ready now joins first

    def _hand_over(self) -> None:
        batch, self._waiting = self._waiting, []
        self._batches.put(batch)

    def _work(self) -> None:
        while (batch := self._batches.get()) is not None:
            error: Exception | None = None
            try:
                self._write(gather(unit for unit, _ in batch))
            except Exception as failure:  # noqa: BLE001  # whatever it is: those who wait are told
                error = failure
            self._loop.call_soon_threadsafe(self._settle, batch, error)

    def _settle(self, batch: Waiting, error: Exception | None) -> None:
        for _, future in batch:
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(None)
        self._is_busy = False
        self._hand_over_soon()
