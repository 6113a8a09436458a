"""Fixtures for suites that embed phaseline; loaded by pytest through its entry point.

The imports are within the fixtures: this module is loaded in every pytest run of every environment that has
phaseline installed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from phaseline import Pipeline, Runtime
    from phaseline.abc import Storage
    from phaseline.testing import FakeClock, OpenRuntime


@pytest.fixture
def phaseline_clock() -> FakeClock:
    """A clock that stands until ``await phaseline_clock.advance(delta)``."""
    from phaseline.testing import FakeClock  # noqa: PLC0415  # see the module's docstring

    return FakeClock()


@pytest.fixture
def phaseline_runtime(phaseline_clock: FakeClock) -> OpenRuntime:
    """Give a function that opens a runtime on the fake clock, in memory unless told otherwise, for use in an ``async with``."""
    from phaseline import Runtime  # noqa: PLC0415  # see the module's docstring

    @asynccontextmanager
    async def opened(
        *pipelines: Pipeline[Any, Any], storage: str | Storage = "memory", **options: Any
    ) -> AsyncGenerator[Runtime]:
        options.setdefault("clock", phaseline_clock)
        runtime = Runtime(storage, pipelines=pipelines, **options)
        await runtime.migrate()
        async with runtime:
            yield runtime

    return opened
