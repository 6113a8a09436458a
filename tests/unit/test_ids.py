"""Ids of runs are short, unlike any other, and in the order of time."""

from __future__ import annotations

import re
import time

import pytest

from phaseline._shell.ids import new_run_id, new_worker_id


def test_ids_are_short_and_differ() -> None:
    """A run's id has 22 digits and small letters; no two are equal, however fast they come."""
    ids = {new_run_id() for _ in range(10_000)}
    assert len(ids) == 10_000
    assert all(re.fullmatch("[0-9a-v]{22}", run_id) for run_id in ids)


def test_ids_sort_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A later millisecond gives a greater id, now and in a thousand years."""
    moments = [0, 1, 31, 32, 1_023, 1_024, 2**40, time.time_ns() // 10**6, 2**45 - 1]
    ids: list[str] = []
    for millis in sorted(moments):
        monkeypatch.setattr(time, "time_ns", lambda at=millis: at * 1_000_000)
        ids.append(new_run_id())
    assert ids == sorted(ids)
    assert len({len(run_id) for run_id in ids}) == 1


def test_workers_differ() -> None:
    """Each process start has a name of its own."""
    assert len({new_worker_id() for _ in range(1_000)}) == 1_000
