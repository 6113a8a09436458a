"""What a project and a kind of work add to a subtask. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from phaseline.recipes.task_preparation.catalog import Catalog
from phaseline.recipes.task_preparation.content import TaskKind, Technology
from phaseline.recipes.task_preparation.kinds import kind_of
from phaseline.recipes.task_preparation.models import Category, EnrichedSubtask, Subtask, Task
from phaseline.recipes.task_preparation.stack import stack_of

_WORD = re.compile(r"[a-z0-9]+")


def enrich_subtask(subtask: Subtask, task: Task, catalog: Catalog | None = None) -> EnrichedSubtask:
    """Add what the task's stack, standards and rules, and good practice, ask of this subtask.

    Args:
        subtask: A part of the task.
        task: The whole.
        catalog: What is known of technologies and kinds; by default what ships with the recipe.
    """
    catalog = catalog or Catalog.read()
    category, context, kind = subtask.category, task.context, kind_of(task, catalog)
    return EnrichedSubtask(
        **dict(subtask),
        tech_requirements=tuple(_tech_requirements(category, task, kind, catalog)),
        coding_standards=tuple(text for text in context.coding_standards if applies(text, category, catalog)),
        project_rules={
            name: text
            for name, text in context.project_rules.items()
            if applies(f"{name} {text}", category, catalog)
        },
        best_practices=catalog.practice(kind, category).best_practices,
    )


def applies(text: str, category: Category, catalog: Catalog) -> bool:
    """Tell whether a standard or rule is about this category: none of its words speaks of another one alone."""
    words = set(_WORD.findall(text.casefold()))
    about = {other for other, practice in catalog.practices.items() if practice.marks & words}
    return not about or category in about


def _tech_requirements(category: Category, task: Task, kind: TaskKind, catalog: Catalog) -> Iterator[str]:
    stack = stack_of(task, catalog)
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
    if technology.role in {"language", "tool"}:
        return True
    return ("database" if technology.role in {"database", "cache"} else "http") in kind.surfaces
