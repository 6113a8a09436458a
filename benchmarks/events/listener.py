"""A process that listens: it says when it does, and in the end what it has heard, and when."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from time import perf_counter

from benchmarks.events.work import Ticked, Told, ticking
from phaseline import Event, Runtime

PATIENCE = 120.0


async def listen(storage: str, transport: str, expected: int) -> list[tuple[Told, float]]:
    """Hear so many events of applications and annotations."""
    heard: list[tuple[Told, float]] = []
    done = asyncio.Event()
    async with Runtime(storage, pipelines=[ticking], serve=False, transport=transport) as runtime:

        @runtime.bus.subscribe(types=["PIPELINE_ANNOTATED", Ticked], buffer=10 * expected)
        async def hear(event: Event) -> None:
            heard.append(((event.run_id, event.seq or 0), perf_counter()))
            if len(heard) == expected:
                done.set()

        print("listening", flush=True)
        async with asyncio.timeout(PATIENCE):
            await done.wait()
    return heard


def main() -> None:
    """Listen, and write what was heard as one JSON list."""
    parser = argparse.ArgumentParser()
    parser.add_argument("storage")
    parser.add_argument("transport")
    parser.add_argument("expected", type=int)
    options = parser.parse_args()
    json.dump(asyncio.run(listen(options.storage, options.transport, options.expected)), sys.stdout)


if __name__ == "__main__":
    main()
