"""procrastinate on PostgreSQL: an async task that does nothing."""

from __future__ import annotations

import asyncio
import os
import sys
import time

import procrastinate

from benchmarks.queue import tally

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=os.environ[tally.DATABASE]))


@app.task(name="nothing")
async def nothing(number: int) -> None:
    """Do nothing."""
    tally.note(number)


@app.task(name="told")
async def told(sent_at: float) -> None:
    """Tell how long it has waited."""
    tally.note_wait(sent_at)


async def fill(jobs: int) -> None:
    """Defer as many jobs, many at once, which is its fast way."""
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        for first in range(1, jobs + 1, 500):
            await nothing.batch_defer_async(
                *({"number": number} for number in range(first, min(first + 500, jobs + 1)))
            )


async def send_one_by_one(times: int, pause: float) -> None:
    """Defer to an idle worker."""
    async with app.open_async():
        for _ in range(times):
            await told.defer_async(sent_at=time.time())
            await asyncio.sleep(pause)


async def work(concurrency: int) -> None:
    """Serve until told to stop."""
    async with app.open_async():
        await app.run_worker_async(concurrency=concurrency)


if __name__ == "__main__":
    asyncio.run(work(int(sys.argv[1])))
