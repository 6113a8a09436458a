"""When to try a failed phase again, as data: the answer is stored, so a crash in a wait loses nothing."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from datetime import timedelta
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs

from phaseline._values.spans import LONGEST
from phaseline.errors import DefinitionError, RetryPolicyError

if TYPE_CHECKING:
    from tenacity import RetryCallState
    from tenacity.retry import RetryBaseT
    from tenacity.stop import StopBaseT
    from tenacity.wait import WaitBaseT


T = TypeVar("T")
log: Final = logging.getLogger("phaseline.retry")

ATTEMPTS = 3
"""Attempts where a policy says nothing of when to give up."""


@attrs.frozen
class Retry:
    """How often and how soon a phase that failed is tried again.

    ``wait``, ``stop`` and ``retry`` take tenacity's own strategy objects, combined as tenacity combines them.
    """

    attempts: int | None = None
    """Attempts in all, the first one included; by default 3, or, where ``stop`` is given, as many as that allows."""
    wait: WaitBaseT | timedelta | float | None = None
    """Pause before the next attempt; a number counts seconds, as with tenacity. By default 1 s doubled each time, at most
    30 s, with jitter. What an exception carries as its ``retry_after`` takes its place."""
    stop: StopBaseT | timedelta | None = None
    """When to give up, judged when an attempt fails; a timedelta is the time since the first one began, after which no other one
    is put off to begin."""
    retry: RetryBaseT | None = None
    """Which errors to try again; by default all of them but those of category VALIDATION and STATE."""

    def __attrs_post_init__(self) -> None:
        """Refuse a policy that cannot be followed."""
        _check_attempts(self.attempts)
        _check_wait(self.wait)
        _check_stop(self.stop)
        _check_strategy("retry", self.retry, "tenacity.retry_if_exception_type(MyError)")

    @property
    def most(self) -> int | None:
        """Attempts in all, if their number is bounded by ``attempts``."""
        return ATTEMPTS if self.attempts is None and self.stop is None else self.attempts

    @property
    def is_endless(self) -> bool:
        """Whether a phase that always fails is tried for ever, as with ``stop=tenacity.stop_never``."""
        return self.most is None and not isinstance(self.stop, timedelta) and _never_stops(self.stop)

    def delay(
        self, failures: int, error: BaseException, *, elapsed: timedelta = timedelta(0)
    ) -> timedelta | None:
        """Say how long to wait after the ``failures``-th failed attempt, or None to give up.

        Args:
            failures: Failed attempts so far, this one included.
            error: What the attempt failed with.
            elapsed: Time since the first attempt began.

        Raises:
            RetryPolicyError: One of the strategies raised, or did not give what it should.
        """
        most = self.most
        if most is not None and failures >= most:
            return None
        state = _call_state(failures, error, elapsed)
        if self.retry is not None and not _asked("retry", self.retry, state, bool):
            return None
        pause = carried_delay(error)
        if pause is None:
            pause = self._pause(state)
        state.upcoming_sleep = pause.total_seconds()
        return None if self._gives_up(state, elapsed + pause) else pause

    def _pause(self, state: RetryCallState) -> timedelta:
        if isinstance(self.wait, timedelta):
            return self.wait
        if isinstance(self.wait, int | float):
            return _span(self.wait)
        return _asked("wait", self.wait or _default_wait(), state, _span)

    def _gives_up(self, state: RetryCallState, next_begin: timedelta) -> bool:
        if self.stop is None:
            return False
        if isinstance(self.stop, timedelta):
            return next_begin > self.stop
        return _asked("stop", self.stop, state, bool)


# --------------------------------------------------------------------- what an exception says
def carried_delay(error: BaseException) -> timedelta | None:
    """Read from an exception how soon to try again, if it says so.

    It says so by an attribute ``retry_after``: a timedelta, or a number of seconds, as the exceptions of many clients of
    web services have it. What is neither is as good as nothing.
    """
    try:
        carried = getattr(error, "retry_after", None)
        if isinstance(carried, timedelta):
            return min(max(timedelta(0), carried), LONGEST)
        if carried is None or isinstance(carried, bool):
            return None
        seconds = float(carried)
    except Exception as problem:  # noqa: BLE001  # it is the user's exception: its attribute may be anything
        log.warning(
            "%s.retry_after cannot be read (%r); the policy's pause is taken", type(error).__name__, problem
        )
        return None
    return None if math.isnan(seconds) else _span(seconds)


# --------------------------------------------------------------------- checks
def _check_attempts(attempts: object) -> None:
    if attempts is None:
        return
    if not isinstance(attempts, int) or isinstance(attempts, bool):
        raise DefinitionError(f"Retry(attempts={attempts!r}): a number is counted; write Retry(attempts=3)")
    if attempts < 1:
        msg = f"Retry(attempts={attempts}): the first attempt counts too, so it must be 1 or more"
        raise DefinitionError(msg)


def _check_wait(wait: object) -> None:
    if isinstance(wait, bool) or not isinstance(wait, timedelta | int | float):
        _check_strategy("wait", wait, "timedelta(seconds=5), or tenacity.wait_exponential()")
        return
    seconds = wait.total_seconds() if isinstance(wait, timedelta) else wait
    if not 0 <= seconds <= LONGEST.total_seconds():
        raise DefinitionError(f"Retry(wait={wait}): a pause is not negative, and at most ten years")


def _check_stop(stop: object) -> None:
    if not isinstance(stop, timedelta):
        instead = "tenacity.stop_after_delay(60) or timedelta(minutes=1); a number of attempts is attempts=3"
        _check_strategy("stop", stop, instead)
    elif stop <= timedelta(0):
        raise DefinitionError(
            f"Retry(stop={stop}) would give up before the first attempt; give a positive time"
        )


def _check_strategy(option: str, given: object, instead: str) -> None:
    if given is not None and (isinstance(given, type) or not callable(given)):
        raise DefinitionError(
            f"Retry({option}={given!r}) is no strategy of tenacity's; write {option}={instead}"
        )


def _never_stops(stop: object) -> bool:
    """Whether a strategy of tenacity's is, or comes down to, ``stop_never``."""
    from tenacity import stop_all, stop_any, stop_never  # noqa: PLC0415  # 30 ms that `import phaseline` need not spend

    if isinstance(stop, stop_any):
        return all(map(_never_stops, stop.stops))
    if isinstance(stop, stop_all):
        return any(map(_never_stops, stop.stops))
    return stop is stop_never


