"""What a subtask needs, by a model."""

from __future__ import annotations

from collections.abc import Sequence

from anyio import to_thread
from pydantic_ai import Agent
from pydantic_ai.models import Model
from pydantic_ai.settings import ModelSettings

from phaseline import Context
from phaseline.ai import DurableCalls
from phaseline.recipes.task_preparation.agents.frames import ENRICHER, REPAIRS, check, of_subtask
from phaseline.recipes.task_preparation.catalog import Catalog
from phaseline.recipes.task_preparation.enrichment import enrich_subtask
from phaseline.recipes.task_preparation.models import EnrichedSubtask, Subtask, Task, Value


class Additions(Value):
    """What a model adds to a subtask."""

    tech_requirements: tuple[str, ...] = ()
    best_practices: tuple[str, ...] = ()


class AgentEnricher:
    """Has a model add to each subtask what the recipe's own texts do not say; these, and the project's rules, stay."""

    def __init__(
        self,
        model: Model | str,
        *,
        catalog: Catalog | None = None,
        repairs: int = REPAIRS,
        settings: ModelSettings | None = None,
    ) -> None:
        """Say which model is asked.

        Args:
            model: As ``"anthropic:claude-sonnet-4-5"``, or one of pydantic-ai's own.
            catalog: What is known of technologies and kinds; by default what ships with the recipe.
            repairs: How often the model may mend its answer.
            settings: Such as ``{"temperature": 0}``.
        """
        self._catalog: Catalog | None = catalog
        self._agent: Agent[None, Additions] = Agent(
            model,
            name="enrich",
            output_type=Additions,
            instructions=ENRICHER,
            model_settings=settings,
            retries={"output": repairs},
            defer_model_check=True,
        )

    async def __call__(self, subtask: Subtask, task: Task, ctx: Context, /) -> EnrichedSubtask:
        """Give the subtask with what was added.

        Raises:
            EncodeError: The task is longer than what a model is told.
            ModelCallError: The model gave nothing of use; another attempt may help where it is a ``ModelOutageError``.
        """
        check(task)
        known = await to_thread.run_sync(enrich_subtask, subtask, task, self._catalog)  # it reads files
        calls: DurableCalls[None] = DurableCalls(ctx)
        result = await self._agent.run(of_subtask(task, known), capabilities=[calls])
        more = result.output
        return known.model_copy(
            update={
                "tech_requirements": _with(known.tech_requirements, more.tech_requirements),
                "best_practices": _with(known.best_practices, more.best_practices),
            }
        )


def _with(known: Sequence[str], more: Sequence[str]) -> tuple[str, ...]:
    """Add what is new and not blank."""
    return tuple(dict.fromkeys([*known, *(" ".join(text.split()) for text in more if text.strip())]))
