"""What is said to somebody who waits for a run that no worker takes up."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, TypeVar

import anyio

from phaseline.runtime import Runtime

T = TypeVar("T")

UNSERVED: Final = timedelta(seconds=10)
"""How long phases of its pipeline may wait before that is said; also between two looks."""


async def telling_if_unserved(client: Runtime, pipeline: str, wait: Callable[[], Awaitable[T]]) -> T:
    """Wait for a run, and say on stderr, once, if phases of its pipeline wait for a worker meanwhile.

    Raises:
        Exception: What ``wait`` raises, as it is.
    """
    failed: Exception | None = None
    found: list[T] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_tell_once, client, pipeline)
        try:
            found.append(await wait())
        except Exception as error:  # noqa: BLE001  # raised below, so that no task group wraps it
            failed = error
        tasks.cancel_scope.cancel()
    if failed is not None:
        raise failed
    return found[0]


async def _tell_once(client: Runtime, pipeline: str) -> None:
    while True:
        await anyio.sleep(UNSERVED.total_seconds())
        health = await client.health(patience=UNSERVED)
        if any(
            queue.waited > UNSERVED and pipeline in {each.pipeline for each in queue.definitions}
            for queue in health.queues
        ):
            print("\n".join(health.problems), file=sys.stderr)
            return
