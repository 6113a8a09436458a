"""Runs that go on after an end, decided by the engine alone: whatever is dropped of them, they come to the same."""

from __future__ import annotations

from random import Random

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compositions import Fate, Model, Step, Value, compositions, leaves_in, waits_in
from tests.engine import LEASE, PLENTY, CheckedRun, compensated
from tests.unit.test_compositions import BOOM, Player, plan_of
from tests.unit.test_engine_properties import Top
from tests.unit.test_engine_properties import plan_of as plan_of_graph

from phaseline._definition.plan import UNDO_MARK
from phaseline._engine.commands import (
    Begin,
    Cancel,
    Command,
    Fail,
    Offer,
    Pause,
    RerunFrom,
    Restart,
    Resume,
    Retry,
    RollBack,
    RunCommand,
    Start,
    Succeed,
)
from phaseline._engine.verdicts import Refused
from phaseline.events import PipelineRolledBack, PipelineRollingBack
from phaseline.rows import PhaseRecord, PhaseState


@attrs.define
class Stubborn(Player):
    """As its base, where bodies fail for good now and then, and somebody takes the run up again, whatever it takes."""

    failures: int = 4
    again: int = 2
    """Times that a completed run is done once more."""
    rollbacks: int = 0
    """Times that somebody may try to take it back."""
    orders: list[RunCommand] = attrs.field(factory=list[RunCommand])

    def play(self) -> None:
        run = self.run
        run.do(Start(run.now, None), offer=self.offer())
        for _ in range(5_000):
            order = None if run.state == "ROLLING_BACK" else self.order()
            if order is not None:
                self.orders.append(order)
                run.do(order)
                assert (
                    isinstance(order, Pause | Resume | RollBack) or not run.ended or run.state == "COMPLETED"
                )
            elif run.ended:
                return
            else:
                run.do(*[self.command() for _ in range(self.chance.choice((1, 1, 2)))], offer=self.offer())
        pytest.fail(f"the run is stuck: {run.snapshot.rows}")

    def order(self) -> RunCommand | None:
        run, chance = self.run, self.chance
        if run.state == "FAILED":
            return Retry()
        if run.state == "COMPLETED" and self.again:
            self.again -= 1
            ended = [node.path for node in run.plan.order]
            return Restart() if chance.randrange(3) == 2 else RerunFrom(chance.choice(ended))
        if self.rollbacks and run.state != "ROLLED_BACK" and chance.randrange(12) == 11:
            self.rollbacks -= 1
            return RollBack(chance.choice([None, *(node.path for node in run.plan.order)]))
        if run.state == "ROLLED_BACK" or (
            run.state == "PAUSED" and (not run.held or chance.randrange(4) == 0)
        ):
            return Resume()
        return Pause() if not run.ended and run.state != "PAUSED" and chance.randrange(20) == 19 else None

    def answer(self, row: PhaseRecord) -> Command:
        """What undoes a phase comes to nothing, one way or another."""
        if not row.path.endswith(UNDO_MARK):
            return super().answer(row)
        if self.failures and self.chance.randrange(4) == 3:
            self.failures -= 1
            return Fail(row.path, row.fence, BOOM, None)
        return Succeed(row.path, row.fence, "null")

    def command(self) -> Command:
        if self.run.state == "PAUSED":
            return self.answer(self.chance.choice(self.run.held)) if self.run.held else Begin(())
        return super().command()

    def accident(self, row: PhaseRecord) -> Command:
        if self.failures and self.chance.randrange(2) and not self.is_collected(row.path):
            self.failures -= 1
            return Fail(row.path, row.fence, BOOM, None)
        return super().accident(row)

    def is_collected(self, path: str) -> bool:
        """Whether the failure of a phase is an outcome and not the end of the run."""
        plan = self.run.plan
        node, _ = plan.locate(path)
        return any(plan.nodes[scope].on_error == "collect" for scope in plan.scopes_of(node))


@settings(max_examples=120)
@given(compositions(), st.integers(0, 2**31), st.randoms(use_true_random=False))
def test_retries_and_reruns_lead_where_a_run_that_never_failed_leads(
    step: Step, seed: int, chance: Random
) -> None:
    """Failures for good at any point, retried; completed runs done once more: the foreseen state of each phase."""
    play_to_the_foreseen_end(step, seed, chance, failures=4, again=2)


