"""The parts of task preparation by a model: ``pip install 'phaseline[ai]'``, and the library of a provider.

Their calls are steps of the phases: what a model answered is stored, and paid for once.
"""

from __future__ import annotations

from phaseline.recipes.task_preparation.agents.decomposer import AgentDecomposer
from phaseline.recipes.task_preparation.agents.enricher import AgentEnricher
from phaseline.recipes.task_preparation.agents.prompt_writer import AgentPromptWriter

__all__ = ["AgentDecomposer", "AgentEnricher", "AgentPromptWriter"]
