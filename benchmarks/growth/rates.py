"""Time per item of a long map, and per phase of a long chain.

Two comparisons, because each is blind to what the other sees: the late ones against the early ones of the same run, and
all of a long run against all of one of a tenth of its length. The first misses what is slow from the beginning because the
run is long; the second what is slow only at the end. The larger factor is the headline.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import reduce
from itertools import pairwise
from statistics import median
from typing import Any

import attrs

from benchmarks.growth.outcome import Growth, Stage, digits
from phaseline import Phase, Pipeline, RunHandle, Runtime, each, phase
from phaseline.events import PhaseCompleted
from phaseline.storage.sql.store import SqlStorage

FIRST = 10
"""Where the early window begins: what is set up once is over by then."""
ITEMS_WINDOW, PHASES_WINDOW = 500, 100
SHORTER = 10
"""How many times shorter the short run is."""
BUCKETS = 20
"""Of the series that shows the course of a run."""

Work = tuple[Pipeline[Any, Any], object]
"""A pipeline, and a value for it."""


@attrs.frozen
class Course:
    """When each item or phase of one run was committed, in seconds, in order."""

    commits: Sequence[float]
    seconds: float
    """From start to result."""

    def micros_each(self, after: int, until: int) -> float:
        """Mean microseconds for each from the ``after``th to the ``until``th.

        What was committed together has one time, so the window is widened to whole commits.
        """
        begin, end = self.commits[after - 1], self.commits[until - 1]
        return (end - begin) / (bisect_right(self.commits, end) - bisect_right(self.commits, begin)) * 1e6

    def early(self, window: int) -> float:
        """Microseconds for each in the window that begins at the 10th."""
        return self.micros_each(FIRST, FIRST + window)

    def late(self, window: int) -> float:
        """Microseconds for each in the last window."""
        return self.micros_each(len(self.commits) - window, len(self.commits))

    def series(self) -> list[float]:
        """Microseconds for each in equal parts of the run, or in whole commits where those are larger."""
        total = len(self.commits)
        marks = (total * number // BUCKETS for number in range(1, BUCKETS + 1))
        edges = {self.commits[mark - 1]: mark for mark in (1, *marks)}
        return [digits(self.micros_each(*edge)) for edge in pairwise(edges.values())]

    def each(self, window: int) -> float:
        """Microseconds for each after the first window.

        The first items of a map start in the commit that opens it, as many as may run at once; a longer one has to claim
        a larger part of its items, which is no growth.
        """
        return self.micros_each(window, len(self.commits))


@attrs.frozen
class Pair:
    """A long run and one of a tenth of its length, in the same database one after the other."""

    short: Course
    long: Course

    def late_to_early(self, window: int) -> float:
        """The last ones of the long run against its first ones."""
        return self.long.late(window) / self.long.early(window)

    def long_to_short(self, window: int) -> float:
        """Each one of the long run against each one of the short."""
        return self.long.each(window) / self.short.each(window)


@phase
async def double(number: int) -> int:
    """Stand for an item's work."""
    return 2 * number


async def map_items(stage: Stage) -> Growth:
    """Measure a map of many items, that of one process with the default settings."""
    total = stage.sizes.items
    pipeline = Pipeline("map", each(double))
    short, long = ((pipeline, list(range(length))) for length in (_shorter(total, ITEMS_WINDOW), total))
    pairs = await _pairs(stage, short, long, of_items=True)
    return _growth("growth.map", "x per item", stage, pairs, {"items": total, "window": ITEMS_WINDOW})


async def chain(stage: Stage) -> Growth:
    """Measure a chain of many phases."""
    total = stage.sizes.phases
    short, long = ((_chain(length), 0) for length in (_shorter(total, PHASES_WINDOW), total))
    pairs = await _pairs(stage, short, long, of_items=False)
    return _growth("growth.chain", "x per phase", stage, pairs, {"phases": total, "window": PHASES_WINDOW})


def _shorter(total: int, window: int) -> int:
    return max(total // SHORTER, 2 * window)


def _chain(phases: int) -> Pipeline[int, int]:
    first, *others = (_add_one(f"p{number}") for number in range(phases))
    return Pipeline(f"chain-of-{phases}", reduce(lambda done, following: done >> following, others, first))


def _add_one(name: str) -> Phase[int, int]:
    @phase(name=name)
    async def add_one(number: int) -> int:
        return number + 1

    return add_one


async def _pairs(stage: Stage, short: Work, long: Work, *, of_items: bool) -> list[Pair]:
    with stage.databases.fresh("growth") as url:
        SqlStorage(url).migrate()
        async with Runtime(url, pipelines={short[0], long[0]}) as runtime:
            await runtime.run(
                *short
            )  # else the early ones would pay for what is set up once, and hide growth
            return [
                Pair(
                    short=await _course(runtime, *short, of_items=of_items),
                    long=await _course(runtime, *long, of_items=of_items),
                )
                for _ in range(stage.sizes.rounds)
            ]


async def _course(runtime: Runtime, pipeline: Pipeline[Any, Any], value: object, *, of_items: bool) -> Course:
    handle: RunHandle[Any] = await runtime.start(pipeline, value)
    run = await handle.wait()
    assert run.ended_at is not None, "wait() gives a run that is settled, and nothing pauses this one"
    commits = [
        event.at.timestamp()
        async for event in handle.events()
        if isinstance(event, PhaseCompleted) and (event.phase or "").endswith("]") is of_items
    ]
    return Course(sorted(commits), (run.ended_at - run.created_at).total_seconds())


def _growth(name: str, unit: str, stage: Stage, pairs: list[Pair], sizes: dict[str, int]) -> Growth:
    window = sizes["window"]
    # of each pair by itself: its parts are seconds apart, and see the same mood of the machine
    late = [pair.late_to_early(window) for pair in pairs]
    longer = [pair.long_to_short(window) for pair in pairs]
    details = {
        **sizes,
        "rounds": len(pairs),
        "late_to_early": digits(median(late)),
        "long_to_short": digits(median(longer)),
        "early_us": digits(median(pair.long.early(window) for pair in pairs)),
        "late_us": digits(median(pair.long.late(window) for pair in pairs)),
        "short_us": digits(median(pair.short.each(window) for pair in pairs)),
        "long_us": digits(median(pair.long.each(window) for pair in pairs)),
        "short_s": digits(median(pair.short.seconds for pair in pairs)),
        "long_s": digits(median(pair.long.seconds for pair in pairs)),
        "all_late_to_early": [digits(factor) for factor in late],
        "all_long_to_short": [digits(factor) for factor in longer],
        "series_us": pairs[-1].long.series(),
    }
    return Growth(name, unit, max(median(late), median(longer)), stage.storage, details)
