"""What is served here, and how it is."""

from __future__ import annotations

import logging
from typing import Final

import attrs
from starlette.responses import PlainTextResponse

from phaseline.health import Health
from phaseline.views import HealthView, PipelineName, PipelinesView, PipelineView, StatsView
from phaseline.web.calls import Call
from phaseline.web.schemas import shown_schema

log: Final = logging.getLogger("phaseline.web")

IN_THE_LOG: Final = "the host's log tells why"


async def list_pipelines(call: Call) -> PipelinesView:
    """List the pipelines that are served here."""
    names = (PipelineName(name=each.name, version=each.version) for each in call.runtime.pipelines)
    return PipelinesView(pipelines=tuple(names))


async def show_pipeline(call: Call) -> PipelineView:
    """Show a pipeline: its graph, and JSON schemas of what it takes, as for a form by which runs are started."""
    found = PipelineView.of(call.pipeline(call.name, call.query.version))
    schemas = {
        name: schema and shown_schema(schema, call.hidden)
        for name, schema in (("input_schema", found.input_schema), ("output_schema", found.output_schema))
    }
    signals = found.signals and {
        name: shown_schema(each, call.hidden) for name, each in found.signals.items()
    }
    return found.model_copy(update={**schemas, "signals": signals})


async def draw_pipeline(call: Call) -> PlainTextResponse:
    """Draw the graph of a pipeline, as the text of a Mermaid flowchart."""
    return PlainTextResponse(call.pipeline(call.name, call.query.version).to_mermaid())


async def stats(call: Call) -> StatsView:
    """Count all runs by state, and those of each pipeline."""
    find = call.runtime.find
    counts = await find().count()
    pipelines = {name: await find(pipeline=name).count() for name in sorted(call.runtime.names)}
    return StatsView(counts=counts, total=sum(counts.values()), pipelines=pipelines)


async def health(call: Call) -> HealthView:
    """Say what is wrong with the service, if anything is."""
    shown = without_places(await call.runtime.health())
    return HealthView(ok=shown.ok, problems=shown.problems)


def without_places(found: Health) -> Health:
    """Leave out where things are: that is for the log, and nothing for the network."""
    if found.storage or found.broker or found.transport:
        log.warning(
            "the storage does not answer: %s; the broker: %s; the transport of events: %s",
            found.storage, found.broker, found.transport,
        )  # fmt: skip
    return attrs.evolve(
        found, storage=found.storage and IN_THE_LOG, broker=found.broker and IN_THE_LOG,
        transport=found.transport and IN_THE_LOG,
    )  # fmt: skip
