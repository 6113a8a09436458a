"""What operators do with dead letters: look at them, have their runs tried again, let go of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import attrs

from phaseline._shell.controlling import carry_out, command_of, each_of
from phaseline._shell.runner import Runner
from phaseline.control import Verb
from phaseline.dead_letter import DeadLetter, LetterFilter, LetterKey, LetterPage, letter_filter
from phaseline.errors import DefinitionError, PhaselineError
from phaseline.pipeline import Selected, names_of
from phaseline.query_arguments import check_asked, check_page, check_run_id
from phaseline.rows import ErrorCategory
from phaseline.run_filter import Commanded, Order

PAGE = 100
"""Letters of a page where the caller does not say, and runs that a command to many is given to at once."""
STRIDE = 500
"""Letters that are read at once by who walks through them."""
EPOCH, MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


@attrs.frozen
class DeadLetters:
    """The dead letters of a runtime's namespace: one for each run that FAILED and that nobody has seen to."""

    _runner: Runner

    def find(
        self,
        *,
        pipeline: Selected | Iterable[Selected] | None = None,
        category: ErrorCategory | str | Iterable[str] | None = None,
        phase: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        order: Order = "newest",
        limit: int | None = None,
        after: str | None = None,
    ) -> Letters:
        """Ask for the letters that fulfil all conditions given; nothing is read before the answer is used.

        Args:
            pipeline: Name of a pipeline, or the pipeline, or several; of whatever version.
            category: Category of the cause, or several.
            phase: Path of the phase that failed.
            since: Written at this moment or later; aware.
            until: Written before this moment; aware.
            order: ``"newest"`` or ``"oldest"`` first.
            limit: How many at most; without it a page has 100, and a walk or a command goes on to the end.
            after: Where to go on: ``page.next``.

        Raises:
            DefinitionError: An argument makes no sense.
        """
        check_page(order, limit, "letters")
        check_asked(after, "after")
        wanted = letter_filter(
            pipelines=names_of(pipeline), category=category, phase=phase, since=since, until=until
        )
        return Letters(self._runner, wanted, order, limit, None if after is None else _key_of(after))

    async def requeue(self, run_id: str, /, *, reason: str = "", actor: str = "") -> None:
        """Take a FAILED run up again where it failed: the twin of ``handle.retry()``. Its letter is removed with that.

        Raises:
            RunNotFoundError: There is no such run in this namespace.
            CommandRefusedError: It has not failed.
            PipelineNotRegisteredError: Its pipeline, in the shape it started under, was not registered here.
            StorageError: It is not known to be stored.
        """
        check_run_id(run_id, "dead_letters.requeue")
        await carry_out(self._runner, run_id, command_of(Verb.RETRY, reason, actor))

    async def discard(self, run_id: str, /, *, reason: str = "", actor: str = "") -> None:
        """Let go of a run's letter; the run stays FAILED, and can still be taken up again.

        Raises:
            CommandRefusedError: The run has not failed, or has no letter any more.
            RunNotFoundError, PipelineNotRegisteredError, StorageError: As ``requeue``.
        """
        check_run_id(run_id, "dead_letters.discard")
        await carry_out(self._runner, run_id, command_of(Verb.DISCARD, reason, actor))


@attrs.frozen
class Letters:
    """Letters that were asked for; nothing is read until it is used.

    ``async for letter in letters`` walks through them, ``await letters`` gives one page, ``await letters.requeue()`` and
    ``await letters.discard()`` command all their runs.
    """

    _runner: Runner
    _wanted: LetterFilter
    _order: Order
    _limit: int | None
    _after: LetterKey | None

    def __await__(self) -> Generator[Any, Any, LetterPage]:
        """Give one page."""
        return self._first_page().__await__()

    async def _first_page(self) -> LetterPage:
        size = PAGE if self._limit is None else self._limit
        found = await self._read(self._wanted, self._after, size + 1)
        page = tuple(found[:size])
        return LetterPage(page, cursor_of(page[-1].key) if len(found) > size else None)

    async def __aiter__(self) -> AsyncIterator[DeadLetter]:
        """Give all of them, or as many as the limit says."""
        async with aclosing(self._pages(STRIDE, self._wanted)) as pages:
            async for page in pages:
                for letter in page:
                    yield letter

    async def requeue(self, *, reason: str = "", actor: str = "") -> Commanded:
        """Take all their runs up again, each where it failed; what fails again meanwhile is left for the next time.

        Runs are made to wait for workers, in commits of their own: if this is interrupted, call it again.

        Raises:
            StorageError: The storage could not be read or written; what was done before stays so.
        """
        return await self._command(Verb.RETRY, reason, actor)

    async def discard(self, *, reason: str = "", actor: str = "") -> Commanded:
        """Let go of all of them, as ``requeue`` does its work.

        Raises:
            StorageError: As ``requeue``.
        """
        return await self._command(Verb.DISCARD, reason, actor)

    async def _command(self, verb: Verb, reason: str, actor: str) -> Commanded:
        command = command_of(verb, reason, actor)
        # What comes back while this goes on is not met again: it is written later.
        wanted, until = self._wanted, self._runner.clock.now() + MICROSECOND
        until = until if wanted.until is None else min(until, wanted.until)
        done: list[str] = []
        refused: dict[str, PhaselineError] = {}
        obey = partial(carry_out, self._runner, command=command)
        async with aclosing(self._pages(PAGE, attrs.evolve(wanted, until=until))) as pages:
            async for page in pages:
                ids = [letter.run_id for letter in page]
                refused |= await each_of(ids, obey)
                done += [run_id for run_id in ids if run_id not in refused]
        return Commanded(tuple(done), refused)

    async def _pages(self, size: int, wanted: LetterFilter) -> AsyncGenerator[list[DeadLetter]]:
        after, left = self._after, self._limit
        while left is None or left > 0:
            limit = size if left is None else min(left, size)
            page = await self._read(wanted, after, limit)
            if page:
                yield page
            if len(page) < limit:
                return
            after, left = page[-1].key, None if left is None else left - len(page)

    async def _read(self, wanted: LetterFilter, after: LetterKey | None, limit: int) -> list[DeadLetter]:
        runner = self._runner
        read = partial(
            runner.storage.letters, runner.options.namespace, wanted,
            after=after, limit=limit, newest_first=self._order == "newest",
        )  # fmt: skip
        return list(await runner.read(read))


def cursor_of(key: LetterKey) -> str:
    """Give a place in the order of all letters as ``page.next`` does."""
    return f"{(key[0] - EPOCH) // MICROSECOND}.{key[1]}"


def _key_of(cursor: str) -> LetterKey:
    micros, _, run_id = cursor.partition(".")
    try:
        return EPOCH + int(micros) * MICROSECOND, run_id
    except (ValueError, OverflowError) as error:
        msg = f"after={cursor!r} is no place to go on at; give page.next"
        raise DefinitionError(msg) from error
