"""A plan that waits for a person before anything is done with it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import anyio
import pydantic_ai.models
import pytest
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel
from tests.loops import BOTH_LOOPS, anyio_backend
from tests.waiting import PATIENCE

from phaseline import RunHandle, Runtime, Transitions
from phaseline.errors import InvalidSignalError, PipelineFailedError
from phaseline.recipes.task_preparation import (
    PLAN_REVIEW,
    Category,
    Effort,
    PlanLimits,
    PlanReview,
    Prompt,
    Subtask,
    Task,
    plan_told,
    prepared_task,
    task_preparation_pipeline,
)
from phaseline.recipes.task_preparation.agents import AgentDecomposer
from phaseline.testing import EventRecorder, FakeClock

__all__ = ["anyio_backend"]

TASK = Task.from_text("Members book a class, and cancel it up to 2 hours before.")
ENGINE = ("IDLE", "INITIALIZING", "COMPLETED", "FAILED", "PAUSED", "ROLLED_BACK", "CANCELLED")


def subtask(title: str, *needs: str, hours: float = 2) -> Subtask:
    """A subtask of which only the named parts matter."""
    return Subtask(
        category=Category.SERVICE, title=title, description="Do it.", dependencies=needs,
        estimated_effort=Effort(min_hours=1, max_hours=hours), priority=1,
    )  # fmt: skip


@asynccontextmanager
async def waiting(
    storage: str = "memory", limits: PlanLimits | None = None
) -> AsyncIterator[RunHandle[list[Prompt]]]:
    """A run that waits for a person."""
    pipeline, clock = task_preparation_pipeline(approval=True, limits=limits), FakeClock()
    async with Runtime(storage, pipelines=[pipeline], clock=clock) as runtime:
        handle = await runtime.start(pipeline, TASK)
        await until_it_waits(handle, clock)
        yield handle


async def until_it_waits(handle: RunHandle[list[Prompt]], clock: FakeClock) -> None:
    """Return when the run waits for a person."""
    # A model's answer may need turns of the loop in which nothing is seen to happen.
    with anyio.move_on_after(PATIENCE):
        while await handle.state() != "AWAITING_APPROVAL":
            await clock.advance(timedelta())
    assert "AWAITING_APPROVAL" == await handle.state()


def titles(prompts: Sequence[Prompt]) -> list[str]:
    """The titles of the subtasks in prompts, in order."""
    return [
        line.partition(". ")[2]
        for prompt in prompts
        for line in prompt.text.splitlines()
        if line.startswith("### ")
    ]


def test_without_approval_the_machine_has_the_nine_states() -> None:
    """They are those of the design, and CANCELLED, which each pipeline's machine has, with the moves between them."""
    active = ("DECOMPOSING", "ENRICHING", "GENERATING_PROMPTS")
    expected = {
        "IDLE": {"INITIALIZING", "PAUSED", "FAILED", "CANCELLED"},
        "INITIALIZING": {*active, "PAUSED", "FAILED", "CANCELLED"},
        "DECOMPOSING": {"ENRICHING", "PAUSED", "FAILED", "CANCELLED"},
        "ENRICHING": {"GENERATING_PROMPTS", "PAUSED", "FAILED", "CANCELLED"},
        "GENERATING_PROMPTS": {"COMPLETED", "PAUSED", "FAILED", "CANCELLED"},
        "PAUSED": {"IDLE", "INITIALIZING", *active, "COMPLETED", "FAILED", "ROLLED_BACK", "CANCELLED"},
        "FAILED": {"IDLE", "ROLLED_BACK"},
        "ROLLED_BACK": {"IDLE"},
        "COMPLETED": {"IDLE", "ROLLED_BACK"},
        "CANCELLED": set[str](),
    }

    assert expected == table(task_preparation_pipeline().transitions)


