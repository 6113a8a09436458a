"""Which runs a wide subscription takes up again: of those that its client may hear of, as many as one may be behind in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from phaseline.errors import SubscriptionError
from phaseline.web.access import Action
from phaseline.web.guard import Visitor
from phaseline.web.seen import seen_runs

MOST_RESUMED: Final = 1_000
"""Runs that one subscription takes up again."""
MOST_PAGES: Final = 20
"""Pages that are looked through for them, each of as many runs as are looked at for a page of a list."""


async def begun_since(visitor: Visitor, pipeline: str | None, newer_than: str) -> Sequence[str]:
    """Give the ids of runs that began after one, of those that the client may hear of: one at most that is too many.

    Runs of others do not count; only that there are very many of them is told, as they would have to be looked through.

    Raises:
        SubscriptionError: There are.
        StorageError: The runs cannot be read.
    """
    ask = partial(visitor.runtime.find, pipeline=pipeline)
    may = partial(visitor.access.allows, Action.SUBSCRIBE)
    found: list[str] = []
    after: str | None = newer_than
    for _ in range(MOST_PAGES):
        page, after = await seen_runs(
            ask, may, order="oldest", limit=MOST_RESUMED + 1 - len(found), after=after
        )
        found += [run.id for run in page]
        if after is None or len(found) > MOST_RESUMED:
            return found
    raise SubscriptionError(
        "too many runs began since then to look through; subscribe without newer_than, and list the runs"
    )


def bounded(resumed: Mapping[str, int]) -> Mapping[str, int]:
    """Give what is taken up again, each run with the last number that is known.

    Raises:
        SubscriptionError: They are too many, or one of them is no id of a run.
    """
    if len(resumed) > MOST_RESUMED:
        raise SubscriptionError(
            f"more than {MOST_RESUMED:,} runs are to be taken up; subscribe without after, and list the runs"
        )
    if not all(run_id.isprintable() for run_id in resumed):
        raise SubscriptionError("after names what is no id of a run; give those that events came with")
    return resumed
