"""Hosts that ask their database from the event loop, as they like."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from blockbuster import BlockBuster

OF_DATABASES = ("sqlite3.", "socket.", "os.", "time.")
"""Only these: to switch the detection for built-in types off and on makes it see what it has not seen before."""


@contextmanager
def allowed(detector: BlockBuster) -> Iterator[None]:
    """Let calls of database drivers block the event loop meanwhile."""
    functions = [function for name, function in detector.functions.items() if name.startswith(OF_DATABASES)]
    for function in functions:
        function.deactivate()
    try:
        yield
    finally:
        for function in functions:
            function.activate()
