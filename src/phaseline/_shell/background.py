"""What is done in the background: beside the host until the runtime has ended, again and again, whatever goes wrong with it once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from logging import Logger

import anyio
from anyio.abc import TaskGroup

from phaseline.errors import PhaselineError


@asynccontextmanager
async def own_tasks(ending: AsyncExitStack) -> AsyncGenerator[TaskGroup]:
    """Open a task group that cancelling the host does not reach: what ends a runtime in order needs its tasks to the last.

    What one of them raises cancels the host, as with any group.

    Args:
        ending: What is to be done before they are cancelled; it is not cancelled either.
    """
    tasks, opened = anyio.create_task_group(), anyio.Event()
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
            finally:
                tasks.cancel_scope.cancel()


async def _keep_open(tasks: TaskGroup, opened: anyio.Event) -> None:
    with anyio.CancelScope(shield=True):
        async with tasks:
            opened.set()
            await anyio.sleep_forever()


@contextmanager
def survived(log: Logger, problem: str) -> Generator[None]:
    """Tell what goes wrong within, and no more: it is done again, and is no reason to end the runtime.

    Args:
        log: Where to tell it.
        problem: What did not come about, and when it is tried again.
    """
    try:
        yield
    except PhaselineError as error:  # an outage, most likely, and its text says all
        log.warning("%s: %s", problem, error)
    except Exception:  # a mistake of ours
        log.exception("%s", problem)
