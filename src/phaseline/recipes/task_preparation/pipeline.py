"""The pipeline of task preparation."""

from __future__ import annotations

from typing import Final

from phaseline import Budget, Pipeline, each
from phaseline.errors import DefinitionError
from phaseline.recipes.task_preparation.catalog import Catalog
from phaseline.recipes.task_preparation.gate import AWAITING_APPROVAL, apply_review, review_signal
from phaseline.recipes.task_preparation.models import Prompt, Task
from phaseline.recipes.task_preparation.parts import Decomposer, Enricher, PromptWriter
from phaseline.recipes.task_preparation.phases import decompose_with, enrich_with, generate_prompts_with
from phaseline.recipes.task_preparation.plans import PlanLimits
from phaseline.recipes.task_preparation.templates import (
    TemplateDecomposer,
    TemplateEnricher,
    TemplatePromptWriter,
)

NAME: Final = "task-preparation"


def task_preparation_pipeline(
    decomposer: Decomposer | None = None,
    enricher: Enricher | None = None,
    prompt_writer: PromptWriter | None = None,
    *,
    approval: bool = False,
    limits: PlanLimits | None = None,
    catalog: Catalog | None = None,
    budget: Budget | None = None,
) -> Pipeline[Task, list[Prompt]]:
    """Make the pipeline that turns a task into prompts.

    With and without approval it is of two shapes, and so of two versions, ``1`` and ``1+approval``: a run goes on under the
    one that it began under. Who changes the option keeps both registered until the runs of the other one are over.

    Args:
        decomposer: Takes the task apart; by default the templates of the recipe, which ask nobody.
        enricher: Adds to each subtask what its project asks for; by default the texts of the recipe.
        prompt_writer: Writes the prompts; by default one for each category, in dependency order.
        approval: Whether the plan waits for a person, in the state ``AWAITING_APPROVAL``, until somebody sends the signal
            ``PLAN_REVIEW``.
        limits: What a plan may be; by default at most 60 subtasks, and one of each category at least.
        catalog: What those parts know that are not given; by default what ships with the recipe.
        budget: What a run may use at most where parts ask a model; by default as much as they like.

    Raises:
        DefinitionError: A part cannot be called, or another argument is of another kind.
    """
    _check_kind(limits, "limits", PlanLimits, "PlanLimits(max_subtasks=20)")
    _check_kind(catalog, "catalog", Catalog, "Catalog.read('our-catalog')")
    limits = limits or PlanLimits()
    decompose = decompose_with(decomposer or TemplateDecomposer(catalog), limits)
    enrich = enrich_with(enricher or TemplateEnricher(catalog))
    generate_prompts = generate_prompts_with(prompt_writer or TemplatePromptWriter(catalog))
    if not approval:
        return Pipeline(
            NAME, decompose >> each(enrich, limit=8) >> generate_prompts, version="1", budget=budget
        )
    approved = decompose.wait_for(review_signal(limits), name=AWAITING_APPROVAL) >> apply_review
    return Pipeline(
        NAME, approved >> each(enrich, limit=8) >> generate_prompts, version="1+approval", budget=budget
    )


def _check_kind(given: object, option: str, kind: type, written: str) -> None:
    if given is not None and not isinstance(given, kind):
        raise DefinitionError(
            f"task_preparation_pipeline({option}={given!r}) is no {kind.__name__}; write {option}={written}"
        )
