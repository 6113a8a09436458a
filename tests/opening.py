"""What the fixture ``open_runtime`` gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from phaseline import Runtime

OpenRuntime: TypeAlias = Callable[..., Runtime]
"""Makes a runtime of pipelines and options, on the storage and the clock of the test."""
