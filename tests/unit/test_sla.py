"""What should be over within a time, decided by the engine alone; and that what has no service level writes nothing of one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine import LEASE, NOON, CheckedRun

from phaseline import Dag, Pipeline, each, phase
from phaseline._engine.commands import (
    Begin,
    Cancel,
    Command,
    Fail,
    FinishRun,
    Fork,
    Offer,
    Pause,
    Postpone,
    Reclaim,
    Restart,
    Retry,
    RollBack,
    SkipPhase,
    Start,
    Succeed,
    TellLate,
)
from phaseline.errors import DefinitionError
from phaseline.events import PhaseStarted, SlaBreached
from phaseline.rows import ErrorCategory, ErrorInfo, PhaseRecord, RunState
from phaseline.storage.sql.batch import gather
from phaseline.testing.checker import check

SECOND = timedelta(seconds=1)
ERROR = ErrorInfo(category=ErrorCategory.PROCESSING, type="E", message="e", phase="deliver")


@phase(sla=10 * SECOND, may_finish=True)
async def deliver(number: int) -> int:
    return number


@phase
async def prepare(number: int) -> int:
    return number


delivery = Pipeline("delivery", prepare >> deliver, sla=30 * SECOND)


def begun(pipeline: Pipeline[Any, Any] = delivery, delay: timedelta = timedelta(0)) -> CheckedRun:
    run = CheckedRun(pipeline.plan)
    run.do(Start(run.now + delay, None), offer=offer_of(run))
    return run


def offer_of(run: CheckedRun) -> Offer:
    return Offer("w-1", run.now + LEASE, 100)


def at_delivery(run: CheckedRun) -> PhaseRecord:
    """Carry it on to the phase that has a service level."""
    row = run.snapshot.rows["prepare"]
    run.do(Succeed("prepare", row.fence, "1"), offer=offer_of(run))
    return run.snapshot.rows["deliver"]


def told(run: CheckedRun) -> list[tuple[str | None, float, str]]:
    """Of what it was told that it is late, when after noon, and in which state it was."""
    facts = [fact for fact in run.facts if isinstance(fact, SlaBreached)]
    return [(fact.phase, (fact.at - NOON).total_seconds(), fact.state) for fact in facts]


def endings(row: PhaseRecord) -> dict[str, Command]:
    """Each way in which a phase ends."""
    at = (row.path, row.fence)
    return {
        "succeed": Succeed(*at, "1"),
        "fail": Fail(*at, ERROR, None),
        "skip": SkipPhase(*at, "", None, passes_input=True),
        "finish": FinishRun(*at, "1"),
        "cancel": Cancel(),
        "lost": Reclaim((at,), 0),
    }


@pytest.mark.parametrize("ending", endings(at_delivery(begun())))
def test_what_ends_late_is_told_with_its_end(ending: str) -> None:
    """Before it, so that who stops at the end has heard it; of what ends in time nothing is told."""
    for seconds, expected in ((29, ["deliver"]), (30, ["deliver", None]), (9, [])):
        run = begun()
        row = at_delivery(run)
        run.now += seconds * SECOND
        run.do(endings(row)[ending], offer=offer_of(run))
        assert [phase for phase, *_ in told(run)] == expected
        assert run.ended
        assert not isinstance(run.facts[-1], SlaBreached)
        check(run.storage)


def test_it_is_told_once() -> None:
    """To the microsecond, whoever looks, and however often; not again with the end, nor by another attempt."""
    run = begun()
    row = at_delivery(run)
    run.now += 10 * SECOND - timedelta(microseconds=1)
    look = TellLate(("deliver", None, "prepare", "nobody"))
    run.do(look)
    assert told(run) == []
    run.now += timedelta(microseconds=1)
    run.do(look, look)
    run.do(look)
    run.do(Fail(row.path, row.fence, ERROR, run.now))
    run.do(Begin(("deliver",)), offer=offer_of(run))
    again = run.snapshot.rows["deliver"]
    assert (again.attempt, again.sla_at, again.breached) == (2, NOON + 10 * SECOND, run.facts[-3].seq - 1)  # type: ignore[operator]  # stored facts have a number
    run.do(Succeed("deliver", again.fence, "1"), offer=offer_of(run))
    assert told(run) == [("deliver", 10.0, "RUNNING")]
    check(run.storage)


def test_what_counts_is_from_when_it_could_begin() -> None:
    """The wait for a worker and between attempts counts; a delay before the start does not, and a pause does."""
    run = begun(delay=5 * SECOND)
    assert run.snapshot.run.sla_at == NOON + 35 * SECOND
    run.now += 5 * SECOND
    run.do(Begin(("prepare",)), offer=offer_of(run))
    row = run.snapshot.rows["prepare"]
    run.do(Succeed("prepare", row.fence, "1"))  # nobody takes on what follows
    assert run.snapshot.rows["deliver"].sla_at == NOON + 15 * SECOND
    run.do(Pause())
    run.now = NOON + 15 * SECOND
    run.do(TellLate(("deliver", None)))
    assert told(run) == [("deliver", 15.0, "PENDING")]
    run.now = NOON + 35 * SECOND
    run.do(TellLate((None,)))
    assert told(run)[1:] == [(None, 35.0, "PAUSED")]
    check(run.storage)


def test_what_is_put_off_is_late_all_the_same() -> None:
    """A phase that asks to be called again later sleeps within its service level."""
    run = begun()
    row = at_delivery(run)
    run.do(Postpone(row.path, row.fence, NOON + 60 * SECOND, "", 9))
    run.now += 10 * SECOND
    run.do(TellLate(("deliver",)))
    assert told(run) == [("deliver", 10.0, "RETRYING")]


def test_each_item_of_a_map_has_its_own() -> None:
    """From when it could begin, as the limit of the map lets it."""
    run = begun(Pipeline("many", each(deliver, limit=1)))
    run = CheckedRun(Pipeline("many", each(deliver, limit=1)).plan)
    run.do(Start(run.now, 2), offer=offer_of(run))
    run.now += 11 * SECOND
    run.do(Succeed("deliver[0]", run.snapshot.rows["deliver[0]"].fence, "1"), offer=offer_of(run))
    assert told(run) == [("deliver[0]", 11.0, "RUNNING")]
    assert run.snapshot.rows["deliver[1]"].sla_at == NOON + 21 * SECOND


@pytest.mark.parametrize(("order", "again"), [(Retry(), True), (Restart(), True), (RollBack(), False)])
def test_a_run_that_goes_on_after_its_end_counts_anew(order: Command, *, again: bool) -> None:
    """And so does a phase that comes up again; one that is taken back is expected by nobody."""
    run = begun()
    row = at_delivery(run)
    run.now += 31 * SECOND
    run.do(Fail(row.path, row.fence, ERROR, None))
    assert [phase for phase, *_ in told(run)] == ["deliver", None]
    run.do(order)
    expected = run.now + 30 * SECOND if again else None
    assert (run.snapshot.run.sla_at, run.snapshot.run.breached) == (expected, None)
    run.now += 31 * SECOND
    run.do(TellLate((None,)))
    assert [phase for phase, *_ in told(run)] == ["deliver", None, *([None] if again else [])]
    check(run.storage)


def test_a_rollback_of_what_is_late_tells_so_first() -> None:
    """It was not over when it was taken back."""
    run = begun()
    at_delivery(run)
    run.now += 30 * SECOND
    run.do(RollBack())
    assert run.snapshot.run.state == RunState.ROLLED_BACK
    assert told(run) == [("deliver", 30.0, "RUNNING"), (None, 30.0, "PAUSED")]
    check(run.storage)


def test_a_copy_counts_from_its_own_beginning() -> None:
    """What it took over was told of the other one."""
    run = begun()
    row = at_delivery(run)
    run.now += 31 * SECOND
    run.do(Fail(row.path, row.fence, ERROR, None))
    run.do(Fork("copy", "prepare"))
    copy = run.copied("copy")
    assert (copy.snapshot.run.sla_at, copy.snapshot.run.breached) == (run.now + 30 * SECOND, None)
    assert copy.snapshot.rows["deliver"].sla_at == run.now + 10 * SECOND
    assert copy.snapshot.rows["prepare"].sla_at is None
    check(run.storage)


@given(st.integers(0, 40), st.booleans())
def test_what_has_none_writes_nothing_of_it(seconds: int, look: bool) -> None:  # as hypothesis gives it
    """Neither a column nor a fact; its rows are written as if there were no service levels."""
    run = CheckedRun(Pipeline("plain", prepare).plan)
    run.do(Start(run.now, None), offer=offer_of(run))
    run.now += seconds * SECOND
    if look:
        run.do(TellLate(("prepare", None)))
    row = run.snapshot.rows["prepare"]
    run.do(Succeed("prepare", row.fence, "1"), offer=offer_of(run))
    assert told(run) == []
    assert (run.snapshot.run.sla_at, row.sla_at) == (None, None)
    assert any(isinstance(fact, PhaseStarted) for fact in run.facts)


def test_only_rows_with_a_service_level_are_written_with_one() -> None:
    """Those of other phases are written by the statements that know of none."""
    run = begun()
    draft_of = run.storage._runs["default", "r1"].phases
    assert (draft_of["prepare"].sla_at, "deliver" in draft_of) == (None, False)
    from phaseline.testing.storage.build import make_phase, make_run, make_unit  # noqa: PLC0415

    plain, level = make_phase("a"), make_phase("b", position=1, sla_at=NOON)
    batch = gather([make_unit(make_run(revision=2), inserted=[plain], updated=[(level, 0)])])
    assert (len(batch.phase_inserts), len(batch.level_inserts)) == (1, 0)
    assert (len(batch.phase_updates), len(batch.level_updates)) == (0, 1)


# --------------------------------------------------------------------- bad input
@pytest.mark.parametrize("sla", [timedelta(0), -SECOND])
def test_no_time_and_less_is_refused(sla: timedelta) -> None:
    """Where it is written."""
    with pytest.raises(
        DefinitionError, match=r"phase 'deliver': an sla of .* would be passed before it began"
    ):
        deliver.with_options(sla=sla)
    with pytest.raises(DefinitionError, match="pipeline 'p': an sla of"):
        Pipeline("p", prepare, sla=sla)
    dag = Dag("d", int)
    with pytest.raises(DefinitionError, match="pipeline 'd': an sla of"):
        dag.build(dag.add(prepare, dag.input), sla=sla)


def test_what_is_no_time_is_refused() -> None:
    """With what to write instead."""
    with pytest.raises(DefinitionError, match=r"sla=5 has no unit; write sla=timedelta\(seconds=5\)"):
        phase(sla=5)(prepare.body)  # type: ignore[call-overload]  # what is refused
    with pytest.raises(DefinitionError, match="over ten years"):
        Pipeline("p", prepare, sla=timedelta(days=9_999))
    with pytest.raises(DefinitionError, match="did you mean 'sla'"):
        deliver.with_options(slo=SECOND)  # type: ignore[call-arg]  # what is refused


def test_it_may_be_longer_than_a_timeout() -> None:
    """That bounds one attempt, or the time in which a run is active, and this the whole."""
    Pipeline("p", deliver.with_options(timeout=SECOND, sla=5 * SECOND), timeout=SECOND, sla=9 * SECOND)
