"""``places`` and ``phases``: a run with very many phases, looked at without reading all of them."""

from __future__ import annotations

import msgspec

from phaseline.abc import Storage
from phaseline.places import Place
from phaseline.rows import PhaseRecord, PhaseState
from phaseline.testing.storage.base import StorageTests, write
from phaseline.testing.storage.build import (
    ERROR,
    NAMESPACE,
    NOW,
    SECOND,
    make_phase,
    make_run,
    make_unit,
    new_run,
    paths_of,
)

COMPLETED, FAILED, PENDING = PhaseState.COMPLETED, PhaseState.FAILED, PhaseState.PENDING


def done(path: str, position: int, began: int, ended: int) -> PhaseRecord:
    """A phase that completed."""
    return make_phase(
        path, COMPLETED, position=position, started_at=NOW + began * SECOND, ended_at=NOW + ended * SECOND
    )


SPLIT = done("split", 0, 0, 2)
PICKED = [done("pick[1]", 1, 3, 9), done("pick[0]", 2, 4, 5), done("pick[10]", 3, 5, 6)]
INSIDE = [
    done("sort[0]/in[7]", 4, 3, 4),
    make_phase("sort[1]/in[7]", FAILED, position=5, started_at=NOW + SECOND, ended_at=NOW + 8 * SECOND, error=ERROR),
    make_phase("sort[1]/in[8]", PENDING, position=6),
]  # fmt: skip
STORE = make_phase("store", PENDING, position=7)
ALL = [SPLIT, *PICKED, *INSIDE, STORE]


class Places(StorageTests):
    """Phases are folded, and read page by page."""

    def test_phases_are_folded_by_their_place(self, storage: Storage) -> None:
        """In the order in which they came up: with counts, and when the first began and the last ended, if all have."""
        write(storage, new_run("run", *ALL), new_run("other", make_phase("pick[0]")))
        assert list(storage.places(NAMESPACE, "run")) == [
            Place(path="split", states={COMPLETED: 1}, phase=SPLIT, started_at=NOW, ended_at=NOW + 2 * SECOND),
            Place(path="pick[]", states={COMPLETED: 3}, phase=None, started_at=NOW + 3 * SECOND, ended_at=NOW + 9 * SECOND),
            Place(
                path="sort[]/in[]", states={COMPLETED: 1, FAILED: 1, PENDING: 1}, phase=None,
                started_at=NOW + SECOND, ended_at=None,
            ),
            Place(path="store", states={PENDING: 1}, phase=STORE, started_at=None, ended_at=None),
        ]  # fmt: skip

    def test_phases_are_read_page_by_page(self, storage: Storage) -> None:
        """In the order in which they came up, from behind a position on."""
        write(storage, new_run("run", *ALL), new_run("other", make_phase("pick[0]")))
        first = storage.phases(NAMESPACE, "run", limit=5)
        assert list(first) == ALL[:5]
        assert list(storage.phases(NAMESPACE, "run", after=first[-1].position, limit=5)) == ALL[5:]
        assert list(storage.phases(NAMESPACE, "run", after=7, limit=5)) == []

    def test_phases_are_read_of_a_place_and_in_states(self, storage: Storage) -> None:
        """Of items of items too; a place that is none has none."""
        write(storage, new_run("run", *ALL))

        def found(place: str | None, *states: PhaseState, after: int = -1) -> list[str]:
            return paths_of(
                storage.phases(NAMESPACE, "run", place=place, states=states or None, after=after, limit=9)
            )

        assert found("pick[]") == ["pick[1]", "pick[0]", "pick[10]"]
        assert found("pick[]", after=2) == ["pick[10]"]
        assert found("split") == ["split"]
        assert found("sort[]/in[]", FAILED, PENDING) == ["sort[1]/in[7]", "sort[1]/in[8]"]
        assert found(None, PENDING) == ["sort[1]/in[8]", "store"]
        assert found("pick[0]") + found("sort[1]/in[8]") == ["pick[0]", "sort[1]/in[8]"]  # one of them
        assert (
            found("sort[]") + found("pick") + found("sort[]/in[8]") + found("pick[%]") + found("nowhere")
            == []
        )

    def test_what_is_gone_is_left_out(self, storage: Storage) -> None:
        """What came up anew counts once; of a run that is not there nothing is found."""
        write(storage, new_run("run", *ALL))
        dropped = [
            (msgspec.structs.replace(row, gone_in_epoch=1, generation=1), row.fence)
            for row in (SPLIT, *PICKED)
        ]
        anew = make_phase("split", position=8, epoch=1, generation=1)
        write(storage, make_unit(make_run(revision=2, epoch=1), dropped=dropped, inserted=[anew]))
        left = ["sort[]/in[]", "store", "split"]
        assert left == [place.path for place in storage.places(NAMESPACE, "run")]
        assert anew == storage.places(NAMESPACE, "run")[-1].phase
        assert [*paths_of(INSIDE), "store", "split"] == paths_of(storage.phases(NAMESPACE, "run", limit=9))
        assert [*storage.places(NAMESPACE, "none"), *storage.phases(NAMESPACE, "none", limit=9)] == []
        assert [*storage.places("else", "run"), *storage.phases("else", "run", limit=9)] == []
