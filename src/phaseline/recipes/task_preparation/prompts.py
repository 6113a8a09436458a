"""Writes the prompts: one for each category, in dependency order, as Markdown. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from itertools import chain
from operator import add

from phaseline.recipes.task_preparation.catalog import Catalog
from phaseline.recipes.task_preparation.content import TaskKind
from phaseline.recipes.task_preparation.kinds import kind_of
from phaseline.recipes.task_preparation.markdown import fence, inline, item, paragraph
from phaseline.recipes.task_preparation.models import (
    Category,
    EnrichedSubtask,
    Prompt,
    Task,
    categories_in_order,
    in_dependency_order,
)
from phaseline.recipes.task_preparation.stack import stack_of


def write_prompts(
    task: Task, subtasks: Sequence[EnrichedSubtask], catalog: Catalog | None = None
) -> list[Prompt]:
    """Write one prompt for each category that has subtasks, each after those whose work it builds on.

    Args:
        task: The whole.
        subtasks: Its parts.
        catalog: What is known of technologies and kinds; by default what ships with the recipe.
    """
    catalog = catalog or Catalog.read()
    kind = kind_of(task, catalog)
    ordered = in_dependency_order(subtasks)
    categories = categories_in_order(ordered)
    label_of = {subtask.title: kind.labels[subtask.category] for subtask in ordered}
    return [
        Prompt(
            category=category,
            title=f"{kind.labels[category]}: {task.title}",
            text=_text(
                task,
                kind,
                catalog,
                category,
                [subtask for subtask in ordered if subtask.category is category],
                place=f"{place} of {len(categories)}",
                label_of=label_of,
            ),
        )
        for place, category in enumerate(categories, start=1)
    ]


def _text(
    task: Task,
    kind: TaskKind,
    catalog: Catalog,
    category: Category,
    own: Sequence[EnrichedSubtask],
    *,
    place: str,
    label_of: Mapping[str, str],
) -> str:
    effort = reduce(add, (subtask.estimated_effort for subtask in own))
    sections = [
        f"# {kind.labels[category]}: {inline(task.title)}",
        f"This is part {place} of the task. It has {_count(len(own), 'subtask')}, estimated at {effort} in all.",
        *_context(task),
        *_section("Tech stack", _stack(task, catalog)),
        *_section("Technology requirements", _union(subtask.tech_requirements for subtask in own)),
        *_standards(task, own),
        *_section("Best practices", _union(subtask.best_practices for subtask in own)),
        "## Subtasks",
        *chain.from_iterable(
            _subtask(number, subtask, label_of) for number, subtask in enumerate(own, start=1)
        ),
        *_section("Guidelines", (*catalog.practice(kind, category).guidelines, *catalog.guidelines)),
    ]
    return "\n\n".join(sections) + "\n"


def _context(task: Task) -> Iterator[str]:
    yield "## Context"
    yield "The task in the words of those who set it:"
    yield fence(task.description)
    if task.context.custom_data:
        yield "What else is known of the project:"
        yield fence(json.dumps(dict(task.context.custom_data), indent=2, ensure_ascii=False), "json")


def _stack(task: Task, catalog: Catalog) -> Iterable[str]:
    if task.context.tech_stack:
        return map(inline, task.context.tech_stack)
    named = [technology.name for technology in stack_of(task, catalog).known]
    return named or ["Not stated: use what the project uses already, and say what you took it to be."]


def _standards(task: Task, own: Sequence[EnrichedSubtask]) -> Iterator[str]:
    """Give those that apply, then the project's others, so that a prompt holds all of them."""
    rules = {name: text for subtask in own for name, text in subtask.project_rules.items()}
    here = [*_union(map(inline, subtask.coding_standards) for subtask in own), *map(_rule, rules.items())]
    everywhere = [
        *map(inline, task.context.coding_standards),
        *map(_rule, task.context.project_rules.items()),
    ]
    yield from _section("Standards and rules", here)
    yield from _section(
        "Standards and rules for other parts", [text for text in everywhere if text not in here]
    )


def _rule(rule: tuple[str, str]) -> str:
    return f"{inline(rule[0])}: {inline(rule[1])}"


def _subtask(number: int, subtask: EnrichedSubtask, label_of: Mapping[str, str]) -> Iterator[str]:
    yield f"### {number}. {inline(subtask.title)}"
    yield paragraph(subtask.description)
    yield _items([f"Effort: {subtask.estimated_effort}", f"Priority: {subtask.priority} (1 goes first)"])
    yield "Depends on:"
    yield _items(_dependency(title, subtask, label_of) for title in subtask.dependencies or ("nothing",))
    if subtask.requirements:
        yield "Requirements:"
        yield _items(subtask.requirements)


def _dependency(title: str, subtask: EnrichedSubtask, label_of: Mapping[str, str]) -> str:
    label = label_of.get(title)
    elsewhere = label is not None and label != label_of[subtask.title]
    return f"{inline(title)} ({label}, done before)" if elsewhere else inline(title)


def _section(heading: str, texts: Iterable[str]) -> Iterator[str]:
    listed = _items(texts)
    if listed:
        yield f"## {heading}"
        yield listed


def _items(texts: Iterable[str]) -> str:
    return "\n".join(map(item, texts))


def _union(groups: Iterable[Iterable[str]]) -> list[str]:
    """Give each text once, in the order in which they first come up."""
    return list(dict.fromkeys(chain.from_iterable(groups)))


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