@settings(max_examples=50)
@given(compositions(), st.integers(0, 2**31), st.randoms(use_true_random=False))
def test_rollbacks_lead_where_a_run_that_was_never_taken_back_leads(
    step: Step, seed: int, chance: Random
) -> None:
    """Taken back to any phase, at any moment, and resumed: the foreseen state of each phase."""
    play_to_the_foreseen_end(step, seed, chance, failures=1, again=0, rollbacks=2)


def play_to_the_foreseen_end(step: Step, seed: int, chance: Random, **mishaps: int) -> None:
    """Whatever befalls a run, it comes to what the model says."""
    fate = Fate(seed)
    model = Model(fate)
    output = model.run(step, Value(live=True), "")
    plan = plan_of(step)
    run = CheckedRun(compensated(plan) if "rollbacks" in mishaps and chance.randrange(2) else plan)
    waits = {asked.name: asked for asked in waits_in(step)}
    leaves = {leaf.name: leaf for leaf in leaves_in(step)}
    player = Stubborn(run, fate, model.totals, leaves, chance, waits=waits, **mishaps)
    player.play()

    assert run.state == "COMPLETED"
    rows = {path: str(row.state) for path, row in run.snapshot.rows.items() if not model.is_unsure(path)}
    assert rows == {path: state for path, state in model.states.items() if not model.is_unsure(path)}
    assert output.live == bool(run.output_live)
    epochs = sum(isinstance(order, Retry | Restart | RerunFrom) for order in player.orders)
    rolled_back = sum(isinstance(fact, PipelineRolledBack | PipelineRollingBack) for fact in run.facts)
    assert run.snapshot.run.epoch == epochs + rolled_back


@settings(max_examples=60)
@given(compositions(), st.integers(0, 2**31), st.randoms(use_true_random=False))
def test_only_what_is_undone_gets_new_keys(step: Step, seed: int, chance: Random) -> None:
    """A retry raises no generation; a restart raises that of everything that was committed by one."""
    fate = Fate(seed)
    model = Model(fate)
    model.run(step, Value(live=True), "")
    run = CheckedRun(plan_of(step))
    waits = {asked.name: asked for asked in waits_in(step)}
    leaves = {leaf.name: leaf for leaf in leaves_in(step)}
    player = Stubborn(run, fate, model.totals, leaves, chance, waits=waits, again=0)
    player.play()
    assert {row.generation for row in run.snapshot.rows.values()} == {0}

    before = run.snapshot.rows.keys()
    run.do(Restart())
    while not run.ended:
        run.do(player.command(), offer=player.offer())
        if run.state == "FAILED":
            run.do(Retry())
    again = {path: row.generation for path, row in run.snapshot.rows.items()}
    assert {again[path] for path in before if path in again} <= {1}


# --------------------------------------------------------------------- the corners by name
def started(run: CheckedRun) -> Offer:
    """Start a run with room for everything."""
    plenty = Offer("w", run.now + LEASE, PLENTY)
    run.do(Start(run.now, 4), offer=plenty)
    return plenty


def test_a_retry_takes_up_what_failed_and_what_ended_with_it_and_keeps_the_rest() -> None:
    """Fresh rows in a new epoch, with fences that go on and attempts that begin anew."""
    run = CheckedRun(plan_of_graph([Top(), Top(), Top(), Top((0, 1, 2))]))
    plenty = started(run)
    run.do(Succeed("n0", 1, "1"), Fail("n1", 1, BOOM, None), offer=plenty)
    assert run.state == "FAILED"

    run.do(Retry("again", "ada"))
    assert run.state == "IDLE"
    rows = run.snapshot.rows
    assert {path: (row.epoch, row.attempt, row.fence, row.state) for path, row in rows.items()} == {
        "n0": (0, 1, 1, PhaseState.COMPLETED),
        "n1": (1, 0, 1, PhaseState.PENDING),
        "n2": (1, 0, 2, PhaseState.PENDING),
    }
    assert run.snapshot.run.error is None
    assert run.snapshot.run.ended_at is None

    late = run.do(Succeed("n2", 1, "old"))
    assert late == [None]
    run.do(Begin(("n1", "n2")), offer=plenty)
    run.do(Succeed("n1", 2, "1"), Succeed("n2", 3, "1"), offer=plenty)
    run.do(Succeed("n3", 1, "1"))
    assert run.state == "COMPLETED"
    assert [fact.type for fact in run.facts if fact.type.startswith("PIPELINE")] == [
        "PIPELINE_STARTED", "PIPELINE_FAILED", "PIPELINE_RETRIED", "PIPELINE_STARTED", "PIPELINE_COMPLETED",
    ]  # fmt: skip


