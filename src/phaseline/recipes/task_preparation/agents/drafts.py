"""Subtasks that are told while a model still writes its plan."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable
from itertools import count
from typing import Any
from uuid import uuid4

from pydantic import ValidationError
from pydantic_ai import AgentStreamEvent, RunContext
from pydantic_ai.messages import (
    PartDeltaEvent,
    PartEndEvent,
    PartStartEvent,
    ToolCallPart,
    ToolCallPartDelta,
)
from pydantic_core import from_json

from phaseline import Context
from phaseline.recipes.task_preparation.models import Subtask
from phaseline.recipes.task_preparation.parts import SubtaskGenerated


class Drafts:
    """The plans that a model writes for one task, one after another, told in the context of a phase."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._number = 0
        self._name = uuid4().hex
        """Of this attempt."""

    async def hear(self, run: RunContext[Any], events: AsyncIterable[AgentStreamEvent]) -> None:
        """Tell each subtask, and store that it was told, as soon as the model has written the whole of it."""
        draft: int | None = None
        written, told = "", 0
        async for event in events:
            match event:
                case PartStartEvent(part=ToolCallPart() as part):
                    draft, told = await self._next(run), 0
                    written = part.args_as_json_str() if part.args else ""
                case PartDeltaEvent(delta=ToolCallPartDelta(args_delta=str() as more)):
                    written += more
                    if "}" not in more:
                        continue
                case PartEndEvent(part=ToolCallPart() as part):
                    written = part.args_as_json_str()
                case _:
                    continue
            if draft is None:
                continue
            for subtask in subtasks_in(written, whole=isinstance(event, PartEndEvent), told=told):
                told += 1
                await self._tell(draft, told, subtask)

    async def _next(self, run: RunContext[Any]) -> int:
        """Number a draft: an earlier attempt may have told drafts, of answers that were not stored in the end."""
        mine = f"{self._name}.{run.run_step}"

        def claim() -> str:
            return mine

        for number in count(self._number + 1):
            self._number = number
            if await self._context.step(f"draft/{number}", claim) == mine:
                return number
        raise AssertionError  # pragma: no cover  # counting has no end

    async def _tell(self, draft: int, index: int, subtask: Subtask) -> None:
        def tell() -> None:
            self._context.emit(SubtaskGenerated(draft=draft, index=index, total=None, subtask=subtask))

        await self._context.step(f"draft/{draft}/{index}", tell)
        self._context.progress(index, None, subtask.title)


def subtasks_in(written: str, *, whole: bool, told: int = 0) -> list[Subtask]:
    """Give the subtasks of a plan that is still written, after those that were told; up to the first that is none.

    Args:
        written: The beginning of the JSON of a plan.
        whole: Whether nothing follows. The last subtask may else be half of one.
        told: How many were given before.
    """
    try:
        plan: Any = from_json(written, allow_partial=True)
        listed: Any = plan.get("subtasks") if isinstance(plan, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # JSON
        complete = (listed if whole else listed[:-1])[told:] if isinstance(listed, list) else []  # pyright: ignore[reportUnknownVariableType]  # JSON
    except ValueError:  # it is no JSON, which the model will be told
        return []
    subtasks: list[Subtask] = []
    for each in complete:  # pyright: ignore[reportUnknownVariableType]  # JSON
        try:
            subtasks.append(Subtask.model_validate_json(json.dumps(each)))
        except ValidationError:  # as above
            break
    return subtasks
