"""What the parts of the contract share: the fixtures, and short ways of asking."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime
from threading import Barrier
from typing import TypeVar

import pytest

from phaseline.abc import Claimed, ClaimRequest, Grant, Storage
from phaseline.rows import Definition, PhaseRecord, RunRecord
from phaseline.testing.storage.build import DEFINITION, NAMESPACE, NOW
from phaseline.unit_of_work import Outcome, Unit

T = TypeVar("T")
MakeStorage = Callable[[], Storage]

COMMITTED, STALE, FENCED = Outcome.COMMITTED, Outcome.STALE, Outcome.FENCED
PLENTY = 1_000


class StorageTests:
    """Fixtures of the contract."""

    @pytest.fixture
    def make_storage(self) -> MakeStorage:
        """Give what makes a storage; to be overridden.

        It is empty when a test begins, and not yet opened. Each call makes another storage; those of a storage that
        is ``shared`` open the same place.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no fixture 'make_storage'; "
            "write one that returns a function which makes a storage"
        )

    @pytest.fixture
    def open_storage(self, make_storage: MakeStorage) -> Generator[MakeStorage]:
        """Give what makes and opens a storage; it is closed when the test is over."""
        with ExitStack() as stack:

            def opened() -> Storage:
                storage = make_storage()
                stack.callback(storage.close)
                storage.open()
                return storage

            yield opened

    @pytest.fixture
    def storage(self, open_storage: MakeStorage) -> Storage:
        """An empty storage, open."""
        return open_storage()


def write(storage: Storage, *units: Unit) -> None:
    """Commit units that must all be taken."""
    assert storage.commit(units) == [COMMITTED] * len(units)


def read(
    storage: Storage, run_id: str = "run", namespace: str = NAMESPACE
) -> tuple[RunRecord, list[PhaseRecord]]:
    """Load a run that must be there."""
    rows = storage.load(namespace, run_id)
    assert rows is not None
    return rows.run, list(rows.phases)


def everything(storage: Storage, run_id: str, paths: Sequence[str], namespace: str = NAMESPACE) -> object:
    """Read all there is to read of a run, to be compared with what was there before."""
    rows = storage.load(namespace, run_id)
    return (
        None if rows is None else (rows.run, list(rows.phases), list(rows.signals)),
        dict(storage.values(namespace, run_id, ["", *paths])),
        list(storage.events(namespace, run_id, 0, PLENTY)),
        list(storage.checkpoints(namespace, run_id)),
        [dict(storage.steps(namespace, run_id, path, generation)) for path in paths for generation in (0, 1)],
    )


def ask(
    storage: Storage,
    grant: Grant,
    *,
    limit: int = PLENTY,
    now: datetime = NOW,
    namespace: str = NAMESPACE,
    queues: frozenset[str] | None = None,
    definitions: frozenset[Definition] = frozenset({DEFINITION}),
    quarantined: frozenset[str] = frozenset(),
) -> Claimed:
    """Claim with the usual request."""
    request = ClaimRequest(namespace, queues, definitions, limit, now, quarantined=quarantined)
    return storage.claim(request, grant)


def at_once(storage: Storage, *works: Callable[[], T]) -> list[T]:
    """Do works at the same time, each in a thread; one after another where the storage keeps to one thread."""
    if not storage.blocking:
        return [work() for work in works]
    start = Barrier(len(works))

    def begin(work: Callable[[], T]) -> T:
        start.wait()
        return work()

    with ThreadPoolExecutor(len(works)) as threads:
        return list(threads.map(begin, works))
