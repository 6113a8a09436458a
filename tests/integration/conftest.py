"""Runtimes on each storage, on a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from phaseline import Pipeline, Runtime
from phaseline.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands until it is moved."""
    return FakeClock()


@pytest.fixture(params=["memory", "sqlite"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty storage, of each kind."""
    return "memory" if request.param == "memory" else f"sqlite:///{tmp_path / 'runs.db'}"


@pytest.fixture
def open_runtime(storage: str, clock: FakeClock) -> Callable[..., Runtime]:
    """Make a runtime with these pipelines."""

    def make(*pipelines: Pipeline[Any, Any], **options: Any) -> Runtime:
        return Runtime(storage, pipelines=pipelines, clock=clock, **options)

    return make
