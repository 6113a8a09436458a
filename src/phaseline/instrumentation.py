"""What watches over a runtime from beside it: how traces and figures are taken, without a library that takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import attrs

from phaseline.errors import RuntimeUsageError
from phaseline.events import Event
from phaseline.rows import PhaseRecord, RunRecord

OnCommit = Callable[[RunRecord, Sequence[Event], Mapping[str, PhaseRecord]], object]
"""Told of each commit of this process: the run as it is from then on, the facts, and the rows that were written, by path."""


class OpenSpan(Protocol):
    """A span, while it is the current one."""

    def tell(
        self, *, run_id: str | None = None, outcome: str | None = None, error: str | None = None
    ) -> None:
        """Say what it came to.

        Args:
            run_id: Of the run that it started.
            outcome: A word, one of few.
            error: Name of the class of what went wrong.
        """
        ...


class Tracing(Protocol):
    """Makes spans. Nothing of it ever raises: a run goes on without its span."""

    def carried(self) -> str | None:
        """Give the current trace context, as it is kept with a run; None where there is none."""
        ...

    def starting(self, pipeline: str) -> AbstractContextManager[OpenSpan]:
        """Open the span in which a run is stored."""
        ...

    def command(self, verb: str, run: RunRecord) -> AbstractContextManager[OpenSpan]:
        """Open the span in which a run is commanded, in the trace of the run."""
        ...

    def attempt(self, run: RunRecord, row: PhaseRecord) -> AbstractContextManager[OpenSpan]:
        """Open the span of an attempt of a phase, in the trace of the run."""
        ...

    def step(self, run: RunRecord, path: str, key: str) -> AbstractContextManager[OpenSpan]:
        """Open the span of a step, within that of the attempt."""
        ...


@attrs.define
class Observers:
    """Those of one runtime."""

    tracing: Tracing | None = None
    on_commit: tuple[OnCommit, ...] = ()

    def trace(self, tracing: Tracing) -> None:
        """Have spans made.

        Raises:
            RuntimeUsageError: They are made already, and would be twice.
        """
        if self.tracing is not None:
            raise RuntimeUsageError("this runtime makes spans already; instrument it once")
        self.tracing = tracing

    def observe(self, observer: OnCommit) -> None:
        """Have commits told; on the event loop and at once, so it must be quick."""
        self.on_commit = (*self.on_commit, observer)
