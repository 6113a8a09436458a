"""Runtimes on each storage, on a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.counted import world
from tests.databases import Database
from tests.kiosk import Kiosk
from tests.opening import OpenRuntime

from phaseline import Pipeline, Runtime
from phaseline.abc import Storage
from phaseline.storage.memory import MemoryStorage
from phaseline.storage.sql.store import SqlStorage
from phaseline.testing import FakeClock


@pytest.fixture(autouse=True)
def fresh_world() -> None:
    """A world of its own for each test."""
    world.reset()


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands until it is moved."""
    return FakeClock()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def storage(request: pytest.FixtureRequest) -> Callable[[], Storage]:
    """Make a storage on an empty place, of each kind; all of them open the same one."""
    if request.param == "memory":
        memory = MemoryStorage()
        return lambda: memory
    return request.getfixturevalue(f"{request.param}_storage")


@pytest.fixture
def sqlite_storage(tmp_path: Path) -> Callable[[], Storage]:
    """Make a storage on a file."""
    return lambda: SqlStorage(f"sqlite:///{tmp_path / 'runs.db'}")


@pytest.fixture
def postgres_storage(postgres: Database) -> Callable[[], Storage]:
    """Make a storage on a server."""
    return postgres.storage


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> Callable[[], SqlStorage]:
    """As ``storage``, of the kinds that have transactions."""
    return request.getfixturevalue(f"{request.param}_storage")


@pytest.fixture
def open_runtime(storage: Callable[[], Storage], clock: FakeClock) -> OpenRuntime:
    """Make a runtime with these pipelines."""

    def make(*pipelines: Pipeline[Any, Any], **options: Any) -> Runtime:
        return Runtime(storage(), pipelines=pipelines, clock=clock, **options)

    return make


@pytest.fixture
def kiosk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kiosk:
    """An application on a file of its own, with nothing in it, and the command line beside it."""
    monkeypatch.chdir(Path(__file__).parents[2])
    found = Kiosk(tmp_path)
    Runtime(found.url)._storage.migrate()
    return found
