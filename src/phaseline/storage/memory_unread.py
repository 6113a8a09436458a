"""A memory for one run that nobody else can look at: what is committed is laid out when it is first asked for, if ever.

A pipeline that runs in memory is mostly looked at once it is over, by what its process knows of it anyway. To lay out rows,
events and indexes at each commit took an eighth of what a phase costs there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from phaseline.storage.memory import MemoryStorage
from phaseline.unit_of_work import Outcome, Unit

COMMITTED = Outcome.COMMITTED
MOST_UNREAD = 256
"""Units that are kept; each holds the run's row as it was, which a memory storage keeps once."""


class UnreadMemory(MemoryStorage):
    """A memory storage to which one process alone writes, each unit decided on the one before it: none can be refused."""

    _unread: list[Unit] | None = None
    """What was committed, until it is laid out."""

    def __init__(self) -> None:
        """Keep units only; the rest of a memory storage is made by ``__getattr__``."""
        self._unread = []

    def commit(self, units: Sequence[Unit]) -> list[Outcome]:
        unread = self._unread
        if unread is None or len(unread) >= MOST_UNREAD:
            return super().commit(units)
        for unit in units:
            if unit.saved:  # again and again, maybe, and it may be large
                return super().commit(units)
        unread += units
        return [COMMITTED] * len(units)

    def __getattr__(self, name: str) -> Any:
        """Lay out what was committed: somebody asks for what a memory storage keeps, and it is not there yet.

        Raises:
            AttributeError: Nor is it there then.
        """
        if self._unread is None or name.startswith("__"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        units, self._unread = self._unread, None
        super().__init__()
        for unit in units:
            if super().commit((unit,)) != [COMMITTED]:
                raise AssertionError(
                    f"run {unit.run.id}: a unit was refused that only one could have written"
                )
        return getattr(self, name)
