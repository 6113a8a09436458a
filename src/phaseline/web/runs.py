"""Runs looked at: lists, single ones, their events and checkpoints."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any

import anyio.to_thread
from starlette.responses import Response

from phaseline.inspection import detail_of
from phaseline.rows import ENDED_STATES
from phaseline.runs import Runs
from phaseline.views import (
    CheckpointsView,
    CheckpointView,
    CountsView,
    GroupView,
    RunDetail,
    RunsView,
    RunView,
    StateView,
    StatisticsView,
)
from phaseline.web.access import Action
from phaseline.web.asked import Selection, Stream
from phaseline.web.calls import Call
from phaseline.web.problems import INVALID_REQUEST, RequestError
from phaseline.web.seen import seen_runs
from phaseline.web.shown import redacted
from phaseline.web.sse import EventStreamResponse


async def list_runs(call: Call) -> RunsView:
    """List runs, page by page."""
    asked = call.query
    shown, next_ = await seen_runs(
        partial(found, call, asked), partial(call.access.allows, Action.READ),
        order=asked.order, limit=asked.limit, after=asked.after,
    )  # fmt: skip
    return RunsView(runs=tuple(call.shown(RunView.of(run)) for run in shown), next=next_)


async def count_runs(call: Call) -> CountsView:
    """Count runs by state."""
    counts = await found(call, call.query).count()
    return CountsView(counts=counts, total=sum(counts.values()))


async def show_statistics(call: Call) -> StatisticsView:
    """Say how runs went, in numbers."""
    groups = await found(call, call.query).statistics(call.query.by)
    return StatisticsView(groups=tuple(map(GroupView.of, groups)))


def found(call: Call, asked: Selection, **paging: Any) -> Runs:
    """The runs that are asked for."""
    return call.runtime.find(
        pipeline=asked.pipeline or None, version=asked.version or None, state=asked.state or None, ended=asked.ended,
        stage=asked.stage, tags=asked.tag, attributes=asked.attributes, since=asked.since, until=asked.until, parent=asked.parent,
        forked_from=asked.forked_from, text=asked.text, **paging,
    )  # fmt: skip


async def show_state(call: Call) -> StateView:
    """Say where a run is."""
    return call.shown(StateView.of(call.run))


async def show_run(call: Call) -> RunDetail | Response:
    """Show a run with its phases, its history, and its output if there is one."""
    found = call.shown(await detail_of(call.runtime, call.run.id))
    if found.output is None:
        return found
    return await anyio.to_thread.run_sync(_written, found, call.hidden)  # the output may be large


def _written(found: RunDetail, hidden: frozenset[str]) -> Response:
    shown = found.model_copy(update={"output": redacted(found.output, hidden)})
    return Response(shown.model_dump_json(by_alias=True), media_type="application/json")


async def show_checkpoints(call: Call) -> CheckpointsView:
    """List the checkpoints of a run."""
    handle = await call.runtime.get(call.run.id)
    return CheckpointsView(checkpoints=tuple(map(CheckpointView.of, await handle.checkpoints())))


async def stream_events(call: Call) -> Response:
    """Tell the events of a run as they come, as server-sent events: those that are stored first; until the run ends."""
    after = _last_seen(call)
    handle = await call.runtime.get(call.run.id)
    record = await call.runtime.runner.record_of(call.run.id)
    if record.state in ENDED_STATES and after >= record.seq:
        return Response(status_code=204)  # by which a browser knows that it need not connect again
    expires_at = call.access.expires_at
    seconds = None if expires_at is None else (expires_at - datetime.now(UTC)).total_seconds()
    after = min(after, record.seq)  # what nobody can know yet would be waited for in silence
    return EventStreamResponse(handle.events(after=after), seconds=seconds)


def _last_seen(call: Call) -> int:
    asked: Stream = call.query
    given = call.request.headers.get("last-event-id", "").strip()
    if not given:
        return asked.after
    if not given.isascii() or not given.isdecimal() or len(given) > 18:  # noqa: PLR2004  # digits of 64 bits
        raise RequestError(INVALID_REQUEST, "Last-Event-ID is the number of an event")
    return int(given)
