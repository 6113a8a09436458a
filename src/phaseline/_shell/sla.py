"""What is not over when its service level says that it should be is told of."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from phaseline._engine.commands import TellLate
from phaseline._shell.due_scan import DueScan, Found
from phaseline._shell.reconcile import reconcile
from phaseline.abc import LateLevel
from phaseline.rows import Definition

if TYPE_CHECKING:
    from phaseline._shell.runner import Runner


def scan_late(runner: Runner) -> DueScan[LateLevel]:
    """Watch over the runs of those pipelines that have a service level, or phases that have."""

    def read(now: datetime | None, known: Collection[Definition], limit: int) -> Found[LateLevel]:
        found = runner.storage.late(runner.options.namespace, now, known, limit)
        return found.levels, found.next_due

    async def tell(levels: Sequence[LateLevel]) -> None:
        by_run: dict[str, list[str | None]] = {}
        for level in levels:
            by_run.setdefault(level.run_id, []).append(level.path)
        for run_id, paths in by_run.items():
            await reconcile(runner, run_id, TellLate(tuple(paths)))

    known = frozenset(definition for definition, plan in runner.plans.items() if plan.has_levels)
    trouble = "it could not be told what is late, and is at the next sweep"
    scan = DueScan(runner, known, read, tell, trouble)
    if known:
        runner.on_level = scan.look_at
    return scan
