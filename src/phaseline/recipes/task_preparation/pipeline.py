"""The pipeline of task preparation."""

from __future__ import annotations

from phaseline import Pipeline, each
from phaseline.recipes.task_preparation.models import Prompt, Task
from phaseline.recipes.task_preparation.parts import Decomposer, Enricher, PromptWriter
from phaseline.recipes.task_preparation.phases import decompose_with, enrich_with, generate_prompts_with
from phaseline.recipes.task_preparation.plans import PlanLimits
from phaseline.recipes.task_preparation.templates import (
    TemplateDecomposer,
    TemplateEnricher,
    TemplatePromptWriter,
)


def task_preparation_pipeline(
    decomposer: Decomposer | None = None,
    enricher: Enricher | None = None,
    prompt_writer: PromptWriter | None = None,
    *,
    limits: PlanLimits | None = None,
) -> Pipeline[Task, list[Prompt]]:
    """Make the pipeline that turns a task into prompts.

    Args:
        decomposer: Takes the task apart; by default the templates of the recipe, which ask nobody.
        enricher: Adds to each subtask what its project asks for; by default the texts of the recipe.
        prompt_writer: Writes the prompts; by default one for each category, in dependency order.
        limits: What a plan may be; by default at most 60 subtasks, and one of each category at least.
    """
    decompose = decompose_with(decomposer or TemplateDecomposer(), limits or PlanLimits())
    enrich = enrich_with(enricher or TemplateEnricher())
    generate_prompts = generate_prompts_with(prompt_writer or TemplatePromptWriter())
    return Pipeline("task-preparation", decompose >> each(enrich, limit=8) >> generate_prompts, version="1")
