"""What clients say to hear events, and what they are answered: the same objects, whatever carries them."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from phaseline.web.feed import Feed
from phaseline.web.hub import EVERYTHING, Topic

LATEST: Final = 2**53
"""The greatest number that JavaScript counts to."""


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client wants to hear, or wants to hear no more: exactly one of run, pipeline and everything."""

    run: str | None = None
    pipeline: str | None = None
    everything: bool = False
    after: int | dict[str, int] | None = None
    """Of a run, the last number that is known; of several, those of each by its id."""
    newer_than: str | None = None
    """What was told as ``newest`` when the client subscribed first."""

    def __post_init__(self) -> None:
        """Refuse what names no topic, or several.

        Raises:
            ValueError: It does.
        """
        if (self.run is not None) + (self.pipeline is not None) + self.everything != 1:
            msg = 'name one of them: "run", "pipeline", or "everything": true'
            raise ValueError(msg)
        if self.run is not None and (isinstance(self.after, dict) or self.newer_than is not None):
            msg = '"after" of a run is the last number that you know of it, and "newer_than" is for many runs'
            raise ValueError(msg)
        if self.run is None and isinstance(self.after, int):
            msg = '"after" of many runs is an object, with the last number that you know of each: {"run id": 12}'
            raise ValueError(msg)
        numbers = self.after.values() if isinstance(self.after, dict) else [self.after or 0]
        if not all(0 <= number <= LATEST for number in numbers):
            msg = '"after" is a number of an event, from 0'
            raise ValueError(msg)

    @property
    def topic(self) -> Topic:
        """What it is about."""
        if self.run is not None:
            return Topic.run(self.run)
        return EVERYTHING if self.pipeline is None else Topic.pipeline(self.pipeline)

    @property
    def named(self) -> dict[str, Any]:
        """The topic as it was named, for answers."""
        if self.run is not None:
            return {"run": self.run}
        return {"everything": True} if self.pipeline is None else {"pipeline": self.pipeline}


async def subscribe(feed: Feed[Any], wish: Wish) -> dict[str, Any]:
    """Subscribe, and give what the client is told of it: how far the run is, or which run is the newest.

    Raises:
        PhaselineError: As ``Feed.follow_run`` and ``Feed.follow_all``.
    """
    if wish.run is not None:
        after = wish.after if isinstance(wish.after, int) else 0
        return {**wish.named, "seq": await feed.follow_run(wish.run, after=after)}
    resumed = wish.after if isinstance(wish.after, dict) else None
    newest = await feed.follow_all(wish.pipeline, after=resumed, newer_than=wish.newer_than)
    return {**wish.named, "newest": newest}
