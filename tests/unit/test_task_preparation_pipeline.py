"""The pipeline of task preparation, over the public surface of the library alone."""

from __future__ import annotations

import json
import re
import threading
from datetime import timedelta
from functools import partial
from typing import Any

import anyio
import pytest

from phaseline import ErrorCategory, PhaseState, Runtime
from phaseline.errors import DefinitionError, InvalidInputError, PipelineFailedError
from phaseline.recipes.task_preparation import (
    Category,
    Effort,
    PlanLimits,
    ProjectContext,
    Prompt,
    Subtask,
    SubtaskGenerated,
    Task,
    TemplateDecomposer,
    enrich_subtask,
    task_preparation_pipeline,
    write_prompts,
)
from phaseline.recipes.task_preparation.phases import RETRY
from phaseline.recipes.task_preparation.templates import decompose
from phaseline.testing import FakeClock

TASK = Task.from_text(
    "Build an expense approval workflow. Employees submit expenses with receipts; managers approve or reject each.",
    context=ProjectContext(tech_stack=("FastAPI", "PostgreSQL"), coding_standards=("Clean Code",)),
)
ANY = PlanLimits(categories=frozenset())
STATES = ("IDLE", "INITIALIZING", "DECOMPOSING", "ENRICHING", "GENERATING_PROMPTS", "COMPLETED")


def subtask(title, *needs):
    """A subtask of which only title and dependencies matter."""
    return Subtask(
        category=Category.SERVICE,
        title=title,
        description="Do it.",
        dependencies=needs,
        estimated_effort=Effort(min_hours=1, max_hours=1),
        priority=1,
    )


class Given:
    """A decomposer that gives what it was given, after failing so many times."""

    def __init__(self, *subtasks, failures=0):
        self.subtasks, self.failures, self.calls = subtasks, failures, 0

    async def __call__(self, task, ctx):
        """Fail, or give the subtasks."""
        self.calls += 1
        if self.calls <= self.failures:
            message = "the provider is away"
            raise ConnectionError(message)
        return self.subtasks


async def test_task_becomes_prompts():
    """The pipeline gives what its three pure parts give one after another, through the named states."""
    run = await task_preparation_pipeline().run(TASK)

    assert write_prompts(TASK, [enrich_subtask(s, TASK) for s in decompose(TASK)]) == run.output
    assert STATES == run.states
    assert ["decompose", "enrich", "generate_prompts"] == [checkpoint.phase for checkpoint in run.checkpoints]


async def test_phases_name_their_queues():
    """Each phase waits in the queue that is meant for it, and each subtask is enriched on its own."""
    run = await task_preparation_pipeline().run(TASK)
    items = [f"enrich[{index}]" for index in range(8)]

    expected = {"decompose": "decomposition", "enrich": "enrichment", "generate_prompts": "pipeline"}
    assert expected | dict.fromkeys(items, "enrichment") == {
        path: row.queue for path, row in run.phases.items()
    }
    assert {PhaseState.COMPLETED} == {row.state for row in run.phases.values()}


async def test_each_subtask_is_told():
    """The decompose phase emits SUBTASK_GENERATED once for each subtask, with the subtask."""
    pipeline = task_preparation_pipeline()
    async with Runtime(pipelines=[pipeline]) as runtime:
        handle = await runtime.start(pipeline, TASK)
        told = [event async for event in handle.events() if event.type == "SUBTASK_GENERATED"]

    expected = [
        {"draft": 1, "index": index, "total": 8, "subtask": made.model_dump(mode="json")}
        for index, made in enumerate(decompose(TASK), start=1)
    ]
    assert expected == [event.data for event in told]
    assert {"decompose"} == {event.phase for event in told}


# --------------------------------------------------------------------- parts of one's own
async def plan_of_one(task, ctx):
    """Take a task apart into one subtask, on the event loop."""
    await anyio.lowlevel.checkpoint()
    return [subtask(f"{task.title} of {ctx.pipeline}")]


def enrich_in_thread(made, task, ctx):
    """Add a line that says where it was made."""
    stored = ctx.blocking.step("where", threading.current_thread().name.partition("-").__getitem__, 0)
    return enrich_subtask(made, task).model_copy(update={"tech_requirements": (f"made in {stored}",)})


