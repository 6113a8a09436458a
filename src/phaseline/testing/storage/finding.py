"""``find``, ``count`` and ``usage``: the runs that a filter means, in the order of their ids."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from phaseline.abc import Storage
from phaseline.rows import ErrorCategory, ErrorInfo, RunRecord, RunState
from phaseline.run_filter import EVERY_RUN, RunFilter
from phaseline.testing.storage.base import PLENTY, StorageTests, read, write
from phaseline.testing.storage.build import NAMESPACE, NOW, SECOND, following, make_run, make_unit
from phaseline.usage import NANO, Spending, Usage, total

BROKEN = ErrorInfo(category=ErrorCategory.SYSTEM, type="OSError", message='Disk "A" is 100% full')


def of_parent(path: str) -> dict[str, Any]:
    """Fields of a run that another one started."""
    return {"parent_id": "id-0", "parent_path": path, "parent_generation": 0}


def various_runs() -> list[RunRecord]:
    """Runs that differ in whatever one can ask for, in the order of their ids."""
    return [
        make_run("id-0", created_at=NOW),
        make_run("id-1", created_at=NOW + SECOND, pipeline="Other", key="Order_7", **of_parent("a[1]")),
        make_run("id-2", created_at=NOW + 2 * SECOND, version="2", state=RunState.PAUSED.value, **of_parent("b")),
        make_run("id-3", created_at=NOW + 3 * SECOND, state=RunState.FAILED.value, error=BROKEN),
        make_run("id-4", created_at=NOW + 4 * SECOND, state=RunState.COMPLETED.value, marks=("#a", "#b")),
        make_run("id-5", created_at=NOW + 5 * SECOND, state=RunState.COMPLETED.value, marks=("#a", 'Name="ö"', 'schedule="a"'), **of_parent("b")),
        make_run("id-6", created_at=NOW + 6 * SECOND, state="DECOMPOSING", marks=("#ab", "n=1", 'schedule="a"'), pipeline="Other", forked_from="id-3"),
        make_run("id-7", created_at=NOW + 7 * SECOND, state=RunState.CANCELLED.value, version="3", forked_from="id-3"),
    ]  # fmt: skip


def found(storage: Storage, wanted: RunFilter, *, limit: int = PLENTY, **how: Any) -> list[int]:
    """Numbers of the runs that are found."""
    return [int(run.id[-1]) for run in storage.find(NAMESPACE, wanted, limit=limit, **how)]


CASES: list[tuple[RunFilter, list[int]]] = [
    (EVERY_RUN, [0, 1, 2, 3, 4, 5, 6, 7]),
    (RunFilter(pipelines=frozenset({"Other"})), [1, 6]),
    (RunFilter(pipelines=frozenset({"Other", "pipeline"})), [0, 1, 2, 3, 4, 5, 6, 7]),
    (RunFilter(pipelines=frozenset({"other"})), []),
    (RunFilter(pipelines=frozenset()), []),
    (RunFilter(versions=frozenset({"2", "3"})), [2, 7]),
    (RunFilter(states=frozenset({"PAUSED"})), [2]),
    (RunFilter(states=frozenset({"IDLE", "DECOMPOSING"})), [0, 1, 6]),
    (RunFilter(states=frozenset({"COMPLETED"})), [4, 5]),
    (RunFilter(states=frozenset({"PAUSED", "FAILED", "CANCELLED", "IDLE"})), [0, 1, 2, 3, 7]),
    (RunFilter(states=frozenset()), []),
    (RunFilter(ended=True), [3, 4, 5, 7]),
    (RunFilter(ended=False), [0, 1, 2, 6]),
    (RunFilter(ended=False, states=frozenset({"FAILED", "PAUSED"})), [2]),
    (RunFilter(ended=True, states=frozenset({"FAILED", "PAUSED"})), [3]),
    (RunFilter(stage="waiting"), [0, 1]),
    (RunFilter(stage="active"), [6]),
    (RunFilter(stage="active", ended=False, pipelines=frozenset({"Other"})), [6]),
    (RunFilter(stage="waiting", states=frozenset({"IDLE", "PAUSED"})), [0, 1]),
    (RunFilter(stage="waiting", ended=True), []),
    (RunFilter(stage="active", states=frozenset({"COMPLETED"})), []),
    (RunFilter(stage="waiting", parent="id-0"), [1]),
    (RunFilter(stage="active", marks=("#ab",)), [6]),
    (RunFilter(stage="waiting", marks=("#ab",)), []),
    (RunFilter(parent="id-0"), [1, 2, 5]),
    (RunFilter(parent="id-0", parent_path="b"), [2, 5]),
    (RunFilter(parent="id-0", ended=False), [1, 2]),
    (RunFilter(parent="id-0", states=frozenset({"COMPLETED"}), marks=("#a",)), [5]),
    (RunFilter(parent="id-1"), []),
    (RunFilter(forked_from="id-3"), [6, 7]),
    (RunFilter(forked_from="id-3", ended=True, text="CELL"), []),
    (RunFilter(forked_from="id-3", marks=("#ab",)), [6]),
    (RunFilter(forked_from="id-6"), []),
    (RunFilter(forked_from="id-3", parent="id-0"), []),
    (RunFilter(marks=("#a",)), [4, 5]),
    (RunFilter(marks=("#a", "#b")), [4]),
    (RunFilter(marks=('Name="ö"',)), [5]),
    (RunFilter(marks=("n=1.0",)), []),
    (RunFilter(marks=("#a",), states=frozenset({"FAILED"})), []),
    (RunFilter(marks=("#ab",), ended=False), [6]),
    (RunFilter(marks=('schedule="a"',)), [5, 6]),
    (RunFilter(marks=('schedule="a"',), ended=False), [6]),
    (RunFilter(marks=("#ab", 'schedule="a"'), ended=False, pipelines=frozenset({"Other"})), [6]),
    (RunFilter(marks=('schedule="b"',), ended=False), []),
    (RunFilter(since=NOW + 6 * SECOND), [6, 7]),
    (RunFilter(until=NOW + SECOND), [0]),
    (RunFilter(since=NOW + SECOND, until=NOW + 3 * SECOND, versions=frozenset({"1"})), [1]),
    (RunFilter(from_id="id-6"), [6, 7]),
    (RunFilter(to_id="id-1"), [0]),
    (RunFilter(from_id="id-45", to_id="id-55", ended=True), [5]),
    (RunFilter(from_id="id-4", to_id="id-5", marks=("#a",)), [4]),
    (RunFilter(text="ID-3"), [3]),
    (RunFilter(text="order_"), [1]),
    (RunFilter(text="OTHER"), [1, 6]),
    (RunFilter(text="#AB"), [6]),
    (RunFilter(text='"ö"'), [5]),
    (RunFilter(text="Ö"), []),
    (RunFilter(text='disk "a" is 100%'), [3]),
    (RunFilter(text="oserr"), [3]),
    (RunFilter(text="%"), [3]),
    (RunFilter(text="order%7"), []),
    (RunFilter(text="SYSTEM"), []),
]


def usage_of(number: int) -> Usage | None:
    """What was used in a run of ``various_runs``: in every second one something, of which a part is beyond 32 bits."""
    if number % 2:
        return None
    return Usage(
        requests=1, input_tokens=10**11 + number, output_tokens=number, cost=number * Decimal("0.7") + NANO
    )


class Finding(StorageTests):
    """Runs are found by all that is known of them."""

    @pytest.mark.parametrize(
        ("wanted", "expected"), CASES, ids=lambda case: "" if isinstance(case, list) else None
    )
    def test_what_is_wanted_is_found(self, storage: Storage, wanted: RunFilter, expected: list[int]) -> None:
        """Those that ``matches`` says, in either order, counted by state, and with what was used in them added up."""
        runs = [
            run
            if (usage := usage_of(n)) is None
            else replace(run, spending=Spending({"a": usage, "b": Usage()}))
            for n, run in enumerate(various_runs())
        ]
        write(storage, *(make_unit(run) for run in runs))
        write(storage, *(make_unit(replace(run, namespace="else")) for run in runs[:3]))
        assert [n for n, run in enumerate(runs) if wanted.matches(run)] == expected
        assert found(storage, wanted) == expected
        assert found(storage, wanted, newest_first=True) == expected[::-1]
        states = [runs[n].state for n in expected]
        assert dict(storage.count(NAMESPACE, wanted)) == {state: states.count(state) for state in states}
        used = [usage for n in expected if (usage := usage_of(n)) is not None]
        assert storage.usage(NAMESPACE, wanted) == total(used)

    def test_runs_that_go_on_are_active_or_waiting(self, storage: Storage) -> None:
        """As their states say, those of the engine and labels of phases; what is over, or stands, is neither."""
        waiting = {"IDLE", "WAIT_FOR_PAPER", "SLEEP", "SLEEP2", "SLEEP_FOR_A_DAY"}
        active = {"INITIALIZING", "WAITING_ROOM", "WAIT", "ASLEEP"}
        states = {*map(str, RunState), *waiting, *active}
        write(storage, *(make_unit(make_run(f"id-{state}", state=state)) for state in states))
        assert dict(storage.count(NAMESPACE, RunFilter(stage="waiting"))) == dict.fromkeys(waiting, 1)
        listed = storage.find(NAMESPACE, RunFilter(stage="active"), limit=PLENTY)
        assert {run.state for run in listed} == active

    def test_runs_that_have_not_ended_are_counted_up_to_a_bound(self, storage: Storage) -> None:
        """Whether they have begun, wait or stand; those of other namespaces are not."""
        open_states = ("IDLE", "WAIT_FOR_PAPER", "PAUSED", "ROLLING_BACK")
        states = (*open_states, "COMPLETED", "FAILED", "CANCELLED", "ROLLED_BACK")
        write(storage, *(make_unit(make_run(f"id-{state}", state=state)) for state in states))
        write(storage, make_unit(make_run("id", namespace="else")))
        counted = [storage.open_runs(NAMESPACE, at_most) for at_most in (1, 3, 4, 5, PLENTY)]
        assert counted == [1, 3, 4, 4, 4]
        assert storage.open_runs("nowhere", PLENTY) == 0

    @pytest.mark.parametrize("wanted", [EVERY_RUN, RunFilter(ended=True), RunFilter(marks=("#a",))])
    @pytest.mark.parametrize("newest_first", [False, True])
    def test_pages_join_to_the_whole(self, storage: Storage, wanted: RunFilter, newest_first: bool) -> None:
        """Whoever goes on after the last one of a page meets each run once, whatever the size of a page."""
        write(storage, *(make_unit(run) for run in various_runs()))
        whole = found(storage, wanted, newest_first=newest_first)
        for size in (1, 2, 3, len(whole)):
            seen: list[int] = []
            after: str | None = None
            while page := found(storage, wanted, newest_first=newest_first, after=after, limit=size):
                assert len(page) == min(size, len(whole) - len(seen))
                seen += page
                after = f"id-{page[-1]}"
            assert seen == whole

    def test_a_place_to_go_on_need_not_be_a_run(self, storage: Storage) -> None:
        """It is a place in the order: the run that stood there may be gone."""
        write(storage, *(make_unit(run) for run in various_runs()))
        assert found(storage, EVERY_RUN, after="id-55") == [6, 7]
        assert found(storage, EVERY_RUN, after="id-55", newest_first=True) == [5, 4, 3, 2, 1, 0]

    def test_runs_are_found_by_what_they_are_now(self, storage: Storage) -> None:
        """A run that moved on is found in its new state, and by its new marks, alone."""
        run = make_run(marks=("#a", "#b"))
        write(storage, make_unit(run))
        for change, marked in (
            ({"state": "DECOMPOSING"}, None),
            ({"state": "COMPLETED", "ended_at": NOW, "marks": ("#b", "#c")}, run.marks),
            ({"state": "IDLE", "ended_at": None, "marks": ()}, ("#b", "#c")),
            ({"state": "CANCELLED", "ended_at": NOW, "marks": ("#a",)}, ()),
        ):
            before, run = run, following(run, **change)
            write(storage, make_unit(run, marked=marked))
            assert read(storage)[0] == run
            assert list(storage.find(NAMESPACE, RunFilter(states=frozenset({run.state})), limit=9)) == [run]
            assert not storage.find(NAMESPACE, RunFilter(states=frozenset({before.state})), limit=9)
            for mark in ("#a", "#b", "#c"):
                there = storage.find(NAMESPACE, RunFilter(marks=(mark,)), limit=9)
                assert list(there) == ([run] if mark in run.marks else [])

    def test_a_unit_that_is_refused_changes_no_mark(self, storage: Storage) -> None:
        """Marks are guarded with the rest of the unit."""
        run = make_run(marks=("#a",))
        write(storage, make_unit(run))
        stale = make_unit(make_run(revision=9, marks=("#b",)), marked=("#a",))
        storage.commit([stale])
        assert read(storage)[0] == run
        assert list(storage.find(NAMESPACE, RunFilter(marks=("#a",)), limit=9)) == [run]
        assert not storage.find(NAMESPACE, RunFilter(marks=("#b",)), limit=9)
