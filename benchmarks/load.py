"""The load that every contender gets: a closed loop of clients, each starting its next run when its last one ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter

import attrs

PAD = "a" * 134
"""Brings a state of ``{"n": 0, "pad": PAD}`` to 150 bytes of JSON."""

OneRun = Callable[[], Awaitable[int]]
"""Makes one run from n = 0 and gives the n of its final state: each phase adds one."""


@attrs.frozen
class Setting:
    """What a contender has to know to prepare itself."""

    phases: int
    """Phases of a run."""
    runs: int
    """Runs at once."""
    url: str | None = attrs.field(default=None, repr=False)
    """Of an empty database; None for a case that stores nothing in one."""

    @property
    def database(self) -> str:
        """The URL, for a case that has one."""
        assert self.url is not None, "the worker gives one to each durable case"
        return self.url


@attrs.frozen
class Round:
    """One round's figures."""

    runs_per_second: float
    p50_ms: float
    """Median time from start to result of a run."""
    p95_ms: float


class WrongResultError(Exception):
    """A contender gave a result that shows that it did not run each phase once."""


async def closed_loop(one_run: OneRun, setting: Setting, seconds: float) -> Round:
    """Keep ``setting.runs`` runs going for ``seconds``, then let the last ones end; they count, and so does their time.

    Raises:
        WrongResultError: A run did not go through every phase.
    """
    latencies: list[float] = []
    start = perf_counter()
    stop = start + seconds

    async def client() -> None:
        now = perf_counter()
        while now < stop:
            result = await one_run()
            before, now = now, perf_counter()
            if result != setting.phases:
                msg = f"a run of {setting.phases} phases ended with n = {result}"
                raise WrongResultError(msg)
            latencies.append(now - before)

    # not a task group: the first error itself is wanted, and it ends the process
    await asyncio.gather(*(client() for _ in range(setting.runs)))
    elapsed = perf_counter() - start
    latencies.sort()
    return Round(len(latencies) / elapsed, _percentile(latencies, 50), _percentile(latencies, 95))


def _percentile(ascending: list[float], percent: int) -> float:
    return ascending[min(len(ascending) - 1, len(ascending) * percent // 100)] * 1e3
