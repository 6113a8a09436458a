"""``enlist``, ``retire``, ``renew`` and ``lost``: who holds what, and for how long."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from msgspec.structs import replace

from phaseline.abc import HeldPhase, Storage, WorkerRecord
from phaseline.rows import PhaseState, Progress
from phaseline.testing.storage.base import StorageTests, ask, read, write
from phaseline.testing.storage.build import (
    FINGERPRINT,
    LEASE,
    NAMESPACE,
    NOW,
    SECOND,
    Take,
    following,
    make_phase,
    make_run,
    make_unit,
    new_run,
    of_plan,
    paths_of,
)

RUNNING = PhaseState.RUNNING
ALL = 1_000


def make_worker(worker_id: str, **fields: Any) -> WorkerRecord:
    """Make a worker's row."""
    given: dict[str, Any] = {
        "namespace": NAMESPACE, "host": "host/1", "pid": 4_711, "process_started": "86400", "seen_at": NOW, **fields,
    }  # fmt: skip
    return WorkerRecord(id=worker_id, **given)


def lost_now(
    storage: Storage,
    *dead: str,
    at: datetime = NOW,
    plans: tuple[str, ...] = (FINGERPRINT,),
    limit: int = ALL,
    namespace: str = NAMESPACE,
) -> set[HeldPhase]:
    """Ask what is lost; each phase must be named once."""
    found = list(storage.lost(namespace, at, dead, list(map(of_plan, plans)), limit))
    assert len(set(found)) == len(found)
    return set(found)


