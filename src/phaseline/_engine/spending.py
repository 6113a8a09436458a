"""What bodies use and are about to use, and what the budget of a run allows."""

from __future__ import annotations

from collections.abc import Sequence

from phaseline._engine.commands import Reserve
from phaseline._engine.draft import Draft
from phaseline._engine.verdicts import OverBudget
from phaseline.events import UsageRecorded
from phaseline.rows import PhaseRecord
from phaseline.usage import NO_SPENDING, NOTHING_USED, Reservation, Spending, Spent


def spend(draft: Draft, row: PhaseRecord, spent: Sequence[Spent]) -> None:
    """A body used something; it is no longer reserved."""
    path = draft.plan.locate(row.path)[0].path.replace(
        "[]", ""
    )  # as people name it, whose items stand in a map
    for each in spent:
        usage = each.usage
        spending = draft.spending or NO_SPENDING
        phases = {**spending.phases, path: spending.phases.get(path, NOTHING_USED) + usage}
        draft.spending = Spending(phases, _without(spending, row, each.key))
        draft.events.append(
            UsageRecorded(
                **draft.head(), phase=row.path, key=each.key, requests=usage.requests,
                input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, cost=usage.cost,
            )
        )  # fmt: skip


def reserve(draft: Draft, row: PhaseRecord, order: Reserve) -> None:
    """A body may use so much.

    Raises:
        OverBudget: The budget of the run does not allow it.
    """
    budget = draft.plan.budget
    if budget is None:
        return
    spending = draft.spending or NO_SPENDING
    others = Spending(spending.phases, _without(spending, row, order.key))
    passed = budget.passed_by(others.claimed + order.at_most)
    if passed:
        raise OverBudget(draft.state, passed)
    asked = Reservation(row.path, row.fence, order.key, order.at_most)
    draft.spending = Spending(others.phases, (*others.reserved, asked))


def settle(draft: Draft, row: PhaseRecord, spent: Sequence[Spent]) -> None:
    """An attempt ended by itself: nothing is reserved for it any more. For one that was cut off it stays, by ``spend`` alone."""
    if spent:
        spend(draft, row, spent)
    spending = draft.spending
    if spending is not None and spending.reserved:
        reserved = _without(spending, row)
        draft.spending = Spending(spending.phases, reserved) if spending.phases or reserved else None


def _without(spending: Spending, row: PhaseRecord, key: str | None = None) -> tuple[Reservation, ...]:
    """What is reserved, but for an attempt, or but for one name in it."""
    return tuple(
        kept
        for kept in spending.reserved
        if (kept.path, kept.fence) != (row.path, row.fence) or key not in (None, kept.key)
    )
