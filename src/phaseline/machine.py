"""State machines: a table checked once when it is defined, and machines that move along it.

``Transitions`` is the table, ``StateMachine`` one thing that moves. What a machine promises:

1. A move is checked against the table, then by the guards of its edge, then by the ``before`` hooks. Then
   state, history and version change together, then the ``after`` observers are told. Whatever refuses or
   raises before the change leaves the machine as it was; what raises after it is kept in ``observer_errors``,
   undoes nothing and keeps no other observer from being told.
2. A lock covers the change, never a hook. Of two movers that started from one version the second gets
   ``StaleTransitionError``.
3. A move asked for inside an ``after`` observer waits until all observers have seen the present one. Such
   moves are made in the order in which they were asked for.
4. ``is_terminal`` means that no edge leads out, ``is_settled`` that nothing happens until somebody asks.
5. A move to the present state is an edge like any other: refused unless listed.
6. Restoring a state that the table does not know names the machine and the value.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from threading import Lock, get_ident
from typing import Any, Final, Generic, TypeAlias, TypeVar

import attrs

from phaseline.errors import DecodeError, DefinitionError, InvalidTransitionError, StaleTransitionError

S = TypeVar("S", bound=Hashable)
T = TypeVar("T", bound=Hashable)

_UTC_NOW: Callable[[], datetime] = partial(datetime.now, UTC)

# What can be a name in Mermaid: no word of its own ("default" not even as a beginning), and no alias of ours.
_MERMAID_WORDS = "as|class|classdef|click|direction|end|hide|href|note|scale|state|style"
_PLAIN_IN_MERMAID = re.compile(rf"(?ai)(?!default|(?:{_MERMAID_WORDS}|s\d+)$)[a-z_]\w*")


def _name(state: Hashable) -> str:
    if isinstance(state, str):
        return str.__str__(state)  # a member of a StrEnum is its text, and equal to it
    return state.name if isinstance(state, Enum) else str(state)


def _names(states: Iterable[Hashable]) -> str:
    return ", ".join(dict.fromkeys(map(_name, states)))


# --------------------------------------------------------------------- the table
@attrs.frozen(init=False, eq=False)
class Transitions(Generic[S]):
    """The table of a state machine: immutable, checked when it is made, shared by all its machines.

    States are members of one ``Enum``, or strings; an edge leads from a key to each of its targets.
    """

    name: str
    """Stands first in every message about the machine."""
    initial: S
    """State that a machine begins in."""
    states: tuple[S, ...]
    """In the order of the table."""
    edges: tuple[tuple[S, S], ...] = attrs.field(repr=False)
    """(source, target) in the order of the table."""
    _targets: dict[S, frozenset[S]] = attrs.field(repr=False)
    _final: frozenset[S] = attrs.field(repr=False)

    def __init__(
        self,
        table: Mapping[S, Iterable[S]],
        *,
        initial: S,
        name: str = "machine",
        final: Iterable[S] | None = None,
        allow_unreachable: bool = False,
        allow_traps: bool = False,
    ) -> None:
        """Check the table and keep it.

        Args:
            table: For each state the states it may go to; every state needs a row, if only an empty one.
            initial: Where each machine begins.
            name: What the machine is called in messages.
            final: The states that must have no edge out; by default all that have none.
            allow_unreachable: Accept states that no way leads to from ``initial``.
            allow_traps: Accept states that are not final and from which no way leads to a final one.

        Raises:
            DefinitionError: The table cannot work; the message names the machine and the states.
        """
        if not isinstance(table, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]  # for who runs no type checker
            raise DefinitionError(
                f"{name}: {table!r} is no table; write Transitions({{'A': ['B'], 'B': []}}, initial='A')"
            )
        if whole := [source for source, targets in table.items() if not _are_many(targets)]:
            msg = f"{name}: the targets are no list: {_names(whole)}; put them in brackets"
            raise DefinitionError(msg)
        rows = {source: dict.fromkeys(targets) for source, targets in table.items()}
        ends = dict.fromkeys((s for s in rows if not rows[s]) if final is None else final)
        for problem, states, advice in _faults(rows, initial, ends, not allow_unreachable, not allow_traps):
            if states:
                msg = f"{name}: {problem}: {_names(states)}; {advice}"
                raise DefinitionError(msg)
        values = {
            "name": name,
            "initial": initial,
            "states": tuple(rows),
            "edges": tuple((source, target) for source in rows for target in rows[source]),
            "_targets": {source: frozenset(targets) for source, targets in rows.items()},
            "_final": frozenset(ends),
        }
        for field, value in values.items():
            object.__setattr__(self, field, value)

    def allowed(self, state: S) -> frozenset[S]:
        """The states one edge away; none for a state that is not in the table."""
        return self._targets.get(state, frozenset())

    def allows(self, source: S, target: S) -> bool:
        """Whether there is an edge from ``source`` to ``target``."""
        return target in self._targets.get(source, ())

    def is_final(self, state: S) -> bool:
        """Whether a machine ends here: declared so, or, without ``final=``, no edge leads out."""
        return state in self._final

    def to_mermaid(self) -> str:
        """The table as the text of a Mermaid state diagram."""
        lines: list[str] = []
        ids: dict[S, str] = {}
        for i, state in enumerate(self.states):
            name = ids[state] = _name(state)
            if not _PLAIN_IN_MERMAID.fullmatch(name):
                ids[state] = f"s{i}"
                text = " ".join(name.split()).replace('"', "#quot;")
                lines.append(f'state "{text}" as s{i}')
        lines.append(f"[*] --> {ids[self.initial]}")
        lines += [f"{ids[source]} --> {ids[target]}" for source, target in self.edges]
        lines += [f"{ids[state]} --> [*]" for state in self.states if self.is_final(state)]
        return "\n    ".join(["stateDiagram-v2", *lines]) + "\n"


def _are_many(targets: object) -> bool:
    return isinstance(targets, Iterable) and not isinstance(targets, str)


def _faults(
    rows: Mapping[S, Iterable[S]], initial: S, final: Iterable[S], reachable: bool, untrapped: bool
) -> Iterator[tuple[str, Sequence[Hashable], str]]:
    """Yield each check as (problem, states that have it, advice); a later one relies on the earlier ones."""
    add = "add a row for each, if only an empty one"
    yield "the initial state has no row", [s for s in [initial] if s not in rows], add
    edges = [(source, target) for source, targets in rows.items() for target in targets]
    yield "edges lead to states without a row", [t for _, t in edges if t not in rows], add
    yield "declared final, but without a row", [s for s in final if s not in rows], add
    yield "edges lead out of final states", [s for s in final if rows[s]], "drop the edges or the declaration"
    kinds = {type(state) for state in rows}
    members = list(kind) if len(kinds) == 1 and issubclass(kind := kinds.pop(), Enum) else []
    yield "members of the enum have no row", [m for m in members if m not in rows], add
    by_name = {_name(state): state for state in rows}
    clash = [s for s in rows if by_name[_name(s)] != s]
    yield "two states share a name", clash, "rename one: a snapshot keeps names only"
    if reachable:
        lost = _outside(rows, [initial], rows)
        yield f"no way leads from {_name(initial)} to", lost, "add an edge or pass allow_unreachable=True"
    if untrapped and final:
        back: dict[S, list[S]] = {state: [] for state in rows}
        for source, target in edges:
            back[target].append(source)
        stuck = _outside(rows, final, back)
        yield f"no way leads to {_names(final)} from", stuck, "add an edge or pass allow_traps=True"


def _outside(states: Iterable[S], start: Iterable[S], edges: Mapping[S, Iterable[S]]) -> list[S]:
    """The states that no way leads to from ``start``."""
    seen: set[S] = set()
    todo = list(start)
    while todo:
        state = todo.pop()
        if state not in seen:
            seen.add(state)
            todo.extend(edges[state])
    return [state for state in states if state not in seen]


# --------------------------------------------------------------------- values
@attrs.frozen(slots=False)  # filled twice as fast as a frozen class with slots
class Change(Generic[S]):
    """One move: made, about to be made (what guards and ``before`` hooks get), or asked for."""

    source: S
    """State before it."""
    target: S
    """State behind it."""
    reason: str
    """Why, in the words of who asked for it; empty if he gave none."""
    version: int
    """Number of the move in its machine, from 1; 0 as long as it waits for its turn."""
    at: datetime
    """UTC, by the clock of the machine."""


Check: TypeAlias = Callable[[Change[S]], str | None]
"""A guard or ``before`` hook: returns None to let the move pass, or the reason to refuse it."""

Observer: TypeAlias = Callable[[Change[S]], object]
"""An ``after`` hook; what it returns is ignored."""


@attrs.frozen
class ObserverFailure(Generic[S]):
    """An observer raised, or a move that it asked for was refused."""

    change: Change[S]
    """The move that was observed, or, with version 0, the one that was asked for."""
    error: Exception
    """What was raised."""


@attrs.frozen
class MachineSnapshot:
    """All there is to know of a machine, states by name: plain data."""

    state: str
    """Where it is."""
    version: int
    """How many moves it has made."""
    history: tuple[Change[str], ...]
    """Moves that it has kept, the oldest first."""

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON data; times are ISO 8601 text."""
        moves = [{**attrs.asdict(change), "at": change.at.isoformat()} for change in self.history]
        return {"state": self.state, "version": self.version, "history": moves}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> MachineSnapshot:
        """Read back what ``to_dict`` gave.

        Raises:
            DecodeError: A key is missing or a value is of another type.
        """
        time = datetime.fromisoformat
        try:
            moves = [
                Change(str(m["source"]), str(m["target"]), str(m["reason"]), int(m["version"]), time(m["at"]))
                for m in data["history"]
            ]
            return cls(str(data["state"]), int(data["version"]), tuple(moves))
        except (KeyError, TypeError, ValueError) as error:
            raise DecodeError("machine snapshot", [repr(error)]) from error


