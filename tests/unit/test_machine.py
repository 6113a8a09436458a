"""The state machine: its table is checked once, and it moves only along it."""

from __future__ import annotations

import enum
import json
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phaseline.errors import DecodeError, DefinitionError, InvalidTransitionError, StaleTransitionError
from phaseline.machine import Change, MachineSnapshot, ObserverFailure, StateMachine, Transitions

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Lamp(enum.Enum):
    OFF = 1
    ON = 2
    BROKEN = 3


class Mode(enum.StrEnum):
    SLOW = "slow"
    FAST = "fast"


LAMP = Transitions(
    {Lamp.OFF: [Lamp.ON], Lamp.ON: [Lamp.OFF, Lamp.BROKEN], Lamp.BROKEN: []}, initial=Lamp.OFF, name="lamp"
)
RING = Transitions({"A": ["B"], "B": ["C"], "C": ["D"], "D": ["A"]}, initial="A", name="ring")


def lamp() -> StateMachine[Lamp]:
    """Make a lamp that is off, at noon."""
    return StateMachine(LAMP, clock=lambda: NOON)


def ring(**options: Any) -> StateMachine[str]:
    """Make a machine that goes round A, B, C, D."""
    return StateMachine(RING, clock=lambda: NOON, **options)


def position(machine: StateMachine[Any]) -> tuple[object, int, object]:
    """All that a refused move must leave as it was."""
    return machine.state, machine.version, machine.history


# --------------------------------------------------------------------- the table
def test_a_table_answers_what_it_was_given() -> None:
    """States and edges keep the order of the table; a state with no edge out is final."""
    assert (Lamp.OFF, Lamp.ON, Lamp.BROKEN) == LAMP.states
    assert ((Lamp.OFF, Lamp.ON), (Lamp.ON, Lamp.OFF), (Lamp.ON, Lamp.BROKEN)) == LAMP.edges
    assert ("lamp", Lamp.OFF) == (LAMP.name, LAMP.initial)
    assert frozenset({Lamp.OFF, Lamp.BROKEN}) == LAMP.allowed(Lamp.ON)
    assert [False, False, True] == [LAMP.is_final(state) for state in Lamp]


def test_a_self_move_is_an_edge_only_where_listed() -> None:
    """A state may go to itself only if its row names it."""
    table = Transitions({"A": ["A", "B"], "B": []}, initial="A")

    assert [True, False] == [table.allows(state, state) for state in ("A", "B")]
    assert "A" == StateMachine(table).to("A").target


def test_an_unknown_state_has_no_edges() -> None:
    """The questions of the table have an answer for every value, without an exception."""
    assert not RING.allows("?", "A")
    assert not RING.allows("A", "?")
    assert frozenset() == RING.allowed("?")
    assert not RING.is_final("?")


def test_a_table_cannot_be_changed() -> None:
    """Neither by assignment nor through the mapping it was made from."""
    source = {"A": ["B"], "B": []}
    table = Transitions(source, initial="A")
    source["B"].append("A")

    assert (("A", "B"),) == table.edges
    assert table.is_final("B")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        table.name = "other"  # type: ignore[misc]  # this is the mistake under test


def _mixed() -> Transitions[Any]:
    return Transitions[Any]({"OFF": [Lamp.OFF], Lamp.OFF: []}, initial="OFF", name="m")


def odd(value: object) -> Any:
    """Give a value that a type checker would refuse where it is used."""
    return value


