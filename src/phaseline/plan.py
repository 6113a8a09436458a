"""A pipeline compiled to an immutable graph: order, paths, derived state machine, fingerprint.

The engine reads the shape (``PlanNode``); the shell also reads what belongs to a node's body (``Binding``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from types import GenericAlias
from typing import Any, get_origin

import attrs

from phaseline.codec import ValueCodec
from phaseline.compose import Each, OnError
from phaseline.errors import DefinitionError, DuplicatePhaseError
from phaseline.events import Transition
from phaseline.machine import Transitions
from phaseline.phase import DEFAULT_QUEUE, Dep, Phase
from phaseline.retry import NO_RETRY, Retry
from phaseline.run import INPUT, Definition, RunState
from phaseline.signature import element_type
from phaseline.step import Chain, Node, Subgraph


class NodeKind(StrEnum):
    """What the engine does with a node."""

    PHASE = "phase"
    MAP = "map"


@attrs.frozen
class PlanNode:
    """One node of the graph, as the engine sees it."""

    index: int
    """Position in ``Plan.nodes``; within one scope this is topological order."""
    path: str
    """``outer/enrich``; what stands inside a map has ``[]`` where an item has its index: ``enrich[]``."""
    kind: NodeKind
    label: str
    queue: str
    parents: tuple[int, ...]
    """Nodes of the same scope whose outputs it takes; none: it takes the input of the scope."""
    scope: int | None = None
    """The map it stands in."""
    limit: int | None = None
    on_error: OnError = "fail"
    children: tuple[int, ...] = ()
    entries: tuple[int, ...] = ()
    """Of a map: the nodes that begin an item."""
    exit: int | None = None
    """Of a map: the node whose output is the item's."""

    def at(self, item: int | None) -> str:
        """The path of this node for one item."""
        return self.path if item is None else self.path.replace("[]", f"[{item}]")


@attrs.frozen(slots=False)
class Call:
    """How a phase's body is called."""

    body: Callable[..., Any]
    context: str | None
    """The parameter that takes the context."""
    is_async: bool
    input_type: Any


@attrs.frozen(eq=False, slots=False)
class Binding:
    """What belongs to the body of a node."""

    source: Node[Any, Any]
    """What the user wrote: the phase, or the ``each(...)`` of a map."""
    phase: Phase[Any, Any] | None
    retry: Retry
    timeout: timedelta | None
    output_type: Any
    what: str
    takes: str | None = None
    """Path of the one value it takes, if no other node takes that."""
    hands_on: bool = False
    """Whether its output is wanted by a node that takes it whole, or is the run's."""
    is_counted: bool = False
    """Whether a map takes its output apart."""

    @property
    def is_transactional(self) -> bool:
        """Whether its body writes in the transaction that commits it."""
        return self.phase is not None and self.phase.options.transactional

    @cached_property
    def call(self) -> Call:
        """How its body is called."""
        assert self.phase is not None  # noqa: S101  # only phases are invoked
        signature = self.phase.signature
        return Call(self.phase.body, signature.context, signature.is_async, signature.inputs[0])

    @cached_property
    def output(self) -> ValueCodec[Any]:
        """The door for its output."""
        return ValueCodec(self.output_type, what=self.what)


@attrs.frozen(eq=False, slots=False)
class Plan:
    """A compiled pipeline."""

    name: str
    version: str
    nodes: tuple[PlanNode, ...]
    bindings: tuple[Binding, ...]
    order: tuple[PlanNode, ...]
    """The nodes outside of maps, in topological order."""
    output: PlanNode
    """The node whose output is the run's."""
    input_type: Any
    transitions: Transitions[str]
    """The state machine of every run of it."""
    fingerprint: str
    """Digest of the shape."""

    @cached_property
    def definition(self) -> Definition:
        """By which its runs are known."""
        return Definition(self.name, self.version, self.fingerprint)

    @cached_property
    def input(self) -> ValueCodec[Any]:
        """The door for a run's input."""
        return ValueCodec(self.input_type, what=f"input of pipeline {self.name!r}")

    @cached_property
    def moves(self) -> Mapping[tuple[str, str], Transition]:
        """Every edge of the state machine."""
        machine = self.transitions
        return {(a, b): Transition(a, b) for a in machine.states for b in machine.allowed(a)}

    @cached_property
    def by_path(self) -> Mapping[str, PlanNode]:
        """Nodes by path."""
        return {node.path: node for node in self.nodes}

    @cached_property
    def entries(self) -> tuple[PlanNode, ...]:
        """The nodes that take the run's input."""
        return tuple(node for node in self.order if not node.parents)

    @cached_property
    def is_line(self) -> bool:
        """Whether nothing in it can run beside anything else: one phase after the other, without timeouts."""
        return len(self.entries) == 1 and all(
            node.kind is NodeKind.PHASE and len(node.children) <= 1 and binding.timeout is None
            for node, binding in zip(self.nodes, self.bindings, strict=True)
        )

    @cached_property
    def counts_input(self) -> bool:
        """Whether a map takes the run's input apart, so that its length must be known."""
        return any(node.kind is NodeKind.MAP for node in self.entries)

    @cached_property
    def transactional(self) -> tuple[str, ...]:
        """Paths of its transactional phases."""
        return tuple(
            node.path
            for node, binding in zip(self.nodes, self.bindings, strict=True)
            if binding.is_transactional
        )

    @cached_property
    def requires(self) -> tuple[tuple[Dep[Any], str], ...]:
        """Dependencies that its phases declare, each with the phase's path."""
        return tuple(
            (dep, node.path)
            for node, binding in zip(self.nodes, self.bindings, strict=True)
            if binding.phase is not None
            for dep in binding.phase.options.requires
        )

    def check_doors(self) -> None:
        """Build the doors for the input and all outputs, so that a type nobody can store is told before a run.

        Raises:
            DefinitionError: It names the phase.
        """
        for door in (self.input, *(binding.output for binding in self.bindings)):
            assert door is not None  # noqa: S101  # to ask for it is to build it

    def locate(self, path: str) -> tuple[PlanNode, int | None]:
        """Find the node and the item that a path names."""
        node = self.by_path.get(path)
        if node is not None:
            return node, None
        head, _, rest = path.partition("[")
        item, _, tail = rest.partition("]")
        return self.by_path[f"{head}[]{tail}"], int(item)


