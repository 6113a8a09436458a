"""``phaseline runs counts`` and ``phaseline runs statistics``: runs in numbers."""

from __future__ import annotations

from typing import Annotated

import typer

from phaseline.cli.client import runs_of, why_none, with_client
from phaseline.cli.options import (
    Attributes,
    Json,
    Namespace,
    Pipelines,
    Runtimes,
    Since,
    States,
    Tags,
    Until,
    Versions,
)
from phaseline.cli.output import print_json, print_rows
from phaseline.runtime import Runtime
from phaseline.statistics import Grouping
from phaseline.usage import usage_text
from phaseline.views import CountsView, GroupView, PercentilesView, StatisticsView


def add_to(app: typer.Typer) -> None:
    """Add both."""
    app.command("counts")(counts)
    app.command("statistics")(statistics)


def counts(
    runtime: Runtimes = None,
    *,
    namespace: Namespace = None,
    pipeline: Pipelines = [],
    version: Versions = [],
    state: States = [],
    tag: Tags = [],
    attribute: Attributes = [],
    since: Since = None,
    until: Until = None,
    as_json: Json = False,
) -> None:
    """Count runs by state."""

    async def count(client: Runtime) -> tuple[CountsView, str]:
        found = await runs_of(
            client, pipeline=pipeline, version=version, state=state, tag=tag, attribute=attribute, since=since, until=until,
        ).count()  # fmt: skip
        return CountsView(counts=found, total=sum(found.values())), "" if found else await why_none(
            client, states=state
        )

    view, empty = with_client(runtime, namespace, count)
    if as_json:
        print_json(view)
    else:
        rows = [(state, str(count)) for state, count in view.counts.items()]
        print_rows(("state", "runs"), [*rows, ("total", str(view.total))] if rows else rows, empty)


def statistics(
    runtime: Runtimes = None,
    *,
    by: Annotated[Grouping, typer.Option(help="What is told apart.")] = "pipeline",
    namespace: Namespace = None,
    pipeline: Pipelines = [],
    version: Versions = [],
    state: States = [],
    tag: Tags = [],
    attribute: Attributes = [],
    since: Since = None,
    until: Until = None,
    as_json: Json = False,
) -> None:
    """Say how runs went, in numbers: how many came to which end, how long they took and waited, and what they used."""

    async def read(client: Runtime) -> tuple[StatisticsView, str]:
        found = await runs_of(
            client, pipeline=pipeline, version=version, state=state, tag=tag, attribute=attribute, since=since, until=until,
        ).statistics(by)  # fmt: skip
        return StatisticsView(groups=tuple(map(GroupView.of, found))), "" if found else await why_none(
            client, states=state
        )

    view, empty = with_client(runtime, namespace, read)
    if as_json:
        print_json(view)
    else:
        columns = (by, "count", "success", "took p50", "p95", "most", "waited p95", "used")
        print_rows(columns, map(_row, view.groups), empty)


def _row(group: GroupView) -> tuple[str, ...]:
    rate = "" if group.success_rate is None else f"{group.success_rate:.1%}"
    took, waited = group.duration_seconds, group.waited_seconds
    usage = group.usage
    tokens = usage.input_tokens + usage.output_tokens
    used = usage_text(usage.requests, tokens, usage.cost) if usage.requests else ""
    return group.group, str(sum(group.states.values())), rate, *_spans(took), *_spans(waited)[1:2], used


def _spans(found: PercentilesView | None) -> tuple[str, str, str]:
    if found is None:
        return "", "", ""
    return f"{found.p50:.3g} s", f"{found.p95:.3g} s", f"{found.most:.3g} s"