def test_items_that_completed_are_kept_and_the_limit_holds_for_the_rest() -> None:
    """Of a map that failed in its middle the items that ended stay, and no more than may run at once come up."""
    run = CheckedRun(plan_of_graph([Top(), Top((0,), inner=1, limit=2)]))
    plenty = started(run)
    run.do(Succeed("n0", 1, "1", 5), offer=plenty)
    run.do(Succeed("n1[1]", 1, "1"), offer=plenty)
    run.do(Succeed("n1[0]", 1, "1"), offer=plenty)
    run.do(Fail("n1[2]", 1, BOOM, None))

    run.do(Retry())

    states = {path: row.state for path, row in run.snapshot.rows.items() if path != "n0"}
    assert states == {
        "n1": PhaseState.RUNNING, "n1[0]": PhaseState.COMPLETED, "n1[1]": PhaseState.COMPLETED,
        "n1[2]": PhaseState.PENDING, "n1[3]": PhaseState.PENDING,
    }  # fmt: skip
    assert run.snapshot.items["n1"].spawned == 4


def test_failures_that_a_map_collected_are_outcomes_and_stay() -> None:
    """A retry for another's failure does not call them again."""
    run = CheckedRun(plan_of_graph([Top(inner=1, limit=1, on_error="collect"), Top()]))
    started(run)
    run.do(Fail("n0[0]", 1, BOOM, None))
    run.do(Fail("n1", 1, BOOM, None))
    run.do(Retry())
    rows = run.snapshot.rows
    assert (rows["n0[0]"].state, rows["n0[0]"].epoch) == (PhaseState.FAILED, 0)
    assert (rows["n1"].state, rows["n1"].epoch) == (PhaseState.PENDING, 1)


def test_a_rerun_does_a_phase_and_what_follows_it_and_leaves_the_others() -> None:
    """What stands beside it in the graph keeps its output and its generation."""
    run = CheckedRun(plan_of_graph([Top(), Top(), Top((0,)), Top((1, 2))]))
    plenty = started(run)
    run.do(Succeed("n0", 1, "1"), Succeed("n1", 1, "1"), offer=plenty)
    run.do(Succeed("n2", 1, "1"), offer=plenty)
    run.do(Succeed("n3", 1, "1"))

    run.do(RerunFrom("n2"))

    rows = run.snapshot.rows
    assert {path: (row.epoch, row.generation) for path, row in rows.items()} == {
        "n0": (0, 0), "n1": (0, 0), "n2": (1, 1),
    }  # fmt: skip
    run.do(Begin(("n2",)), offer=plenty)
    run.do(Succeed("n2", 2, "2"), offer=plenty)
    assert (run.snapshot.rows["n3"].epoch, run.snapshot.rows["n3"].generation) == (1, 1)


def test_a_rerun_from_what_never_came_up_is_refused() -> None:
    """There is nothing to do once more."""
    run = CheckedRun(plan_of_graph([Top(), Top((0,))]))
    started(run)
    run.do(Fail("n0", 1, BOOM, None))
    (verdict,) = run.do(RerunFrom("n1"))
    assert isinstance(verdict, Refused)
    assert "n1" in verdict.reason


def test_nothing_goes_on_after_a_cancel() -> None:
    """CANCELLED is the end."""
    run = CheckedRun(plan_of_graph([Top()]))
    started(run)
    run.do(Cancel())
    for order in (Retry(), Restart(), RerunFrom("n0"), Resume()):
        (verdict,) = run.do(order)
        assert isinstance(verdict, Refused)


def test_a_body_of_an_earlier_epoch_never_bears_the_fence_of_a_later_one() -> None:
    """Fences rise over all epochs: no late commit can meet its own number again."""
    run = CheckedRun(plan_of_graph([Top(), Top(), Top()]))
    plenty = started(run)
    for _ in range(3):
        held = {row.path: row.fence for row in run.held}
        run.do(Fail("n0", held["n0"], BOOM, None))
        run.do(Retry())
        run.do(Begin(tuple(row.path for row in run.waiting)), offer=plenty)
        assert all(row.fence > held[row.path] for row in run.held)
        late = run.do(*(Succeed(path, fence, "late") for path, fence in held.items()))
        assert late == [None] * len(held)
