"""A service beside those of a host: what it does ends with it, also where it could not be opened."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import anyio

from phaseline._shell.service import Service
from phaseline.errors import RuntimeNotOpenError

log: Final = logging.getLogger("phaseline.runtime")


class ViewService:
    """Keeps a service open in a task of its own, so that whoever asked for it first need not stay."""

    def __init__(self, service: Service, *, opened: Callable[[], None], ended: Callable[[], None]) -> None:
        """Make one, on the event loop.

        Args:
            service: Which is not open yet, and not the one that owns the queue.
            opened: Called once it is open.
            ended: Called when it is so no more, or could not be.
        """
        self.service = service
        self._opened, self._ended = opened, ended
        self._is_open = False
        self._looked, self._told_to_end, self._is_over = anyio.Event(), anyio.Event(), anyio.Event()
        self._opening = anyio.CancelScope()
        self._failure: Exception | None = None

    async def until_open(self) -> None:
        """Wait until it is open.

        Raises:
            RuntimeNotOpenError: It was told to end meanwhile.
            Exception: What kept it from being opened.
        """
        await self._looked.wait()
        if self._failure is not None:
            raise self._failure
        if not self._is_open:
            raise RuntimeNotOpenError

    async def keep(self) -> None:
        """Open the service, and keep it open until it is told to end."""
        try:
            async with anyio.create_task_group() as tasks:
                try:
                    with self._opening:
                        await self.service.open(tasks)
                        self._is_open = True
                    if self._is_open:
                        self._opened()
                        self._looked.set()
                        await self._told_to_end.wait()
                except Exception as error:  # noqa: BLE001  # raised where it was asked for
                    self._failure = error
                finally:
                    with anyio.CancelScope(shield=True):
                        await self._close_service()
                    tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                self.service.runner.close()
                await self.service.runner.threads_ended()
            self._looked.set()
            self._is_over.set()

    async def _close_service(self) -> None:
        self._ended()
        try:
            await self.service.close()
        except Exception as error:
            log.exception("namespace %r could not be closed in order", self.service.runner.options.namespace)
            self._failure = self._failure or error
        finally:
            self._is_open = False

    async def close(self) -> None:
        """Have it end, also amid its opening, and wait until it has.

        Raises:
            Exception: What kept it from being closed in order.
        """
        was_open = self._is_open
        if not was_open:
            self._opening.cancel()
        self._told_to_end.set()
        await self._is_over.wait()
        if was_open and self._failure is not None:
            raise self._failure
