"""Rates: of the phases under one, no more are started in any span of time than it says, whoever claims them."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from functools import partial

from phaseline.abc import Claimed, Storage
from phaseline.limits import MOMENTS
from phaseline.rows import PhaseState
from phaseline.testing.storage.base import PLENTY, MakeStorage, StorageTests, ask, at_once, read, write
from phaseline.testing.storage.build import (
    NOW,
    SECOND,
    Take,
    decline,
    following,
    make_phase,
    make_unit,
    new_run,
)
from phaseline.testing.storage.concurrency import end, limited, many

SIZE, PER = 2, 10 * SECOND
RATE = f"{SIZE}/{PER // timedelta(microseconds=1)} key customer"
SLOW = "1/60000000 phase pipeline/a"


def claimed(storage: Storage, seconds: float = 0, limit: int = PLENTY) -> tuple[list[str], datetime | None]:
    """Claim so many seconds later; gives the runs of what was started, and when to look again."""
    take = Take()
    answer = ask(storage, take, limit=limit, now=NOW + seconds * SECOND)
    return [run_id for run_id, _ in take.paths], answer.next_due


class Rates(StorageTests):
    """What may be started in a time."""

    def test_no_more_are_started_than_the_rate_says(self, storage: Storage) -> None:
        """Each start counts for its time, to the microsecond; then as many more may be started as were then."""
        write(storage, *many(5, RATE))
        assert claimed(storage, limit=1) == (["run-000"], None)
        assert claimed(storage, 4) == (["run-001"], NOW + PER)
        just_before = 10 - SECOND.resolution / SECOND
        assert claimed(storage, just_before) == ([], NOW + PER)
        assert claimed(storage, 10) == (["run-002"], NOW + PER + 4 * SECOND)
        assert claimed(storage, 14) == (["run-003"], NOW + 2 * PER)
        assert claimed(storage, 99) == (["run-004"], None)

    def test_under_a_rate_of_many_a_start_counts_a_little_longer(self, storage: Storage) -> None:
        """By a small part of the time at most, so that few moments need be remembered; never more briefly."""
        size, begin = 300, 0.001
        write(storage, *many(size + 1, f"{size}/10000000 key customer"))
        started, due = claimed(storage, begin, limit=2 * size)
        exact = NOW + begin * SECOND + PER
        assert len(started) == size
        assert due is not None
        assert exact < due <= exact + PER / MOMENTS
        seconds = (due - NOW) / SECOND
        assert claimed(storage, seconds - SECOND.resolution / SECOND) == ([], due)
        assert claimed(storage, seconds)[0] == ["run-300"]

    def test_what_is_left_after_a_claim_is_told_when_it_may_start(self, storage: Storage) -> None:
        """Nobody looks again in vain before that, nor is it forgotten; of two spans the later one counts."""
        both = f"{RATE}\n{SLOW}"
        write(storage, new_run("a", limited(limits=both), limited("b", limits=both)))
        assert claimed(storage) == (["a"], NOW + 60 * SECOND)
        assert claimed(storage, 59) == ([], NOW + 60 * SECOND)
        assert claimed(storage, 60)[0] == ["a"]

    def test_what_comes_after_it_is_not_held_up(self, storage: Storage) -> None:
        """However much waits for its time, and however little is asked for."""
        write(
            storage, *many(70, RATE), new_run("z", make_phase("a", priority=900), limited("b", limits=SLOW))
        )
        assert claimed(storage, limit=4)[0] == ["run-000", "run-001", "z", "z"]

    def test_how_an_attempt_ends_makes_no_difference(self, storage: Storage) -> None:
        """It was started; to be tried again is to be started again."""
        write(storage, *many(3, RATE))
        assert len(claimed(storage)[0]) == SIZE
        end(storage, "run-000")
        end(storage, "run-001", state=PhaseState.RETRYING)
        assert claimed(storage, 1) == ([], NOW + PER)
        assert claimed(storage, 10)[0] == ["run-001", "run-002"]

    def test_what_is_not_granted_does_not_count(self, storage: Storage) -> None:
        """As where its worker had no room after all."""
        write(storage, *many(3, RATE))
        ask(storage, decline)
        assert len(claimed(storage)[0]) == SIZE

    def test_each_is_judged_by_the_rate_it_came_with(self, storage: Storage) -> None:
        """A rate that was changed counts all starts under its name, and lets the new ones in by the new number."""
        write(
            storage,
            new_run("a", limited(limits=RATE)),
            new_run("b", limited(limits="1/10000000 key customer")),
        )
        assert claimed(storage, limit=1)[0] == ["a"]
        assert claimed(storage) == ([], NOW + PER)
        assert claimed(storage, 10)[0] == ["b"]

    def test_two_rates_of_one_name_count_each_others_starts(self, storage: Storage) -> None:
        """Each start for as long as its own rate says, or that of others at the same moment; none has another one be forgotten."""
        brief = "9/1000000 key customer"
        write(storage, *many(3, RATE), new_run("brief-0", limited(limits=brief)))
        assert claimed(storage, limit=2)[0] == ["brief-0", "run-000"]
        write(storage, new_run("brief-1", limited(limits=brief)))
        assert claimed(storage, 3) == (["brief-1"], NOW + PER)
        assert claimed(storage, 5) == ([], NOW + PER)
        assert claimed(storage, 10)[0] == ["run-001", "run-002"]

    def test_with_a_limit_on_what_runs_at_once(self, storage: Storage) -> None:
        """Whichever is less; a slot that becomes free is no start that is forgotten."""
        write(storage, *many(4, f"1 key customer\n{RATE}"))
        assert claimed(storage) == (["run-000"], None)
        assert claimed(storage, 1) == ([], None)
        end(storage, "run-000")
        assert claimed(storage, 2)[0] == ["run-001"]
        end(storage, "run-001")
        assert claimed(storage, 3) == ([], NOW + PER)

    def test_a_run_that_stands_is_not_waited_for(self, storage: Storage) -> None:
        """No moment is told for what is not offered then either."""
        write(storage, *many(3, RATE))
        assert claimed(storage)[1] == NOW + PER
        run, _ = read(storage, "run-002")
        write(storage, make_unit(following(run, state="PAUSED")))
        assert claimed(storage, 1) == ([], None)

    def test_another_namespace_counts_by_itself(self, storage: Storage) -> None:
        """A name is one within its namespace."""
        for space in ("one", "two"):
            write(storage, *(new_run(f"r{n}", limited(limits=RATE), namespace=space) for n in range(3)))
            take = Take()
            ask(storage, take, namespace=space)
            assert len(take.paths) == SIZE

    def test_many_who_claim_at_once_start_no_more(self, open_storage: MakeStorage) -> None:
        """Each from a connection of its own, where the storage is shared."""
        one = open_storage()
        storages = [open_storage() for _ in range(3)] if one.shared else [one] * 3
        write(one, *many(9, RATE))
        started = Counter[int]()
        for second in range(0, 50, 5):
            works = [partial(_claim, storage, second) for storage in storages]
            started[second] += sum(len(answer.units) for answer in at_once(one, *works))
        assert started == {0: 2, 5: 0, 10: 2, 15: 0, 20: 2, 25: 0, 30: 2, 35: 0, 40: 1, 45: 0}

    def test_a_storage_that_is_opened_anew_remembers(self, open_storage: MakeStorage) -> None:
        """What was started by a process that is gone counts as well."""
        one = open_storage()
        another = open_storage() if one.shared else one
        write(one, *many(3, RATE))
        assert len(claimed(one)[0]) == SIZE
        assert claimed(another, 9) == ([], NOW + PER)


def _claim(storage: Storage, second: int) -> Claimed:
    return ask(storage, Take(), now=NOW + second * SECOND, limit=3)
