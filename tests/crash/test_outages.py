"""A PostgreSQL that goes down and comes back in the midst of everything; nobody restarts anything by hand."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.crash.nursery import Nursery
from tests.crash.scene import Scene
from tests.databases import fresh_schema
from tests.servers import Server, postgres

RUNS, PHASES = 100, 10
OUTAGES = 3
PATIENCE = 40


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of the test's own, which may go down."""
    with postgres() as server:
        assert server.ours.pid
        yield server


def done(scene: Scene) -> int:
    """Bodies that came to their end."""
    return scene.journal.path.read_bytes().count(b'"moment":"end"') if scene.journal.path.exists() else 0


@pytest.mark.timeout(120)
def test_server_goes_down_three_times(server: Server, nursery: Nursery, tmp_path: Path) -> None:
    """Everything completes, each phase committed once, in the processes that were there from the beginning."""
    with fresh_schema(server.url, "outages") as database:
        scene = Scene(database, nursery, tmp_path)
        children = [scene.begin("long", "--runs", str(RUNS)) for _ in range(2)]
        for outage in range(1, OUTAGES + 1):
            deadline = time.monotonic() + PATIENCE
            while done(scene) < RUNS * PHASES * outage / (OUTAGES + 1):
                assert time.monotonic() < deadline, [child.told for child in children]
                time.sleep(0.01)
            server.stop(immediate=True)
            time.sleep(0.3)
            server.start()
            assert done(scene) < RUNS * PHASES, "the outage came too late"
        ends = [["COMPLETED", number + PHASES] for number in range(RUNS)]
        assert [ends, ends] == [scene.ended(child).answer()["found"] for child in children]
        assert len(scene.check()) == RUNS
        told = "".join(child.told for child in children)
        assert told.count("finished work is held") >= OUTAGES, "no outage was noticed"
        assert server.log.count("was not properly shut down") == OUTAGES
