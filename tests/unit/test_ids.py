"""Ids of runs are short, unlike any other, and in the order of time."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from phaseline._shell.ids import commit_ids, first_id, new_run_id, new_worker_id, run_ids
from phaseline.views import RUN_ID

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOW = datetime(2030, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


EACH_WAY = pytest.mark.parametrize("new_id", [new_run_id, run_ids()], ids=["by the system", "by a generator"])


@EACH_WAY
def test_ids_are_short_and_differ(new_id: Callable[[datetime], str]) -> None:
    """A run's id has 22 digits and small letters; no two are equal, however many there are of one moment."""
    ids = {new_id(NOW) for _ in range(10_000)} | {run_ids()(NOW) for _ in range(100)}
    assert len(ids) == 10_100
    assert all(re.fullmatch("[0-9a-v]{22}", run_id) for run_id in ids)


def test_ids_in_examples_look_like_ids() -> None:
    """What documents of the interface show is no id of another library's."""
    assert re.fullmatch("[0-9a-v]{22}", RUN_ID)


@EACH_WAY
def test_ids_sort_by_creation(new_id: Callable[[datetime], str]) -> None:
    """A run that was created a microsecond later has a greater id, now and in a thousand years."""
    spans = [0, 1, 31, 32, 1_023, 1_024, 2**40, (NOW - EPOCH) // MICROSECOND, 2**55 - 1]
    ids = [new_id(EPOCH + span * MICROSECOND) for span in sorted(spans)]
    assert ids == sorted(ids)
    assert len({len(run_id) for run_id in ids}) == 1
    before = new_id(EPOCH - timedelta(days=1))  # by a clock that is that wrong
    assert len(before) == len(ids[0])
    assert before < ids[2]


@EACH_WAY
def test_the_first_id_of_a_moment(new_id: Callable[[datetime], str]) -> None:
    """No run of that moment has a lesser one, and none of the moment before a greater."""
    first = first_id(NOW)
    assert all(first <= new_id(NOW) for _ in range(100))
    assert all(new_id(NOW - MICROSECOND) < first for _ in range(100))


def test_workers_differ() -> None:
    """Each process start has a name of its own."""
    assert len({new_worker_id() for _ in range(1_000)}) == 1_000


def test_ids_of_commits_differ_and_fit() -> None:
    """Two runtimes draw their own, and a column of 64 bits holds each."""
    ids = {new() for new in (commit_ids(), commit_ids()) for _ in range(10_000)}
    assert len(ids) == 20_000
    assert all(0 <= commit_id < 2**63 for commit_id in ids)