@pytest.mark.parametrize(
    ("define", "message"),
    [
        (
            lambda: Transitions({"A": "BC", "B": [], "C": []}, initial="A", name="m"),
            "m: the targets are no list: A; put them in brackets",
        ),
        (
            lambda: Transitions({"A": [], "B": odd(5)}, initial="A", name="m"),
            "m: the targets are no list: B; put them in brackets",
        ),
        (
            lambda: Transitions(odd(5), initial="A", name="m"),
            "m: 5 is no table; write Transitions({'A': ['B'], 'B': []}, initial='A')",
        ),
        (
            lambda: StateMachine(odd(5)),
            "StateMachine(5): a table is needed; write Transitions({'A': ['B'], 'B': []}, initial='A')",
        ),
        (
            lambda: Transitions({"A": []}, initial="Z", name="m"),
            "m: the initial state has no row: Z; add a row for each, if only an empty one",
        ),
        (
            lambda: Transitions({"A": ["Y", "Z"], "B": ["Z"]}, initial="A", name="m"),
            "m: edges lead to states without a row: Y, Z; add a row for each, if only an empty one",
        ),
        (
            lambda: Transitions({"A": []}, initial="A", final=["A", "Z"], name="m"),
            "m: declared final, but without a row: Z; add a row for each, if only an empty one",
        ),
        (
            lambda: Transitions({"A": ["B"], "B": ["A"]}, initial="A", final=["B"], name="m"),
            "m: edges lead out of final states: B; drop the edges or the declaration",
        ),
        (
            lambda: Transitions({Lamp.OFF: []}, initial=Lamp.OFF, name="m"),
            "m: members of the enum have no row: ON, BROKEN; add a row for each, if only an empty one",
        ),
        (_mixed, "m: two states share a name: OFF; rename one: a snapshot keeps names only"),
        (
            lambda: Transitions({"A": [], "B": ["A"], "C": []}, initial="A", name="m"),
            "m: no way leads from A to: B, C; add an edge or pass allow_unreachable=True",
        ),
        (
            lambda: Transitions({"A": ["B", "E"], "B": ["C"], "C": ["B"], "E": []}, initial="A", name="m"),
            "m: no way leads to E from: B, C; add an edge or pass allow_traps=True",
        ),
        (
            lambda: Transitions({"A": ["B", "E"], "B": [], "E": []}, initial="A", final=["E"], name="m"),
            "m: no way leads to E from: B; add an edge or pass allow_traps=True",
        ),
    ],
)
def test_a_table_that_cannot_work_is_refused(define: Callable[[], object], message: str) -> None:
    """Each mistake is found when the table is made, and named with the machine and the states."""
    with pytest.raises(DefinitionError) as caught:
        define()

    assert message == str(caught.value)


def test_unreachable_states_and_traps_can_be_accepted() -> None:
    """The two checks that are matters of taste have a flag each."""
    rows = {"A": ["E", "B"], "B": ["B"], "C": ["A"], "E": []}

    assert 4 == len(Transitions(rows, initial="A", allow_unreachable=True, allow_traps=True).states)
    with pytest.raises(DefinitionError, match="no way leads to E from: B;"):
        Transitions(rows, initial="A", allow_unreachable=True)
    with pytest.raises(DefinitionError, match="no way leads from A to: C;"):
        Transitions(rows, initial="A", allow_traps=True)


def test_strings_and_members_of_a_string_enum_mix() -> None:
    """A member of a StrEnum equals its text, and a mixed table need not name all members."""
    table = Transitions[str]({"idle": [Mode.SLOW], Mode.SLOW: []}, initial="idle")
    machine = StateMachine(table)

    machine.to("slow")

    assert Mode.SLOW == machine.state
    assert "slow" == machine.snapshot().state
    with pytest.raises(DefinitionError, match="members of the enum have no row: fast;"):
        Transitions({Mode.SLOW: []}, initial=Mode.SLOW)


def test_states_that_are_neither_are_named_by_their_text() -> None:
    """Any hashable value can be a state."""
    assert (
        "2" == StateMachine(Transitions({1: [2], 2: []}, initial=2, allow_unreachable=True)).snapshot().state
    )


def test_mermaid_draws_states_edges_and_ends() -> None:
    """The diagram begins at the initial state and ends at the final ones."""
    expected = """stateDiagram-v2
    [*] --> OFF
    OFF --> ON
    ON --> OFF
    ON --> BROKEN
    BROKEN --> [*]
"""

    assert expected == LAMP.to_mermaid()


def test_mermaid_gives_an_alias_to_what_it_would_misread() -> None:
    """Names with other characters, words of the language and names that look like an alias are quoted."""
    names = ["on", 'say "hi"\nthere', "DEFAULTED", "end", "s0", "é", "ending"]
    table = Transitions({name: names[i + 1 : i + 2] for i, name in enumerate(names)}, initial="on")
    expected = """stateDiagram-v2
    state "say #quot;hi#quot; there" as s1
    state "DEFAULTED" as s2
    state "end" as s3
    state "s0" as s4
    state "é" as s5
    [*] --> on
    on --> s1
    s1 --> s2
    s2 --> s3
    s3 --> s4
    s4 --> s5
    s5 --> ending
    ending --> [*]
"""

    assert expected == table.to_mermaid()


