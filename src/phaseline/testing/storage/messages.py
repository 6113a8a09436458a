"""Runs that start runs, and what they tell each other: written with what it tells of, and there until it is heard."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from phaseline.abc import Storage
from phaseline.rows import PhaseState, RunState, WaitKind
from phaseline.run_filter import EVERY_RUN
from phaseline.testing.storage.base import (
    PLENTY,
    MakeStorage,
    StorageTests,
    at_once,
    everything,
    read,
    write,
)
from phaseline.testing.storage.build import (
    DEFINITION,
    NAMESPACE,
    following,
    make_message,
    make_phase,
    make_run,
    make_unit,
    make_wait,
    new_run,
    of_plan,
)
from phaseline.unit_of_work import Message, MessageKind, Outcome, Unit


def unheard(storage: Storage, *plans: str, limit: int = PLENTY, namespace: str = NAMESPACE) -> set[Message]:
    """Read the messages to runs of these plans, by default of the usual one."""
    definitions = list(map(of_plan, plans)) or [DEFINITION]
    found = storage.messages(namespace, definitions, limit)
    assert len(found) == len(set(found))
    return set(found)


def starting(child: Unit, **fields: object) -> Unit:
    """Make the unit by which the phase of a stored run comes to wait for a run that it starts."""
    waiting = make_wait("a", None, wait_kind=WaitKind.CHILD, wait_key=child.run.id, fence=2)
    return make_unit(
        replace(make_run(revision=2), **fields), expected=1, updated=[(waiting, 1)], begins=[child]
    )


CHILD = new_run(
    "child", make_phase("b"), parent_id="run", parent_path="a", parent_generation=0, marks=("#urgent",)
)


class Messages(StorageTests):
    """What a unit has of other runs."""

    def test_a_run_is_stored_with_the_unit_that_starts_it(self, storage: Storage) -> None:
        """With its input, phases and marks, and all that it tells others in turn."""
        told = make_message("child", "run")
        child = replace(CHILD, messages=[told])
        write(storage, new_run("run", make_phase("a", PhaseState.RUNNING)))
        write(storage, starting(child))
        assert read(storage, "child") == (CHILD.run, list(CHILD.inserted))
        assert dict(storage.values(NAMESPACE, "child", [""])) == {"": child.input}
        assert read(storage)[1][0].wait_key == "child"
        assert [run.id for run in storage.find(NAMESPACE, limit=PLENTY)] == ["child", "run"]
        assert unheard(storage) == {told}

    @pytest.mark.parametrize(("revision", "outcome"), [(3, Outcome.STALE), (2, Outcome.FENCED)])
    def test_it_is_not_stored_without_it(self, storage: Storage, revision: int, outcome: Outcome) -> None:
        """Nor are its messages, where the unit is stale or fenced; others of the batch are written all the same."""
        other = new_run("other", make_phase("a"))
        write(storage, new_run("run", make_phase("a", PhaseState.RUNNING, fence=7)))
        before = everything(storage, "run", ["a"])
        unit = replace(starting(CHILD), expected=revision - 1, messages=[make_message("run", "other")])
        assert storage.commit([unit, other]) == [outcome, Outcome.COMMITTED]
        assert everything(storage, "run", ["a"]) == before
        assert storage.head(NAMESPACE, "child") is None
        assert unheard(storage) == set()

    def test_what_a_batch_starts_stands_beside_its_units(self, storage: Storage) -> None:
        """Several runs that each start one, and one that starts several."""
        children = [
            new_run(f"c{n}", make_phase("b"), parent_id="run", parent_path="a", parent_generation=0)
            for n in range(4)
        ]
        write(storage, *(replace(new_run(f"r{n}"), begins=children[n : n + 1]) for n in range(2)))
        write(storage, replace(new_run("run"), begins=children[2:]))
        ids = [run.id for run in storage.find(NAMESPACE, limit=PLENTY)]
        assert ids == ["c0", "c1", "c2", "c3", "r0", "r1", "run"]

    def test_messages_are_there_until_they_are_heard(self, storage: Storage) -> None:
        """Each kind; to hear one twice does no harm."""
        told = [make_message(kind=kind) for kind in MessageKind] + [make_message(seq=2)]
        write(storage, make_unit(make_run(), messages=told[:2]))
        write(storage, make_unit(make_run("child"), messages=told[2:]))
        assert unheard(storage) == set(told)
        storage.heard(NAMESPACE, told[:3])
        assert unheard(storage) == {told[3]}
        storage.heard(NAMESPACE, told)
        assert unheard(storage) == set()

    def test_messages_are_read_by_who_knows_whom_they_are_for(self, storage: Storage) -> None:
        """Those to runs of other definitions, of other namespaces, and to nobody are left out; no more than asked for."""
        to_run, to_other = make_message(), make_message(run_id="other")
        write(storage, make_unit(make_run(), messages=[to_run, to_other, make_message(run_id="nobody")]))
        write(storage, new_run("other", fingerprint="plan-2"))
        assert (unheard(storage), unheard(storage, "plan-2")) == ({to_run}, {to_other})
        assert unheard(storage, "plan-1", "plan-2") == {to_run, to_other}
        assert len(unheard(storage, "plan-1", "plan-2", limit=1)) == 1
        assert unheard(storage, namespace="elsewhere") == set()
        assert list(storage.messages(NAMESPACE, [], PLENTY)) == []

    def test_who_has_told_something_is_not_purged_before_it_is_heard(self, storage: Storage) -> None:
        """Whoever hears it reads the run; what was told to a run goes with that."""
        ended = RunState.COMPLETED.value
        told, to_gone = make_message("child", "run"), make_message("run", "gone")
        write(storage, make_unit(make_run(), messages=[to_gone]))
        write(
            storage, make_unit(make_run("child", state=ended), messages=[told]), new_run("gone", state=ended)
        )
        assert list(storage.purge(NAMESPACE, EVERY_RUN, PLENTY)) == ["gone"]
        assert storage.purge(NAMESPACE, EVERY_RUN, 1) == []
        storage.heard(NAMESPACE, [told])
        assert list(storage.purge(NAMESPACE, EVERY_RUN, PLENTY)) == ["child"]
        write(storage, new_run("gone"))
        assert unheard(storage) == set()

    def test_who_has_told_nobody_something_is_purged(self, storage: Storage) -> None:
        """Whom it was told was purged before, and will not hear it."""
        told = make_message("child", "run")
        write(storage, make_unit(make_run("child", state=RunState.COMPLETED.value), messages=[told]))
        assert list(storage.purge(NAMESPACE, EVERY_RUN, PLENTY)) == ["child"]
        write(storage, new_run())
        assert unheard(storage) == set()

    def test_several_may_hear_at_once(self, open_storage: MakeStorage) -> None:
        """Beside those who write; in the end all is heard."""
        storages = [open_storage() for _ in range(3)] if open_storage().shared else [open_storage()] * 3
        first = storages[0]
        told = [make_message(seq=seq) for seq in range(1, 21)]
        write(first, make_unit(make_run(), messages=told))

        def hear(storage: Storage) -> None:
            for message in told:
                storage.heard(NAMESPACE, [message])

        def move_on(storage: Storage) -> None:
            run = make_run()
            for _ in told:
                run = following(run)
                write(storage, make_unit(run))

        at_once(first, lambda: hear(storages[0]), lambda: hear(storages[1]), lambda: move_on(storages[2]))
        assert unheard(first) == set()
