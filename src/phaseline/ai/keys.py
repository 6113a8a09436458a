"""The keys of the steps of one run of an agent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from itertools import count
from typing import Any

from phaseline.context import Context


class _AbsentError(Exception):
    """A step is not stored."""


def _absent() -> Any:
    raise _AbsentError


class Keys:
    """Names steps by their places in the run of an agent, which are the same on the next attempt.

    A model that gave nothing of use would give the same from the storage for ever. So what was stored of a run that came to
    nothing is closed: who has the phase tried again, asks anew, under other keys.
    """

    def __init__(self, context: Context, prefix: str) -> None:
        """Say where the steps are stored, and how their keys begin."""
        self._context, self._prefix = context, prefix
        self._round = 1
        self._seen: Counter[str] = Counter()

    async def open(self) -> None:
        """Find what is not closed."""
        for self._round in count(1):
            try:
                await self._context.step(self._closing, _absent)
            except _AbsentError:  # it is not stored, and nothing was stored now
                return

    async def close(self) -> None:
        """Have another attempt ask anew."""

        def given_up() -> bool:
            return True

        await self._context.step(self._closing, given_up)

    @contextmanager
    def key(self, place: str) -> Generator[str]:
        """Name the step at a place; what is there a second time in one attempt is another step.

        Who fails there leaves its name to who comes in its place, such as the next model of a fallback. Under a name of its own the
        next attempt would not find what that one answered, but ask the first one anew, whose answer does not fit what followed.
        """
        begins = self._prefix if self._round == 1 else f"{self._prefix}~{self._round}"
        key = f"{begins}/{place}"
        self._seen[key] += 1
        try:
            yield key if self._seen[key] == 1 else f"{key}#{self._seen[key]}"
        except BaseException:
            self._seen[key] -= 1
            raise

    @property
    def _closing(self) -> str:
        return f"{self._prefix}~{self._round}/given up"
