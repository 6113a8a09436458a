"""Runs whose time is over are ended."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from phaseline._engine.commands import Expire
from phaseline._shell.tending import tend
from phaseline._shell.watch import Found, Watch
from phaseline.rows import Definition

if TYPE_CHECKING:
    from phaseline._shell.runner import Runner


def watch_overdue(runner: Runner) -> Watch[str]:
    """Watch over the runs of which this process knows the definition."""

    def read(now: datetime | None, known: Collection[Definition], limit: int) -> Found[str]:
        found = runner.storage.overdue(runner.options.namespace, now, known, limit)
        return found.run_ids, found.next_due

    async def end(run_ids: Sequence[str]) -> None:
        for run_id in run_ids:
            await tend(runner, run_id, Expire())

    trouble = "runs whose time is over could not be ended, and are at the next sweep"
    watch = Watch(runner, frozenset(runner.plans), read, end, trouble)
    runner.on_expiry = watch.look_at
    return watch
