"""A plan by a model."""

from __future__ import annotations

from typing import ClassVar

from pydantic_ai import Agent, ModelRetry, RunContext
from pydantic_ai.models import Model
from pydantic_ai.settings import ModelSettings

from phaseline import Context
from phaseline.ai import DurableCalls, ModelAnswerError
from phaseline.recipes.task_preparation.agents.drafts import Drafts
from phaseline.recipes.task_preparation.agents.frames import DECOMPOSER, REPAIRS, of_plan
from phaseline.recipes.task_preparation.models import Subtask, Task, Value
from phaseline.recipes.task_preparation.plans import InvalidPlanError, PlanLimits, problems_of


class Plan(Value):
    """All subtasks of a task."""

    subtasks: tuple[Subtask, ...]


class AgentDecomposer:
    """Has a model take the task apart, and mend its plan as long as there are reasons to refuse it.

    Each subtask is told as soon as the model has written it. A plan that was refused is told anew, as the next draft.
    """

    tells_subtasks: ClassVar[bool] = True

    def __init__(
        self,
        model: Model | str,
        *,
        limits: PlanLimits | None = None,
        repairs: int = REPAIRS,
        settings: ModelSettings | None = None,
    ) -> None:
        """Say which model is asked.

        Args:
            model: As ``"anthropic:claude-sonnet-4-5"``, or one of pydantic-ai's own.
            limits: What a plan may be; the same as those of the pipeline.
            repairs: How often the model may mend its plan.
            settings: Such as ``{"temperature": 0}``.
        """
        self._limits: PlanLimits = limits or PlanLimits()
        self._agent: Agent[list[str], Plan] = Agent(
            model,
            name="decompose",
            output_type=Plan,
            deps_type=list[str],
            instructions=DECOMPOSER,
            model_settings=settings,
            retries={"output": repairs},
            defer_model_check=True,
        )
        self._agent.output_validator(self._check)

    async def __call__(self, task: Task, ctx: Context, /) -> list[Subtask]:
        """Give the plan.

        Raises:
            EncodeError: The task is longer than what a model is told.
            InvalidPlanError: The last plan of the model is none, either; it says why.
            ModelCallError: The model gave none; another attempt may help where it is a ``ModelOutageError``.
        """
        problems: list[str] = []
        calls: DurableCalls[list[str]] = DurableCalls(ctx, event_stream_handler=Drafts(ctx).hear)
        try:
            result = await self._agent.run(of_plan(task, self._limits), deps=problems, capabilities=[calls])
        except ModelAnswerError as error:
            if problems:
                raise InvalidPlanError(task.title, problems) from error
            raise
        return list(result.output.subtasks)

    def _check(self, run: RunContext[list[str]], plan: Plan) -> Plan:
        run.deps[:] = problems_of(plan.subtasks, self._limits)
        if run.deps:
            reasons = "\n".join(f"- {problem}" for problem in run.deps)
            raise ModelRetry(
                f"the plan is refused:\n{reasons}\nGive the whole plan anew, without these faults."
            )
        return plan
