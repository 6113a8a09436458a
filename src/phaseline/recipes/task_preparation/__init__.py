"""Task preparation: from a software task in free words to prompts that are ready for whoever writes the code.

``Task`` → decompose → ``Subtask``s → enrich, one by one → ``EnrichedSubtask``s → generate prompts → ``Prompt``s,
one for each category of work. ``python -m phaseline.recipes.task_preparation`` does it from the command line.
"""

from __future__ import annotations

from phaseline.recipes.task_preparation.catalog import Catalog
from phaseline.recipes.task_preparation.content import TaskKind, Technology
from phaseline.recipes.task_preparation.enrichment import enrich_subtask
from phaseline.recipes.task_preparation.files import CatalogError, CatalogProblem
from phaseline.recipes.task_preparation.gate import PLAN_REVIEW, PlanRefusedError, PlanReview, PlanReviewed
from phaseline.recipes.task_preparation.kinds import kind_of
from phaseline.recipes.task_preparation.models import (
    Category,
    Effort,
    EnrichedSubtask,
    ProjectContext,
    Prompt,
    Subtask,
    Task,
    categories_in_order,
    in_dependency_order,
)
from phaseline.recipes.task_preparation.parts import Decomposer, Enricher, PromptWriter, SubtaskGenerated
from phaseline.recipes.task_preparation.pipeline import task_preparation_pipeline
from phaseline.recipes.task_preparation.plans import InvalidPlanError, PlanLimits, problems_of
from phaseline.recipes.task_preparation.prompts import write_prompts
from phaseline.recipes.task_preparation.result import PreparedTask, plan_told, prepared_task
from phaseline.recipes.task_preparation.templates import (
    TemplateDecomposer,
    TemplateEnricher,
    TemplatePromptWriter,
)

__all__ = [
    # the pipeline and its parts
    "task_preparation_pipeline", "SubtaskGenerated",
    "Decomposer", "Enricher", "PromptWriter",
    "TemplateDecomposer", "TemplateEnricher", "TemplatePromptWriter", "enrich_subtask", "write_prompts",
    # plans
    "PlanLimits", "problems_of", "InvalidPlanError",
    # what a run made, as a document
    "prepared_task", "PreparedTask", "plan_told",
    # a person between plan and work
    "PLAN_REVIEW", "PlanReview", "PlanReviewed", "PlanRefusedError",
    # what the templates know
    "Catalog", "CatalogError", "CatalogProblem", "Technology", "TaskKind", "kind_of",
    # values
    "Task", "ProjectContext", "Category", "Subtask", "Effort", "EnrichedSubtask", "Prompt",
    "in_dependency_order", "categories_in_order",
]  # fmt: skip
