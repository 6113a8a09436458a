"""Whatever is composed: each commit keeps the rules, each move is in the derived table, the model foresees the end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compositions import (
    Asked,
    Fate,
    Leaf,
    Model,
    Step,
    Value,
    compositions,
    leaves_in,
    node_of,
    waits_in,
)
from tests.engine import LEASE, PLENTY, CheckedRun

from phaseline._definition.derive import derive_machine
from phaseline._definition.plan import NodeKind, Plan
from phaseline._engine.commands import (
    NO_OFFER,
    Begin,
    Command,
    Elapse,
    Fail,
    FinishRun,
    Judge,
    Offer,
    Postpone,
    Receive,
    Reclaim,
    Release,
    SkipPhase,
    Start,
    Succeed,
    Unfold,
)
from phaseline._engine.snapshot import is_ended
from phaseline.pipeline import Pipeline
from phaseline.rows import ErrorCategory, ErrorInfo, PhaseRecord, PhaseState

BOOM = ErrorInfo(category=ErrorCategory.PROCESSING, type="Boom", message="boom")
LIMIT = 2


def plan_of(step: Step) -> Plan:
    """Compile it with functions that are never called."""

    def never(_: str) -> Callable[..., Any]:
        return lambda _: pytest.fail("the engine calls no body")

    return Pipeline("random", node_of(step, never, never)).plan


@attrs.define
class Player:
    """Answers whatever is granted as fate has it, in any order and with accidents on the way."""

    run: CheckedRun
    fate: Fate
    totals: dict[str, int]
    leaves: dict[str, Leaf]
    chance: Random
    accidents: bool = True
    waits: dict[str, Asked] = attrs.Factory(dict)

    def play(self) -> None:
        """Go on until the run has ended."""
        run = self.run
        run.do(Start(run.now, None), offer=self.offer())
        self.send_early()
        for _ in range(5_000):
            if run.ended:
                return
            run.now += timedelta(milliseconds=self.chance.randrange(100))
            commands = [self.command() for _ in range(self.chance.choice((1, 1, 2, 3)))]
            run.do(*commands, offer=self.offer())
        pytest.fail(f"the run is stuck: {run.snapshot.rows}")

    def offer(self) -> Offer:
        room = self.chance.choice((PLENTY, 0, 1, 2))
        return Offer("w", self.run.now + LEASE, room) if room else NO_OFFER

    def send_early(self) -> None:
        """Some signals come before anybody waits for them."""
        plan = self.run.plan
        for node in plan.nodes:
            if node.awaits is not None and node.awaits.signal is not None and node.scope is None:
                asked = self.waits[node.awaits.signal]
                if self.fate.comes(asked, node.path) and not self.run.ended and self.chance.randrange(2):
                    self.run.do(self.signal(asked, node.path, None))

    def signal(self, asked: Asked, path: str, key: str | None) -> Receive:
        """What somebody sends; the same again does nothing."""
        element = {"one": None, "many": 0, "grid": [0]}[asked.gives]
        return Receive(
            asked.name,
            "0" if element is None else f"{[element] * self.fate.length(path)}",
            key,
            f"{path} {self.run.snapshot.run.epoch}",
        )

    def awaken(self, row: PhaseRecord) -> Command:
        """What ends a wait."""
        node, _ = self.run.plan.locate(row.path)
        assert node.awaits is not None
        asked = None if node.awaits.signal is None else self.waits[node.awaits.signal]
        if asked is not None and self.fate.comes(asked, row.path):
            return self.signal(asked, row.path, row.wait_key)
        assert row.due_at is not None
        return Elapse(((row.path, row.due_at),))

    def command(self) -> Command:
        held, waiting, resting = self.run.held, self.run.waiting, self.run.resting
        assert held or waiting or resting, "nothing runs, nothing waits, and the run has not ended"
        if resting and (not (held or waiting) or self.chance.randrange(4) == 0):
            return self.awaken(self.chance.choice(resting))
        if waiting and (not held or self.chance.randrange(3) == 0):
            chosen = self.chance.sample(waiting, self.chance.randint(1, len(waiting)))
            return Begin(tuple(row.path for row in chosen))
        row = self.chance.choice(held)
        if self.accidents and row.attempt < 4 and self.chance.randrange(6) == 0:
            return self.accident(row)
        return self.answer(row)

    def accident(self, row: PhaseRecord) -> Command:
        now = self.run.now
        kinds: list[Command] = [
            Fail(row.path, row.fence, BOOM, now), Release(row.path, row.fence),
            Reclaim(((row.path, row.fence),), 10), Postpone(row.path, row.fence, now, "", 10),
        ]  # fmt: skip
        return self.chance.choice(kinds)

    def answer(self, row: PhaseRecord) -> Command:
        """What a body, a test or a count comes to."""
        path, fence = row.path, row.fence
        node, _ = self.run.plan.locate(path)
        if node.kind is NodeKind.TEST:
            return Judge(path, fence, self.fate.holds(path))
        if node.kind is NodeKind.MAP:
            return Unfold(path, fence, self.totals[path])
        leaf = self.leaves.get(path.rpartition("/")[2].partition("[")[0])
        if leaf is None:  # it unwraps what a collecting map gave
            return Succeed(path, fence, "[]", self.totals[self.map_before(path)])
        match self.fate.outcome(leaf, path):
            case "fail":
                return Fail(path, fence, BOOM, None)
            case "dead":
                return SkipPhase(path, fence, "dead", None, passes_input=False)
            case "ok":
                return Succeed(path, fence, "1", self.fate.length(path) if self.chance.randrange(2) else None)

    @staticmethod
    def map_before(path: str) -> str:
        head, _, name = path.rpartition("u_")
        return head + name


@settings(max_examples=150)
@given(compositions(), st.integers(0, 2**31), st.randoms(use_true_random=False))
def test_every_run_ends_as_the_model_says(step: Step, seed: int, chance: Random) -> None:
    """Whatever the composition, the order and the accidents: the state of each phase is the foreseen one."""
    fate = Fate(seed)
    model = Model(fate)
    output = model.run(step, Value(live=True), "")
    run = CheckedRun(plan_of(step))
    leaves = {leaf.name: leaf for leaf in leaves_in(step)}
    waits = {asked.name: asked for asked in waits_in(step)}
    Player(run, fate, model.totals, leaves, chance, waits=waits).play()

    assert "COMPLETED" == run.state
    rows = {path: str(row.state) for path, row in run.snapshot.rows.items() if not model.is_unsure(path)}
    foreseen = {path: state for path, state in model.states.items() if not model.is_unsure(path)}
    assert foreseen == rows
    assert output.live == bool(run.output_live)
    assert all(is_ended(row) for row in run.snapshot.rows.values())
    assert PhaseState.FAILED not in {row.state for path, row in run.snapshot.rows.items() if "[" not in path}


@settings(max_examples=60)
@given(compositions(), st.integers(0, 2**31), st.randoms(use_true_random=False), st.integers(0, 30))
def test_a_run_can_be_finished_at_any_moment(step: Step, seed: int, chance: Random, moment: int) -> None:
    """A body that finishes the run ends it at once: nothing is left open, and one fact tells of all that was skipped."""
    fate = Fate(seed)
    model = Model(fate)
    model.run(step, Value(live=True), "")
    plan = finishing(plan_of(step))
    run = CheckedRun(plan)
    leaves = {leaf.name: leaf for leaf in leaves_in(step)}
    waits = {asked.name: asked for asked in waits_in(step)}
    player = Player(run, fate, model.totals, leaves, chance, accidents=False, waits=waits)
    run.do(Start(run.now, None), offer=player.offer())
    for _ in range(moment):
        if not run.ended:
            run.do(player.command(), offer=player.offer())
    held = [row for row in run.held if plan.locate(row.path)[0].kind is NodeKind.PHASE]
    if run.ended or not held:
        return
    chosen, before = chance.choice(held), len(run.facts)

    run.do(FinishRun(chosen.path, chosen.fence, '"done"'))

    assert "COMPLETED" == run.state
    assert all(is_ended(row) for row in run.snapshot.rows.values())
    assert {node.path for node in plan.members[None]} <= run.snapshot.rows.keys()
    told = [fact.type for fact in run.facts[before:]]
    assert told in (
        ["PHASE_COMPLETED", "PHASE_SKIPPED", "PIPELINE_COMPLETED"],
        ["PHASE_COMPLETED", "PIPELINE_COMPLETED"],
    )


def finishing(plan: Plan) -> Plan:
    """The same plan where every phase may finish the run."""
    nodes = tuple(attrs.evolve(node, may_finish=node.kind is NodeKind.PHASE) for node in plan.nodes)
    order = tuple(nodes[node.index] for node in plan.order)
    return attrs.evolve(plan, nodes=nodes, order=order, transitions=derive_machine("random", nodes))
