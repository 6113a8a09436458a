"""Agents of pydantic-ai in phases: each request to a model and each call of a tool is stored, and never paid for twice."""

from __future__ import annotations

from importlib import import_module

from phaseline.errors import MissingExtraError

try:
    import_module("pydantic_ai")
except ImportError as _error:
    raise MissingExtraError("phaseline.ai", "ai") from _error

from phaseline.ai.durable import DurableCalls
from phaseline.ai.named import model_named
from phaseline.ai.problems import (
    ModelAnswerError,
    ModelCallError,
    ModelOutageError,
    ModelRefusedError,
    ModelSetupError,
)

__all__ = [
    "DurableCalls",
    "model_named",
    "ModelCallError",
    "ModelAnswerError",
    "ModelOutageError",
    "ModelRefusedError",
    "ModelSetupError",
]
