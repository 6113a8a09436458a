"""What an agent does to the outside, as steps of a phase."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic_ai import RunContext
from pydantic_ai.durable_exec import (
    CallableOperationBackend,
    DurableOperationId,
    EventStreamHandlerId,
    JournalOperationNamer,
    ModelRequestId,
    RoleBasedOperationConfig,
    ToolsetCallToolId,
    record_durable_unit,
)
from pydantic_ai.messages import BaseToolCallPart, ModelResponse

from phaseline.context import Context


class Steps(CallableOperationBackend[None]):
    """Carries each operation of one run of an agent out as a step of the phase that it runs in."""

    def __init__(self, context: Context, prefix: str, seen: Counter[str]) -> None:
        """Say where the steps are stored.

        Args:
            context: Of the phase.
            prefix: Begins the keys of all steps of this run.
            seen: How often each key was asked for in this run.
        """
        super().__init__(
            namer=JournalOperationNamer(prefix),
            config=RoleBasedOperationConfig[None](model=None, event=None, capability=None, tool=None),
        )
        self._context, self._prefix, self._seen = context, prefix, seen

    async def execute(
        self,
        *,
        operation_id: DurableOperationId,
        name: str,
        body: Callable[[], Awaitable[object]],
        cache_key: tuple[object, ...],
        config: None,  # noqa: ARG002  # of the signature that is overridden
    ) -> object:
        """Give what was stored of the operation, or else carry it out and store what it gave."""
        if isinstance(operation_id, EventStreamHandlerId):
            return await body()  # who listens is told again
        executed = False

        async def carry_out() -> Any:
            nonlocal executed
            executed = True
            return await body()

        key = self._key(operation_id, name, cache_key)
        result: object = await self._context.step(key, carry_out)
        record_durable_unit(executed=executed)
        return result

    def _key(self, operation_id: DurableOperationId, name: str, parts: tuple[object, ...]) -> str:
        """Name a step by its place in the run of the agent, which is the same on the next attempt.

        What is asked for in one step of the agent comes one after another, but for its tools. These are told apart by
        their place in the answer that asks for them, which is stored, and not by which of them comes first.
        """
        run: RunContext[Any] = next(part for part in parts if isinstance(part, RunContext))  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # of any dependencies
        match operation_id:
            case ModelRequestId():
                what = "request"
            case ToolsetCallToolId():
                what = f"{_place(run)}/{run.tool_name}"
            case _:
                what = name.removeprefix(f"{self._prefix}__")
                what = f"{_place(run)}/{what}" if run.tool_call_id else what
        key = f"{self._prefix}/{run.run_step}/{what}"
        self._seen[key] += 1
        return key if self._seen[key] == 1 else f"{key}#{self._seen[key]}"


def _place(run: RunContext[Any]) -> int:
    """The place of a tool's call among those of the answer that asks for it, counted from 1."""
    answer = next((each for each in reversed(run.messages) if isinstance(each, ModelResponse)), None)
    calls = (
        [part.tool_call_id for part in answer.parts if isinstance(part, BaseToolCallPart)] if answer else []
    )
    return calls.index(run.tool_call_id) + 1 if run.tool_call_id in calls else 0
