"""A task of asyncio in readiness: a coroutine is begun in its name at once, and it goes on with one that has to wait.

This is what an eager task is (``asyncio.eager_task_factory`` of Python 3.12), but for that it is made beforehand, and once
for all coroutines that never have to wait: to make a task and give it its turn costs as much as a phase. The functions by
which a task is entered and left are those that asyncio documents for who extends it.
"""

from __future__ import annotations

import asyncio
from asyncio.tasks import _enter_task, _leave_task  # pyright: ignore[reportPrivateUsage]  # documented: "Extending", task lifetime
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from functools import partial
from typing import Any

import anyio

Begun = Coroutine[Any, Any, None]


class Standby:
    """Takes one coroutine that has to wait, or any number of those that do not."""

    def __init__(self, loop: asyncio.AbstractEventLoop, scope: type[anyio.CancelScope]) -> None:
        """Make it, and its task on the loop that runs here; the scopes are those of asyncio."""
        self._loop = loop
        self._idle: asyncio.Future[None] = loop.create_future()
        self._seat: anyio.CancelScope = scope()
        self._stands = False
        self._begun: Begun | None = None
        self._context: Context | None = None
        self._waits_for: asyncio.Future[Any] | None = None
        self._error: BaseException | None = None
        self._rest: Callable[[], Begun] | None = None
        self.task: asyncio.Task[None] = loop.create_task(self._stand_by())

    @property
    def is_ready(self) -> bool:
        """Whether it may be given a coroutine: not before its first turn, nor when it was cancelled or has one."""
        return self._stands and not self._idle.done()

    def begin(self, make: Callable[[anyio.CancelScope], Begun], rest: Callable[[], Begun]) -> bool:
        """Carry a coroutine out as far as it gets without waiting, in a context of its own; gives whether it has ended.

        If not, or if it has cancelled its task or its seat, or raised, the task takes over in its turn: that raises it, too.

        Args:
            make: Makes the coroutine; its argument is the scope in which it can be cancelled.
            rest: What the task does after it, if it takes over, also where the scope was cancelled.
        """
        caller = asyncio.current_task()
        assert caller is not None  # noqa: S101  # else there is nobody to come back to
        begun, context = make(self._seat), copy_context()
        _leave_task(self._loop, caller)
        _enter_task(self._loop, self.task)
        try:
            self._waits_for = context.run(begun.send, None)
        except StopIteration:
            if not (self._seat.cancel_called or self._idle.done()):
                return True
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  # raised by the task
            self._error = error
        else:
            self._begun, self._context = begun, context
        finally:
            _leave_task(self._loop, self.task)
            _enter_task(self._loop, caller)
        if not self._idle.done():  # else it was cancelled, and gets its turn by that
            self._idle.set_result(None)
        self._rest = rest
        return False

    async def _stand_by(self) -> None:
        with self._seat:
            self._stands = True
            await self
        if self._rest is not None:
            await self._rest()

    def __await__(self) -> Generator[Any, Any, None]:
        """Wait for a coroutine, and be it: what it waits for the task waits for."""
        cancelled: BaseException | None = None
        try:
            yield from self._idle
        except asyncio.CancelledError as error:
            cancelled = error
        if self._error is not None:
            raise self._error
        begun, context, waits_for = self._begun, self._context, self._waits_for
        if begun is None or context is None:
            if cancelled is not None:
                raise cancelled
            return
        if waits_for is not None and cancelled is not None and waits_for.cancel():
            cancelled = None  # it hears of it by what it waits for
        step = None if cancelled is None else partial(begun.throw, cancelled)
        try:
            while True:
                if step is not None:
                    waits_for = context.run(step)
                try:
                    yield waits_for
                    step = partial(begun.send, None)
                except BaseException as error:  # noqa: BLE001  # it is the coroutine's
                    step = partial(begun.throw, error)
        except StopIteration:
            return
