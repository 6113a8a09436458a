"""What the checker knows of rates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from phaseline.events import PhaseStarted
from phaseline.limits import Limit, rates_in
from phaseline.testing.stored import StoredRun


def of_all(stored: Mapping[str, StoredRun]) -> Iterator[str]:
    """In no span of time more phases were started than the rate lets that they are under; each counts as its row has it."""
    starts: dict[Limit, list[tuple[datetime, str]]] = {}
    for account in stored.values():
        for event in account.events:
            row = account.rows.get(event.phase or "") if isinstance(event, PhaseStarted) else None
            for rate in rates_in(row.limits) if row is not None and row.limits else ():
                starts.setdefault(rate, []).append((event.at, account.run.id))
    for rate, found in starts.items():
        found.sort()
        for (first, _), (last, run_id) in zip(found, found[rate.size :], strict=False):
            if rate.per is not None and last - first < rate.per:
                yield (
                    f"run {run_id}: a phase was started at {last}, the {rate.size + 1}th since {first}, and {rate.name!r} lets "
                    f"{rate.size} be started in {rate.per}"
                )
