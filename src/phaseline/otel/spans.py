"""Spans of OpenTelemetry: what they are called, what they carry, and how those of one run find each other.

Names and attributes are few and hold nothing that users wrote but names: neither values nor messages of exceptions.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self

from opentelemetry import context as contexts
from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from phaseline.events import Event
from phaseline.rows import ENDED_STATES, PhaseRecord, RunRecord, RunState
from phaseline.statistics import without_indices

log: Final = logging.getLogger("phaseline.otel")

_W3C: Final = TraceContextTextMapPropagator()
"""And not the propagator that the host has chosen: processes of one run may have chosen differently, and baggage is no business
of a database."""
_FIELDS: Final = ("traceparent", "tracestate")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

ERROR_TYPE: Final = "error.type"
PIPELINE: Final = "phaseline.pipeline"
NAMESPACE: Final = "phaseline.namespace"
RUN_ID: Final = "phaseline.run.id"
PHASE: Final = "phaseline.phase"
PATH: Final = "phaseline.phase.path"
ATTEMPT: Final = "phaseline.attempt"
STEP: Final = "phaseline.step"
OUTCOME: Final = "phaseline.outcome"


class Spans:
    """Makes the spans of one runtime."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def carried(self) -> str | None:
        """Give the current trace context: its ``traceparent``, and on a second line its ``tracestate``, if it has one."""
        fields: dict[str, str] = {}
        _W3C.inject(fields)
        return "\n".join(fields[name] for name in _FIELDS if name in fields) or None

    def starting(self, pipeline: str) -> CurrentSpan:
        """Open the span in which a run is stored, within that of whoever starts it."""
        name = f"start {pipeline}"
        return CurrentSpan(
            lambda: self._tracer.start_span(name, kind=SpanKind.PRODUCER, attributes={PIPELINE: pipeline})
        )

    def command(self, verb: str, run: RunRecord) -> CurrentSpan:
        """Open the span of a command, in the trace of the run, with a link to the span of whoever commands it."""

        def start() -> Span:
            caller = get_current_span().get_span_context()
            return self._tracer.start_span(
                f"{verb} {run.pipeline}", _context_of(run), SpanKind.PRODUCER, _of_run(run),
                links=[Link(caller)] if caller.is_valid else (),
            )  # fmt: skip

        return CurrentSpan(start)

    def attempt(self, run: RunRecord, row: PhaseRecord) -> CurrentSpan:
        """Open the span of an attempt, in the trace of the run."""
        phase = without_indices(row.path)
        attributes = {**_of_run(run), PHASE: phase, PATH: row.path, ATTEMPT: row.attempt}
        return CurrentSpan(
            lambda: self._tracer.start_span(
                f"phase {run.pipeline}/{phase}", _context_of(run), SpanKind.CONSUMER, attributes
            )
        )

    def step(self, run: RunRecord, path: str, key: str) -> CurrentSpan:
        """Open the span of a step, within the current one, which is that of the attempt."""
        phase = without_indices(path)
        attributes = {**_of_run(run), PHASE: phase, STEP: key}
        return CurrentSpan(
            lambda: self._tracer.start_span(f"step {run.pipeline}/{phase}", attributes=attributes)
        )

    def ended(self, run: RunRecord, events: Sequence[Event], _: Mapping[str, PhaseRecord]) -> None:
        """Make the span of a run, from its first phase to its end, once it has come to one."""
        if run.ended_at is None or not any(
            event.transition is not None and event.transition.target in ENDED_STATES for event in events
        ):
            return
        span = self._tracer.start_span(
            f"run {run.pipeline}", _context_of(run), attributes={**_of_run(run), OUTCOME: run.state.lower()},
            start_time=_nanoseconds(run.started_at or run.created_at),
        )  # fmt: skip
        if run.state == RunState.FAILED:
            span.set_status(Status(StatusCode.ERROR))
            if run.error is not None:
                span.set_attribute(ERROR_TYPE, run.error.type)
        span.end(_nanoseconds(run.ended_at))


class CurrentSpan:
    """A span that is the current one while the context is open. What an SDK raises is logged, and harms nobody."""

    def __init__(self, start: Callable[[], Span]) -> None:
        self._start = start
        self._span: Span | None = None
        self._token: Any = None

    def __enter__(self) -> Self:
        try:
            self._span = self._start()
            self._token = contexts.attach(set_span_in_context(self._span))
        except Exception:
            log.exception("a span could not be started")
        return self

    def tell(
        self, *, run_id: str | None = None, outcome: str | None = None, error: str | None = None
    ) -> None:
        """Say what it came to."""
        if self._span is None:
            return
        try:
            if run_id is not None:
                self._span.set_attribute(RUN_ID, run_id)
            if outcome is not None:
                self._span.set_attribute(OUTCOME, outcome)
            if error is not None:
                self._span.set_attribute(ERROR_TYPE, error)
                self._span.set_status(Status(StatusCode.ERROR))
        except Exception:
            log.exception("a span could not be told what it came to")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception):
            self.tell(error=type(error).__name__)
        try:
            if self._token is not None:
                contexts.detach(self._token)
            if self._span is not None:
                self._span.end()
        except Exception:
            log.exception("a span could not be ended")


def _context_of(run: RunRecord) -> Context:
    """The context that is kept with a run; an empty one, and never the current one, where there is none."""
    if run.trace is None:
        return Context()
    return _W3C.extract(dict(zip(_FIELDS, run.trace.split("\n"), strict=False)), Context())


def _of_run(run: RunRecord) -> dict[str, str | int]:
    return {PIPELINE: run.pipeline, NAMESPACE: run.namespace, RUN_ID: run.id}


def _nanoseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1_000
