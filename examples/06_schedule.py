"""Runs on a schedule: each slot begins one run, however many processes serve, and past slots can be filled in."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import anyio

from phaseline import SLOT, Event, Pipeline, Runtime, phase
from phaseline.events import PipelineCompleted

BERLIN = ZoneInfo("Europe/Berlin")


@phase
async def report(slot: datetime) -> str:
    return f"report for {slot.isoformat()}"


@phase
async def beat(word: str) -> str:
    return word


reports, beats = Pipeline("reports", report), Pipeline("beats", beat)


async def main() -> None:
    async with Runtime("sqlite:///schedules.db", pipelines=[reports, beats]) as runtime:
        fired = anyio.Event()

        @runtime.bus.subscribe(types=[PipelineCompleted])
        async def hear(event: Event) -> None:
            if event.pipeline == "beats":
                fired.set()

        # Every process may put its schedules when it begins: one that is the same stays as it is.
        await runtime.schedules.put("daily", reports, input=SLOT, cron="0 6 * * *", tz="Europe/Berlin")
        await runtime.schedules.put("beat", beats, input="tick", every=timedelta(seconds=1))
        with anyio.fail_after(30):
            await fired.wait()
        await runtime.schedules.delete("beat")  # its runs stay
        print("beat:", (await runtime.find(attributes={"schedule": "beat"})).runs[-1].state)

        # Fill in three mornings of the past; the clocks were changed on the second.
        since, until = (datetime(2026, 3, day, tzinfo=BERLIN) for day in (28, 31))
        for handle in await runtime.schedules.backfill("daily", since=since, until=until):
            print("daily:", await handle.result())


if __name__ == "__main__":
    anyio.run(main)
