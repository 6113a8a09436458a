"""What bodies use and reserve, decided by the engine alone, and the values by which it is said."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine import LEASE, CheckedRun

from phaseline import Budget, Context, Pipeline, Usage, each, phase
from phaseline._engine.commands import (
    Begin,
    Command,
    Fail,
    FinishRun,
    Offer,
    Postpone,
    Reclaim,
    RecordStep,
    Release,
    Reserve,
    SkipPhase,
    Start,
    Succeed,
)
from phaseline._engine.verdicts import OverBudget
from phaseline.errors import DefinitionError, EncodeError
from phaseline.events import UsageRecorded
from phaseline.rows import ErrorCategory, ErrorInfo, PhaseRecord
from phaseline.usage import (
    Reservation,
    Spending,
    Spent,
    check_recordable,
    spending_from,
    spending_text,
    total,
)

ERROR = ErrorInfo(category=ErrorCategory.PROCESSING, type="E", message="e", phase="buy")
ONE = Usage(requests=1, input_tokens=3, output_tokens=2, cost=Decimal("0.5"))


@phase(may_finish=True)
async def buy(value: int, ctx: Context) -> int:
    return value


@phase
async def listed(value: int) -> list[int]:
    return [value]


def offer_of(run: CheckedRun) -> Offer:
    return Offer("w-1", run.now + LEASE, 100)


def refused_for(run: CheckedRun, order: Reserve) -> str | None:
    """The bounds that a reservation would pass, if it is refused."""
    (verdict,) = run.do(order)
    return " ".join(verdict.bounds) if isinstance(verdict, OverBudget) else None


def begun(budget: Budget | None) -> tuple[CheckedRun, PhaseRecord]:
    run = CheckedRun(Pipeline("shop", buy, budget=budget).plan)
    run.do(Start(run.now, None), offer=offer_of(run))
    return run, run.snapshot.rows["buy"]


def endings(row: PhaseRecord, spent: tuple[Spent, ...]) -> dict[str, Command]:
    """Each way in which an attempt ends by itself."""
    at = (row.path, row.fence)
    later = row.available_at + timedelta(hours=1)
    return {
        "succeed": Succeed(*at, "1", spent=spent),
        "fail": Fail(*at, ERROR, None, spent=spent),
        "retry": Fail(*at, ERROR, later, spent=spent),
        "postpone": Postpone(*at, later, "", 9, spent=spent),
        "skip": SkipPhase(*at, "", None, passes_input=True, spent=spent),
        "finish": FinishRun(*at, "1", spent=spent),
    }


@pytest.mark.parametrize("ending", endings(begun(None)[1], ()))
def test_what_was_used_is_stored_however_the_attempt_ends(ending: str) -> None:
    """And nothing is reserved for it any more."""
    run, row = begun(Budget(requests=5))
    run.do(Reserve(row.path, row.fence, "call", ONE))
    run.do(endings(row, (Spent("other", ONE), Spent("other", ONE)))[ending], offer=offer_of(run))
    assert run.snapshot.run.spending == Spending({"buy": ONE + ONE})
    told = [fact for fact in run.facts if isinstance(fact, UsageRecorded)]
    assert [(fact.phase, fact.key, fact.usage) for fact in told] == [("buy", "other", ONE)] * 2


def test_what_is_used_is_not_reserved_any_more() -> None:
    """Under the same name; another one of the same attempt stays."""
    run, row = begun(Budget(requests=5))
    for key in ("one", "two"):
        run.do(Reserve(row.path, row.fence, key, ONE))
    run.do(RecordStep(row.path, row.fence, "one", "1", spent=(Spent("one", ONE),)))
    kept = Reservation("buy", row.fence, "two", ONE)
    assert run.snapshot.run.spending == Spending({"buy": ONE}, (kept,))


@pytest.mark.parametrize("cut_off", [True, False])
def test_what_was_stopped_in_the_midst_stays_reserved(*, cut_off: bool) -> None:
    """By its timeout, or since its worker was closed: whoever was asked may take money for it all the same."""
    run, row = begun(Budget(requests=2))
    run.do(Reserve(row.path, row.fence, "call", ONE))
    at, spent = (row.path, row.fence), (Spent("other", ONE),)
    run.do(Fail(*at, ERROR, run.now, spent=spent, cut_off=True) if cut_off else Release(*at, spent=spent))
    kept = Reservation("buy", row.fence, "call", ONE)
    assert run.snapshot.run.spending == Spending({"buy": ONE}, (kept,))
    run.do(Begin((row.path,)), offer=offer_of(run))
    again = run.snapshot.rows["buy"]
    assert refused_for(run, Reserve(row.path, again.fence, "call", ONE)) == "requests"


def test_what_was_cut_off_stays_reserved() -> None:
    """Nobody knows whether the call was paid: the next attempt has so much less."""
    run, row = begun(Budget(requests=2))
    run.do(Reserve(row.path, row.fence, "call", ONE))
    run.do(Reclaim(((row.path, row.fence),), limit=9))
    run.do(Begin((row.path,)), offer=offer_of(run))
    again = run.snapshot.rows["buy"]
    assert again.fence > row.fence
    run.do(Reserve(row.path, again.fence, "call", ONE))
    assert refused_for(run, Reserve(row.path, again.fence, "more", ONE)) == "requests"
    run.do(Succeed(row.path, again.fence, "1"))
    assert run.snapshot.run.spending == Spending({}, (Reservation("buy", row.fence, "call", ONE),))


@given(
    bound=st.integers(0, 12),
    asked=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5), st.integers(0, 5)), max_size=12),
)
@settings(deadline=None)
def test_a_budget_is_never_passed(bound: int, asked: list[tuple[int, int, int]]) -> None:
    """Whoever asks before it uses, and uses no more than that, stays within it, however many do so at once."""
    pipeline = Pipeline(
        "many", listed >> each(buy.with_options(may_finish=False)), budget=Budget(tokens=bound)
    )
    run = CheckedRun(pipeline.plan)
    run.do(Start(run.now, None), offer=offer_of(run))
    run.do(Succeed("listed", run.snapshot.rows["listed"].fence, "[]", 5), offer=offer_of(run))
    held: dict[tuple[str, str], tuple[int, int]] = {}
    for item, at_most, used in asked:
        row = run.snapshot.rows[f"buy[{item}]"]
        key = str(len(held))
        refused = refused_for(run, Reserve(row.path, row.fence, key, Usage(input_tokens=at_most)))
        claimed = sum(most for most, _ in held.values())
        assert (refused is not None) == (claimed + at_most > bound)
        if refused is None:
            held[row.path, key] = at_most, min(at_most, used)
    for (path, key), (_, used) in held.items():
        run.do(
            RecordStep(
                path, run.snapshot.rows[path].fence, key, "1", spent=(Spent(key, Usage(output_tokens=used)),)
            )
        )
    spending = run.snapshot.run.spending or Spending()
    assert spending.reserved == ()
    assert spending.used.tokens == sum(used for _, used in held.values()) <= bound


# --------------------------------------------------------------------- the values
@pytest.mark.parametrize(
    "wrong", [{"requests": -1}, {"input_tokens": 1.0}, {"output_tokens": True}, {"cost": 0.1}, {"cost": Decimal("NaN")}, {"cost": Decimal(-1)}]
)  # fmt: skip
def test_amounts_that_are_none(wrong: dict[str, Any]) -> None:
    """They are refused where they are written down, with what is wrong."""
    with pytest.raises(EncodeError, match=next(iter(wrong))):
        Usage(**wrong)
    bound = {"tokens" if name.endswith("tokens") else name: value for name, value in wrong.items()}
    with pytest.raises(DefinitionError, match=next(iter(bound))):
        Budget(**bound)


def test_budgets_that_are_none() -> None:
    """A budget bounds something, and a pipeline takes nothing else for one."""
    with pytest.raises(DefinitionError, match="without a bound"):
        Budget()
    with pytest.raises(DefinitionError, match=r"write budget=Budget\(cost="):
        Pipeline("shop", buy, budget=Decimal(2))  # type: ignore[arg-type]  # what is refused


@pytest.mark.parametrize("amount", [{"requests": 10**12 + 1}, {"cost": Decimal(10**6) + Decimal("1e-6")}])
def test_more_than_can_be_meant(amount: dict[str, Any]) -> None:
    """Sums must fit into what databases count in."""
    with pytest.raises(EncodeError, match="more than can be meant"):
        check_recordable(Usage(**amount), "what was used")


USAGES = st.builds(
    Usage, requests=st.integers(0, 9), input_tokens=st.integers(0, 10**12), output_tokens=st.integers(0, 9),
    cost=st.decimals(0, 10**6, places=12),
)  # fmt: skip


@given(usages=st.lists(USAGES, max_size=4))
def test_sums_are_exact(usages: list[Usage]) -> None:
    """Costs are rounded up to billionths once, where they are written down, and never again."""
    spending = Spending(
        {f"p{n}": usage for n, usage in enumerate(usages)}, (Reservation("p0[1]", 7, 'a"b', ONE),)
    )
    assert spending_from(spending_text(spending)) == spending
    assert total(usages).cost == sum(usage.cost for usage in usages)
    assert all("E" not in str(usage.cost) or usage.cost < Decimal("0.00001") for usage in usages)


def test_what_a_later_version_adds_to_a_reservation_is_left_out() -> None:
    """It stands at the end."""
    spending = Spending({}, (Reservation("p", 7, "a", ONE),))
    text = spending_text(spending)
    assert text is not None
    later = text.replace("}]]", '},"new"]]')
    assert later != text
    assert spending_from(later) == spending


def test_costs_are_exact_in_any_arithmetic() -> None:
    """A host that rounds its own decimal numbers early neither breaks the count nor blurs it."""
    with localcontext() as context:
        context.prec = 4
        usage = Usage(cost=Decimal("12345.678901234")) + Usage(cost=Decimal("0.000000001"))
        check_recordable(usage, "what was used")
        spending = Spending({"buy": usage})
        assert str(usage.cost) == "12345.678901235"
        assert str(usage).endswith("cost 12345.678901235")
        assert spending_from(spending_text(spending)) == spending
        assert Budget(cost=Decimal("12345.678901234")).passed_by(usage) == ("cost",)