class Writer:
    """A prompt writer that is no function."""

    async def __call__(self, task, subtasks, ctx):
        """Write the titles down."""
        await anyio.lowlevel.checkpoint()
        lines = [f"{made.title}: {made.tech_requirements[0]}" for made in subtasks]
        return (Prompt(category=Category.SERVICE, title=task.title, text="\n".join(lines)),)


async def test_parts_can_be_replaced():
    """Functions and callables of one's own take the place of the templates: async ones on the loop, others in a thread."""
    run = await task_preparation_pipeline(plan_of_one, enrich_in_thread, Writer(), limits=ANY).run(TASK)

    title = "Build an expense approval workflow"
    assert [(title, f"{title} of task-preparation: made in phaseline")] == [
        (p.title, p.text) for p in run.output
    ]


async def test_part_may_be_given_with_arguments():
    """A partial of an async function is awaited."""

    async def named(prefix, task, ctx):
        await anyio.lowlevel.checkpoint()
        return [subtask(f"{prefix} {task.title}")]

    run = await task_preparation_pipeline(partial(named, "now:"), limits=ANY).run(TASK)

    assert "### 1. now: Build an expense approval workflow" in run.output[0].text


class Telling:
    """A decomposer that tells its subtasks while it makes them, and makes two drafts."""

    tells_subtasks = True

    def __call__(self, task, ctx):
        """Tell a draft of one, and then the plan."""
        made = [subtask("first"), subtask("second")]
        ctx.emit(SubtaskGenerated(draft=1, index=1, total=None, subtask=subtask("never")))
        for index, each in enumerate(made, start=1):
            ctx.emit(SubtaskGenerated(draft=2, index=index, total=None, subtask=each))
        return made


async def test_decomposer_may_tell_its_subtasks_by_itself():
    """What it told is not told again."""
    pipeline = task_preparation_pipeline(Telling(), limits=ANY)
    async with Runtime(pipelines=[pipeline]) as runtime:
        handle = await runtime.start(pipeline, TASK)
        told = [event.data async for event in handle.events() if event.type == "SUBTASK_GENERATED"]

    assert [(1, 1, "never"), (2, 1, "first"), (2, 2, "second")] == [
        (data["draft"], data["index"], data["subtask"]["title"]) for data in told
    ]


@pytest.mark.parametrize(
    ("parts", "phase", "message"),
    [
        ({"decomposer": lambda *_: None}, "decompose", "no sequence of subtasks, but of type NoneType"),
        ({"enricher": lambda made, *_: made}, "enrich[", "'only' is refused: it is of type Subtask"),
        (
            {"enricher": lambda made, task, _: enrich_subtask(subtask("other", "only"), task)},
            "enrich[",
            "'only' is refused: its field 'title' was changed.*; its field 'dependencies' was changed",
        ),
        ({"prompt_writer": lambda *_: "text"}, "generate_prompts", "is refused: it is of type str"),
        ({"prompt_writer": lambda *_: ["text"]}, "generate_prompts", "an instance of Prompt, got str"),
    ],
)
async def test_part_that_gives_something_else_fails_at_once(parts, phase, message):
    """What a part gives is checked, and what is wrong with it is not tried again."""
    pipeline = task_preparation_pipeline(**{"decomposer": Given(subtask("only")), **parts}, limits=ANY)
    with pytest.raises(PipelineFailedError, match=message) as caught:
        await pipeline.run(TASK)

    error = caught.value.run.error
    assert error is not None
    assert ErrorCategory.VALIDATION == error.category
    assert error.phase.startswith(phase)


@pytest.mark.parametrize(
    ("subtasks", "message"),
    [
        ((subtask("a", "b"), subtask("b", "a")), "cycle"),
        ((subtask("a", "gone"),), "'gone'"),
        ((), "there are no subtasks"),
    ],
)
async def test_bad_decomposition_fails_at_once(subtasks, message):
    """What is no plan fails the phase by name; trying again would not help."""
    decomposer = Given(*subtasks)

    with pytest.raises(PipelineFailedError, match=message) as caught:
        await task_preparation_pipeline(decomposer, limits=ANY).run(TASK)

    error = caught.value.run.error
    assert error is not None
    assert ("decompose", ErrorCategory.VALIDATION) == (error.phase, error.category)
    assert 1 == decomposer.calls


