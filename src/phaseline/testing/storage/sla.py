"""``late``: runs and phases that should be over are found when their time has come."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from msgspec.structs import replace

from phaseline.abc import Storage
from phaseline.rows import PhaseState, RunState
from phaseline.testing.storage.base import PLENTY, StorageTests, write
from phaseline.testing.storage.build import (
    FINGERPRINT,
    NAMESPACE,
    NOW,
    SECOND,
    following,
    make_phase,
    make_run,
    make_unit,
    make_wait,
    new_run,
    of_plan,
)


def late(
    storage: Storage,
    moment: datetime = NOW,
    *,
    plans: tuple[str, ...] = (FINGERPRINT,),
    limit: int = PLENTY,
    namespace: str = NAMESPACE,
) -> tuple[list[tuple[str, str | None]], datetime | None]:
    """Ask what is late."""
    found = storage.late(namespace, moment, list(map(of_plan, plans)), limit)
    return [(level.run_id, level.path) for level in found.levels], found.next_due


class Levels(StorageTests):
    """Runs and phases that have a service level."""

    def test_what_is_not_over_in_time_is_late(self, storage: Storage) -> None:
        """To the microsecond; until then it is told when that will be. What has no service level never is."""
        rows = [make_phase("a", sla_at=NOW + SECOND), make_phase("b")]
        write(storage, new_run("x", *rows, sla_at=NOW), new_run("y", make_phase("a")))
        assert late(storage, NOW - NOW.resolution) == ([], NOW)
        assert late(storage) == ([("x", None)], NOW + SECOND)
        assert late(storage, NOW + SECOND) == ([("x", None), ("x", "a")], None)

    def test_the_first_comes_first(self, storage: Storage) -> None:
        """Runs and phases among each other; as many as are asked for, and then nothing is said of the next."""
        times = [NOW - n * SECOND for n in range(4)]
        write(storage, *(new_run(f"r{n}", sla_at=t) for n, t in enumerate(times) if n % 2))
        write(storage, *(new_run(f"r{n}", make_phase(sla_at=t)) for n, t in enumerate(times) if not n % 2))
        assert late(storage, limit=3) == ([("r3", None), ("r2", "a"), ("r1", None)], None)
        assert late(storage, limit=5)[0] == [("r3", None), ("r2", "a"), ("r1", None), ("r0", "a")]

    @pytest.mark.parametrize("state", [RunState.PAUSED, RunState.ROLLING_BACK, RunState.IDLE])
    def test_it_may_be_in_any_state(self, storage: Storage, state: RunState) -> None:
        """Also one that waits, runs, or is put off, of a run that stands."""
        rows = [
            make_phase("pending"),
            make_phase("running", PhaseState.RUNNING),
            make_phase("retrying", PhaseState.RETRYING, available_at=NOW + SECOND),
            make_wait("waiting", None),
        ]
        write(storage, new_run("run", *(replace(row, sla_at=NOW) for row in rows), state=state.value))
        assert {path for _, path in late(storage)[0]} == {"pending", "running", "retrying", "waiting"}

    def test_what_was_told_or_is_over_is_left_alone(self, storage: Storage) -> None:
        """By an update, or from its insertion on; an attempt that ends in between changes nothing."""
        run = make_run(sla_at=NOW)
        rows: list[Any] = [make_phase(path, sla_at=NOW) for path in "abc"]
        over = make_phase("d", PhaseState.COMPLETED, sla_at=NOW)
        write(storage, make_unit(run, inserted=[*rows, over]))
        assert {path for _, path in late(storage)[0]} == {None, "a", "b", "c"}
        told, ended = replace(rows[0], breached=7), make_phase("b", PhaseState.SKIPPED, sla_at=NOW)
        again = replace(rows[2], state=PhaseState.RETRYING, available_at=NOW + SECOND)
        run = following(run, breached=8)
        write(storage, make_unit(run, updated=[(told, 0), (ended, 0), (again, 0)], amended=True))
        assert late(storage, NOW + 9 * SECOND) == ([("run", "c")], None)
        gone = replace(ended, gone_in_epoch=1)
        run = following(run, epoch=1, sla_at=NOW + SECOND, breached=None)
        anew = make_phase("b", epoch=1, sla_at=NOW + 2 * SECOND)
        write(storage, make_unit(run, dropped=[(gone, 1)], inserted=[anew], amended=True))
        assert late(storage) == ([("run", "c")], NOW + SECOND)
        assert late(storage, NOW + 2 * SECOND) == ([("run", "c"), ("run", None), ("run", "b")], None)

    def test_what_is_purged_is_not_found(self, storage: Storage) -> None:
        """Nor what another definition or namespace has."""
        write(storage, *(new_run(name, fingerprint=name, sla_at=NOW) for name in ("x", "y")))
        write(storage, new_run("else", make_phase(sla_at=NOW), namespace="else"))
        assert late(storage, plans=("y", "z")) == ([("y", None)], None)
        assert late(storage, plans=()) == ([], None)
        assert late(storage, namespace="else") == ([("else", "a")], None)

    def test_the_storages_own_clock_judges_unless_it_is_given_one(self, storage: Storage) -> None:
        """Without a moment, what lay in the past is late, and what lies far ahead is not."""
        past, future = storage.now() - SECOND, storage.now() + 3_600 * SECOND
        write(storage, *(new_run(f"{t}", sla_at=t) for t in (past, future)))
        found = storage.late(NAMESPACE, None, [of_plan(FINGERPRINT)], PLENTY)
        assert ([level.run_id for level in found.levels], found.next_due) == ([str(past)], future)
