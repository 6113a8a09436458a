"""Decisions that random runs come to only now and then, each by name."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from tests.engine import LEASE, NOON, PLENTY, CheckedRun

from phaseline import Pipeline, each, parallel, phase
from phaseline._definition.edges import GIVEN, Edge, Gather, Merge
from phaseline._definition.plan import Plan
from phaseline._engine import timing
from phaseline._engine.commands import (
    Cancel,
    Fail,
    FinishRun,
    Offer,
    Pause,
    Postpone,
    Reclaim,
    Reserve,
    Resume,
    Save,
    SkipPhase,
    Start,
    Succeed,
)
from phaseline._engine.draft import Draft
from phaseline._engine.liveness import first_live, length_of
from phaseline._engine.snapshot import Snapshot
from phaseline.errors import InvalidTransitionError
from phaseline.rows import ErrorCategory, ErrorInfo, PhaseRecord, PhaseState
from phaseline.testing.storage.build import make_run
from phaseline.usage import Usage

NOTHING: dict[str, PhaseRecord] = {}
BOOM = ErrorInfo(category=ErrorCategory.PROCESSING, type="Boom", message="boom")


@phase
async def take(number: int) -> int:
    return number


@phase(may_finish=True)
async def give(number: int) -> int:
    return number


@phase
async def split(number: int) -> list[int]:
    return [number]


@phase
async def look(numbers: list[int]) -> int:
    return len(numbers)


@phase
async def weigh(number: int) -> int:
    return number


def begun(pipeline: Pipeline[Any, Any], length: int | None = None) -> CheckedRun:
    run = CheckedRun(pipeline.plan)
    run.do(Start(run.now, length), offer=plenty(run))
    return run


def plenty(run: CheckedRun) -> Offer:
    return Offer("w", run.now + LEASE, PLENTY)


def states(run: CheckedRun) -> dict[str, PhaseState]:
    return {path: row.state for path, row in run.snapshot.rows.items()}


row: Pipeline[int, int] = Pipeline("row", take >> give)
item: Pipeline[int, Any] = Pipeline("item", split >> parallel(each(take), look))
items: Pipeline[Any, Any] = Pipeline("items", each(item, on_error="collect"))
"""Each item splits what it takes into items, and looks at them meanwhile."""


# --------------------------------------------------------------------- under a pause
def test_a_run_of_which_nothing_is_left_is_cancelled_in_its_pause() -> None:
    """Its last phase ended meanwhile: there is no phase to tell of."""
    run = begun(row)
    run.do(Succeed("take", 1, "1"), offer=plenty(run))
    run.do(Pause(), Succeed("give", 1, "1"))
    run.do(Cancel())
    assert run.state == "CANCELLED"
    assert {"take": PhaseState.COMPLETED, "give": PhaseState.COMPLETED} == states(run)


def test_a_run_that_a_body_finishes_in_a_pause_completes_when_it_is_resumed() -> None:
    """And what the body had saved of itself goes."""
    run = begun(Pipeline("early", give >> take))
    run.do(Save("give", 1, "half"))
    run.do(Pause(), FinishRun("give", 1, "1", has_saved=True))
    assert run.state == "PAUSED"
    run.do(Resume())
    assert run.state == "COMPLETED"
    assert {"give": PhaseState.COMPLETED, "take": PhaseState.SKIPPED} == states(run)
    assert {} == run.storage.steps("default", run.run_id, "give", 0)


def test_who_asks_to_be_called_again_too_often_fails() -> None:
    """As often as it may, and once more."""
    run = begun(row)
    run.do(Postpone("take", 1, run.now, "not yet", 0))
    error = run.snapshot.run.error
    assert run.state == "FAILED"
    assert error is not None
    assert ("Again", "asked to be called again more than 0 times") == (error.type, error.message)


# --------------------------------------------------------------------- items of maps
def at_two(run: CheckedRun) -> None:
    """Bring the first item on to where two of its phases run, one in a map of its own."""
    run.do(Succeed("item[0]/split", 1, "[1, 2]", 2), offer=plenty(run))


def test_an_item_that_fails_takes_with_it_what_is_left_of_it() -> None:
    """Also the items of a map inside, under way; other items go on."""
    run = begun(items, 2)
    at_two(run)
    inner = next(row.path for row in run.held if "take" in row.path)
    run.do(Fail("item[0]/look", 1, BOOM, None), offer=plenty(run))
    assert PhaseState.FAILED is states(run)["item[0]/look"]
    assert PhaseState.SKIPPED is states(run)[inner]
    assert PhaseState.RUNNING is states(run)["item[1]/split"]


def test_an_item_of_which_two_phases_are_lost_at_once_fails_once() -> None:
    """The map counts it once."""
    run = begun(items, 1)
    at_two(run)
    lost = tuple((row.path, row.fence) for row in run.held)
    assert len(lost) > 1
    run.do(Reclaim(lost, 0), offer=plenty(run))
    assert run.state == "COMPLETED"


def test_an_item_whose_last_phases_end_at_once_ends_once() -> None:
    """All that stands behind what is skipped is skipped with it."""
    both: Pipeline[int, Any] = Pipeline("both", take >> parallel(give, weigh))
    run = begun(Pipeline("all", each(both)), 1)
    run.do(SkipPhase("both[0]/take", 1, "no", None, passes_input=False), offer=plenty(run))
    assert run.state == "COMPLETED"
    assert [PhaseState.SKIPPED] * 3 == [state for path, state in states(run).items() if "[0]" in path]


# --------------------------------------------------------------------- values
def test_values_that_are_gathered_are_counted_and_those_of_nobody_are_not() -> None:
    """A map over what several phases give knows its length before anybody looks at a value."""
    plan: Plan = row.plan
    both = Gather((Edge(0), Edge(1)), (False, False))
    assert 2 == length_of(plan, both, (), NOTHING.get)
    assert length_of(plan, GIVEN, (), NOTHING.get) is None
    assert first_live(plan, (Edge(0), Edge(1)), (), NOTHING.get) is None
    assert length_of(plan, Merge((Edge(0), Edge(1))), (), NOTHING.get) is None


def test_a_run_without_a_budget_reserves_nothing() -> None:
    """Who asks for much has it."""
    run = begun(row)
    assert [[]] == run.do(Reserve("take", 1, "k", Usage(requests=10**9)))
    assert run.snapshot.run.spending is None


# --------------------------------------------------------------------- time and states
def test_a_run_whose_deadline_is_to_come_is_not_overdue() -> None:
    """Nor is one that may be active for as long as it likes."""
    deadline = NOON + LEASE
    run = make_run(deadline=deadline)
    assert timing.overdue(run, "A", NOON) is None
    assert timing.overdue(run, "A", deadline) is not None


def test_a_run_whose_label_is_gone_stands_at_the_phase_that_it_has_come_to() -> None:
    """The label of a phase was changed while it stood there."""
    run = begun(row)
    run.do(Succeed("take", 1, "1"), offer=plenty(run))
    stored = run.storage.load("default", run.run_id)
    assert stored is not None
    assert (run.state, run.plan.order[0].label) == ("GIVE", "TAKE")
    for label in ("OLD_NAME", "TAKE"):  # the second one is that of another phase by now
        old = replace(stored, run=replace(stored.run, state=label))
        assert run.state == Snapshot.from_rows(run.plan, old).run.state


def test_rules_that_leave_the_derived_machine_are_told() -> None:
    """They cannot: it is a fault of ours, and nothing of it is stored."""
    run = begun(row)
    draft = Draft(run.snapshot, run.now)
    assert draft.move(draft.state) is None
    with pytest.raises(InvalidTransitionError, match="IDLE"):
        draft.move("IDLE")
