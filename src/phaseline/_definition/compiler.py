"""From what a user composed to a ``Plan``."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from types import GenericAlias
from typing import Any, Never, NoReturn, get_args, get_origin

import attrs

from phaseline._definition.children import StartedRun
from phaseline._definition.closing import bound, finished
from phaseline._definition.compensation import check_finishers, undo_of
from phaseline._definition.compose import Branch, Each, Parallel, Question, When
from phaseline._definition.derive import check_labels, derive_machine, fingerprint_of, order_of
from phaseline._definition.edges import GIVEN, Edge, Gather, Merge, Race, Source, edges_of, gathered, merged
from phaseline._definition.graph import FunctionOfMany, Graph
from phaseline._definition.options import OnFailure, check_on_failure
from phaseline._definition.phase import DEFAULT_QUEUE, Phase
from phaseline._definition.plan import Awaited, Binding, NodeKind, Plan, PlanNode
from phaseline._definition.step import Chain, Node, Subgraph, Wait
from phaseline._values.codec import ValueCodec
from phaseline._values.nothing import NOTHING
from phaseline._values.signature import accepts, element_type, type_name
from phaseline._values.texts import upper_snake
from phaseline.errors import DefinitionError, DuplicatePhaseError, EncodeError
from phaseline.limits import Rate, limits_text
from phaseline.retry import NO_RETRY, Retry
from phaseline.usage import Budget


def compile_plan(
    name: str,
    version: str,
    body: Node[Any, Any],
    retry: Retry | None = None,
    timeout: timedelta | None = None,
    *,
    sla: timedelta | None = None,
    concurrency: int | None = None,
    rate: Rate | None = None,
    budget: Budget | None = None,
    on_failure: OnFailure = "stay",
) -> Plan:
    """Compile what a user composed.

    Raises:
        DefinitionError: Two phases share a path, a label is an engine state's name or comes back later, ….
    """
    builder = Builder(name, retry, version)
    input_type = _as_list(body.input_type)
    output = builder.add(body, Wire(GIVEN, input_type), Place()).source
    nodes = finished(builder.nodes, builder.cancelling, output)
    order = order_of(nodes)
    check_labels(name, order)
    plan = Plan(
        name=name,
        version=version,
        nodes=nodes,
        bindings=bound(nodes, builder.bindings, output),
        order=order,
        output=output,
        input_type=input_type,
        output_type=body.output_type,
        transitions=derive_machine(
            name, nodes, compensates=any(b.undo is not None for b in builder.bindings)
        ),
        fingerprint=fingerprint_of(nodes, output),
        timeout=timeout,
        sla=sla,
        limits=limits_text(concurrency, rate, "pipeline", name),
        budget=budget,
        on_failure=on_failure,
    )
    check_on_failure(on_failure, f"pipeline {name!r}", compensates=bool(plan.undos))
    check_finishers(plan)
    plan.check_doors()
    return plan


@attrs.frozen
class Wire:
    """A value on its way to a node."""

    source: Source
    type: Any
    after: tuple[int, ...] = ()
    """What the node must wait for besides."""


@attrs.frozen
class Place:
    """Where nodes are being added."""

    prefix: str = ""
    scope: int | None = None


class Builder:
    """Collects the nodes of a plan, in topological order."""

    def __init__(self, pipeline: str, retry: Retry | None, version: str = "1") -> None:
        self.pipeline: str = pipeline
        self.version: str = version
        self.retry: Retry | None = retry
        self.nodes: list[PlanNode] = []
        self.bindings: list[Binding] = []
        self.cancelling: set[int] = set()
        """Races whose first ends the rest."""
        self._paths: set[str] = set()
        self._sent: dict[str, Any] = {}
        """Type of what is sent, by name of the signal."""

    def add(self, node: Node[Any, Any], wire: Wire, place: Place) -> Wire:
        """Add a node that takes what ``wire`` brings; gives what it hands on."""
        try:
            return self._add(node, wire, place)
        except DefinitionError as error:
            error.nodes = (*error.nodes, node)
            raise

    def _add(self, node: Node[Any, Any], wire: Wire, place: Place) -> Wire:  # noqa: PLR0911, C901  # one for each kind
        match node:
            case Chain():
                for part in node.parts:
                    wire = self.add(part, wire, place)
                return wire
            case Subgraph():
                outer, self.retry = self.retry, node.retry or self.retry
                given = self.add(node.body, wire, attrs.evolve(place, prefix=f"{place.prefix}{node.name}/"))
                self.retry = outer
                return given
            case Phase():
                return self._add_phase(node, place.prefix + node.options.name, wire, place.scope)
            case Each():
                return self._add_each(node, wire, place)  # pyright: ignore[reportUnknownArgumentType]  # a pattern cannot see type arguments
            case Parallel():
                parts = tuple(self.add(step, wire, place).source for step in node.steps)
                return Wire(gathered(parts), node.output_type)
            case When():
                return self._add_when(node, wire, place)
            case Branch():
                return self._add_branch(node, wire, place)
            case Graph():
                return self._add_graph(node, wire, place)
            case Wait():
                return self._add_wait(node, wire, place)
            case StartedRun():
                return self._add_child(node, place.prefix + node.name, wire, place.scope)
            case _:
                msg = f"pipeline {self.pipeline!r}: {type(node).__name__} is no kind of node that a plan can hold"
                raise DefinitionError(msg)

    # ------------------------------------------------------------------ phases and maps
    def _add_each(self, each: Each[Any, Any], wire: Wire, place: Place) -> Wire:
        return self._add_map(each, place.prefix + _name_in(each), wire, place.scope)

    def _add_phase(self, phase: Phase[Any, Any], path: str, wire: Wire, scope: int | None) -> Wire:
        options, output = phase.options, phase.signature.output
        if output in (Never, NoReturn):
            msg = (
                f"phase {path!r} is declared to hand nothing on, ever (-> {type_name(output)}), so that what waits for it "
                "could never begin; declare what it gives where it does give something, or None"
            )
            raise DefinitionError(msg)
        source = _with_gaps(wire.source, phase.input_type)
        node = PlanNode(
            len(self.nodes), self._claim(path), NodeKind.PHASE, options.state_label, options.queue,
            source, wire.after, scope, may_finish=options.may_finish, in_thread=not phase.signature.is_async,
            limits=limits_text(options.concurrency, options.rate, "phase", f"{self.pipeline}/{path}"), sla=options.sla,
        )  # fmt: skip
        retry = options.retry or self.retry
        what = f"output of phase {path!r}"
        spread = isinstance(phase, FunctionOfMany)
        binding = Binding(
            phase,
            phase,
            retry,
            options.timeout,
            output,
            what,
            heartbeat=options.heartbeat,
            is_spread=spread,
            undo=undo_of(phase),
        )
        return self._append(node, binding, Wire(Edge(node.index), output))

    def _add_map(self, each: Each[Any, Any], path: str, wire: Wire, scope: int | None) -> Wire:
        if not isinstance(wire.source, Gather) and element_type(wire.type) is None:
            msg = f"{each.title}: {self._what(wire)} is not a list that can be taken apart"
            raise DefinitionError(msg)
        inner, index = each.step, len(self.nodes)
        label, queue = _label_of(_innermost(inner)), _queue_of(_innermost(inner))
        node = PlanNode(
            index, self._claim(path), NodeKind.MAP, label, queue, wire.source, wire.after, scope,
            limit=each.limit, on_error=each.on_error,
        )  # fmt: skip
        what = f"output of map {path!r}"
        output = Wire(Edge(index), each.output_type)
        self._append(node, Binding(each, None, NO_RETRY, None, each.output_type, what), output)
        item = Wire(GIVEN, _as_list(inner.input_type))
        match inner:
            case Phase():
                last = self._add_phase(inner, f"{path}[]", item, index)
            case Each():
                last = self._add_map(inner, f"{path}[]", item, index)  # pyright: ignore[reportUnknownArgumentType]  # a pattern cannot see type arguments
            case StartedRun():
                last = self._add_child(inner, f"{path}[]", item, index)
            case _:
                body = inner.body if isinstance(inner, Subgraph) else inner
                last = self.add(body, item, Place(f"{path}[]/", index))
        self.nodes[index] = attrs.evolve(self.nodes[index], exit=last.source)
        return output

    # ------------------------------------------------------------------ waits
    def _add_wait(self, wait: Wait[Any, Any], wire: Wire, place: Place) -> Wire:
        if wait.keeps_both and _holds_race(wire.source):
            msg = f"{wait.title} keeps the first of several values, which it must be taken for; put a phase before it"
            raise DefinitionError(msg)
        index = len(self.nodes)
        if wait.name is not None:
            path = self._claim(place.prefix + wait.name)
        else:
            base = "sleep" if wait.signal is None else f"wait_for_{wait.signal.name}"
            path = self._claim_free(place.prefix + base)
        what = f"what is handed on by {path!r}" if wait.signal is None else f"signal {wait.signal.name!r}"
        sent = wait.kept if wait.signal is None else self._sent_with(wait)
        binding = Binding(wait, None, NO_RETRY, None, sent, what)
        label = upper_snake(path.removeprefix(place.prefix))
        awaits = Awaited(
            None if wait.signal is None else wait.signal.name, wait.key, wait.span, _default_of(wait, binding)
        )
        node = PlanNode(
            index,
            path,
            NodeKind.WAIT,
            label,
            DEFAULT_QUEUE,
            wire.source,
            wire.after,
            place.scope,
            awaits=awaits,
        )
        self._append(node, binding, wire)
        if wait.keeps_both:
            return Wire(gathered((wire.source, Edge(index))), wait.output_type)
        return Wire(Edge(index), wait.output_type)

    def _sent_with(self, wait: Wait[Any, Any]) -> Any:
        """The type of what is sent, which must be one wherever the signal is waited for."""
        assert wait.signal is not None  # noqa: S101  # asked before
        name, type_ = wait.signal.name, wait.signal.type
        if self._sent.setdefault(name, type_) != type_:
            known = type_name(self._sent[name])
            msg = f"pipeline {self.pipeline!r} waits for two signals {name!r}, one with {known} and one with {type_name(type_)}; give one another name"
            raise DefinitionError(msg)
        return type_

    # ------------------------------------------------------------------ runs of other pipelines
    def _add_child(self, started: StartedRun[Any, Any], path: str, wire: Wire, scope: int | None) -> Wire:
        plan = started.pipeline.plan
        if any((one.name, one.version) == (self.pipeline, self.version) for one in plan.family):
            msg = (
                f"pipeline {self.pipeline!r}, version {self.version!r}, starts at {path!r} a run of itself, or one that does, "
                "and would do so for ever; give one of the two another name or version"
            )
            raise DefinitionError(msg)
        node = PlanNode(
            len(self.nodes), self._claim(path), NodeKind.CHILD, _label_of(started), started.queue or "",
            _with_gaps(wire.source, plan.input_type), wire.after, scope, starts=plan.name, close=started.close,
        )  # fmt: skip
        what = f"output of the child run at {path!r}"
        binding = Binding(started, None, NO_RETRY, None, plan.output_type, what, child=plan)
        return self._append(node, binding, Wire(Edge(node.index), plan.output_type))

    # ------------------------------------------------------------------ tests
    def _add_when(self, when: When[Any], wire: Wire, place: Place) -> Wire:
        test = self._add_test(when.question, wire, place)
        inner, arm = self._add_arm(when.step, Wire(Edge(test, True), wire.type), place)
        self._set_arms(test, arm, ())
        bodies = [index for index in arm if self.nodes[index].kind is not NodeKind.TEST]
        if len(bodies) == 1:  # skipped, it hands on what it would have taken: that is what the test took
            node = self.nodes[bodies[0]]
            self.nodes[node.index] = attrs.evolve(node, passes=(*node.passes, test))
        return Wire(merged(Edge(test, False), inner.source), when.output_type)

    def _add_branch(self, branch: Branch[Any, Any], wire: Wire, place: Place) -> Wire:
        test = self._add_test(branch.question, wire, place)
        then, first = self._add_arm(branch.if_holds, Wire(Edge(test, True), wire.type), place)
        otherwise, second = self._add_arm(branch.if_not, Wire(Edge(test, False), wire.type), place)
        self._set_arms(test, first, second)
        return Wire(merged(then.source, otherwise.source), branch.output_type)

    def _add_test(self, question: Question[Any], wire: Wire, place: Place) -> int:
        index = len(self.nodes)
        path = self._claim_free(f"{place.prefix}{question.title}?")
        node = PlanNode(index, path, NodeKind.TEST, "", DEFAULT_QUEUE, wire.source, wire.after, place.scope)
        binding = Binding(question, None, NO_RETRY, None, bool, f"verdict of test {path!r}")
        self._append(node, binding, wire)
        return index

    def _add_arm(self, step: Node[Any, Any], wire: Wire, place: Place) -> tuple[Wire, tuple[int, ...]]:
        begin = len(self.nodes)
        last = self.add(step, wire, place)
        return last, tuple(node.index for node in self.nodes[begin:] if node.scope == place.scope)

    def _set_arms(self, test: int, first: tuple[int, ...], second: tuple[int, ...]) -> None:
        """Note what a test decides about; it waits where the first of these would wait."""
        arm = [self.nodes[index] for index in first]
        queue = (
            next((node for node in arm if node.kind is not NodeKind.WAIT and node.queue), arm[0]).queue
            or DEFAULT_QUEUE
        )
        self.nodes[test] = attrs.evolve(self.nodes[test], arms=(first, second), queue=queue)

    # ------------------------------------------------------------------ graphs
    def _add_graph(self, graph: Graph[Any, Any], wire: Wire, place: Place) -> Wire:
        wires = {-1: attrs.evolve(wire, type=graph.input_type)}
        for index, added in enumerate(graph.steps):
            taken = [wires[ref] for ref in added.takes]
            sources = tuple(one.source for one in taken)
            source, type_ = sources[0], taken[0].type
            if added.join == "any":
                source = Race(sources)
            elif added.is_spread:
                source, type_ = gathered(sources), added.step.input_type
            inherited = wire.after if -1 in added.takes else ()
            before = [edge.node for ref in added.after for edge in edges_of(wires[ref].source)]
            begin = len(self.nodes)
            whole = Wire(source, type_, tuple(dict.fromkeys([*inherited, *before])))
            wires[index] = self.add(added.step, whole, place)
            if isinstance(source, Race):
                self._note_race(source, begin, graph, added.step, cancel_rest=added.cancel_rest)
        return attrs.evolve(wires[graph.output], after=())

    def _note_race(
        self, race: Race, begin: int, graph: Graph[Any, Any], step: Node[Any, Any], *, cancel_rest: bool
    ) -> None:
        takers = [node for node in self.nodes[begin:] if _mentions(node.source, race)]
        if len(takers) != 1 or takers[0].source is not race:
            msg = f"graph {graph.title!r}: {step.title!r} takes the first of several values in more than one place; put a phase before it"
            raise DefinitionError(msg)
        if cancel_rest:
            self.cancelling.add(takers[0].index)

    # ------------------------------------------------------------------ what all have in common
    def _append(self, node: PlanNode, binding: Binding, wire: Wire) -> Wire:
        self.nodes.append(node)
        self.bindings.append(binding)
        return wire

    def _claim_free(self, base: str) -> str:
        """Claim a path for what may stand in several places."""
        path, number = base, 2
        while path in self._paths:
            path, number = f"{base}{number}", number + 1
        return self._claim(path)

    def _claim(self, path: str) -> str:
        if path in self._paths:
            raise DuplicatePhaseError(self.pipeline, path)
        self._paths.add(path)
        return path

    def _what(self, wire: Wire) -> str:
        edges = list(edges_of(wire.source))
        return self.bindings[edges[-1].node].what if edges else f"the input of pipeline {self.pipeline!r}"


def _with_gaps(source: Source, input_type: Any) -> Source:
    """Note which parts of a tuple may be missing, for the one who takes it."""
    args = get_args(input_type)
    if (
        not isinstance(source, Gather)
        or get_origin(input_type) is not tuple
        or len(args) != len(source.parts)
    ):
        return source
    return Gather(source.parts, tuple(accepts(arg, None) for arg in args))


def _default_of(wait: Wait[Any, Any], binding: Binding) -> str | None:
    """What stands for a signal that does not come, encoded.

    Raises:
        DefinitionError: It is not of the type that is sent.
    """
    if wait.default is NOTHING:
        return None
    try:
        text, _ = ValueCodec[Any](binding.output_type, what=f"the default of {wait.title}").encode(
            wait.default
        )
    except EncodeError as error:
        raise DefinitionError(str(error)) from error
    return text


def _holds_race(source: Source) -> bool:
    if isinstance(source, Race):
        return True
    return isinstance(source, Gather | Merge) and any(map(_holds_race, source.parts))


def _mentions(source: Source, part: Source) -> bool:
    if source is part:
        return True
    return isinstance(source, Gather | Merge) and any(_mentions(inner, part) for inner in source.parts)


def _name_in(each: Each[Any, Any]) -> str:
    """What the items of a map are called by."""
    inner = _innermost(each)
    if isinstance(inner, Phase | Subgraph):
        return inner.title
    if isinstance(inner, StartedRun):
        return inner.name
    msg = (
        f"{each.title}: what stands inside each() needs a name, for its path: Pipeline('name', {inner.title})"
    )
    raise DefinitionError(msg)


def _innermost(node: Node[Any, Any]) -> Node[Any, Any]:
    return _innermost(node.step) if isinstance(node, Each) else node  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]  # isinstance cannot see type arguments


def _label_of(inner: Node[Any, Any]) -> str:
    """The state of a run while it is there."""
    if isinstance(inner, Phase):
        return inner.options.state_label
    return upper_snake(inner.name if isinstance(inner, StartedRun) else inner.title)


def _queue_of(inner: Node[Any, Any]) -> str:
    if isinstance(inner, StartedRun):
        return inner.queue or DEFAULT_QUEUE
    return inner.options.queue if isinstance(inner, Phase) else DEFAULT_QUEUE


def _as_list(type_: Any) -> Any:
    """What a map takes is any iterable; what is stored is a list."""
    return GenericAlias(list, (_as_list(element_type(type_)),)) if get_origin(type_) is Iterable else type_
