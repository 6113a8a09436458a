"""What SQLite reads to show how things stand: an index that has all that is asked for, however many rows there are beside."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import attrs
import pytest

from phaseline.run_filter import EVERY_RUN, RunFilter, Stage
from phaseline.storage.sql import backlog, finding
from phaseline.storage.sql.access import Access
from phaseline.storage.sql.dialect import Dialect
from phaseline.storage.sql.sqlite import SqliteDialect
from phaseline.storage.sql.store import SqlStorage
from phaseline.testing.storage.build import NAMESPACE, NOW


@attrs.define
class Planned:
    """Answers nothing, and notes how what is asked would be read."""

    connection: sqlite3.Connection
    dialect: Dialect
    steps: list[str] = attrs.field(factory=list[str])

    def __call__(self, statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
        found = self.connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)
        self.steps += [
            step for *_, step in found if step.startswith(("SEARCH p", "SEARCH r", "SCAN p", "SCAN r"))
        ]
        return []

    def value(self, statement: str, values: tuple[Any, ...] = ()) -> int:
        self(statement, values)
        return 0


@pytest.fixture
def planned(tmp_path: Path) -> Iterator[Planned]:
    """On empty tables, as they are for who is new."""
    path = tmp_path / "plans.db"
    url = f"sqlite:///{path}"
    SqlStorage(url).migrate()
    with closing(sqlite3.connect(path)) as connection:
        yield Planned(connection, SqliteDialect(url))


def test_what_waits_is_read_from_the_index_of_lanes(planned: Planned) -> None:
    """No step walks through the phases of a namespace."""
    ask = cast("Access", planned)
    backlog.backlog(ask, NAMESPACE, NOW)
    backlog.waiting(ask, NAMESPACE, NOW, 10)
    of_phases = [step for step in planned.steps if step.split()[1] == "p"]
    assert len(of_phases) > 4
    assert all(
        "USING COVERING INDEX phaseline_phase_claim (namespace=? AND lane" in step for step in of_phases
    )


def test_runs_that_have_ended_are_counted_by_an_index_alone(planned: Planned) -> None:
    """Those that go on are few, and are looked at one by one."""
    finding.count(cast("Access", planned), NAMESPACE, EVERY_RUN)
    assert planned.steps == [
        "SEARCH r USING COVERING INDEX phaseline_run_ended (namespace=?)",
        "SEARCH r USING INDEX phaseline_run_open (namespace=?)",
    ]


def test_runs_that_go_on_are_counted_by_an_index_alone(planned: Planned) -> None:
    """However many they are: it may be asked with each start."""
    finding.open_runs(cast("Access", planned), NAMESPACE, 1_000)
    assert planned.steps == ["SEARCH r USING COVERING INDEX phaseline_run_open (namespace=?)"]


@pytest.mark.parametrize("stage", ["active", "waiting"])
def test_runs_that_go_on_are_listed_from_their_own_index(planned: Planned, stage: Stage) -> None:
    """However many have ended."""
    finding.find(
        cast("Access", planned), NAMESPACE, RunFilter(stage=stage), after=None, limit=51, newest_first=True
    )
    assert planned.steps == ["SEARCH r USING INDEX phaseline_run_open (namespace=?)"]


def test_runs_of_a_schedule_that_go_on_are_read_from_an_index_of_their_own(
    planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many runs go on, and however many of the schedule have ended, once these are many."""
    monkeypatch.setattr(finding, "FEW", 0)
    wanted = RunFilter(marks=('schedule="a"',), ended=False)
    finding.find(cast("Access", planned), NAMESPACE, wanted, after=None, limit=1, newest_first=False)
    *_, read = planned.steps  # how many the schedule has had is asked first
    assert read == "SEARCH r USING INDEX phaseline_run_scheduled (namespace=?)"
