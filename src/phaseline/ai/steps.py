"""What an agent does to the outside, as steps of a phase."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from pydantic_ai import RunContext
from pydantic_ai.durable_exec import (
    JSON_CODEC,
    CallableOperationBackend,
    DurableOperationId,
    EventStreamHandlerId,
    JournalOperationNamer,
    ModelCompactMessagesId,
    ModelRequestId,
    RoleBasedOperationConfig,
    ToolsetCallToolId,
    record_durable_unit,
)
from pydantic_ai.messages import BaseToolCallPart, ModelResponse

from phaseline._definition.context import Context
from phaseline.ai.costs import Asked, reserve, used
from phaseline.ai.keys import Keys


class Steps(CallableOperationBackend[None]):
    """Carries each operation of one run of an agent out as a step of the phase that it runs in."""

    def __init__(self, context: Context, prefix: str, keys: Keys) -> None:
        """Say where the steps are stored.

        Args:
            context: Of the phase.
            prefix: Begins what pydantic-ai calls its operations.
            keys: Of the steps of this run.
        """
        super().__init__(
            namer=JournalOperationNamer(prefix),
            config=RoleBasedOperationConfig[None](model=None, event=None, capability=None, tool=None),
        )
        self._context, self._prefix, self._keys = context, prefix, keys

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

        with self._keys.key(
            _place_of(operation_id, name.removeprefix(f"{self._prefix}__"), cache_key)
        ) as key:

            async def carry_out() -> Any:
                nonlocal executed
                executed = True
                asked = _asked(operation_id, cache_key)
                return await body() if asked is None else await self._paid(key, asked, body)

            result: object = await self._context.step(key, carry_out)
        record_durable_unit(executed=executed)
        return result

    async def _paid(self, key: str, asked: Asked, body: Callable[[], Awaitable[object]]) -> object:
        """Make a request, if the budget of the run allows it; what it used is stored with the answer."""
        at_most = await reserve(self._context, key, asked) if self._context.budget is not None else None
        payload = await body()
        answer: ModelResponse = JSON_CODEC.load(ModelResponse, payload)
        self._context.spend(key, used(answer, at_most))
        return payload


def _place_of(operation_id: DurableOperationId, name: str, parts: tuple[object, ...]) -> str:
    """Say where in the run of the agent an operation is, which is the same on the next attempt.

    What is asked for in one step of the agent comes one after another, but for its tools. These are told apart by their
    place in the answer that asks for them, which is stored, and not by which of them comes first.
    """
    run: RunContext[Any] = next(part for part in parts if isinstance(part, RunContext))  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # of any dependencies
    match operation_id:
        case ModelRequestId():
            what = "request"
        case ToolsetCallToolId():
            what = f"{_place(run)}/{run.tool_name}"
        case _:
            what = f"{_place(run)}/{name}" if run.tool_call_id else name
    return f"{run.run_step}/{what}"


def _asked(operation_id: DurableOperationId, parts: tuple[Any, ...]) -> Asked | None:
    """Give what a model is asked; None of operations that ask none."""
    match operation_id, parts:
        case ModelRequestId(model_name=model), (_, messages, settings, parameters, run):
            return Asked(model, run, messages, settings, parameters)
        case ModelCompactMessagesId(model_name=model), (_, request, _, run):
            return Asked(
                model, run, request.messages, request.model_settings, request.model_request_parameters
            )
        case _:
            return None


def _place(run: RunContext[Any]) -> int:
    """The place of a tool's call among those of the answer that asks for it, counted from 1."""
    answer = next((each for each in reversed(run.messages) if isinstance(each, ModelResponse)), None)
    calls = (
        [part.tool_call_id for part in answer.parts if isinstance(part, BaseToolCallPart)] if answer else []
    )
    return calls.index(run.tool_call_id) + 1 if run.tool_call_id in calls else 0
