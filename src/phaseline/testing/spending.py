"""What stored runs say of what they used."""

from __future__ import annotations

from collections.abc import Iterator

from phaseline.events import UsageRecorded
from phaseline.rows import PhaseState
from phaseline.statistics import without_indices
from phaseline.testing.stored import StoredRun
from phaseline.usage import NO_SPENDING, NOTHING_USED, Usage


def of_run(account: StoredRun) -> Iterator[str]:
    """Say where a run's row and its events disagree, and where something is reserved for an attempt that ended by itself."""
    told: dict[str, Usage] = {}
    for event in account.events:
        if isinstance(event, UsageRecorded):
            path = without_indices(event.phase or "")
            told[path] = told.get(path, NOTHING_USED) + event.usage
    spending = account.run.spending or NO_SPENDING
    if told != dict(spending.phases):
        yield f"its events tell that {told} was used, and its row says {dict(spending.phases)}"
    for kept in spending.reserved:
        row = account.rows.get(kept.path)
        if row is not None and row.fence == kept.fence and row.state is PhaseState.COMPLETED:
            yield f"{kept.path!r} is {row.state}, and for {kept.key!r} of it {kept.usage} is still reserved"
