"""What size costs: each measure compares the library with itself, small against large. Peers have no part in it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable

from benchmarks.growth.latency import start
from benchmarks.growth.outcome import Growth, Sizes, Stage
from benchmarks.growth.rates import chain, map_items
from benchmarks.growth.volume import handed_on, joined

__all__ = ["MEASURES", "Growth", "Sizes", "Stage", "measure"]

MEASURES: dict[str, Callable[[Stage], Awaitable[Growth]]] = {
    "map": map_items,
    "chain": chain,
    "start": start,
    "bytes": joined,
    "handed_on": handed_on,
}
"""Names behind ``growth.`` to what measures them, the headline first."""


def measure(name: str, stage: Stage) -> Growth:
    """Take one measure."""
    gc.collect()  # what an earlier one left is not its concern

    async def take() -> Growth:
        return await MEASURES[name](stage)

    return asyncio.run(take())
