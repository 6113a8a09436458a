"""How a runtime comes to be watched."""

from __future__ import annotations

from datetime import timedelta

from opentelemetry import metrics, trace

from phaseline.otel.figures import Figures
from phaseline.otel.spans import Spans
from phaseline.runtime import Runtime
from phaseline.scraper import MAX_AGE, Scraper

SCOPE = "phaseline"
"""Name under which OpenTelemetry knows where spans come from."""


def instrument(
    runtime: Runtime,
    *,
    tracer_provider: trace.TracerProvider | None = None,
    meter_provider: metrics.MeterProvider | None = None,
    max_age: timedelta = MAX_AGE,
) -> None:
    """Make spans of what a runtime does, and count it; to be called once, before runs are started.

    What is not configured costs next to nothing: without an SDK the spans of OpenTelemetry are empty.

    Args:
        runtime: Whose runs are followed.
        tracer_provider: Where spans go; by default the global one of OpenTelemetry.
        meter_provider: Where figures go; by default the global one.
        max_age: How long what was read from the storage for a figure is told again.

    Raises:
        RuntimeUsageError: The runtime was instrumented already.
    """
    spans = Spans(trace.get_tracer(SCOPE, tracer_provider=tracer_provider))
    runtime.observers.trace(spans)
    runtime.observers.observe(spans.ended)
    meter = metrics.get_meter(SCOPE, meter_provider=meter_provider)
    runtime.observers.observe(Figures(meter, Scraper(runtime.host, max_age)).count)
