"""Events of many runs, to walk through: first those that are stored, then each as it comes."""

from __future__ import annotations

import logging
import sys
import weakref
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

from anyio.lowlevel import checkpoint

from phaseline._shell.outage import patiently
from phaseline._shell.positions import MOST, PAGE, Positions, stored
from phaseline._shell.runner import Runner
from phaseline.bus import DEFAULT_BUFFER
from phaseline.errors import CodecError, DefinitionError, ReaderTooSlowError
from phaseline.event_filter import Interest
from phaseline.events import Event
from phaseline.query_arguments import check_run_id, check_seq
from phaseline.run_filter import RunFilter

log: Final = logging.getLogger("phaseline.streams")


class EventStream(AsyncIterator[Event]):
    """What ``runtime.events()`` gives: walk through it with ``async for``, in one task.

    It hears from the moment it is made, until it is left (``async with``, ``aclose``), is not used any more, or the
    runtime closes, which ends the walk.
    """

    def __init__(
        self,
        runner: Runner,
        wanted: Interest,
        after: Mapping[str, int] | None = None,
        since: datetime | None = None,
        buffer: int = DEFAULT_BUFFER,
    ) -> None:
        """Begin to hear; use ``runtime.events``."""
        self._runner, self._wanted = runner, wanted
        self._positions = Positions(MOST + len(after or ()))
        for run_id, seq in (after or {}).items():
            self._positions.note(run_id, seq)
        self._behind: deque[str] = deque(after or ())
        """Runs of which the storage may have more than was told."""
        self._since = since
        """Runs created since then are yet to be found; None: no more."""
        self._found: str | None = None
        """The last run that was found."""
        self._ready: deque[Event] = deque()
        self._is_left = False
        self._inbox = runner.bus.follow(wanted, buffer)
        self._leave = weakref.finalize(self, runner.bus.unfollow, self._inbox)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """Give the next event.

        A run of which what is stored cannot be read, for the key of its encryption is gone, say, is passed over among others, and the
        log says so.

        Raises:
            ReaderTooSlowError: More runs went on meanwhile than can be remembered.
            CodecError: It is the one run that is asked for, and cannot be read.
        """
        while not self._ready:
            await checkpoint()
            if not await self._read_more():
                raise StopAsyncIteration
        return self._ready.popleft()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Hear no more; who waits for the next event is told that there is none."""
        self._is_left = True
        self._leave()
        self._inbox.wake()

    # ------------------------------------------------------------------ where they come from
    async def _read_more(self) -> bool:
        """Do one step towards the next event; False where there will be none."""
        if self._is_left:
            return False
        if self._behind:
            await self._read_on(self._behind[0])
        elif self._since is not None:
            await self._find(self._since)
        elif (batch := self._inbox.take()) is not None:
            self._take(batch)
        elif self._inbox.owed:
            run_id, after = self._inbox.owed.popitem()
            if self._positions.get(run_id) is None:
                self._positions.note(run_id, after)
            self._behind.append(run_id)
        elif self._inbox.is_overrun:
            raise ReaderTooSlowError
        elif self._runner.closed:
            return False
        else:
            await self._inbox.wait()
        return True

    async def _read_on(self, run_id: str) -> None:
        """Read a page of what is stored of a run."""
        try:
            page = await stored(self._runner, run_id, self._positions.get(run_id) or 0)
        except CodecError as error:
            if self._wanted.run is not None:
                raise
            log.warning(
                "run %s is passed over by who walks through events: %s",
                run_id,
                error,
                extra={"run_id": run_id},
            )
            # Nor is what comes of it next told: it would be read again, or come with a gap before it.
            self._positions.note(run_id, sys.maxsize)
            self._behind.popleft()
            return
        self._give(page)
        if len(page) < PAGE:
            self._behind.popleft()

    async def _find(self, since: datetime) -> None:
        """Read a page of the runs that were created since a moment."""
        pipeline, runner = self._wanted.pipeline, self._runner
        wanted = RunFilter(since=since, pipelines=None if pipeline is None else frozenset({pipeline}))
        find = partial(runner.storage.find, runner.options.namespace, wanted, after=self._found, limit=PAGE)
        runs = await patiently(runner.clock, partial(runner.read, find))
        for run in runs:
            is_wanted = self._wanted.run in (None, run.id)
            if is_wanted and self._positions.get(run.id) is None:
                self._positions.note(run.id, 0)
                self._behind.append(run.id)
        self._found = runs[-1].id if runs else None
        if len(runs) < PAGE:
            self._since = None

    def _take(self, batch: Sequence[Event]) -> None:
        """Take a batch of one run; where something before it is missing, it is read from the storage with that.

        Nothing is awaited while it is in hand: who gives up waiting for the next event would lose it.
        """
        first = batch[0]
        if first.seq is None:  # only told live
            self._ready.extend(event for event in batch if self._wanted.wants(event))
            return
        told = self._positions.get(first.run_id)
        if told is not None and told + 1 < first.seq:
            self._behind.append(first.run_id)
        else:
            self._give(batch)

    def _give(self, events: Sequence[Event]) -> None:
        """Have events of one run told that were not."""
        if not events:
            return
        run_id = events[0].run_id
        told = self._positions.get(run_id) or 0
        self._ready.extend(e for e in events if (e.seq or 0) > told and self._wanted.wants(e))
        self._positions.note(run_id, max(told, events[-1].seq or 0))


def checked_after(after: Any) -> Mapping[str, int]:
    """Give the positions from which the stored events of runs are wanted.

    Raises:
        DefinitionError: They are no numbers by ids of runs.
        RunNotFoundError: No run has such an id.
    """
    if after is None:
        return {}
    if not isinstance(after, Mapping):
        raise DefinitionError(
            f"runtime.events(after={after!r}): give the number of the last event seen of each run: {{handle.id: 7}}; "
            "for one run, use handle.events(after=7)"
        )
    numbers: Mapping[Any, Any] = after  # pyright: ignore[reportUnknownVariableType]  # what it holds is checked now
    for run_id, seq in numbers.items():
        check_run_id(run_id, "runtime.events(after=...)")
        check_seq(seq, "runtime.events")
    return dict(numbers)
