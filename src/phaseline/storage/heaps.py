"""What falls due at a time, found without a walk over all that is kept: for a storage in memory."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import datetime

Entry = tuple[datetime, str, str]
"""A time, the id of a run, and the path of what in it falls due; the empty path for the run itself."""


class DueHeap:
    """Entries of one namespace, the earliest first; one that is out of date is dropped when it is met."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    def add(self, entry: Entry) -> None:
        """Note that something falls due."""
        heapq.heappush(self._entries, entry)

    def first(
        self, now: datetime, limit: int, *, holds: Callable[[Entry], bool], fits: Callable[[Entry], bool]
    ) -> tuple[list[Entry], datetime | None]:
        """Find what is due, and when the next entry falls due.

        Args:
            now: The moment.
            limit: How many at most; with so many nothing is said of the next.
            holds: Whether an entry is still as it is noted.
            fits: Whether it is asked for.
        """
        found: list[Entry] = []
        kept: list[Entry] = []
        following: datetime | None = None
        while self._entries and following is None and len(found) < limit:
            entry = heapq.heappop(self._entries)
            if (kept and entry == kept[-1]) or not holds(entry):
                continue
            kept.append(entry)
            if not fits(entry):
                continue
            if entry[0] > now:
                following = entry[0]
            else:
                found.append(entry)
        for entry in kept:
            heapq.heappush(self._entries, entry)
        return found, following
