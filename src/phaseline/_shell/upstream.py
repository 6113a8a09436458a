"""Which node of a plan is meant by who asks for the output of a phase."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from phaseline._definition.step import Chain, Node, Subgraph
from phaseline.errors import DefinitionError

if TYPE_CHECKING:
    from phaseline._definition.plan import Plan, PlanNode


def upstream(plan: Plan, here: PlanNode, phase: Node[Any, Any], *, who: str) -> PlanNode:
    """Find the one node upstream of ``here`` that was made of ``phase``, or of the last one in it; ``who`` asks.

    Raises:
        DefinitionError: There is none, or there are several.
    """
    _check_kind(phase, "")
    asks = f"{who!r} asks for the result of {_named(phase)!r}, which"
    node = _only(plan, phase, (None, *plan.scopes_of(here)), asks, within="ask for the map")
    todo, seen = [here.index, *plan.scopes_of(here)], set[int]()
    while todo:
        parents = plan.nodes[todo.pop()].parents
        if node.index in parents:
            return node
        todo.extend(parent for parent in parents if parent not in seen)
        seen.update(parents)
    raise DefinitionError(f"{asks} is not upstream of it in pipeline {plan.name!r}; put it before {who!r}")


def outside_of_maps(plan: Plan, phase: Node[Any, Any]) -> PlanNode:
    """Find the one node outside of maps that was made of ``phase``, or of the last one in it.

    Raises:
        DefinitionError: There is none, or there are several.
    """
    _check_kind(phase, ", or the path of one")
    asks = f"what is asked for is the result of {_named(phase)!r}, which"
    return _only(plan, phase, (None,), asks, within="name the item: '{}'")


def _check_kind(phase: object, otherwise: str) -> None:
    if not isinstance(phase, Node):
        raise DefinitionError(f"result_of({phase!r}): give a phase, chain or pipeline{otherwise}")


def _named(phase: Node[Any, Any]) -> str:
    return getattr(phase, "title", repr(phase))


def _only(
    plan: Plan, phase: Node[Any, Any], around: Collection[int | None], asks: str, *, within: str
) -> PlanNode:
    """Find the one node in one of the maps, or outside of all; ``within`` says what to ask for where it is in another one."""
    source, tail = _last_of(phase)
    everywhere = [
        node
        for node, binding in zip(plan.nodes, plan.bindings, strict=True)
        if binding.source is source and f"/{node.path.replace('[]', '')}".endswith(tail)
    ]
    found = [node for node in everywhere if node.scope in around]
    if not found and everywhere:
        advice = within.format(everywhere[0].path.replace("[]", "[0]"))
        raise DefinitionError(f"{asks} stands inside of a map in pipeline {plan.name!r}; {advice}")
    if not found:
        raise DefinitionError(f"{asks} does not stand in pipeline {plan.name!r}; ask for one that does")
    if len(found) > 1:
        raise DefinitionError(f"{asks} stands {len(found)} times in pipeline {plan.name!r}; name one of them")
    return found[0]


def _last_of(node: Node[Any, Any]) -> tuple[Node[Any, Any], str]:
    """Give the node whose output is that of a pipeline or chain, and how its path then ends."""
    tail = ""
    while isinstance(node, Chain | Subgraph):
        if isinstance(node, Chain):
            node = node.parts[-1]
        else:
            tail, node = f"{tail}/{node.name}", node.body
    name = node.title.removeprefix("each(").removesuffix(")")
    return node, f"{tail}/{name}" if tail else ""
