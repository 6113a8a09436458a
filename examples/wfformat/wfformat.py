"""Runs a recorded workflow again: reads an instance in WfFormat (WfCommons), and makes a pipeline of it.

A task becomes a phase that waits for the phases of its parents and then sleeps as long as the task took:
``python examples/wfformat/wfformat.py examples/wfformat/diamond.json``.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import anyio
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from phaseline import Context, Dag, Dep, Phase, Pipeline, Ref, phase
from phaseline.errors import DefinitionError


class Model(BaseModel):
    """What is read of an instance; all else in it is left alone."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel)


class Task(Model):
    """A task and those that must have ended before it."""

    id: str
    parents: tuple[str, ...] = ()


class Measured(Model):
    """How long a task took."""

    id: str
    runtime_in_seconds: float = Field(ge=0)


class Specification(Model):
    """What was to be done."""

    tasks: tuple[Task, ...]


class Execution(Model):
    """What was done."""

    tasks: tuple[Measured, ...]


class Workflow(Model):
    """Both of them."""

    specification: Specification
    execution: Execution


class Instance(Model):
    """A recorded workflow: its tasks with their parents, and how long each took."""

    name: str
    workflow: Workflow

    def parents(self) -> dict[str, tuple[str, ...]]:
        """The parents of each task, so that every task comes after its own."""
        given = {task.id: task.parents for task in self.workflow.specification.tasks}
        ordered: dict[str, tuple[str, ...]] = {}
        while len(ordered) < len(given):
            ready = [id_ for id_ in given if id_ not in ordered and all(p in ordered for p in given[id_])]
            if not ready:
                left = sorted(given.keys() - ordered.keys())
                raise DefinitionError(
                    f"{self.name}: tasks wait for each other, or for none of these: {left[:5]}"
                )
            ordered.update({id_: given[id_] for id_ in ready})
        return ordered

    def seconds(self) -> dict[str, float]:
        """How long each task took."""
        return {task.id: task.runtime_in_seconds for task in self.workflow.execution.tasks}


class Sleeper(Protocol):
    """What spends the time of a task: for real, or on a clock of a test's."""

    async def sleep(self, span: timedelta, /) -> None:
        """Return when the time has passed."""
        ...


SLEEPER = Dep[Sleeper]("sleeper")


def pipeline_of(instance: Instance) -> Pipeline[int, None]:
    """Make a pipeline of an instance, one phase for each task.

    Raises:
        DefinitionError: Tasks wait for each other, or one was not measured.
    """
    seconds = instance.seconds()
    dag = Dag("".join(c if c.isalnum() else "_" for c in f"wf_{instance.name}"), int)
    refs: dict[str, Ref[None]] = {}
    for number, (id_, parents) in enumerate(instance.parents().items()):
        if id_ not in seconds:
            raise DefinitionError(
                f"{instance.name}: task {id_!r} was not executed, so nobody knows how long it takes"
            )
        task = _phase(f"t_{id_}", f"T{number}", timedelta(seconds=seconds[id_]))
        refs[id_] = dag.add(task, dag.input, after=[refs[parent] for parent in parents])
    *others, last = refs.values()
    return dag.build(last, also=others)


def _phase(name: str, label: str, span: timedelta) -> Phase[int, None]:
    @phase(name=name, label=label, requires=(SLEEPER,))
    async def task(number: int, ctx: Context) -> None:  # noqa: ARG001  # only its parents' ends matter
        await ctx.dep(SLEEPER).sleep(span)

    return task


class RealTime:
    """Sleeps as long as it is told."""

    async def sleep(self, span: timedelta, /) -> None:
        """Return when the time has passed."""
        await anyio.sleep(span.total_seconds())


if __name__ == "__main__":
    instance = Instance.model_validate_json(Path(sys.argv[1]).read_bytes())
    run = pipeline_of(instance).run_sync(0, deps={SLEEPER: RealTime()})
    print(f"{instance.name}: {len(run.phases)} tasks in {run.duration}")
