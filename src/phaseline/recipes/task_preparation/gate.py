"""Where a plan waits for a person, who approves it, refuses it, or puts another one in its place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from phaseline import Context, CustomEvent, PhaselineError, Retry, Signal, phase
from phaseline.recipes.task_preparation.models import Line, Subtask, Task, Value, shortened
from phaseline.recipes.task_preparation.plans import PlanLimits, problems_of

AWAITING_APPROVAL: Final = "awaiting_approval"
"""Path of the wait; in capitals it is the state of the run meanwhile."""


class PlanReview(Value):
    """What a person says of a plan."""

    verdict: Literal["approve", "refuse", "edit"]
    """Whether the plan passes, is refused, or another one takes its place."""
    by: str = ""
    """Who says it."""
    reason: str = ""
    """Why; a refusal has one."""
    subtasks: tuple[Subtask, ...] = ()
    """With ``edit``: the whole plan that takes the place of the one that was made."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        problem = None
        if self.verdict == "refuse" and not self.reason.strip():
            problem = "a refusal says why: give a reason"
        elif self.verdict == "edit" and not self.subtasks:
            problem = "an edit gives the subtasks of the whole plan as it should be"
        elif self.verdict != "edit" and self.subtasks:
            problem = f"subtasks come with the verdict 'edit', not with {self.verdict!r}"
        if problem is not None:
            raise ValueError(problem)
        return self

    @classmethod
    def approve(cls, *, by: str = "") -> PlanReview:
        """The plan is good as it is."""
        return cls(verdict="approve", by=by)

    @classmethod
    def refuse(cls, reason: Line, *, by: str = "") -> PlanReview:
        """Nothing is to be done; the run fails with the reason.

        Raises:
            pydantic.ValidationError: The reason is blank.
        """
        return cls(verdict="refuse", reason=reason, by=by)

    @classmethod
    def edit(cls, subtasks: Iterable[Subtask], *, by: str = "", reason: str = "") -> PlanReview:
        """Another plan takes the place of the one that was made.

        Raises:
            pydantic.ValidationError: There are no subtasks.
        """
        return cls(verdict="edit", subtasks=tuple(subtasks), by=by, reason=reason)


PLAN_REVIEW: Final = Signal[PlanReview]("plan_review")
"""By which a review is sent: ``await handle.signal(PLAN_REVIEW, PlanReview.approve(by="ada"))``."""


class PlanReviewed(CustomEvent):
    """A person let a plan pass, as it was or edited."""

    verdict: Literal["approve", "edit"]
    """Whether it passed as it was, or was edited."""
    by: str
    """Who reviewed it."""
    reason: str
    """Why, in his words."""
    subtasks: tuple[Subtask, ...]
    """Of an edit, the plan that took the place of the one that was made."""


class PlanRefusedError(PhaselineError):
    """A person refused the plan of a task."""

    def __init__(self, task: str, reason: str, by: str = "") -> None:
        self.task = task
        """Title of the task."""
        self.reason = reason
        """Why, in his words."""
        self.by = by
        """Who refused it."""
        super().__init__(
            f"the plan for {shortened(task, 80)!r} was refused{f' by {by}' if by else ''}: {reason} (to have it made anew: "
            f"handle.rerun_from('decompose'); to review it once more: handle.rerun_from({AWAITING_APPROVAL!r}))"
        )


def review_signal(limits: PlanLimits) -> Signal[PlanReview]:
    """Make the signal that a pipeline waits for: what breaks the rules of plans is refused before it is stored."""

    def within_limits(review: PlanReview) -> PlanReview:
        if review.subtasks and (problems := problems_of(review.subtasks, limits)):
            # Each by itself: whoever is told gets them as a list.
            errors = [PydanticCustomError("plan", "{problem}", {"problem": problem}) for problem in problems]
            details = [InitErrorDetails(type=error, loc=("subtasks",), input=None) for error in errors]
            raise ValidationError.from_exception_data("PlanReview", details)
        return review

    return Signal[Annotated[PlanReview, AfterValidator(within_limits)]](PLAN_REVIEW.name)


@phase(label=AWAITING_APPROVAL.upper(), retry=Retry(attempts=1))
def apply_review(reviewed: tuple[list[Subtask], PlanReview], ctx: Context) -> list[Subtask]:
    """Hand on the plan that a person let pass."""
    subtasks, review = reviewed
    if review.verdict == "refuse":
        raise PlanRefusedError(ctx.blocking.run_input(Task).title, review.reason, review.by)
    ctx.emit(
        PlanReviewed(verdict=review.verdict, by=review.by, reason=review.reason, subtasks=review.subtasks)
    )
    return list(review.subtasks) or subtasks
