"""Keeping a runtime open in a process that does nothing else."""

from __future__ import annotations

import gc
import logging
import os
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Final, NoReturn

import anyio

from phaseline.errors import StorageError

log: Final = logging.getLogger("phaseline.serving")

PAUSE, LONGEST_PAUSE = 0.5, 5.0
"""Seconds before a storage that could not be opened is tried again; doubled each time, up to the second."""
CLOSING = timedelta(seconds=15)
"""What a runtime has for its close after its drain; all that it waits for there has bounds which come to less."""
YOUNG = 5_000
"""Containers made, and not freed, until the garbage collector looks at the youngest; Python begins with 700 or 2 000."""


async def serve(
    host: AbstractAsyncContextManager[object], stopped: anyio.Event, opened: Callable[[], object]
) -> None:
    """Open a runtime and keep it open until told to stop; while its storage cannot be opened, try again.

    Args:
        host: The runtime.
        stopped: Ends this; the runtime drains then.
        opened: Called when the runtime is open, or could not be opened for the first time.

    Raises:
        PhaselineError: It cannot be opened for another reason than its storage.
    """
    pause = PAUSE
    while not stopped.is_set():
        try:
            async with host:
                log.info("%r is open", host)
                pause = PAUSE
                opened()
                await stopped.wait()
        except StorageError as error:
            if stopped.is_set():
                log.warning("%r could not be closed in order: %s", host, error)
                return
            log.warning("%r cannot be opened and is tried again: %s", host, error)
            opened()
            with anyio.move_on_after(pause):
                await stopped.wait()
            pause = min(2 * pause, LONGEST_PAUSE)


def closed_within(drain: timedelta) -> timedelta:
    """How long the close of a runtime may take that heeds its bounds."""
    return drain + CLOSING


def end_process(code: int) -> NoReturn:
    """End this process by force, from any thread; for a process that nobody else lives in.

    No event loop can leave a task that does not end, nor the interpreter a thread of a body's. What they held was handed over
    before, or is taken over by others as that of a process that was killed.
    """
    log.critical("something in this process does not end: the process ends by force")
    os._exit(code)


def end_process_after(span: timedelta, code: int) -> None:
    """Do so if it has not ended by itself by then."""
    timer = threading.Timer(span.total_seconds(), end_process, (code,))
    timer.daemon = True
    timer.start()


def settle_heap() -> None:
    """Have the garbage collector leave alone what is loaded, and look at what is young less often; for the whole process.

    A body that is called keeps some forty containers for as long as it takes, and hundreds are called at once. With Python's
    thresholds most of these survive several looks, so the whole heap, with everything that was ever imported, is looked at
    about once a second: a fifth of a busy worker's processor time, in pauses of 90 ms, by which nothing is found. Where the
    host has turned the collector off, or has it look more seldom still, nothing is changed.
    """
    young, *older = gc.get_threshold()
    if gc.isenabled() and 0 < young < YOUNG:
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG, *older)
