"""Agents of pydantic-ai in phases: what they ask is stored call by call, and what goes wrong is told in errors of ours."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterable, Iterator
from datetime import timedelta
from typing import Any, TypeVar

import pydantic_ai.models
import pytest
from aiohttp import web
from anyio import to_thread
from pydantic_ai import Agent, FunctionToolset, ModelRetry, RunContext
from pydantic_ai.capabilities import ModelFallback
from pydantic_ai.exceptions import (
    ContentFilterError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelHTTPError,
    ModelNotFoundError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    ModelRequestRejectedError,
    ModelUnavailableError,
    UsageLimitExceeded,
)
from pydantic_ai.messages import (
    AgentStreamEvent,
    ModelMessage,
    ModelResponse,
    PartDeltaEvent,
    TextPart,
    ToolCallPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from tests.loops import anyio_backend
from tests.opening import OpenRuntime

from phaseline import Context, Pipeline, Retry, Run, RunHandle, RunState, Runtime, phase
from phaseline.ai import DurableCalls, ModelAnswerError, model_named
from phaseline.ai.problems import translation
from phaseline.errors import MissingExtraError
from phaseline.events import Event, PhaseRetrying
from phaseline.rows import ErrorCategory, ErrorInfo
from phaseline.testing import FakeClock

__all__ = ["anyio_backend"]
E = TypeVar("E", bound=Event)
TWICE = Retry(attempts=2, wait=timedelta(seconds=1))
KEY = "sk-proj-abcdefghijklmnop"


@pytest.fixture(autouse=True)
def no_requests() -> Iterator[None]:
    """No model of a provider is asked anything."""
    with pydantic_ai.models.override_allow_model_requests(False):
        yield


def http(kind: Any, status: int, **more: Any) -> ModelHTTPError:
    """A provider's answer."""
    return ModelHTTPError.for_category(kind, status_code=status, model_name="m", **more)


