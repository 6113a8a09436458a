"""From the data of a template to the pipeline that it describes, by the names that users compose with."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeGuard, TypeVar, assert_never

import attrs

from phaseline._definition.children import start_child
from phaseline._definition.compose import Each, branch, parallel, shared_input, when
from phaseline._definition.context import Context
from phaseline._definition.graph import Ref
from phaseline._definition.phase import Options, Phase
from phaseline._definition.signals import Signal
from phaseline._definition.step import Chain, Node, wait_for
from phaseline._values.codec import ValueCodec
from phaseline._values.signature import signature_of
from phaseline._values.texts import did_you_mean
from phaseline.errors import (
    DefinitionError,
    DuplicatePhaseError,
    EncodeError,
    PluginClashError,
    PluginError,
    TemplateError,
)
from phaseline.limits import Rate
from phaseline.pipeline import Dag, Pipeline
from phaseline.retry import Retry
from phaseline.templates.format import (
    INPUT,
    Body,
    BranchStep,
    ChildStep,
    EachStep,
    GraphNode,
    GraphTable,
    ParallelStep,
    PhaseStep,
    PipelineStep,
    RateTable,
    RetryTable,
    SequenceStep,
    SleepStep,
    Step,
    Template,
    WaitStep,
    WhenStep,
)
from phaseline.templates.places import Where
from phaseline.templates.text import Source

Registered: TypeAlias = "Node[Any, Any] | type[Node[Any, Any]] | Callable[..., Any] | Signal[Any]"
"""What a template may name: a phase or any other node, a class of them, a test, a function of several values, a signal."""
Waiting = TypeVar("Waiting", Chain[Any, Any], Node[Any, Any])
MOST_NAMES = 20
"""Registered names that an error lists."""


@attrs.frozen
class Function:
    """A function of several values, of which a graph makes a phase."""

    fn: Callable[..., Any]
    options: Options

    def takes(self, index: int) -> Any:
        """The type of one of its parameters; of one too many, any: the graph tells that."""
        name = getattr(self.fn, "__name__", type(self.fn).__name__)
        inputs = signature_of(self.fn, context_type=Context, what=name).inputs
        return inputs[index] if index < len(inputs) else Any


class Builder:
    """Composes what a template describes; an error of composing becomes one that tells where."""

    def __init__(self, source: Source, registered: Mapping[str, Registered]) -> None:
        self._source, self._registered = source, registered
        self._places: dict[int, Where] = {}
        """Where in the data each node comes from; of one that is used twice, the last place."""
        self._nodes: list[Node[Any, Any]] = []
        """Keeps nodes alive, so that no other one gets the identity of one that was told a place."""

    def pipeline(self, template: Template) -> Pipeline[Any, Any]:
        """Compose it all."""
        return self._pipeline(template, template.name, template.version, ())

    # ------------------------------------------------------------------ where things are
    @contextmanager
    def _at(self, where: Where) -> Generator[None]:
        """Tell of a mistake that it was made there, or at what is known to be its cause."""
        try:
            yield
        except TemplateError:
            raise
        except DefinitionError as error:
            cause = next((self._places[id(node)] for node in error.nodes if id(node) in self._places), where)
            text = str(error)
            if isinstance(error, DuplicatePhaseError):
                text = f"there is a phase at the path {error.path!r} already; give one of them a name: {{phase = ..., name = ...}}"
            raise self._source.error((cause, text)) from error

    def _note(self, node: Node[Any, Any], where: Where) -> Node[Any, Any]:
        self._places[id(node)] = where
        self._nodes.append(node)
        return node

    # ------------------------------------------------------------------ pipelines and steps
    def _pipeline(self, body: Body, name: str, version: str, where: Where) -> Pipeline[Any, Any]:
        with self._at((*where, "retry")):
            retry = _retry(body.retry)
        if body.graph is not None:
            whole = self._graph(body.graph, name, where)
        else:
            whole = self._chain(body.steps or [], (*where, "steps"))
        with self._at((*where, "name" if isinstance(body, Template) else "pipeline")):
            if not isinstance(body, Template):
                return Pipeline(name, whole, version=version, retry=retry)
            return Pipeline(
                name, whole, version=version, retry=retry, concurrency=body.concurrency, rate=_rate(body.rate)
            )

    def _chain(self, steps: Sequence[Step], where: Where) -> Node[Any, Any]:
        if not steps:
            raise self._source.error((where, "there is no step in it; give it one or more"))
        chain = self._step(steps[0], (*where, 0))
        for index, step in enumerate(steps[1:], 1):
            chain = self._after(chain, step, (*where, index))
        return chain

    def _after(self, chain: Node[Any, Any], step: Step, where: Where) -> Node[Any, Any]:
        """Put a step behind others; a wait may hand on what comes from them."""
        match step:
            case SleepStep():
                with self._at(where):
                    whole = chain.sleep_for(step.sleep_for, name=step.name)
            case WaitStep(keep=True):
                whole = self._waiting(chain.wait_for, step, where)
            case _:
                following = self._step(step, where)
                with self._at(where):
                    return chain >> following
        self._note(whole.parts[-1], where)
        return whole

    def _step(self, step: Step, where: Where) -> Node[Any, Any]:
        return self._note(self._one(step, where), where)

    def _one(self, step: Step, where: Where) -> Node[Any, Any]:  # noqa: PLR0911, C901  # one for each kind
        match step:
            case SequenceStep():
                return self._chain(step.root, where)
            case str():
                return self._node(PhaseStep(phase=step), where)
            case PhaseStep():
                return self._node(step, where)
            case ParallelStep():
                steps = [
                    self._step(one, (*where, "parallel", index)) for index, one in enumerate(step.parallel)
                ]
                with self._at(where):
                    return parallel(*steps)
            case EachStep():
                inner = self._step(step.each, (*where, "each"))
                with self._at(where):
                    whole: Each[Any, Any] = Each(inner, step.limit, step.on_error)
                    return whole
            case WhenStep():
                inner = self._step(step.then, (*where, "then"))
                test = self._test(step.when, (*where, "when"))
                with self._at((*where, "when")):
                    return when(test, inner)
            case BranchStep():
                then = self._step(step.then, (*where, "then"))
                otherwise = self._step(step.otherwise, (*where, "else"))
                test = self._test(step.branch, (*where, "branch"))
                with self._at((*where, "branch")):
                    return branch(test, then, otherwise)
            case PipelineStep():
                return self._pipeline(step, step.pipeline, "1", where)
            case ChildStep():
                return self._child(step, where)
            case WaitStep(keep=False):
                return self._waiting(wait_for, step, where)
            case WaitStep() | SleepStep():
                text = "it hands on what comes from the step before it, and there is none; put it behind one, in a list"
                raise self._source.error((where, text))
            case _:
                assert_never(step)

    # ------------------------------------------------------------------ names
    def _find(self, name: str, where: Where) -> Registered:
        try:
            return self._registered[name]
        except (PluginError, PluginClashError) as error:
            raise self._source.error((where, str(error))) from error
        except KeyError as error:
            known = sorted(self._registered)
            names = ", ".join(map(repr, known[:MOST_NAMES])) + (", …" if len(known) > MOST_NAMES else "")
            text = f"nothing is registered as {name!r}{did_you_mean(name, known)} (registered: {names or 'nothing'})"
            raise self._source.error((where, text)) from error

    def _node(self, step: PhaseStep, where: Where) -> Node[Any, Any]:
        """The node of a name, made and given options as it says."""
        found = self._made(step, where)
        if not _is_node(found):
            raise self._source.error((where, _no_node(step.phase, found)))
        with self._at(where):
            options = _options(step)
            if options and not _is_phase(found):
                msg = f"{step.phase!r} is no phase, so it has no {', '.join(options)} of its own"
                raise DefinitionError(msg)
            return found.with_options(**options) if options and _is_phase(found) else found

    def _made(self, step: PhaseStep, where: Where) -> Node[Any, Any] | Callable[..., Any] | Signal[Any]:
        """What a name stands for; of a class, an instance."""
        found = self._find(step.phase, where)
        if _is_class_of_nodes(found):
            try:
                return found(**step.arguments)
            except Exception as error:  # whatever the code of the class raises
                text = f"{found.__name__}(...) cannot be made: {type(error).__name__}: {error}"
                raise self._source.error(((*where, "with"), text)) from error
        if step.arguments:
            text = f"{step.phase!r} is registered as something made already, not as a class: it takes no arguments"
            raise self._source.error(((*where, "with"), text))
        return found

    def _test(self, name: str, where: Where) -> Callable[[Any], bool]:
        found = self._find(name, where)
        if not _is_function(found):
            raise self._source.error(
                (where, f"{name!r} is no test: a test is a plain function, (value) -> bool")
            )
        return found

    def _child(self, step: ChildStep, where: Where) -> Node[Any, Any]:
        """What starts a run of a registered pipeline."""
        found = self._find(step.start_child, (*where, "start_child"))
        if not _is_pipeline(found):
            text = f"{step.start_child!r} is no pipeline, so it has no runs; register Pipeline({step.start_child!r}, ...)"
            raise self._source.error(((*where, "start_child"), text))
        with self._at(where):
            return start_child(found, close=step.close, name=step.name, queue=step.queue)

    def _waiting(self, make: Callable[..., Waiting], step: WaitStep, where: Where) -> Waiting:
        """A wait for a signal, made with the options that are given."""
        signal = self._find(step.wait_for, (*where, "wait_for"))
        if not _is_signal(signal):
            text = f"{step.wait_for!r} is no signal; register one: Signal[Type]({step.wait_for!r})"
            raise self._source.error(((*where, "wait_for"), text))
        options: dict[str, Any] = {"timeout": step.timeout, "key": step.key, "name": step.name}
        if "default" in step.model_fields_set:
            options["default"] = self._default(signal, step.default, (*where, "default"))
        with self._at(where):
            return make(signal, **options)

    def _default(self, signal: Signal[Any], default: object, where: Where) -> object:
        """What stands for a signal, made of plain data."""
        try:
            _, value = ValueCodec[Any](
                signal.type, what=f"the default of signal {signal.name!r}"
            ).encode_input(default)
        except EncodeError as error:
            raise self._source.error((where, str(error))) from error
        return value

    # ------------------------------------------------------------------ graphs
    def _graph(self, graph: GraphTable, name: str, where: Where) -> Node[Any, Any]:
        nodes, here = graph.nodes, (*where, "graph")
        self._check_keys(graph, here)
        order = self._order(nodes, here)
        steps = {key: self._graph_step(key, node, (*here, "nodes", key)) for key, node in nodes.items()}
        with self._at((*where, "name" if not where else "pipeline")):
            dag: Dag[Any] = Dag(name, self._input_of(graph, steps, here))
        refs: dict[str, Ref[Any]] = {INPUT: dag.input}
        for key in order:
            with self._at((*here, "nodes", key)):
                refs[key] = _added(dag, steps[key], nodes[key], refs)
        with self._at((*here, "output")):
            whole = dag.output(refs[graph.output], also=[refs[one] for one in graph.also])
        for added, key in zip(whole.steps, order, strict=True):
            self._note(added.step, (*here, "nodes", key))
        return whole

    def _graph_step(self, key: str, node: GraphNode, where: Where) -> Node[Any, Any] | Function:
        """What a node is; a function of several values stays one, for the graph to make a phase of."""
        step = key if node.step is None else node.step
        inner = where if node.step is None else (*where, "step")
        named = PhaseStep(phase=step) if isinstance(step, str) else step
        if isinstance(named, PhaseStep) and node.join == "all" and len(node.takes) > 1:
            found = self._made(named, inner)
            if _is_function(found):
                with self._at(inner):
                    return Function(found, _options(named))
        return self._step(step, inner)

    def _check_keys(self, graph: GraphTable, here: Where) -> None:
        """Every edge must lead somewhere."""
        known = {INPUT, *graph.nodes}
        wanted: list[tuple[Where, str]] = [((*here, "output"), graph.output)]
        wanted += [((*here, "also", i), key) for i, key in enumerate(graph.also)]
        for name, node in graph.nodes.items():
            if not node.takes:
                text = (
                    "it takes nothing, so it could never begin; give it 'input', or the key of another node"
                )
                raise self._source.error(((*here, "nodes", name, "takes"), text))
            for kind, keys in (("takes", node.takes), ("after", node.after)):
                wanted += [((*here, "nodes", name, kind, i), key) for i, key in enumerate(keys)]
        problems = [
            (where, f"the graph has no node {key!r}{did_you_mean(key, known)}")
            for where, key in wanted
            if key not in known
        ]
        if INPUT in graph.nodes:
            problems.append(
                ((*here, "nodes", INPUT), f"{INPUT!r} is what the graph is given; give the node another key")
            )
        if problems:
            raise self._source.error(*problems)

    def _order(self, nodes: Mapping[str, GraphNode], here: Where) -> Sequence[str]:
        """The nodes so that each comes after what it waits for, else as they are written.

        Raises:
            TemplateError: They wait for each other; it names the circle.
        """
        position = {key: index for index, key in enumerate(nodes)}
        waits = {key: {*node.takes, *node.after} - {INPUT} for key, node in nodes.items()}
        followers: dict[str, list[str]] = {key: [] for key in nodes}
        for key, before in waits.items():
            for other in before:
                followers[other].append(key)
        missing = {key: len(before) for key, before in waits.items()}
        ready = [(position[key], key) for key, count in missing.items() if count == 0]
        ordered: list[str] = []
        while ready:
            _, key = heapq.heappop(ready)
            ordered.append(key)
            for other in followers[key]:
                missing[other] -= 1
                if missing[other] == 0:
                    heapq.heappush(ready, (position[other], other))
        if len(ordered) < len(nodes):
            circle = _circle({key: waits[key] for key in nodes if missing[key]})
            text = f"the nodes wait for each other in a circle: {' -> '.join([*circle, circle[0]])}; drop one of these edges"
            raise self._source.error(((*here, "nodes", circle[0]), text))
        return ordered

    def _input_of(
        self, graph: GraphTable, steps: Mapping[str, Node[Any, Any] | Function], here: Where
    ) -> Any:
        """The type of what the graph is given: what all who take it can take."""
        takers: list[tuple[str, Any]] = []
        for key, node in graph.nodes.items():
            step = steps[key]
            for index, source in enumerate(node.takes):
                if source == INPUT:
                    with self._at((*here, "nodes", key)):
                        takers.append(
                            (key, step.takes(index) if isinstance(step, Function) else step.input_type)
                        )
        if not takers:
            text = f"no node takes {INPUT!r}, so that nothing could ever begin"
            raise self._source.error(((*here, "nodes"), text))
        with self._at((*here, "nodes", takers[0][0])):
            return shared_input(takers)


def _no_node(name: str, found: object) -> str:
    if _is_function(found):
        return (
            f"{name!r} is a plain function, which goes behind 'when' or 'branch' as a test, or into a graph if it takes "
            "several values; to make it a phase, decorate it with @phase"
        )
    if isinstance(found, Signal):
        return f"{name!r} is a signal; write {{wait_for = {name!r}}} to wait for it"
    return f"{name!r} is registered as {found!r}, which is neither a phase nor anything else that composes"


def _is_node(found: object) -> TypeGuard[Node[Any, Any]]:
    return isinstance(found, Node)


def _is_pipeline(found: object) -> TypeGuard[Pipeline[Any, Any]]:
    return isinstance(found, Pipeline)


def _is_signal(found: object) -> TypeGuard[Signal[Any]]:
    return isinstance(found, Signal)


def _is_function(found: object) -> TypeGuard[Callable[..., Any]]:
    return callable(found) and not isinstance(found, Node | type)


def _is_phase(found: object) -> TypeGuard[Phase[Any, Any]]:
    return isinstance(found, Phase)


def _is_class_of_nodes(found: object) -> TypeGuard[type[Node[Any, Any]]]:
    return isinstance(found, type) and issubclass(found, Node)


def _added(
    dag: Dag[Any], step: Node[Any, Any] | Function, node: GraphNode, refs: Mapping[str, Ref[Any]]
) -> Ref[Any]:
    add: Callable[..., Ref[Any]] = dag.add  # whose overloads are for those who write the types
    takes, after = [refs[one] for one in node.takes], [refs[one] for one in node.after]
    added, options = (step.fn, step.options) if isinstance(step, Function) else (step, Options())
    return add(added, *takes, after=after, join=node.join, cancel_rest=node.cancel_rest, **options)


def _options(step: PhaseStep) -> Options:
    """The options that are given, as keyword arguments."""
    options = Options()
    if step.name is not None:
        options["name"] = step.name
    if step.queue is not None:
        options["queue"] = step.queue
    if step.label is not None:
        options["label"] = step.label
    if step.timeout is not None:
        options["timeout"] = step.timeout
    if step.heartbeat is not None:
        options["heartbeat"] = step.heartbeat
    if step.concurrency is not None:
        options["concurrency"] = step.concurrency
    if step.rate is not None:
        options["rate"] = _rate(step.rate)
    retry = _retry(step.retry)
    if retry is not None:
        options["retry"] = retry
    return options


def _rate(table: RateTable | None) -> Rate | None:
    return None if table is None else Rate(table.starts, table.per)


def _retry(table: RetryTable | None) -> Retry | None:
    return None if table is None else Retry(table.attempts, table.wait)


def _circle(waits: Mapping[str, set[str]]) -> list[str]:
    """A way from a node back to it, beginning with the one that is written first; each waits for another of them."""
    position = {key: index for index, key in enumerate(waits)}
    seen: dict[str, int] = {}
    way: list[str] = []
    key = next(iter(waits))
    while key not in seen:
        seen[key] = len(way)
        way.append(key)
        key = min((other for other in waits[key] if other in position), key=position.__getitem__)
    circle = way[seen[key] :][::-1]
    start = circle.index(min(circle, key=position.__getitem__))
    return circle[start:] + circle[:start]
