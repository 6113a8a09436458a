"""The pipeline of task preparation."""

from __future__ import annotations

from phaseline import Pipeline, each
from phaseline.recipes.task_preparation.models import Prompt, Task
from phaseline.recipes.task_preparation.phases import Decompose, Decomposer, enrich, generate_prompts
from phaseline.recipes.task_preparation.templates import TemplateDecomposer


def task_preparation_pipeline(decomposer: Decomposer | None = None) -> Pipeline[Task, list[Prompt]]:
    """Make the pipeline that turns a task into prompts.

    Args:
        decomposer: Takes the task apart; by default the templates of the recipe, which ask nobody.
    """
    decompose = Decompose(decomposer or TemplateDecomposer())
    return Pipeline("task-preparation", decompose >> each(enrich, limit=8) >> generate_prompts, version="1")