class Leases(StorageTests):
    """Workers and their leases."""

    # ------------------------------------------------------------------ the list of workers
    def test_a_worker_learns_of_the_others(self, storage: Storage) -> None:
        """Every row of the namespace is given but its own, with all that tells whether the process lives."""
        first = make_worker("w-1", host="h", pid=1, process_started="", seen_at=NOW - 9 * SECOND)
        second, third = make_worker("w-2"), make_worker("w-3")
        assert list(storage.enlist(first)) == []
        assert list(storage.enlist(second)) == [first]
        assert set(storage.enlist(third)) == {first, second}

    def test_a_worker_may_enlist_again(self, storage: Storage) -> None:
        """Its row is replaced."""
        storage.enlist(make_worker("w-1"))
        again = make_worker("w-1", seen_at=NOW + SECOND, pid=12)
        assert list(storage.enlist(again)) == []
        assert list(storage.enlist(make_worker("w-2"))) == [again]

    def test_a_retired_worker_is_gone_from_the_list(self, storage: Storage) -> None:
        """Others stay; one that is not on the list can be retired too."""
        for name in ("w-1", "w-2"):
            storage.enlist(make_worker(name))
        storage.retire(NAMESPACE, "w-1")
        storage.retire(NAMESPACE, "w-1")
        storage.retire(NAMESPACE, "unknown")
        assert list(storage.enlist(make_worker("w-3"))) == [make_worker("w-2")]

    def test_workers_keep_to_their_namespace(self, storage: Storage) -> None:
        """Equal ids elsewhere are other workers."""
        other = make_worker("w-1", namespace="other", pid=9)
        storage.enlist(make_worker("w-1"))
        assert list(storage.enlist(other)) == []
        storage.renew(NAMESPACE, "w-1", NOW + SECOND, NOW + LEASE)
        storage.retire(NAMESPACE, "w-1")
        assert list(storage.enlist(make_worker("w-2", namespace="other"))) == [other]

    def test_renewing_is_a_sign_of_life(self, storage: Storage) -> None:
        """It is noted in the worker's row, leases or none."""
        storage.enlist(make_worker("w-1"))
        assert not storage.renew(NAMESPACE, "w-1", NOW + SECOND, NOW + LEASE)
        assert list(storage.enlist(make_worker("w-2"))) == [make_worker("w-1", seen_at=NOW + SECOND)]

    # ------------------------------------------------------------------ renew
    def test_a_worker_renews_all_its_leases_and_no_others(self, storage: Storage) -> None:
        """Those of every run are extended; nothing else of any row changes."""
        write(
            storage,
            new_run("x", make_phase("a", RUNNING), make_phase("b", RUNNING, worker="w-2"), make_phase("c")),
            new_run("y", make_phase("a", RUNNING), make_phase("map", RUNNING, total=3)),
            new_run("z", make_phase("a", RUNNING, worker="w-2"), make_phase("b", PhaseState.COMPLETED)),
        )
        before = {run_id: read(storage, run_id) for run_id in "xyz"}
        held = [("x", "a"), ("y", "a")]
        until = NOW + 7 * LEASE
        told = storage.renew(NAMESPACE, "w-1", NOW, until)
        assert set(told) == {HeldPhase(run_id, path, 1) for run_id, path in held}
        for run_id, (run, rows) in before.items():
            renewed = [
                replace(row, lease_expires=until) if (run_id, row.path) in held else row for row in rows
            ]
            assert read(storage, run_id) == (run, renewed)

    def test_renewing_holds_up_no_commit(self, storage: Storage) -> None:
        """It moves neither revision nor fence: what was decided before it can be stored after it."""
        write(storage, new_run("run", make_phase("a", RUNNING)))
        storage.renew(NAMESPACE, "w-1", NOW, NOW + 2 * LEASE)
        write(storage, make_unit(make_run(revision=2), updated=[(make_phase("a", PhaseState.COMPLETED), 1)]))
        assert not storage.renew(NAMESPACE, "w-1", NOW, NOW + 3 * LEASE)
        assert read(storage)[1][0].lease_expires is None

    def test_what_another_took_over_is_not_renewed(self, storage: Storage) -> None:
        """The lease is that of whom the row names."""
        write(storage, new_run("run", make_phase("a", RUNNING, worker="w-1")))
        taken = make_phase("a", RUNNING, worker="w-2", fence=2)
        write(storage, make_unit(make_run(revision=2), updated=[(taken, 1)]))
        assert not storage.renew(NAMESPACE, "w-1", NOW, NOW + 9 * LEASE)
        assert read(storage)[1] == [taken]

    @pytest.mark.parametrize("sla_at", [None, NOW])
    def test_what_goes_on_keeps_the_lease_that_was_renewed(
        self, storage: Storage, sla_at: datetime | None
    ) -> None:
        """Who decides on it, for its progress or since it is late, read its lease before; a new grant brings its own."""
        held = make_phase("a", RUNNING, sla_at=sla_at)
        write(storage, new_run("run", held))
        until = NOW + 9 * LEASE
        storage.renew(NAMESPACE, "w-1", NOW, until)
        changed = replace(held, progress=Progress(done=1, total=2), breached=None if sla_at is None else 7)
        run = following(make_run())
        write(storage, make_unit(run, updated=[(changed, 1)]))
        assert read(storage)[1] == [replace(changed, lease_expires=until)]
        assert lost_now(storage, at=until - SECOND) == set()
        granted = replace(changed, fence=2)
        write(storage, make_unit(following(run), updated=[(granted, 1)]))
        assert read(storage)[1] == [granted]

    def test_renewing_keeps_to_its_namespace(self, storage: Storage) -> None:
        """A worker of equal id elsewhere holds its own leases."""
        spaces = ["one", "two"]
        write(storage, *(new_run("run", make_phase("a", RUNNING), namespace=space) for space in spaces))
        assert len(storage.renew("two", "w-1", NOW, NOW + 9 * LEASE)) == 1
        assert [read(storage, "run", space)[1][0].lease_expires for space in spaces] == [
            NOW + LEASE,
            NOW + 9 * LEASE,
        ]
        assert not storage.renew("three", "w-1", NOW, NOW + LEASE)

    def test_who_holds_nothing_renews_nothing(self, storage: Storage) -> None:
        """An unknown worker is none to complain about."""
        write(storage, new_run("run", make_phase("a", RUNNING)))
        assert not storage.renew(NAMESPACE, "unknown", NOW, NOW + LEASE)

    # ------------------------------------------------------------------ lost
    def test_a_lease_is_lost_when_its_time_has_come(self, storage: Storage) -> None:
        """To the microsecond; a renewed one at its new time."""
        write(storage, new_run("run", make_phase("a", RUNNING, fence=7)))
        end = NOW + LEASE
        assert lost_now(storage, at=end - end.resolution) == set()
        assert lost_now(storage, at=end) == {HeldPhase("run", "a", 7)}
        storage.renew(NAMESPACE, "w-1", NOW, end + SECOND)
        assert lost_now(storage, at=end) == set()
        assert lost_now(storage, at=end + SECOND) == {HeldPhase("run", "a", 7)}

    def test_what_a_dead_worker_held_is_lost_at_once(self, storage: Storage) -> None:
        """Of the workers that are named, whatever their leases say; of others by their time."""
        write(
            storage,
            new_run("x", make_phase("a", RUNNING), make_phase("b", RUNNING, worker="w-2", fence=2)),
            new_run("y", make_phase("a", RUNNING, worker="w-3", fence=3)),
            new_run("z", make_phase("a", RUNNING, worker="w-4", lease_expires=NOW - SECOND, fence=4)),
        )
        expired = HeldPhase("z", "a", 4)
        assert lost_now(storage) == {expired}
        assert lost_now(storage, "unknown") == {expired}
        assert lost_now(storage, "w-2", "w-3", "w-4") == {
            expired,
            HeldPhase("x", "b", 2),
            HeldPhase("y", "a", 3),
        }

    def test_only_what_somebody_held_is_lost(self, storage: Storage) -> None:
        """A map runs without a worker; what waits or has ended is held by nobody."""
        others = [make_phase(str(state), state) for state in PhaseState if state is not RUNNING]
        write(storage, new_run("run", make_phase("map", RUNNING, total=2), *others))
        assert lost_now(storage, "w-1", at=NOW + 9 * LEASE) == set()

    def test_phases_of_unknown_plans_are_left_alone(self, storage: Storage) -> None:
        """Whoever finds them could not carry them on."""
        write(
            storage, *(new_run(name, make_phase("a", RUNNING), fingerprint=name) for name in ("x", "y", "z"))
        )
        assert {lost.run_id for lost in lost_now(storage, "w-1", plans=("x", "z", "unknown"))} == {"x", "z"}
        assert lost_now(storage, "w-1", plans=()) == set()
        assert lost_now(storage, at=NOW + 9 * LEASE, plans=("unknown",)) == set()

    def test_as_many_as_are_asked_for(self, storage: Storage) -> None:
        """Page by page, as each is given back, all come up."""
        paths = {f"p{n}" for n in range(5)}
        write(storage, new_run("run", *(make_phase(path, RUNNING) for path in paths)))
        found: list[str] = []
        run = make_run()
        while page := lost_now(storage, "w-1", limit=2):
            found += [lost.path for lost in page]
            run = replace(run, revision=run.revision + 1)
            rows = {row.path: row for row in read(storage)[1]}
            back = [
                replace(rows[lost.path], state=PhaseState.RETRYING, worker=None, lease_expires=None)
                for lost in page
            ]
            write(storage, make_unit(run, updated=[(row, row.fence) for row in back]))
        assert sorted(found) == sorted(paths)

    def test_a_claimed_phase_is_lost_with_its_worker(self, storage: Storage) -> None:
        """The lease that a grant gives counts like any other."""
        write(storage, new_run("run", make_phase("a", fence=4)))
        ask(storage, Take("w-9", NOW + SECOND))
        assert lost_now(storage) == set()
        assert lost_now(storage, "w-9") == lost_now(storage, at=NOW + SECOND) == {HeldPhase("run", "a", 5)}

    def test_leases_of_a_retired_worker_run_out(self, storage: Storage) -> None:
        """Retiring ends no lease by itself."""
        storage.enlist(make_worker("w-1"))
        write(storage, new_run("run", make_phase("a", RUNNING)))
        storage.retire(NAMESPACE, "w-1")
        assert lost_now(storage) == set()
        assert lost_now(storage, at=NOW + LEASE) == {HeldPhase("run", "a", 1)}

    def test_a_paused_run_can_lose_a_phase(self, storage: Storage) -> None:
        """What is in flight while a run stands may end, so its worker may die."""
        write(storage, new_run("run", make_phase("a", RUNNING), state="PAUSED"))
        assert lost_now(storage, "w-1") == {HeldPhase("run", "a", 1)}

    def test_losses_keep_to_their_namespace(self, storage: Storage) -> None:
        """A dead worker elsewhere is another one."""
        spaces = ["one", "two"]
        write(
            storage,
            *(
                new_run("run", make_phase("a", RUNNING, fence=n), make_phase("b"), namespace=space)
                for n, space in enumerate(spaces)
            ),
        )
        for n, space in enumerate(spaces):
            assert lost_now(storage, "w-1", namespace=space) == {HeldPhase("run", "a", n)}
        assert lost_now(storage, "w-1", namespace="three") == set()

    def test_rows_of_a_batch_are_told_apart(self, storage: Storage) -> None:
        """Each phase is lost under its own fence."""
        rows = [make_phase(f"p{n}", RUNNING, fence=n) for n in range(1, 6)]
        write(storage, new_run("run", *rows))
        assert lost_now(storage, "w-1") == {HeldPhase("run", row.path, row.fence) for row in rows}
        assert paths_of(read(storage)[1]) == paths_of(rows)