# --------------------------------------------------------------------- moves
def test_a_move_changes_state_history_and_version() -> None:
    """The returned change is the newest entry of the history."""
    machine = lamp()
    assert (Lamp.OFF, 0, ()) == position(machine)

    change = machine.to(Lamp.ON, reason="switch")

    assert Change(Lamp.OFF, Lamp.ON, "switch", 1, NOON) == change
    assert (Lamp.ON, 1, (change,)) == position(machine)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        change.reason = "other"  # type: ignore[misc]  # this is the mistake under test


def test_the_time_of_a_move_comes_from_the_clock() -> None:
    """Without a clock of one's own it is the time now, aware and in UTC."""
    times = iter([NOON, NOON + timedelta(seconds=1)])
    machine = StateMachine(RING, clock=lambda: next(times))
    assert [NOON, NOON + timedelta(seconds=1)] == [machine.to("B").at, machine.to("C").at]

    before = datetime.now(UTC)
    at = StateMachine(RING).to("B").at
    assert before <= at <= datetime.now(UTC)
    assert timedelta(0) == at.utcoffset()


@pytest.mark.parametrize(
    ("path", "target", "message"),
    [
        ([], Lamp.BROKEN, "lamp: OFF -> BROKEN is not allowed; from OFF one may go to: ON"),
        ([], Lamp.OFF, "lamp: OFF -> OFF is not allowed; from OFF one may go to: ON"),
        (
            [Lamp.ON, Lamp.BROKEN],
            Lamp.ON,
            "lamp: BROKEN -> ON is not allowed; from BROKEN one may go to: nothing, it is a final state",
        ),
        (
            [Lamp.ON],
            "OFF",
            "lamp: ON -> OFF is not allowed (it has no state 'OFF'); from ON one may go to: BROKEN, OFF",
        ),
    ],
)
def test_a_move_off_the_table_is_refused(path: Iterable[Lamp], target: Any, message: str) -> None:
    """The error names source, target and the allowed targets; nothing changed."""
    machine = lamp()
    for state in path:
        machine.to(state)
    before = position(machine)

    with pytest.raises(InvalidTransitionError) as caught:
        machine.to(target)

    assert message == str(caught.value)
    assert before == position(machine)


def test_terminal_and_settled_are_two_things() -> None:
    """Terminal: no edge leads out. Settled: terminal, or declared as a place to rest."""
    machine = StateMachine(LAMP, settled=[Lamp.OFF])
    assert (False, True) == (machine.is_terminal, machine.is_settled)
    machine.to(Lamp.ON)
    assert (False, False) == (machine.is_terminal, machine.is_settled)
    machine.to(Lamp.BROKEN)
    assert (True, True) == (machine.is_terminal, machine.is_settled)


def test_a_settled_state_must_be_in_the_table() -> None:
    """A misspelt one would never settle, so it is refused at once."""
    with pytest.raises(DefinitionError) as caught:
        StateMachine(RING, settled=["A", "Z"])

    assert "ring: settled, but without a row: Z; add a row for each" == str(caught.value)


def test_an_expected_version_must_be_the_present_one() -> None:
    """A stale mover is told so before anything else, even if its target is no longer allowed."""
    machine = ring()
    machine.to("B", expected=0)
    before = position(machine)

    with pytest.raises(StaleTransitionError) as caught:
        machine.to("B", expected=0)

    assert (0, 1) == (caught.value.expected, caught.value.actual)
    assert before == position(machine)
    assert "C" == machine.to("C", expected=1).target


# --------------------------------------------------------------------- guards and before hooks
def test_a_guard_refuses_its_edge_with_a_reason() -> None:
    """The reason is in the error, ``can`` says no as well, and other edges are free."""
    machine = lamp()
    machine.to(Lamp.ON)
    before = position(machine)
    open_gates = [True]

    @machine.guard(Lamp.ON, Lamp.BROKEN)
    def never(change: Change[Lamp]) -> str | None:
        return f"no {change.target.name} today"

    @machine.guard(Lamp.ON, Lamp.OFF)
    def gate(change: Change[Lamp]) -> str | None:
        return None if open_gates else "closed"

    assert not machine.can(Lamp.BROKEN)
    with pytest.raises(InvalidTransitionError) as caught:
        machine.to(Lamp.BROKEN)
    assert ("no BROKEN today", ("BROKEN", "OFF")) == (caught.value.reason, caught.value.allowed)
    assert before == position(machine)
    assert frozenset({Lamp.OFF, Lamp.BROKEN}) == machine.allowed()
    assert machine.can(Lamp.OFF)
    assert not machine.can(Lamp.ON)
    assert Lamp.OFF == machine.to(Lamp.OFF).target


