"""Dead letters in the order in which they were written: for a storage in memory."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from itertools import islice

from phaseline.dead_letter import DeadLetter, LetterFilter, LetterKey


class LetterBox:
    """The dead letters of one namespace."""

    __slots__ = ("_by_run", "_keys")

    def __init__(self) -> None:
        self._by_run: dict[str, DeadLetter] = {}
        self._keys: list[LetterKey] = []
        """In order."""

    def replace(self, run_id: str, letter: DeadLetter | None) -> None:
        """Take the letter of a run out, if there is one, and keep another one."""
        old = self._by_run.pop(run_id, None)
        if old is not None:
            del self._keys[bisect_left(self._keys, old.key)]
        if letter is not None:
            self._by_run[run_id] = letter
            insort(self._keys, letter.key)

    def find(
        self, wanted: LetterFilter, *, after: LetterKey | None, limit: int, newest_first: bool
    ) -> Sequence[DeadLetter]:
        """Do as ``Storage.letters`` does."""
        keys = self._keys
        if newest_first:
            keys = keys[: None if after is None else bisect_left(keys, after)][::-1]
        elif after is not None:
            keys = keys[bisect_right(keys, after) :]
        letters = (self._by_run[run_id] for _, run_id in keys)
        return list(islice((letter for letter in letters if wanted.matches(letter)), limit))
