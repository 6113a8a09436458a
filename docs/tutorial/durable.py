"""Step 2: an order that survives a crash on its way."""

import asyncio
import os
import sys

from shop import add_up, charge

from phaseline import Pipeline, Runtime, phase


@phase
async def ship(receipt: str) -> str:
    if "crash" in sys.argv:
        print("the power goes out")
        os._exit(1)  # the process is gone at once: nothing is tidied up
    return f"on its way, with a {receipt}"


shipping = Pipeline("shipping", add_up >> charge >> ship)


async def main() -> None:
    async with Runtime("sqlite:///shop.db", pipelines=[shipping]) as runtime:
        handle = await runtime.start(shipping, ["tea", "mug"], key="order-1")
        print(await handle.result())


if __name__ == "__main__":
    asyncio.run(main())
