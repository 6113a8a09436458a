"""On which event loops the tests of a module run, where one is enough for most: what decides and what stores knows of none.

A module that imports ``anyio_backend`` runs its tests on asyncio, and those with ``BOTH_LOOPS`` on trio as well.
"""

from __future__ import annotations

from typing import TypeAlias

import pytest

Backend: TypeAlias = tuple[str, dict[str, object]]

BOTH_LOOPS = pytest.mark.parametrize(
    "anyio_backend", [("asyncio", {}), ("trio", {})], ids=["asyncio", "trio"]
)


@pytest.fixture(params=[("asyncio", {})], ids=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> Backend:
    """Take the place of the fixture that runs each test on both."""
    return request.param
