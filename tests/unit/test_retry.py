"""What a retry policy says, asked without a run."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tenacity import (
    retry_if_exception_type,
    retry_if_not_exception_type,
    stop_after_attempt,
    stop_after_delay,
    stop_all,
    stop_any,
    stop_before_delay,
    stop_never,
    wait_chain,
    wait_exponential,
    wait_fixed,
    wait_random,
)

from phaseline import Pipeline, Retry, RetryAfter, Runtime, phase
from phaseline._values.spans import LONGEST
from phaseline.errors import DefinitionError, RetryPolicyError

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Retry(wait=0), [0, 0, None]),
        (Retry(2, wait=1.5), [1.5, None]),
        (Retry(wait=timedelta(minutes=1)), [60, 60, None]),
        (Retry(4, wait=wait_exponential(max=3)), [1, 2, 3, None]),
        (Retry(4, wait=wait_chain(wait_fixed(5), wait_fixed(7))), [5, 7, 7, None]),
        (Retry(wait=wait_fixed(1) + wait_fixed(2)), [3, 3, None]),
        (Retry(wait=1, stop=stop_after_attempt(2)), [1, None]),
        (Retry(2, wait=1, stop=stop_after_attempt(9)), [1, None]),
        (Retry(wait=1, stop=stop_after_attempt(3) | stop_after_attempt(2)), [1, None]),
        (Retry(wait=1, stop=stop_never), [1] * 100),
        (Retry(wait=4, stop=timedelta(seconds=10)), [4, 4, None]),
        (Retry(wait=4, stop=stop_after_delay(8)), [4, 4, None]),
        (Retry(wait=4, stop=stop_before_delay(10)), [4, 4, None]),
        (Retry(wait=1, retry=retry_if_exception_type(OSError)), [None]),
        (Retry(wait=1, retry=retry_if_not_exception_type(OSError)), [1, 1, None]),
        (Retry(wait=lambda state: state.attempt_number), [1, 2, None]),
    ],
    ids=range(16),
)
def test_the_pauses_of_a_policy(policy: Retry, expected: list[float | None]) -> None:
    """Attempts that fail at once and one after another are put off as the policy says, until it gives up."""
    elapsed, pauses = timedelta(0), list[float | None]()
    for failures in range(1, len(expected) + 1):
        pause = policy.delay(failures, ValueError("no"), elapsed=elapsed)
        pauses.append(None if pause is None else pause.total_seconds())
        elapsed += pause or timedelta(0)

    assert expected == pauses


@given(st.integers(1, 10_000))
def test_default_pauses_grow_to_thirty_seconds(failures: int) -> None:
    """One second, doubled each time, with up to a second more, and never over 30 s, also for attempt 10 000."""
    pause = Retry(20_000).delay(failures, ValueError())

    assert pause is not None
    grown = min(30, 2 ** min(failures - 1, 10))
    assert grown <= pause.total_seconds() <= min(30, grown + 1)


@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_random_pauses_keep_to_their_band(low: float, width: float) -> None:
    """What is drawn by chance is what is stored; it lies between the two bounds, and below ten years."""
    pause = Retry(wait=wait_random(low, low + width)).delay(1, ValueError())

    assert pause is not None
    rounding = timedelta(microseconds=1)
    assert min(timedelta(seconds=low), LONGEST) - rounding <= pause
    assert pause <= min(timedelta(seconds=low + width), LONGEST) + rounding


# --------------------------------------------------------------------- what exceptions carry
class CarryingError(Exception):
    def __init__(self, retry_after: Any) -> None:
        self.retry_after = retry_after


class RaisingError(Exception):
    @property
    def retry_after(self) -> float:
        raise LookupError


@pytest.mark.parametrize(
    ("carried", "expected"),
    [
        (5, 5), (2.5, 2.5), ("120", 120), (timedelta(minutes=2), 120), (0, 0), (-5, 0), (timedelta(-1), 0),
        (float("inf"), LONGEST.total_seconds()), (timedelta.max, LONGEST.total_seconds()),
        (None, 7), (True, 7), (float("nan"), 7), ("Wed, 21 Oct 2026 07:28:00 GMT", 7), ([], 7),
    ],
    ids=range(14),
)  # fmt: skip
def test_an_exception_says_how_soon(carried: Any, expected: float) -> None:
    """A delay that it carries takes the place of the policy's pause; what is none leaves it."""
    assert timedelta(seconds=expected) == Retry(wait=7).delay(1, CarryingError(carried))


