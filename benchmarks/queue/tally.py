"""What all contenders' jobs do alike: count themselves, each fiftieth, and tell how long they have waited, in Redis."""

from __future__ import annotations

import os
import time
from typing import Any

import redis

STEP = 50
"""Jobs for each that is counted: to count costs as much as a job."""
DONE, WAITED = "done", "waited"
BROKER, TALLY, DATABASE = "BENCH_BROKER", "BENCH_TALLY", "BENCH_DATABASE"
"""Environment variables by which processes are told where things are."""

client: Any = redis.Redis.from_url(os.environ[TALLY]) if TALLY in os.environ else None


def note(number: int) -> None:
    """Note that a job is done."""
    if number % STEP == 0:
        client.incr(DONE)


def note_wait(sent_at: float) -> None:
    """Note that a job was begun."""
    client.rpush(WAITED, time.time() - sent_at)
