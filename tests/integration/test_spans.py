"""Spans of OpenTelemetry: those of one run find each other wherever they were made, and hold nothing of users but names."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from tests.apps.traced import Recorded, booking, quiet_provider
from tests.loops import BOTH_LOOPS, anyio_backend  # noqa: F401  # the fixture

from phaseline import Context, Pipeline, Retry, Runtime, Skip, each, phase, start_child
from phaseline.errors import PipelineFailedError, RuntimeUsageError
from phaseline.otel import instrument
from phaseline.storage.memory import MemoryStorage
from phaseline.storage.sql.store import SqlStorage

TRACED = Path(__file__).parents[1] / "apps" / "traced.py"
CANARY = "hunter2-of-the-customer"


def named(spans: list[dict[str, Any]], name: str) -> dict[str, Any]:
    (found,) = (span for span in spans if span["name"] == name)
    return found


async def test_the_spans_of_two_processes_form_one_picture(tmp_path: Path) -> None:
    """A run that one process starts and another ends is one trace, each span within one that is there, but for the request."""
    database = tmp_path / "runs.db"
    await Runtime(f"sqlite:///{database}").migrate()
    process = await anyio.run_process(
        [sys.executable, str(TRACED), str(database)], stderr=subprocess.STDOUT, check=False
    )
    assert 0 == process.returncode, process.stdout.decode()
    theirs = json.loads(process.stdout)

    recorded = Recorded()
    runtime = Runtime(f"sqlite:///{database}", pipelines=[booking])
    instrument(runtime, tracer_provider=recorded.provider)
    async with runtime:
        handle = await runtime.get(theirs["run"], booking)
        with recorded.provider.get_tracer("host").start_as_current_span("operator"):
            await handle.resume()
        assert 42 == await handle.result()

    ours = recorded.spans()
    operator = named(ours, "operator")
    picture = [*theirs["spans"], *(span for span in ours if span is not operator)]
    assert {
        "request", "start booking", "phase booking/reserve", "pause booking", "step booking/reserve", "resume booking",
        "phase booking/book", "run booking",
    } == {span["name"] for span in picture}  # fmt: skip
    assert 1 == len({span["trace"] for span in picture})
    assert operator["trace"] != picture[0]["trace"]
    ids = {span["id"] for span in picture}
    assert ["request"] == [span["name"] for span in picture if span["parent"] not in ids]
    start = named(picture, "start booking")
    for name in ("phase booking/reserve", "phase booking/book", "run booking", "resume booking"):
        assert named(picture, name)["parent"] == start["id"], name
    assert named(picture, "step booking/reserve")["parent"] == named(picture, "phase booking/reserve")["id"]
    assert [operator["id"]] == named(picture, "resume booking")["links"]
    reserve = named(picture, "phase booking/reserve")
    assert [reserve["id"]] == named(picture, "pause booking")["links"]
    assert named(picture, "run booking")["seconds"] >= reserve["seconds"]


# --------------------------------------------------------------------- in one process
@phase(retry=Retry(2, wait=timedelta(0)))
async def try_hard(value: int, ctx: Context) -> int:
    if value < 0 or ctx.attempt == 1:
        raise ConnectionError(f"no connection for {CANARY}")
    return value


@phase
async def leave_out(value: int) -> int:
    raise Skip("not needed", output=value)


@phase
def in_thread(value: int, ctx: Context) -> int:
    with tracer().start_as_current_span("of the user"):
        return ctx.blocking.step(CANARY[:3], lambda: value)


@phase
async def count(value: int) -> int:
    return value


@phase
def total(values: list[int]) -> int:
    return sum(values)


@phase
async def alone(value: int) -> list[int]:
    return [value, value]


child = Pipeline("child", in_thread)
trying = Pipeline("trying", try_hard >> leave_out >> start_child(child) >> alone >> each(count) >> total)
providers: list[TracerProvider] = []


def tracer() -> Any:
    return providers[-1].get_tracer("host")


@pytest.fixture
def recorded() -> Recorded:
    made = Recorded()
    providers[:] = [made.provider]
    return made


@pytest.fixture
def runtime(recorded: Recorded) -> Runtime:
    made = Runtime(MemoryStorage(), pipelines=[trying, child])
    instrument(made, tracer_provider=recorded.provider)
    return made


@BOTH_LOOPS
async def test_attempts_steps_threads_and_children_have_spans(runtime: Runtime, recorded: Recorded) -> None:
    """Each attempt is a span with its outcome; a child's run is part of the trace, under the phase that starts it."""
    async with runtime:
        run = await runtime.run(trying, 3)
    spans = recorded.spans()
    attempts = [span["attributes"] for span in spans if span["name"] == "phase trying/try_hard"]
    assert [(1, "retried", "ConnectionError"), (2, "completed", None)] == [
        (each["phaseline.attempt"], each["phaseline.outcome"], each.get("error.type")) for each in attempts
    ]
    assert "skipped" == named(spans, "phase trying/leave_out")["attributes"]["phaseline.outcome"]
    starts = named(spans, "phase trying/child")
    inside = named(spans, "phase child/in_thread")
    assert inside["parent"] == starts["id"]
    assert named(spans, "of the user")["parent"] == inside["id"]
    assert named(spans, "step child/in_thread")["parent"] == named(spans, "of the user")["id"]
    items = [span for span in spans if span["name"] == "phase trying/count"]
    assert ["count[0]", "count[1]"] == sorted(span["attributes"]["phaseline.phase.path"] for span in items)
    assert named(spans, "run trying")["attributes"]["phaseline.run.id"] == run.id
    assert 1 == len({span["trace"] for span in spans})


