"""A process that starts a run within a request, does its first phase, pauses it, and tells its spans: ``python traced.py DATABASE``."""

from __future__ import annotations

import json
import sys
from typing import Any

import anyio
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from phaseline import Context, Pipeline, Runtime, phase
from phaseline.otel import instrument


@phase
async def reserve(order: int, ctx: Context) -> int:
    """Pause the run that it belongs to, so that what follows is left to another process."""
    handle = await runtime_of[0].get(ctx.run_id)
    await handle.pause()
    return await ctx.step("seats", lambda: order + 1)


@phase
def book(order: int) -> int:
    return order * 2


booking = Pipeline("booking", reserve >> book)
runtime_of: list[Runtime] = []


def quiet_provider() -> TracerProvider:
    """Make one that looks for nothing around it, which would block the event loop."""
    return TracerProvider(resource=Resource.get_empty(), shutdown_on_exit=False)


class Recorded:
    """A provider of spans that keeps them."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = quiet_provider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def spans(self) -> list[dict[str, Any]]:
        return [told(span) for span in self.exporter.get_finished_spans()]


def told(span: ReadableSpan) -> dict[str, Any]:
    assert span.context is not None
    return {
        "name": span.name,
        "trace": span.context.trace_id,
        "id": span.context.span_id,
        "parent": None if span.parent is None else span.parent.span_id,
        "links": [link.context.span_id for link in span.links],
        "attributes": dict(span.attributes or {}),
        "error": span.status.status_code.name == "ERROR",
        "said": span.status.description,
        "events": len(span.events),
        "seconds": ((span.end_time or 0) - (span.start_time or 0)) / 1e9,
    }


async def main(database: str) -> None:
    """Do as said above."""
    recorded = Recorded()
    runtime = Runtime(f"sqlite:///{database}", pipelines=[booking])
    runtime_of.append(runtime)
    instrument(runtime, tracer_provider=recorded.provider)
    async with runtime:
        with recorded.provider.get_tracer("host").start_as_current_span("request"):
            handle = await runtime.start(booking, 20)
        await handle.wait()
    json.dump({"run": handle.id, "spans": recorded.spans()}, sys.stdout)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1])
