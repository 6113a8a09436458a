"""What the three phases of task preparation call: the templates of the recipe, a model, or functions of one's own."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Protocol

from phaseline import Context, CustomEvent
from phaseline.errors import DefinitionError
from phaseline.recipes.task_preparation.models import EnrichedSubtask, Prompt, Subtask, Task


class Decomposer(Protocol):
    """Takes a task apart. A plain function is called in a thread, an ``async def`` is awaited.

    One that tells its subtasks by itself, while it makes them, has an attribute ``tells_subtasks`` that is true.
    """

    def __call__(self, task: Task, ctx: Context, /) -> Sequence[Subtask] | Awaitable[Sequence[Subtask]]:
        """Give the plan: what it must be is said by ``PlanLimits`` and ``problems_of``."""
        ...


class Enricher(Protocol):
    """Adds to one subtask what its project asks for. A plain function is called in a thread."""

    def __call__(
        self, subtask: Subtask, task: Task, ctx: Context, /
    ) -> EnrichedSubtask | Awaitable[EnrichedSubtask]:
        """Give the same subtask, with what was added."""
        ...


class PromptWriter(Protocol):
    """Writes the prompts of a task. A plain function is called in a thread."""

    def __call__(
        self, task: Task, subtasks: Sequence[EnrichedSubtask], ctx: Context, /
    ) -> Sequence[Prompt] | Awaitable[Sequence[Prompt]]:
        """Give the prompts, in the order in which to follow them."""
        ...


class SubtaskGenerated(CustomEvent):
    """A subtask was made of the task.

    While a model writes, each is told as soon as it is complete. A plan that was refused is made anew as the next draft;
    who shows subtasks begins anew with each draft.
    """

    draft: int = 1
    """From 1."""
    index: int
    """From 1, in each draft."""
    total: int | None
    """How many there are; None while that is not known."""
    subtask: Subtask
    """As it was made."""


def tells_subtasks(decomposer: Decomposer) -> bool:
    """Tell whether a decomposer tells its subtasks by itself."""
    return bool(getattr(decomposer, "tells_subtasks", False))


def is_async(part: Callable[..., Any]) -> bool:
    """Tell whether what a call gives is to be awaited.

    Raises:
        DefinitionError: It cannot be called.
    """
    given: Any = part  # not everybody runs a type checker
    if not callable(given):
        msg = f"{given!r} stands in the place of a part of task preparation and cannot be called; give a function, or an instance"
        raise DefinitionError(msg)
    if isinstance(part, type):
        raise DefinitionError(f"{part.__name__} is a class; make an instance of it: {part.__name__}(...)")
    while isinstance(part, partial):
        part = part.func
    called = part if inspect.isroutine(part) else type(part).__call__
    return inspect.iscoroutinefunction(called) or inspect.iscoroutinefunction(inspect.unwrap(called))
