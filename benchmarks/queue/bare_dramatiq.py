"""Dramatiq alone, on Redis: an actor that does nothing."""

from __future__ import annotations

import asyncio
import os
import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.queue import tally

broker = RedisBroker(url=os.environ[tally.BROKER])


@dramatiq.actor(broker=broker, max_retries=0)
def nothing(number: int) -> None:
    """Do nothing."""
    tally.note(number)


@dramatiq.actor(broker=broker, max_retries=0)
def told(sent_at: float) -> None:
    """Tell how long it has waited."""
    tally.note_wait(sent_at)


async def fill(jobs: int) -> None:
    """Send as many messages."""
    for number in range(1, jobs + 1):
        nothing.send(number)


async def send_one_by_one(times: int, pause: float) -> None:
    """Send to an idle worker."""
    for _ in range(times):
        told.send(time.time())
        await asyncio.sleep(pause)
