"""``overdue``: runs that must be over are found when their time has come."""

from __future__ import annotations

from datetime import datetime

from phaseline.abc import Storage
from phaseline.rows import RunState
from phaseline.testing.storage.base import PLENTY, StorageTests, write
from phaseline.testing.storage.build import (
    FINGERPRINT,
    NAMESPACE,
    NOW,
    SECOND,
    following,
    make_run,
    make_unit,
    new_run,
    of_plan,
)


def overdue(
    storage: Storage,
    moment: datetime = NOW,
    *,
    plans: tuple[str, ...] = (FINGERPRINT,),
    limit: int = PLENTY,
    namespace: str = NAMESPACE,
) -> tuple[list[str], datetime | None]:
    """Ask whose time is over."""
    found = storage.overdue(namespace, moment, list(map(of_plan, plans)), limit)
    return list(found.run_ids), found.next_due


class Overdue(StorageTests):
    """Runs that have a deadline or a timeout."""

    def test_a_run_is_overdue_when_its_time_has_come(self, storage: Storage) -> None:
        """To the microsecond; until then it is told when that will be. A run without a time never is."""
        late = {"deadline": NOW, "expires_at": NOW}
        then = {"timeout": SECOND, "active_since": NOW, "expires_at": NOW + SECOND}
        write(storage, new_run("a", **late), new_run("b", **then), new_run("c"))
        assert overdue(storage, NOW - NOW.resolution) == ([], NOW)
        assert overdue(storage) == (["a"], NOW + SECOND)
        assert overdue(storage, NOW + SECOND) == (["a", "b"], None)

    def test_the_first_comes_first(self, storage: Storage) -> None:
        """As many as are asked for; then nothing is said of the next."""
        times = [NOW - n * SECOND for n in range(4)]
        write(storage, *(new_run(f"r{n}", deadline=t, expires_at=t) for n, t in enumerate(times)))
        assert overdue(storage, limit=3) == (["r3", "r2", "r1"], None)
        assert overdue(storage, limit=5) == (["r3", "r2", "r1", "r0"], None)

    def test_the_time_of_a_run_may_change_and_end(self, storage: Storage) -> None:
        """As its row says; it stays through commits that do not amend it."""
        run = make_run(timeout=SECOND, active_since=NOW, expires_at=NOW)
        write(storage, make_unit(run))
        run = following(run, state="A")
        write(storage, make_unit(run))
        assert overdue(storage) == (["run"], None)
        run = following(run, expires_at=NOW + SECOND)
        write(storage, make_unit(run, amended=True))
        assert overdue(storage) == ([], NOW + SECOND)
        run = following(run, state=RunState.PAUSED.value, active_since=None, expires_at=None)
        write(storage, make_unit(run, amended=True))
        assert overdue(storage, NOW + 9 * SECOND) == ([], None)
        run = following(run, state="A", active_since=NOW, expires_at=NOW)
        write(storage, make_unit(run, amended=True))
        assert overdue(storage) == (["run"], None)

    def test_runs_of_others_are_left_alone(self, storage: Storage) -> None:
        """Those of unknown definitions, and of other namespaces."""
        late = {"deadline": NOW, "expires_at": NOW}
        write(storage, *(new_run(name, fingerprint=name, **late) for name in ("x", "y")))
        write(storage, new_run("else", namespace="else", **late))
        assert overdue(storage, plans=("y", "z")) == (["y"], None)
        assert overdue(storage, plans=()) == ([], None)
        assert overdue(storage, namespace="else") == (["else"], None)

    def test_the_storages_own_clock_judges_unless_it_is_given_one(self, storage: Storage) -> None:
        """Without a moment, what lay in the past is over, and what lies far ahead is not."""
        past, future = storage.now() - SECOND, storage.now() + 3_600 * SECOND
        write(storage, *(new_run(f"{t}", deadline=t, expires_at=t) for t in (past, future)))
        found = storage.overdue(NAMESPACE, None, [of_plan(FINGERPRINT)], PLENTY)
        assert (list(found.run_ids), found.next_due) == ([str(past)], future)