def test_guards_go_before_hooks_and_each_sees_the_change_to_be() -> None:
    """All of them get the object that becomes the history entry, and the state is still the old one."""
    machine = ring()
    seen: list[tuple[str, object, str]] = []

    def note(name: str) -> Callable[[Change[str]], None]:
        return lambda change: seen.append((name, change, machine.state))

    machine.after(note("after"))
    machine.before(note("before 1"))
    machine.before(note("before 2"))
    machine.guard("A", "B")(note("guard 1"))
    machine.guard("A", "B")(note("guard 2"))

    change = machine.to("B", reason="why")

    old = [(name, change, "A") for name in ("guard 1", "guard 2", "before 1", "before 2")]
    assert [*old, ("after", change, "B")] == seen


def test_a_before_hook_can_veto_any_move() -> None:
    """Even with an empty reason; ``can`` does not ask it; no observer hears of the move."""
    machine = ring()
    heard: list[Change[str]] = []
    machine.after(heard.append)
    machine.before(lambda change: "")
    before = position(machine)

    assert machine.can("B")
    with pytest.raises(InvalidTransitionError):
        machine.to("B")

    assert before == position(machine)
    assert [] == heard


@pytest.mark.parametrize("verdict", [True, False])
def test_a_check_must_answer_in_words(verdict: Any) -> None:
    """A boolean would be read the wrong way round by half of the readers, so it is refused."""
    machine = ring()
    machine.before(lambda change: verdict)

    with pytest.raises(DefinitionError, match="to allow a move return None, to refuse it return the reason"):
        machine.to("B")

    assert ("A", 0, ()) == position(machine)


def test_what_a_check_raises_reaches_the_mover() -> None:
    """The exception is its own, and nothing changed."""
    machine = ring()

    @machine.guard("A", "B")
    def broken(change: Change[str]) -> str | None:
        raise LookupError(change.target)

    for ask in (machine.to, machine.can):
        with pytest.raises(LookupError, match="B"):
            ask("B")
    assert ("A", 0, ()) == position(machine)


def test_a_guard_needs_its_edge() -> None:
    """A guard that would never be asked is a mistake."""
    with pytest.raises(DefinitionError) as caught:
        ring().guard("A", "C")

    assert "ring: a guard on A -> C, which the table lacks; add the edge or drop the guard" == str(
        caught.value
    )


def test_a_move_made_inside_a_before_hook_makes_the_outer_one_stale() -> None:
    """The inner move is made at once; the outer one was decided on a version that is gone."""
    machine = ring()

    @machine.before
    def overtake(change: Change[str]) -> str | None:
        if change.reason != "inner":
            machine.to("B", reason="inner")
        return None

    with pytest.raises(StaleTransitionError) as caught:
        machine.to("B", reason="outer")

    assert (0, 1) == (caught.value.expected, caught.value.actual)
    assert ["inner"] == [change.reason for change in machine.history]


# --------------------------------------------------------------------- observers
def test_a_failing_observer_harms_nobody() -> None:
    """The move stands, the other observers are told, and every error is kept and reported."""
    reported: list[ObserverFailure[str]] = []
    machine = ring(on_observer_error=reported.append)
    heard: list[Change[str]] = []
    errors = [ValueError("first"), KeyError("second")]

    def fail(error: Exception) -> Callable[[Change[str]], None]:
        def observer(change: Change[str]) -> None:
            raise error

        return observer

    machine.after(fail(errors[0]))
    machine.after(heard.append)
    machine.after(fail(errors[1]))

    change = machine.to("B")

    assert ("B", 1, (change,)) == position(machine)
    assert [change] == heard
    assert [(change, error) for error in errors] == [(f.change, f.error) for f in machine.observer_errors]
    assert list(machine.observer_errors) == reported


