"""A pipeline compiled to an immutable graph: nodes, where their values come from, and what follows from the shape.

The engine reads the shape (``PlanNode``); the shell also reads what belongs to a node's body (``Binding``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from typing import Any

import attrs

from phaseline._definition.children import ClosePolicy
from phaseline._definition.compose import OnError, Question
from phaseline._definition.deps import Dep
from phaseline._definition.edges import Edge, Given, Race, Source, edges_of
from phaseline._definition.options import OnFailure
from phaseline._definition.phase import Phase
from phaseline._definition.step import Node
from phaseline._values.codec import ValueCodec
from phaseline.events import Transition
from phaseline.machine import Transitions
from phaseline.retry import Retry
from phaseline.rows import Definition
from phaseline.usage import Budget

Items = tuple[int, ...]
"""Which instance of a node: the index in each of the maps around it, outermost first; empty outside of maps."""
_INDEX = re.compile(r"\[(\d+)\]")


class NodeKind(StrEnum):
    """What the engine does with a node."""

    PHASE = "phase"
    MAP = "map"
    TEST = "test"
    """Decides which way to go."""
    WAIT = "wait"
    """Runs without a worker, until a signal or a time comes."""
    CHILD = "child"
    """Starts a run of another pipeline, and then runs without a worker until that ends."""
    UNDO = "undo"
    """Undoes a phase; stands in no graph."""


_UNDO = NodeKind.UNDO  # looked up once and not with each phase
_BESIDE = frozenset({NodeKind.MAP, NodeKind.CHILD})
"""Kinds of which something else may run beside them."""
UNDO_MARK = "~"
"""Behind the path of a phase: the path of what undoes it. No name has it."""


@attrs.frozen
class Awaited:
    """What a node waits for."""

    signal: str | None
    """Name of the signal; None: for its time alone, and then it hands on what it takes."""
    key: str | None = None
    """Which signal it must be; None: in a map one with the index of the item, elsewhere one without a key."""
    span: timedelta | None = None
    """How long at most."""
    default: str | None = None
    """Encoded; what it hands on where the signal does not come in time. None: it fails then."""

    def key_of(self, items: Items) -> str | None:
        """The key that a signal must carry for one instance of the node."""
        return self.key if self.key is not None or not items else ".".join(map(str, items))

    def items_of(self, key: str | None, depth: int) -> Items | None:
        """The instance of the node, in so many maps, that such a key is for; where it is for any of them, none of these. None: for none."""
        if self.key is not None or not depth:
            return () if key == self.key else None
        parts = () if key is None else tuple(key.split("."))
        if len(parts) != depth or not all(part.isdecimal() and part.isascii() for part in parts):
            return None
        items = tuple(map(int, parts))
        return items if self.key_of(items) == key else None


def _is_plain(node: PlanNode) -> bool:
    source = node.source
    return type(source) is Edge and source.side is None and not node.skippable and len(node.parents) == 1


# Without slots: with them, attrs would have cached properties found by a __getattr__, by which each field would be looked for.
@attrs.frozen(slots=False)
class PlanNode:
    """One node of the graph, as the engine sees it."""

    index: int
    """Position in ``Plan.nodes``; within one scope this is topological order."""
    path: str
    """``outer/enrich``; what stands inside a map has ``[]`` where an item has its index: ``enrich[]``."""
    kind: NodeKind
    label: str
    queue: str
    source: Source
    """Where its value comes from: nodes of the same scope, or what the scope was given."""
    after: tuple[int, ...] = ()
    """Nodes of the same scope that must have ended, whatever they hand on."""
    scope: int | None = None
    """The map it stands in."""
    limit: int | None = None
    on_error: OnError = "fail"
    children: tuple[int, ...] = ()
    entries: tuple[int, ...] = ()
    """Of a map: the nodes that begin an item."""
    exit: Source | None = None
    """Of a map: where an item's output comes from."""
    closers: tuple[int, ...] = ()
    """Of a map: the nodes that have ended when an item has."""
    ends_item: bool = False
    """Whether what it hands on is, or may be, the output of an item."""
    arms: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    """Of a test: the nodes that are skipped if it does not hold, and those if it holds."""
    passes: tuple[int, ...] = ()
    """Tests by which it is skipped so that the value it would have taken is handed on."""
    cancels: tuple[tuple[int, ...], ...] = ()
    """Of a race that ends the rest: for each of its values, the nodes that serve only others, should it come first."""
    skippable: bool = False
    """Whether it may be ended by a test or a race, without a word to its parents."""

    limits: str | None = None
    """Limits on its bodies, as ``phaseline.limits`` writes them; None for none."""
    sla: timedelta | None = None
    """Within what time it should be over."""
    may_finish: bool = False
    """Whether its body may end the whole run."""
    in_thread: bool = False
    """Whether its body runs in a thread."""
    awaits: Awaited | None = None
    """What it waits for, if it does that and nothing else."""
    starts: str | None = None
    """Name of the pipeline that it starts a run of, if it does that and waits for its end."""
    close: ClosePolicy = "cancel"
    """What becomes of such a run that is not waited for any more."""

    is_plain: bool = attrs.field(
        init=False, repr=False, eq=False, default=attrs.Factory(_is_plain, takes_self=True)
    )
    """Whether the end of its one parent decides about it, and nothing else does."""

    def at(self, items: Items) -> str:
        """The path of one instance of this node."""
        if len(items) <= 1:
            return self.path.replace("[]", f"[{items[0]}]") if items else self.path
        head, *pieces = self.path.split("[]")
        return head + "".join(f"[{item}]{piece}" for item, piece in zip(items, pieces, strict=True))

    @cached_property
    def parents(self) -> tuple[int, ...]:
        """The nodes that must be decided before it."""
        return tuple(dict.fromkeys([*(edge.node for edge in edges_of(self.source)), *self.after]))

    @property
    def is_first(self) -> bool:
        """Whether it begins as soon as its scope does."""
        return type(self.source) is Given and not self.after

    @cached_property
    def is_race(self) -> bool:
        """Whether the first of its values that comes is enough."""
        return type(self.source) is Race

    @property
    def passes_on(self) -> bool:
        """Whether what it hands on is what it takes, so that it is not stored once more."""
        return self.awaits is not None and self.awaits.signal is None


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

    source: Node[Any, Any] | Question[Any]
    """What the user wrote: the phase, the ``each(...)`` of a map, the question of a test, the wait, or ``start_child``."""
    phase: Phase[Any, Any] | None
    retry: Retry | None
    """None: what the runtime says."""
    timeout: timedelta | None
    """Bound of one attempt."""
    output_type: Any
    what: str
    takes: str | None = None
    """Path of the one value it takes, if no other node takes that."""
    hands_on: bool = False
    """Whether its output is wanted by a node that takes it whole, or is the run's."""
    is_counted: bool = False
    """Whether a map takes its output apart."""
    heartbeat: timedelta | None = None
    """Longest silence of its body."""
    is_spread: bool = False
    """Whether its value is a tuple that the body takes as several arguments."""

    undo: Call | None = None
    """How what undoes the phase is called."""
    undoes: bool = False
    """Whether this is what undoes the phase, and not its body."""
    child: Plan | None = None
    """Of what it starts a run."""

    @cached_property
    def is_bounded(self) -> bool:
        """Whether a call of its body is watched by timers."""
        return self.timeout is not None or self.heartbeat is not None or self.is_transactional

    @property
    def is_transactional(self) -> bool:
        """Whether its body writes in the transaction that commits it."""
        return self.phase is not None and self.phase.options.transactional

    @cached_property
    def call(self) -> Call:
        """How its body is called."""
        if self.undoes:
            assert self.undo is not None  # noqa: S101  # asked before
            return self.undo
        assert self.phase is not None  # noqa: S101  # only phases are invoked
        signature = self.phase.signature
        return Call(self.phase.body, signature.context, signature.is_async, self.phase.input_type)

    @cached_property
    def output(self) -> ValueCodec[Any]:
        """The door for its output."""
        return ValueCodec(self.output_type, what=self.what)


