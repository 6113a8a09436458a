"""What a plan must be before anybody works on it. Pure; all that is wrong is told at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from graphlib import CycleError

from pydantic import Field

from phaseline.errors import EncodeError
from phaseline.recipes.task_preparation.models import (
    Category,
    Effort,
    Subtask,
    Value,
    dependency_sorter,
    shortened,
)

LEAST_HOURS = 0.1
"""What takes less is no part of a plan."""


class InvalidPlanError(EncodeError):
    """The subtasks of a task cannot be worked on as they are; it is not tried again without a change."""

    def __init__(self, task: str, problems: Sequence[str]) -> None:
        self.task = task
        """Title of the task."""
        super().__init__(f"the plan for {shortened(task, 80)!r}", problems, says="is refused")


class PlanLimits(Value):
    """What plans may be: how many subtasks, how long, of which categories."""

    max_subtasks: int = Field(default=60, ge=1)
    """Most subtasks of a plan."""
    max_hours_of_subtask: float = Field(default=80, ge=LEAST_HOURS, allow_inf_nan=False)
    """Most hours that one subtask may be estimated at."""
    max_hours: float = Field(default=1_000, ge=LEAST_HOURS, allow_inf_nan=False)
    """Most hours of all subtasks together."""
    categories: frozenset[Category] = frozenset(Category)
    """Categories of which there must be a subtask; leave out those that are not wanted. Others may come as well."""


def problems_of(subtasks: Iterable[object], limits: PlanLimits | None = None) -> list[str]:
    """Say all that is wrong with a plan, in sentences by which whoever made it can mend it; empty if nothing is.

    Args:
        subtasks: What should be the ``Subtask``s of one task.
        limits: What a plan may be.
    """
    limits, listed = limits or PlanLimits(), list(subtasks)
    if not listed:
        return ["there are no subtasks"]
    strangers = [
        f"item {place} is no Subtask, but of type {type(item).__name__}"
        for place, item in enumerate(listed, start=1)
        if not isinstance(item, Subtask)
    ]
    if strangers:
        return strangers
    plan = [subtask for subtask in listed if isinstance(subtask, Subtask)]
    return [
        *_size(plan, limits),
        *_titles(plan),
        *_unknown_dependencies(plan),
        *_cycles(plan),
        *_categories(plan, limits),
        *_effort(plan, limits),
    ]


def checked_plan(task: str, given: object, limits: PlanLimits | None = None) -> list[Subtask]:
    """Give a plan as a list of subtasks that are consistent and within limits.

    Args:
        task: Title of the task that it is for.
        given: Whatever a decomposer gave.
        limits: What a plan may be.

    Raises:
        InvalidPlanError: It is no such plan.
    """
    if not isinstance(given, Iterable) or isinstance(given, str | bytes):
        raise InvalidPlanError(task, [f"it is no sequence of subtasks, but of type {type(given).__name__}"])
    listed: list[object] = list(given)  # pyright: ignore[reportUnknownArgumentType]  # isinstance cannot see type arguments
    if problems := problems_of(listed, limits):
        raise InvalidPlanError(task, problems)
    return [subtask for subtask in listed if isinstance(subtask, Subtask)]


def _size(plan: Sequence[Subtask], limits: PlanLimits) -> Iterator[str]:
    if len(plan) > limits.max_subtasks:
        yield (
            f"there are {len(plan)} subtasks, and at most {limits.max_subtasks} are allowed; put those together that "
            "one person would do in one go"
        )


def _titles(plan: Sequence[Subtask]) -> Iterator[str]:
    for title, count in Counter(subtask.title for subtask in plan).items():
        if count > 1:
            yield f"{count} subtasks have the title {title!r}; dependencies need a title that only one has"


def _unknown_dependencies(plan: Sequence[Subtask]) -> Iterator[str]:
    titles = {subtask.title for subtask in plan}
    for subtask in plan:
        for needed in subtask.dependencies:
            if needed not in titles:
                near = get_close_matches(needed, titles, n=1)
                hint = (
                    f"did you mean {near[0]!r}?" if near else "add that subtask, or take the dependency out"
                )
                yield f"subtask {subtask.title!r} depends on {needed!r}, which is no title of the plan; {hint}"


def _cycles(plan: Sequence[Subtask]) -> Iterator[str]:
    """Tell cycles that have no subtask in common, so that each mending gets further."""
    rest = list(plan)
    while True:
        try:
            dependency_sorter(rest).prepare()
        except CycleError as error:
            # graphlib lists each node before the one that needs it; read backwards it says who needs whom.
            cycle: list[str] = error.args[1][::-1]
        else:
            return
        yield f"the dependencies form a cycle: {' needs '.join(map(repr, cycle))}; take one of them out"
        rest = [subtask for subtask in rest if subtask.title not in cycle]


def _categories(plan: Sequence[Subtask], limits: PlanLimits) -> Iterator[str]:
    there = {subtask.category for subtask in plan}
    missing = [category for category in Category if category in limits.categories - there]
    if missing:
        yield f"there is no subtask of the category {' or '.join(missing)}, and a plan must have one of each"


def _effort(plan: Sequence[Subtask], limits: PlanLimits) -> Iterator[str]:
    for subtask in plan:
        effort = subtask.estimated_effort
        if effort.max_hours > limits.max_hours_of_subtask:
            yield (
                f"subtask {subtask.title!r} is estimated at {effort}, and at most {limits.max_hours_of_subtask:g} h are "
                "allowed for one; split it"
            )
        if effort.max_hours < LEAST_HOURS:
            yield (
                f"subtask {subtask.title!r} is estimated at {effort}, which is less than {LEAST_HOURS:g} h; hours are "
                "counted, not days"
            )
    total = sum(subtask.estimated_effort.max_hours for subtask in plan)
    if total > limits.max_hours:
        least = sum(subtask.estimated_effort.min_hours for subtask in plan)
        whole = Effort(min_hours=least, max_hours=total)
        yield f"all subtasks together are estimated at {whole}, and at most {limits.max_hours:g} h are allowed"
