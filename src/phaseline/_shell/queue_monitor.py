"""Looks now and then at everything that waits: for whom permits were lost, and what this worker has to leave alone."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from phaseline._shell.background import survived
from phaseline._shell.runner import Runner
from phaseline.abc import Backlog
from phaseline.errors import StorageUnavailableError
from phaseline.rows import Definition
from phaseline.run_filter import RunFilter

log: Final = logging.getLogger("phaseline.worker")

INTERVAL = timedelta(seconds=5)
"""Between two looks."""
MOST_COMPARED = 200
"""Open runs, the oldest, that are compared with what is registered."""
LOST = timedelta(seconds=1)
"""A phase that has been due for so long has had its permit, or lost it."""


class QueueMonitor:
    """What a worker sees of the queues beyond its own claims."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._next: datetime | None = None
        self._told: set[Definition] = set()
        """Definitions of which it was said that they are unknown here."""
        self._has_compared = False
        """Whether open runs were compared with what is registered here."""

    async def look(self) -> None:
        """Look, unless that was a moment ago."""
        runner = self._runner
        now = runner.clock.now()
        if self._next is not None and now < self._next <= now + INTERVAL:  # else the clock was set back
            return
        self._next = now + INTERVAL
        found = await runner.read(
            partial(runner.storage.backlog, runner.options.namespace, runner.clock.sql_now())
        )
        self._tell_of_unknown(found)
        if not self._has_compared:
            self._has_compared = True
            with survived(log, "open runs could not be compared with what is registered here"):
                try:
                    await self._compare()
                except StorageUnavailableError:
                    self._has_compared = False
                    raise
        if runner.queue.crosses_processes:
            self._republish([each for each in found if now - each.since > LOST])

    async def _compare(self) -> None:
        """Say of which open runs the pipeline is registered in another shape: else nobody would hear of one that waits for somebody."""
        runner = self._runner
        versions: dict[tuple[str, str], Definition] = {(d.pipeline, d.version): d for d in runner.plans}
        wanted = RunFilter(ended=False, pipelines=frozenset(name for name, _ in versions))
        oldest = partial(runner.storage.find, runner.options.namespace, wanted, limit=MOST_COMPARED)
        for run in await runner.read(oldest):
            definition = run.definition
            if (
                definition in runner.plans
                or definition in self._told
                or (run.pipeline, run.version) not in versions
            ):
                continue
            self._told.add(definition)
            log.warning(
                "pipeline %r version %r is registered in another shape (%.12s) than the one that run %s began under (%.12s), which is "
                "left alone with all like it: register that one too, and give the new one another version=; runtime.orphans() counts "
                "them. This is said once",
                run.pipeline, run.version, versions[run.pipeline, run.version].fingerprint, run.id, run.fingerprint,
                extra={"run_id": run.id},
            )  # fmt: skip

    def _tell_of_unknown(self, found: Sequence[Backlog]) -> None:
        for each in found:
            definition = each.definition
            if definition not in self._runner.plans and definition not in self._told:
                self._told.add(definition)
                log.warning(
                    "runs of pipeline %r version %r wait on queue %r, and this worker does not know that definition (shape "
                    "%.12s): it leaves them to workers that do. Register it: Runtime(pipelines=[...]). This is said once",
                    definition.pipeline, definition.version, each.queue, definition.fingerprint,
                )  # fmt: skip

    def _republish(self, waiting: Sequence[Backlog]) -> None:
        """Send a permit for each queue on which something waits that is not for us: a broker may have lost the first."""
        runner = self._runner
        has_room = runner.seats > 0 and runner.free_threads > 0
        for queue in sorted(
            {
                each.queue
                for each in waiting
                if not (has_room and each.definition in runner.plans and each.queue in runner.served)
            }
        ):
            runner.queue.put(queue)