def test_with_approval_it_has_one_more() -> None:
    """The state in which the plan waits stands between the plan and the work."""
    machine = table(task_preparation_pipeline(approval=True).transitions)

    assert {*ENGINE, "DECOMPOSING", "AWAITING_APPROVAL", "ENRICHING", "GENERATING_PROMPTS"} == set(machine)
    assert {"AWAITING_APPROVAL", "PAUSED", "FAILED", "CANCELLED"} == machine["DECOMPOSING"]
    assert {"ENRICHING", "PAUSED", "FAILED", "CANCELLED"} == machine["AWAITING_APPROVAL"]


@BOTH_LOOPS
async def test_approved_plan_goes_on_as_it_is() -> None:
    """The prompts are those of a run that nobody was asked about."""
    expected = await task_preparation_pipeline()(TASK)
    async with waiting() as handle:
        await handle.signal(PLAN_REVIEW, PlanReview.approve(by="ada"))
        run = await handle.wait()
        told = [event.data async for event in handle.events() if event.type == "PLAN_REVIEWED"]

    assert expected == run.output
    assert (
        "IDLE", "INITIALIZING", "DECOMPOSING", "AWAITING_APPROVAL", "ENRICHING", "GENERATING_PROMPTS", "COMPLETED",
    ) == run.states  # fmt: skip
    assert [{"verdict": "approve", "by": "ada", "reason": "", "subtasks": []}] == told


async def test_edited_plan_takes_its_place(tmp_path: Path) -> None:
    """What was edited is what the prompts are written of, also in another process than the one that waited."""
    storage = f"sqlite:///{tmp_path / 'runs.db'}"
    limits = PlanLimits(categories=frozenset({Category.SERVICE}))
    async with waiting(storage, limits) as handle:
        pass
    pipeline = task_preparation_pipeline(approval=True, limits=limits)
    async with Runtime(storage, pipelines=[pipeline]) as runtime:
        found = await runtime.get(handle.id, pipeline)
        edited = [subtask("Book a class"), subtask("Cancel it", "Book a class")]
        await found.signal(PLAN_REVIEW, PlanReview.edit(edited, by="ada", reason="two will do"))
        prompts = await found.result()
        told = [event.data async for event in found.events() if event.type == "PLAN_REVIEWED"]

    assert ["Book a class", "Cancel it"] == titles(prompts)
    assert [("edit", ["Book a class", "Cancel it"])] == [
        (data["verdict"], [made["title"] for made in data["subtasks"]]) for data in told
    ]


async def test_plan_of_a_model_is_edited() -> None:
    """The plan that waits is the model's last draft, and what is edited takes its place; the model is asked no more."""
    made = [subtask("Book a class"), subtask("Cancel it", "Book a class")]
    answers = [[subtask("Book a class", "nothing")], made]

    async def answer(
        messages: list[ModelMessage], info: AgentInfo
    ) -> AsyncIterator[dict[int, DeltaToolCall]]:
        plan = [each.model_dump(mode="json") for each in answers.pop(0)]
        text = json.dumps({"subtasks": plan})
        yield {0: DeltaToolCall(info.output_tools[0].name, text, tool_call_id=f"call {len(messages)}")}

    limits = PlanLimits(categories=frozenset())
    decomposer = AgentDecomposer(FunctionModel(stream_function=answer), limits=limits)
    pipeline, clock = task_preparation_pipeline(decomposer, approval=True, limits=limits), FakeClock()
    with pydantic_ai.models.override_allow_model_requests(False):
        async with Runtime(pipelines=[pipeline], clock=clock) as runtime:
            with EventRecorder(runtime.bus) as recorder:
                handle = await runtime.start(pipeline, TASK)
                await until_it_waits(handle, clock)
            edited = [made[0], subtask("Move it", "Book a class")]
            await handle.signal(PLAN_REVIEW, PlanReview.edit(edited, by="ada"))
            prompts = await handle.result()
            document = await prepared_task(handle)

    assert [] == answers
    assert made == plan_told(recorder.events)
    assert ["Book a class", "Move it"] == titles(prompts)
    assert tuple(edited) == document.subtasks


