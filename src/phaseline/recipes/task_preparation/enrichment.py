"""What a project and a kind of work add to a subtask. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from phaseline.recipes.task_preparation.catalog import practices
from phaseline.recipes.task_preparation.models import Category, EnrichedSubtask, Subtask, Task
from phaseline.recipes.task_preparation.stack import stack_of

_WORD = re.compile(r"[a-z0-9]+")


def enrich_subtask(subtask: Subtask, task: Task) -> EnrichedSubtask:
    """Add what the task's stack, standards and rules, and good practice, ask of this subtask."""
    category, context = subtask.category, task.context
    return EnrichedSubtask(
        **dict(subtask),
        tech_requirements=tuple(_tech_requirements(category, task)),
        coding_standards=tuple(text for text in context.coding_standards if applies(text, category)),
        project_rules={
            name: text for name, text in context.project_rules.items() if applies(f"{name} {text}", category)
        },
        best_practices=practices().by_category[category].best_practices,
    )


def applies(text: str, category: Category) -> bool:
    """Tell whether a standard or rule is about this category: none of its words speaks of another one alone."""
    words = set(_WORD.findall(text.casefold()))
    about = {other for other, practice in practices().by_category.items() if practice.marks & words}
    return not about or category in about


def _tech_requirements(category: Category, task: Task) -> Iterator[str]:
    stack = stack_of(task)
    for technology in stack.known:
        yield from technology.for_category(category)
    for name in stack.unknown:
        yield (
            f"{name}: where this work touches it, follow its current documentation and the way the project uses it "
            "already; no workaround without a comment that says why."
        )
