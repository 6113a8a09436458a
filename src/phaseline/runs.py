"""Runs that fulfil conditions: to be walked through, looked at page by page, or counted."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

import attrs

from phaseline._shell.controlling import carry_out, command_of, each_of
from phaseline._shell.ids import first_id
from phaseline._shell.runner import Runner
from phaseline.control import Verb
from phaseline.errors import DefinitionError, PhaselineError
from phaseline.query_arguments import check_run_id
from phaseline.rows import ENDED_STATES, Definition, RunRecord, RunState
from phaseline.run_filter import Commanded, Order, Orphans, RunFilter, RunPage, RunSummary
from phaseline.statistics import GROUPINGS, Grouping, Statistics
from phaseline.usage import Usage

PAGE = 100
"""Runs of a page where the caller does not say."""
AT_ONCE = 64
"""Runs that are commanded side by side."""
STRIDE = 500
"""Runs that are read at once by who walks through them."""


def _by_id(wanted: RunFilter) -> RunFilter:
    """Say by ids when runs were created: so the others need not be looked at."""
    return attrs.evolve(
        wanted,
        from_id=None if wanted.since is None else first_id(wanted.since),
        to_id=None if wanted.until is None else first_id(wanted.until),
    )


@attrs.frozen
class Runs:
    """Runs that were asked for; nothing is read until it is used.

    ``async for run in runs`` walks through them, page after page behind the scenes: a run that is created, or changes
    its state, meanwhile is met or not, and none is met twice. ``await runs`` gives one page. ``await runs.count()``
    counts, ``await runs.usage()`` adds up what they used, ``await runs.statistics()`` tells how they went.
    """

    _runner: Runner
    _wanted: RunFilter = attrs.field(converter=_by_id)
    _order: Order
    _limit: int | None
    _after: str | None

    def __await__(self) -> Generator[Any, Any, RunPage]:
        """Give one page."""
        return self._page(self._after, PAGE if self._limit is None else self._limit).__await__()

    def __aiter__(self) -> AsyncIterator[RunSummary]:
        """Give all of them, or as many as the limit says."""
        return self._each()

    async def _each(self) -> AsyncGenerator[RunSummary]:
        after, left = self._after, self._limit
        while left is None or left > 0:
            page = await self._page(after, STRIDE if left is None else min(left, STRIDE))
            for run in page.runs:
                yield run
            if page.next is None:
                return
            after, left = page.next, None if left is None else left - len(page.runs)

    async def count(self) -> Mapping[str, int]:
        """Count them by state; whatever limit, order and place to begin at were given.

        Raises:
            StorageError: They cannot be read.
        """
        runner = self._runner
        count = partial(runner.storage.count, runner.options.namespace, self._wanted)
        found = await runner.read(count)
        return {str(state): found[state] for state in sorted(found)}  # plain texts, whatever a storage keeps

    async def usage(self) -> Usage:
        """Add up what was used in them; whatever limit, order and place to begin at were given.

        Raises:
            StorageError: They cannot be read.
        """
        runner = self._runner
        usage: Usage = await runner.read(
            partial(runner.storage.usage, runner.options.namespace, self._wanted)
        )
        return usage

    async def statistics(self, by: Grouping = "pipeline") -> Sequence[Statistics]:
        """How they went, or their phases, in numbers; whatever limit, order and place to begin at were given.

        Args:
            by: What is told apart: ``"pipeline"``, ``"phase"``, or the ``"day"`` in UTC on which runs were created.

        Returns:
            One for each group, in the order of their names.

        Raises:
            DefinitionError: It is none of these.
            StorageError: They cannot be read.
        """
        if by not in GROUPINGS:
            raise DefinitionError(f"by={by!r}: runs are told apart by {', '.join(map(repr, GROUPINGS))}")
        runner = self._runner
        read = partial(runner.storage.statistics, runner.options.namespace, self._wanted, by)
        found: Sequence[Statistics] = await runner.read(read)
        return found

    async def control(
        self,
        verb: Verb | str,
        /,
        *,
        reason: str = "",
        actor: str = "",
        phase: str | None = None,
        to: str | None = None,
        note: str | None = None,
    ) -> Commanded:
        """Command all of them, or as many as the limit says, each by itself; gives what came of it for each.

        They are read page by page, by ids: however many there are, and whatever states they come to meanwhile, none is
        commanded twice. Interrupted, or called again, it commands those that still fulfil the conditions.

        Args:
            verb: As with ``Runtime.control``, with what follows.
            reason: Why, for each run's history.
            actor: Who commands it, for each run's history.
            phase: What ``rerun_from`` begins with.
            to: Where ``rollback`` goes.
            note: What ``annotate`` writes.

        Raises:
            DefinitionError: There is no such verb, it is ``fork``, or what it needs is missing; nobody was commanded.
            EncodeError: A text cannot be stored, or a note is empty or too long; nobody was commanded.
            StorageError: They cannot be read, or it is not known of a run whether it obeyed; those before it did, or not.
        """
        if verb == Verb.FORK:
            msg = "copies fulfil the conditions that their runs do, and would be copied in turn; use handle.fork() for each"
            raise DefinitionError(msg)
        command = command_of(verb, reason, actor, phase=phase, to=to, note=note)
        answers: dict[str, PhaselineError | None] = {}
        waiting: list[str] = []
        obey = partial(carry_out, self._runner, command=command)
        async with aclosing(self._each()) as each:
            async for run in each:
                waiting.append(run.id)
                answers[run.id] = None
                if len(waiting) == AT_ONCE:
                    answers.update(await each_of(waiting, obey))
                    waiting.clear()
        answers.update(await each_of(waiting, obey))
        refused = {run_id: error for run_id, error in answers.items() if error is not None}
        return Commanded(tuple(run_id for run_id in answers if run_id not in refused), refused)

    async def _page(self, after: str | None, size: int) -> RunPage:
        runner = self._runner
        find = partial(
            runner.storage.find, runner.options.namespace, self._wanted,
            after=after, limit=size + 1, newest_first=self._order == "newest",
        )  # fmt: skip
        found: Sequence[RunRecord] = await runner.read(find)
        page = tuple(summary_of(runner, run) for run in found[:size])
        return RunPage(page, page[-1].id if len(found) > size else None)


async def orphans_of(runner: Runner) -> list[Orphans]:
    """Give the runs that are not over and whose definition is not known here, by definition; the oldest first."""
    found: dict[Definition, list[str]] = {}
    after: str | None = None
    while True:
        read = partial(
            runner.storage.find, runner.options.namespace, RunFilter(ended=False), after=after, limit=STRIDE
        )
        page: Sequence[RunRecord] = await runner.read(read)
        for run in page:
            if run.definition not in runner.plans:
                found.setdefault(run.definition, []).append(run.id)
        if len(page) < STRIDE:
            break
        after = page[-1].id
    known = {(plan.name, plan.version) for plan in runner.plans.values()}
    return [
        Orphans(
            pipeline=of.pipeline, version=of.version, fingerprint=of.fingerprint, count=len(ids), first=ids[0],
            is_changed=(of.pipeline, of.version) in known,
        )
        for of, ids in found.items()
    ]  # fmt: skip


async def summary_by_id(runner: Runner, run_id: str) -> RunSummary:
    """Give what lists show of one run, by its id.

    Raises:
        RunNotFoundError: There is no such run in this namespace.
        StorageError: It cannot be read.
    """
    check_run_id(run_id, "a run")
    return summary_of(runner, await runner.record_of(run_id))


def summary_of(runner: Runner, run: RunRecord) -> RunSummary:
    """Give what lists show of a run."""
    return RunSummary(
        id=run.id, pipeline=run.pipeline, version=run.version, state=run.state, phase=_phase_of(runner, run),
        key=run.key, priority=run.priority, tags=run.tags, attributes=run.attributes, parent_id=run.parent_id,
        forked_from=run.forked_from, error=run.error,
        created_at=run.created_at, updated_at=run.updated_at, started_at=run.started_at, ended_at=run.ended_at,
    )  # fmt: skip


def _phase_of(runner: Runner, run: RunRecord) -> str | None:
    """The phase that a run is at, told by the label that is its state, or failed in."""
    if run.state in ENDED_STATES:
        return run.error.phase if run.error is not None and run.state == RunState.FAILED else None
    plan = runner.plans.get(run.definition)
    if plan is None:
        return None
    return next((node.path for node in plan.order if node.label == run.state), None)
