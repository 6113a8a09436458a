"""What a request to a model uses, and what it can use at most."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

import anyio
import attrs
from genai_prices import Usage as Tokens
from genai_prices import calc_price
from pydantic_ai import RunContext
from pydantic_ai.messages import (
    MULTI_MODAL_CONTENT_TYPES,
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelResponse,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings
from pydantic_core import to_json

from phaseline._definition.context import Context
from phaseline.ai.problems import ModelSetupError
from phaseline.errors import BudgetExceededError, DefinitionError
from phaseline.usage import Usage

MAX_TOKENS: Final = 16_384
"""Of an answer, where the run has a budget and nobody says how long an answer may be."""
PATIENCE: Final = 60
"""Times that a request waits for others to end, where what they may use and itself are more than the budget allows."""
PAUSE: Final = timedelta(seconds=1)
_FRAME: Final = 2_000
"""Tokens that a provider puts around what is asked, to explain tools and roles to its model."""


@attrs.frozen
class Asked:
    """A request to a model."""

    model: str
    run: RunContext[Any]
    messages: Sequence[ModelMessage]
    settings: ModelSettings | None
    parameters: ModelRequestParameters


async def reserve(context: Context, key: str, asked: Asked) -> Usage:
    """Keep of the run's budget what a request can use at most; gives that.

    A token stands for a byte at least, so what is asked has at most as many tokens as it has bytes.

    Raises:
        BudgetExceededError: The budget does not allow it.
        DefinitionError: Nobody can tell what it can use.
        ModelSetupError: The budget bounds the cost, and nobody knows the price of the model.
    """
    _check_countable(context, asked)
    size = len(ModelMessagesTypeAdapter.dump_json(list(asked.messages))) + len(
        to_json(asked.parameters, fallback=str)
    )
    read = size + _FRAME
    written = (asked.settings or {}).get("max_tokens") or MAX_TOKENS
    tokens = Usage(requests=1, input_tokens=read, output_tokens=written)
    cost = _most_expensive(asked, read, written)
    budget = context.budget
    if cost is None and budget is not None and budget.cost is not None:
        raise ModelSetupError(
            f"nobody knows the price of model {asked.model!r}, and the budget of pipeline {context.pipeline!r} bounds the "
            "cost; bound tokens= or requests= instead, or take a model whose price is known",
            model=asked.model,
        )
    at_most = tokens + Usage(cost=cost or Decimal(0))
    await _patiently(context, key, at_most)
    return at_most


async def _patiently(context: Context, key: str, at_most: Usage) -> None:
    """Wait for requests beside this one: what they do not use of their reservations is there for this one."""
    for _ in range(PATIENCE):
        try:
            return await context.reserve(key, at_most)
        except BudgetExceededError as error:
            if error.budget.passed_by(error.used + error.cut_off + at_most):
                raise  # also once they have ended
        context.heartbeat()
        await anyio.sleep(PAUSE.total_seconds())
    return await context.reserve(key, at_most)


def used(answer: ModelResponse, at_most: Usage | None) -> Usage:
    """Say what was used; where the provider does not tell, what it can have been at most, if that is known."""
    usage = answer.usage
    if usage.unmeasured_requests:
        return at_most or Usage(requests=1)
    return Usage(
        requests=1, input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, cost=_cost(answer)
    )


def _cost(answer: ModelResponse) -> Decimal:
    """What the answer cost; nothing where nobody knows its price."""
    if answer.usage.cost is not None:  # a gateway says so
        return answer.usage.cost
    if not answer.model_name:
        return Decimal(0)
    try:
        return answer.cost().total_price
    except (LookupError, ValueError):
        return Decimal(0)


def _most_expensive(asked: Asked, read: int, written: int) -> Decimal | None:
    """The cost of so many tokens, also where all that is read is written to the provider's cache; None if it is unknown."""
    model = asked.run.model
    provider = model.system if isinstance(model, Model) else None
    try:
        return max(
            calc_price(
                Tokens(input_tokens=read, cache_write_tokens=cached, output_tokens=written),
                asked.model,
                provider_id=provider,
            ).total_price
            for cached in (0, read)
        )
    except (LookupError, ValueError):
        return None


def _check_countable(context: Context, asked: Asked) -> None:
    files = any(
        isinstance(piece, MULTI_MODAL_CONTENT_TYPES)
        for message in asked.messages
        for part in message.parts
        for piece in _pieces(getattr(part, "content", None))
    )
    what = "files" if files else "tools of the provider's own" if asked.parameters.native_tools else None
    if what:
        raise DefinitionError(
            f"phase {context.phase!r} gives {what} to a model, and nobody can tell beforehand how many tokens these are, "
            "but its pipeline has a budget; give the model text, and tools of yours, or the pipeline no budget"
        )


def _pieces(content: object) -> Sequence[object]:
    return content if isinstance(content, list | tuple) else (content,)  # pyright: ignore[reportUnknownVariableType]  # isinstance cannot see type arguments
