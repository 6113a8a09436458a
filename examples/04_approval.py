"""A run that waits for a person, while nothing is busy with it.

The calls of ``Runtime`` stand for three processes: one that starts the run, one that somebody decides in, and a worker.
"""

from __future__ import annotations

import anyio

from phaseline import Pipeline, Runtime, Signal, phase

STORAGE = "sqlite:///runs.db"


APPROVED = Signal[bool]("approved")


@phase
def write(topic: str) -> str:
    return f"report on {topic}"


@phase
def publish(decided: tuple[str, bool]) -> str:
    text, approved = decided
    return f"{text}: {'published' if approved else 'dropped'}"


reports = Pipeline("reports", write.wait_for(APPROVED) >> publish)


async def author() -> None:
    async with Runtime(STORAGE, pipelines=[reports]) as runtime:
        handle = await runtime.start(reports, "rain")
        async for event in handle.events():
            if event.phase == "wait_for_approved":
                break
        print(f"the run is in {await handle.state()}")


async def editor() -> None:
    # It decides and no more: no worker is in this process.
    async with Runtime(STORAGE, pipelines=[reports], serve=False) as runtime:
        async for waiting in runtime.find(pipeline=reports, state="WAIT_FOR_APPROVED"):
            handle = await runtime.get(waiting.id, reports)
            for _ in ("sent", "sent once more"):
                await handle.signal(APPROVED, True, id="mail-1")
            print(f"decided, the run is in {await handle.state()}")


async def worker() -> None:
    async with Runtime(STORAGE, pipelines=[reports]) as runtime:
        (run,) = (await runtime.find(pipeline=reports)).runs
        print(await (await runtime.get(run.id, reports)).result())


if __name__ == "__main__":
    for process in (author, editor, worker):
        anyio.run(process)
