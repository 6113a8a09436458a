"""Signals and waits: what is received is kept until it is taken, and what is due is found."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from msgspec.structs import replace

from phaseline.abc import DueWait, DueWaits, Storage
from phaseline.rows import PhaseState, RunState, SignalRecord, WaitKind
from phaseline.testing.storage.base import FENCED, PLENTY, StorageTests, ask, everything, write
from phaseline.testing.storage.build import (
    FINGERPRINT,
    NAMESPACE,
    NOW,
    SECOND,
    Take,
    following,
    make_phase,
    make_run,
    make_signal,
    make_unit,
    make_wait,
    new_run,
    of_plan,
)


def signals(
    storage: Storage, run_id: str = "run", since: int = 0, namespace: str = NAMESPACE
) -> list[SignalRecord]:
    """Read the signals of a run that must be there."""
    rows = storage.load(namespace, run_id, since)
    assert rows is not None
    return list(rows.signals)


def due_at(
    storage: Storage,
    moment: datetime = NOW,
    *,
    plans: tuple[str, ...] = (FINGERPRINT,),
    limit: int = PLENTY,
    namespace: str = NAMESPACE,
) -> tuple[list[DueWait], datetime | None]:
    """Ask what is due."""
    found = storage.due(namespace, moment, list(map(of_plan, plans)), limit)
    return list(found.waits), found.next_due


class Waits(StorageTests):
    """Signals, and the phases that wait."""

    # ------------------------------------------------------------------ signals
    def test_signals_read_back_in_the_order_of_their_numbers(self, storage: Storage) -> None:
        """Every field of each, whatever the order in which a unit names them."""
        first = make_signal(3, key="k", id="id", value='{"a":1}', received_at=NOW + SECOND)
        others = [make_signal(7, name="other"), make_signal(12)]
        write(storage, make_unit(make_run(seq=12, signals=3), signals=[*others, first]))
        assert signals(storage) == [first, *others]

    def test_a_signal_is_taken_once(self, storage: Storage) -> None:
        """It stays known, and its value is let go of; a unit that takes it again is refused as a whole."""
        run = make_run(seq=2, signals=2)
        write(
            storage,
            make_unit(run, signals=[make_signal(1, id="x"), make_signal(2)], inserted=[make_phase("a")]),
        )
        run = following(run)
        write(storage, make_unit(run, taken=[(1, "a[1]/wait")]))
        kept = [make_signal(1, id="x", value=None, taken_by="a[1]/wait"), make_signal(2)]
        assert signals(storage) == kept
        before = everything(storage, "run", ["a"])
        assert storage.commit([make_unit(following(run), taken=[(2, "a"), (1, "a")])]) == [FENCED]
        assert everything(storage, "run", ["a"]) == before

    def test_a_signal_may_be_taken_as_it_comes(self, storage: Storage) -> None:
        """Then its value is never stored beside the output that it has become."""
        taken = make_signal(1, value=None, taken_by="a")
        write(storage, make_unit(make_run(seq=1, signals=1), signals=[taken]))
        assert signals(storage) == [taken]

    def test_what_is_new_of_the_signals_is_read(self, storage: Storage) -> None:
        """Those that came, or were taken, after a revision."""
        run = make_run(seq=3, signals=2)
        write(storage, make_unit(run, signals=[make_signal(1), make_signal(2)]))
        run = following(run, signals=3)
        write(storage, make_unit(run, signals=[make_signal(3)]))
        run = following(run)
        write(storage, make_unit(run, taken=[(1, "a")]))
        taken = make_signal(1, value=None, taken_by="a")
        assert signals(storage, since=1) == [taken, make_signal(3)]
        assert signals(storage, since=2) == [taken]
        assert signals(storage, since=3) == []

    def test_a_claim_is_told_of_signals(self, storage: Storage) -> None:
        """What a grant decides on is the whole run."""
        write(storage, new_run("run", make_phase("a"), signals=1), new_run("other", make_phase("a")))
        write(storage, make_unit(make_run(revision=2, seq=1, signals=1), signals=[make_signal(1)]))
        take = Take()
        ask(storage, take)
        assert {rows.run.id: list(rows.signals) for rows, _ in take.asked} == {
            "run": [make_signal(1)],
            "other": [],
        }

    def test_an_id_is_received_once(self, storage: Storage) -> None:
        """The storage is the last to refuse it; other runs may have the same, and many signals have none."""
        run = make_run(seq=3, signals=2)
        write(storage, make_unit(run, signals=[make_signal(1, id="x"), make_signal(2), make_signal(3)]))
        write(storage, make_unit(make_run("other", signals=1), signals=[make_signal(1, id="x")]))
        again = make_unit(following(run, signals=4), signals=[make_signal(4, id="x")])
        assert storage.commit([again]) == [FENCED]
        assert [signal.seq for signal in signals(storage)] == [1, 2, 3]

    def test_signals_keep_to_their_namespace(self, storage: Storage) -> None:
        """Equal ids elsewhere are other runs."""
        for number, space in enumerate(("one", "two")):
            run = make_run(namespace=space, signals=1)
            write(storage, make_unit(run, signals=[make_signal(1, value=str(number), id="x")]))
        assert [signals(storage, namespace=space)[0].value for space in ("one", "two")] == ["0", "1"]

    # ------------------------------------------------------------------ waits
    def test_a_wait_is_due_when_its_time_has_come(self, storage: Storage) -> None:
        """To the microsecond; until then it is told when that will be."""
        timer: dict[str, Any] = {"wait_kind": WaitKind.TIMER}
        write(
            storage,
            new_run("run", make_wait("a", NOW), make_wait("b", NOW + SECOND, **timer), make_wait("c", None)),
        )
        assert due_at(storage, NOW - NOW.resolution) == ([], NOW)
        assert due_at(storage) == ([DueWait("run", "a", NOW)], NOW + SECOND)
        late = [DueWait("run", "a", NOW), DueWait("run", "b", NOW + SECOND)]
        assert due_at(storage, NOW + SECOND) == (late, None)

    def test_what_is_due_first_comes_first(self, storage: Storage) -> None:
        """As many as are asked for; then nothing is said of the next."""
        write(storage, new_run("x", *(make_wait(f"p{n}", NOW - n * SECOND) for n in range(5))))
        write(storage, new_run("y", make_wait("p", NOW - 2 * SECOND)))
        found, following_due = due_at(storage, limit=4)
        assert [(wait.run_id, wait.path) for wait in found] == [
            ("x", "p4"),
            ("x", "p3"),
            ("x", "p2"),
            ("y", "p"),
        ]
        assert following_due is None

    def test_only_what_runs_is_due(self, storage: Storage) -> None:
        """A wait that has ended keeps its time in its row, and a lease is no wait."""
        ended = [
            replace(make_wait(str(state)), state=state, live=False, ended_at=NOW, decided=1)
            for state in (PhaseState.COMPLETED, PhaseState.SKIPPED)
        ]
        write(storage, new_run("run", make_phase("held", PhaseState.RUNNING), make_phase("waits"), *ended))
        assert due_at(storage) == ([], None)

    @pytest.mark.parametrize("state", [RunState.PAUSED, RunState.CANCELLED, RunState.ROLLING_BACK])
    def test_a_run_that_stands_has_no_due_waits(self, storage: Storage, state: RunState) -> None:
        """Once it goes on, what fell due meanwhile is due."""
        write(storage, new_run("run", make_wait("a"), state=state.value), new_run("other", make_wait("a")))
        assert due_at(storage) == ([DueWait("other", "a", NOW)], None)
        write(storage, make_unit(make_run(revision=2, state="WAITING"), amended=True))
        assert [wait.run_id for wait in due_at(storage)[0]] == ["other", "run"]

    def test_waits_of_unknown_plans_are_left_alone(self, storage: Storage) -> None:
        """Whoever finds them could not carry them on."""
        write(storage, *(new_run(name, make_wait("a"), fingerprint=name) for name in ("x", "y")))
        assert due_at(storage, plans=("y", "z")) == ([DueWait("y", "a", NOW)], None)
        assert due_at(storage, plans=()) == ([], None)

    def test_due_waits_keep_to_their_namespace(self, storage: Storage) -> None:
        """What is due elsewhere is not ours."""
        write(storage, new_run("run", make_wait("a"), namespace="one"))
        assert due_at(storage, namespace="two") == ([], None)
        assert due_at(storage, namespace="one") == ([DueWait("run", "a", NOW)], None)

    def test_a_wait_is_claimed_by_nobody_and_lost_by_nobody(self, storage: Storage) -> None:
        """It needs no worker: no lease of it can run out."""
        write(storage, new_run("run", make_wait("a")))
        take = Take()
        assert (ask(storage, take).next_due, take.paths) == (None, [])
        assert list(storage.lost(NAMESPACE, NOW + 9 * SECOND, ["w-1"], [of_plan(FINGERPRINT)], PLENTY)) == []
        assert not storage.renew(NAMESPACE, "w-1", NOW, NOW + SECOND)

    def test_the_storages_own_clock_judges_unless_it_is_given_one(self, storage: Storage) -> None:
        """Without a moment, what lay in the past is due, and what lies far ahead is not."""
        past, future = storage.now() - SECOND, storage.now() + 3_600 * SECOND
        write(storage, new_run("run", make_wait("a", past), make_wait("b", future)))
        found = storage.due(NAMESPACE, None, [of_plan(FINGERPRINT)], PLENTY)
        assert DueWaits(list(found.waits), found.next_due) == DueWaits([DueWait("run", "a", past)], future)
