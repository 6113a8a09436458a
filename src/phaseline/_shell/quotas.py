"""What all runs of a namespace together may use in a time, and how many of them may be open: judged by what is stored.

Nothing is locked for it, so who starts or uses something at the same moment may pass a bound together.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from phaseline._shell.ids import first_id
from phaseline.errors import QuotaExceededError, TooManyOpenRunsError
from phaseline.run_filter import RunFilter
from phaseline.usage import NOTHING_USED, Quota, Usage

if TYPE_CHECKING:
    from phaseline._shell.runner import Runner

FRESH: Final = timedelta(seconds=1)
"""For how long it is taken to be known what was used."""


class Quotas:
    """Those that a runtime was given; where it was given none, nothing is read."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._read_at: datetime | None = None
        self._used: Usage = NOTHING_USED

    async def check_start(self, pipeline: str, key: str | None) -> None:
        """Refuse to start one more run, unless its key stands for one that is there.

        Raises:
            QuotaExceededError, TooManyOpenRunsError: It is refused; nothing was stored.
        """
        options = self._runner.options
        try:
            if options.namespace_quota is not None:
                await self._check_used(options.namespace_quota)
            if options.namespace_open_runs is not None:
                await self._check_open(options.namespace_open_runs)
        except (QuotaExceededError, TooManyOpenRunsError):
            if key is None:
                raise
            keyed = partial(self._runner.storage.keyed, options.namespace, pipeline, key)
            if await self._runner.read(keyed) is None:
                raise

    async def check_use(self, at_most: Usage) -> None:
        """Refuse to use so much more.

        Raises:
            QuotaExceededError: It is refused.
        """
        quota = self._runner.options.namespace_quota
        if quota is not None:
            used = await self._used_within(quota)
            if bounds := quota.budget.passed_by(used + at_most):
                raise QuotaExceededError(self._runner.options.namespace, quota, bounds, used, at_most)

    async def _check_used(self, quota: Quota) -> None:
        used = await self._used_within(quota)
        if bounds := quota.budget.reached_by(used):
            raise QuotaExceededError(self._runner.options.namespace, quota, bounds, used)

    async def _check_open(self, most: int) -> None:
        namespace = self._runner.options.namespace
        open_ = await self._runner.read(partial(self._runner.storage.open_runs, namespace, most))
        if open_ >= most:
            raise TooManyOpenRunsError(namespace, open_, most)

    async def _used_within(self, quota: Quota) -> Usage:
        """What runs have used that were created within the time of a quota, as of a moment ago."""
        now = self._runner.clock.now()
        if self._read_at is None or not timedelta(0) <= now - self._read_at < FRESH:
            since = now - quota.per
            wanted = RunFilter(since=since, from_id=first_id(since))
            read = partial(self._runner.storage.usage, self._runner.options.namespace, wanted)
            self._used, self._read_at = await self._runner.read(read), now
        return self._used
