"""Rollbacks decided by the engine alone: what is undone, in which order, and where it goes on after a failure."""

from __future__ import annotations

import pytest
from tests.engine import LEASE, PLENTY, CheckedRun, compensated, taken_back
from tests.unit.test_compositions import BOOM
from tests.unit.test_engine_properties import Top, plan_of

from phaseline._engine.commands import (
    NO_OFFER,
    Begin,
    Cancel,
    Command,
    Fail,
    Offer,
    Pause,
    Reclaim,
    RerunFrom,
    Restart,
    Resume,
    Retry,
    RollBack,
    RunCommand,
    Start,
    Succeed,
)
from phaseline._engine.control import Refused
from phaseline._engine.decide import fold
from phaseline._engine.snapshot import ItemCount
from phaseline.events import PhaseCompensated
from phaseline.rows import PhaseState

LINE = [Top(), Top((0,)), Top((1,))]


def ended(tops: list[Top]) -> tuple[CheckedRun, Offer]:
    """Give a run of these nodes whose phases are compensated, once all of them have completed."""
    run = CheckedRun(compensated(plan_of(tops)))
    plenty = Offer("w", run.now + LEASE, PLENTY)
    run.do(Start(run.now), offer=plenty)
    while run.held:
        row = run.held[0]
        run.do(Succeed(row.path, row.fence, "1", 2), offer=plenty)
    assert run.state == "COMPLETED"
    return run, plenty


def undo(run: CheckedRun, offer: Offer = NO_OFFER) -> str:
    """Have what is undone now come to its end; gives its path."""
    run.do(Begin(tuple(row.path for row in run.waiting)), offer=Offer("w", run.now + LEASE, 1))
    (row,) = run.held
    run.do(Succeed(row.path, row.fence, "null"), offer=offer)
    return row.path


def undone(run: CheckedRun) -> list[str]:
    """Paths of what was undone, in its order."""
    return [fact.phase or "" for fact in run.facts if isinstance(fact, PhaseCompensated)]


@pytest.mark.parametrize("plenty", [True, False], ids=["chained", "claimed"])
def test_what_was_committed_last_is_undone_first_and_one_at_a_time(plenty: bool) -> None:
    """Each waits for the one before it, wherever it is carried out; then all is dropped in one commit."""
    run, offer = ended(LINE)
    run.do(RollBack("n0", reason="r", actor="ada"), offer=offer)
    assert (run.state, [row.path for row in run.waiting]) == ("ROLLING_BACK", ["n2~"])
    assert run.snapshot.run.ended_at is None
    while run.state == "ROLLING_BACK":
        if not run.held:
            run.do(Begin(tuple(row.path for row in run.waiting)), offer=offer)
        (row,) = run.held
        run.do(Succeed(row.path, row.fence, "null"), offer=offer if plenty else NO_OFFER)
    assert undone(run) == ["n2~", "n1~"]
    assert run.state == "ROLLED_BACK"
    assert list(run.snapshot.rows) == ["n0"]
    record = run.snapshot.run
    assert (record.undo_after, record.epoch, record.ended_at) == (None, 2, run.now)
    assert [fact.phase for fact in run.facts if fact.type.startswith("PIPELINE_ROLL")] == ["n0", "n0"]


def test_items_are_undone_each_for_itself_and_what_is_no_phase_is_not() -> None:
    """A map has nothing to undo, and what never completed has not either."""
    run, _ = ended([Top(), Top((0,), inner=1)])
    run.do(RollBack())
    order = [undo(run) for _ in range(3)]
    assert order == ["n1[1]~", "n1[0]~", "n0~"]
    assert (run.state, run.snapshot.rows) == ("ROLLED_BACK", {})


