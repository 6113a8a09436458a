"""Spans around what this process does, where somebody takes them."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Final

from phaseline._engine.commands import Attach, Command, Fail, Postpone, SkipPhase
from phaseline._engine.draft import Draft
from phaseline._shell.live import Interruption, Job
from phaseline.events import Event
from phaseline.instrumentation import OpenSpan
from phaseline.rows import PhaseRecord, RunRecord

if TYPE_CHECKING:
    from phaseline._shell.runner import Runner

log: Final = logging.getLogger("phaseline.runner")

UNTRACED: Final[AbstractContextManager[None]] = nullcontext()

_LATE: Final = frozenset({Interruption.TIMED_OUT, Interruption.SILENT})


async def traced(
    runner: Runner, job: Job, call: Callable[[Runner, Job], Awaitable[Command | Draft]]
) -> Command | Draft:
    """Call a body in a span of its attempt; what merely counts the list of a map has none."""
    tracing, binding = runner.observers.tracing, job.binding
    if tracing is None or (binding.phase is None and binding.child is None):
        return await call(runner, job)
    with tracing.attempt(job.live.snapshot.run, job.row) as span:
        try:
            result = await call(runner, job)
        except BaseException:
            why = job.interruption
            if why is not None:
                span.tell(
                    outcome=why.name.lower(),
                    error=TimeoutError.__name__ if why in _LATE else None,
                )
            raise
        outcome, error = _came_to(result)
        span.tell(outcome=outcome, error=error)
        return result


def _came_to(result: Command | Draft) -> tuple[str, str | None]:
    match result:
        case Fail():
            return "failed" if result.again_at is None else "retried", result.error.type
        case SkipPhase():
            return "skipped", None
        case Postpone():
            return "again", None
        case Attach():
            return "waits", None
        case _:
            return "completed", None


def starting(runner: Runner, pipeline: str) -> AbstractContextManager[OpenSpan | None]:
    """Open the span in which a run is stored; it goes with the run."""
    tracing = runner.observers.tracing
    return UNTRACED if tracing is None else tracing.starting(pipeline)


@asynccontextmanager
async def commanded(runner: Runner, run_id: str, verb: str) -> AsyncGenerator[None]:
    """Open a span in the trace of a run that is commanded.

    Raises:
        RunNotFoundError: There is no such run.
    """
    tracing = runner.observers.tracing
    if tracing is None:
        yield
        return
    run = await runner.record_of(run_id)
    with tracing.command(verb, run):
        yield


def tell_of_commit(
    runner: Runner, run: RunRecord, events: Sequence[Event], rows: Mapping[str, PhaseRecord]
) -> None:
    """Tell those who watch of a commit; what they raise harms nobody."""
    for observer in runner.observers.on_commit:
        try:
            observer(run, events, rows)
        except Exception:
            log.exception(
                "what counts commits raised at run %s; the run is not affected",
                run.id,
                extra={"run_id": run.id},
            )
