"""Figures: what is counted of runs, what is read when somebody asks, and that what is shipped for Grafana and alerts names no others."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, generate_latest
from tests.conftest import NOT_TESTED
from tests.loops import BOTH_LOOPS, anyio_backend  # noqa: F401  # the fixture

from phaseline import (
    Context,
    Pipeline,
    Retry,
    Runtime,
    Signal,
    Skip,
    Usage,
    each,
    otel,
    phase,
    prometheus,
    scraper,
    wait_for,
)
from phaseline.errors import PipelineFailedError, StorageUnavailableError
from phaseline.metrics import METRICS, Instrument
from phaseline.storage.memory import MemoryStorage
from phaseline.storage.sql.store import SqlStorage

DEPLOY = Path(__file__).parents[2] / "deploy"


@phase
async def split(count: int) -> list[int]:
    return list(range(count))


@phase(retry=Retry(2, wait=timedelta(0)), sla=timedelta(microseconds=1))
async def work(number: int, ctx: Context) -> int:
    ctx.spend("model", Usage(requests=1, input_tokens=10, output_tokens=2, cost=Decimal("0.5")))
    if number == 0 and ctx.attempt == 1:
        raise ConnectionError
    if number == 1:
        raise Skip("not needed", output=number)
    if number == 7:
        raise ValueError
    return number


GO = Signal[int]("go")
going = Pipeline("going", split >> each(work, limit=1))
waiting = Pipeline("waiting", wait_for(GO) >> split)


def lines(registry: CollectorRegistry) -> dict[str, float]:
    """What a scrape says, but for buckets and times."""
    text = generate_latest(registry).decode()
    told = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in told if not re.search("_bucket|_created|_sum", name)}


@BOTH_LOOPS
async def test_what_processes_count() -> None:
    """Runs by their end, attempts by what they came to, retries, and usage; items of a map under one name."""
    registry, runtime = CollectorRegistry(), Runtime(MemoryStorage(), pipelines=[going])
    prometheus.instrument(runtime, registry=registry)
    async with runtime:
        await runtime.run(going, 3)
        with pytest.raises(PipelineFailedError):
            await runtime.run(going, 8)
        told = await to_thread.run_sync(lines, registry)
    work_of = 'phase="work"'
    attempt = "phaseline_phase_duration_seconds_count"
    assert 2 == told['phaseline_runs_started_total{pipeline="going"}']
    assert (1, 1) == tuple(
        told[f'phaseline_runs_ended_total{{outcome="{outcome}",pipeline="going"}}']
        for outcome in ("completed", "failed")
    )
    assert (
        2
        == told['phaseline_run_duration_seconds_count{outcome="completed",pipeline="going"}']
        + told['phaseline_run_duration_seconds_count{outcome="failed",pipeline="going"}']
    )
    assert 2 == told[f'{attempt}{{outcome="skipped",{work_of},pipeline="going"}}']
    assert 3 == told[f'{attempt}{{outcome="retried",{work_of},pipeline="going"}}']
    assert 1 == told[f'{attempt}{{outcome="failed",{work_of},pipeline="going"}}']
    assert 3 == told[f'phaseline_phase_retries_total{{{work_of},pipeline="going",reason="failed"}}']
    attempts = sum(value for name, value in told.items() if name.startswith(attempt) and work_of in name)
    assert attempts == told[f'phaseline_usage_requests_total{{{work_of},pipeline="going"}}']
    assert attempts * 10 == told[f'phaseline_usage_tokens_total{{{work_of},pipeline="going",type="input"}}']
    assert attempts / 2 == told[f'phaseline_usage_cost_total{{{work_of},pipeline="going"}}']
    assert 1 == told['phaseline_dead_letters{namespace="default",pipeline="going"}']
    assert "[" not in "".join(told)


async def test_waits_are_no_attempts() -> None:
    """A phase that waited a week for a signal is not one that took a week."""
    registry, runtime = CollectorRegistry(), Runtime(MemoryStorage(), pipelines=[waiting])
    prometheus.instrument(runtime, registry=registry)
    async with runtime:
        handle = await runtime.start(waiting, 1)
        await handle.signal(GO, 2)
        await handle.result()
    counts = [name for name in lines(registry) if name.startswith("phaseline_phase_duration_seconds_count")]
    assert [
        'phaseline_phase_duration_seconds_count{outcome="completed",phase="split",pipeline="waiting"}'
    ] == counts


# --------------------------------------------------------------------- what is read
class Counting(MemoryStorage):
    """One that knows how often its figures were read, and can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.away = 0, False

    def tally(self, *arguments: Any) -> Any:
        self.asked += 1
        if self.away:
            raise StorageUnavailableError("the storage", "it is away", "wait")
        return super().tally(*arguments)