def test_items_that_were_kept_are_counted_where_their_map_comes_up_anew() -> None:
    """Also by a process that knew the run while it was taken back, and reads from then on only what is new."""
    run, offer = ended([Top(), Top((0,), inner=1)])
    run.do(RollBack("n1[0]"))
    assert undo(run) == "n1[1]~"
    assert sorted(run.snapshot.rows) == ["n0", "n1[0]"]
    run.do(Resume())
    assert run.followed.items == {"n1": ItemCount(total=2, spawned=2, ended=1)}
    run.do(Begin(tuple(row.path for row in run.waiting)), offer=offer)
    (row,) = run.held
    draft, _ = fold(run.followed, [Succeed(row.path, row.fence, "1")], run.now, NO_OFFER)
    assert draft.state == "COMPLETED"


def test_what_was_not_committed_is_fenced_off_and_not_undone() -> None:
    """It is ended in the commit that begins the rollback."""
    run = CheckedRun(compensated(plan_of([Top(), Top((0,)), Top((0,))])))
    plenty = Offer("w", run.now + LEASE, PLENTY)
    run.do(Start(run.now), offer=plenty)
    run.do(Succeed("n0", 1, "1"), offer=plenty)
    run.do(Succeed("n1", 1, "1"), offer=plenty)
    run.do(RollBack("n0"))
    assert run.snapshot.rows["n2"].state is PhaseState.SKIPPED
    assert run.do(Succeed("n2", 1, "late")) == [None]
    assert undo(run) == "n1~"
    assert (run.state, list(run.snapshot.rows)) == ("ROLLED_BACK", ["n0"])

    run.do(Resume())
    generations = {path: row.generation for path, row in run.snapshot.rows.items()}
    assert generations == {"n0": 0, "n1": 1, "n2": 0}


def test_where_nothing_committed_is_to_be_undone_it_is_over_at_once() -> None:
    """It goes through ROLLING_BACK all the same, as the machine has it."""
    run = CheckedRun(compensated(plan_of(LINE)))
    run.do(Start(run.now), offer=Offer("w", run.now + LEASE, PLENTY))
    run.do(RollBack())
    moves = [fact.transition.target for fact in run.facts if fact.transition]
    assert moves[-3:] == ["PAUSED", "ROLLING_BACK", "ROLLED_BACK"]


def test_a_failure_for_good_fails_the_run_and_a_retry_goes_on_where_it_stopped() -> None:
    """What is undone already is not undone again; the fence of what failed goes on, its key is the same."""
    run, offer = ended(LINE)
    run.do(RollBack())
    assert undo(run) == "n2~"
    run.do(Begin(("n1~",)), offer=offer)
    run.do(Fail("n1~", 1, BOOM, None))
    assert (run.state, run.snapshot.run.error) == ("FAILED", BOOM)
    assert [fact.type for fact in run.facts[-4:]] == [
        "PHASE_COMPENSATION_FAILED", "ERROR_OCCURRED", "PHASE_DEAD_LETTERED", "PIPELINE_FAILED",
    ]  # fmt: skip
    for order in (Restart(), RerunFrom("n0"), RollBack("n0")):
        (verdict,) = run.do(order)
        assert isinstance(verdict, Refused)
        assert "unfinished" in verdict.reason

    run.do(Retry())
    assert (run.state, run.snapshot.run.error) == ("ROLLING_BACK", None)
    row = run.snapshot.rows["n1~"]
    assert (row.epoch, row.attempt, row.fence, row.generation) == (2, 0, 1, 0)
    assert [undo(run), undo(run)] == ["n1~", "n0~"]
    assert run.state == "ROLLED_BACK"


def test_a_crash_is_another_attempt_and_too_many_of_them_fail_the_run() -> None:
    """As with the body of a phase."""
    run, offer = ended(LINE)
    run.do(RollBack())
    for fence in (1, 2):
        run.do(Begin(("n2~",)), offer=offer)
        run.do(Reclaim((("n2~", fence),), 1))
    assert run.state == "FAILED"
    assert run.snapshot.rows["n2~"].crashes == 2