def test_a_failing_report_is_kept_too() -> None:
    """What ``on_observer_error`` raises stands beside the error it was told of, and is not reported."""
    calls: list[object] = []

    def report(failure: ObserverFailure[str]) -> None:
        calls.append(failure)
        raise OSError("log is full")

    machine = ring(on_observer_error=report)

    @machine.after
    def fail(change: Change[str]) -> None:
        raise ValueError(change.target)

    machine.to("B")

    assert ["ValueError('B')", "OSError('log is full')"] == [repr(f.error) for f in machine.observer_errors]
    assert 1 == len(calls)


def test_an_interrupt_in_an_observer_passes_and_leaves_a_working_machine() -> None:
    """Only exceptions are collected; after an interrupt the move stands and the next one runs at once."""
    machine = ring()

    @machine.after
    def interrupt(change: Change[str]) -> None:
        if change.target == "B":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        machine.to("B")

    assert 2 == machine.to("C").version
    assert () == machine.observer_errors


def test_a_move_asked_for_by_an_observer_waits_for_its_turn() -> None:
    """All observers see one move before the next begins; moves are made in the order asked for."""
    machine = ring()
    seen: list[tuple[str, str]] = []
    asked: list[Change[str]] = []

    @machine.after
    def push_on(change: Change[str]) -> None:
        if change.target == "B":
            asked.extend([machine.to("C", reason="one"), machine.to("D", reason="two", expected=2)])
            assert "B" == machine.state

    @machine.after
    def watch(change: Change[str]) -> None:
        seen.append((change.target, machine.state))
        if change.target == "C":
            machine.to("A", reason="three")

    change = machine.to("B")

    assert "B" == change.target
    assert [("B", "B"), ("C", "C"), ("D", "D"), ("A", "A")] == seen
    assert ["", "one", "two", "three"] == [change.reason for change in machine.history]
    assert [Change("B", "C", "one", 0, NOON), Change("B", "D", "two", 0, NOON)] == asked
    assert () == machine.observer_errors


def test_a_waiting_move_that_is_refused_is_reported() -> None:
    """A refusal cannot reach the observer that asked, so it is kept, and the next move is made."""
    machine = ring()
    asked: list[Change[str]] = []

    @machine.after
    def push_on(change: Change[str]) -> None:
        if change.target == "B":
            asked.extend([machine.to("A"), machine.to("C", expected=7), machine.to("C")])

    machine.to("B")

    assert ["B", "C"] == [change.target for change in machine.history]
    failures = machine.observer_errors
    assert asked[:2] == [failure.change for failure in failures]
    assert [InvalidTransitionError, StaleTransitionError] == [type(failure.error) for failure in failures]


# --------------------------------------------------------------------- threads
def run_in_threads(*jobs: Callable[[], object]) -> None:
    """Run all at once; a job that hangs or raises fails the test."""
    errors: list[BaseException] = []

    def guarded(job: Callable[[], object]) -> None:
        try:
            job()
        except BaseException as error:  # noqa: BLE001  # handed on to the test
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert [False] * len(threads) == [thread.is_alive() for thread in threads]
    assert [] == errors


@pytest.mark.parametrize("given_version", [True, False])
def test_of_movers_from_one_version_exactly_one_wins(given_version: bool) -> None:
    """Whether the version is named or read at the beginning, the others are told that they are stale."""
    machine = ring()
    movers = 8
    together = threading.Barrier(movers)
    won: list[Change[str]] = []
    stale: list[StaleTransitionError] = []

    @machine.before
    def meet(change: Change[str]) -> str | None:
        together.wait(5)  # all have read version 0 when the first goes on
        return None

    def move() -> None:
        try:
            won.append(machine.to("B", expected=0 if given_version else None))
        except StaleTransitionError as error:
            stale.append(error)

    run_in_threads(*[move] * movers)

    assert tuple(won) == machine.history
    assert (1, movers - 1) == (len(won), len(stale))
    assert {(0, 1)} == {(error.expected, error.actual) for error in stale}


def test_racing_movers_leave_one_unbroken_history() -> None:
    """Every success is one entry, and the entries form one path with versions 1 to n."""
    machine = StateMachine(RING)
    wins: list[int] = []

    def race() -> None:
        for _ in range(300):
            version, state = machine.version, machine.state
            try:
                wins.append(machine.to(next(iter(RING.allowed(state))), expected=version).version)
            except (StaleTransitionError, InvalidTransitionError):
                continue  # another thread was first

    run_in_threads(*[race] * 4)

    assert sorted(wins) == [change.version for change in machine.history]
    assert list(range(1, machine.version + 1)) == sorted(wins)
    assert machine.snapshot() == StateMachine.restore(RING, machine.snapshot()).snapshot()


