"""Recorded workflows of 5 to 500 tasks in virtual time: order is kept, and no worker idles while there is work."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pytest

from phaseline import Pipeline, Runtime
from phaseline.abc import Storage
from phaseline.errors import DefinitionError
from phaseline.events import PhaseCompleted, PhaseStarted
from phaseline.testing import FakeClock

FOLDER = Path(__file__).parents[2] / "examples" / "wfformat"
DIAMOND = (FOLDER / "diamond.json").read_bytes()
TASKS = {"diamond": 5, "montage": 60, "epigenomics": 120, "layers": 500}


@pytest.fixture(scope="module")
def wfformat() -> ModuleType:
    """The reader, as it stands in the examples."""
    spec = importlib.util.spec_from_file_location("wfformat", FOLDER / "wfformat.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class VirtualTime:
    """Spends the time of tasks on a clock that is moved by hand."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    async def sleep(self, span: timedelta, /) -> None:
        await self._clock.sleep_until(self._clock.now() + span)


# --------------------------------------------------------------------- instances of known shapes
def shape_of(name: str, chance: Random) -> dict[str, list[str]]:
    """Tasks with their parents."""
    total = TASKS[name]
    if name == "diamond":
        return {"a": [], **{side: ["a"] for side in "bcd"}, "e": ["b", "c", "d"]}
    if name == "epigenomics":  # a fork of lines of four, joined twice
        lines = (total - 4) // 4
        tasks = {"split": []} | {
            f"l{i}s{s}": ["split" if s == 0 else f"l{i}s{s - 1}"] for i in range(lines) for s in range(4)
        }
        tasks["merge"] = [f"l{i}s3" for i in range(lines)]
        return tasks | {"index": ["merge"], "pileup": ["index"]}
    if name == "montage":  # projections, a difference of each two neighbours, a join, corrections, a join
        wide = (total - 3) // 3
        tasks = {f"project{i}": list[str]() for i in range(wide)}
        tasks |= {f"differ{i}": [f"project{i}", f"project{i + 1}"] for i in range(wide - 1)}
        tasks["model"] = [f"differ{i}" for i in range(wide - 1)]
        tasks |= {f"correct{i}": ["model", f"project{i}"] for i in range(wide)}
        tasks["add"] = [f"correct{i}" for i in range(wide)]
        return tasks | {"shrink": ["add"], "view": ["shrink"], "log": ["add"]}
    layers = [[f"n{row}_{i}" for i in range(50)] for row in range(total // 50)]
    tasks = {id_: list[str]() for id_ in layers[0]}
    for above, below in pairwise(layers):
        tasks |= {id_: sorted(chance.sample(above, chance.randint(1, 4))) for id_ in below}
    return tasks


def instance_of(name: str) -> str:
    """The same as JSON in WfFormat, tasks in no order, with runtimes between a millisecond and ten seconds."""
    chance = Random(name)
    parents = list(shape_of(name, chance).items())
    chance.shuffle(parents)
    specified = [{"name": id_, "id": id_, "parents": before, "children": []} for id_, before in parents]
    measured = [{"id": id_, "runtimeInSeconds": chance.randint(1, 10_000) / 1_000} for id_, _ in parents]
    workflow = {
        "specification": {"tasks": specified},
        "execution": {"makespanInSeconds": 1, "tasks": measured},
    }
    return json.dumps({"name": name, "schemaVersion": "1.5", "workflow": workflow})


def critical_path(parents: dict[str, tuple[str, ...]], seconds: dict[str, float]) -> float:
    """The longest way through the graph; parents come first."""
    ends: dict[str, float] = {}
    for id_, before in parents.items():
        ends[id_] = seconds[id_] + max((ends[parent] for parent in before), default=0.0)
    return max(ends.values())


# --------------------------------------------------------------------- runs
async def spans_of(
    runtime: Runtime, pipeline: Pipeline[int, None], clock: FakeClock, work: float
) -> dict[str, tuple[datetime, datetime]]:
    """When each task started, and when its end was committed."""
    async with runtime:
        handle = await runtime.start(pipeline, 0)
        await clock.advance(timedelta(seconds=work))
        assert (await handle.run()).state == "COMPLETED"
        events = [event async for event in handle.events()]
    started = {event.phase: event.at for event in events if isinstance(event, PhaseStarted)}
    return {
        event.phase or "": (started[event.phase], event.at)
        for event in events
        if isinstance(event, PhaseCompleted)
    }


def check(instance: Any, spans: dict[str, tuple[datetime, datetime]], workers: int) -> None:
    """Nothing starts before its parents' ends are committed; the makespan keeps the bounds of any greedy schedule."""
    parents, seconds = instance.parents(), instance.seconds()
    assert set(spans) == {f"t_{id_}" for id_ in parents}
    for id_, before in parents.items():
        start, end = spans[f"t_{id_}"]
        assert all(spans[f"t_{parent}"][1] <= start for parent in before)
        assert (end - start).total_seconds() == pytest.approx(seconds[id_], abs=1e-5)
    makespan = (
        max(end for _, end in spans.values()) - min(start for start, _ in spans.values())
    ).total_seconds()
    critical, work = critical_path(parents, seconds), sum(seconds.values())
    assert critical - 1e-3 <= makespan <= work / workers + (1 - 1 / workers) * critical + 1e-3
    busy = sorted([(start, 1) for start, _ in spans.values()] + [(end, -1) for _, end in spans.values()])
    running = [sum(step for _, step in busy[: i + 1]) for i in range(len(busy))]
    assert max(running) <= workers


@pytest.mark.parametrize("workers", [1, 4, 32])
@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize(
    "anyio_backend", ["asyncio"]
)  # the fake clock costs too much on trio for hundreds of tasks
async def test_instances_in_virtual_time(
    wfformat: ModuleType, clock: FakeClock, name: str, workers: int
) -> None:
    """Every start respects its parents' commits, and the makespan lies between its bounds."""
    instance = wfformat.Instance.model_validate_json(instance_of(name))
    assert len(instance.parents()) == len(instance.seconds())
    pipeline, deps = wfformat.pipeline_of(instance), {wfformat.SLEEPER: VirtualTime(clock)}
    runtime = Runtime(pipelines=[pipeline], clock=clock, deps=deps, concurrency=workers)
    spans = await spans_of(runtime, pipeline, clock, sum(instance.seconds().values()))
    check(instance, spans, workers)


async def test_an_instance_on_every_storage(
    wfformat: ModuleType, clock: FakeClock, storage: Callable[[], Storage]
) -> None:
    """The same holds on databases, for a runtime of two workers."""
    instance = wfformat.Instance.model_validate_json(DIAMOND)
    pipeline, deps = wfformat.pipeline_of(instance), {wfformat.SLEEPER: VirtualTime(clock)}
    runtime = Runtime(storage(), pipelines=[pipeline], clock=clock, deps=deps, concurrency=2)
    check(instance, await spans_of(runtime, pipeline, clock, 0.2), 2)


def test_the_program() -> None:
    """An instance can be run again from the command line, in real time."""
    command = [sys.executable, "-W", "error", str(FOLDER / "wfformat.py"), str(FOLDER / "diamond.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout.startswith("diamond: 5 tasks in 0:00:00.")


def test_instances_that_cannot_be_run(wfformat: ModuleType) -> None:
    """Tasks that wait for each other, or were not executed, are named."""

    def pipeline_of(tasks: list[dict[str, Any]], ids: str) -> Pipeline[int, None]:
        measured = [{"id": id_, "runtimeInSeconds": 1} for id_ in ids]
        workflow = {"specification": {"tasks": tasks}, "execution": {"tasks": measured}}
        return wfformat.pipeline_of(wfformat.Instance.model_validate({"name": "x", "workflow": workflow}))

    with pytest.raises(DefinitionError, match=r"tasks wait for each other.*\['a', 'b'\]"):
        pipeline_of([{"id": "a", "parents": ["b"]}, {"id": "b", "parents": ["a"]}], "ab")
    with pytest.raises(DefinitionError, match="task 'a' was not executed"):
        pipeline_of([{"id": "a"}], "b")
