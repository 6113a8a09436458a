"""What is looked at, and how soon it has to be there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from statistics import median
from typing import Any

import attrs
from playwright.async_api import Page

from benchmarks.console.browsing import Look, Seen, browsing, look
from benchmarks.console.filling import SPAN, Large, filled
from benchmarks.stores import Databases
from phaseline import Runtime

TARGET_MS = 200


@attrs.frozen
class Stage:
    """Where and how much to measure."""

    storage: str
    databases: Databases
    runs: int
    rounds: int


@attrs.frozen
class Line:
    """One look: the median from the click until it is drawn, and the worst; with the longest task of the browser's main thread."""

    name: str
    stage: Stage
    seen: Sequence[Seen]

    @property
    def figures(self) -> Mapping[str, Any]:
        """In milliseconds."""
        times = [each.ms for each in self.seen]
        longest = max(each.longest_ms for each in self.seen)
        return {
            "ours": round(median(times)),
            "worst_ms": round(max(times)),
            "longest_task_ms": round(longest),
        }

    def as_json(self) -> str:
        """One JSON object on one line, shaped like those of the other benchmarks."""
        stage = self.stage
        head: dict[str, Any] = {
            "name": self.name,
            "unit": "ms until drawn",
            "peers": {},
            "ratio": {},
            "target_ms": TARGET_MS,
        }
        return json.dumps(
            {**head, **self.figures, "storage": stage.storage, "runs": stage.runs, "rounds": stage.rounds}
        )

    def as_text(self) -> str:
        """The same for people."""
        ours, worst, longest = self.figures.values()
        return f"{self.name:<52}{ours:>6} ms   worst {worst:>5}   longest task {longest:>4}"


ROWS = "table.runs tbody tr"
LIST = (
    Look("first page", "#/runs", ROWS),
    Look("failed", "#/runs?state=FAILED", ROWS),
    Look("waiting", "#/runs?state=WAITING", ROWS),
    Look("completed, one pipeline", "#/runs?state=COMPLETED&pipeline=orders", ROWS),
    Look("one pipeline", "#/runs?pipeline=mails", ROWS),
    Look("a day", "#/runs?last=24h", ROWS),
    Look("a week, one pipeline", "#/runs?last=7d&pipeline=mails", ROWS),
    Look("a tag of many", "#/runs?tag=region-3", ROWS),
    Look("a tag of few", "#/runs?tag=urgent", ROWS),
    Look("an attribute", "#/runs?attribute=customer%3D17", ROWS),
    Look("a text that many have", "#/runs?text=address", ROWS),
    Look("a text that few have", "#/runs?text=order-77", ROWS),
    Look("a text that none has", "#/runs?text=nowhere", ".notice"),
)
OTHERS = (
    Look("dead letters", "#/dead-letters", "table.letters tbody tr"),
    Look("analytics, a day", "#/analytics", "canvas"),
    Look("analytics, 90 days", "#/analytics?last=90d", "canvas"),
)


async def lists(runtime: Runtime, page: Page, large: Large) -> AsyncIterator[Look]:  # noqa: ARG001  # as all measures
    """The list of runs, with all that it can be asked for; from page to page, and far behind."""
    for each in LIST:
        yield each
    link = "#/runs"
    for number in (2, 3):
        await page.evaluate("(link) => { location.hash = link; }", link)
        link = await page.locator("a[rel=next]").get_attribute("href") or ""
        await page.wait_for_selector("table.runs")
        yield Look(f"page {number}", link, ROWS)
    middle = await runtime.find(until=datetime.now(UTC) - SPAN / 2, limit=1)
    yield Look("page in the middle", f"#/runs?after={middle.next}", ROWS)


async def others(runtime: Runtime, page: Page, large: Large) -> AsyncIterator[Look]:  # noqa: ARG001  # as all measures
    """The other pages, where there are many runs."""
    for each in OTHERS:
        yield each


async def large_runs(runtime: Runtime, page: Page, large: Large) -> AsyncIterator[Look]:  # noqa: ARG001  # as all measures
    """A run of a map with many items and twice as many events, and one with large values."""
    run, value = f"#/run/{large.map}", f"#/run/{large.value}"
    yield Look("a map of 10 000 items, 20 000 events", run, ".timeline", "10,000 of 10,000")
    yield Look("its items", run, "ul.items li", button="g.node:has-text('square')")
    yield Look("its older events", run, "ol.events li:nth-child(150)", button="button:text('Load older')")
    yield Look("a run with large values", value, ".timeline")
    yield Look("its input of 15 MB", value, "[role=tabpanel] .tree", button="[role=tab]:text('Input')")
    yield Look("its output of 50 MB", value, "[role=tabpanel] .tree", button="[role=tab]:text('Output')")


MEASURES: Mapping[str, Callable[[Runtime, Page, Large], AsyncIterator[Look]]] = {
    "list": lists, "others": others, "large": large_runs,
}  # fmt: skip
"""Names behind ``console.`` to what is looked at."""


def measure(stage: Stage, names: Sequence[str]) -> Iterator[Line]:
    """Fill a database, and look at all pages that are meant."""
    yield from asyncio.run(_measure(stage, names))


async def _measure(stage: Stage, names: Sequence[str]) -> list[Line]:
    lines: list[Line] = []
    with stage.databases.fresh("console") as url:
        async with filled(url, stage.runs) as (runtime, large), browsing(runtime) as page:
            for name in names:
                async for what in MEASURES[name](runtime, page, large):
                    seen = [await look(page, what) for _ in range(stage.rounds)]
                    lines.append(Line(f"console.{name}: {what.name}", stage, seen))
    return lines
