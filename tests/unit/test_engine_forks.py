"""Copies of runs, decided by the engine alone: wherever they begin, they come to what the run would have come to."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.compositions import Fate, Model, Step, Value, compositions, leaves_in, waits_in
from tests.engine import LEASE, PLENTY, CheckedRun, compensated
from tests.unit.test_compositions import BOOM, Player, finishing, plan_of
from tests.unit.test_engine_again import Stubborn
from tests.unit.test_engine_properties import Top
from tests.unit.test_engine_properties import plan_of as plan_of_graph

from phaseline._engine.commands import (
    Begin,
    Fail,
    FinishRun,
    Fork,
    Offer,
    Pause,
    Resume,
    RollBack,
    Start,
    Succeed,
)
from phaseline._engine.verdicts import Refused
from phaseline.events import PipelineForked


@settings(max_examples=200)
@given(compositions(), st.integers(0, 2**31), st.randoms(use_true_random=False), st.integers(0, 40))
def test_a_copy_comes_to_what_a_run_comes_to_that_nothing_befell(
    step: Step, seed: int, chance: Random, moment: int
) -> None:
    """Copied at any moment, after any phase, also of a run that failed: the foreseen state of each phase."""
    fate = Fate(seed)
    model = Model(fate)
    model.run(step, Value(live=True), "")
    run = CheckedRun(plan_of(step))
    leaves = {leaf.name: leaf for leaf in leaves_in(step)}
    waits = {asked.name: asked for asked in waits_in(step)}
    player = Stubborn(run, fate, model.totals, leaves, chance, waits=waits)
    run.do(Start(run.now, None), offer=player.offer())
    for _ in range(moment):
        if not run.ended:
            run.do(player.command(), offer=player.offer())
    rows, record, facts = dict(run.snapshot.rows), run.snapshot.run, len(run.facts)
    committed = [path for path, row in rows.items() if row.decided is not None and path in run.plan.by_path]
    places = [None, *(path for path in committed if "[" not in path)]

    (verdict,) = run.do(Fork("r2", chance.choice(places)))

    assume(not isinstance(verdict, Refused))  # nothing would be left to do
    assert (run.snapshot.rows, run.snapshot.run.state) == (rows, record.state)
    assert [type(fact) for fact in run.facts[facts:]] == [PipelineForked]
    copy = run.copied("r2")
    Player(copy, fate, model.totals, leaves, chance, waits=waits).play()
    assert copy.state == "COMPLETED"
    found = {path: str(row.state) for path, row in copy.snapshot.rows.items() if not model.is_unsure(path)}
    assert found == {path: state for path, state in model.states.items() if not model.is_unsure(path)}


def put(*, fails: bool = False) -> tuple[CheckedRun, Offer]:
    """Give a run of three phases that are compensated, once all of them have completed, or the last has failed."""
    run = CheckedRun(compensated(plan_of_graph([Top(), Top((0,)), Top((1,))])))
    plenty = Offer("w", run.now + LEASE, PLENTY)
    run.do(Start(run.now), offer=plenty)
    run.do(Succeed("n0", 1, "1"), offer=plenty)
    run.do(Succeed("n1", 1, "1"), offer=plenty)
    run.do(Fail("n2", 1, BOOM, None) if fails else Succeed("n2", 1, "1"), offer=plenty)
    return run, plenty


def test_a_copy_has_what_was_committed_and_begins_with_the_rest() -> None:
    """Its rows are decided before its first fact, in their order; the rest waits for a worker, under the first key."""
    run, _ = put(fails=True)
    run.do(Fork("r2", None, None, "r", "ada"))
    copy = run.copied("r2")
    assert [(row.path, row.decided, row.epoch) for row in copy.snapshot.rows.values()] == [
        ("n0", -1, 0), ("n1", 0, 0), ("n2", None, 0),
    ]  # fmt: skip
    assert (copy.snapshot.rows["n2"].generation, copy.snapshot.rows["n2"].fence) == (0, 0)
    record = copy.snapshot.run
    assert (record.state, record.forked_from, record.error, record.letter) == ("IDLE", "r1", None, None)
    assert [(fact.type, fact.data) for fact in copy.facts] == [
        ("PIPELINE_FORKED", {"reason": "r", "actor": "ada", "origin": "r1"})
    ]
    assert run.facts[-1].data == {"reason": "r", "actor": "ada", "fork": "r2"}
    assert dict(run.storage.values("default", "r2", ["n0", "n1", "n2"])) == {"n0": "1", "n1": "1"}


@pytest.mark.parametrize(("at", "problem"), [(None, "it has nothing left"), ("n2", "after phase 'n2'")])
def test_a_copy_with_nothing_left_to_do_is_refused(at: str | None, problem: str) -> None:
    """It would be over before it began."""
    run, _ = put()
    (verdict,) = run.do(Fork("r2", at))
    assert isinstance(verdict, Refused)
    assert problem in verdict.reason
    assert run.storage.load("default", "r2") is None


def test_what_is_not_committed_is_no_place_to_copy_from() -> None:
    """Nor is what was committed and undone since."""
    run, _ = put(fails=True)
    (verdict,) = run.do(Fork("r2", "n2"))
    assert isinstance(verdict, Refused)
    assert verdict.reason == "phase 'n2' is not committed"
    (verdict,) = run.do(Fork("r2", "n1", 7))
    assert isinstance(verdict, Refused)
    assert "that checkpoint is gone" in verdict.reason


def test_a_run_that_finished_early_is_copied_before_that() -> None:
    """After the phase that had the output of the whole run nothing is left to do."""
    run = CheckedRun(finishing(plan_of_graph([Top(), Top((0,)), Top((1,))])))
    plenty = Offer("w", run.now + LEASE, PLENTY)
    run.do(Start(run.now), offer=plenty)
    run.do(Succeed("n0", 1, "1"), offer=plenty)
    run.do(FinishRun("n1", 1, '"done"'))
    for place in (None, "n1"):
        (verdict,) = run.do(Fork("r2", place))
        assert isinstance(verdict, Refused)
    run.do(Fork("r2", "n0"))
    assert list(run.copied("r2").snapshot.rows) == ["n0", "n1"]


@pytest.mark.parametrize("to", [None, "n1"])
def test_a_rollback_takes_a_copy_back_to_where_it_began(to: str | None) -> None:
    """What it took over another run did: that is not undone."""
    run, plenty = put()
    run.do(Fork("r2", "n1"))
    copy = run.copied("r2")
    copy.do(Begin(("n2",)), offer=plenty)
    copy.do(Succeed("n2", 1, "1"))
    copy.do(RollBack(to))
    copy.do(Begin(("n2~",)), offer=plenty)
    copy.do(Succeed("n2~", 1, "null"))
    assert (copy.state, list(copy.snapshot.rows)) == ("ROLLED_BACK", ["n0", "n1"])
    copy.do(Resume())
    assert [row.path for row in copy.waiting] == ["n2"]


def test_no_rollback_takes_a_copy_back_to_before_it_began() -> None:
    """It is the other run that can be copied at an earlier place."""
    run, _ = put()
    run.do(Fork("r2", "n1"))
    (verdict,) = run.copied("r2").do(RollBack("n0"))
    assert isinstance(verdict, Refused)
    assert "taken over from run r1" in verdict.reason


def test_a_copy_that_was_paused_before_it_began_is_idle_again() -> None:
    """What it took over is no beginning of its own."""
    run, _ = put(fails=True)
    run.do(Fork("r2"))
    copy = run.copied("r2")
    copy.do(Pause())
    copy.do(Resume())
    assert copy.state == "IDLE"


def test_the_items_that_a_map_has_left_are_done_in_the_copy() -> None:
    """A list that was taken apart goes on where it was."""
    run = CheckedRun(plan_of_graph([Top(), Top((0,), inner=1), Top((1,))]))
    plenty = Offer("w", run.now + LEASE, PLENTY)
    run.do(Start(run.now), offer=plenty)
    run.do(Succeed("n0", 1, "1", 3), offer=plenty)
    run.do(Succeed("n1[1]", 1, "1"), offer=plenty)
    run.do(Fork("r2"))
    copy = run.copied("r2")
    assert [row.path for row in copy.waiting] == ["n1[0]", "n1[2]"]
    copy.do(Begin(("n1[0]", "n1[2]")), offer=plenty)
    copy.do(Succeed("n1[0]", 1, "1"), Succeed("n1[2]", 1, "1"), offer=plenty)
    assert copy.state == "L2"
