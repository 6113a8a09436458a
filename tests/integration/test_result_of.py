"""What one phase of a run gave, asked for from outside, on every storage."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.opening import OpenRuntime

from phaseline import Pipeline, Signal, Skip, each, phase
from phaseline.errors import DefinitionError, NoResultError, UnknownPhaseError
from phaseline.testing import FakeClock

APPROVED = Signal[bool]("approved")


@phase
async def listed(number: int) -> list[int]:
    return list(range(number))


@phase
async def doubled(number: int) -> int:
    return 2 * number


@phase
async def summed(numbers: list[int]) -> int:
    return sum(numbers)


@phase
async def left_out(number: int) -> str:
    raise Skip("not today")


@phase
async def paid(decided: tuple[int, bool]) -> str:
    return str(decided)


@phase
async def unused(number: int) -> int:
    return number


orders = Pipeline("orders", (listed >> each(doubled) >> summed).wait_for(APPROVED) >> paid)
skipping = Pipeline("skipping", summed.with_options(name="total") >> left_out)


async def test_what_is_to_be_decided_about_can_be_read(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """While the run waits, and when it is over; by the phase, which has a type, or by its path."""
    async with open_runtime(orders, concurrency=1) as runtime:
        handle = await runtime.start(orders, 3)
        await clock.advance(timedelta(seconds=1))
        assert await handle.result_of(summed) == 6
        assert await handle.result_of(listed) == [0, 1, 2]
        assert await handle.result_of("doubled") == [0, 2, 4]
        assert await handle.result_of("doubled[2]") == 4
        with pytest.raises(NoResultError, match="it has not come up") as missing:
            await handle.result_of(paid)
        assert (missing.value.phase, missing.value.state) == ("paid", "")
        with pytest.raises(NoResultError, match="it is RUNNING"):
            await handle.result_of("wait_for_approved")
        await handle.signal(APPROVED, True)
        assert await handle.result() == "(6, True)"
        assert await handle.result_of("wait_for_approved") == (6, True)
        assert await (await runtime.get(handle.id)).result_of(paid) == "(6, True)"


async def test_what_has_none_says_why(open_runtime: OpenRuntime) -> None:
    """Also what is asked for wrongly."""
    async with open_runtime(skipping) as runtime:
        handle = await runtime.start(skipping, [1, 2])
        await handle.wait()
        with pytest.raises(NoResultError, match="not today"):
            await handle.result_of(left_out)
        with pytest.raises(UnknownPhaseError, match="total"):
            await handle.result_of("totally")
        with pytest.raises(DefinitionError, match="does not stand in pipeline"):
            await handle.result_of(unused)
        for nothing in (5, None, b"unused"):
            with pytest.raises(
                DefinitionError, match=r"result_of\(.*\): give a phase, .* or the path of one"
            ):
                await handle.result_of(nothing)  # type: ignore[call-overload]  # what is tested


async def test_of_a_map_its_items_are_named(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """Each has one name; a phase that stands inside of a map was said to stand nowhere."""
    async with open_runtime(orders) as runtime:
        handle = await runtime.start(orders, 3)
        await clock.advance(timedelta(seconds=1))
        assert await handle.result_of("doubled[1]") == 2
        for other in ("doubled[01]", "doubled[\u0661]", "doubled[1][0]", "doubled[x]", "doubled[]"):
            with pytest.raises(UnknownPhaseError):
                await handle.result_of(other)
        with pytest.raises(DefinitionError, match=r"inside of a map in .* name the item: 'doubled\[0\]'"):
            await handle.result_of(doubled)
