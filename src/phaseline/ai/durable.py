"""The capability that makes a run of an agent durable."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any, ClassVar, Final

from anyio import to_thread
from pydantic_ai import RunContext
from pydantic_ai.agent import AbstractAgent, AgentModelSettings, EventStreamHandler
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.capabilities.abstract import WrapRunHandler
from pydantic_ai.durable_exec import (
    JSON_CODEC,
    BaseDurabilityCapability,
    DurabilityEngineSpec,
    DurableOperationBackend,
    ToolsetKind,
    conversation_id_from_run_id,
    replay_scope,
)
from pydantic_ai.models import Model, ModelResolutionContext
from pydantic_ai.run import AgentRunResult
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import AgentDepsT
from pydantic_ai.toolsets import AbstractToolset

from phaseline._definition.context import Context
from phaseline.ai.costs import MAX_TOKENS
from phaseline.ai.keys import Keys
from phaseline.ai.named import model_named
from phaseline.ai.problems import follows_from_answers, translated
from phaseline.ai.steps import Steps
from phaseline.errors import DefinitionError, EncodeError
from phaseline.event_loop import is_asyncio

_ALL: Final[frozenset[ToolsetKind]] = frozenset({"function", "mcp", "dynamic"})


class DurableCalls(BaseDurabilityCapability[AgentDepsT]):
    """Makes one run of an agent durable: ``await agent.run(prompt, capabilities=[DurableCalls(ctx)])``.

    Each request to the model and each call of a tool is a step of the phase, ``ctx.step``: after a crash, a retry or a
    pause the next attempt gets what is stored, and asks for the rest. Anything may still be asked twice that was under
    way when its process died.

    Errors of providers and models are raised as ``ModelCallError`` and its kinds, which say whether the phase is to be
    tried again. ``agent.iter`` and ``agent.run_stream`` take it too; what streams is then told when it is whole, but to
    ``event_stream_handler``.
    """

    engine_spec: ClassVar[DurabilityEngineSpec] = DurabilityEngineSpec(
        engine_name="phaseline",
        durable_unit_noun="step",
        durable_container_noun="phase",
        codec=JSON_CODEC,
        serialization_failure=lambda error: EncodeError("what a tool or a model gave", [str(error)]),
        # What a run brings along is not wrapped by what was bound before it, and would be called anew by each attempt.
        unsupported_runtime_toolset_kinds=_ALL,
        toolset_lifecycles={
            "function": "enter-always",
            "mcp": "enter-in-durable-unit",
            "dynamic": "enter-never",
        },
        tool_config_key="phaseline",
    )
    """How this module is found where an agent names what makes it durable."""

    def __init__(
        self,
        context: Context,
        *,
        key: str | None = None,
        models: Mapping[str, Model] | None = None,
        event_stream_handler: EventStreamHandler[AgentDepsT] | None = None,
    ) -> None:
        """Bind the run of an agent to the phase that it runs in.

        Args:
            context: Of the phase.
            key: Begins the keys of its steps; by default the name of the agent. An agent that is run twice in one phase
                needs another one each time.
            models: Further models by names of your own, for agents that are to be run with another model than theirs.
            event_stream_handler: Gets what a model streams, while it does. It is told once more what is asked once more.

        Raises:
            DefinitionError: The phase is a plain function, or runs on trio, which pydantic-ai does not know.
        """
        if not is_asyncio():
            raise DefinitionError(
                f"phase {context.phase!r} runs an agent outside of asyncio: make it 'async def', and run its runtime on "
                "asyncio and not on trio, which pydantic-ai does not know"
            )
        super().__init__(models=models, event_stream_handler=event_stream_handler, name=key)
        self._context: Context = context
        self._keys: Keys = Keys(context, self.name)

    # ------------------------------------------------------------------ what pydantic-ai asks
    def for_agent(self, agent: AbstractAgent[AgentDepsT, Any]) -> AbstractCapability[AgentDepsT]:
        """Bind it to an agent, for one run.

        Raises:
            DefinitionError: Nothing can name the steps.
        """
        if not (self.name or agent.name):
            raise DefinitionError(
                "an agent without a name has steps without one: Agent(..., name='triage') or DurableCalls(ctx, key='triage')"
            )
        bound = copy(self)
        bound._keys = Keys(self._context, self.name or agent.name or "")  # noqa: SLF001  # of the same class
        with translated():
            return super(DurableCalls, bound).for_agent(agent)

    @property
    def in_durable_context(self) -> bool:
        """Whether calls are stored: it is made in a phase, for a run of an agent."""
        return True

    def get_durable_operation_backend(self) -> DurableOperationBackend[None]:
        """Give what carries the operations out."""
        return Steps(self._context, self.name, self._keys)

    def get_default_run_id(self) -> str:
        """Give the run of the agent an id that it has on the next attempt, too."""
        return f"{self._context.idempotency_key}:{self.name}"

    def get_default_conversation_id(self, run_id: str) -> str:
        """Give its conversation one, too."""
        return conversation_id_from_run_id(run_id)

    def get_model_settings(self) -> AgentModelSettings[AgentDepsT] | None:
        """Bound answers where there is a budget, and the caller does not: nobody could tell what they cost at most."""

        def bounded(run: RunContext[AgentDepsT]) -> ModelSettings:
            given = run.model_settings or {}
            return {} if given.get("max_tokens") else {"max_tokens": MAX_TOKENS}

        return bounded if self._context.budget is not None else None

    async def resolve_model_id(
        self, ctx: ModelResolutionContext[AgentDepsT], *, model_id: str
    ) -> Model | None:
        """Make the model of a name that nobody else makes.

        Raises:
            ModelSetupError: It cannot be made.
        """
        model = await super().resolve_model_id(ctx, model_id=model_id)
        # In a thread: the first one of a provider imports its library, which takes a second.
        return model or await to_thread.run_sync(model_named, model_id)

    def get_wrapper_toolset(self, toolset: AbstractToolset[AgentDepsT]) -> AbstractToolset[AgentDepsT] | None:
        """Have each tool called in a step.

        Raises:
            DefinitionError: A tool was not known when the capability was bound.
        """
        with translated():
            return super().get_wrapper_toolset(toolset)

    async def wrap_run(self, ctx: RunContext[AgentDepsT], *, handler: WrapRunHandler) -> AgentRunResult[Any]:
        """Keep what is only told again, of steps that are stored, out of traces."""
        await self._keys.open()
        with replay_scope():
            return await super().wrap_run(ctx, handler=handler)

    async def on_run_error(self, ctx: RunContext[AgentDepsT], *, error: BaseException) -> AgentRunResult[Any]:
        """Say in errors of this library what went wrong."""
        if follows_from_answers(error):
            await self._keys.close()
        with translated():
            return await super().on_run_error(ctx, error=error)
