"""When to try a failed phase again, as data: the answer is stored, so a crash in a wait loses nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import attrs

from phaseline.errors import DefinitionError

if TYPE_CHECKING:
    from tenacity import RetryCallState
    from tenacity.retry import retry_base
    from tenacity.stop import stop_base
    from tenacity.wait import wait_base


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
    retry: retry_base | None = None
    """Which errors to try again; by default all of them but those of category VALIDATION and STATE."""

    def __attrs_post_init__(self) -> None:
        """Refuse a policy that cannot be followed."""
        if self.attempts < 1:
            msg = f"Retry(attempts={self.attempts}): the first attempt counts too, so it must be 1 or more"
            raise DefinitionError(msg)
        if isinstance(self.wait, timedelta) and self.wait < timedelta(0):
            msg = f"Retry(wait={self.wait}): a pause cannot be negative"
            raise DefinitionError(msg)

    def delay(
        self, failures: int, error: BaseException, *, elapsed: timedelta = timedelta(0)
    ) -> timedelta | None:
        """Say how long to wait after the ``failures``-th failed attempt, or None to give up.

        Args:
            failures: Failed attempts so far, this one included.
            error: What the attempt failed with.
            elapsed: Time since the first attempt began.
        """
        state = _call_state(failures, error, elapsed)
        if self.retry is not None and not self.retry(state):
            return None
        if self.stop(state) if self.stop is not None else failures >= self.attempts:
            return None
        if isinstance(self.wait, timedelta):
            return self.wait
        return timedelta(seconds=max(0.0, (self.wait or _default_wait())(state)))


NO_RETRY = Retry(attempts=1)


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
