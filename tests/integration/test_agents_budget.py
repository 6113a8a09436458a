"""What agents use is recorded with each answer, and asked of the budget before it is used."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import anyio
import pydantic_ai.models
import pytest
from pydantic_ai import Agent, BinaryContent
from pydantic_ai.exceptions import ModelHTTPError, ModelUnavailableError
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage
from tests.loops import anyio_backend

from phaseline import Budget, Context, Pipeline, Retry, Run, RunState, Runtime, Usage, each, phase
from phaseline.ai import DurableCalls
from phaseline.ai.costs import MAX_TOKENS

__all__ = ["anyio_backend"]
PRICED = "gpt-5"
TOLD = RequestUsage(input_tokens=1_000, output_tokens=100)
COST = Decimal("0.00225")
"""Of so many tokens of that model."""


@pytest.fixture(autouse=True)
def no_requests() -> Iterator[None]:
    """No model of a provider is asked anything."""
    with pydantic_ai.models.override_allow_model_requests(False):
        yield


class Priced(FunctionModel):
    """A model that asks for a tool, and answers then; it is away once in its second request."""

    def __init__(self, name: str = PRICED, usage: RequestUsage = TOLD, *, away: bool = False) -> None:
        super().__init__(self._answer, model_name=name)
        self.settings_of: list[ModelSettings | None] = []
        self._usage, self._away = usage, away

    @property
    def system(self) -> str:
        return "openai"

    async def _answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.settings_of.append(info.model_settings)
        if len(messages) == 1:
            return ModelResponse([ToolCallPart("weigh")], usage=self._usage)
        if self._away:
            self._away = False
            raise ModelHTTPError.for_category(
                ModelUnavailableError, status_code=503, model_name="m", headers={"retry-after": "0"}
            )
        return ModelResponse([TextPart("done")], usage=self._usage)


def asking(
    model: FunctionModel, budget: Budget | None, settings: ModelSettings | None = None, prompt: Any = "hello"
) -> Pipeline[str, str]:
    agent = Agent(model, name="clerk", model_settings=settings)

    @agent.tool_plain
    async def weigh() -> int:
        return 3

    @phase(retry=Retry(attempts=3, wait=timedelta(0)))
    async def ask(_: str, ctx: Context) -> str:
        return (await agent.run(prompt, capabilities=[DurableCalls(ctx)])).output

    return Pipeline("asking", ask, budget=budget)


async def ended(pipeline: Pipeline[str, str]) -> Run[str]:
    async with Runtime("memory", pipelines=[pipeline]) as runtime:
        return await (await runtime.start(pipeline, "hello")).wait()


@pytest.mark.parametrize("budget", [None, Budget(cost=Decimal(1), tokens=100_000, requests=2)])
async def test_what_is_answered_is_paid_for_once(budget: Budget | None) -> None:
    """Also where the next attempt gets it from the storage: tokens, requests, and the cost by public prices."""
    model = Priced(away=True)
    run = await ended(asking(model, budget))
    assert (run.state, run.phases["ask"].attempt) == (RunState.COMPLETED, 2), run.error
    assert run.usage == Usage(requests=2, input_tokens=2_000, output_tokens=200, cost=2 * COST)
    assert run.usage_by_phase == {"ask": run.usage}
    assert len(model.settings_of) == 3


@pytest.mark.parametrize(
    ("budget", "asked"),
    [(Budget(cost=Decimal("0.01")), 0), (Budget(tokens=10_000), 0), (Budget(requests=1), 1)],
    ids=["cost", "tokens", "requests"],
)
async def test_a_budget_stops_before_it_is_passed(budget: Budget, asked: int) -> None:
    """The request that could pass it is not made, and not tried again."""
    model = Priced()
    run = await ended(asking(model, budget))
    assert run.error is not None
    assert (run.error.type, run.phases["ask"].attempt) == ("BudgetExceededError", 1)
    assert (len(model.settings_of), run.usage.requests) == (asked, asked)


async def test_a_price_that_nobody_knows() -> None:
    """It counts as nothing, unless the budget bounds the cost: then nothing is asked."""
    for bounded in (Budget(tokens=100_000), None):
        run = await ended(asking(Priced("mine"), bounded))
        assert (run.state, run.usage.cost, run.usage.requests) == (RunState.COMPLETED, 0, 2)
    model = Priced("mine")
    run = await ended(asking(model, Budget(cost=Decimal(100))))
    assert run.error is not None
    assert (run.error.type, "nobody knows the price" in run.error.message) == ("ModelSetupError", True)
    assert model.settings_of == []


async def test_answers_are_bounded_where_there_is_a_budget() -> None:
    """By what the caller says, else by a bound of ours; without a budget by nothing."""
    budget = Budget(tokens=200_000)
    found: list[Any] = []
    for bounded, settings in ((None, None), (budget, None), (budget, ModelSettings(max_tokens=500))):
        model = Priced()
        assert (await ended(asking(model, bounded, settings))).state == RunState.COMPLETED
        found.append({(each or {}).get("max_tokens") for each in model.settings_of})
    assert found == [{None}, {MAX_TOKENS}, {500}]


async def test_an_answer_that_does_not_tell_its_tokens() -> None:
    """With a budget it counts as what it can have been at most."""
    run = await ended(asking(Priced(usage=RequestUsage(unmeasured_requests=1)), None))
    assert run.usage == Usage(requests=2)
    run = await ended(asking(Priced(usage=RequestUsage(unmeasured_requests=1)), Budget(tokens=100_000)))
    assert run.usage.output_tokens == 2 * MAX_TOKENS
    assert run.usage.input_tokens > 2_000


async def test_what_nobody_can_count_is_refused_with_a_budget() -> None:
    """Nothing is asked."""
    model = Priced()
    prompt = ["what is that?", BinaryContent(b"\x89PNG", media_type="image/png")]
    run = await ended(asking(model, Budget(requests=9), prompt=prompt))
    assert run.error is not None
    assert (run.error.type, "gives files to a model" in run.error.message) == ("DefinitionError", True)
    assert model.settings_of == []


async def test_requests_side_by_side_wait_for_what_is_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    """A budget that has room for one at a time is no reason to fail: each uses less than it reserved."""
    monkeypatch.setattr("phaseline.ai.costs.PAUSE", timedelta(milliseconds=1))
    at_once: list[int] = []
    running = 0

    async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        nonlocal running
        running += 1
        at_once.append(running)
        await anyio.sleep(0.005)
        running -= 1
        return ModelResponse([TextPart("done")], usage=TOLD)

    agent = Agent(FunctionModel(answer), name="clerk")

    @phase
    async def ask(number: int, ctx: Context) -> str:
        return (await agent.run(str(number), capabilities=[DurableCalls(ctx)])).output

    pipeline = Pipeline("asking", each(ask), budget=Budget(tokens=MAX_TOKENS + 8_000))
    async with Runtime("memory", pipelines=[pipeline]) as runtime:
        run = await (await runtime.start(pipeline, [1, 2, 3])).wait()
    assert run.state == RunState.COMPLETED, run.error
    assert (at_once, run.usage.requests) == ([1, 1, 1], 3)
