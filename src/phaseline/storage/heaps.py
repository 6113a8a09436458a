"""What falls due at a time, or waits for a worker, found without a walk over all that is kept: for a storage in memory."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import datetime
from itertools import chain

Entry = tuple[datetime, str, str]
"""A time, the id of a run, and the path of what in it falls due; the empty path for the run itself."""
WaitingEntry = tuple[int, datetime, str, str, str]
"""A row that waits, in the order of claims: priority, available_at, run id, path; and the limits it is under."""


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


class WaitingRows:
    """Rows of one namespace that wait: what is due in the order of claims, the rest in the order of its times.

    An entry whose row has moved on is dropped when it is met.
    """

    __slots__ = ("_now", "due", "later")

    def __init__(self, now: datetime) -> None:
        self.due: dict[str, list[tuple[int, WaitingEntry]]] = {"": []}
        """Heaps by limits, the empty text for none; each entry after its priority, so that all heaps are of one shape."""
        self.later: list[tuple[datetime, WaitingEntry]] = []
        """Each after its time."""
        self._now = now

    def add(self, entry: WaitingEntry) -> None:
        """Note that a row waits."""
        heapq.heappush(self.later, (entry[1], entry))

    def sort(self, now: datetime) -> None:
        """Have in ``due`` exactly what is due now."""
        if now < self._now:  # asked with an earlier time than before
            due, self.due = self.due, {"": []}
            for _, entry in chain(*due.values()):
                self.add(entry)
        self._now = now
        while self.later and self.later[0][0] <= now:
            entry = heapq.heappop(self.later)[1]
            heapq.heappush(self.due.setdefault(entry[-1], []), (entry[0], entry))
