"""Which storages are in use in this process, so that none is opened or closed under somebody who uses it.

A use is entered before anything is awaited: whoever else comes meanwhile is refused, also while a runtime opens or drains.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator
from contextlib import contextmanager

import attrs

from phaseline.abc import Storage
from phaseline.errors import RuntimeUsageError


@attrs.frozen(eq=False)
class _Use:
    storage: Storage
    """The innermost one: two that stand before it open and close the same."""
    runtime: object
    """Which opens it, has it open or closes it."""
    pid: int = attrs.field(factory=os.getpid, init=False)


_uses: list[_Use] = []
"""Those of this process, and at its fork those of its parent, by their pid."""
_locks: dict[int, threading.Lock] = {}
"""One for each process: a fork may come while another thread holds that of its parent."""


@contextmanager
def used_by(runtime: object, storage: Storage) -> Generator[None]:
    """Keep a storage for a runtime until it has closed it.

    One that is not shared, in memory, serves several: there is nothing to be closed, and no other way for two runtimes to see the
    same runs.

    Raises:
        RuntimeUsageError: The runtime is open, or was when this process was forked; or the storage serves another one.
    """
    use = _Use(storage.innermost, runtime)
    with _lock():
        if any(other.runtime is runtime for other in _uses):
            msg = f"{runtime!r} is open already"
            raise RuntimeUsageError(msg)
        if storage.shared and _is_served(use.storage):
            msg = (
                f"{storage!r} serves another open runtime; give each runtime one of its own, for the same "
                "database, or open one after the other"
            )
            raise RuntimeUsageError(msg)
        _uses.append(use)
    try:
        yield
    finally:
        _uses.remove(use)


def _is_served(storage: Storage) -> bool:
    here = os.getpid()
    return any(use.storage is storage and use.pid == here for use in _uses)


def _lock() -> threading.Lock:
    return _locks.setdefault(os.getpid(), threading.Lock())