def raising(error: Exception) -> FunctionModel:
    """A model that fails."""

    def fail(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        raise error

    return FunctionModel(fail)


def asking(agent: Agent[None, Any], **options: Any) -> Pipeline[str, str]:
    """A pipeline whose phase asks an agent."""

    @phase(retry=TWICE)
    async def ask(prompt: str, ctx: Context) -> str:
        result = await agent.run(prompt, capabilities=[DurableCalls(ctx, **options)])
        return str(result.output)

    return Pipeline("asking", ask)


async def ended(pipeline: Pipeline[str, str], **options: Any) -> Run[str]:
    """A run of it that nobody disturbs, in memory."""
    async with Runtime("memory", pipelines=[pipeline], **options) as runtime:
        return await (await runtime.start(pipeline, "hello")).wait()


async def failure(pipeline: Pipeline[str, str], **options: Any) -> ErrorInfo:
    """What it fails with."""
    run = await ended(pipeline, **options)
    assert (run.state, run.phases["ask"].attempt) == (RunState.FAILED, 1)
    assert run.error is not None
    return run.error


async def told(handle: RunHandle[Any], kind: type[E]) -> E:
    """The first event of a kind."""
    return await anext(event async for event in handle.events() if isinstance(event, kind))


# --------------------------------------------------------------------- stored call by call
async def test_what_is_stored_is_not_asked_again(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """After an outage the next attempt asks only for what is missing, when the provider wants it; its tools run in parallel."""
    asked: list[int] = []
    looked: list[str] = []
    right = asyncio.Event()

    async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        asked.append(len(messages))
        if len(messages) == 1:
            return ModelResponse([ToolCallPart("look", {"where": place}) for place in ("left", "right")])
        if len(asked) == 2:
            raise http(ModelUnavailableError, 503, headers={"retry-after": "7"})
        told = [part.content for part in messages[-1].parts if part.part_kind == "tool-return"]
        return ModelResponse([TextPart(f"{told}")])

    agent = Agent(FunctionModel(answer), name="triage")

    @agent.tool_plain
    async def look(where: str) -> str:
        if where == "left":
            await right.wait()
        looked.append(where)
        right.set()
        return f"nothing {where}"

    pipeline = asking(agent)
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.start(pipeline, "hello")
        retrying = await told(handle, PhaseRetrying)
        assert retrying.again_at - retrying.at == timedelta(seconds=7)
        stored = await to_thread.run_sync(runtime._storage.steps, "default", handle.id, "ask", 0)
        assert set(stored) == {"triage/1/request", "triage/1/1/look", "triage/1/2/look"}
        await clock.advance(timedelta(seconds=7))
        assert await handle.result() == "['nothing left', 'nothing right']"
    assert (asked, looked) == ([1, 3, 3], ["right", "left"])


async def test_one_agent_twice_in_a_phase_needs_two_keys() -> None:
    """Else one would get what was stored of the other, which is refused; keys are names of the caller's."""
    agent = Agent(TestModel(custom_output_text="yes"), name="judge")

    @phase
    async def ask(prompt: str, ctx: Context) -> str:
        first = await agent.run(prompt, capabilities=[DurableCalls(ctx)])
        key = "second" if prompt == "twice" else None
        await agent.run(prompt, capabilities=[DurableCalls(ctx, key=key)])
        return first.output

    pipeline = Pipeline("asking", ask)
    async with Runtime("memory", pipelines=[pipeline]) as runtime:
        assert await (await runtime.start(pipeline, "twice")).result() == "yes"
        run = await (await runtime.start(pipeline, "once")).wait()
    assert run.error is not None
    assert (run.error.type, "judge/1/request" in run.error.message) == ("DefinitionError", True)


async def test_an_agent_within_a_tool_of_another_one() -> None:
    """Its steps are stored as they come, within the step of the tool."""
    expert = Agent(TestModel(custom_output_text="a lemon"), name="expert")
    novice = Agent(TestModel(), name="novice", deps_type=Context)

    @novice.tool
    async def consult(run: RunContext[Context]) -> str:
        return (await expert.run("what is it?", capabilities=[DurableCalls(run.deps)])).output

    @phase
    async def ask(prompt: str, ctx: Context) -> str:
        return (await novice.run(prompt, deps=ctx, capabilities=[DurableCalls(ctx)])).output

    pipeline = Pipeline("asking", ask)
    async with Runtime("memory", pipelines=[pipeline]) as runtime:
        handle = await runtime.start(pipeline, "hello")
        assert await handle.result() == '{"consult":"a lemon"}'


async def test_what_streams_is_told_while_it_does() -> None:
    """The handler of events gets each piece."""
    pieces: list[str] = []

    async def hear(run: RunContext[None], events: AsyncIterable[AgentStreamEvent]) -> None:
        pieces.extend([str(event) async for event in events if isinstance(event, PartDeltaEvent)])

    agent = Agent(TestModel(custom_output_text="word by word"), name="poet")
    run = await ended(asking(agent, event_stream_handler=hear))
    assert (run.state, run.output, len(pieces) > 1) == (RunState.COMPLETED, "word by word", True)


async def test_outside_of_a_phase_an_agent_is_as_always() -> None:
    """The capability belongs to one run in one phase, and leaves the agent as it is."""
    agent = Agent(TestModel(custom_output_text="yes"), name="judge")
    assert (await ended(asking(agent))).output == "yes"
    assert (await agent.run("hello")).output == "yes"


# --------------------------------------------------------------------- what goes wrong
@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (http(ModelRateLimitError, 429), "ModelOutageError", "cannot serve the request now (status 429)"),
        (http(None, 502), "ModelOutageError", "status 502"),
        (ModelConnectionError("m", "connection reset"), "ModelOutageError", "does not answer: connection reset"),
        (ModelAPIError("m", "broken pipe"), "ModelOutageError", "broken pipe"),
        (http(ModelAuthenticationError, 401, body={"error": {"message": f"bad {KEY}"}}), "ModelSetupError", "key"),
        (http(ModelQuotaExceededError, 429), "ModelSetupError", "top it up"),
        (http(ModelNotFoundError, 404, suggested_model_id="n"), "ModelSetupError", "did you mean 'n'?"),
        (http(None, 403), "ModelSetupError", "refuses the request"),
        (
            http(ModelRequestRejectedError, 400, body={"error": {"message": f"too long {KEY}"}}),
            "ModelRefusedError",
            "refuses the request (status 400): too long ***",
        ),
        (http(None, 418), "ModelRefusedError", "status 418"),
        (ContentFilterError("not that"), "ModelRefusedError", "not that"),
        (UsageLimitExceeded("too many"), "ModelAnswerError", "too many"),
    ],
)  # fmt: skip
def test_errors_of_providers_are_translated(error: Exception, kind: str, text: str) -> None:
    """Whether another attempt may mend it is in the kind; keys are in none of them."""
    told = translation(error)
    assert told is not None
    assert (type(told).__name__, text in str(told), KEY in str(told)) == (kind, True, False)
    assert told.retryable == (told.category == ErrorCategory.SYSTEM) == (kind == "ModelOutageError")