def compile_plan(name: str, version: str, body: Node[Any, Any], retry: Retry | None) -> Plan:
    """Compile what a user composed.

    Raises:
        DefinitionError: Two phases share a path, a label is an engine state's name or comes back later, ….
    """
    builder = _Builder(name, retry)
    last = builder.add(body, prefix="", parent=None, scope=None)
    nodes = tuple(builder.finished())
    order = tuple(node for node in nodes if node.scope is None)
    _check_labels(name, order)
    plan = Plan(
        name=name,
        version=version,
        nodes=nodes,
        bindings=_bound(nodes, builder.bindings, nodes[last]),
        order=order,
        output=nodes[last],
        input_type=_as_list(body.input_type),
        transitions=_derive_machine(name, order),
        fingerprint=_fingerprint(nodes, nodes[last]),
    )
    plan.check_doors()
    return plan


class _Builder:
    def __init__(self, pipeline: str, retry: Retry | None) -> None:
        self.pipeline, self.retry = pipeline, retry
        self.nodes: list[PlanNode] = []
        self.bindings: list[Binding] = []
        self.paths: set[str] = set()

    def add(self, node: Node[Any, Any], *, prefix: str, parent: int | None, scope: int | None) -> int:
        """Add a node after ``parent``; gives the index of the node whose output it hands on."""
        match node:
            case Chain():
                for part in node.parts:
                    parent = self.add(part, prefix=prefix, parent=parent, scope=scope)
                assert parent is not None  # noqa: S101  # a chain has parts
                return parent
            case Subgraph():
                return self.add(node.body, prefix=f"{prefix}{node.name}/", parent=parent, scope=scope)
            case Each():
                return self._add_map(node, prefix=prefix, parent=parent, scope=scope)  # pyright: ignore[reportUnknownArgumentType]  # a pattern cannot see type arguments
            case Phase():
                return self._add_phase(node, prefix + node.options.name, parent, scope)
            case _:
                msg = f"pipeline {self.pipeline!r}: {type(node).__name__} is no kind of node that a plan can hold"
                raise DefinitionError(msg)

    def _add_phase(self, phase: Phase[Any, Any], path: str, parent: int | None, scope: int | None) -> int:
        options = phase.options
        signature = phase.signature
        node = PlanNode(
            len(self.nodes), self._claim(path), NodeKind.PHASE, options.state_label, options.queue,
            () if parent is None else (parent,), scope,
        )  # fmt: skip
        retry = options.retry or self.retry or NO_RETRY
        what = f"output of phase {path!r}"
        self._append(node, Binding(phase, phase, retry, options.timeout, signature.output, what))
        return node.index

    def _add_map(self, each: Each[Any, Any], *, prefix: str, parent: int | None, scope: int | None) -> int:
        inner = each.step
        if scope is not None or isinstance(inner, Each):
            msg = f"pipeline {self.pipeline!r}: {each.title} stands inside another each(); put the inner one into a phase"
            raise DefinitionError(msg)
        if not isinstance(inner, Phase | Subgraph):
            msg = f"{each.title}: a chain inside each() needs a name, for its path: Pipeline('name', {inner.title})"
            raise DefinitionError(msg)
        if parent is not None and element_type(self.bindings[parent].output_type) is None:
            msg = f"{each.title}: {self.bindings[parent].what} is not a list that can be taken apart"
            raise DefinitionError(msg)
        path = self._claim(prefix + inner.title)
        label = (
            inner.options.state_label if isinstance(inner, Phase) else inner.title.upper().replace("-", "_")
        )
        queue = inner.options.queue if isinstance(inner, Phase) else DEFAULT_QUEUE
        index = len(self.nodes)
        node = PlanNode(
            index, path, NodeKind.MAP, label, queue, () if parent is None else (parent,), scope,
            limit=each.limit, on_error=each.on_error,
        )  # fmt: skip
        self._append(node, Binding(each, None, NO_RETRY, None, each.output_type, f"output of map {path!r}"))
        if isinstance(inner, Phase):
            last = self._add_phase(inner, f"{path}[]", None, index)
        else:
            last = self.add(inner.body, prefix=f"{path}[]/", parent=None, scope=index)
        self.nodes[index] = attrs.evolve(node, exit=last)
        return index

    def _append(self, node: PlanNode, binding: Binding) -> None:
        self.nodes.append(node)
        self.bindings.append(binding)

    def _claim(self, path: str) -> str:
        if path in self.paths:
            raise DuplicatePhaseError(self.pipeline, path)
        self.paths.add(path)
        return path

    def finished(self) -> Iterator[PlanNode]:
        """The nodes with what is known only at the end: children, and where a map's items begin."""
        children: dict[int, list[int]] = {node.index: [] for node in self.nodes}
        entries: dict[int, list[int]] = {node.index: [] for node in self.nodes}
        for node in self.nodes:
            for parent in node.parents:
                children[parent].append(node.index)
            if node.scope is not None and not node.parents:
                entries[node.scope].append(node.index)
        for node in self.nodes:
            yield attrs.evolve(node, children=tuple(children[node.index]), entries=tuple(entries[node.index]))


