"""A storage in which what users and bodies gave is stored as a codec writes it: encrypted, say.

What is written passes the codec on its way in and what is read on its way out, at the port, so that neither the engine nor the
adapters know of it. Encoded are values (inputs, outputs, results of steps, what bodies saved, signals, inputs of schedules),
the payloads of an application's own events, and the words of errors and progress. Not encoded is what runs are found
by and told of: names, ids, keys, tags, attributes, kinds and categories of errors, reasons, times and numbers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import attrs
from msgspec.structs import replace

from phaseline._values.codec import same_json
from phaseline.abc import (
    Backlog,
    Claimed,
    ClaimRequest,
    DueRuns,
    DueWaits,
    Grant,
    HeldPhase,
    LateLevels,
    Nudge,
    Storage,
    Tally,
    Transaction,
    WorkerRecord,
)
from phaseline.dead_letter import EVERY_LETTER, DeadLetter, LetterFilter, LetterKey
from phaseline.errors import CodecError, StorageUnavailableError
from phaseline.events import Event
from phaseline.places import Place
from phaseline.rows import Checkpoint, Definition, PhaseRecord, PhaseState, RunRecord
from phaseline.run_filter import EVERY_RUN, RunFilter
from phaseline.statistics import Grouping, Statistics
from phaseline.storage.encoded_texts import Texts
from phaseline.storage.encoded_timetable import EncodedTimetable
from phaseline.timetable import Timetable
from phaseline.unit_of_work import Message, Outcome, RunRows, Unit
from phaseline.usage import Usage

log: Final = logging.getLogger("phaseline.storage")
"""Tells of runs that cannot be read, and are left alone."""


class PayloadCodec(Protocol):
    """Writes texts as others, and reads them; called from many threads."""

    def encode(self, text: str, /) -> str:
        """Write a text."""
        ...

    def decode(self, text: str, /) -> str:
        """Read what ``encode`` wrote.

        Raises:
            CodecError: It is none of that, or cannot be read any more, as with ``DecryptionError``.
        """
        ...


class EncodedStorage(Storage):
    """Stores in another storage what a codec makes of it."""

    def __init__(self, storage: Storage, codec: PayloadCodec) -> None:
        """Stand before a storage, which is opened and closed with this one.

        Args:
            storage: Where all is kept.
            codec: Writes and reads what is encoded.
        """
        self._inner: Storage = storage
        self._texts: Texts = Texts(codec.encode, codec.decode)
        self.blocking: bool = storage.blocking
        """As that of the storage behind it."""
        self.shared: bool = storage.shared
        self.transactional: bool = storage.transactional
        self.transaction_limit: timedelta | None = storage.transaction_limit
        self.keeps_schedules: bool = storage.keeps_schedules
        self.nudges: bool = storage.nudges
        self.is_server: bool = storage.is_server
        self.reach: Callable[[str], None] = storage.reach

    def __repr__(self) -> str:
        return f"{self._inner!r}, encoded"

    @property
    def innermost(self) -> Storage:
        return self._inner.innermost

    # ------------------------------------------------------------------ what passes the codec
    def commit(self, units: Sequence[Unit]) -> list[Outcome]:
        return self._inner.commit([self._texts.written(unit) for unit in units])

    def claim(self, request: ClaimRequest, grant: Grant) -> Claimed:
        units: dict[tuple[str, int], Unit] = {}
        quarantined: set[str] = set()

        def granted(rows: RunRows, paths: Sequence[str], now: datetime) -> Unit | None:
            quarantined.discard(rows.run.id)  # the transaction may be tried anew
            try:
                plain = self._texts.read(rows)
            except CodecError as error:  # the claim is of other runs, too
                log.error("run %s is left alone: %s", rows.run.id, error, extra={"run_id": rows.run.id})  # noqa: TRY400  # the error says it all
                quarantined.add(rows.run.id)
                return None
            unit = grant(plain, paths, now)
            if unit is None:
                return None
            units[unit.run.id, unit.commit_id] = unit
            return self._texts.written(unit)

        claimed = self._inner.claim(request, granted)
        return attrs.evolve(
            claimed,
            units=[units[unit.run.id, unit.commit_id] for unit in claimed.units],
            quarantined=[*claimed.quarantined, *quarantined],
        )

    async def insert_on(
        self,
        connection: Any,
        unit: Unit,
        tell: Callable[[], object],
        same: Callable[[str, str], bool] = same_json,
    ) -> str:
        def same_text(one: str, other: str) -> bool:
            return same(self._texts.plain(one), self._texts.plain(other))

        return await self._inner.insert_on(connection, self._texts.written(unit), tell, same_text)

    def begin(self) -> Transaction:
        return _EncodedTransaction(self._inner.begin(), self._texts)

    @property
    def timetable(self) -> Timetable:
        return EncodedTimetable(self._inner.timetable, self._texts)

    def load(self, namespace: str, run_id: str, since: int = 0) -> RunRows | None:
        rows = self._inner.load(namespace, run_id, since)
        return None if rows is None else self._texts.read(rows)

    def head(self, namespace: str, run_id: str) -> RunRecord | None:
        run = self._inner.head(namespace, run_id)
        return None if run is None else self._texts.with_error(run, self._texts.plain)

    def places(self, namespace: str, run_id: str) -> Sequence[Place]:
        return [
            place if place.phase is None else attrs.evolve(place, phase=self._texts.phase_read(place.phase))
            for place in self._inner.places(namespace, run_id)
        ]

    def phases(
        self,
        namespace: str,
        run_id: str,
        *,
        place: str | None = None,
        states: Collection[PhaseState] | None = None,
        after: int = -1,
        limit: int,
    ) -> Sequence[PhaseRecord]:
        found = self._inner.phases(namespace, run_id, place=place, states=states, after=after, limit=limit)
        return [self._texts.phase_read(row) for row in found]

    def find(
        self,
        namespace: str,
        wanted: RunFilter = EVERY_RUN,
        *,
        after: str | None = None,
        limit: int,
        newest_first: bool = False,
    ) -> Sequence[RunRecord]:
        found = self._inner.find(namespace, wanted, after=after, limit=limit, newest_first=newest_first)
        return [self._texts.with_error(run, self._texts.shown) for run in found]

    def letters(
        self,
        namespace: str,
        wanted: LetterFilter = EVERY_LETTER,
        *,
        after: LetterKey | None = None,
        limit: int,
        newest_first: bool = False,
    ) -> Sequence[DeadLetter]:
        found = self._inner.letters(namespace, wanted, after=after, limit=limit, newest_first=newest_first)
        return [replace(letter, error=self._texts.error(letter.error, self._texts.shown)) for letter in found]

    def values(self, namespace: str, run_id: str, paths: Iterable[str]) -> Mapping[str, str]:
        return self._texts.all_plain(self._inner.values(namespace, run_id, paths))

    def steps(self, namespace: str, run_id: str, path: str, generation: int) -> Mapping[str, str]:
        return self._texts.all_plain(self._inner.steps(namespace, run_id, path, generation))

    def events(self, namespace: str, run_id: str, after: int, limit: int) -> Sequence[Event]:
        return [
            self._texts.event_read(event) for event in self._inner.events(namespace, run_id, after, limit)
        ]

    # ------------------------------------------------------------------ what is handed on as it is
    def open(self) -> None:
        self._inner.open()

    def migrate(self) -> int:
        return self._inner.migrate()

    def close(self) -> None:
        self._inner.close()

    def now(self) -> datetime:
        return self._inner.now()

    def nudge(self, namespace: str, nudge: Nudge) -> None:
        self._inner.nudge(namespace, nudge)

    def listen(self, namespace: str, heard: Callable[[Nudge], object]) -> Callable[[], None]:
        return self._inner.listen(namespace, heard)

    def is_committed(self, namespace: str, run_id: str, commit_id: int) -> bool:
        return self._inner.is_committed(namespace, run_id, commit_id)

    def age(self, namespace: str, now: datetime | None, waited: timedelta, limit: int) -> int:
        return self._inner.age(namespace, now, waited, limit)

    def workers(self, namespace: str) -> Sequence[WorkerRecord]:
        return self._inner.workers(namespace)

    def enlist(self, worker: WorkerRecord) -> Sequence[WorkerRecord]:
        return self._inner.enlist(worker)

    def retire(self, namespace: str, worker_id: str) -> None:
        self._inner.retire(namespace, worker_id)

    def renew(self, namespace: str, worker_id: str, now: datetime, until: datetime) -> Collection[HeldPhase]:
        return self._inner.renew(namespace, worker_id, now, until)

    def lost(
        self,
        namespace: str,
        now: datetime | None,
        dead_workers: Collection[str],
        definitions: Collection[Definition],
        limit: int,
    ) -> Sequence[HeldPhase]:
        return self._inner.lost(namespace, now, dead_workers, definitions, limit)

    def due(
        self, namespace: str, now: datetime | None, definitions: Collection[Definition], limit: int
    ) -> DueWaits:
        return self._inner.due(namespace, now, definitions, limit)

    def overdue(
        self, namespace: str, now: datetime | None, definitions: Collection[Definition], limit: int
    ) -> DueRuns:
        return self._inner.overdue(namespace, now, definitions, limit)

    def late(
        self, namespace: str, now: datetime | None, definitions: Collection[Definition], limit: int
    ) -> LateLevels:
        return self._inner.late(namespace, now, definitions, limit)

    def messages(self, namespace: str, definitions: Collection[Definition], limit: int) -> Sequence[Message]:
        return self._inner.messages(namespace, definitions, limit)

    def heard(self, namespace: str, messages: Sequence[Message]) -> None:
        self._inner.heard(namespace, messages)

    def backlog(self, namespace: str, now: datetime | None) -> Sequence[Backlog]:
        return self._inner.backlog(namespace, now)

    def tally(self, namespace: str, now: datetime | None, at_most: int) -> Tally:
        return self._inner.tally(namespace, now, at_most)

    def count(self, namespace: str, wanted: RunFilter = EVERY_RUN) -> Mapping[str, int]:
        return self._inner.count(namespace, wanted)

    def open_runs(self, namespace: str, at_most: int) -> int:
        return self._inner.open_runs(namespace, at_most)

    def usage(self, namespace: str, wanted: RunFilter = EVERY_RUN) -> Usage:
        return self._inner.usage(namespace, wanted)

    def statistics(
        self, namespace: str, wanted: RunFilter = EVERY_RUN, by: Grouping = "pipeline"
    ) -> Sequence[Statistics]:
        return self._inner.statistics(namespace, wanted, by)

    def purge(self, namespace: str, wanted: RunFilter, limit: int) -> Sequence[str]:
        return self._inner.purge(namespace, wanted, limit)

    def keyed(self, namespace: str, pipeline: str, key: str) -> str | None:
        return self._inner.keyed(namespace, pipeline, key)

    def checkpoints(self, namespace: str, run_id: str) -> Sequence[Checkpoint]:
        return self._inner.checkpoints(namespace, run_id)


class _EncodedTransaction(Transaction):
    """That of a transactional phase; what its body writes itself is the body's own."""

    def __init__(self, transaction: Transaction, texts: Texts) -> None:
        self._inner: Transaction = transaction
        self._texts: Texts = texts

    @property
    def connection(self) -> Any:
        return self._inner.connection

    def lock(self, namespace: str, run_id: str, since: int) -> RunRows | None:
        rows = self._inner.lock(namespace, run_id, since)
        return None if rows is None else self._texts.read(rows)

    def write(self, unit: Unit) -> None:
        self._inner.write(self._texts.written(unit))

    def commit(self) -> None:
        self._inner.commit()

    def roll_back(self) -> None:
        self._inner.roll_back()

    def abandon(self) -> None:
        self._inner.abandon()

    def fault(self, error: BaseException) -> StorageUnavailableError | None:
        return self._inner.fault(error)