@pytest.mark.parametrize("error", [RaisingError(), ValueError()])
def test_an_exception_without_an_answer(error: Exception) -> None:
    """An attribute that raises is as good as none."""
    assert timedelta(seconds=7) == Retry(wait=7).delay(1, error)


def test_the_policy_decides_whether() -> None:
    """A delay that is carried allows no attempt that the policy does not allow."""
    error = RetryAfter(timedelta(minutes=5))
    assert Retry(1).delay(1, error) is None
    assert Retry(stop=timedelta(minutes=4)).delay(1, error) is None
    assert timedelta(minutes=5) == Retry(stop=timedelta(minutes=6)).delay(1, error)


# --------------------------------------------------------------------- bad input
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"attempts": 0}, "1 or more"),
        ({"attempts": -1}, "1 or more"),
        ({"attempts": 2.0}, "attempts=3"),
        ({"attempts": True}, "attempts=3"),
        ({"wait": -1}, "not negative"),
        ({"wait": timedelta(-1)}, "not negative"),
        ({"wait": float("nan")}, "not negative"),
        ({"wait": 1e12}, "ten years"),
        ({"wait": "1"}, r"timedelta\(seconds=5\)"),
        ({"wait": wait_fixed}, "no strategy"),
        ({"stop": timedelta(0)}, "before the first attempt"),
        ({"stop": 3}, "attempts=3"),
    ],
)
def test_what_no_policy_can_be(options: dict[str, Any], words: str) -> None:
    """It is refused where it is written, with what to write instead."""
    with pytest.raises(DefinitionError, match=words):
        Retry(**options)


@pytest.mark.parametrize("delay", [-SECOND, 3, None])
def test_what_no_delay_can_be(delay: Any) -> None:
    """A delay has a unit, and is not negative."""
    with pytest.raises(DefinitionError, match=r"timedelta\(\w+=?\d*\)"):
        RetryAfter(delay)


async def soon(state: object) -> Any:
    return 1


@pytest.mark.parametrize("option", ["wait", "stop", "retry"])
def test_async_strategies(option: str) -> None:
    """A coroutine is no answer, and above all no yes."""
    with pytest.raises(RetryPolicyError, match=rf"Retry\({option}=soon\) raised TypeError"):
        Retry(**{option: soon}).delay(1, ValueError())


# --------------------------------------------------------------------- policies without an end
@phase(retry=Retry(stop=stop_never))
async def stubborn(n: int) -> int:
    return n


@phase
async def plain(n: int) -> int:
    return n


@pytest.mark.parametrize(
    ("policy", "endless"),
    [
        (Retry(), False),
        (Retry(stop=stop_never), True),
        (Retry(3, stop=stop_never), False),
        (Retry(stop=stop_any(stop_never, stop_after_attempt(3))), False),
        (Retry(stop=stop_all(stop_never, stop_after_attempt(3))), True),
        (Retry(stop=timedelta(1)), False),
        (Retry(stop=lambda _: False), False),
    ],
)
def test_policies_without_an_end(policy: Retry, endless: bool) -> None:
    """A policy knows whether it ends, as far as tenacity's own strategies tell."""
    assert endless is policy.is_endless


def test_a_definition_without_an_end_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """It is allowed, and the log says so once, naming pipeline and phases."""
    with caplog.at_level(logging.WARNING, "phaseline"):
        pipeline = Pipeline("long", stubborn >> plain)
    assert ["pipeline 'long': nothing ends the retries of stubborn if they always fail"] == caplog.messages
    caplog.clear()
    with caplog.at_level(logging.WARNING, "phaseline"):
        Runtime(pipelines=[pipeline], retry=Retry(stop=stop_never))
    assert ["pipeline 'long': nothing ends the retries of plain if they always fail"] == caplog.messages
