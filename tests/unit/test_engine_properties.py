"""What holds for every run: random graphs, random orders of completion, random outcomes, several commands at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from random import Random

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.engine import LEASE, PLENTY, CheckedRun, taken_back

from phaseline._definition.closing import finished
from phaseline._definition.compiler import Builder
from phaseline._definition.compose import OnError
from phaseline._definition.derive import derive_machine, fingerprint_of, order_of
from phaseline._definition.edges import GIVEN, Edge, Gather, Source
from phaseline._definition.plan import UNDO_MARK, NodeKind, Plan, PlanNode
from phaseline._engine.commands import (
    Begin,
    Command,
    Fail,
    Offer,
    Postpone,
    Reclaim,
    RecordStep,
    Release,
    SkipPhase,
    Start,
    Succeed,
)
from phaseline._engine.decide import fold
from phaseline._engine.snapshot import ItemCount, is_ended
from phaseline.events import (
    Emitted,
    PhaseCompensated,
    PhaseCompleted,
    PhaseDeadLettered,
    PhaseSkipped,
    PhaseStarted,
    PipelineFailed,
    PipelineRollingBack,
)
from phaseline.rows import ErrorCategory, ErrorInfo, PhaseRecord, PhaseState, Progress

LIMIT = 2
"""Losses and postponements that a phase of these runs survives."""
BOOM = ErrorInfo(category=ErrorCategory.PROCESSING, type="Boom", message="boom")


# --------------------------------------------------------------------- graphs
@attrs.frozen
class Top:
    """A node outside of maps; with ``inner`` it is a map whose items pass through so many phases."""

    parents: tuple[int, ...] = ()
    label: str = ""
    queue: str = "even"
    inner: int = 0
    limit: int | None = None
    on_error: OnError = "fail"


def plan_of(tops: Sequence[Top]) -> Plan:
    """Make a plan of any graph, of phases that take None for what is not handed on."""
    builder = Builder("random", None)
    index_of: list[int] = []
    for position, top in enumerate(tops):
        index = len(builder.nodes)
        index_of.append(index)
        label = top.label or f"L{position}"
        kind = NodeKind.MAP if top.inner else NodeKind.PHASE
        exit_ = Edge(index + top.inner) if top.inner else None
        node = PlanNode(
            index, f"n{position}", kind, label, top.queue, _source([index_of[p] for p in top.parents]),
            limit=top.limit, on_error=top.on_error, exit=exit_,
        )  # fmt: skip
        builder.nodes.append(node)
        for i in range(top.inner):
            inner = index + 1 + i
            path = f"n{position}[]/i{i}" if top.inner > 1 else f"n{position}[]"
            before = Edge(inner - 1) if i else GIVEN
            builder.nodes.append(PlanNode(inner, path, NodeKind.PHASE, label, top.queue, before, scope=index))
    output = Edge(index_of[-1])
    nodes = finished(builder.nodes, builder.cancelling, output)
    return Plan(
        name="random", version="1", nodes=nodes, bindings=(), order=order_of(nodes), output=output, input_type=int,
        output_type=int, transitions=derive_machine("random", nodes), fingerprint=fingerprint_of(nodes, output),
    )  # fmt: skip


def _source(parents: Sequence[int]) -> Source:
    if len(parents) > 1:
        return Gather(tuple(map(Edge, parents)), (True,) * len(parents))
    return Edge(parents[0]) if parents else GIVEN


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Top, ...]:
    """Graphs of phases and maps; neighbours may share a label, as the definition allows."""
    tops: list[Top] = []
    for position in range(draw(st.integers(1, 7))):
        inner = draw(st.sampled_from((0, 0, 0, 1, 1, 2, 3)))
        most = min(position, 1 if inner else 3)  # a map takes one list apart
        parents = draw(st.sets(st.integers(0, position - 1), max_size=most)) if position else set[int]()
        shares = position > 0 and draw(st.integers(0, 3)) == 0
        tops.append(
            Top(
                parents=tuple(sorted(parents)),
                label=tops[-1].label if shares else f"L{position}",
                queue=draw(st.sampled_from(("even", "odd"))),
                inner=inner,
                limit=draw(st.sampled_from((None, 1, 2))),
                on_error=draw(st.sampled_from(("fail", "collect"))),
            )
        )
    return tuple(tops)


# --------------------------------------------------------------------- chance
@attrs.define
class Driver:
    """Plays workers, an outside world and its accidents, until the run has ended."""

    run: CheckedRun
    chance: Random
    releases: int = 0

    def offer(self) -> Offer:
        """What some worker could start at once."""
        queues = self.chance.choice((None, None, frozenset({"even"}), frozenset[str]()))
        waiting = self.chance.choice((None, None, 50, 100, 200))
        room = self.chance.choice((PLENTY, 0, 1, 2, 3))
        return Offer(self.chance.choice(("w1", "w2")), self.run.now + LEASE, room, queues, waiting)

    def drive(self) -> None:
        """Start the run, and answer whatever is granted until nothing is left."""
        run = self.run
        run.not_before = run.now + timedelta(seconds=self.chance.choice((0, 0, 5)))
        run.do(Start(run.not_before, self.chance.randrange(4)), offer=self.offer())
        for _ in range(2_000):
            if run.ended:
                return
            run.now += timedelta(milliseconds=self.chance.randrange(100))
            commands = [self.command() for _ in range(self.chance.choice((1, 1, 2, 3)))]
            run.do(*(command for command in commands if command is not None), offer=self.offer())
        pytest.fail(f"the run is stuck: {run.snapshot.rows}")

    def command(self) -> Command | None:
        """Something that may happen now; if nothing can but by waiting, wait."""
        held, waiting = self.run.held, self.run.waiting
        assert held or waiting, "nothing runs, nothing waits, and the run has not ended"
        due = [row for row in waiting if row.available_at <= self.run.now]
        if not held and not due:
            self.run.now = min(row.available_at for row in waiting)
        accident = self.chance.randrange(12)
        if accident == 2 and self.run.commands:
            return self.chance.choice(self.run.commands)  # doubled, late, or from a worker that was lost
        if accident == 1 and held:
            lost = [row for row in held if self.chance.randrange(2)]
            return Reclaim(tuple((row.path, row.fence) for row in lost), LIMIT)
        if waiting and (not held or self.chance.randrange(2)):
            chosen = self.chance.sample(waiting, self.chance.randint(1, len(waiting)))
            return Begin(tuple(row.path for row in chosen))
        return self.answer(self.chance.choice(held)) if held else None

    def answer(self, row: PhaseRecord) -> Command:  # noqa: PLR0911  # one for each kind of answer
        """What the body of a phase comes to."""
        chance, path, fence = self.chance, row.path, row.fence
        length = chance.randrange(4)  # the shell counts what a map takes; here it counts always
        emitted = (("ITEM_SEEN", {"path": path}),) * chance.randrange(2)
        progress = chance.choice((None, Progress(done=1)))
        later = self.run.now + timedelta(seconds=chance.randrange(3))
        kind = chance.randrange(16)  # 0, to which a failing example shrinks, is plain success
        if path.endswith(UNDO_MARK) and kind in (3, 4, 5):
            kind = 0  # one that has nothing to undo has undone it
        if kind == 9:
            return Fail(path, fence, BOOM, None, progress)
        if kind in (1, 2) and row.failures < LIMIT:
            return Fail(path, fence, BOOM, later, progress)
        if kind == 3:
            return SkipPhase(path, fence, "skipped", None, passes_input=False)
        if kind in (4, 5):
            output = chance.choice((None, "0"))
            return SkipPhase(path, fence, "skipped", output, output is None, length, emitted)
        if kind == 6:
            return Postpone(path, fence, later, "later", LIMIT, emitted, progress)
        if kind == 7 and self.releases < 5:
            self.releases += 1
            return Release(path, fence)
        if kind == 8:
            return RecordStep(path, fence, "key", "1", emitted, progress)
        return Succeed(path, fence, "1", length, emitted, progress)


@settings(max_examples=250)
@given(graphs(), st.randoms(use_true_random=False))
def test_every_run_keeps_the_rules_and_ends(graph: tuple[Top, ...], chance: Random) -> None:
    """Whatever the graph, the order and the outcomes: each commit keeps the rules, and the run ends."""
    run = CheckedRun(plan_of(graph))
    Driver(run, chance).drive()

    if run.state == "COMPLETED":
        assert {node.path for node in run.plan.order} <= run.snapshot.rows.keys()
        assert run.snapshot.cursor == len(run.plan.order)
        live = [row.path for row in run.snapshot.rows.values() if row.live and "[" not in row.path]
        assert sorted(live) == sorted(point.phase for point in run.storage.checkpoints("default", "r1"))
        assert run.snapshot.run.error is None
    else:
        assert isinstance(run.facts[-1], PipelineFailed)
        assert run.facts[-1].error == run.snapshot.run.error
    assert all(is_ended(row) for row in run.snapshot.rows.values())
    assert run.snapshot.run.started_at is not None
    assert run.snapshot.run.ended_at is not None


@settings(max_examples=250)
@given(graphs(), st.randoms(use_true_random=False))
def test_a_run_that_fails_is_undone_by_itself(graph: tuple[Top, ...], chance: Random) -> None:
    """Whatever was committed when it failed, and in whatever company: in the reverse order, if the pipeline says so."""
    plan = taken_back(plan_of(graph))
    run = CheckedRun(plan)
    Driver(run, chance).drive()

    committed = [
        fact.phase
        for fact in run.facts
        if isinstance(fact, PhaseCompleted) and plan.locate(fact.phase)[0].kind is NodeKind.PHASE
    ]
    undone = [fact.phase.removesuffix(UNDO_MARK) for fact in run.facts if isinstance(fact, PhaseCompensated)]
    at_once = [
        fact.seq
        for before, fact in pairwise(run.facts)
        if isinstance(before, PipelineFailed)
        and isinstance(fact, PipelineRollingBack)
        and fact.at == before.at
    ]
    letters = [fact for fact in run.facts if isinstance(fact, PhaseDeadLettered)]
    if run.state == "COMPLETED":
        assert not undone
        assert not at_once
    elif not committed:
        assert (run.state, len(letters), at_once) == ("FAILED", 1, [])
    else:
        assert len(at_once) == 1
        assert undone == [*reversed(committed)][: len(undone)]
        assert (run.state, len(letters), undone == committed[::-1]) in (
            ("ROLLED_BACK", 0, True), ("FAILED", 1, False),  # what undoes a phase may fail
        )  # fmt: skip


@settings(max_examples=100)
@given(graphs(), st.randoms(use_true_random=False))
def test_nothing_changes_a_run_that_has_ended(graph: tuple[Top, ...], chance: Random) -> None:
    """After the end every command is refused or does nothing, whatever fence it carries."""
    run = CheckedRun(plan_of(graph))
    driver = Driver(run, chance)
    driver.drive()
    rows = [row for row in run.snapshot.rows.values() if row.total is None]
    late = [driver.answer(replace(row, fence=fence)) for row in rows for fence in range(row.fence + 2)]
    paths = tuple(run.snapshot.rows)
    every = tuple((row.path, row.fence) for row in rows)
    commands = [*run.commands, *late, Begin(paths), Reclaim(every, 0), Start(run.now, 3)]

    draft, verdicts = fold(run.snapshot, commands, run.now, driver.offer())

    assert draft.is_empty
    assert not any(verdicts)
    held = (Succeed, Fail, Postpone, SkipPhase, RecordStep, Release)
    assert [v is None for v in verdicts] == [isinstance(command, held) for command in commands]


@settings(max_examples=100)
@given(graphs(), st.randoms(use_true_random=False))
def test_the_output_does_not_depend_on_the_way(graph: tuple[Top, ...], chance: Random) -> None:
    """Failures that are tried again, losses and hand-overs leave no trace in what a run comes to."""
    smooth, rough = CheckedRun(plan_of(graph)), CheckedRun(plan_of(graph))
    smooth.do(Start(smooth.now, 2), offer=Offer("w", smooth.now + LEASE, PLENTY))
    while not smooth.ended:
        smooth.do(_output_of(smooth.held[0]), offer=Offer("w", smooth.now + LEASE, PLENTY))

    rough.do(Start(rough.now, 2))
    while not rough.ended:
        held, waiting = rough.held, rough.waiting
        offer = Offer("w", rough.now + LEASE, 1 + chance.randrange(2))
        if waiting and (not held or chance.randrange(2)):
            rough.do(Begin((chance.choice(waiting).path,)), offer=offer)
            continue
        row = chance.choice(held)
        accidents = row.failures + row.crashes + row.postponed
        troubles: list[Command] = [
            Fail(row.path, row.fence, BOOM, rough.now), Release(row.path, row.fence),
            Reclaim(((row.path, row.fence),), LIMIT), Postpone(row.path, row.fence, rough.now, "", LIMIT),
        ]  # fmt: skip
        trouble = accidents < LIMIT and row.attempt < 6 and chance.randrange(2) == 0
        rough.do(chance.choice(troubles) if trouble else _output_of(row), offer=offer)

    paths = list(smooth.snapshot.rows)
    assert rough.snapshot.rows.keys() == smooth.snapshot.rows.keys()
    for path in paths:
        one, other = smooth.snapshot.rows[path], rough.snapshot.rows[path]
        assert (one.state, one.live, one.length, one.error) == (
            other.state,
            other.live,
            other.length,
            other.error,
        )
    values = [run.storage.values("default", "r1", paths) for run in (smooth, rough)]
    assert values[0] == values[1]


def _output_of(row: PhaseRecord) -> Command:
    """The same outcome for a phase wherever and whenever it runs."""
    digest = sum(row.path.encode())
    if digest % 5 == 0:
        return SkipPhase(row.path, row.fence, "skipped", None, passes_input=digest % 2 == 0, length=2)
    return Succeed(row.path, row.fence, str(digest), digest % 4)


# --------------------------------------------------------------------- the worst graphs by name
def test_two_parents_that_end_at_once_decide_a_child_once() -> None:
    """A join whose parents end in the same unit is opened once, and is granted to one body."""
    both_empty = plan_of([Top(), Top((0,), inner=1), Top((0,), inner=1), Top((1, 2))])
    run = CheckedRun(both_empty)
    run.do(Start(run.now), offer=Offer("w", run.now + LEASE, 1))

    (granted,) = run.do(Succeed("n0", 1, "[]", 0), offer=Offer("w", run.now + LEASE, PLENTY))

    assert isinstance(granted, list)
    assert ["n3"] == [row.path for row in granted]
    assert ["n0", "n1", "n2", "n3"] == [f.phase for f in run.facts if isinstance(f, PhaseStarted)]


def test_two_parents_that_are_skipped_at_once_skip_a_child_once() -> None:
    """A join behind two phases that are skipped in the same unit is skipped once."""
    run = CheckedRun(plan_of([Top(), Top((0,)), Top((0,)), Top((1, 2))]))
    run.do(Start(run.now), offer=Offer("w", run.now + LEASE, 1))

    run.do(SkipPhase("n0", 1, "no", None, passes_input=False))

    assert ["n0", "n1", "n2", "n3"] == [f.phase for f in run.facts if isinstance(f, PhaseSkipped)]
    assert "COMPLETED" == run.state


def test_a_join_runs_if_one_of_its_parents_hands_something_on() -> None:
    """One live parent is enough, and the others must have ended all the same."""
    run = CheckedRun(plan_of([Top(), Top(), Top((0, 1))]))
    plenty = Offer("w", run.now + LEASE, PLENTY)
    run.do(Start(run.now), offer=plenty)

    run.do(Succeed("n0", 1, "1"), offer=plenty)
    assert "n2" not in run.snapshot.rows
    run.do(SkipPhase("n1", 1, "no", None, passes_input=False), offer=plenty)

    assert PhaseState.RUNNING is run.snapshot.rows["n2"].state


def test_what_ended_before_the_run_failed_is_not_followed() -> None:
    """Of two phases lost at once the item ends its place in a map, the other the run: nothing comes up after that."""
    run = CheckedRun(plan_of([Top(inner=1, limit=1, on_error="collect"), Top()]))
    plenty = Offer("w", run.now + LEASE, PLENTY)
    run.do(Start(run.now, 3), offer=plenty)

    run.do(Reclaim((("n0[0]", 1), ("n1", 1)), 0), offer=plenty)

    assert "FAILED" == run.state
    assert PhaseState.SKIPPED is run.snapshot.rows["n0"].state
    assert "n0[1]" not in run.snapshot.rows


def test_a_map_behind_nothing_is_skipped_without_items() -> None:
    """A map that was handed nothing has a row and no items, also when it is read again."""
    run = CheckedRun(plan_of([Top(), Top((0,), inner=2), Top((1,))]))
    run.do(Start(run.now), offer=Offer("w", run.now + LEASE, 1))

    run.do(SkipPhase("n0", 1, "no", None, passes_input=False))

    assert [PhaseState.SKIPPED] * 3 == [row.state for row in run.snapshot.rows.values()]
    assert dict[str, ItemCount]() == run.snapshot.items


def test_emitted_facts_stand_before_the_end_of_their_phase() -> None:
    """What a body told comes before the fact that it ended, in the same unit."""
    run = CheckedRun(plan_of([Top()]))
    run.do(Start(run.now), offer=Offer("w", run.now + LEASE, 1))

    run.do(Succeed("n0", 1, "1", emitted=(("ONE", {}), ("TWO", {"n": 2}))))

    assert ["ONE", "TWO", "PHASE_COMPLETED"] == [fact.type for fact in run.facts[2:5]]
    assert [{}, {"n": 2}] == [fact.data for fact in run.facts if isinstance(fact, Emitted)]
