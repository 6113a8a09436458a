"""How far a client is in the runs that it hears of, and in which of them it is behind."""

from __future__ import annotations

from typing import Final

MOST_RUNS: Final = 10_000
"""Runs of a wide subscription of which it is remembered how far a client is."""


class FollowedRun:
    """How far a client is in one run."""

    __slots__ = ("id", "is_checked", "is_pinned", "is_refused", "known", "told")

    def __init__(self, run_id: str, told: int, *, pinned: bool) -> None:
        self.id: str = run_id
        self.told: int = told
        """The last number that was told, or is about to be."""
        self.known: int = 0
        """The last number that there is, as far as is known."""
        self.is_pinned: bool = pinned
        """Whether this very run was asked for."""
        self.is_checked: bool = False
        """Whether the client may hear of it."""
        self.is_refused: bool = False
        """Whether nothing of it is told: the client may not hear of it, or it cannot be read."""

    @property
    def is_asked_for(self) -> bool:
        """Whether this very run was asked for, and the answer is not there yet."""
        return self.is_pinned and not self.is_checked


class FollowedRuns:
    """The runs of one client in which it is counted how far it is; so many may be pinned, and are never forgotten for others.

    Nor is one of which something is to be read: it would not be told.
    """

    def __init__(self, pinned: int) -> None:
        self._most = MOST_RUNS + pinned
        self._runs: dict[str, FollowedRun] = {}
        """One that falls behind goes to the end, so that those to be forgotten are found first."""
        self._behind: dict[str, None] = {}
        """Those of which something is to be read, in turn."""

    def get(self, run_id: str) -> FollowedRun | None:
        """Give one, if it is counted in it."""
        return self._runs.get(run_id)

    def follow(self, run_id: str, told: int, *, pinned: bool = False) -> FollowedRun:
        """Count from a number on, whatever was counted before."""
        self.forget(run_id)
        self._make_room()
        run = self._runs[run_id] = FollowedRun(run_id, told, pinned=pinned)
        return run

    def forget(self, run_id: str) -> None:
        """Count no more in a run."""
        self._runs.pop(run_id, None)
        self._behind.pop(run_id, None)

    def forget_refused(self) -> None:
        """Have runs asked about anew that no subscription covered until now."""
        for run_id in self.unpinned():
            if self._runs[run_id].is_refused:
                self.forget(run_id)

    def release(self, run_id: str, *, may_be_covered: bool) -> None:
        """A subscription that covered a run ended: forget it, unless another one may be owed what was not told yet."""
        run = self._runs.get(run_id)
        if may_be_covered and run is not None and self.is_behind(run_id):
            self.follow(run_id, run.told)  # whether one covers it is asked before it is told
            self.fall_behind(run_id)
        else:
            self.forget(run_id)

    def unpinned(self) -> list[str]:
        """The ids of those that were not asked for themselves."""
        return [run_id for run_id, run in self._runs.items() if not run.is_pinned]

    @property
    def is_overrun(self) -> bool:
        """Whether the client is behind in more runs than can be remembered."""
        return len(self._runs) > self._most

    def _make_room(self) -> None:
        if len(self._runs) >= self._most:
            level = (id_ for id_, run in self._runs.items() if not run.is_pinned and id_ not in self._behind)
            spare = next(level, None)
            if spare is not None:
                self.forget(spare)

    # ------------------------------------------------------------------ what is to be read
    @property
    def next_behind(self) -> FollowedRun | None:
        """The run whose turn it is to be read."""
        return next((self._runs[run_id] for run_id in self._behind), None)

    def is_behind(self, run_id: str) -> bool:
        """Whether something of a run is to be read."""
        return run_id in self._behind

    def fall_behind(self, run_id: str) -> None:
        """Have a run read, when it is its turn."""
        if run_id not in self._behind:
            self._behind[run_id] = None
            self._runs[run_id] = self._runs.pop(run_id)

    def was_read(self, run: FollowedRun, *, has_more: bool) -> None:
        """A turn of a run is over; where it was subscribed to anew meanwhile, that has a turn of its own."""
        if self._runs.get(run.id) is run:
            self._behind.pop(run.id, None)
            if has_more:  # after the others
                self.fall_behind(run.id)
