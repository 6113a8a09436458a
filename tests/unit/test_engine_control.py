"""What people command, decided by the engine alone: random runs that are paused, resumed and cancelled on their way."""

from __future__ import annotations

from random import Random

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine import LEASE, PLENTY, CheckedRun, compensated
from tests.unit.test_engine_properties import BOOM, Driver, Top, graphs, plan_of

from phaseline._engine.commands import (
    Annotate,
    Begin,
    Cancel,
    Command,
    Discard,
    Fail,
    Fork,
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
from phaseline._engine.decide import fold
from phaseline._engine.snapshot import is_ended
from phaseline._engine.verdicts import Refused
from phaseline.control import ACTIVE, STATES, TABLE, Verb, allowed_in, kind_of, to_markdown
from phaseline.events import PhaseSkipped, PhaseStarted, PipelineCancelled, PipelinePaused, PipelineResumed

ORDERS: dict[Verb, RunCommand] = {
    Verb.PAUSE: Pause("p", "ada"),
    Verb.RESUME: Resume("r", "ada"),
    Verb.CANCEL: Cancel("c", "ada"),
    Verb.RETRY: Retry("r", "ada"),
    Verb.RERUN_FROM: RerunFrom("n0", "r", "ada"),
    Verb.RESTART: Restart("r", "ada"),
    Verb.ROLLBACK: RollBack(None, None, "r", "ada"),
    Verb.FORK: Fork("r2", None, None, "f", "ada"),
    Verb.ANNOTATE: Annotate("seen", "a", "ada"),
    Verb.DISCARD: Discard("d", "ada"),
}


@attrs.define
class Operated(Driver):
    """As its base, with somebody who commands."""

    verbs: tuple[Verb, ...] = (Verb.PAUSE, Verb.RESUME)

    def command(self) -> Command | None:
        """Now and then a command of a person; one who has paused a run resumes it in the end."""
        run, chance = self.run, self.chance
        if run.state == "PAUSED" and not run.held:
            return chance.choice((Resume(), Resume(), Pause()))  # 0, to which examples shrink, goes on
        if chance.randrange(6) == 5:
            return ORDERS[chance.choice(self.verbs)]
        if run.state == "PAUSED" and chance.randrange(4) == 3:
            return Resume()
        return super().command()


@settings(max_examples=150)
@given(graphs(), st.randoms(use_true_random=False))
def test_pauses_change_nothing_about_a_run_but_its_time(graph: tuple[Top, ...], chance: Random) -> None:
    """Whatever is paused and resumed: each commit keeps the rules, nothing starts in a pause, and the run ends."""
    run = CheckedRun(plan_of(graph))
    Operated(run, chance).drive()

    assert run.state in ("COMPLETED", "FAILED")
    moves = [fact for fact in run.facts if isinstance(fact, PipelinePaused | PipelineResumed)]
    assert [type(fact) for fact in moves[::2]] == [PipelinePaused] * len(moves[::2])
    assert [type(fact) for fact in moves[1::2]] == [PipelineResumed] * len(moves[1::2])
    for paused, resumed in zip(moves[::2], moves[1::2], strict=False):
        if paused.transition is not None and resumed.transition is not None:
            order = ["IDLE", *(node.label for node in run.plan.order)]
            assert order.index(resumed.transition.target) >= order.index(paused.transition.source)


@settings(max_examples=100)
@given(graphs(), st.randoms(use_true_random=False))
def test_a_cancelled_run_has_one_end_and_nothing_goes_on(graph: tuple[Top, ...], chance: Random) -> None:
    """At whatever moment it comes, everything unfinished ends with it, fenced off, and every late command is refused."""
    run = CheckedRun(plan_of(graph))
    driver = Operated(run, chance, verbs=(Verb.PAUSE, Verb.CANCEL))
    driver.drive()
    if run.state != "CANCELLED":
        return
    assert isinstance(run.facts[-1], PipelineCancelled)
    assert run.snapshot.run.epoch == 1
    assert run.snapshot.run.ended_at is not None
    assert all(is_ended(row) for row in run.snapshot.rows.values())

    orders = [order for verb, order in ORDERS.items() if verb not in (Verb.ANNOTATE, Verb.FORK)]
    late: list[Command] = [*run.commands, *orders, Begin(tuple(run.snapshot.rows))]
    draft, verdicts = fold(run.snapshot, late, run.now, driver.offer())

    assert draft.is_empty
    assert not any(verdict for verdict in verdicts if isinstance(verdict, list))


# --------------------------------------------------------------------- the table
def put(run: CheckedRun, state: str) -> None:
    """Bring a run of two phases into a state."""
    plenty = Offer("w", run.now + LEASE, PLENTY)
    begins = state in (ACTIVE, "COMPLETED", "FAILED", "ROLLED_BACK", "ROLLING_BACK")
    run.do(Start(run.now), offer=plenty if begins else Offer("w", run.now, 0))
    if state in ("COMPLETED", "ROLLED_BACK", "ROLLING_BACK"):
        run.do(Succeed("n0", 1, "1"), Succeed("n1", 1, "1"), offer=plenty)
    if state == "FAILED":
        run.do(Fail("n0", 1, BOOM, None))
    elif state in ("PAUSED", "CANCELLED"):
        run.do(Pause() if state == "PAUSED" else Cancel())
    elif state in ("ROLLED_BACK", "ROLLING_BACK"):
        run.do(RollBack("n0"))
    assert kind_of(run.state) == state


@pytest.mark.parametrize("verb", Verb)
@pytest.mark.parametrize(
    "state", ["IDLE", ACTIVE, "PAUSED", "COMPLETED", "FAILED", "CANCELLED", "ROLLING_BACK", "ROLLED_BACK"]
)
def test_a_command_does_what_the_table_says(state: str, verb: Verb) -> None:
    """It leads where the table says, in one commit, or is refused and changes nothing."""
    plan = plan_of([Top(), Top((0,))])
    run = CheckedRun(compensated(plan) if state == "ROLLING_BACK" else plan)
    put(run, state)
    before = run.snapshot.run

    order = ORDERS[verb]
    if isinstance(order, Fork) and state == "COMPLETED":
        order = Fork("r2", "n0", None, "f", "ada")  # of all of it nothing would be left to do
    (verdict,) = run.do(order)

    if state in TABLE[verb]:
        assert kind_of(run.state) in TABLE[verb][state]
        told = next(fact for fact in reversed(run.facts) if "actor" in fact.data)
        assert (told.data["reason"], told.data["actor"]) == (verb[0], "ada")
    else:
        assert isinstance(verdict, Refused)
        assert (verdict.verb, verdict.state) == (verb, before.state)
        assert run.snapshot.run == before


def test_the_table_names_states_that_there_are() -> None:
    """Each cell leads to states of the machine, and every state can be asked for its verbs."""
    for rows in TABLE.values():
        assert set(rows) <= set(STATES)
        assert {target for targets in rows.values() for target in targets} <= set(STATES)
    assert allowed_in("ENRICHING") == allowed_in(ACTIVE) == (
        Verb.PAUSE, Verb.CANCEL, Verb.ROLLBACK, Verb.FORK, Verb.ANNOTATE,
    )  # fmt: skip
    assert len(to_markdown().splitlines()) == len(STATES) + 2


# --------------------------------------------------------------------- the corners by name
def test_what_ends_under_a_pause_leaves_the_run_paused_and_starts_nothing() -> None:
    """The successor waits; the last phase of all leaves the run PAUSED, and resuming completes it."""
    run = CheckedRun(plan_of([Top(), Top((0,))]))
    plenty = Offer("w", run.now + LEASE, PLENTY)
    run.do(Start(run.now), offer=plenty)

    run.do(Pause(), Succeed("n0", 1, "1"), offer=plenty)
    assert run.state == "PAUSED"
    assert [row.path for row in run.waiting] == ["n1"]

    run.do(Resume(), Begin(("n1",)), offer=plenty)
    assert run.state == "L1"
    run.do(Pause(), Succeed("n1", 1, "1"), offer=plenty)
    assert run.state == "PAUSED"
    run.do(Resume())
    assert run.state == "COMPLETED"


def test_a_run_that_had_not_begun_is_idle_again() -> None:
    """It starts like any other once somebody takes it up."""
    run = CheckedRun(plan_of([Top()]))
    run.do(Start(run.now))
    run.do(Pause())
    run.do(Resume())
    assert run.state == "IDLE"
    run.do(Begin(("n0",)), offer=Offer("w", run.now + LEASE, 1))
    assert [fact.type for fact in run.facts[-2:]] == ["PIPELINE_STARTED", "PHASE_STARTED"]


def test_what_was_started_in_the_unit_that_cancels_it_is_called_by_nobody() -> None:
    """A claim and a cancel that are folded together grant nothing."""
    run = CheckedRun(plan_of([Top(), Top()]))
    run.do(Start(run.now))

    verdicts = run.do(Begin(("n0",)), Cancel(), offer=Offer("w", run.now + LEASE, 1))

    assert verdicts == [[], []]
    (skipped,) = [fact for fact in run.facts if isinstance(fact, PhaseSkipped)]
    assert (skipped.count, skipped.reason) == (2, "cancelled")
    assert [fact.phase for fact in run.facts if isinstance(fact, PhaseStarted)] == ["n0"]


@pytest.mark.parametrize("first", ["cancel", "succeed"])
def test_a_cancel_and_the_last_success_at_once_have_one_order(first: str) -> None:
    """Whichever comes first wins, and the other is told."""
    run = CheckedRun(plan_of([Top()]))
    run.do(Start(run.now), offer=Offer("w", run.now + LEASE, 1))
    commands: list[Command] = [Cancel(), Succeed("n0", 1, "1")]

    verdicts = run.do(*(commands if first == "cancel" else reversed(commands)))

    assert verdicts[0] == []
    assert verdicts[1] is None if first == "cancel" else isinstance(verdicts[1], Refused)
    assert run.state == ("CANCELLED" if first == "cancel" else "COMPLETED")
