"""What a client does, in a process of its own: ``python -m benchmarks.queue.fill MODULE fill|latency|map …``."""

from __future__ import annotations

import asyncio
import importlib
import sys
from typing import Any


async def main(module: Any, order: str, *numbers: str) -> None:
    """Carry out an order."""
    if order == "fill":
        await module.fill(int(numbers[0]))
    elif order == "latency":
        await module.send_one_by_one(int(numbers[0]), float(numbers[1]))
    else:
        items, workers = map(int, numbers)
        print(await module.time_map(items, workers))


if __name__ == "__main__":
    asyncio.run(main(importlib.import_module(f"benchmarks.queue.{sys.argv[1]}"), *sys.argv[2:]))
