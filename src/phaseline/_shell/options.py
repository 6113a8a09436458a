"""How a runner works."""

from __future__ import annotations

from datetime import timedelta

import attrs

from phaseline._shell.failure import Classify
from phaseline.limits import Rate
from phaseline.retry import NO_RETRY, Retry
from phaseline.usage import Quota


@attrs.frozen(kw_only=True)
class RunnerOptions:
    """What a host, or the runtime for it, decides."""

    namespace: str = "default"
    concurrency: int = 256
    """Bodies that may run at once in this process."""
    sync_threads: int = 32
    """Bodies among them that may run in threads."""
    namespace_concurrency: int | None = None
    """Bodies that may run at once in all processes of the namespace; None for any number."""
    namespace_rate: Rate | None = None
    """How many of them may be begun in a time."""
    namespace_quota: Quota | None = None
    """How much all runs of the namespace may use in a time."""
    namespace_open_runs: int | None = None
    """How many of them may be open so that another one may be started."""
    queues: frozenset[str] | None = None
    """Queues it serves; None for all, the empty set for a process that only submits and asks."""
    lease: timedelta = timedelta(seconds=30)
    crash_limit: int = 5
    sweep_interval: timedelta = timedelta(seconds=0.5)
    drain: timedelta = timedelta(seconds=10)
    """How long bodies may go on when the runtime closes."""
    retry: Retry = NO_RETRY
    """For phases whose definition says nothing of it."""
    timeout: timedelta | None = None
    """How long runs may be active of which nothing else says it."""
    classify: Classify | None = None
    """What the host says of exceptions."""
    tracebacks: bool = False
    """Whether the end of a traceback is stored with each failure of a phase, and the exception logged with it."""
    checkpoints: bool = True
    """Whether positions of runs are noted."""
    checkpoint_interval: timedelta = timedelta(seconds=60)
    """Least time between two stored ``ctx.save`` of an attempt."""


DEFAULT_OPTIONS = RunnerOptions()
