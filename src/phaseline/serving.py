"""Keeping a runtime open in a process that does nothing else."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

import anyio

from phaseline.errors import StorageError

log: Final = logging.getLogger("phaseline.serving")

PAUSE, LONGEST_PAUSE = 0.5, 5.0
"""Seconds before a storage that could not be opened is tried again; doubled each time, up to the second."""


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
