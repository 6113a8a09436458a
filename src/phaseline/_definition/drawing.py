"""A plan for people and for other programs: as a Mermaid flowchart, and as plain data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from phaseline._definition.derive import shape_of
from phaseline._definition.edges import Source, edges_of, takes_given
from phaseline._definition.plan import NodeKind, Plan, PlanNode
from phaseline.limits import parted

_FRAMES = {
    NodeKind.PHASE: ('["', '"]'),
    NodeKind.MAP: ('[["', '"]]'),
    NodeKind.TEST: ('{"', '"}'),
    NodeKind.WAIT: ('{{"', '"}}'),
    NodeKind.CHILD: ('[/"', '"/]'),
}


def to_mermaid(plan: Plan) -> str:
    """The graph as the text of a Mermaid flowchart.

    Tests are diamonds, waits hexagons, child runs slanted, a map is a box around what an item goes through.
    """
    lines = ['input(["input"])', *_nodes_in(plan, None), 'output(["output"])']
    for node in plan.nodes:
        lines += _edges_to(node.source, f"n{node.index}", _begin_of(node), join=_join_of(node))
        lines += [f"n{parent} -. after .-> n{node.index}" for parent in node.after]
    lines += _edges_to(plan.output, "output", "input", join="")
    return "\n    ".join(["flowchart TD", *lines]) + "\n"


def _nodes_in(plan: Plan, scope: int | None) -> Iterator[str]:
    for node in plan.members.get(scope, ()):
        left, right = _FRAMES[node.kind]
        yield f"n{node.index}{left}{_name(node)}{right}"
        if node.kind is NodeKind.MAP:
            yield f'subgraph m{node.index} ["each item of {_name(node)}"]'
            yield from (f"    {line}" for line in _nodes_in(plan, node.index))
            yield "end"


def _name(node: PlanNode) -> str:
    return node.path.replace("[]", "#91;#93;")


def _begin_of(node: PlanNode) -> str:
    """What stands for the value that a whole is given."""
    return "input" if node.scope is None else f"n{node.scope}"


def _join_of(node: PlanNode) -> str:
    return "first" if node.is_race else ""


def _edges_to(source: Source, target: str, begin: str, *, join: str) -> Iterator[str]:
    if takes_given(source):
        yield f"{begin} {_arrow('')} {target}"
    for edge in dict.fromkeys(edges_of(source)):
        label = join if edge.side is None else "yes" if edge.side else "no"
        yield f"n{edge.node} {_arrow(label)} {target}"


def _arrow(label: str) -> str:
    return f"-- {label} -->" if label else "-->"


def to_dict(plan: Plan) -> dict[str, Any]:
    """The plan as JSON data.

    ``source`` tells where the value of a node comes from: ``$input`` is what the whole is given, a text is the output
    at that path, ``{"test", "holds"}`` the value that a test took, ``{"all": [...]}`` a tuple, ``{"one": [...]}`` the
    way that was gone and ``{"first": [...]}`` the first value that comes.
    """
    return {
        "name": plan.name,
        "version": plan.version,
        "fingerprint": plan.fingerprint,
        "nodes": [_node_data(plan, node) for node in plan.nodes],
        "output": shape_of(plan.nodes, plan.output),
        "states": {state: sorted(plan.transitions.allowed(state)) for state in plan.transitions.states},
    }


def _node_data(plan: Plan, node: PlanNode) -> dict[str, Any]:
    def path_of(index: int) -> str:
        return plan.nodes[index].path

    binding = plan.bindings[node.index]
    data: dict[str, Any] = {
        "path": node.path,
        "kind": str(node.kind),
        "label": node.label or None,
        "queue": node.queue,
        "source": shape_of(plan.nodes, node.source),
        "after": [path_of(index) for index in node.after],
        "map": None if node.scope is None else path_of(node.scope),
        "attempts": None if binding.retry is None else binding.retry.most,
        "timeout": None if binding.timeout is None else binding.timeout.total_seconds(),
        "heartbeat": None if binding.heartbeat is None else binding.heartbeat.total_seconds(),
    }
    match node.kind:
        case NodeKind.PHASE | NodeKind.UNDO:  # the latter stands in no graph
            data["compensates"] = binding.undo is not None
            data |= _limits_of(node)
            data["may_finish"] = node.may_finish
            data["cancels"] = sorted({path_of(index) for rest in node.cancels for index in rest})
        case NodeKind.MAP:
            assert node.exit is not None  # noqa: S101  # maps have one
            data |= {"limit": node.limit, "on_error": node.on_error, "exit": shape_of(plan.nodes, node.exit)}
        case NodeKind.TEST:
            unless_held, if_held = node.arms
            data |= {
                "skips_unless_held": list(map(path_of, unless_held)),
                "skips_if_held": list(map(path_of, if_held)),
            }
        case NodeKind.WAIT:
            awaits = node.awaits
            assert awaits is not None  # noqa: S101  # waits have it
            data |= {
                "signal": awaits.signal,
                "key": awaits.key,
                "span": None if awaits.span is None else awaits.span.total_seconds(),
                "has_default": awaits.default is not None,
            }
        case NodeKind.CHILD:
            child = binding.child
            assert child is not None  # noqa: S101  # such nodes have it
            data |= {"starts": child.name, "version": child.version, "close": node.close}
    return data


def _limits_of(node: PlanNode) -> dict[str, Any]:
    """The limits that were written at a phase."""
    limits = () if node.limits is None else parted(node.limits)
    return {
        "concurrency": next((limit.size for limit in limits if limit.per is None), None),
        "rate": next(
            ({"starts": limit.size, "per": limit.per.total_seconds()} for limit in limits if limit.per), None
        ),
    }
