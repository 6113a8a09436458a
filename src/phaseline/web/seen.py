"""Pages of what somebody may see amid what he may not: nothing in them tells of what is left out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from phaseline.run_filter import Order, RunSummary
from phaseline.runs import Runs

T = TypeVar("T")

LOOKED_AT: Final = 1_000
"""How much is looked at for one page, and the rest of what stands at the same place."""
AT_ONCE: Final = 500
"""How much is read at once at most."""
_SECOND: Final = 7
"""Characters that ids of runs have in common which were created within the same second, about."""


async def seen(
    read: Callable[[str | None, int], Awaitable[tuple[Sequence[T], str | None]]],
    may: Callable[[T], Awaitable[bool]],
    *,
    limit: int,
    after: str | None,
    cursor: Callable[[T], str],
    place: Callable[[T], str],
) -> tuple[list[T], str | None]:
    """Give a page of what he may see, and where the next one begins; None where he may see no more.

    It is read on until the page is full. Where that takes long a page is given as it is, and leads on from the place at which
    it was stopped.

    Args:
        read: Gives so many at most behind a place, and where to go on.
        may: Says whether he may see it.
        limit: How many he is shown at most.
        after: Where to begin.
        cursor: Where to go on behind something that he may see.
        place: Where to go on behind all that stands close to something, which cannot be told from it.
    """
    found: list[T] = []
    looked_at, stop, size = 0, "", limit + 1
    while True:
        page, after = await read(after, min(size, AT_ONCE))
        for each in page:
            if looked_at >= LOOKED_AT and place(each) != stop:
                return found, stop
            looked_at, stop = looked_at + 1, place(each)
            if await may(each):
                if len(found) == limit:
                    return found, cursor(found[-1])
                found.append(each)
        if after is None:
            return found, None
        size *= 2


async def seen_runs(
    ask: Callable[..., Runs],
    may: Callable[[RunSummary], Awaitable[bool]],
    *,
    order: Order,
    limit: int,
    after: str | None,
) -> tuple[list[RunSummary], str | None]:
    """Give a page of the runs that are asked for with ``ask``, as ``seen`` does."""

    async def read(after: str | None, limit: int) -> tuple[Sequence[RunSummary], str | None]:
        page = await ask(order=order, limit=limit, after=after)
        return page.runs, page.next

    behind = "" if order == "newest" else "~"  # which no id has: it comes after all that begin so
    return await seen(
        read, may, limit=limit, after=after, cursor=lambda run: run.id, place=lambda run: run.id[:_SECOND] + behind
    )  # fmt: skip
