"""How to go about the work, by a model."""

from __future__ import annotations

from collections.abc import Sequence

from anyio import to_thread
from pydantic_ai import Agent, ModelRetry
from pydantic_ai.models import Model
from pydantic_ai.settings import ModelSettings

from phaseline import Context
from phaseline.ai import DurableCalls
from phaseline.recipes.task_preparation.agents.frames import PROMPT_WRITER, REPAIRS, check, of_prompt
from phaseline.recipes.task_preparation.catalog import Catalog
from phaseline.recipes.task_preparation.markdown import item
from phaseline.recipes.task_preparation.models import EnrichedSubtask, Prompt, Task, Text, Value
from phaseline.recipes.task_preparation.prompts import write_prompts


class Approach(Value):
    """How to go about the subtasks of one kind."""

    steps: tuple[Text, ...]
    pitfalls: tuple[Text, ...] = ()
    checks: tuple[Text, ...]


class AgentPromptWriter:
    """Has a model say in each prompt of the recipe how to go about its subtasks."""

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
        self._agent: Agent[None, Approach] = Agent(
            model,
            name="prompt",
            output_type=Approach,
            instructions=PROMPT_WRITER,
            model_settings=settings,
            retries={"output": repairs},
            defer_model_check=True,
        )
        self._agent.output_validator(_not_empty)

    async def __call__(
        self, task: Task, subtasks: Sequence[EnrichedSubtask], ctx: Context, /
    ) -> list[Prompt]:
        """Give a prompt for each category, in dependency order.

        Raises:
            EncodeError: The task is longer than what a model is told.
            ModelCallError: The model refused, or gave nothing of use; another attempt may help where it is a
                ``ModelOutageError``.
        """
        prompts: list[Prompt] = []
        check(task)
        texts = await to_thread.run_sync(write_prompts, task, subtasks, self._catalog)  # it reads files
        for known in texts:
            calls: DurableCalls[None] = DurableCalls(ctx, key=f"prompt/{known.category.lower()}")
            asked = of_prompt(task, known.category, known.text)
            result = await self._agent.run(asked, capabilities=[calls])
            prompts.append(known.model_copy(update={"text": known.text + _text(result.output)}))
            ctx.progress(len(prompts), None, known.title)
        return prompts


def _not_empty(approach: Approach) -> Approach:
    if not (approach.steps and approach.checks):
        raise ModelRetry("there must be at least one step and one check")
    return approach


def _text(approach: Approach) -> str:
    parts = {"Steps": approach.steps, "Easily done wrong": approach.pitfalls, "Done when": approach.checks}
    sections = [
        f"### {heading}\n\n" + "\n".join(map(item, lines)) for heading, lines in parts.items() if lines
    ]
    return "\n" + "\n\n".join(["## How to go about it", *sections]) + "\n"
