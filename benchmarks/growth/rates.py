"""Time per item of a long map, and per phase of a long chain: late ones against early ones of the same run."""

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
BUCKETS = 20
"""Of the series that shows the course of a run."""


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

    def tail_ms(self) -> float:
        """Milliseconds that the run took beyond its commits: its start, and its end."""
        return (self.seconds - (self.commits[-1] - self.commits[0])) * 1e3


@phase
async def double(number: int) -> int:
    """Stand for an item's work."""
    return 2 * number


async def map_items(stage: Stage) -> Growth:
    """Measure a map of many items, that of one process with the default settings."""
    pipeline = Pipeline("map", each(double))
    total = stage.sizes.items
    courses = await _courses(stage, pipeline, list(range(total)), list(range(total // 10)), items=True)
    return _growth("growth.map", "x per item", stage, courses, {"items": total, "window": ITEMS_WINDOW})


async def chain(stage: Stage) -> Growth:
    """Measure a chain of many phases."""
    total = stage.sizes.phases
    first, *others = (_add_one(f"p{number}") for number in range(total))
    body = reduce(lambda done, following: done >> following, others, first)
    courses = await _courses(stage, Pipeline("chain", body), 0, 0, items=False)
    return _growth("growth.chain", "x per phase", stage, courses, {"phases": total, "window": PHASES_WINDOW})


def _add_one(name: str) -> Phase[int, int]:
    @phase(name=name)
    async def add_one(number: int) -> int:
        return number + 1

    return add_one


async def _courses(
    stage: Stage, pipeline: Pipeline[Any, Any], value: object, warm_up: object, *, items: bool
) -> list[Course]:
    with stage.databases.fresh("growth") as url:
        SqlStorage(url).migrate()
        async with Runtime(url, pipelines=[pipeline]) as runtime:
            await runtime.run(pipeline, warm_up)  # else the early window would pay for it, and hide growth
            return [await _course(runtime, pipeline, value, items=items) for _ in range(stage.sizes.rounds)]


async def _course(runtime: Runtime, pipeline: Pipeline[Any, Any], value: object, *, items: bool) -> Course:
    handle: RunHandle[Any] = await runtime.start(pipeline, value)
    run = await handle.wait()
    assert run.ended_at is not None, "wait() gives a run that is settled, and nothing pauses this one"
    commits = [
        event.at.timestamp()
        async for event in handle.events()
        if isinstance(event, PhaseCompleted) and (event.phase or "").endswith("]") is items
    ]
    return Course(sorted(commits), (run.ended_at - run.created_at).total_seconds())


def _growth(name: str, unit: str, stage: Stage, courses: list[Course], sizes: dict[str, int]) -> Growth:
    window = sizes["window"]
    early = [course.early(window) for course in courses]
    late = [course.late(window) for course in courses]
    # of each run by itself: its two ends are seconds apart, and see the same mood of the machine
    factors = [after / before for before, after in zip(early, late, strict=True)]
    details = {
        **sizes,
        "rounds": len(courses),
        "early_us": digits(median(early)),
        "late_us": digits(median(late)),
        "run_s": digits(median(course.seconds for course in courses)),
        "start_and_end_ms": digits(median(course.tail_ms() for course in courses)),
        "factors": [digits(factor) for factor in factors],
        "series_us": courses[-1].series(),
    }
    return Growth(name, unit, median(factors), stage.storage, details)
