"""What a project and a kind of work add to a subtask. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from phaseline.recipes.task_preparation.catalog import TaskKind, Technology, practices
from phaseline.recipes.task_preparation.kinds import kind_of
from phaseline.recipes.task_preparation.models import Category, EnrichedSubtask, Subtask, Task
from phaseline.recipes.task_preparation.stack import stack_of

_WORD = re.compile(r"[a-z0-9]+")


def enrich_subtask(subtask: Subtask, task: Task, kinds: Sequence[TaskKind] | None = None) -> EnrichedSubtask:
    """Add what the task's stack, standards and rules, and good practice, ask of this subtask.

    Args:
        subtask: A part of the task.
        task: The whole.
        kinds: What kinds of task there are; by default those that ship with the recipe.
    """
    category, context, kind = subtask.category, task.context, kind_of(task, kinds)
    return EnrichedSubtask(
        **dict(subtask),
        tech_requirements=tuple(_tech_requirements(category, task, kind)),
        coding_standards=tuple(text for text in context.coding_standards if applies(text, category)),
        project_rules={
            name: text for name, text in context.project_rules.items() if applies(f"{name} {text}", category)
        },
        best_practices=kind.practice(category).best_practices,
    )


def applies(text: str, category: Category) -> bool:
    """Tell whether a standard or rule is about this category: none of its words speaks of another one alone."""
    words = set(_WORD.findall(text.casefold()))
    about = {other for other, practice in practices().by_category.items() if practice.marks & words}
    return not about or category in about


def _tech_requirements(category: Category, task: Task, kind: TaskKind) -> Iterator[str]:
    stack = stack_of(task)
    names = list(stack.unknown)
    for technology in stack.known:
        if fits(technology, kind):
            yield from technology.for_category(category)
        elif technology.elsewhere is not None:
            yield from technology.elsewhere.for_category(category)
        else:
            names.append(technology.name)
    for name in names:
        yield (
            f"{name}: where this work touches it, follow its current documentation and the way the project uses it "
            "already; no workaround without a comment that says why."
        )


def fits(technology: Technology, kind: TaskKind) -> bool:
    """Tell whether what a technology asks for has a place in tasks of this kind."""
    if technology.role == "language":
        return True
    return ("database" if technology.role in {"database", "cache"} else "http") in kind.surfaces
