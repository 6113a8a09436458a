"""Waiting for what threads and other processes do."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 5.0


def until(test: Callable[[], bool], within: float = PATIENCE) -> bool:
    """Look again and again until something holds; gives whether it did in time."""
    deadline = time.monotonic() + within
    while not test() and time.monotonic() < deadline:
        time.sleep(0.005)
    return test()
