"""What is told in these measures: by which pipeline, and when its commits were durable."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

import anyio

from phaseline import Context, CustomEvent, Pipeline, RunHandle, Runtime, phase
from phaseline.storage.sql.store import SqlStorage
from phaseline.unit_of_work import Outcome, Unit

Told = tuple[str, int]
"""Id of a run, and the number of an event."""


class Ticked(CustomEvent):
    """An event of an application."""

    number: int
    text: str = "a" * 100


@phase
async def tick(count: int, ctx: Context) -> int:
    """Emit so many events, which are committed at once."""
    for number in range(count):
        ctx.emit(Ticked(number=number))
    return count


ticking = Pipeline("ticking", tick)


class StampedStorage(SqlStorage):
    """Notes when each event was durable, by the clock that all processes of a machine share."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.stamps: dict[Told, float] = {}

    def commit(self, units: Sequence[Unit]) -> list[Outcome]:
        """Write units, and note when they were."""
        outcomes = super().commit(units)
        now = perf_counter()
        for unit, outcome in zip(units, outcomes, strict=True):
            if outcome is Outcome.COMMITTED:
                self.stamps.update(((unit.run.id, event.seq or 0), now) for event in unit.events)
        return outcomes


async def begun(runtime: Runtime) -> RunHandle[int]:
    """Give a run that has ended, to be written to."""
    handle = await runtime.start(ticking, 0)
    await handle.result()
    return handle


async def annotated(handle: RunHandle[int], samples: int, rate: float) -> None:
    """Commit so many events one by one, at that rate."""
    due = perf_counter()
    for number in range(samples):
        await handle.annotate(f"{number}")
        due += 1 / rate
        await anyio.sleep(max(0.0, due - perf_counter()))
