"""When to try a failed phase again, as data: the answer is stored, so a crash in a wait loses nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from phaseline.errors import DefinitionError, RetryPolicyError

if TYPE_CHECKING:
    from tenacity import RetryCallState
    from tenacity.retry import retry_base
    from tenacity.stop import stop_base
    from tenacity.wait import wait_base


T = TypeVar("T")
LONGEST = timedelta(days=3_652)
"""The longest pause or timeout: ten years. A moment this far off can still be computed and stored."""


@attrs.frozen
class Retry:
    """How often and how soon a phase that failed is tried again.

    ``wait``, ``stop`` and ``retry`` take tenacity's own strategy objects.
    """

    attempts: int = 3
    """Attempts in all, the first one included; ignored where ``stop`` is given."""
    wait: wait_base | timedelta | None = None
    """Pause before the next attempt; by default 1 s doubled each time, at most 30 s, with jitter."""
    stop: stop_base | None = None
    """When to give up; by default after ``attempts``."""
    retry: retry_base | None = None
    """Which errors to try again; by default all of them but those of category VALIDATION and STATE."""

    def __attrs_post_init__(self) -> None:
        """Refuse a policy that cannot be followed."""
        _check_attempts(self.attempts)
        _check_wait(self.wait)
        _check_strategy("stop", self.stop, "tenacity.stop_after_attempt(3), or attempts=3")
        _check_strategy("retry", self.retry, "tenacity.retry_if_exception_type(MyError)")

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
        state = _call_state(failures, error, elapsed)
        if self.retry is not None and not _asked("retry", self.retry, state, bool):
            return None
        if _asked("stop", self.stop, state, bool) if self.stop is not None else failures >= self.attempts:
            return None
        if isinstance(self.wait, timedelta):
            return self.wait
        return _asked("wait", self.wait or _default_wait(), state, _pause)


def _check_attempts(attempts: object) -> None:
    if not isinstance(attempts, int) or isinstance(attempts, bool):
        raise DefinitionError(f"Retry(attempts={attempts!r}): a number is counted; write Retry(attempts=3)")
    if attempts < 1:
        msg = f"Retry(attempts={attempts}): the first attempt counts too, so it must be 1 or more"
        raise DefinitionError(msg)


def _check_wait(wait: object) -> None:
    if not isinstance(wait, timedelta):
        _check_strategy("wait", wait, "timedelta(seconds=5), or tenacity.wait_exponential()")
    elif not timedelta(0) <= wait <= LONGEST:
        raise DefinitionError(f"Retry(wait={wait}): a pause is not negative, and at most ten years")


def _check_strategy(option: str, given: object, instead: str) -> None:
    if given is not None and (isinstance(given, type) or not callable(given)):
        raise DefinitionError(
            f"Retry({option}={given!r}) is no strategy of tenacity's; write {option}={instead}"
        )


def _asked(
    option: str,
    strategy: Callable[[RetryCallState], Any],
    state: RetryCallState,
    read: Callable[[Any], T],
) -> T:
    """Ask a strategy, whatever it may raise."""
    try:
        return read(strategy(state))
    except Exception as error:  # it is the user's code
        raise RetryPolicyError(option, strategy, error) from error


def _pause(seconds: float) -> timedelta:
    """Read what a strategy says; what no calendar holds is as good as ten years."""
    longest = LONGEST.total_seconds()
    return timedelta(seconds=min(max(0.0, float(seconds)), longest))


def _default_wait() -> wait_base:
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
