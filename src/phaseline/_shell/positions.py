"""How far the events of each run were told, and what of them is missing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from phaseline._shell.outage import patiently
from phaseline.events import Event

if TYPE_CHECKING:
    from phaseline._shell.runner import Runner

MOST = 50_000
"""Runs that are remembered; one of which nothing was told for long is forgotten first."""
PAGE = 500
"""Events read at once."""


class Positions:
    """Numbers of the newest events that were told, by run."""

    def __init__(self, most: int = MOST) -> None:
        self._seqs: dict[str, int] = {}
        """The run of which something was told last comes last."""
        self.most: int = most
        """Runs that are remembered."""

    def get(self, run_id: str) -> int | None:
        """How far a run was told; None where it is not known."""
        return self._seqs.get(run_id)

    def note(self, run_id: str, seq: int) -> Sequence[str]:
        """A run was told so far; gives those that are forgotten, because they are too many."""
        self._seqs.pop(run_id, None)
        self._seqs[run_id] = seq
        surplus = len(self._seqs) - self.most
        if surplus <= 0:
            return ()
        forgotten = [*islice(self._seqs, surplus)]
        for each in forgotten:
            del self._seqs[each]
        return forgotten


async def stored(runner: Runner, run_id: str, after: int, limit: int = PAGE) -> Sequence[Event]:
    """Read a page of a run's events, however long the storage is away."""
    read = partial(runner.storage.events, runner.options.namespace, run_id, after, limit)
    return await patiently(runner.clock, partial(runner.read, read))


async def between(runner: Runner, run_id: str, after: int, before: int) -> list[Event]:
    """Read the events of a run that are numbered between two others; those of a run that is gone are left out."""
    found: list[Event] = []
    while after + 1 < before:
        page = await stored(runner, run_id, after, min(PAGE, before - 1 - after))
        if not page:
            break
        found += page
        after = page[-1].seq or before
    return found