async def test_bad_edit_loses_nothing() -> None:
    """An edit that is no plan is refused with all that is wrong, nothing is stored, and the next one is taken."""
    limits = PlanLimits(categories=frozenset())
    async with waiting(limits=limits) as handle:
        before = (await handle.export()).events
        bad = [subtask("a", "b"), subtask("b", "a"), subtask("c", "gone", hours=99)]
        with pytest.raises(InvalidSignalError) as caught:
            await handle.signal(PLAN_REVIEW, PlanReview.edit(bad))
        state, after = await handle.state(), (await handle.export()).events
        await handle.signal(PLAN_REVIEW, PlanReview.edit([subtask("a")]))
        prompts = await handle.result()

    told = caught.value.problems
    parts = ("'gone', which is no title", "the dependencies form a cycle", "at most 80 h are allowed")
    assert len(parts) == len(told)
    for part, problem in zip(parts, told, strict=True):
        assert part in problem
    assert ("AWAITING_APPROVAL", before) == (state, after)
    assert ["a"] == titles(prompts)


async def test_refused_plan_fails_the_run_with_the_reason() -> None:
    """It is not tried again; the plan can be reviewed once more, and then goes on."""
    async with waiting() as handle:
        await handle.signal(PLAN_REVIEW, PlanReview.refuse("we buy it", by="ada"))
        with pytest.raises(PipelineFailedError, match="was refused by ada: we buy it") as caught:
            await handle.result()
        await handle.rerun_from("awaiting_approval")
        await handle.signal(PLAN_REVIEW, PlanReview.approve())
        run = await handle.wait()

    error = caught.value.run.error
    assert error is not None
    assert ("PlanRefusedError", "apply_review") == (error.type, error.phase)
    assert "AWAITING_APPROVAL" == caught.value.run.states[-2]
    assert 1 == caught.value.run.phases["apply_review"].attempt
    assert "COMPLETED" == run.state


@pytest.mark.parametrize(
    ("review", "problem"),
    [
        ({"verdict": "refuse", "reason": " "}, "a refusal says why"),
        ({"verdict": "edit"}, "gives the subtasks of the whole plan"),
        ({"verdict": "approve", "subtasks": [subtask("a").model_dump()]}, "come with the verdict 'edit'"),
        ({"verdict": "maybe"}, "'approve', 'refuse' or 'edit'"),
    ],
)
def test_incomplete_review_is_refused(review: dict[str, object], problem: str) -> None:
    """A review says enough, and nothing that contradicts it."""
    with pytest.raises(ValueError, match=problem):
        PlanReview.model_validate(review)


async def test_runs_of_both_shapes_go_on_side_by_side(tmp_path: Path) -> None:
    """Who switches the option on keeps the other version registered, and what began under it goes on as it began."""
    storage = f"sqlite:///{tmp_path / 'runs.db'}"
    without, gated = task_preparation_pipeline(), task_preparation_pipeline(approval=True)
    async with Runtime(storage, pipelines=[without], serve=False) as runtime:
        old = await runtime.start(without, TASK)
    async with Runtime(storage, pipelines=[gated]) as runtime:
        (orphans,) = await runtime.orphans()
    clock = FakeClock()
    async with Runtime(storage, pipelines=[gated, without], clock=clock) as runtime:
        new = await runtime.start(gated, TASK)
        await until_it_waits(new, clock)
        prompts = await (await runtime.get(old.id, without)).result()
        await new.signal(PLAN_REVIEW, PlanReview.approve())

        assert (1, "1", False) == (orphans.count, orphans.version, orphans.is_changed)
        assert prompts == await new.result()


def table(transitions: Transitions[str]) -> dict[str, set[str]]:
    """Where each state may go."""
    return {state: set(transitions.allowed(state)) for state in transitions.states}