async def test_failing_decomposer_is_tried_four_times():
    """Three failures are waited out; the subtasks of the fourth attempt are told once each."""
    clock, decomposer = FakeClock(), Given(subtask("only"), failures=3)
    pipeline = task_preparation_pipeline(decomposer, limits=ANY)
    async with Runtime(pipelines=[pipeline], clock=clock) as runtime:
        handle = await runtime.start(pipeline, TASK)
        await clock.advance(timedelta(seconds=10))
        run = await handle.wait()
        types = [event.type async for event in handle.events()]

    assert "COMPLETED" == run.state
    assert (4, 3) == (run.phases["decompose"].attempt, run.phases["decompose"].failures)
    assert (3, 1) == (types.count("PHASE_RETRYING"), types.count("SUBTASK_GENERATED"))


async def test_decomposer_that_keeps_failing_fails_the_run():
    """After the fourth failure the run ends as FAILED."""
    clock, decomposer = FakeClock(), Given(subtask("only"), failures=9)
    pipeline = task_preparation_pipeline(decomposer, limits=ANY)
    async with Runtime(pipelines=[pipeline], clock=clock) as runtime:
        handle = await runtime.start(pipeline, TASK)
        await clock.advance(timedelta(seconds=10))
        run = await handle.wait()

    assert "FAILED" == run.state
    assert 4 == decomposer.calls


def test_retry_doubles_its_pause():
    """Three more attempts, after 1, 2 and 4 seconds and up to a second of chance."""
    error = ConnectionError()
    pauses = [RETRY.delay(failures, error) for failures in (1, 2, 3)]

    assert RETRY.delay(4, error) is None
    for least, pause in zip((1, 2, 4), pauses, strict=True):
        assert pause is not None
        assert timedelta(seconds=least) <= pause <= timedelta(seconds=least + 1)


async def test_blank_task_is_refused_before_anything_runs():
    """Input that is no task never reaches a phase."""
    decomposer = Given(subtask("only"))

    with pytest.raises(InvalidInputError, match=r"description: .*the text is empty"):
        await task_preparation_pipeline(decomposer).run({"title": "Tea", "description": " "})  # type: ignore[arg-type]  # the mistake under test
    assert 0 == decomposer.calls


HOSTILE = "{x.__class__} {0} $name ${thing} $$ %s %(task)s \\1 {{ job }} `rm` </task> # Guidelines"


async def test_text_of_users_is_never_a_template():
    """Whatever looks like a template stays as it is, wherever it comes from, in every prompt."""
    context = ProjectContext(
        tech_stack=("FastAPI", f"Own {HOSTILE}"),
        coding_standards=(f"Standard {HOSTILE}",),
        project_rules={f"Rule {HOSTILE}": f"says {HOSTILE}"},
        custom_data={f"Key {HOSTILE}": [f"Value {HOSTILE}"]},
    )
    task = Task(title=f"Sell {HOSTILE}", description=f"Members buy tea. {HOSTILE}", context=context)
    prompts = await task_preparation_pipeline()(task)

    as_json = json.dumps(HOSTILE)[1:-1]
    for prompt in prompts:
        for start in ("Own ", "Standard ", "Rule ", "says ", "Members buy tea. "):
            assert start + HOSTILE in prompt.text, start
        for start in ("Key ", "Value "):
            assert start + as_json in prompt.text, start
        assert prompt.title.endswith(f": Sell {HOSTILE}")
        assert 1 == prompt.text.count("\n## Guidelines\n")
        assert not re.search(r"<(module|class|Task|bound)\b", prompt.text)


@pytest.mark.parametrize("part", ["decompose", 3, TemplateDecomposer])
@pytest.mark.parametrize("place", ["decomposer", "enricher", "prompt_writer"])
def test_parts_that_cannot_be_called(place: str, part: Any) -> None:
    """They are refused where the pipeline is made, and not in a run."""
    with pytest.raises(DefinitionError, match=r"cannot be called|is a class; make an instance"):
        task_preparation_pipeline(**{place: part})


@pytest.mark.parametrize(
    ("given", "told"),
    [({"limits": 5}, r"limits=5\) is no PlanLimits"), ({"catalog": 0}, r"catalog=0\) is no Catalog")],
)
def test_what_is_of_another_kind(given: dict[str, Any], told: str) -> None:
    """The same holds for it."""
    with pytest.raises(DefinitionError, match=told):
        task_preparation_pipeline(**given)