@pytest.mark.parametrize(
    ("agent", "text"),
    [
        (Agent(raising(http(ModelAuthenticationError, 401, body=f"no {KEY}")), name="a"), "does not take the key"),
        (Agent(raising(http(ModelNotFoundError, 404)), name="a"), "knows no model 'm'"),
        (Agent(raising(ContentFilterError("not that")), name="a"), "the model refuses"),
        (Agent(FunctionModel(lambda _, __: ModelResponse([])), name="a"), "Please return text"),
        (Agent("openai:gpt-5", name="a", defer_model_check=True), "Set the `OPENAI_API_KEY` environment variable"),
        (Agent("nobody:x", name="a", defer_model_check=True), "Unknown model: nobody:x"),
        (Agent("groq:x", name="a", defer_model_check=True), "pydantic-ai-slim[groq]"),
    ],
    ids=["wrong key", "unknown to the provider", "refusal", "empty", "no key", "unknown", "no library"],
)  # fmt: skip
async def test_what_no_attempt_mends_is_not_tried_again(
    agent: Agent[None, str], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run fails at once, says what to do, and tells no key, not even in a traceback."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    error = await failure(asking(agent), tracebacks=True)
    assert text in error.message
    assert KEY not in f"{error.message}{error.traceback}"


async def test_a_provider_over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library of a provider asks a server of ours: a rate limit is sat out, a key that is refused is told to nobody."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        if len(asked) == 1:
            error = {"message": "slow down", "code": "rate_limit_exceeded"}
            return web.json_response({"error": error}, status=429, headers={"retry-after": "0"})
        error = {"message": f"Incorrect API key provided: {KEY}", "code": "invalid_api_key"}
        return web.json_response({"error": error}, status=401)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
        agent = Agent("openai-chat:gpt-5", name="judge", defer_model_check=True)
        with pydantic_ai.models.override_allow_model_requests(True):
            run = await ended(asking(agent), tracebacks=True)
    finally:
        await runner.cleanup()
    assert run.error is not None
    assert (run.error.type, run.phases["ask"].attempt, len(asked)) == ("ModelSetupError", 2, 2)
    assert KEY not in f"{run.error.message}{run.error.traceback}"


async def test_what_a_model_did_wrong_at_last_is_told() -> None:
    """An answer that was refused as often as allowed ends the phase with the reason."""
    agent = Agent(TestModel(custom_output_text="maybe"), name="judge", retries=1)

    @agent.output_validator
    def plain(answer: str) -> str:
        raise ModelRetry(f"{answer!r} is neither yes nor no")

    error = await failure(asking(agent))
    assert (error.type, error.category) == ("ModelAnswerError", ErrorCategory.VALIDATION)
    assert "'maybe' is neither yes nor no" in error.message


async def test_a_retry_asks_anew_what_was_answered_in_vain() -> None:
    """Each time: what was closed is not used again, and what is answered then is stored as ever."""
    answers = ["maybe", "perhaps", "yes"]
    asked: list[str] = []

    async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        asked.append(answers[len(asked)])
        return ModelResponse([TextPart(asked[-1])])

    agent = Agent(FunctionModel(answer), name="judge", retries=0)

    @agent.output_validator
    def plain(answer: str) -> str:
        if answer != "yes":
            raise ModelRetry("say yes or no")
        return answer

    pipeline = asking(agent)
    async with Runtime("memory", pipelines=[pipeline]) as runtime:
        handle = await runtime.start(pipeline, "hello")
        for tries in (1, 2):
            assert (await handle.wait()).state == RunState.FAILED
            assert len(asked) == tries
            await handle.retry()
        assert await handle.result() == "yes"
        assert asked == answers


async def test_a_body_that_goes_on_after_an_answer_in_vain_comes_to_it_again() -> None:
    """An attempt that follows by itself finds the same answers: nothing of them is asked for twice."""
    asked: list[str] = []

    async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        asked.append("first")
        return ModelResponse([TextPart("maybe")])

    async def other(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        asked.append("second")
        if asked.count("second") < 3:
            raise http(ModelUnavailableError, 503)
        return ModelResponse([TextPart("yes")])

    first, second = (
        Agent(FunctionModel(answer), name="first", retries=0),
        Agent(FunctionModel(other), name="second"),
    )

    @first.output_validator
    def plain(answer: str) -> str:
        raise ModelRetry("say yes or no")

    @phase(retry=Retry(attempts=3, wait=timedelta(0)))
    async def ask(prompt: str, ctx: Context) -> str:
        try:
            return (await first.run(prompt, capabilities=[DurableCalls(ctx)])).output
        except ModelAnswerError:
            return (await second.run(prompt, capabilities=[DurableCalls(ctx)])).output

    run = await ended(Pipeline("asking", ask))
    assert (run.output, asked) == ("yes", ["first", "second", "second", "second"])


async def test_what_another_model_answered_is_found_again() -> None:
    """The one that was away is not asked once more, whose answer would not fit what was done since."""
    asked: list[str] = []

    def model(name: str) -> FunctionModel:
        async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            asked.append(name)
            if asked in (["first"], ["first", "second", "first"]):
                raise http(ModelUnavailableError, 503)
            if len(messages) == 1:
                return ModelResponse([ToolCallPart("look", {"where": name})])
            if len(asked) == 4:
                raise http(ModelRateLimitError, 429)
            told = [part.content for part in messages[-1].parts if part.part_kind == "tool-return"]
            return ModelResponse([TextPart(f"{told}")])

        return FunctionModel(answer, model_name=name)

    second = model("second")
    agent = Agent(model("first"), name="triage", capabilities=[ModelFallback(second)])

    @agent.tool_plain
    def look(where: str) -> str:
        return f"as the {where} one asks"

    pipeline, clock = asking(agent, models={"second": second}), FakeClock()
    async with Runtime("memory", pipelines=[pipeline], clock=clock) as runtime:
        handle = await runtime.start(pipeline, "hello")
        await told(handle, PhaseRetrying)
        await clock.advance(timedelta(seconds=1))
        assert await handle.result() == "['as the second one asks']"
    assert asked == ["first", "second", "first", "second", "first"]


async def test_the_errors_of_a_tool_stay_its_own() -> None:
    """They are retried as those of any other body; what cannot be stored is not."""
    agent = Agent(TestModel(), name="clerk")
    calls: list[str] = []

    @agent.tool_plain
    def fetch() -> object:
        calls.append("fetch")
        if len(calls) == 1:
            raise ConnectionResetError
        return object()

    pipeline = asking(agent)
    clock = FakeClock()
    async with Runtime("memory", pipelines=[pipeline], clock=clock) as runtime:
        handle = await runtime.start(pipeline, "hello")
        await told(handle, PhaseRetrying)
        await clock.advance(timedelta(seconds=1))
        run = await handle.wait()
    assert run.error is not None
    assert (run.error.type, run.error.category, len(calls)) == ("EncodeError", ErrorCategory.VALIDATION, 2)


async def test_tools_that_only_a_run_knows_are_refused() -> None:
    """They would be called anew by each attempt."""
    agent = Agent(TestModel(), name="clerk")

    @phase
    async def ask(prompt: str, ctx: Context) -> str:
        def louder(text: str) -> str:
            return text.upper()

        tools = FunctionToolset[None]([louder], id="more")
        return (await agent.run(prompt, toolsets=[tools], capabilities=[DurableCalls(ctx)])).output

    run = await ended(Pipeline("asking", ask))
    assert run.error is not None
    assert (run.error.type, run.phases["ask"].attempt) == ("DefinitionError", 1)


async def test_an_agent_without_a_name_is_refused() -> None:
    """Its steps would have none."""

    @phase
    async def ask(prompt: str, ctx: Context) -> str:
        return (await Agent(TestModel()).run(prompt, capabilities=[DurableCalls(ctx)])).output

    error = await failure(Pipeline("asking", ask))
    assert (error.type, "name='triage'" in error.message) == ("DefinitionError", True)


@pytest.mark.parametrize("anyio_backend", [("trio", {})], ids=["trio"])
async def test_an_agent_on_trio_is_refused() -> None:
    """Before anything is asked."""
    error = await failure(asking(Agent(TestModel(), name="judge")))
    assert (error.type, "asyncio" in error.message) == ("DefinitionError", True)


async def test_an_agent_in_a_plain_function_is_refused() -> None:
    """Its steps could not be awaited there."""
    agent = Agent(TestModel(), name="judge")

    @phase
    def ask(prompt: str, ctx: Context) -> str:
        return agent.run_sync(prompt, capabilities=[DurableCalls(ctx)]).output

    error = await failure(Pipeline("asking", ask))
    assert (error.type, "async def" in error.message) == ("DefinitionError", True)


def test_clients_of_providers_do_not_try_again_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """The phase does, within bounds that are stored."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    model: Any = model_named("openai:gpt-5")
    assert model.client.max_retries == 0


def test_without_the_extra_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named."""
    for name in [name for name in sys.modules if name.startswith("phaseline.ai")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pydantic_ai", None)
    with pytest.raises(MissingExtraError, match=r"phaseline\[ai\]"):
        __import__("phaseline.ai")
