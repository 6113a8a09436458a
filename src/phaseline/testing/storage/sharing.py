"""Opening and closing, and several who use one storage at the same time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial, reduce
from itertools import chain

from msgspec.structs import replace

from phaseline.abc import Nudge, Storage
from phaseline.events import Emitted
from phaseline.rows import PhaseState
from phaseline.testing.storage.base import (
    PLENTY,
    STALE,
    MakeStorage,
    StorageTests,
    ask,
    at_once,
    read,
    write,
)
from phaseline.testing.storage.build import (
    LEASE,
    NAMESPACE,
    NOW,
    Take,
    following,
    make_phase,
    make_run,
    make_unit,
    new_run,
)
from phaseline.testing.storage.leases import make_worker
from phaseline.unit_of_work import Outcome

WORKERS = 2
"""Threads that use a storage at the same time, each with one of its own where it is shared."""
ROUNDS = 25
PATIENCE = 10.0
"""Seconds in which a nudge must arrive."""


class Sharing(StorageTests):
    """One storage, many users. A storage that is not ``shared`` is used by all of them itself."""

    # ------------------------------------------------------------------ open and close
    def test_another_sees_what_was_committed_if_the_storage_is_shared(
        self, open_storage: MakeStorage
    ) -> None:
        """What one commits, the next reads; a storage that is not shared holds its own."""
        one, two = open_storage(), open_storage()
        write(one, new_run("run", make_phase("a")))
        assert (two.load(NAMESPACE, "run") is not None) == one.shared
        ask(two, Take())
        assert read(one)[0].revision == (2 if one.shared else 1)

    def test_what_was_committed_outlives_the_storage_if_it_is_shared(self, make_storage: MakeStorage) -> None:
        """It is there when the next process opens it."""
        first = make_storage()
        first.open()
        unit = new_run("run", make_phase("a"))
        write(first, unit)
        first.close()
        second = make_storage()
        second.open()
        try:
            assert second.head(NAMESPACE, "run") == (unit.run if second.shared else None)
        finally:
            second.close()

    def test_closing_is_always_allowed(self, make_storage: MakeStorage) -> None:
        """Before opening, after it, and twice."""
        storage = make_storage()
        storage.close()
        storage.open()
        storage.close()
        storage.close()

    def test_one_that_was_closed_can_be_opened_again(self, make_storage: MakeStorage) -> None:
        """It works as before, and if it is shared it shows what is there."""
        storage = make_storage()
        storage.open()
        write(storage, new_run("run"))
        storage.close()
        storage.open()
        try:
            write(storage, new_run("other"))
            assert storage.head(NAMESPACE, "other") == make_run("other")
            assert storage.head(NAMESPACE, "run") == make_run() or not storage.shared
        finally:
            storage.close()

    def test_an_empty_one_is_opened_by_several_at_once(self, make_storage: MakeStorage) -> None:
        """As processes of one application start together: each finds the tables made, once."""
        storages = [make_storage() for _ in range(4)]

        def begin(storage: Storage) -> list[Outcome]:
            storage.open()
            return storage.commit([new_run(f"run-{storages.index(storage)}")])

        try:
            outcomes = at_once(storages[0], *(partial(begin, storage) for storage in storages))
        finally:
            for storage in storages:
                storage.close()
        assert outcomes == [[Outcome.COMMITTED]] * len(storages)

    # ------------------------------------------------------------------ nudges
    def test_a_nudge_reaches_others_if_the_storage_has_nudges(self, open_storage: MakeStorage) -> None:
        """Those of the namespace, until they stop listening; where there are none it does nothing."""
        one, two = open_storage(), open_storage()
        heard: dict[str, list[Nudge]] = {"ours": [], "theirs": []}
        stops = [two.listen(NAMESPACE, heard["ours"].append), two.listen("theirs", heard["theirs"].append)]
        work = Nudge(queues=frozenset({"a", "größe"}))

        def is_heard() -> bool:
            one.nudge(NAMESPACE, work)  # again and again: who listens may not be connected yet
            return bool(heard["ours"]) or not one.nudges

        until(is_heard)
        ends = Nudge(
            runs=frozenset(f"run-{n}" for n in range(1_000)),
            awaited_by=frozenset({"somebody"}),
            workers=frozenset({"w-1"}),
        )
        one.nudge(NAMESPACE, ends)
        until(lambda: not one.nudges or joined(heard["ours"]) == work.joined(ends))
        assert heard["theirs"] == []
        for stop in stops:
            stop()
            stop()

    # ------------------------------------------------------------------ at the same time
    def test_each_row_is_granted_once(self, open_storage: MakeStorage) -> None:
        """Workers that claim at the same time never get the same phase, and leave none."""
        users = several(open_storage)
        paths = [f"p{n}" for n in range(5)]
        runs = [f"run-{n:02}" for n in range(30)]
        write(users[0], *(new_run(run_id, *map(make_phase, paths)) for run_id in runs))

        def take_all(number: int) -> list[tuple[str, str]]:
            take = Take(f"w-{number}")
            while ask(users[number], take, limit=7).waiting is not None:
                pass
            return take.paths

        granted = at_once(users[0], *(partial(take_all, number) for number in range(WORKERS)))
        assert sorted(chain(*granted)) == [(run_id, path) for run_id in runs for path in paths]
        for number, mine in enumerate(granted):
            for run_id, path in mine:
                (row,) = [row for row in read(users[0], run_id)[1] if row.path == path]
                assert (row.worker, row.fence, row.attempt) == (f"w-{number}", 1, 1)

    def test_no_commit_is_lost(self, open_storage: MakeStorage) -> None:
        """Of units that were decided on one revision one is committed; who tries again gets through."""
        users = several(open_storage)
        write(users[0], new_run("run"))

        def count_up(storage: Storage) -> int:
            refused = 0
            for _ in range(ROUNDS):
                while True:
                    run = following(read(storage)[0])
                    event = Emitted(
                        run_id="run", pipeline="pipeline", seq=run.seq + 1, at=NOW, name="E", payload={}
                    )
                    (outcome,) = storage.commit([make_unit(replace(run, seq=run.seq + 1), events=[event])])
                    if outcome is Outcome.COMMITTED:
                        break
                    assert outcome is STALE
                    refused += 1
            return refused

        at_once(users[0], *(partial(count_up, storage) for storage in users))
        total = WORKERS * ROUNDS
        run, _ = read(users[0])
        assert (run.revision, run.seq) == (total + 1, total)
        assert [event.seq for event in users[0].events(NAMESPACE, "run", 0, PLENTY)] == list(
            range(1, total + 1)
        )

    def test_one_of_two_inserts_a_run(self, open_storage: MakeStorage) -> None:
        """Two processes that start the same run store it once."""
        users = several(open_storage)
        units = [new_run(f"run-{n}") for n in range(ROUNDS)]

        def insert(storage: Storage) -> list[Outcome]:
            return [storage.commit([unit])[0] for unit in units]

        outcomes = at_once(users[0], *(partial(insert, storage) for storage in users))
        for pair in zip(*outcomes, strict=True):
            assert sorted(outcome.value for outcome in pair) == ["committed", "stale"]

    def test_no_reader_sees_half_a_unit(self, open_storage: MakeStorage) -> None:
        """Whoever loads a run while it is written gets its rows of one revision."""
        storage = open_storage()
        paths = [f"p{n}" for n in range(20)]
        write(storage, new_run("run", *(make_phase(path, attempt=1) for path in paths)))

        def write_on() -> None:
            for revision in range(2, ROUNDS + 2):
                updated = [
                    (make_phase(path, attempt=revision, fence=revision), revision - 1) for path in paths
                ]
                first = [(row, 0 if revision == 2 else fence) for row, fence in updated]  # noqa: PLR2004  # the rows began without a fence
                write(storage, make_unit(make_run(revision=revision), updated=first))

        def look() -> None:
            revision = 0
            while revision <= ROUNDS:
                run, rows = read(storage)
                assert [row.attempt for row in rows] == [run.revision] * len(paths)
                assert run.revision >= revision
                revision = run.revision

        at_once(storage, write_on, look)

    def test_leases_are_renewed_while_others_write(self, open_storage: MakeStorage) -> None:
        """``renew`` comes from a thread of its own, and neither waits for commits nor disturbs them."""
        storage = open_storage()
        write(storage, new_run("held", make_phase("a", PhaseState.RUNNING)), new_run("run"))

        def renew() -> list[int]:
            rounds = range(1, ROUNDS + 1)
            return [len(storage.renew(NAMESPACE, "w-1", NOW, NOW + n * LEASE)) for n in rounds]

        def write_on() -> list[int]:
            for revision in range(2, ROUNDS + 2):
                write(storage, make_unit(make_run(revision=revision)))
            return []

        assert at_once(storage, renew, write_on)[0] == [1] * ROUNDS
        assert read(storage, "held")[1][0].lease_expires == NOW + ROUNDS * LEASE

    def test_workers_that_enlist_at_once_all_stand_on_the_list(self, open_storage: MakeStorage) -> None:
        """None overwrites another, and of any two at least the later one learns of the earlier."""
        users = several(open_storage)

        def enlist(number: int) -> set[str]:
            return {other.id for other in users[number].enlist(make_worker(f"w-{number}"))}

        seen = at_once(users[0], *(partial(enlist, number) for number in range(WORKERS)))
        assert sorted(len(names) for names in seen) == list(range(WORKERS))
        assert {w.id for w in users[0].enlist(make_worker("last"))} == {f"w-{n}" for n in range(WORKERS)}


def several(open_storage: MakeStorage) -> list[Storage]:
    """One storage for each of several users: instances of a shared one, or one that is used by all."""
    first = open_storage()
    return [first, *(open_storage() if first.shared else first for _ in range(WORKERS - 1))]


def until(test: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    deadline = time.monotonic() + PATIENCE
    while not test():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)


def joined(nudges: Sequence[Nudge]) -> Nudge:
    """All of them in one."""
    return reduce(Nudge.joined, nudges, Nudge())