def test_no_lock_is_held_while_hooks_run() -> None:
    """Inside every kind of hook another thread can read and, after the change, move the machine."""
    machine = ring()
    machine.guard("A", "B")(lambda change: run_in_threads(machine.snapshot))
    machine.before(lambda change: run_in_threads(machine.snapshot))

    @machine.after
    def other_thread_moves(change: Change[str]) -> None:
        if change.target == "B":
            run_in_threads(lambda: machine.to("C"))

    machine.to("B")

    assert ("C", 2, ()) == (machine.state, machine.version, machine.observer_errors)


# --------------------------------------------------------------------- snapshots
def test_a_snapshot_goes_through_json_and_back() -> None:
    """The restored machine has the same state, version and history, and goes on from there."""
    machine = lamp()
    machine.to(Lamp.ON, reason="switch")
    text = json.dumps(machine.snapshot().to_dict())

    restored = StateMachine.restore(
        LAMP, MachineSnapshot.from_dict(json.loads(text)), settled=[Lamp.ON], clock=lambda: NOON
    )

    assert position(machine) == position(restored)
    assert restored.is_settled
    assert Change(Lamp.ON, Lamp.BROKEN, "", 2, NOON) == restored.to(Lamp.BROKEN)


@pytest.mark.parametrize(
    ("snapshot", "problem"),
    [
        (MachineSnapshot("RED", 0, ()), "'RED' is not one of its states OFF, ON, BROKEN"),
        (
            MachineSnapshot("ON", 1, (Change("DIM", "ON", "", 1, NOON),)),
            "'DIM' is not one of its states OFF, ON, BROKEN",
        ),
        (MachineSnapshot("ON", 1, ()), "its history does not lead to ON at version 1"),
        (
            MachineSnapshot("ON", 1, (Change("ON", "OFF", "", 1, NOON),)),
            "its history does not lead to ON at version 1",
        ),
        (
            MachineSnapshot("ON", 1, (Change("OFF", "ON", "", 2, NOON),)),
            "its history does not lead to ON at version 1",
        ),
    ],
)
def test_a_snapshot_that_does_not_fit_is_refused(snapshot: MachineSnapshot, problem: str) -> None:
    """The error names the machine and the value."""
    with pytest.raises(DecodeError) as caught:
        StateMachine.restore(LAMP, snapshot)

    assert ("snapshot of lamp", (problem,)) == (caught.value.what, caught.value.problems)


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"state": "ON", "version": None, "history": []},
        {"state": "ON", "version": "one", "history": []},
        {"state": "ON", "version": 1, "history": [{"source": "OFF"}]},
        {"state": "ON", "version": 1, "history": ["OFF"]},
    ],
)
def test_data_that_is_no_snapshot_is_refused(broken: dict[str, Any]) -> None:
    """A missing key or a value of another type is one named error."""
    with pytest.raises(DecodeError, match="machine snapshot"):
        MachineSnapshot.from_dict(broken)


# --------------------------------------------------------------------- any table
STATES = "abcdef"


@st.composite
def tables(draw: st.DrawFn) -> Transitions[str]:
    """Any table over six states, the useless ones included."""
    targets = st.lists(st.sampled_from(STATES), max_size=4)
    rows = draw(st.fixed_dictionaries(dict.fromkeys(STATES, targets)))
    initial = draw(st.sampled_from(STATES))
    return Transitions(rows, initial=initial, allow_unreachable=True, allow_traps=True)


@given(tables(), st.lists(st.sampled_from(STATES), max_size=30))
def test_every_move_made_is_an_edge_and_every_other_is_refused(table: Transitions[str], wanted: str) -> None:
    """A refused move leaves state, history and version untouched; a snapshot restores all three."""
    machine = StateMachine(table)
    for target in wanted:
        before, edge = position(machine), (machine.state, target) in table.edges
        assert edge == machine.can(target) == (target in machine.allowed())
        if edge:
            change = machine.to(target)
            assert (before[0], target) == (change.source, change.target)
            assert (target, before[1] + 1, (*machine.history[:-1], change)) == position(machine)
        else:
            with pytest.raises(InvalidTransitionError):
                machine.to(target)
            assert before == position(machine)
    restored = StateMachine.restore(table, MachineSnapshot.from_dict(machine.snapshot().to_dict()))
    assert position(machine) == position(restored)


