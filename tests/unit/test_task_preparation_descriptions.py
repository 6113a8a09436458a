"""Twenty tasks as people write them, through the templates of the recipe."""

from __future__ import annotations

import tomllib
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from tests.goldens import GOLDEN, TASKS, golden_text, task_of, write

from phaseline.recipes.task_preparation import (
    Category,
    EnrichedSubtask,
    ProjectContext,
    Prompt,
    Task,
    enrich_subtask,
    kind_of,
    problems_of,
    write_prompts,
)
from phaseline.recipes.task_preparation.templates import decompose

DESCRIBED: dict[str, dict[str, Any]] = tomllib.loads(TASKS.read_text("utf-8"))["task"]
OTHER_STACK = ("Laravel", "SQLite", "Vue")
every_task = pytest.mark.parametrize("name", DESCRIBED)


def enriched(task: Task) -> list[EnrichedSubtask]:
    """What the templates make of a task."""
    return [enrich_subtask(subtask, task) for subtask in decompose(task)]


def prompts_of(task: Task) -> list[Prompt]:
    """The prompts of a task."""
    return write_prompts(task, enriched(task))


def test_there_are_twenty_of_many_kinds() -> None:
    """The data hold what this file is about."""
    assert 20 == len(DESCRIBED)
    assert 10 == len({task["kind"] for task in DESCRIBED.values()})
    lengths = [len(task["text"]) for task in DESCRIBED.values()]
    assert (min(lengths) < 60, max(lengths) > 1_400) == (True, True)


@every_task
def test_its_kind_is_seen(name: str) -> None:
    """A task is taken to be of the kind that a reader would say."""
    assert DESCRIBED[name]["kind"] == kind_of(task_of(DESCRIBED[name])).name


@every_task
def test_plan_covers_all_categories_in_order(name: str) -> None:
    """The plan keeps all rules of plans, and each subtask stands after those it depends on."""
    plan = decompose(task_of(DESCRIBED[name]))
    titles = [subtask.title for subtask in plan]

    assert [] == problems_of(plan)
    assert list(Category) == list(dict.fromkeys(subtask.category for subtask in plan))
    assert all(set(subtask.dependencies) <= set(titles[:place]) for place, subtask in enumerate(plan))


@every_task
def test_prompts_hold_the_task_whole(name: str) -> None:
    """Each category has a prompt, with its words, stack, standards and rules, and each subtask in one of them."""
    task = task_of(DESCRIBED[name])
    prompts = prompts_of(task)

    assert list(Category) == [prompt.category for prompt in prompts]
    for prompt in prompts:
        context = task.context
        for part in (
            task.description,
            *context.tech_stack,
            *context.coding_standards,
            *context.project_rules,
        ):
            assert part in prompt.text
    for subtask in decompose(task):
        (text,) = (prompt.text for prompt in prompts if prompt.category is subtask.category)
        assert all(f"- {requirement.split('<')[0][:40]}" in text for requirement in subtask.requirements)


def test_no_two_tasks_have_a_text_in_common() -> None:
    """Titles, descriptions and prompts differ from task to task."""
    plans = {name: decompose(task_of(described)) for name, described in DESCRIBED.items()}
    for one, other in combinations(plans, 2):
        for field in ("title", "description"):
            common = {getattr(subtask, field) for subtask in plans[one]} & {
                getattr(subtask, field) for subtask in plans[other]
            }
            assert set() == common, (one, other)
    texts = [prompt.text for described in DESCRIBED.values() for prompt in prompts_of(task_of(described))]
    assert len(set(texts)) == len(texts)


@every_task
def test_texts_differ_with_the_stack(name: str) -> None:
    """The same task on another stack has other requirements in each category, and other titles where they name it."""
    described = DESCRIBED[name]
    task = task_of(described)
    other = Task(
        title=task.title, description=task.description, context=ProjectContext(tech_stack=OTHER_STACK)
    )
    ours, theirs = prompts_of(task), prompts_of(other)

    assert all(one.text != two.text for one, two in zip(ours, theirs, strict=True))
    assert {subtask.title for subtask in decompose(task)} != {subtask.title for subtask in decompose(other)}


# --------------------------------------------------------------------- to the letter
@pytest.mark.parametrize("name", GOLDEN)
def test_text_is_that_of_the_golden_file(name: str) -> None:
    """A change of texts is seen before it is made: ``python -m tests.goldens`` writes the files anew."""
    assert GOLDEN[name].read_text("utf-8") == golden_text(name)


def test_golden_files_are_not_written_in_ci(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where tests are to find a change, it is not made to be none."""
    monkeypatch.setenv("CI", "true")
    with pytest.raises(SystemExit, match="not written where CI is set"):
        write(tmp_path)
    assert [] == list(tmp_path.iterdir())


def test_golden_files_are_written_where_somebody_asks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is written is what is compared."""
    monkeypatch.delenv("CI", raising=False)
    write(tmp_path)

    assert {file.name: file.read_text("utf-8") for file in GOLDEN.values()} == {
        file.name: file.read_text("utf-8") for file in tmp_path.iterdir()
    }