# --------------------------------------------------------------------- the machine
class StateMachine(Generic[S]):
    """One thing that moves along a table; may be shared between threads."""

    def __init__(
        self,
        spec: Transitions[S],
        *,
        settled: Iterable[S] = (),
        clock: Callable[[], datetime] = _UTC_NOW,
        on_observer_error: Callable[[ObserverFailure[S]], object] | None = None,
    ) -> None:
        """Begin in the initial state, with an empty history.

        Args:
            spec: The table.
            settled: States to rest in besides those without an edge out.
            clock: Gives the time of each move, in UTC.
            on_observer_error: Told of each entry of ``observer_errors`` when it comes up.

        Raises:
            DefinitionError: It is no table, or a settled state is not in it.
        """
        if not isinstance(spec, Transitions):  # pyright: ignore[reportUnnecessaryIsInstance]  # for who runs no type checker
            raise DefinitionError(
                f"StateMachine({spec!r}): a table is needed; write Transitions({{'A': ['B'], 'B': []}}, initial='A')"
            )
        self.spec: Final = spec
        """Its table."""
        self._settled = tuple(settled)
        if unknown := [state for state in self._settled if state not in spec.states]:
            msg = f"{spec.name}: settled, but without a row: {_names(unknown)}; add a row for each"
            raise DefinitionError(msg)
        self._clock = clock
        self._on_observer_error = on_observer_error
        self._lock = Lock()
        self._position = (spec.initial, 0)  # state and version in one value: readers need no lock
        self._history: list[Change[S]] = []
        self._guards: dict[tuple[S, S], tuple[Check[S], ...]] = {}
        self._before: tuple[Check[S], ...] = ()
        self._after: tuple[Observer[S], ...] = ()
        self._failures: list[ObserverFailure[S]] = []
        self._waiting: dict[int, deque[tuple[Change[S], int | None]]] = {}  # by thread that tells observers

    @property
    def state(self) -> S:
        """Where it is."""
        return self._position[0]

    @property
    def version(self) -> int:
        """Number of moves made."""
        return self._position[1]

    @property
    def history(self) -> tuple[Change[S], ...]:
        """Every move made, oldest first."""
        return tuple(self._history)

    @property
    def is_terminal(self) -> bool:
        """Whether no edge leads out of the state."""
        return not self.allowed()

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing to do until somebody asks: terminal, or one of ``settled``."""
        state = self.state
        return not self.spec.allowed(state) or state in self._settled

    @property
    def observer_errors(self) -> tuple[ObserverFailure[S], ...]:
        """What went wrong after moves were made, oldest first."""
        return tuple(self._failures)

    def allowed(self) -> frozenset[S]:
        """The states one edge away by the table; guards are not asked."""
        return self.spec.allowed(self.state)

    def can(self, target: S) -> bool:
        """Whether the table and the guards let it move to ``target`` now; ``before`` hooks are not asked.

        Raises:
            DefinitionError: A guard answered neither None nor a reason.
        """
        source, version = self._position
        if not self.spec.allows(source, target):
            return False
        change = Change(source, target, "", version + 1, self._clock())
        return all(_refusal(guard, change) is None for guard in self._guards.get((source, target), ()))

    def to(self, target: S, *, reason: str = "", expected: int | None = None) -> Change[S]:
        """Move to ``target``.

        Args:
            target: The state to go to.
            reason: Why, for the history.
            expected: Version at which the caller decided; None: whatever it is when the move begins.

        Returns:
            The move. Inside an ``after`` observer of this machine, where a move waits for its turn: what was
            asked for, with version 0; should it be refused later, ``observer_errors`` says so.

        Raises:
            InvalidTransitionError: The table, a guard or a ``before`` hook refused; nothing changed.
            DefinitionError: A guard or a ``before`` hook answered neither None nor a reason; nothing changed.
            StaleTransitionError: The version is not ``expected``, or it rose meanwhile; nothing changed.
        """
        waiting = self._waiting.get(get_ident()) if self._waiting else None
        if waiting is not None:
            asked = Change(self.state, target, reason, 0, self._clock())
            waiting.append((asked, expected))
            return asked
        change = self._move(target, reason, expected)
        if self._after:
            self._announce(change)
        return change

    def _move(self, target: S, reason: str, expected: int | None) -> Change[S]:
        spec, position = self.spec, self._position
        source, version = position
        if expected is not None and expected != version:
            raise StaleTransitionError(spec.name, expected, version)
        if not spec.allows(source, target):
            raise self._refused(
                source, target, "" if target in spec.states else f"it has no state {target!r}"
            )
        change = Change(source, target, reason, version + 1, self._clock())
        if self._guards or self._before:
            for check in (*self._guards.get((source, target), ()), *self._before):
                refusal = _refusal(check, change)
                if refusal is not None:
                    raise self._refused(source, target, refusal)
        with self._lock:
            if self._position is not position:
                raise StaleTransitionError(spec.name, version, self._position[1])
            self._history.append(change)
            self._position = (target, version + 1)
        return change

    def _refused(self, source: S, target: S, reason: str) -> InvalidTransitionError:
        allowed = map(_name, self.spec.allowed(source))
        return InvalidTransitionError(self.spec.name, _name(source), _name(target), allowed, reason)

    def _announce(self, change: Change[S]) -> None:
        """Tell the observers, then make the moves they asked for, one after the other."""
        thread = get_ident()
        waiting = self._waiting[thread] = deque[tuple[Change[S], int | None]]()
        try:
            self._tell(change)
            while waiting:
                asked, expected = waiting.popleft()
                self._attempt(asked, self._move_and_tell, asked, expected)
        finally:
            del self._waiting[thread]

    def _move_and_tell(self, asked: Change[S], expected: int | None) -> None:
        self._tell(self._move(asked.target, asked.reason, expected))

    def _tell(self, change: Change[S]) -> None:
        for observer in self._after:
            self._attempt(change, observer, change)

    def _attempt(self, change: Change[S], call: Callable[..., object], *args: object) -> None:
        """Call what may fail without harm to the move or to the observers still to come."""
        try:
            call(*args)
        except Exception as error:  # noqa: BLE001  # whatever an observer raises is kept and reported
            failure = ObserverFailure(change, error)
            self._failures.append(failure)
            if self._on_observer_error is not None and call is not self._on_observer_error:
                self._attempt(change, self._on_observer_error, failure)

    # ----------------------------------------------------------------- hooks: each takes one ``Change``
    def guard(self, source: S, target: S) -> Callable[[Check[S]], Check[S]]:
        """Decorate the guard of one edge. It must have no effects: ``can`` asks it too.

        Raises:
            DefinitionError: The table has no such edge.
        """
        if not self.spec.allows(source, target):
            edge = f"{_name(source)} -> {_name(target)}"
            msg = (
                f"{self.spec.name}: a guard on {edge}, which the table lacks; add the edge or drop the guard"
            )
            raise DefinitionError(msg)

        def register(check: Check[S]) -> Check[S]:
            self._guards[source, target] = (*self._guards.get((source, target), ()), check)
            return check

        return register

    def before(self, hook: Check[S]) -> Check[S]:
        """Ask ``hook`` before every move that the table and the guards allow."""
        self._before = (*self._before, hook)
        return hook

    def after(self, hook: Observer[S]) -> Observer[S]:
        """Tell ``hook`` of every move made, in the thread that made it."""
        self._after = (*self._after, hook)
        return hook

    # ----------------------------------------------------------------- snapshots
    def snapshot(self) -> MachineSnapshot:
        """Its state, version and history as of one moment; hooks are not part of it."""
        with self._lock:
            (state, version), history = self._position, tuple(self._history)
        return MachineSnapshot(_name(state), version, tuple(_renamed(change, _name) for change in history))

    @staticmethod  # a class method would leave the state type unknown to pyright
    def restore(
        spec: Transitions[T],
        snapshot: MachineSnapshot,
        *,
        settled: Iterable[T] = (),
        clock: Callable[[], datetime] = _UTC_NOW,
        on_observer_error: Callable[[ObserverFailure[T]], object] | None = None,
    ) -> StateMachine[T]:
        """Go on from a snapshot. Past moves are not checked again, for the table may have changed since.

        Raises:
            DecodeError: A state is not in the table, or history, version and state contradict each other.
        """
        by_name = {_name(state): state for state in spec.states}
        moves = snapshot.history
        path = [*(m.source for m in moves), snapshot.state]
        named = dict.fromkeys([*path, *(m.target for m in moves)])
        problems = [f"{n!r} is not one of its states {_names(by_name)}" for n in named if n not in by_name]
        versions = [snapshot.version, *(m.version for m in moves)]
        if [m.target for m in moves] != path[1:] or versions != [len(moves), *range(1, len(moves) + 1)]:
            problems.append(f"its history does not lead to {snapshot.state} at version {snapshot.version}")
        if problems:
            raise DecodeError(f"snapshot of {spec.name}", problems)
        machine = StateMachine(spec, settled=settled, clock=clock, on_observer_error=on_observer_error)
        machine._position = (by_name[snapshot.state], snapshot.version)
        machine._history = [_renamed(move, by_name.__getitem__) for move in moves]
        return machine


def _renamed(change: Change[S], rename: Callable[[S], T]) -> Change[T]:
    return Change(rename(change.source), rename(change.target), change.reason, change.version, change.at)


def _refusal(check: Callable[[Change[S]], object], change: Change[S]) -> str | None:
    verdict = check(change)
    if verdict is None or isinstance(verdict, str):
        return verdict
    msg = f"{check!r} returned {verdict!r}; to allow a move return None, to refuse it return the reason"
    raise DefinitionError(msg)
