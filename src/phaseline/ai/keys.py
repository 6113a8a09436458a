"""The keys of the steps of one run of an agent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

from phaseline._definition.context import Context


def _stored() -> int:
    """Stands for the call of a step that is stored."""
    raise AssertionError  # pragma: no cover  # it is not called


class Keys:
    """Names steps by their places in the run of an agent, which are the same on the next attempt.

    A model that gave nothing of use would give the same from the storage for ever. So what was stored of a run that came to
    nothing is closed: who has the phase tried again, asks anew, under other keys. The attempts that follow by themselves do not:
    a body may go on after the error, and comes to it again by what is stored.
    """

    def __init__(self, context: Context, prefix: str) -> None:
        """Say where the steps are stored, and how their keys begin."""
        self._context, self._prefix = context, prefix
        self._round = 1
        self._is_closed = False
        self._seen: Counter[str] = Counter()

    async def open(self) -> None:
        """Find what is not closed, or was closed by an attempt that this one follows by itself."""
        while (closed_in := await self._stored(self._closing)) is not None:
            following = f"{self._prefix}~{self._round + 1}/asked anew"
            is_begun = await self._stored(following) is not None
            if (
                not is_begun and self._context.attempt > closed_in
            ):  # they count from 1 again where a run is retried
                self._is_closed = True
                return
            if not is_begun:
                await self._context.step(following, self._attempt)
            self._round += 1

    async def close(self) -> None:
        """Have it asked anew when the run is retried."""
        if not self._is_closed:
            await self._context.step(self._closing, self._attempt)

    async def _stored(self, key: str) -> int | None:
        """Give what is stored of a step, and store nothing."""
        return await self._context.step(key, _stored) if self._context.has_step(key) else None

    def _attempt(self) -> int:
        return self._context.attempt

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
