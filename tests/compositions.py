"""Random compositions of every kind, and what a run of each must come to, told by a model of its own.

The model knows nothing of plans: it walks the composition as a user would explain it. What a body comes to depends on
nothing but its path, so that any order of completion must lead to the same end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, Literal
from zlib import crc32

import attrs
from hypothesis import strategies as st

from phaseline._definition.compose import branch, each, parallel, when
from phaseline._definition.graph import Ref
from phaseline._definition.phase import phase
from phaseline._definition.signals import Signal
from phaseline._definition.step import Node, wait_for
from phaseline.pipeline import Dag, Pipeline

Kind = Literal["one", "many", "grid"]
TYPES: dict[Kind, Any] = {"one": int, "many": list[int], "grid": list[list[int]]}
DEFAULTS: dict[Kind, Any] = {"one": 0, "many": [0, 0], "grid": [[0, 0], [0, 0]]}
ITEMS: dict[Kind, Kind] = {"many": "one", "grid": "many"}
"""What a map over a list hands to each of its items."""


# --------------------------------------------------------------------- compositions
@attrs.frozen
class Leaf:
    """A phase; ``takes`` has more than one member where it joins several values."""

    name: str
    takes: tuple[Kind, ...]
    gives: Kind
    optional: bool = False
    """Whether it takes None for what is not handed on."""
    fails: bool = False
    skips: bool = True


@attrs.frozen
class Line:
    parts: tuple[Step, ...]


@attrs.frozen
class Maybe:
    test: str
    step: Step


@attrs.frozen
class Either:
    test: str
    first: Step
    second: Step


@attrs.frozen
class Beside:
    steps: tuple[Step, ...]
    join: Leaf


@attrs.frozen
class Map:
    name: str | None
    """Of the pipeline around its step; None where the step is a phase or a map."""
    kind: Kind
    """What it takes and gives."""
    step: Step
    limit: int | None
    on_error: Literal["fail", "collect"]


@attrs.frozen
class Named:
    name: str
    step: Step


@attrs.frozen
class Web:
    """A graph of two steps on the same value, the second after the first, and a function of both and of the input."""

    name: str
    kind: Kind
    first: Step
    second: Step
    join: Leaf
    ordered: bool


@attrs.frozen
class First:
    """A graph of two steps on the same value, and a phase that takes what comes first."""

    name: str
    kind: Kind
    steps: tuple[Step, Step]
    taker: Leaf
    cancel_rest: bool


@attrs.frozen
class Rest:
    """A step, and a sleep after it."""

    name: str
    step: Step


@attrs.frozen
class Asked:
    """A wait for a signal, in whose place a default may stand, or nothing; ``step`` is what stands before it."""

    name: str
    step: Step
    gives: Kind
    default: bool
    fails: bool


Step = Leaf | Line | Maybe | Either | Beside | Map | Named | Web | First | Rest | Asked
SPAN = timedelta(hours=1)


@attrs.define
class Names:
    """Gives each part of a composition a name of its own."""

    count: int = 0
    timeless: bool = False
    """Whether nothing may wait, or depend on what comes first."""

    def next(self, letter: str) -> str:
        self.count += 1
        return f"{letter}{self.count}"


@st.composite
def compositions(draw: st.DrawFn, *, timeless: bool = False, nested: bool = False) -> Step:
    """Draw a composition that takes and gives one value; a ``nested`` one is a map whose items may be lists in turn."""
    names = Names(timeless=timeless)
    if not nested:
        return _step(draw, names, "one", "one", 3, fails=False, skips=True)
    first, last = (Leaf(names.next("p"), ("one",), "grid"), Leaf(names.next("p"), ("grid",), "one"))
    item = _step(draw, names, "many", "many", 2, fails=False, skips=True)
    name = None if isinstance(item, Leaf) else names.next("m")
    return Line((Line((first, Map(name, "grid", item, draw(st.sampled_from((None, 1))), "fail"))), last))


def _step(  # noqa: C901, PLR0911  # one return for each kind
    draw: st.DrawFn, names: Names, takes: Kind, gives: Kind, depth: int, *, fails: bool, skips: bool
) -> Step:
    def inner(takes: Kind, gives: Kind, *, fails: bool = fails, skips: bool = skips) -> Step:
        return _step(draw, names, takes, gives, depth - 1, fails=fails, skips=skips)

    def leaf(*takes: Kind, gives: Kind = gives) -> Leaf:
        optional = len(takes) > 1 and draw(st.booleans())
        return Leaf(names.next("p"), takes, gives, optional, fails, skips)

    def kind() -> Kind:
        return draw(st.sampled_from(("one", "many", "grid")))

    kinds = ["leaf"]
    if depth > 0:
        kinds += ["line", "line", "either", "beside", "named", "web"]
        kinds += [] if names.timeless else ["first", "rest", "asked"]
        kinds += ["maybe"] * 2 * (takes == gives)
        kinds += ["map"] * 4 * (takes == gives and takes in ITEMS)
    match draw(st.sampled_from(kinds)):
        case "line":
            middle = kind()
            return Line((inner(takes, middle), inner(middle, gives)))
        case "maybe":
            return Maybe(names.next("t"), inner(takes, gives))
        case "either":
            return Either(names.next("t"), inner(takes, gives), inner(takes, gives))
        case "beside":
            parts = [kind() for _ in range(draw(st.integers(2, 3)))]
            return Beside(tuple(inner(takes, part) for part in parts), leaf(*parts))
        case "rest":
            return Rest(names.next("z"), inner(takes, gives))
        case "asked":
            before = inner(takes, kind())
            return Asked(names.next("s"), before, gives, draw(st.booleans()), fails)
        case "named":
            return Named(names.next("g"), inner(takes, gives))
        case "web":
            a, b = kind(), kind()
            join = leaf(takes, a, b)
            return Web(names.next("d"), takes, inner(takes, a), inner(takes, b), join, draw(st.booleans()))
        case "first":
            middle, cancel = kind(), draw(st.booleans())
            calm = {"fails": fails and not cancel}
            contenders = (inner(takes, middle, **calm), inner(takes, middle, **calm))
            return First(names.next("r"), takes, contenders, leaf(middle), cancel)
        case "map":
            collects = draw(st.booleans())
            limit = draw(st.sampled_from((None, None, 1, 2)))
            item = inner(ITEMS[takes], ITEMS[takes], fails=fails or collects)
            name = None if isinstance(item, Leaf) else names.next("m")
            return Map(name, takes, item, limit, "collect" if collects else "fail")
        case _:
            return leaf(takes)


# --------------------------------------------------------------------- as a user writes them
Body = Callable[[str], Callable[..., Any]]
Ask = Callable[[str], Callable[[Any], bool]]


def node_of(step: Step, body: Body, ask: Ask) -> Node[Any, Any]:  # noqa: C901, PLR0911, PLR0912  # one for each kind
    """Compose it with the public names; ``body`` and ``ask`` give the function that a name stands for."""

    def build(part: Step) -> Node[Any, Any]:
        return node_of(part, body, ask)

    match step:
        case Leaf():
            return _phase(step, body, tuple_of=len(step.takes) > 1)
        case Line():
            node = build(step.parts[0])
            for part in step.parts[1:]:
                node >>= build(part)
            return node
        case Maybe():
            return when(_test(step.test, _takes(step.step), ask), build(step.step))
        case Either():
            return branch(_test(step.test, _takes(step.first), ask), build(step.first), build(step.second))
        case Beside():
            return parallel(*map(build, step.steps)) >> build(step.join)
        case Map():
            item = build(step.step)
            named = item if step.name is None else Pipeline(step.name, item)
            if step.on_error == "collect":
                return each(named, limit=step.limit, on_error="collect") >> _unwrap(step)
            return each(named, limit=step.limit)
        case Named():
            return Pipeline(step.name, build(step.step))
        case Rest():
            return build(step.step).sleep_for(SPAN, name=step.name)
        case Asked():
            signal = signal_of(step)
            more: dict[str, Any] = {"default": DEFAULTS[step.gives]} if step.default else {}
            return build(step.step) >> wait_for(signal, timeout=SPAN, name=step.name, **more)
        case Web():
            dag = Dag(step.name, TYPES[step.kind])
            a: Ref[Any] = dag.add(build(step.first), dag.input)
            b: Ref[Any] = dag.add(build(step.second), dag.input, after=[a] if step.ordered else ())
            joined = dag.add(_function(step.join, body), dag.input, a, b)
            return dag.build(joined)
        case First():
            dag = Dag(step.name, TYPES[step.kind])
            refs = [dag.add(build(part), dag.input) for part in step.steps]
            taken = dag.add(build(step.taker), *refs, join="any", cancel_rest=step.cancel_rest)
            return dag.build(taken)


def template_of(step: Step, body: Body, ask: Ask) -> tuple[Any, dict[str, Any]]:  # noqa: C901, PLR0911  # as above
    """The same as a step of a template, and what is registered under the names in it."""
    registered: dict[str, Any] = {}

    def name(part: str, node: Any) -> str:
        registered[part] = node
        return part

    def build(part: Step) -> Any:
        found, more = template_of(part, body, ask)
        registered.update(more)
        return found

    match step:
        case Leaf():
            return name(step.name, _phase(step, body, tuple_of=len(step.takes) > 1)), registered
        case Line():
            return [build(part) for part in step.parts], registered
        case Maybe():
            test = name(step.test, _test(step.test, _takes(step.step), ask))
            return {"when": test, "then": build(step.step)}, registered
        case Either():
            test = name(step.test, _test(step.test, _takes(step.first), ask))
            return {"branch": test, "then": build(step.first), "else": build(step.second)}, registered
        case Beside():
            return [{"parallel": [build(part) for part in step.steps]}, build(step.join)], registered
        case Map():
            item = build(step.step)
            named = item if step.name is None else {"pipeline": step.name, "steps": [item]}
            mapped = {"each": named, "limit": step.limit, "on_error": step.on_error}
            if step.on_error == "fail":
                return mapped, registered
            return [mapped, name(unwrap_name(step), _unwrap(step))], registered
        case Named():
            return {"pipeline": step.name, "steps": [build(step.step)]}, registered
        case Rest():
            return [build(step.step), {"sleep_for": "PT1H", "name": step.name}], registered
        case Asked():
            wait = {
                "wait_for": name(f"of {step.name}", signal_of(step)),
                "timeout": "PT1H",
                "name": step.name,
            }
            more = {"default": DEFAULTS[step.gives]} if step.default else {}
            return [build(step.step), {**wait, **more}], registered
        case Web():
            nodes = {
                "a": {"step": build(step.first), "takes": "input"},
                "b": {"step": build(step.second), "takes": ["input"], "after": ["a"] * step.ordered},
                "join": {
                    "step": name(step.join.name, _function(step.join, body)),
                    "takes": ["input", "a", "b"],
                },
            }
            return {"pipeline": step.name, "graph": {"nodes": nodes, "output": "join"}}, registered
        case First():
            nodes = {f"n{i}": {"step": build(part), "takes": "input"} for i, part in enumerate(step.steps)}
            race = {"join": "any", "cancel_rest": step.cancel_rest, "takes": list(nodes)}
            nodes["first"] = {"step": build(step.taker), **race}
            return {"pipeline": step.name, "graph": {"nodes": nodes, "output": "first"}}, registered


def _takes(step: Step) -> Kind:  # one for each kind
    match step:
        case Leaf():
            return step.takes[0]
        case Line():
            return _takes(step.parts[0])
        case Maybe() | Named() | Rest() | Asked():
            return _takes(step.step)
        case Either():
            return _takes(step.first)
        case Beside():
            return _takes(step.steps[0])
        case Map() | Web() | First():
            return step.kind


def signal_of(step: Asked) -> Signal[Any]:
    """The token of a wait."""
    of_kind: Any = Signal[TYPES[step.gives]]  # type: ignore[misc]  # a type that is known at run time only
    return of_kind(step.name)


def _function(leaf: Leaf, body: Body) -> Callable[..., Any]:
    function = body(leaf.name)

    def wrapped(a: Any, b: Any, c: Any) -> Any:
        return function((a, b, c))

    wrapped.__name__ = wrapped.__qualname__ = leaf.name
    types = [TYPES[kind] | None if leaf.optional else TYPES[kind] for kind in leaf.takes]
    wrapped.__annotations__ = {**dict(zip("abc", types, strict=True)), "return": TYPES[leaf.gives]}
    return wrapped


def _phase(leaf: Leaf, body: Body, *, tuple_of: bool) -> Node[Any, Any]:
    function = body(leaf.name)

    def wrapped(value: Any) -> Any:
        return function(value)

    types = [TYPES[kind] | None if leaf.optional else TYPES[kind] for kind in leaf.takes]
    wrapped.__annotations__ = {
        "value": tuple[tuple(types)] if tuple_of else types[0],
        "return": TYPES[leaf.gives],
    }
    return phase(name=leaf.name)(wrapped)


def _unwrap(step: Map) -> Node[Any, Any]:
    """A phase that makes a plain list of what a collecting map gives."""

    def unwrap(found: list[Any]) -> Any:
        return [getattr(item, "value", DEFAULTS[ITEMS[step.kind]]) for item in found]

    unwrap.__annotations__ = {"found": list[Any], "return": TYPES[step.kind]}
    return phase(name=unwrap_name(step))(unwrap)


def unwrap_name(step: Map) -> str:
    return f"u_{step.name or step.step.name}"  # type: ignore[union-attr]  # without a name its step is a leaf


def _test(name: str, takes: Kind, ask: Ask) -> Callable[[Any], bool]:
    function = ask(name)

    def test(value: Any) -> bool:
        return function(value)

    test.__name__ = name
    test.__annotations__ = {"value": TYPES[takes], "return": bool}
    return test


# --------------------------------------------------------------------- what bodies come to
Outcome = Literal["ok", "dead", "fail"]


@attrs.frozen
class Fate:
    """What everything comes to, by its path alone."""

    seed: int

    def digest(self, path: str) -> int:
        return crc32(f"{self.seed}:{path}".encode())

    def outcome(self, leaf: Leaf, path: str) -> Outcome:
        digest = self.digest(path)
        if leaf.fails and digest % 5 == 0:
            return "fail"
        return "dead" if leaf.skips and digest % 7 == 0 else "ok"

    def comes(self, step: Asked, path: str) -> bool:
        """Whether somebody sends a signal before its time is over."""
        return not (step.fails or step.default) or self.digest(path) % 3 > 0

    def length(self, path: str) -> int:
        return self.digest(path) // 7 % 4

    def holds(self, path: str) -> bool:
        return self.digest(path) % 2 == 0


# --------------------------------------------------------------------- the model
@attrs.frozen
class Value:
    """What a step hands on: whether anything, and of how many elements."""

    live: bool
    length: int = 0


DEAD = Value(live=False)


@attrs.define
class Model:
    """Says how each phase of a run must have ended."""

    fate: Fate
    states: dict[str, str] = attrs.Factory(dict)
    totals: dict[str, int] = attrs.Factory(dict)
    """Items of each map that opens."""
    unsure: set[str] = attrs.Factory(set)
    """Beginnings of paths whose end depends on the order: items that fail, and what may lose a race."""
    failed: bool = False
    """Whether something has failed in the item at hand."""

    def run(self, step: Step, value: Value, prefix: str, item: str | None = None) -> Value:  # noqa: PLR0911, PLR0912, C901  # one for each kind
        """Walk a step that is reached with a value.

        Args:
            step: The step.
            value: What it takes.
            prefix: Of the paths in it.
            item: In place of the prefix and the name, for the phase that is the whole of an item.
        """
        match step:
            case Leaf():
                return self.leaf(step, value, prefix + step.name if item is None else item)
            case Line():
                for part in step.parts:
                    value = self.run(part, value, prefix)
                return value
            case Maybe():
                if not value.live or self.test(prefix + step.test):
                    return self.run(step.step, self.asked(value, prefix + step.test), prefix)
                self.skip(step.step, prefix)
                return value
            case Either():
                holds = self.test(prefix + step.test) if value.live else True
                value = self.asked(value, prefix + step.test)
                ways = (step.first, step.second) if holds else (step.second, step.first)
                given = self.run(ways[0], value, prefix)
                self.skip(ways[1], prefix)
                return given
            case Beside():
                parts = [self.run(part, value, prefix) for part in step.steps]
                return self.leaf(step.join, self.join(step.join, parts), prefix + step.join.name)
            case Map():
                given = self.map(step, value, prefix)
                if step.on_error == "collect":
                    return self.end(given, prefix + unwrap_name(step), given.length)
                return given
            case Named():
                return self.run(step.step, value, f"{prefix}{step.name}/")
            case Rest():
                given = self.run(step.step, value, prefix)
                return self.end(given, prefix + step.name, given.length)
            case Asked():
                return self.ask(step, self.run(step.step, value, prefix), prefix + step.name)
            case Web():
                inside = f"{prefix}{step.name}/"
                parts = [value, self.run(step.first, value, inside), self.run(step.second, value, inside)]
                return self.leaf(step.join, self.join(step.join, parts), inside + step.join.name)
            case First():
                return self.race(step, value, f"{prefix}{step.name}/")

    def asked(self, value: Value, path: str) -> Value:
        self.states[f"{path}?"] = "COMPLETED" if value.live else "SKIPPED"
        return value

    def test(self, path: str) -> bool:
        self.states[f"{path}?"] = "COMPLETED"
        return self.fate.holds(f"{path}?")

    def join(self, leaf: Leaf, parts: list[Value]) -> Value:
        live = [part.live for part in parts]
        return Value(any(live) if leaf.optional else all(live))

    def leaf(self, leaf: Leaf, value: Value, path: str) -> Value:
        outcome = self.fate.outcome(leaf, path) if value.live else "dead"
        self.states[path] = {"ok": "COMPLETED", "dead": "SKIPPED", "fail": "FAILED"}[outcome]
        self.failed = self.failed or outcome == "fail"
        return Value(live=True, length=self.fate.length(path)) if outcome == "ok" else DEAD

    def ask(self, step: Asked, value: Value, path: str) -> Value:
        comes = self.fate.comes(step, path)
        if value.live and not comes and not step.default:
            self.states[path], self.failed = "FAILED", True
            return DEAD
        return self.end(value, path, self.fate.length(path) if comes else len(DEFAULTS["many"]))

    def end(self, value: Value, path: str, length: int) -> Value:
        self.states[path] = "COMPLETED" if value.live else "SKIPPED"
        return attrs.evolve(value, length=length)

    def map(self, step: Map, value: Value, prefix: str) -> Value:
        path = prefix + (step.name or step.step.name)  # type: ignore[union-attr]  # as above
        if not value.live:
            return self.end(DEAD, path, 0)
        self.totals[path] = value.length
        collects, dropped, outside = step.on_error == "collect", 0, self.failed
        for index in range(value.length):
            self.failed = False
            item = f"{path}[{index}]"
            element = Value(live=True, length=self.fate.length(item))  # counts where it is a list itself
            given = self.run(step.step, element, f"{item}/", item if step.name is None else None)
            dropped += not given.live
            if self.failed and collects:
                self.unsure.add(item)
            outside = outside or (self.failed and not collects)
        self.failed = outside
        length = value.length if collects else value.length - dropped
        return self.end(Value(live=True), path, length)

    def race(self, step: First, value: Value, prefix: str) -> Value:
        before = set(self.states)
        given = [self.run(part, value, prefix) for part in step.steps]
        if step.cancel_rest:
            self.unsure.update(set(self.states) - before)
        first = Value(any(one.live for one in given))
        return self.leaf(step.taker, first, prefix + step.taker.name)

    def skip(self, step: Step, prefix: str) -> None:
        """Note that all of a step is skipped; what is inside of maps never comes up."""
        self.states.update(dict.fromkeys(paths_in(step, prefix), "SKIPPED"))

    def is_unsure(self, path: str) -> bool:
        return any(path == known or path.startswith((f"{known}/", f"{known}[")) for known in self.unsure)


def paths_in(step: Step, prefix: str) -> Iterator[str]:  # noqa: C901, PLR0912  # one for each kind
    """Paths of all phases, maps and tests of a step, but for those inside of maps."""
    match step:
        case Leaf():
            yield prefix + step.name
        case Line():
            for part in step.parts:
                yield from paths_in(part, prefix)
        case Maybe():
            yield f"{prefix}{step.test}?"
            yield from paths_in(step.step, prefix)
        case Either():
            yield f"{prefix}{step.test}?"
            yield from paths_in(step.first, prefix)
            yield from paths_in(step.second, prefix)
        case Beside():
            for part in (*step.steps, step.join):
                yield from paths_in(part, prefix)
        case Map():
            yield prefix + (step.name or step.step.name)  # type: ignore[union-attr]  # as above
            if step.on_error == "collect":
                yield prefix + unwrap_name(step)
        case Named():
            yield from paths_in(step.step, f"{prefix}{step.name}/")
        case Rest() | Asked():
            yield from paths_in(step.step, prefix)
            yield prefix + step.name
        case Web():
            for part in (step.first, step.second, step.join):
                yield from paths_in(part, f"{prefix}{step.name}/")
        case First():
            for part in (*step.steps, step.taker):
                yield from paths_in(part, f"{prefix}{step.name}/")


def leaves_in(step: Step) -> Iterator[Leaf]:  # noqa: C901  # one for each kind
    """All phases of a step."""
    match step:
        case Leaf():
            yield step
        case Line():
            for part in step.parts:
                yield from leaves_in(part)
        case Maybe() | Named() | Map() | Rest() | Asked():
            yield from leaves_in(step.step)
        case Either():
            yield from leaves_in(step.first)
            yield from leaves_in(step.second)
        case Beside():
            for part in (*step.steps, step.join):
                yield from leaves_in(part)
        case Web():
            for part in (step.first, step.second, step.join):
                yield from leaves_in(part)
        case First():
            for part in (*step.steps, step.taker):
                yield from leaves_in(part)


def waits_in(step: Step) -> Iterator[Asked]:  # one for each kind
    """All waits for signals in a step."""
    match step:
        case Leaf():
            pass
        case Line():
            for part in step.parts:
                yield from waits_in(part)
        case Asked():
            yield step
            yield from waits_in(step.step)
        case Maybe() | Named() | Map() | Rest():
            yield from waits_in(step.step)
        case Either() | Web():
            yield from waits_in(step.first)
            yield from waits_in(step.second)
        case Beside() | First():
            for part in step.steps:
                yield from waits_in(part)