async def test_spans_hold_no_words_of_exceptions(runtime: Runtime, recorded: Recorded) -> None:
    """A failure is told by the name of its class alone, of the attempt and of the run."""
    async with runtime:
        with pytest.raises(PipelineFailedError):
            await runtime.run(trying, -1)
    spans = recorded.spans()
    failed = named(spans, "run trying")
    assert (True, "failed", "ConnectionError") == (
        failed["error"], failed["attributes"]["phaseline.outcome"], failed["attributes"]["error.type"],
    )  # fmt: skip
    assert ["retried", "failed"] == [
        span["attributes"]["phaseline.outcome"] for span in spans if span["name"].startswith("phase")
    ]
    assert {(None, 0)} == {(span["said"], span["events"]) for span in spans}
    assert CANARY not in json.dumps(spans)


@phase(timeout=timedelta(seconds=0.01))
async def never(_: int) -> int:
    await anyio.sleep_forever()
    return 0


async def test_a_phase_that_is_interrupted_says_why(recorded: Recorded) -> None:
    """A body that is stopped from outside ends its span."""
    late = Pipeline("late", never)
    runtime = Runtime(MemoryStorage(), pipelines=[late])
    instrument(runtime, tracer_provider=recorded.provider)
    async with runtime:
        with pytest.raises(PipelineFailedError):
            await runtime.run(late, 1)
    attributes = named(recorded.spans(), "phase late/never")["attributes"]
    assert ("timed_out", "TimeoutError") == (attributes["phaseline.outcome"], attributes["error.type"])


class Broken(SpanProcessor):
    """An SDK of the host's that fails at everything."""

    def __init__(self) -> None:
        self.asked = 0

    def on_start(self, span: object, parent_context: object = None) -> None:
        self.asked += 1
        raise ValueError("broken at the start")

    def on_end(self, span: object) -> None:
        raise ValueError("broken at the end")


async def test_an_sdk_that_raises_harms_no_run(caplog: pytest.LogCaptureFixture) -> None:
    """What takes spans may fail at each of them: runs end as they would without it, and the log tells."""
    broken, provider = Broken(), quiet_provider()
    provider.add_span_processor(broken)
    providers[:] = [quiet_provider()]
    runtime = Runtime(MemoryStorage(), pipelines=[trying, child])
    instrument(runtime, tracer_provider=provider)
    async with runtime:
        run = await runtime.run(trying, 3)
    assert 6 == run.output
    assert broken.asked
    assert "a span could not be started" in caplog.text


def test_a_runtime_is_instrumented_once(runtime: Runtime) -> None:
    """Twice would be two spans of everything."""
    with pytest.raises(RuntimeUsageError, match="instrument it once"):
        instrument(runtime)


async def test_a_runtime_that_is_not_instrumented_stores_nothing(database: Callable[[], SqlStorage]) -> None:
    """The trace context of a run is kept only where somebody traces; a copy is part of the trace of its origin."""
    recorded, plain = Recorded(), Runtime(database(), pipelines=[booking])
    await plain.migrate()
    async with plain:
        handle = await plain.start(booking, 1, delay=timedelta(hours=1))
        assert None is (await plain.runner.record_of(handle.id)).trace
    runtime = Runtime(database(), pipelines=[booking], serve=False)
    instrument(runtime, tracer_provider=recorded.provider)
    async with runtime:
        traced = await runtime.start(booking, 1, delay=timedelta(hours=1))
        kept = (await runtime.runner.record_of(traced.id)).trace
    (start,) = recorded.spans()
    assert kept is not None
    assert kept.startswith(f"00-{start['trace']:032x}-{start['id']:016x}-")
