"""What a run made of its task, as a document."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.loops import anyio_backend

from phaseline import RunHandle, Runtime
from phaseline.errors import PipelineFailedError, RunNotSettledError
from phaseline.recipes.task_preparation import (
    PLAN_REVIEW,
    Category,
    Effort,
    PlanLimits,
    PlanReview,
    PreparedTask,
    Prompt,
    Subtask,
    Task,
    prepared_task,
    task_preparation_pipeline,
)
from phaseline.recipes.task_preparation.templates import decompose
from phaseline.testing import FakeClock

__all__ = ["anyio_backend"]

TASK = Task.from_text("Members book a class, and cancel it up to 2 hours before.")


def subtask(title: str, *needs: str) -> Subtask:
    """A subtask of which only title and dependencies matter."""
    return Subtask(
        category=Category.SERVICE, title=title, description="Do it.", dependencies=needs,
        estimated_effort=Effort(min_hours=1, max_hours=2), priority=1,
    )  # fmt: skip


async def test_document_holds_plan_and_prompts() -> None:
    """It holds what the run gave, and is read back from its JSON."""
    pipeline = task_preparation_pipeline()
    async with Runtime(pipelines=[pipeline]) as runtime:
        handle = await runtime.start(pipeline, TASK)
        prompts = await handle.result()
        made = await prepared_task(handle)

    assert (handle.id, tuple(decompose(TASK)), tuple(prompts)) == (made.run_id, made.subtasks, made.prompts)
    assert made == PreparedTask.model_validate_json(made.to_json())
    assert made.to_json().endswith("}\n")


async def test_markdown_is_ready_to_be_pasted() -> None:
    """It begins with the plan, in an order in which it can be done, and goes on with the whole prompts."""
    limits = PlanLimits(categories=frozenset())

    async def plan(task: Task, ctx: object) -> list[Subtask]:
        return [subtask("Cancel *it*", "Book", "Pay"), subtask("Pay", "Book"), subtask("Book")]

    pipeline = task_preparation_pipeline(plan, limits=limits)
    async with Runtime(pipelines=[pipeline]) as runtime:
        handle = await runtime.start(pipeline, TASK)
        (prompt,) = await handle.result()
        text = (await prepared_task(handle)).to_markdown()

    head, _, rest = text.partition("\n---\n\n")
    assert (
        "# Plan\n\nEstimated at 3-6 h in all.\n\n1. Book (Service, 1-2 h)\n2. Pay (Service, 1-2 h; after 1)\n"
        "3. `Cancel *it*` (Service, 1-2 h; after 1, 2)\n"
    ) == head
    assert prompt.text == rest


async def test_edited_plan_is_the_plan() -> None:
    """What a person put in the place of the plan is what the document tells."""
    pipeline, clock = (
        task_preparation_pipeline(approval=True, limits=PlanLimits(categories=frozenset())),
        FakeClock(),
    )
    async with Runtime(pipelines=[pipeline], clock=clock) as runtime:
        handle = await runtime.start(pipeline, TASK)
        await clock.advance(timedelta())
        with pytest.raises(RunNotSettledError):
            await prepared_task(handle)
        await handle.signal(PLAN_REVIEW, PlanReview.edit([subtask("Book")]))
        await handle.result()

        assert ["Book"] == [made.title for made in (await prepared_task(handle)).subtasks]

        await handle.rerun_from(
            "awaiting_approval"
        )  # and what was edited is so no more where it is approved after all
        await handle.signal(PLAN_REVIEW, PlanReview.approve())
        await handle.result()

        assert tuple(decompose(TASK)) == (await prepared_task(handle)).subtasks


async def test_plan_that_was_taken_over_is_told() -> None:
    """A copy of a run whose plan was made there has the same plan; of a plan made anew, the new one counts."""
    pipeline = task_preparation_pipeline()
    async with Runtime(pipelines=[pipeline]) as runtime:
        handle = await runtime.start(pipeline, TASK)
        await handle.result()
        first = await prepared_task(handle)
        copy = await handle.fork("decompose")
        await copy.result()
        await handle.rerun_from("decompose")
        await handle.result()

        assert first.subtasks == (await prepared_task(copy)).subtasks
        assert first == await prepared_task(handle)


async def test_run_without_prompts_has_no_document() -> None:
    """What the run failed with is raised."""
    pipeline = task_preparation_pipeline(lambda *_: [])
    async with Runtime(pipelines=[pipeline]) as runtime:
        handle: RunHandle[list[Prompt]] = await runtime.start(pipeline, TASK)
        await handle.wait()
        with pytest.raises(PipelineFailedError, match="there are no subtasks"):
            await prepared_task(handle)
