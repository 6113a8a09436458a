"""Figures for Prometheus, on the registry of the host: ``instrument(runtime)``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from importlib import import_module

from phaseline.errors import MissingExtraError

try:
    import_module("prometheus_client")
except ImportError as _error:
    raise MissingExtraError("phaseline.prometheus", "prometheus") from _error

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from phaseline.events import Event
from phaseline.metrics import BUCKETS, COUNTED, READ, Instrument, counted
from phaseline.rows import PhaseRecord, RunRecord
from phaseline.runtime import Runtime
from phaseline.scraper import MAX_AGE, Scraper

__all__ = ["instrument"]


def instrument(
    *runtimes: Runtime, registry: CollectorRegistry = REGISTRY, max_age: timedelta = MAX_AGE
) -> None:
    """Have runtimes counted on a registry, once for all that share it, before runs are started.

    What stands in the storage is read when the registry is asked, and at most once in ``max_age``. Whoever asks on the
    event loop itself, and not in a thread, gets what was read before.

    Args:
        runtimes: Those of this process, each of a namespace of its own; views of one are counted with it.
        registry: The host's; by default the global one.
        max_age: How long what was read from the storage is told again.

    Raises:
        ValueError: The registry has these figures already.
    """
    counters = _Counters(registry)
    hosts = dict.fromkeys(runtime.host for runtime in runtimes)  # each once: a view is counted with its host
    for runtime in hosts:
        runtime.observers.observe(counters.count)
    registry.register(_Gauges([Scraper(runtime, max_age) for runtime in hosts]))


class _Counters:
    """What each process counts of its own commits."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        for metric in COUNTED:
            name = metric.prometheus_name
            if metric.instrument is Instrument.HISTOGRAM:
                self._histograms[name] = Histogram(
                    name, metric.help, metric.labels, buckets=BUCKETS, registry=registry
                )
            else:
                self._counters[name] = Counter(name, metric.help, metric.labels, registry=registry)

    def count(self, run: RunRecord, events: Sequence[Event], rows: Mapping[str, PhaseRecord]) -> None:
        """Add what a commit adds."""
        for metric, amount, labels in counted(run, events, rows):
            name = metric.prometheus_name
            if metric.instrument is Instrument.HISTOGRAM:
                self._histograms[name].labels(*labels).observe(amount)
            else:
                self._counters[name].labels(*labels).inc(amount)


class _Gauges(Collector):
    """What stands in the storage."""

    def __init__(self, scrapers: Sequence[Scraper]) -> None:
        self._scrapers = scrapers

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Name them, without reading any."""
        return list(self._families().values())

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Read them."""
        families = self._families()
        for scraper in self._scrapers:
            for figures in scraper.figures():
                for metric, value, labels in figures.samples():
                    families[metric.name].add_metric(labels, value)
        return list(families.values())

    def _families(self) -> dict[str, GaugeMetricFamily]:
        return {
            metric.name: GaugeMetricFamily(metric.prometheus_name, metric.help, labels=metric.labels)
            for metric in READ
        }
