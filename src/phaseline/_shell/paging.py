"""What has to be seen to is read in pages, of which what could not be seen to is found again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Final, TypeVar

T = TypeVar("T", bound=Hashable)

PAGE: Final = 500
"""How much is looked up at once."""


async def page_by_page(
    read: Callable[[int], Awaitable[Sequence[T]]],
    see_to: Callable[[Sequence[T]], Awaitable[object]],
    size: int = PAGE,
) -> set[T]:
    """See to all that is found, to each once; what stays all the same, a run that cannot be read, say, hides nothing else.

    Args:
        read: Reads at most so many, always the same ones first.
        see_to: Does what is to be done with those that were not met before.
        size: How many are read at once.

    Returns:
        All that were met.
    """
    met: set[T] = set()
    limit = size
    while True:
        found = await read(limit)
        new = [each for each in found if each not in met]
        if new:
            await see_to(new)
        if len(found) < limit:
            return met.union(new)
        stayed = len(found) - len(new)
        limit = size + stayed if new else 2 * limit  # as much room for others as ever, behind what stayed
        met.update(new)
