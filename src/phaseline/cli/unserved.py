"""What is said to somebody who waits for a run that no worker takes up."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final, TypeVar

import anyio

from phaseline.errors import PhaselineError
from phaseline.handle import RunHandle

T = TypeVar("T")

UNSERVED: Final = timedelta(seconds=10)
"""How long phases of its pipeline may wait before that is said; also between two looks at the run."""


async def telling_if_unserved(handle: RunHandle[Any], wait: Callable[[], Awaitable[T]]) -> T:
    """Wait for a run, and say on stderr, once, if nothing of it is carried out meanwhile, and phases of its pipeline wait.

    Raises:
        Exception: What ``wait`` raises, as it is.
    """
    failed: Exception | None = None
    found: list[T] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_tell_once, handle)
        try:
            found.append(await wait())
        except Exception as error:  # noqa: BLE001  # raised below, so that no task group wraps it
            failed = error
        tasks.cancel_scope.cancel()
    if failed is not None:
        raise failed
    return found[0]


async def _tell_once(handle: RunHandle[Any]) -> None:
    while True:
        await anyio.sleep(UNSERVED.total_seconds())
        try:
            run = await handle.run()
        except PhaselineError:  # who waits for it meets the same
            return
        health = await handle.runtime.health(patience=UNSERVED)
        waits = any(
            queue.waited > UNSERVED and run.pipeline in {each.pipeline for each in queue.definitions}
            for queue in health.queues
        )
        if waits and not any(row.worker for row in run.phases.values()):
            print("\n".join(health.problems), file=sys.stderr)
            return