@pytest.mark.parametrize("order", [Pause(), Cancel(), Resume(), Retry(), Restart(), RollBack()], ids=repr)
def test_nothing_disturbs_a_rollback(order: RunCommand) -> None:
    """Whoever commands something meanwhile is told that it is finishing."""
    run, _ = ended(LINE)
    run.do(RollBack())
    (verdict,) = run.do(order)
    assert isinstance(verdict, Refused)
    assert verdict.reason == "a rollback is finishing"


def test_what_is_done_once_more_is_undone_under_another_key() -> None:
    """The key of what undoes a phase is of the generation that it undoes."""
    run, offer = ended(LINE)
    keys: list[int] = []
    for _ in range(2):
        run.do(RollBack("n1"))
        keys.append(run.snapshot.rows["n2~"].generation)
        undo(run)
        run.do(Resume())
        run.do(Begin(("n2",)), offer=offer)
        late: list[Command] = [Succeed("n2~", fence, "null") for fence in range(9)]
        assert run.do(*late) == [None] * 9
        (row,) = run.held
        run.do(Succeed("n2", row.fence, "1"), offer=offer)
    assert keys == [0, 1]
    assert run.state == "COMPLETED"


# --------------------------------------------------------------------- on_failure="rollback"
def begun(tops: list[Top]) -> tuple[CheckedRun, Offer]:
    """Give a run that is undone by itself if it fails, once its first phases run."""
    run = CheckedRun(taken_back(plan_of(tops)))
    plenty = Offer("w", run.now + LEASE, PLENTY)
    run.do(Start(run.now), offer=plenty)
    return run, plenty


def test_a_run_that_fails_is_undone_in_the_commit_of_its_failure() -> None:
    """Nobody sees it FAILED, no letter tells of it, and what was committed with its failure is undone, too."""
    run, plenty = begun([Top(), Top((0,)), Top((0,)), Top((1, 2))])
    run.do(Succeed("n0", 1, "1"), offer=plenty)
    run.do(Succeed("n1", 1, "1"), Fail("n2", 1, BOOM, None), offer=plenty)
    assert (run.state, run.snapshot.run.error, run.snapshot.run.letter) == ("ROLLING_BACK", None, None)
    assert [fact.type for fact in run.facts[-4:]] == [
        "PHASE_FAILED", "ERROR_OCCURRED", "PIPELINE_FAILED", "PIPELINE_ROLLING_BACK",
    ]  # fmt: skip
    assert [undo(run), undo(run)] == ["n1~", "n0~"]
    assert (run.state, run.snapshot.run.letter) == ("ROLLED_BACK", None)

    run.do(Resume(), offer=plenty)
    assert run.snapshot.run.ended_at is None
    assert [row.path for row in (*run.held, *run.waiting)] == ["n0"]


def test_where_nothing_is_to_be_undone_a_run_stays_failed() -> None:
    """It may be retried as any, and is undone when it fails once more and has committed something."""
    run, plenty = begun(LINE)
    run.do(Fail("n0", 1, BOOM, None))
    assert (run.state, run.snapshot.run.error) == ("FAILED", BOOM)
    assert run.snapshot.run.letter is not None

    run.do(Retry())
    run.do(Begin(("n0",)), offer=plenty)
    run.do(Succeed("n0", 2, "1"), offer=plenty)
    run.do(Fail("n1", 1, BOOM, None))
    assert undo(run) == "n0~"
    assert (run.state, run.snapshot.run.letter) == ("ROLLED_BACK", None)


def test_what_cannot_be_undone_fails_a_run_that_is_undone_by_itself() -> None:
    """As if somebody had commanded the rollback: a retry goes on with it."""
    run, plenty = begun(LINE)
    run.do(Succeed("n0", 1, "1"), offer=plenty)
    run.do(Fail("n1", 1, BOOM, None))
    run.do(Begin(("n0~",)), offer=plenty)
    run.do(Fail("n0~", 1, BOOM, None))
    assert run.state == "FAILED"
    assert run.snapshot.run.letter is not None
    run.do(Retry())
    assert undo(run) == "n0~"
    assert run.state == "ROLLED_BACK"
