"""What runs tell each other is carried to whom it is for, whichever process wrote it, and whoever has died since."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio

from phaseline._engine.commands import ChildEnded
from phaseline._shell.background import survived
from phaseline._shell.children import cancel_for, ended
from phaseline._shell.controlling import carry_out, commit_to
from phaseline._shell.paging import page_by_page
from phaseline.errors import (
    CommandRefusedError,
    PipelineNotRegisteredError,
    RunNotFoundError,
    StorageUnavailableError,
)
from phaseline.event_loop import new_event
from phaseline.rows import ENDED_STATES
from phaseline.unit_of_work import Message, MessageKind

if TYPE_CHECKING:
    from phaseline._shell.live import LiveRun
    from phaseline._shell.runner import Runner

log: Final = logging.getLogger("phaseline.outbox")

PAGE = 64
"""Messages that are looked up at once, and delivered side by side: so what is told to one run is committed at once."""


class Outbox:
    """Looks for messages: when a commit here has left some, and with each sweep.

    A message is deleted after what it says was done: it may be delivered twice, and then does nothing the second time.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._wake = new_event()
        self._left: set[Message] = set()
        """What could not be told yet, and the log says so."""
        runner.on_message = self.look

    def serve(self) -> None:
        """Begin to look, if there can be any."""
        runner = self._runner
        if runner.storage.shared or any(plan.starts for plan in runner.plans.values()):
            runner.spawn(self._look_for_ever)
            self.look()

    def look(self) -> None:
        """Look soon; on the event loop."""
        self._wake.set()

    async def _look_for_ever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = new_event()
            with survived(
                log,
                "what runs have told each other could not be delivered, and is later",
                self._runner.note_miss,
            ):
                await self._deliver_all()

    async def _deliver_all(self) -> None:
        runner = self._runner
        namespace, known = runner.options.namespace, frozenset(runner.plans)

        async def read(limit: int) -> Sequence[Message]:
            return await runner.read(partial(runner.storage.messages, namespace, known, limit))

        async def deliver(messages: Sequence[Message]) -> None:
            heard = await self._deliver(messages)
            if heard:
                await runner.write(partial(runner.storage.heard, namespace, heard))

        met = await page_by_page(read, deliver, PAGE)
        self._left &= met

    async def _deliver(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Deliver some side by side; gives those that were."""
        heard: list[Message] = []

        async def one(message: Message) -> None:
            if await self._is_heard(message):
                heard.append(message)

        async def to_one_run(told: Sequence[Message]) -> None:
            await one(told[0])  # from then on the run is known here, and need not be read for each
            async with anyio.create_task_group() as others:
                for message in told[1:]:
                    others.start_soon(one, message)

        by_run: dict[str, list[Message]] = {}
        for message in messages:
            by_run.setdefault(message.run_id, []).append(message)
        async with anyio.create_task_group() as tasks:
            for told in by_run.values():
                tasks.start_soon(to_one_run, told)
        return heard

    async def _is_heard(self, message: Message) -> bool:
        """Have done what a message says, and say whether it was."""
        try:
            if message.kind is MessageKind.CLOSED:
                await self._cancel(message)
            else:
                await self._end_wait(message)
        except (RunNotFoundError, CommandRefusedError):
            return True  # it was purged, or has ended by itself
        except (PipelineNotRegisteredError, StorageUnavailableError) as error:
            if message not in self._left:
                log.warning(
                    "what run %s told run %s is told later: %s",
                    message.sender,
                    message.run_id,
                    error,
                    extra={"run_id": message.run_id},
                )
            self._left.add(message)
            return False
        except Exception:
            log.exception(
                "what run %s told run %s is delivered later",
                message.sender,
                message.run_id,
                extra={"run_id": message.run_id},
            )
            return False
        return True

    async def _cancel(self, message: Message) -> None:
        """Cancel a run that its parent does not wait for any more."""
        await carry_out(self._runner, message.run_id, cancel_for(message.sender))

    async def _end_wait(self, message: Message) -> None:
        """Have the phase go on that waits for the run that tells of its end."""
        child = await self._runner.record_of(message.sender)
        if child.state not in ENDED_STATES:
            return  # it goes on again, and its next end will be told

        async def told(parent: LiveRun) -> ChildEnded:
            return await ended(self._runner, parent, child)

        await commit_to(self._runner, message.run_id, told)
