"""``program.py`` with a phase that asks an agent: ``agents.py agent --storage URL …``; what its model is asked is written down."""

from __future__ import annotations

import json
from datetime import timedelta

import anyio
import pydantic_ai.models
from effects import note_async
from program import PIPELINES, arguments, main
from pydantic_ai import Agent, RunContext
from pydantic_ai.exceptions import ModelHTTPError, ModelUnavailableError
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from phaseline import Context, Pipeline, Retry, phase
from phaseline.ai import DurableCalls

pydantic_ai.models.ALLOW_MODEL_REQUESTS = False


async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Have two tools called, be away once, have one called, then answer."""
    assert context is not None
    asked = len(messages) // 2 + 1
    await note_async(f"request {asked}", "begin", context)
    match asked:
        case 1:
            return ModelResponse([ToolCallPart("weigh", {"what": what}) for what in ("tea", "milk")])
        case 2 if context.attempt == 1:
            raise ModelHTTPError.for_category(
                ModelUnavailableError, status_code=503, model_name="m", headers={"retry-after-ms": "10"}
            )
        case 2:
            return ModelResponse([ToolCallPart("weigh", {"what": "sugar"})])
        case _:
            return ModelResponse([TextPart("sweet")])


context: Context | None = None
agent = Agent(FunctionModel(answer), name="cook", deps_type=Context)


@agent.tool
async def weigh(run: RunContext[Context], what: str) -> int:
    """Weigh something."""
    await note_async(f"weigh {what}", "begin", run.deps)
    return len(what)


@phase(retry=Retry(attempts=5, wait=timedelta(0)))
async def ask(number: int, ctx: Context) -> str:
    """Ask the agent."""
    global context  # noqa: PLW0603  # the model knows nothing of the phase
    context = ctx
    result = await agent.run(f"tea {number}", deps=ctx, capabilities=[DurableCalls(ctx)])
    return json.dumps([result.output, result.usage.requests])


PIPELINES["agent"] = Pipeline("agent", ask)

if __name__ == "__main__":
    given = arguments()
    anyio.run(main, given)