@BOTH_LOOPS
async def test_the_storage_is_read_once_however_many_ask() -> None:
    """What was read is told again for a time; who asks on the event loop gets what was read before, and waits for nothing."""
    storage, registry = Counting(), CollectorRegistry()
    runtime = Runtime(storage, pipelines=[going], serve=False)
    prometheus.instrument(runtime, registry=registry, max_age=timedelta(days=36_500))
    queue = 'phaseline_queue_waiting{namespace="default",queue="pipeline"}'
    async with runtime:
        await runtime.start(going, 1)
        assert 0 == storage.asked
        assert queue not in lines(registry)
        for _ in range(5):
            assert 1 == (await to_thread.run_sync(lines, registry))[queue]
        assert 1 == lines(registry)[queue]
    assert 1 == storage.asked


async def test_a_storage_that_is_away_is_told() -> None:
    """And no figure is told that is not known."""
    storage, registry = Counting(), CollectorRegistry()
    runtime = Runtime(storage, pipelines=[going])
    prometheus.instrument(runtime, registry=registry, max_age=timedelta(0))
    async with runtime:
        assert 1 == (await to_thread.run_sync(lines, registry))['phaseline_storage_up{namespace="default"}']
        storage.away = True
        told = await to_thread.run_sync(lines, registry)
    assert 0 == told['phaseline_storage_up{namespace="default"}']
    assert not any("queue" in name for name in told)


async def test_a_runtime_that_is_closed_has_no_figures() -> None:
    """Nor does asking wait for it."""
    registry, runtime = CollectorRegistry(), Runtime(MemoryStorage(), pipelines=[going])
    prometheus.instrument(runtime, registry=registry, max_age=timedelta(0))
    async with runtime:
        pass
    begun = time.monotonic()
    assert {} == await to_thread.run_sync(lines, registry)
    assert time.monotonic() - begun < 1


async def test_workers_of_a_database(sqlite_storage: Callable[[], SqlStorage]) -> None:
    """Those that live are counted, and none is told as none."""
    registry, runtime = CollectorRegistry(), Runtime(sqlite_storage(), pipelines=[going])
    client = Runtime(sqlite_storage(), pipelines=[going], serve=False)
    prometheus.instrument(runtime, client, registry=registry, max_age=timedelta(0))
    await runtime.migrate()
    async with client:
        assert 0 == (await to_thread.run_sync(lines, registry))['phaseline_workers{namespace="default"}']
    async with runtime:
        assert 1 == (await to_thread.run_sync(lines, registry))['phaseline_workers{namespace="default"}']


async def test_each_namespace_of_a_runtime_is_told() -> None:
    """Those of its views, by their labels, under both names."""
    registry, reader = CollectorRegistry(), InMemoryMetricReader()
    runtime = Runtime(MemoryStorage(), pipelines=[going], serve=False, namespaces=["acme"])
    prometheus.instrument(runtime, registry=registry, max_age=timedelta(0))
    provider = MeterProvider([reader], resource=Resource.get_empty(), shutdown_on_exit=False)
    otel.instrument(runtime, meter_provider=provider, max_age=timedelta(0))
    async with runtime:
        acme = await runtime.within("acme")
        for number in range(2):
            await acme.start(going, number)
        again = CollectorRegistry()
        prometheus.instrument(runtime, acme, registry=again, max_age=timedelta(0))
        await (await acme.start(going, 3, delay=timedelta(days=1))).cancel()
        assert (await to_thread.run_sync(lines, again))[
            'phaseline_runs_ended_total{outcome="cancelled",pipeline="going"}'
        ] == 1  # and not once for each of the two
        told = await to_thread.run_sync(lines, registry)
        data = await to_thread.run_sync(reader.get_metrics_data)
    provider.shutdown()
    assert told['phaseline_queue_waiting{namespace="acme",queue="pipeline"}'] == 2
    assert 'phaseline_queue_waiting{namespace="default",queue="pipeline"}' not in told
    assert {name for name in told if "storage_up" in name} == {
        'phaseline_storage_up{namespace="acme"}',
        'phaseline_storage_up{namespace="default"}',
    }
    assert data is not None
    points = {
        dict(point.attributes or {})["phaseline.namespace"]: point
        for resource in data.resource_metrics for scope in resource.scope_metrics for metric in scope.metrics
        if metric.name == "phaseline.queue.waiting" for point in metric.data.data_points
    }  # fmt: skip
    assert set(points) == {"acme"}


