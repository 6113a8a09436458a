"""Phases whose calls are counted, and that fail or stand still where a test says so."""

from __future__ import annotations

from collections import Counter

import anyio

from phaseline import Context, phase


class World:
    """What bodies do, and what holds or breaks them."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew: each test has a world of its own."""
        self.calls: Counter[str] = Counter()
        self.keys: dict[str, list[str]] = {}
        self.undone: list[str] = []
        self.broken: set[str] = set()
        self.holds = False
        self.begun = anyio.Event()
        self.open = anyio.Event()
        self.stopped = anyio.Event()


world = World()
"""Of the test that runs; bodies are module-level functions."""


def called(ctx: Context) -> None:
    """Note a call, and fail it if it is to fail."""
    world.calls[ctx.phase] += 1
    world.keys.setdefault(ctx.phase, []).append(ctx.idempotency_key)
    if ctx.phase in world.broken:
        raise ValueError(ctx.phase)


@phase
async def listed(number: int, ctx: Context) -> list[int]:
    """Count up."""
    called(ctx)
    return list(range(number))


@phase
async def doubled(number: int, ctx: Context) -> int:
    """Double a number."""
    called(ctx)
    return 2 * number


@phase
async def summed(numbers: list[int], ctx: Context) -> int:
    """Add numbers up."""
    called(ctx)
    return sum(numbers)
