"""What is counted and measured of runs: which figures there are, and what each commit adds to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Final

import attrs

from phaseline.abc import Tally
from phaseline.events import (
    Event,
    PhaseCompensated,
    PhaseCompleted,
    PhaseFailed,
    PhaseRetrying,
    PhaseSkipped,
    PipelineStarted,
    SlaBreached,
    UsageRecorded,
)
from phaseline.health import Health
from phaseline.rows import PhaseRecord, RunRecord
from phaseline.statistics import without_indices


class Instrument(StrEnum):
    """How a figure comes about."""

    COUNTER = "counter"
    HISTOGRAM = "histogram"
    GAUGE = "gauge"


@attrs.frozen
class Metric:
    """A figure that is told to the outside."""

    name: str
    """As OpenTelemetry names it."""
    instrument: Instrument
    unit: str
    """In the spelling of UCUM; in braces what is counted."""
    labels: tuple[str, ...]
    help: str

    @property
    def prometheus_name(self) -> str:
        """As Prometheus names it, but for the endings of histograms."""
        unit = "_seconds" if self.unit == "s" else ""
        total = "_total" if self.instrument is Instrument.COUNTER else ""
        return f"{self.name.replace('.', '_')}{unit}{total}"


_C, _H, _G = Instrument.COUNTER, Instrument.HISTOGRAM, Instrument.GAUGE
RUNS_STARTED = Metric(
    "phaseline.runs.started",
    _C,
    "{run}",
    ("pipeline",),
    "Runs whose first phase was taken up, again after a retry too.",
)
RUNS_ENDED = Metric(
    "phaseline.runs.ended",
    _C,
    "{run}",
    ("pipeline", "outcome"),
    "Runs that came to an end: completed, failed, cancelled or rolled_back.",
)
RUN_DURATION = Metric(
    "phaseline.run.duration",
    _H,
    "s",
    ("pipeline", "outcome"),
    "Time from the first phase of a run to its end.",
)
PHASE_DURATION = Metric(
    "phaseline.phase.duration", _H, "s", ("pipeline", "phase", "outcome"),
    "Time of an attempt of a phase: completed, skipped, failed, retried, again, lost or handed_over.",
)  # fmt: skip
PHASE_RETRIES = Metric(
    "phaseline.phase.retries", _C, "{attempt}", ("pipeline", "phase", "reason"),
    "Attempts after which another one is made: failed, lost, handed_over or again.",
)  # fmt: skip
SLA_BREACHES = Metric(
    "phaseline.sla.breaches", _C, "{breach}", ("pipeline", "phase"),
    "Phases, and with an empty name of the phase runs, that were not over within their service level.",
)  # fmt: skip
USAGE_REQUESTS = Metric(
    "phaseline.usage.requests", _C, "{request}", ("pipeline", "phase"), "Requests that runs have recorded."
)
USAGE_TOKENS = Metric(
    "phaseline.usage.tokens",
    _C,
    "{token}",
    ("pipeline", "phase", "type"),
    "Tokens that runs have recorded: input or output.",
)
USAGE_COST = Metric(
    "phaseline.usage.cost",
    _C,
    "{cost}",
    ("pipeline", "phase"),
    "Cost that runs have recorded, in the currency of the host.",
)
STORAGE_UP = Metric("phaseline.storage.up", _G, "1", ("namespace",), "Whether the storage answers.")
BROKER_UP = Metric(
    "phaseline.broker.up",
    _G,
    "1",
    ("namespace",),
    "Whether the broker of the queue answers, if there is one.",
)
WORKERS = Metric("phaseline.workers", _G, "{worker}", ("namespace",), "Workers that are alive.")
QUEUE_WAITING = Metric(
    "phaseline.queue.waiting",
    _G,
    "{phase}",
    ("namespace", "queue"),
    "Phases that are due and that no worker has taken; counted up to a bound.",
)
QUEUE_OLDEST = Metric(
    "phaseline.queue.oldest_waiting",
    _G,
    "s",
    ("namespace", "queue"),
    "How long the phase waits that waits longest.",
)
DEAD_LETTERS = Metric(
    "phaseline.dead_letters",
    _G,
    "{letter}",
    ("namespace", "pipeline"),
    "Failed runs that nobody has seen to; counted up to a bound.",
)

COUNTED: Final = (
    RUNS_STARTED, RUNS_ENDED, RUN_DURATION, PHASE_DURATION, PHASE_RETRIES, SLA_BREACHES, USAGE_REQUESTS, USAGE_TOKENS,
    USAGE_COST,
)  # fmt: skip
"""What each process counts of its own commits: the sum over all processes is right."""
READ: Final = (STORAGE_UP, BROKER_UP, WORKERS, QUEUE_WAITING, QUEUE_OLDEST, DEAD_LETTERS)
"""What is read from the storage, and the same in all processes."""
METRICS: Final = (*COUNTED, *READ)

BUCKETS: Final = (
    0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0,
)  # fmt: skip
"""Bounds of the histograms, in seconds: a phase may take milliseconds, and a run days."""

Sample = tuple[Metric, float, tuple[str, ...]]
"""A figure, what is added to it or what it is, and the values of its labels."""

_CUT_OFF: Final = "cancelled"


def counted(run: RunRecord, events: Sequence[Event], rows: Mapping[str, PhaseRecord]) -> Iterator[Sample]:
    """Say what a commit adds."""
    for event in events:
        # Not of an end that the same commit goes on from: a failure that is rolled back by itself.
        if run.ended_at is not None and event.transition is not None and event.transition.target == run.state:
            outcome = event.transition.target.lower()
            yield RUNS_ENDED, 1, (run.pipeline, outcome)
            if run.started_at is not None:
                yield RUN_DURATION, _seconds(event.at - run.started_at), (run.pipeline, outcome)
        if isinstance(event, PipelineStarted):
            yield RUNS_STARTED, 1, (run.pipeline,)
        elif isinstance(event, UsageRecorded):
            yield from _used(run.pipeline, event)
        elif isinstance(event, SlaBreached):
            yield SLA_BREACHES, 1, (run.pipeline, without_indices(event.phase or ""))
        elif event.phase is not None:
            yield from _attempted(run.pipeline, event, event.phase, rows.get(event.phase))


def _attempted(pipeline: str, event: Event, path: str, row: PhaseRecord | None) -> Iterator[Sample]:
    outcome = None
    match event:
        case PhaseCompleted(held=None) | PhaseCompensated():
            outcome = "completed"
        case PhaseFailed():
            outcome = "failed"
        case PhaseRetrying():
            outcome = "retried" if event.reason == "failed" else event.reason
            yield PHASE_RETRIES, 1, (pipeline, without_indices(path), event.reason)
        case PhaseSkipped(count=1) if event.reason != _CUT_OFF:
            outcome = "skipped"
        case _:
            pass
    # What waits, and what takes a list apart, has no body that would take a time.
    if (
        outcome is None
        or row is None
        or row.started_at is None
        or row.wait_kind is not None
        or row.total is not None
    ):
        return
    yield PHASE_DURATION, _seconds(event.at - row.started_at), (pipeline, without_indices(path), outcome)


def _used(pipeline: str, event: UsageRecorded) -> Iterator[Sample]:
    labels = pipeline, without_indices(event.phase or "")
    for metric, amount, more in (
        (USAGE_REQUESTS, event.requests, ()),
        (USAGE_TOKENS, event.input_tokens, ("input",)),
        (USAGE_TOKENS, event.output_tokens, ("output",)),
        (USAGE_COST, float(event.cost), ()),
    ):
        if amount:
            yield metric, amount, (*labels, *more)


def _seconds(time: timedelta) -> float:
    return max(0.0, time.total_seconds())  # clocks of two machines may be apart


@attrs.frozen
class Figures:
    """What was read at a moment."""

    health: Health
    tally: Tally | None
    """None if the storage does not answer."""
    queues: frozenset[str]
    """Queues that this process serves: of those nothing waiting is told, too."""

    def samples(self) -> Iterator[Sample]:
        """Give them all."""
        health, here = self.health, self.health.namespace
        yield STORAGE_UP, health.storage is None, (here,)
        yield BROKER_UP, health.broker is None, (here,)
        if self.tally is None:
            return
        if health.lists_workers:
            yield WORKERS, sum(worker.alive for worker in health.workers), (here,)
        waited = {queue.queue: queue.waited.total_seconds() for queue in health.queues}
        for queue in sorted(self.queues.union(self.tally.waiting)):
            yield QUEUE_WAITING, self.tally.waiting.get(queue, 0), (here, queue)
            yield QUEUE_OLDEST, waited.get(queue, 0), (here, queue)
        for pipeline, count in sorted(self.tally.letters.items()):
            yield DEAD_LETTERS, count, (here, pipeline)


def to_markdown() -> str:
    """Write the figures as a table, for the documentation."""
    lines = ["| Prometheus | OpenTelemetry | kind | labels | is |", "|---|---|---|---|---|"]
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(
            f"| `{metric.prometheus_name}` | `{metric.name}` | {metric.instrument} | {labels} | {metric.help} |"
        )
    return "\n".join(lines) + "\n"