@given(tables())
def test_the_checks_agree_with_a_walk(table: Transitions[str]) -> None:
    """A table passes the strict checks exactly if every state can be reached and can reach a final one."""
    reach = {state: {state} for state in STATES}
    for _ in STATES:
        for source, target in table.edges:
            for seen in reach.values():
                if source in seen:
                    seen.add(target)
    final = {state for state in STATES if table.is_final(state)}
    sound = reach[table.initial] == set(STATES) and all(not final or final & reach[s] for s in STATES)
    try:
        Transitions({s: table.allowed(s) for s in STATES}, initial=table.initial)
    except DefinitionError:
        assert not sound
    else:
        assert sound


# --------------------------------------------------------------------- a whole application
class Preparation(enum.Enum):
    """States of a run that prepares a task."""

    IDLE = enum.auto()
    INITIALIZING = enum.auto()
    DECOMPOSING = enum.auto()
    ENRICHING = enum.auto()
    GENERATING_PROMPTS = enum.auto()
    PAUSED = enum.auto()
    COMPLETED = enum.auto()
    FAILED = enum.auto()
    ROLLED_BACK = enum.auto()
    CANCELLED = enum.auto()


def test_the_machine_carries_the_run_table_of_a_whole_pipeline() -> None:
    """Three stages, pause with a guard on where to go on, failure, rollback, restart and cancel."""
    p = Preparation
    stages = (p.DECOMPOSING, p.ENRICHING, p.GENERATING_PROMPTS)
    standing = (p.PAUSED, p.FAILED, p.CANCELLED)
    table = Transitions(
        {
            p.IDLE: [p.INITIALIZING, *standing],
            p.INITIALIZING: [*stages, *standing],
            p.DECOMPOSING: [p.ENRICHING, *standing],
            p.ENRICHING: [p.GENERATING_PROMPTS, *standing],
            p.GENERATING_PROMPTS: [p.COMPLETED, *standing],
            p.PAUSED: [p.IDLE, p.INITIALIZING, *stages, p.COMPLETED, p.FAILED, p.ROLLED_BACK, p.CANCELLED],
            p.COMPLETED: [p.IDLE, p.ROLLED_BACK],
            p.FAILED: [p.IDLE, p.ROLLED_BACK],
            p.ROLLED_BACK: [p.IDLE],
            p.CANCELLED: [],
        },
        initial=p.IDLE,
        final=[p.CANCELLED],
        name="task-preparation",
    )
    settled = {p.COMPLETED, p.FAILED, p.PAUSED, p.CANCELLED, p.ROLLED_BACK}
    run = StateMachine(table, settled=settled)

    def not_backwards(change: Change[Preparation]) -> str | None:
        left = run.history[-1].source
        if left in stages and stages.index(change.target) < stages.index(left):
            return f"{left.name} was reached already"
        return None

    for stage in stages:
        run.guard(p.PAUSED, stage)(not_backwards)

    for state in (p.INITIALIZING, p.DECOMPOSING, p.ENRICHING, p.PAUSED):
        run.to(state)
    assert (True, False) == (run.is_settled, run.is_terminal)
    assert [False, True, True] == [run.can(stage) for stage in stages]
    with pytest.raises(InvalidTransitionError, match=r"\(ENRICHING was reached already\)"):
        run.to(p.DECOMPOSING)

    resumed = StateMachine.restore(table, run.snapshot(), settled=settled)
    for state in (p.ENRICHING, p.GENERATING_PROMPTS, p.FAILED, p.ROLLED_BACK, p.IDLE, p.INITIALIZING):
        resumed.to(state)
    for state in (*stages, p.COMPLETED):
        resumed.to(state)
    assert (True, False) == (resumed.is_settled, resumed.is_terminal)
    assert 14 == resumed.version
    for state in (p.IDLE, p.CANCELLED):
        resumed.to(state)
    assert (True, frozenset()) == (resumed.is_terminal, resumed.allowed())
