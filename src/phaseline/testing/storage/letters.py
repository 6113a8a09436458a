"""Dead letters: written and removed with the run's row, found in the order in which they were written."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from phaseline.abc import Storage
from phaseline.dead_letter import EVERY_LETTER, DeadLetter, LetterFilter, LetterKey
from phaseline.rows import ErrorCategory, RunState
from phaseline.run_filter import EVERY_RUN
from phaseline.testing.storage.base import COMMITTED, PLENTY, STALE, StorageTests, write
from phaseline.testing.storage.build import (
    ERROR,
    NAMESPACE,
    NOW,
    SECOND,
    dead_run,
    following,
    make_letter,
    make_run,
    make_unit,
)

FAILED = RunState.FAILED.value
SYSTEM = replace(ERROR, category=ErrorCategory.SYSTEM, phase=None, traceback=None)


def letters(storage: Storage, wanted: LetterFilter = EVERY_LETTER, **options: Any) -> list[str]:
    """Find letters, and give the ids of their runs."""
    given: dict[str, Any] = {"limit": PLENTY, **options}
    found = storage.letters(NAMESPACE, wanted, **given)
    return [letter.run_id for letter in found]


def numbers(storage: Storage, namespace: str = NAMESPACE) -> list[int]:
    """Find all letters, and give the numbers of their events."""
    return [letter.seq for letter in storage.letters(namespace, limit=PLENTY)]


class Letters(StorageTests):
    """``Unit.letter``, ``Unit.letter_removed`` and ``letters``."""

    def test_every_field_of_a_letter_reads_back(self, storage: Storage) -> None:
        """Also those that may be missing."""
        full = make_letter(
            "a", pipeline="other", seq=7, phase="x/y[3]", attempts=9, crashes=2, input="x/z", at=NOW + SECOND
        )
        bare = make_letter("b", phase=None, error=SYSTEM, attempts=0, input=None, at=NOW + 2 * SECOND)
        for letter in (full, bare):
            run = make_run(letter.run_id, state=FAILED, letter=letter.seq)
            write(storage, make_unit(run, letter=letter))
        assert list(storage.letters(NAMESPACE, limit=PLENTY)) == [full, bare]

    def test_a_letter_comes_and_goes_with_its_run(self, storage: Storage) -> None:
        """It is there after the commit that names it, gone after the one that removes it, and another one may come."""
        run = make_run()
        write(storage, make_unit(run))
        failed = following(run, state=FAILED, error=ERROR, ended_at=NOW, letter=3)
        write(storage, make_unit(failed, letter=make_letter(seq=3)))
        assert numbers(storage) == [3]
        again = following(failed, state=RunState.IDLE.value, error=None, ended_at=None, letter=None)
        write(storage, make_unit(again, letter_removed=True))
        assert numbers(storage) == []
        failed = following(again, state=FAILED, error=ERROR, ended_at=NOW, letter=9)
        write(storage, make_unit(failed, letter=make_letter(seq=9, at=NOW + SECOND)))
        assert numbers(storage) == [9]

    def test_a_letter_may_take_the_place_of_another(self, storage: Storage) -> None:
        """In one unit: the new one stays."""
        write(storage, dead_run(seq=3))
        run = following(make_run(state=FAILED), letter=5)
        write(storage, make_unit(run, letter=make_letter(seq=5), letter_removed=True))
        assert numbers(storage) == [5]

    def test_a_unit_that_is_stale_writes_and_removes_none(self, storage: Storage) -> None:
        """As all that is in it."""
        write(storage, dead_run("dead"), make_unit(make_run("run")))
        late = make_unit(make_run("dead", revision=9, state=FAILED), letter_removed=True)
        new = make_unit(make_run("run", revision=9, state=FAILED, letter=1), letter=make_letter("run"))
        assert storage.commit([late, new]) == [STALE, STALE]
        assert letters(storage) == ["dead"]

    def test_letters_come_in_the_order_in_which_they_were_written(self, storage: Storage) -> None:
        """Those of one moment by the ids of their runs; pages go on behind a key, either way."""
        for name, seconds in (("d", 0), ("c", 1), ("a", 2), ("b", 1)):
            write(storage, dead_run(name, at=NOW + seconds * SECOND))
        assert letters(storage) == ["d", "b", "c", "a"]
        assert letters(storage, newest_first=True) == ["a", "c", "b", "d"]
        for newest_first in (False, True):
            walked: list[str] = []
            after: LetterKey | None = None
            while page := storage.letters(NAMESPACE, after=after, limit=2, newest_first=newest_first):
                walked += [letter.run_id for letter in page]
                after = page[-1].key
            assert walked == letters(storage, newest_first=newest_first)

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            (LetterFilter(pipelines=frozenset({"p", "q"})), ["a", "b"]),
            (LetterFilter(pipelines=frozenset()), []),
            (LetterFilter(categories=frozenset({"SYSTEM"})), ["b"]),
            (LetterFilter(categories=frozenset({"SYSTEM", "TIMEOUT"}), pipelines=frozenset({"r"})), ["c"]),
            (LetterFilter(phase="x"), ["a"]),
            (LetterFilter(since=NOW + SECOND), ["b", "c"]),
            (LetterFilter(until=NOW + SECOND), ["a"]),
            (LetterFilter(since=NOW + SECOND, until=NOW + 2 * SECOND), ["b"]),
        ],
    )
    def test_letters_that_are_wanted_are_found(
        self, storage: Storage, wanted: LetterFilter, expected: list[str]
    ) -> None:
        """By pipeline, category, phase and time."""
        given: list[DeadLetter] = [
            make_letter("a", pipeline="p", phase="x"),
            make_letter("b", pipeline="q", error=SYSTEM, at=NOW + SECOND),
            make_letter("c", pipeline="r", phase=None, at=NOW + 2 * SECOND),
        ]
        for letter in given:
            run = make_run(letter.run_id, state=FAILED, letter=1, pipeline=letter.pipeline)
            write(storage, make_unit(run, letter=letter))
        assert letters(storage, wanted) == expected
        assert [letter.run_id for letter in given if wanted.matches(letter)] == expected

    def test_letters_keep_to_their_namespace(self, storage: Storage) -> None:
        """Equal ids elsewhere are other runs."""
        write(storage, dead_run("run", namespace="one"), dead_run("run", namespace="two", seq=5))
        assert [numbers(storage), numbers(storage, "one"), numbers(storage, "two")] == [[], [1], [5]]

    def test_a_purged_run_takes_its_letter_with_it(self, storage: Storage) -> None:
        """And nobody else's."""
        older = NOW - timedelta(days=1)
        write(storage, dead_run("a"), dead_run("b", at=older), dead_run("a", namespace="else"))
        assert list(storage.purge(NAMESPACE, EVERY_RUN, 1)) == ["a"]
        assert (letters(storage), numbers(storage, "else")) == (["b"], [1])
        assert storage.commit([dead_run("a")]) == [COMMITTED]
        assert letters(storage) == ["b", "a"]
