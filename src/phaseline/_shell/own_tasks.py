"""The tasks of a runtime, which outlast its host's: they are cancelled once it has ended in order."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import anyio
from anyio.abc import TaskGroup

log: Final = logging.getLogger("phaseline.runtime")


@asynccontextmanager
async def own_tasks(ending: AsyncExitStack) -> AsyncGenerator[TaskGroup]:
    """Open a task group that cancelling the host does not reach: what ends a runtime in order needs its tasks to the last.

    What one of them raises cancels the host, as with any group; what the end raises is raised as it is.

    Args:
        ending: What is to be done before they are cancelled; it is not cancelled either.
    """
    tasks, opened = anyio.create_task_group(), anyio.Event()
    failure: Exception | None = None
    async with anyio.create_task_group() as hosts:
        hosts.start_soon(_keep_open, tasks, opened)
        with anyio.CancelScope(shield=True):
            await opened.wait()
        try:
            yield tasks
        finally:
            try:
                with anyio.CancelScope(shield=True):
                    await ending.aclose()
            except Exception as error:
                # A cancellation may go on instead of it, and it would be told nowhere.
                log.exception("a runtime could not be closed in order")
                failure = error  # raised below, where the task group does not wrap it
            finally:
                tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _keep_open(tasks: TaskGroup, opened: anyio.Event) -> None:
    with anyio.CancelScope(shield=True):
        async with tasks:
            opened.set()
            await anyio.sleep_forever()
