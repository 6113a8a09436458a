"""Events: the engine's own, the application's own, and progress; heard live and read again from the storage."""

from __future__ import annotations

import anyio

from phaseline import Context, CustomEvent, Event, Pipeline, Runtime, phase
from phaseline.events import PhaseProgress, PipelineCompleted


class PagePrinted(CustomEvent):
    """PAGE_PRINTED on the wire."""

    number: int


@phase
async def print_pages(count: int, ctx: Context) -> int:
    ctx.progress(0, count)
    for number in range(1, count + 1):
        ctx.emit(PagePrinted(number=number))  # stored with the phase's commit, told after it
    ctx.progress(count, count, "all printed")  # told at once, kept in the run, no event in the storage
    return count


book = Pipeline("book", print_pages)


async def main() -> None:
    async with Runtime(pipelines=[book]) as runtime:
        all_heard = anyio.Event()

        @runtime.bus.subscribe(types=[PhaseProgress, PagePrinted, PipelineCompleted])
        async def hear(event: Event) -> None:
            print("heard", event.type, event.data)
            if isinstance(event, PipelineCompleted):
                all_heard.set()

        handle = await runtime.start(book, 2)
        await handle.result()
        # Closing the runtime drops what still waits for a handler, so let it come to the end.
        await all_heard.wait()

        async for event in handle.events():
            print("stored", event.seq, event.type)


if __name__ == "__main__":
    anyio.run(main)
