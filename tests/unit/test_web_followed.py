"""How far a client of live events is in its runs: so many of them, read in turn."""

from __future__ import annotations

import pytest

from phaseline.web import followed
from phaseline.web.followed import FollowedRuns


def test_the_oldest_that_was_not_asked_for_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was subscribed to stays, and so does one that is counted anew."""
    monkeypatch.setattr(followed, "MOST_RUNS", 2)
    runs = FollowedRuns(pinned=1)
    runs.follow("named", 0, pinned=True)
    for run_id in ("one", "two", "two", "three"):
        run = runs.follow(run_id, 0)
        runs.fall_behind(run_id)
        runs.was_read(run, has_more=False)

    assert ["two", "three"] == runs.unpinned()
    assert [True, False, True] == [runs.get(run_id) is not None for run_id in ("named", "one", "two")]


def test_one_that_is_to_be_read_makes_room_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would not be told; where all are, there are too many."""
    monkeypatch.setattr(followed, "MOST_RUNS", 2)
    runs = FollowedRuns(pinned=1)
    first, *_ = [runs.follow(run_id, 0) for run_id in ("one", "two", "three")]
    for run_id in ("one", "three"):
        runs.fall_behind(run_id)
    runs.follow("four", 0)
    runs.fall_behind("four")
    assert (["one", "three", "four"], False) == (runs.unpinned(), runs.is_overrun)
    runs.was_read(first, has_more=True)
    assert ["three", "four", "one"] == runs.unpinned()
    runs.follow("five", 0)
    assert (["three", "four", "one", "five"], True) == (runs.unpinned(), runs.is_overrun)


def test_runs_are_read_in_turn() -> None:
    """One of which there is more goes after the others; one that was asked for anew keeps the turn that it got by that."""
    runs = FollowedRuns(pinned=2)
    one, two = runs.follow("one", 0), runs.follow("two", 0)
    for run in (one, two):
        runs.fall_behind(run.id)
    runs.was_read(one, has_more=True)
    assert two is runs.next_behind
    runs.was_read(two, has_more=False)
    assert one is runs.next_behind
    anew = runs.follow("one", 5, pinned=True)
    assert runs.next_behind is None
    runs.fall_behind("one")
    runs.was_read(one, has_more=False)
    assert anew is runs.next_behind


@pytest.mark.parametrize("is_checked", [True, False])
@pytest.mark.parametrize(
    ("is_behind", "may_be_covered", "stays"), [(True, True, True), (False, True, False), (True, False, False)]
)
def test_what_is_owed_outlives_a_subscription(
    is_checked: bool, is_behind: bool, may_be_covered: bool, stays: bool
) -> None:
    """Only where another one may cover the run; that is asked again then, also where it is being asked."""
    runs = FollowedRuns(pinned=1)
    run = runs.follow("a", 1, pinned=is_checked)
    run.is_checked = is_checked
    if is_behind:
        runs.fall_behind("a")
    runs.release("a", may_be_covered=may_be_covered)
    left = runs.next_behind

    assert runs.get("a") is left
    assert (stays, True) == (left is not None, left is not run)
    assert left is None or (1, False, False) == (left.told, left.is_pinned, left.is_checked)
