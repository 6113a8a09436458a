"""Step 4: a refund waits until somebody approves it."""

import asyncio
import sys

from phaseline import Pipeline, Runtime, Signal, phase

APPROVED = Signal[bool]("approved")


@phase
def ask(reason: str) -> str:
    return f"refund, because {reason}"


@phase
def answer(decided: tuple[str, bool]) -> str:
    request, approved = decided
    return f"{request}: {'paid' if approved else 'refused'}"


refunds = Pipeline("refunds", ask.wait_for(APPROVED) >> answer)
runtime = Runtime("sqlite:///shop.db", pipelines=[refunds])


async def main(command: str) -> None:
    async with runtime:
        handle = await runtime.start(refunds, "the mug is broken", key="refund-1")
        if command == "ask":
            async for event in handle.events():
                print(event.seq, event.type)
                if event.phase == "wait_for_approved":
                    break
        else:
            await handle.signal(APPROVED, True)
            print(await handle.result())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