# --------------------------------------------------------------------- OpenTelemetry
async def test_opentelemetry_is_told_the_same() -> None:
    """Every figure that there is, with its unit, under its own name."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], resource=Resource.get_empty(), shutdown_on_exit=False)
    runtime = Runtime(Counting(), pipelines=[going])
    otel.instrument(runtime, meter_provider=provider)
    async with runtime:
        with pytest.raises(PipelineFailedError):
            await runtime.run(going, 8)
        data = await to_thread.run_sync(reader.get_metrics_data)
    assert data is not None
    found = {metric.name: metric for metric in data.resource_metrics[0].scope_metrics[0].metrics}
    expected = {metric.name for metric in METRICS} - {"phaseline.workers"}  # there is one process
    assert expected == set(found)
    assert {metric.name: metric.unit for metric in METRICS if metric.name in found} == {
        name: metric.unit for name, metric in found.items()
    }
    (ended,) = found["phaseline.runs.ended"].data.data_points
    assert ({"phaseline.pipeline": "going", "phaseline.outcome": "failed"}, 1) == (
        ended.attributes,
        ended.value,
    )
    provider.shutdown()


async def test_one_collection_waits_once_for_a_storage_that_hangs(
    monkeypatch: pytest.MonkeyPatch, sqlite_storage: Callable[[], SqlStorage]
) -> None:
    """However many figures are read: OpenTelemetry gives up on a collection that takes long, and all that was counted with it."""
    storage, goes_on = sqlite_storage(), threading.Event()
    tally = storage.tally

    def hanging(*arguments: Any) -> Any:
        goes_on.wait(20)
        return tally(*arguments)

    monkeypatch.setattr(scraper, "PATIENCE", 0.5)
    monkeypatch.setattr(storage, "tally", hanging)
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], resource=Resource.get_empty(), shutdown_on_exit=False)
    runtime = Runtime(storage, pipelines=[going])
    otel.instrument(runtime, meter_provider=provider)
    await runtime.migrate()
    async with runtime:
        await runtime.run(going, 1)
        begun = time.monotonic()
        data = await to_thread.run_sync(reader.get_metrics_data)
        took = time.monotonic() - begun
        goes_on.set()
    provider.shutdown()
    assert data is not None
    found = {metric.name for metric in data.resource_metrics[0].scope_metrics[0].metrics}
    assert "phaseline.runs.ended" in found
    assert 0.4 < took < 1.5


# --------------------------------------------------------------------- what is shipped
SHIPPED = {
    metric.prometheus_name + ending
    for metric in METRICS
    for ending in (("_bucket", "_sum", "_count") if metric.instrument is Instrument.HISTOGRAM else ("",))
}


def expressions(part: Any) -> Iterable[str]:
    """Every query in a dashboard."""
    if isinstance(part, dict):
        for name, value in part.items():
            yield from [value] if name in {"expr", "query"} and isinstance(value, str) else expressions(value)
    elif isinstance(part, list):
        for value in part:
            yield from expressions(value)


def test_dashboard_and_alerts_name_what_is_shipped() -> None:
    """Every figure they ask for is one that there is, and the dashboard shows all that there are."""
    dashboard = "\n".join(expressions(json.loads((DEPLOY / "phaseline.dashboard.json").read_text())))
    rules = (DEPLOY / "phaseline.rules.yml").read_text()
    shown = set(re.findall(r"\bphaseline_\w+", dashboard))
    assert set() == shown - SHIPPED
    assert set() == set(re.findall(r"\bphaseline_\w+", rules)) - SHIPPED
    assert {metric.prometheus_name for metric in METRICS} == {
        re.sub("_(bucket|count)$", "", name) for name in shown
    }


@pytest.fixture(scope="module")
def promtool() -> Callable[..., subprocess.CompletedProcess[str]]:
    """The tool of Prometheus itself; where there is none, the last line of the run says so."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip(f"{NOT_TESTED}promtool")

    def call(*arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *arguments],
            cwd=DEPLOY,
            input=given,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )

    return call


@pytest.mark.parametrize(
    "arguments", [("check", "rules", "phaseline.rules.yml"), ("test", "rules", "phaseline.rules.test.yml")]
)
def test_prometheus_takes_the_alerts(
    promtool: Callable[..., subprocess.CompletedProcess[str]], arguments: tuple[str, ...]
) -> None:
    """They are rules, and each fires at what it is for."""
    done = promtool(*arguments)
    assert (0, "SUCCESS") == (
        done.returncode,
        "SUCCESS" if "SUCCESS" in done.stdout else done.stdout + done.stderr,
    )


async def test_prometheus_finds_nothing_wrong_with_a_scrape(
    promtool: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """Neither with the names nor with the texts."""
    registry, runtime = CollectorRegistry(), Runtime(MemoryStorage(), pipelines=[going])
    prometheus.instrument(runtime, registry=registry)
    async with runtime:
        await runtime.run(going, 3)
        scraped = (await to_thread.run_sync(generate_latest, registry)).decode()
    done = await to_thread.run_sync(partial(promtool, "check", "metrics", given=scraped))
    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)
