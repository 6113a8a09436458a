"""How a runtime comes to be watched."""

from __future__ import annotations

from opentelemetry import trace

from phaseline.otel.spans import Spans
from phaseline.runtime import Runtime

SCOPE = "phaseline"
"""Name under which OpenTelemetry knows where spans come from."""


def instrument(runtime: Runtime, *, tracer_provider: trace.TracerProvider | None = None) -> None:
    """Make spans of what a runtime does; to be called once, before runs are started.

    What is not configured costs next to nothing: without an SDK the spans of OpenTelemetry are empty.

    Args:
        runtime: Whose runs are followed.
        tracer_provider: Where spans go; by default the global one of OpenTelemetry.

    Raises:
        RuntimeUsageError: The runtime was instrumented already.
    """
    spans = Spans(trace.get_tracer(SCOPE, tracer_provider=tracer_provider))
    runtime.observers.trace(spans)
    runtime.observers.observe(spans.ended)
