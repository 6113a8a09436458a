"""Runs whose time is over are ended."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from phaseline._engine.commands import Expire
from phaseline._shell.due_scan import DueScan, Found
from phaseline._shell.reconcile import reconcile
from phaseline.rows import Definition

if TYPE_CHECKING:
    from phaseline._shell.runner import Runner


def scan_overdue(runner: Runner) -> DueScan[str]:
    """Watch over the runs of which this process knows the definition."""

    def read(now: datetime | None, known: Collection[Definition], limit: int) -> Found[str]:
        found = runner.storage.overdue(runner.options.namespace, now, known, limit)
        return found.run_ids, found.next_due

    async def end(run_ids: Sequence[str]) -> None:
        for run_id in run_ids:
            await reconcile(runner, run_id, Expire())

    trouble = "runs whose time is over could not be ended, and are at the next sweep"
    scan = DueScan(runner, frozenset(runner.plans), read, end, trouble)
    runner.on_expiry = scan.look_at
    return scan
