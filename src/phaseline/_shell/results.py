"""What one phase of a run gave, for who asks from outside."""

from __future__ import annotations

from typing import Any

from phaseline._definition.plan import Items, Plan, PlanNode
from phaseline._definition.step import Node
from phaseline._shell.live import LiveRun
from phaseline._shell.upstream import outside_of_maps
from phaseline._shell.values import Values
from phaseline.errors import NoOutputError, NoResultError, UnknownPhaseError


async def result_of(values: Values, live: LiveRun, phase: Node[Any, Any] | str) -> object:
    """Give the output of a phase.

    Raises:
        DefinitionError: It does not stand in the pipeline once, outside of maps.
        UnknownPhaseError: There is no such path.
        NoResultError: It has none.
    """
    plan = live.snapshot.plan
    node, items = (
        _located(live.id, plan, phase) if isinstance(phase, str) else (outside_of_maps(plan, phase), ())
    )
    try:
        return await values.result_of(live, node, items)
    except NoOutputError as error:
        path = node.at(items)
        row = live.snapshot.rows.get(path)
        state, reason = ("", "") if row is None else (str(row.state), row.reason or "")
        raise NoResultError(live.id, path, state, reason) from error


def _located(run_id: str, plan: Plan, path: str) -> tuple[PlanNode, Items]:
    try:
        node, items = plan.locate(path)
        if (
            node.at(items) == path and "[]" not in path
        ):  # an item has one name, and a phase within a map none of its own
            return node, items
    except (KeyError, ValueError):  # digits may be more than a number has
        pass
    raise UnknownPhaseError(run_id, path, [node.path for node in plan.order])
