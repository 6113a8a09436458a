"""A run on a SQLite file that is interrupted between two phases, and goes on where it stood.

The two calls of ``Runtime`` stand for two processes: nothing but the file and the run's id leads from one to the other.
"""

from __future__ import annotations

from datetime import timedelta

import anyio

from phaseline import Context, Pipeline, Runtime, phase

STORAGE = "sqlite:///runs.db"


@phase
def write(title: str) -> str:
    print(f"write: a report on {title}")
    return f"Report on {title}"


@phase
async def send(report: str, ctx: Context) -> str:
    print(f"send: attempt {ctx.attempt}")
    ctx.progress(0, note="waiting for the mail server")
    if ctx.attempt == 1:
        await anyio.sleep_forever()  # the mail server does not answer
    return f"{report}: sent"


reports = Pipeline("reports", write >> send)


async def first_process() -> str:
    # drain: how long a body may go on when the runtime closes
    async with Runtime(STORAGE, pipelines=[reports], drain=timedelta(0)) as runtime:
        handle = await runtime.start(reports, "rain")
        async for event in handle.events():
            if event.type == "PHASE_PROGRESS":
                break
        print(f"closing: the run is in {await handle.state()}")
    return handle.id


async def second_process(run_id: str) -> None:
    # Opening is enough: the worker takes up what an earlier process left unfinished.
    async with Runtime(STORAGE, pipelines=[reports]) as runtime:
        handle = await runtime.get(run_id, reports)
        print(await handle.result())
        run = await handle.run()
        print({path: row.attempt for path, row in run.phases.items()})


if __name__ == "__main__":
    run_id = anyio.run(first_process)
    anyio.run(second_process, run_id)