# --------------------------------------------------------------------- what follows from the shape
def _as_list(type_: Any) -> Any:
    """What a map takes is any iterable; what is stored is a list."""
    return GenericAlias(list, (element_type(type_),)) if get_origin(type_) is Iterable else type_


def _bound(nodes: Sequence[PlanNode], bindings: Sequence[Binding], output: PlanNode) -> tuple[Binding, ...]:
    """The bindings with what the shape says of the values they take and hand on."""
    entries = [node for node in nodes if node.scope is None and not node.parents]

    def takes(node: PlanNode) -> str | None:
        if node.scope is not None:
            return None
        if not node.parents:
            return INPUT if len(entries) == 1 else None
        parent = nodes[node.parents[0]]
        return parent.path if len(node.parents) == 1 and len(parent.children) == 1 else None

    return tuple(
        attrs.evolve(
            binding,
            takes=takes(node),
            hands_on=node is output or bool(node.children),
            is_counted=any(nodes[child].kind is NodeKind.MAP for child in node.children),
        )
        for node, binding in zip(nodes, bindings, strict=True)
    )


def _check_labels(pipeline: str, order: Sequence[PlanNode]) -> None:
    seen: dict[str, int] = {}
    for position, node in enumerate(order):
        if node.label in RunState.__members__:
            msg = f"pipeline {pipeline!r}: phase {node.path!r} has the label {node.label!r}, a state of the engine's own"
            raise DefinitionError(msg)
        if position - seen.get(node.label, position) > 1:
            other = order[seen[node.label]].path
            msg = (
                f"pipeline {pipeline!r}: phases {other!r} and {node.path!r} share the label {node.label!r}, "
                "but other phases stand between them; give one of them another label"
            )
            raise DefinitionError(msg)
        seen[node.label] = position


def _derive_machine(pipeline: str, order: Sequence[PlanNode]) -> Transitions[str]:
    """Give the run's state machine: each phase adds a state, the engine the lifecycle around them."""
    s = RunState
    labels = list(dict.fromkeys(node.label for node in order))
    active: dict[str, dict[str, None]] = {label: {} for label in labels}
    for i, source in enumerate(order):
        for target in order[i + 1 :]:
            if target.label != source.label:
                active[source.label][target.label] = None
            if source.index in target.parents:  # the first descendant in topological order is a child
                break
        else:
            active[source.label][s.COMPLETED] = None
    standing = [str(s.PAUSED), str(s.FAILED), str(s.CANCELLED)]
    table: dict[str, Sequence[str]] = {
        s.IDLE: [s.INITIALIZING, *standing],
        s.INITIALIZING: [*labels, *standing],
        **{label: [*onward, *standing] for label, onward in active.items()},
        s.PAUSED: [s.IDLE, s.INITIALIZING, *labels, s.COMPLETED, s.FAILED, s.ROLLED_BACK, s.CANCELLED],
        s.FAILED: [s.IDLE, s.ROLLED_BACK],
        s.ROLLED_BACK: [s.IDLE],
        s.COMPLETED: [s.IDLE, s.ROLLED_BACK],
        s.CANCELLED: [],
    }
    plain = {str(source): [str(target) for target in targets] for source, targets in table.items()}
    return Transitions(plain, initial=str(s.IDLE), name=f"pipeline {pipeline!r}")


def _fingerprint(nodes: Sequence[PlanNode], output: PlanNode) -> str:
    """Digest of the shape: of what a stored run depends on, and not of labels, queues, types, retries or bodies."""
    shape = [[n.path, n.kind, [nodes[p].path for p in n.parents], n.on_error] for n in nodes]
    text = json.dumps({"nodes": shape, "output": output.path}, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
