"""Figures that stand in the storage, for those who ask from whichever thread and at whatever rate."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Final

from phaseline._shell.checkup import figures_of
from phaseline.errors import RuntimeNotOpenError
from phaseline.event_loop import loop_here
from phaseline.metrics import Figures
from phaseline.runtime import Runtime

log: Final = logging.getLogger("phaseline.scraper")

MAX_AGE: Final = timedelta(seconds=15)
"""How long what was read is given again, by default."""
PATIENCE: Final = 2.0
"""Seconds after the beginning of a reading until which those who ask wait for it, and then get what was known before."""
GIVEN_UP: Final = 10.0
"""Seconds after which a reading that has not come is begun anew: its event loop may have ended."""
TOO_OLD: Final = 10
"""Times the greatest age at which what was read is not told any more."""


class Scraper:
    """Reads the figures of one runtime and of its views, at most once in a time, however often it is asked."""

    def __init__(self, runtime: Runtime, max_age: timedelta = MAX_AGE) -> None:
        self._runtime = runtime
        self._max_age = max_age.total_seconds()
        self._lock = threading.Lock()
        self._reading: tuple[threading.Event, float] | None = None
        """What is set when the reading that is under way has come, and since when it is."""
        self._figures: Sequence[Figures] = ()
        self._read_at = -math.inf  # not 0: the clock counts from when the machine was started

    def figures(self) -> Sequence[Figures]:
        """Give those of each namespace in which the runtime is open; none if it is not, or they could not be read; from any thread.

        On an event loop, where nobody may wait, it gives what was read before, and has it read anew.
        """
        if time.monotonic() - self._read_at >= self._max_age:
            try:
                ready, begun = self._reading_now()
            except RuntimeNotOpenError:  # it is closed, or its loop has ended
                return ()
            if loop_here() is None:
                # One collection may ask for each figure by itself: all of them together wait no longer than one.
                ready.wait(begun + PATIENCE - time.monotonic())
        is_fresh = time.monotonic() - self._read_at < max(self._max_age, 1) * TOO_OLD
        return self._figures if is_fresh else ()

    def _reading_now(self) -> tuple[threading.Event, float]:
        """Give the reading that is under way; one is begun if none is."""
        with self._lock:
            now = time.monotonic()
            if self._reading is None or now - self._reading[1] >= GIVEN_UP:
                ready = threading.Event()
                self._runtime.runner.spawn_soon(self._read, ready)
                self._reading = ready, now
            return self._reading

    async def _read(self, ready: threading.Event) -> None:
        try:
            self._figures = [await each.read(partial(figures_of, each)) for each in self._runtime.runners]
            self._read_at = time.monotonic()
        except Exception:
            log.exception("the figures of %r could not be read", self._runtime)
        finally:
            self._done(ready)

    def _done(self, ready: threading.Event) -> None:
        with self._lock:
            self._reading = None
        ready.set()