def _stops_of(plan: Plan) -> tuple[str, ...]:
    return tuple(node.path for node in plan.order)


def _undos_of(plan: Plan) -> Mapping[int, tuple[PlanNode, Binding]]:
    return {
        index: _undoing(plan.nodes[index], binding, binding.undo)
        for index, binding in enumerate(plan.bindings)
        if binding.undo is not None
    }


def _by_path(plan: Plan) -> Mapping[str, PlanNode]:
    return {node.path: node for node in (*plan.nodes, *(node for node, _ in plan.undos.values()))}


def _starts_of(plan: Plan) -> tuple[tuple[str, Plan], ...]:
    starting = (node for node in plan.nodes if node.starts is not None)
    children = ((node.path, plan.bindings[node.index].child) for node in starting)
    return tuple((path, child) for path, child in children if child is not None)


@attrs.frozen(eq=False, slots=False)
class Plan:
    """A compiled pipeline."""

    name: str
    version: str
    nodes: tuple[PlanNode, ...]
    bindings: tuple[Binding, ...]
    order: tuple[PlanNode, ...]
    """Phases and maps outside of maps, in topological order; a test has no state of its own."""
    output: Source
    """Where the run's output comes from."""
    input_type: Any
    output_type: Any
    transitions: Transitions[str]
    """The state machine of every run of it."""
    fingerprint: str
    """Digest of the shape."""
    timeout: timedelta | None = None
    """How long a run may be active; None: what the runtime says."""
    sla: timedelta | None = None
    """Within what time a run should be over."""
    limits: str | None = None
    """Limits on the bodies of its runs, as ``phaseline.limits`` writes them."""
    budget: Budget | None = None
    """How much a run may use; None: as much as it likes."""
    on_failure: OnFailure = "stay"
    """What becomes of a run that fails."""
    checkpoints: bool = True
    """Whether the positions of its runs are noted."""

    # Told by the rest, and not found when asked first: with each phase these are asked, and a cached property takes ten times as
    # long as a field.
    stops: tuple[str, ...] = attrs.field(
        init=False, repr=False, eq=False, default=attrs.Factory(_stops_of, takes_self=True)
    )
    """Paths of the nodes in ``order``."""
    undos: Mapping[int, tuple[PlanNode, Binding]] = attrs.field(
        init=False, repr=False, eq=False, default=attrs.Factory(_undos_of, takes_self=True)
    )
    """What undoes a phase, by the phase's index: a node of the same index at a path of its own."""
    by_path: Mapping[str, PlanNode] = attrs.field(
        init=False, repr=False, eq=False, default=attrs.Factory(_by_path, takes_self=True)
    )
    """Nodes by path, with those that undo them."""
    starts: tuple[tuple[str, Plan], ...] = attrs.field(
        init=False, repr=False, eq=False, default=attrs.Factory(_starts_of, takes_self=True)
    )
    """Plans of the runs that its runs start, each with the path of the phase that does."""

    @cached_property
    def definition(self) -> Definition:
        """By which its runs are known."""
        return Definition(self.name, self.version, self.fingerprint)

    @cached_property
    def has_levels(self) -> bool:
        """Whether a run of it, or a phase, should be over within a time."""
        return self.sla is not None or any(node.sla is not None for node in self.nodes)

    @cached_property
    def input(self) -> ValueCodec[Any]:
        """The door for a run's input."""
        return ValueCodec(self.input_type, what=f"input of pipeline {self.name!r}")

    @cached_property
    def whole(self) -> ValueCodec[Any]:
        """The door for a run's output, where a body gives it and not a node."""
        return ValueCodec(self.output_type, what=f"output of pipeline {self.name!r}")

    @cached_property
    def moves(self) -> Mapping[tuple[str, str], Transition]:
        """Every edge of the state machine, of which wide graphs have very many."""
        machine = self.transitions
        return {(a, b): Transition(a, b) for a in machine.states for b in machine.allowed(a)}

    def binding_of(self, node: PlanNode) -> Binding:
        """What belongs to the body of a node."""
        return self.undos[node.index][1] if node.kind is _UNDO else self.bindings[node.index]

    @cached_property
    def members(self) -> Mapping[int | None, tuple[PlanNode, ...]]:
        """The nodes that stand in each map, and (None) those in none."""
        found: dict[int | None, list[PlanNode]] = {None: []}
        for node in self.nodes:
            found.setdefault(node.scope, []).append(node)
        return {scope: tuple(nodes) for scope, nodes in found.items()}

    @cached_property
    def entries(self) -> tuple[PlanNode, ...]:
        """The nodes that begin with the run."""
        return tuple(node for node in self.members[None] if node.is_first)

    @cached_property
    def is_line(self) -> bool:
        """Whether nothing in it can run beside anything else: one phase after the other, without timeouts."""
        return (
            self.timeout is None
            and len(self.entries) == 1
            and all(
                node.kind not in _BESIDE and not binding.is_bounded and self._goes_one_way(node)
                for node, binding in zip(self.nodes, self.bindings, strict=True)
            )
        )

    def _goes_one_way(self, node: PlanNode) -> bool:
        """Whether at most one node can begin when this one has ended."""
        if node.kind is NodeKind.PHASE:
            return len(node.children) <= 1
        sides = [
            e.side for c in node.children for e in set(edges_of(self.nodes[c].source)) if e.node == node.index
        ]
        return len(sides) == len(set(sides)) and not any(
            node.index in self.nodes[c].after for c in node.children
        )

    @cached_property
    def counts_input(self) -> bool:
        """Whether a map takes the run's input apart, so that its length must be known."""
        return any(node.kind is NodeKind.MAP for node in self.entries)

    @cached_property
    def signals(self) -> Mapping[str, ValueCodec[Any]]:
        """The doors for the signals that its runs wait for, by name."""
        awaited = ((node.awaits, binding) for node, binding in zip(self.nodes, self.bindings, strict=True))
        return {w.signal: binding.output for w, binding in awaited if w is not None and w.signal is not None}

    def is_awaited_by_items(self, signal: str) -> bool:
        """Whether only items of maps wait for a signal, each for the one that carries the item's own key."""
        return all(n.scope is not None and n.awaits and n.awaits.key is None for n in self.awaiting(signal))

    def awaiting(self, signal: str) -> Sequence[PlanNode]:
        """The nodes that wait for a signal."""
        return [node for node in self.nodes if node.awaits is not None and node.awaits.signal == signal]

    @cached_property
    def waits(self) -> bool:
        """Whether its runs wait for signals or times."""
        return any(node.kind is NodeKind.WAIT for node in self.nodes)

    @cached_property
    def family(self) -> tuple[Plan, ...]:
        """This plan, those of the runs that its runs start, and so on; each definition once."""
        found: dict[Definition, Plan] = {self.definition: self}
        for _, child in self.starts:
            found.update((plan.definition, plan) for plan in child.family)
        return tuple(found.values())

    @cached_property
    def rests(self) -> bool:
        """Whether its runs may wait while nobody is busy with them."""
        return self.waits or bool(self.starts)

    @cached_property
    def endless_waits(self) -> tuple[str, ...]:
        """Paths of the waits that only a signal ends."""
        return tuple(n.path for n in self.nodes if n.awaits is not None and n.awaits.span is None)

    @cached_property
    def transactional(self) -> tuple[str, ...]:
        """Paths of its transactional phases."""
        return tuple(
            node.path
            for node, binding in zip(self.nodes, self.bindings, strict=True)
            if binding.is_transactional
        )

    @cached_property
    def requires(self) -> tuple[tuple[Dep[Any], PlanNode], ...]:
        """Dependencies that its phases declare, each with the phase."""
        return tuple(
            (dep, node)
            for node, binding in zip(self.nodes, self.bindings, strict=True)
            if binding.phase is not None
            for dep in binding.phase.options.requires
        )

    @property
    def endless(self) -> tuple[str, ...]:
        """Paths of the phases that are tried for ever if they always fail."""
        return tuple(
            node.path
            for node, binding in zip(self.nodes, self.bindings, strict=True)
            if binding.retry is not None and binding.retry.is_endless
        )

    @property
    def without_policy(self) -> tuple[str, ...]:
        """Paths of the phases whose retries the runtime decides."""
        return tuple(
            node.path
            for node, binding in zip(self.nodes, self.bindings, strict=True)
            if binding.retry is None
        )

    def check_doors(self) -> None:
        """Build the doors for the input and all outputs, so that a type nobody can store is told before a run.

        Raises:
            DefinitionError: It names the phase.
        """
        for door in (self.input, *(binding.output for binding in self.bindings)):
            assert door is not None  # noqa: S101  # to ask for it is to build it

    def scopes_of(self, node: PlanNode) -> tuple[int, ...]:
        """The maps around a node, outermost first."""
        found: list[int] = []
        while node.scope is not None:
            found.append(node.scope)
            node = self.nodes[node.scope]
        return tuple(reversed(found))

    def locate(self, path: str) -> tuple[PlanNode, Items]:
        """Find the node, and the instance of it, that a path names."""
        node = self.by_path.get(path)
        if node is not None:
            return node, ()
        return self.by_path[_INDEX.sub("[]", path)], tuple(map(int, _INDEX.findall(path)))


def _undoing(node: PlanNode, binding: Binding, undo: Call) -> tuple[PlanNode, Binding]:
    """What undoes the phase of a node: as the phase is in all that is not its body."""
    return (
        attrs.evolve(
            node, path=node.path + UNDO_MARK, kind=NodeKind.UNDO, may_finish=False, in_thread=not undo.is_async
        ),
        attrs.evolve(
            binding, undoes=True, output_type=type(None), what=f"what undoes phase {node.path!r}", takes=None,
            hands_on=False, is_counted=False, is_spread=True,
        ),
    )  # fmt: skip
