"""A memory for one run that nobody else can look at: what is committed is laid out when it is first asked for, if ever.

A pipeline that runs in memory is mostly looked at once it is over, by what its process knows of it anyway. To lay out rows,
events and indexes at each commit took an eighth of what a phase costs there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from phaseline.storage.memory import MemoryStorage
from phaseline.units import Outcome, Unit

COMMITTED = Outcome.COMMITTED


class UnreadMemory(MemoryStorage):
    """A memory storage to which one process alone writes, each unit decided on the one before it: none can be refused."""

    def __init__(self) -> None:
        """Keep units only; the rest of a memory storage is made by ``__getattr__``."""
        self._unread: list[Unit] | None = []

    def commit(self, units: Sequence[Unit]) -> list[Outcome]:
        # What is saved again and again must not be kept each time.
        if self._unread is None or len(units) > 1 or units[0].saved:
            return super().commit(units)
        self._unread += units
        return [COMMITTED]

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
            (outcome,) = super().commit((unit,))
            assert outcome is COMMITTED, unit.run.id  # noqa: S101  # nobody else could have written
        return getattr(self, name)
