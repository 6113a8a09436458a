"""Scenes of crashes: a database, a journal, and processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.crash.nursery import Nursery
from tests.crash.nursery import nursery as open_nursery
from tests.crash.scene import Scene
from tests.databases import Database


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Where processes are started, for all tests of this one."""
    with open_nursery() as opened:
        yield opened


@pytest.fixture(params=["sqlite", "postgres"])
def dialect(request: pytest.FixtureRequest) -> str:
    """Each kind of database."""
    return request.param


@pytest.fixture
def make_scene(
    dialect: str, nursery: Nursery, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[[], Scene]]:
    """Make a scene with an empty database; the one made before is over then. No process outlives the test."""
    made: list[Scene] = []

    def make() -> Scene:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        database = Database(f"sqlite:///{folder / 'runs.db'}", "phaseline")
        if dialect == "postgres":
            database = request.getfixturevalue("postgres_schema")
            database.clear()
        made.append(Scene(database, nursery, folder))
        return made[-1]

    yield make
    for scene in made:
        scene.clear_away()


@pytest.fixture
def scene(make_scene: Callable[[], Scene]) -> Scene:
    """One scene."""
    return make_scene()
