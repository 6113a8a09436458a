"""Limits on how many bodies run at once: as texts that stand in rows, and the slots that are left of them.

A phase that runs holds a slot of each limit it is under: that is its lease, and nothing else. So a slot is given back by
whatever ends the attempt, and cannot leak.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Literal, TypeAlias, TypeVar

T = TypeVar("T")
Kind: TypeAlias = Literal["namespace", "pipeline", "phase", "key"]


def limit_text(size: int, kind: Kind, name: str) -> str:
    """A limit as it stands in the rows that are under it; of its name, not of its size, slots are counted."""
    return f"{size} {kind} {name}"


def joined(*limits: str | None) -> str | None:
    """Several limits as one text, a line each; None for none."""
    return "\n".join(limit for limit in limits if limit is not None) or None


@lru_cache(maxsize=10_000)
def parted(limits: str) -> tuple[tuple[int, str], ...]:
    """Sizes and names of the limits in a text."""
    return tuple(_parted(limits))


def _parted(limits: str) -> Iterator[tuple[int, str]]:
    for line in limits.split("\n"):
        size, _, name = line.partition(" ")
        yield int(size), name


class Slots:
    """How many slots of which limits are held."""

    def __init__(self, held: Iterable[tuple[str, int]] = ()) -> None:
        """Count them.

        Args:
            held: Limits of phases that run, with how many of those there are.
        """
        self._held: Counter[str] = Counter()
        for limits, count in held:
            for _, name in parted(limits):
                self._held[name] += count

    def copy(self) -> Slots:
        """Count on, apart from this one."""
        other = Slots()
        other._held = self._held.copy()
        return other

    def free(self, limits: str) -> int:
        """How many phases under these limits could be started now."""
        return min(size - self._held[name] for size, name in parted(limits))

    def hold(self, limits: str) -> None:
        """Note that a phase under these limits runs."""
        for _, name in parted(limits):
            self._held[name] += 1

    def fitting(self, phases: Iterable[tuple[T, str | None]]) -> list[T]:
        """Which of these phases, each with its limits, could be started together; the first ones go first."""
        taken: Counter[str] = Counter()
        found: list[T] = []
        for phase, limits in phases:
            under = () if limits is None else parted(limits)
            if all(size - self._held[name] > taken[name] for size, name in under):
                taken.update(name for _, name in under)
                found.append(phase)
        return found

    def hold_of(self, started: Iterable[tuple[str | None, str | None]]) -> None:
        """Note which phases run, each told by its worker and its limits."""
        for worker, limits in started:
            if worker is not None and limits is not None:
                self.hold(limits)

    def give(self, limits: str) -> None:
        """Note that one runs no more."""
        for _, name in parted(limits):
            self._held[name] -= 1
            if not self._held[name]:
                del self._held[name]
