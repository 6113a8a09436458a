"""``statistics``: how the runs that a filter means went, in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from phaseline.abc import Storage
from phaseline.rows import ENDED_STATES, PhaseRecord, PhaseState, RunState
from phaseline.run_filter import EVERY_RUN, RunFilter
from phaseline.statistics import GROUPINGS, Grouping, Percentiles, Statistics
from phaseline.testing.storage.base import StorageTests, write
from phaseline.testing.storage.build import NAMESPACE, NOW, SECOND, make_phase, make_run, make_unit
from phaseline.usage import NOTHING_USED, Spending, Usage

CALL = Usage(requests=1, input_tokens=7, cost=Decimal("0.5"))


def run(number: int, state: RunState, took: int | None, **fields: Any) -> dict[str, Any]:
    """What makes the row of a run that waited one second and took so many, which is at one of two ends or goes on."""
    started = None if took is None else NOW + SECOND
    ended = (
        started + took * SECOND
        if started is not None and took is not None and state in ENDED_STATES
        else None
    )
    times = {"started_at": started, "ended_at": ended}
    return {"run_id": f"id-{number:03}", "state": state.value, "created_at": NOW, **times, **fields}


def phases(*took: int) -> Sequence[PhaseRecord]:
    """A map of as many items, which took so many seconds, one that failed, and one that waits."""
    start = NOW + 2 * SECOND
    return [
        *(
            make_phase(f"each[{n}]", PhaseState.COMPLETED, available_at=NOW, started_at=start, ended_at=start + long * SECOND)
            for n, long in enumerate(took)
        ),
        make_phase("each[90]/in", PhaseState.FAILED, available_at=NOW, started_at=start, ended_at=start + SECOND, live=False),
        make_phase("each[91]", PhaseState.PENDING, available_at=NOW),
    ]  # fmt: skip


def four(*seconds: int) -> Percentiles:
    """Percentiles in seconds."""
    return Percentiles(*(each * SECOND for each in seconds))


class StatisticsOfRuns(StorageTests):
    """Runs are counted and ranked."""

    def test_pipelines_are_told_apart(self, storage: Storage) -> None:
        """By the nearest rank: of a hundred runs the 95th percentile is the 95th of them."""
        runs = [
            *(make_run(**run(n, RunState.COMPLETED, n), pipeline="big") for n in range(1, 101)),
            make_run(
                **run(101, RunState.FAILED, 900), pipeline="big", spending=Spending({"a": CALL, "b": CALL})
            ),
            make_run(**run(102, RunState.PAUSED, 1), pipeline="big"),
            make_run(**run(103, RunState.IDLE, None), pipeline="small"),
        ]
        write(storage, *map(make_unit, runs))
        write(storage, make_unit(make_run(**run(104, RunState.COMPLETED, 1), namespace="else")))
        big, small = storage.statistics(NAMESPACE)
        assert big == Statistics(
            group="big", states={"COMPLETED": 100, "FAILED": 1, "PAUSED": 1}, duration=four(50, 95, 99, 100),
            waited=four(1, 1, 1, 1), usage=CALL + CALL,
        )  # fmt: skip
        assert small == Statistics(
            group="small", states={"IDLE": 1}, duration=None, waited=None, usage=NOTHING_USED
        )
        assert (big.count, big.success_rate, small.success_rate) == (102, 100 / 101, None)

    def test_days_are_told_apart(self, storage: Storage) -> None:
        """Those in UTC on which runs were created."""
        midnight = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
        write(
            storage,
            make_unit(
                make_run("a", created_at=midnight - timedelta(microseconds=1), spending=Spending({"x": CALL}))
            ),
            make_unit(make_run("b", created_at=midnight)),
        )
        assert [(each.group, each.count, each.usage) for each in storage.statistics(NAMESPACE, by="day")] == [
            ("2029-12-31", 1, CALL), ("2030-01-01", 1, NOTHING_USED),
        ]  # fmt: skip

    def test_phases_are_told_apart(self, storage: Storage) -> None:
        """Without the indices of their items; of a phase that only used something nothing is told."""
        spending = Spending({"each": CALL, "else": CALL})
        write(storage, make_unit(make_run("a", pipeline="p", spending=spending), inserted=phases(1, 4, 2)))
        write(storage, make_unit(make_run("b", pipeline="p", spending=spending), inserted=phases(9)))
        each, inner = storage.statistics(NAMESPACE, by="phase")
        assert each == Statistics(
            group="p/each", states={"COMPLETED": 4, "PENDING": 2}, duration=four(2, 9, 9, 9), waited=four(2, 2, 2, 2),
            usage=CALL + CALL,
        )  # fmt: skip
        assert inner == Statistics(
            group="p/each/in",
            states={"FAILED": 2},
            duration=None,
            waited=four(2, 2, 2, 2),
            usage=NOTHING_USED,
        )

    @pytest.mark.parametrize("by", GROUPINGS)
    @pytest.mark.parametrize(
        "wanted", [RunFilter(states=frozenset({"FAILED"})), RunFilter(marks=("#a",)), RunFilter(ended=False)]
    )
    def test_those_that_are_meant(self, storage: Storage, wanted: RunFilter, by: Grouping) -> None:
        """As with ``count``; where none is, there is no group."""
        assert storage.statistics(NAMESPACE, EVERY_RUN, by) == []
        runs = [
            make_run(**run(1, RunState.FAILED, 5), marks=("#a",)), make_run(**run(2, RunState.FAILED, 6)),
            make_run(**run(3, RunState.PAUSED, 7), marks=("#a", "#b")), make_run(**run(4, RunState.COMPLETED, 8)),
        ]  # fmt: skip
        write(storage, *(make_unit(each, inserted=phases(1)) for each in runs))
        many = sum(map(wanted.matches, runs))
        found = storage.statistics(NAMESPACE, wanted, by)
        assert sum(each.count for each in found) == many * (3 if by == "phase" else 1)
