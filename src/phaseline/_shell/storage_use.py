"""Which storages are in use in this process, so that none is opened or closed under somebody who uses it.

A use is entered before anything is awaited: whoever else comes meanwhile is refused, also while a runtime opens or drains.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import anyio
import attrs

from phaseline.abc import Storage
from phaseline.errors import RuntimeUsageError

if TYPE_CHECKING:
    from phaseline._shell.moves import Moves

PAUSE: Final = 0.005
"""Seconds until it is looked again whether a look at a storage has ended, or whether a runtime has opened it."""


@attrs.define(eq=False)
class Use:
    """One of a storage."""

    storage: Storage
    """The innermost one: two that stand before it open and close the same."""
    runtime: object | None
    """Which opens it, has it open or closes it; None: it is opened for a look alone, and closed at once."""
    is_open: bool = attrs.field(default=False, init=False)
    """Whether the storage can be asked by it: not while it is being opened or closed."""
    others: int = attrs.field(default=0, init=False)
    """Other runtimes that use it: what this one knows of a run, they may have moved on. Kept here, as it is asked with each run."""
    listeners: dict[str, Moves] = attrs.field(factory=dict[str, Any], init=False)
    """By its namespaces, what hears of the commits of other runtimes on the same memory."""
    pid: int = attrs.field(factory=os.getpid, init=False)

    def tell_others(self, namespace: str, run_id: str) -> None:
        """Tell them of a commit: there is no other way to hear of it."""
        for other in _uses_of(self.storage):
            listener = None if other is self else other.listeners.get(namespace)
            if listener is not None:
                listener.heard(run_id)


_uses: list[Use] = []
"""Those of this process, and at its fork those of its parent, by their pid."""
_locks: dict[int, threading.Lock] = {}
"""One for each process: a fork may come while another thread holds that of its parent."""


@contextmanager
def used_by(runtime: object, storage: Storage) -> Generator[Use]:
    """Keep a storage for a runtime until it has closed it; ``looks_ended`` is to be awaited before it is opened.

    One that is not shared, in memory, serves several: there is nothing to be closed, and no other way for two runtimes to see the
    same runs.

    Raises:
        RuntimeUsageError: The runtime is open, or was when this process was forked; or the storage serves another one.
    """
    use = Use(storage.innermost, runtime)
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
        _count(use.storage)
    try:
        yield use
    finally:
        with _lock():
            _uses.remove(use)
            _count(use.storage)


def _count(storage: Storage) -> None:
    uses = [use for use in _uses_of(storage) if use.runtime is not None]
    for use in uses:
        use.others = len(uses) - 1


async def looks_ended(storage: Storage) -> None:
    """Wait until nobody looks at a storage who will close it; who comes from now on sees that a runtime uses it."""
    while any(use.runtime is None for use in _uses_of(storage.innermost)):  # noqa: ASYNC110  # seldom, and in a thread
        await anyio.sleep(PAUSE)


@contextmanager
def looked_at(storage: Storage) -> Generator[bool]:
    """Look at a storage in a thread; gives whether it is to be opened for that, and closed: no runtime uses it, or will before."""
    look = Use(storage.innermost, None)
    while not _enters(look):
        if _is_served(look.storage):
            yield False
            return
        time.sleep(PAUSE)  # for the end of another look
    try:
        yield True
    finally:
        _uses.remove(look)


def is_open(storage: Storage) -> bool:
    """Whether a runtime has a storage open, and neither opens nor closes it."""
    return any(use.is_open for use in _uses_of(storage.innermost))


def _enters(look: Use) -> bool:
    with _lock():
        if _uses_of(look.storage):
            return False
        _uses.append(look)
        return True


def _is_served(storage: Storage) -> bool:
    return any(use.runtime is not None for use in _uses_of(storage))


def _uses_of(storage: Storage) -> list[Use]:
    here = os.getpid()
    return [use for use in _uses.copy() if use.storage is storage and use.pid == here]


def _lock() -> threading.Lock:
    return _locks.setdefault(os.getpid(), threading.Lock())