# --------------------------------------------------------------------- tenacity
def _asked(
    option: str,
    strategy: Callable[[RetryCallState], Any],
    state: RetryCallState,
    read: Callable[[Any], T],
) -> T:
    """Ask a strategy, whatever it may raise."""
    try:
        answer = strategy(state)
        if isawaitable(answer):
            getattr(answer, "close", bool)()  # a coroutine that nobody awaits would warn
            msg = "it is async, and a policy is asked without waiting"
            raise TypeError(msg)  # noqa: TRY301  # told like what a strategy raises
        return read(answer)
    except Exception as error:  # it is the user's code
        raise RetryPolicyError(option, strategy, error) from error


def _span(seconds: float) -> timedelta:
    """Read what a strategy says; what no calendar holds is as good as ten years."""
    longest = LONGEST.total_seconds()
    return timedelta(seconds=min(max(0.0, float(seconds)), longest))


def _default_wait() -> WaitBaseT:
    from tenacity import wait_exponential_jitter  # noqa: PLC0415  # 30 ms that `import phaseline` need not spend

    return wait_exponential_jitter(initial=1, max=30, jitter=1)


def _call_state(failures: int, error: BaseException, elapsed: timedelta) -> RetryCallState:
    """The only thing tenacity's strategies look at."""
    from tenacity import RetryCallState, Retrying  # noqa: PLC0415  # 30 ms that `import phaseline` need not spend

    state = RetryCallState(Retrying(), None, (), {})
    state.attempt_number = failures
    state.set_exception((type(error), error, error.__traceback__))
    state.outcome_timestamp = state.start_time + elapsed.total_seconds()
    return state


NO_RETRY = Retry(attempts=1)
