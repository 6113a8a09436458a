"""A plan by a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic_ai import Agent, ModelRetry
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


class _RefusedPlan(ModelRetry):
    """A plan of the model that breaks the rules of plans; the model is told."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = problems
        reasons = "\n".join(f"- {problem}" for problem in problems)
        super().__init__(f"the plan is refused:\n{reasons}\nGive the whole plan anew, without these faults.")


class AgentDecomposer:
    """Has a model take the task apart, and mend its plan as long as there are reasons to refuse it.

    Each subtask is told as soon as the model has written it. A plan that was refused is told anew, as the next draft.
    """

    tells_subtasks: ClassVar[bool] = True
    """It tells them while the model writes."""

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
        self._agent: Agent[None, Plan] = Agent(
            model,
            name="decompose",
            output_type=Plan,
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
        calls: DurableCalls[None] = DurableCalls(ctx, event_stream_handler=Drafts(ctx).hear)
        try:
            result = await self._agent.run(of_plan(task, self._limits), capabilities=[calls])
        except ModelAnswerError as error:
            if (refused := _refused(error)) is not None:
                raise InvalidPlanError(task.title, refused.problems) from error
            raise
        return list(result.output.subtasks)

    def _check(self, plan: Plan) -> Plan:
        if problems := problems_of(plan.subtasks, self._limits):
            raise _RefusedPlan(problems)
        return plan


def _refused(error: ModelAnswerError) -> _RefusedPlan | None:
    """Give why the last answer was not taken, if it was a plan."""
    cause = error.__cause__
    while cause is not None and not isinstance(cause, _RefusedPlan):
        cause = cause.__cause__
    return cause
