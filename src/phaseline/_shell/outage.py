"""Asking again while a storage is away: a read that must succeed is put off, not failed."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from phaseline.abc import Clock
from phaseline.errors import StorageUnavailableError

T = TypeVar("T")
log = logging.getLogger("phaseline.outage")

OUTAGE_PAUSE = timedelta(seconds=0.5)
"""Time between two tries."""


async def patiently(clock: Clock, ask: Callable[[], Awaitable[T]]) -> T:
    """Give the answer once there is one."""
    while True:
        try:
            return await ask()
        except StorageUnavailableError as error:
            log.warning("%s; it is asked again", error)
            await clock.sleep_until(clock.now() + OUTAGE_PAUSE)
