"""Figures for OpenTelemetry: the same as those for Prometheus, under the names that its conventions give."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from opentelemetry.metrics import CallbackOptions, Counter, Histogram, Meter, Observation

from phaseline.events import Event
from phaseline.metrics import BUCKETS, COUNTED, READ, Instrument, Metric, Sample, counted
from phaseline.rows import PhaseRecord, RunRecord
from phaseline.scraper import Scraper


class Figures:
    """Counts what one runtime does."""

    def __init__(self, meter: Meter, scraper: Scraper) -> None:
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        for metric in COUNTED:
            given = {"name": metric.name, "unit": metric.unit, "description": metric.help}
            if metric.instrument is Instrument.HISTOGRAM:
                self._histograms[metric.name] = meter.create_histogram(
                    **given, explicit_bucket_boundaries_advisory=BUCKETS
                )
            else:
                self._counters[metric.name] = meter.create_counter(**given)
        for metric in READ:
            callback: Callable[[CallbackOptions], Iterable[Observation]] = partial(_observe, scraper, metric)
            meter.create_observable_gauge(
                metric.name, callbacks=[callback], unit=metric.unit, description=metric.help
            )

    def count(self, run: RunRecord, events: Sequence[Event], rows: Mapping[str, PhaseRecord]) -> None:
        """Add what a commit adds."""
        for sample in counted(run, events, rows):
            metric, amount, _ = sample
            if metric.instrument is Instrument.HISTOGRAM:
                self._histograms[metric.name].record(amount, _attributes(sample))
            else:
                self._counters[metric.name].add(amount, _attributes(sample))


def _observe(scraper: Scraper, metric: Metric, _: CallbackOptions) -> Iterable[Observation]:
    samples = (sample for figures in scraper.figures() for sample in figures.samples())
    return [Observation(sample[1], _attributes(sample)) for sample in samples if sample[0] is metric]


def _attributes(sample: Sample) -> dict[str, str]:
    metric, _, values = sample
    return {f"phaseline.{label}": value for label, value in zip(metric.labels, values, strict=True)}
