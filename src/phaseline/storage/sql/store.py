"""The SQL storage: connections, transactions, and the one write verb.

One connection writes; reads and renewals take others from a pool. Everything that differs between databases is in
``Dialect``.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar

import attrs
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError

from phaseline._values.codec import same_json
from phaseline.abc import (
    Backlog,
    Beginning,
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
from phaseline.errors import SchemaVersionError, StorageUnavailableError, StorageURLError
from phaseline.events import Event
from phaseline.places import Place
from phaseline.rows import Checkpoint, Definition, PhaseRecord, PhaseState, RunRecord
from phaseline.run_filter import EVERY_RUN, RunFilter
from phaseline.schemes import POSTGRES, SQLITE, base_of, scheme_of
from phaseline.statistics import Grouping, Statistics
from phaseline.storage.sql import (
    ageing,
    backlog,
    beginnings,
    claims,
    finding,
    hosted,
    letters,
    migrations,
    outbox,
    places,
    purging,
    reads,
    rows,
    sla,
    statistics,
)
from phaseline.storage.sql.access import Access
from phaseline.storage.sql.batch import Batch, gather
from phaseline.storage.sql.dialect import Conflict, Dialect, LockedError, Oversized
from phaseline.storage.sql.faults import translated
from phaseline.storage.sql.notices import Hearer, Teller
from phaseline.storage.sql.postgres import ANSWER_WITHIN, PostgresDialect
from phaseline.storage.sql.sqlite import SqliteDialect
from phaseline.storage.sql.timetable import SqlTimetable
from phaseline.storage.sql.transaction import SqlTransaction
from phaseline.timetable import Timetable
from phaseline.unit_of_work import Message, Outcome, RunRows, Unit, takes_key
from phaseline.usage import Usage

T = TypeVar("T")
log: Final = logging.getLogger("phaseline.storage")

BUSY_TRIES = 5
"""Whole transactions tried again where others were in the way: a lock that lasts, a deadlock, a serialization failure."""
BUSY_PAUSE = 0.005
"""Seconds before the first of these tries, at most half of those before the next one."""
FIRST_PLANS = 64
"""Uses of a connection that writes until its statements are planned anew, and from then on whenever as many more have come: what
was planned for small tables reads all of a namespace where it should look keys up, and so do plans that are kept."""


class SqlStorage(Storage):
    """Runs in the tables of a database."""

    transactional = True
    keeps_schedules = True

    def __init__(
        self, url: str, *, schema: str = "phaseline", answer_within: timedelta = ANSWER_WITHIN
    ) -> None:
        """Note where to connect to; nothing is opened yet.

        Args:
            url: ``sqlite:///path``, or ``postgresql://user:password@host/database``.
            schema: Of a PostgreSQL: where the tables are.
            answer_within: Of a PostgreSQL: the longest silence of a server after which a connection is given up, and
                another one is made. Statements of transactional phases are bounded by their phase's timeout instead.

        Raises:
            StorageURLError: The URL names no database, or not one that this storage knows.
        """
        self.dialect: Dialect = dialect_of(url, schema, answer_within)
        """In what this database differs from others."""
        self.transaction_limit: timedelta | None = self.dialect.transaction_limit
        self._engine: Engine | None = None
        self._bodies: Engine | None = None
        """For transactional phases: as many connections as there are bodies, and none taken from the others."""
        self._writer: Connection | None = None
        self._uses: int = 0
        self._planned_until: int = FIRST_PLANS
        self._teller: Teller | None = None
        self._hearer: Hearer | None = None
        self.nudges: bool = self.dialect.nudges
        self.is_server: bool = self.dialect.is_server

    def __repr__(self) -> str:
        return self.dialect.where

    @property
    def timetable(self) -> Timetable:
        return SqlTimetable(self._write_transaction, self._reading)

    # ------------------------------------------------------------------ open and close
    def open(self) -> None:
        self._engine = self.dialect.connect()
        self._bodies = self.dialect.connect(max_overflow=-1)
        found = self.schema_version()  # read before the first write of any kind: a newer file stays as it is
        if found > migrations.LATEST:
            raise SchemaVersionError(repr(self), found, migrations.LATEST)
        if found < migrations.LATEST:
            if not self.dialect.migrates_itself:
                raise SchemaVersionError(repr(self), found, migrations.LATEST)
            self.migrate()
        self._teller = self.dialect.teller()

    def close(self) -> None:
        if self._hearer is not None:
            self._hearer.stop()
        if self._teller is not None:
            self._teller.stop()
            self._teller = None
        if self._hearer is not None:
            self._hearer.join()
            self._hearer = None
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        for engine in (self._engine, self._bodies):
            if engine is not None:
                engine.dispose()
        self._engine = self._bodies = None

    def migrate(self) -> int:
        """Bring the tables up to this code's version, and say from which; processes that do so take turns.

        Raises:
            SchemaVersionError: They are newer than this code.
        """
        if self._engine is None:
            self._engine = self.dialect.connect()
            try:
                return self.migrate()
            finally:
                self.close()
        return self._write_transaction(self._upgrade)

    def _upgrade(self, ask: Access) -> int:
        self.dialect.bound(ask.driver, bounded=False)
        try:
            return self._upgrade_in_turn(ask)
        finally:
            self.dialect.bound(ask.driver, bounded=True)

    def _upgrade_in_turn(self, ask: Access) -> int:
        self.dialect.take_turns(ask)
        for statement in self.dialect.make_schema(ask):
            ask.control(self.dialect.spell(statement))
        found = self.dialect.schema_version(ask)
        if found > migrations.LATEST:
            raise SchemaVersionError(repr(self), found, migrations.LATEST)
        for statement in self._statements(found):
            ask.control(self.dialect.spell(statement))
        return found

    def _statements(self, found: int) -> list[str]:
        statements: list[str] = []
        for version in range(found + 1, migrations.LATEST + 1):
            statements += migrations.statements(self.dialect.name, version)
            statements.append(self.dialect.note_version(version))
        return statements

    def upgrade_statements(self) -> list[str]:
        """What ``migrate`` would run now, as the database reads it."""
        statements = self._statements(self.schema_version())
        if statements and self.dialect.exists:
            statements[:0] = self._looked_up(self.dialect.make_schema)
        return [self.dialect.spell(statement) for statement in statements]

    def schema_version(self) -> int:
        """The version of the tables; 0 where there are none."""
        if not self.dialect.exists:
            return 0
        return self._looked_up(self.dialect.schema_version)

    def _looked_up(self, look: Callable[[Access], T]) -> T:
        """Look at the database, be this open or not."""
        engine = self._engine or self.dialect.connect()
        try:
            with translated(self.dialect), engine.connect() as connection:
                return look(Access(self.dialect, connection))
        finally:
            if self._engine is None:
                engine.dispose()

    # ------------------------------------------------------------------ connections
    def _not_open(self) -> StorageUnavailableError:
        return StorageUnavailableError(repr(self), "it is not open", "open the runtime that it belongs to")

    def _connected(self) -> Access:
        if self._engine is None:
            raise self._not_open()
        if self._writer is None:
            connection = self._engine.connect()
            try:
                self.dialect.prepare_writer(connection.connection.driver_connection)
            except BaseException:
                connection.close()  # the next use prepares another one: none is used that is not as it should be
                raise
            self._writer = connection
            self._uses, self._planned_until = 0, FIRST_PLANS
        self._uses += 1
        if self._uses > self._planned_until:
            self._planned_until *= 2
            self.dialect.plan_anew(self._writer.connection.driver_connection)
        return Access(self.dialect, self._writer)

    def _on_writer(self, work: Callable[[Access], T]) -> T:
        """Do work on the connection that writes; one that is lost is replaced at the next use."""
        try:
            with translated(self.dialect):
                return work(self._connected())
        except StorageUnavailableError:
            self._drop_if_gone()
            raise

    def _drop_if_gone(self) -> None:
        if self._writer is not None and (
            self._writer.invalidated or self.dialect.is_gone(self._writer.connection.driver_connection)
        ):
            self._writer.invalidate()
            self._writer.close()
            self._writer = None

    def _write_transaction(self, work: Callable[[Access], T]) -> T:
        """Do work in one transaction; nothing of it stays if it raises. Where others are in the way it is tried again."""
        return self._repeated(partial(self._once, work))

    def _repeated(self, work: Callable[[Access], T], *, on_writer: bool = True) -> T:
        for tries in range(1, BUSY_TRIES + 1):
            try:
                return self._on_writer(work) if on_writer else self._beside(work)
            except LockedError:
                raise  # it has waited already
            except StorageUnavailableError as error:
                if not error.busy or tries == BUSY_TRIES:
                    raise
                # Of two that collide again and again one is to come first.
                time.sleep(random.uniform(0, BUSY_PAUSE * 2**tries))  # noqa: S311  # no secret
        raise AssertionError  # the last try returns or raises

    def _beside(self, work: Callable[[Access], T]) -> T:
        """Do work on another connection than the one that writes."""
        with self._reading() as ask:
            return work(ask)

    def _once(self, work: Callable[[Access], T], ask: Access) -> T:
        ask.control(self.dialect.begin)
        try:
            result = work(ask)
            self.reach("transaction.written")
            ask.control("COMMIT")
        except BaseException:
            self._roll_back(ask)
            raise
        return result

    def _roll_back(self, ask: Access) -> None:
        """End a transaction; where the connection was lost it has ended, and there is nothing left to say it on."""
        if self.dialect.in_transaction(ask.driver):
            ask.control("ROLLBACK")

    @contextmanager
    def _reading(self) -> Generator[Access]:
        engine = self._engine
        if engine is None:
            raise self._not_open()
        with translated(self.dialect), engine.connect() as connection:
            ask = Access(self.dialect, connection)
            try:
                yield ask
            finally:
                if self._engine is not engine or self.dialect.is_gone(ask.driver):
                    connection.invalidate()  # else the pool would hand it out again, or, closed meanwhile, keep it open

    @contextmanager
    def _reading_one_moment(self) -> Generator[Access]:
        """Read by several statements that all see the same moment."""
        with self._reading() as ask:
            ask.control(self.dialect.begin_reading)
            try:
                yield ask
            finally:
                self._roll_back(ask)

    def now(self) -> datetime:
        with self._reading() as ask:
            return rows.time_of(int(ask.value(f"SELECT {self.dialect.now}")))

    # ------------------------------------------------------------------ write
    def commit(self, units: Sequence[Unit]) -> list[Outcome]:
        if len({(unit.run.namespace, unit.run.id) for unit in units}) < len(units):
            msg = "a batch names a run twice; fold its commands into one unit"
            raise ValueError(msg)
        if not units:
            return []
        try:
            batch = gather(units)
            by_itself = self.dialect.batch_is_atomic and not batch.moves
            self.reach("commit.begin")
            write = partial(_write, batch)
            self._repeated(write if by_itself else partial(self._once, write))
            self.reach("commit.end")
        except LockedError:
            if len(units) == 1:
                return [Outcome.BLOCKED]
            return [
                self.commit((unit,))[0] for unit in units
            ]  # in halves the one that waits would do so again and again
        except (Conflict, IntegrityError, Oversized) as error:
            if len(units) == 1:
                return [self._verdict(units[0], error)]
            middle = len(units) // 2
            return [*self.commit(units[:middle]), *self.commit(units[middle:])]
        return [Outcome.COMMITTED] * len(units)

    def _verdict(self, unit: Unit, error: Exception) -> Outcome:
        """Say why a unit that failed alone did."""
        run = unit.run
        head = self.head(run.namespace, run.id)
        if unit.expected != (0 if head is None else head.revision):
            return Outcome.STALE
        if run.key is not None and takes_key(head, run):
            holder = self.keyed(run.namespace, run.pipeline, run.key)
            if holder not in (None, run.id):
                return Outcome.DUPLICATE
        if isinstance(error, IntegrityError):  # a mistake of the engine's; it must not fail other units
            log.error(
                "run %s: the tables refuse a unit of work: %s", run.id, error.orig, extra={"run_id": run.id}
            )
        return Outcome.FENCED

    def purge(self, namespace: str, wanted: RunFilter, limit: int) -> Sequence[str]:
        work = partial(purging.purge, namespace, attrs.evolve(wanted, ended=True), limit)
        return self._repeated(partial(self._once, work), on_writer=False)

    # ------------------------------------------------------------------ the host's transactions
    async def insert_on(
        self,
        connection: Any,
        unit: Unit,
        tell: Callable[[], object],
        same: Callable[[str, str], bool] = same_json,
    ) -> str:
        dialect, run = self.dialect, unit.run

        def insert(inner: Connection) -> str:
            hosted.check_kind(inner, dialect)
            hosted.check_transaction(inner)
            run_id = hosted.insert_run(inner, unit, dialect.schema_name, same)
            queues = frozenset(row.queue for row in unit.inserted if row.state is PhaseState.PENDING)
            dialect.announce(inner, run.namespace, Nudge(queues=queues))
            return run_id

        run_id = await hosted.on_connection(
            connection, insert
        )  # its errors are the host's, as SQLAlchemy raises them
        hosted.after_commit(connection, tell)
        return run_id

    def begin(self) -> Transaction:
        if self._bodies is None:
            raise self._not_open()
        return SqlTransaction(self.dialect, self._bodies)

    def nudge(self, namespace: str, nudge: Nudge) -> None:
        if self._teller is not None:
            self._teller.tell(namespace, nudge)

    def listen(self, namespace: str, heard: Callable[[Nudge], object]) -> Callable[[], None]:
        if self._hearer is None:
            self._hearer = self.dialect.hearer()
        return (
            super().listen(namespace, heard)
            if self._hearer is None
            else self._hearer.listen(namespace, heard)
        )

    # ------------------------------------------------------------------ claims
    def claim(self, request: ClaimRequest, grant: Grant) -> Claimed:
        found = self._on_writer(lambda ask: claims.candidates(ask, request))
        granted = claims.Granted()
        if found.now is not None:
            self.reach("claim.found")
            try:
                granted = self._write_transaction(partial(self._claim, request, grant, found, found.now))
            except (Conflict, IntegrityError):  # nothing of it is stored, and what waits is found again
                log.exception("a claim was refused by the tables")
            self.reach("claim.end")
        waiting = found.rows[request.limit][2] if len(found.rows) > request.limit else None
        due = min(filter(None, (found.next_due, granted.free_at)), default=None)
        return Claimed(granted.units, waiting, due, granted.quarantined)

    def _claim(
        self, request: ClaimRequest, grant: Grant, found: claims.Found, now: datetime, ask: Access
    ) -> claims.Granted:
        granted = claims.granted(ask, request, grant, found, now)
        self.reach("claim.decided")
        if granted.units:
            ask.write(gather(granted.units))
        return granted

    def age(self, namespace: str, now: datetime | None, waited: timedelta, limit: int) -> int:
        work = partial(ageing.age, namespace=namespace, now=now, waited=waited, limit=limit)
        return self._repeated(partial(self._once, work), on_writer=False)

    # ------------------------------------------------------------------ workers and leases
    def enlist(self, worker: WorkerRecord) -> Sequence[WorkerRecord]:
        return self._write_transaction(lambda ask: claims.enlist(ask, worker))

    def workers(self, namespace: str) -> Sequence[WorkerRecord]:
        with self._reading() as ask:
            return claims.workers(ask, namespace)

    def retire(self, namespace: str, worker_id: str) -> None:
        # Once: at the close nobody waits for others again and again, who find that this worker's process is gone.
        self._on_writer(partial(self._once, lambda ask: claims.retire(ask, namespace, worker_id)))

    def renew(self, namespace: str, worker_id: str, now: datetime, until: datetime) -> Collection[HeldPhase]:
        self.reach("renew.begin")
        with self._reading() as ask:  # a connection of its own: it may come from any thread
            renewed = claims.renew(ask, namespace, worker_id, now, until)
        self.reach("renew.end")
        return renewed

    def lost(
        self,
        namespace: str,
        now: datetime | None,
        dead_workers: Collection[str],
        definitions: Collection[Definition],
        limit: int,
    ) -> Sequence[HeldPhase]:
        with self._reading() as ask:
            return claims.lost(ask, namespace, now, dead_workers, definitions, limit)

    def due(
        self, namespace: str, now: datetime | None, definitions: Collection[Definition], limit: int
    ) -> DueWaits:
        with self._reading() as ask:
            return claims.due(ask, namespace, now, definitions, limit)

    def overdue(
        self, namespace: str, now: datetime | None, definitions: Collection[Definition], limit: int
    ) -> DueRuns:
        with self._reading() as ask:
            return claims.overdue(ask, namespace, now, definitions, limit)

    def late(
        self, namespace: str, now: datetime | None, definitions: Collection[Definition], limit: int
    ) -> LateLevels:
        with self._reading() as ask:
            return sla.late(ask, namespace, now, definitions, limit)

    def messages(self, namespace: str, definitions: Collection[Definition], limit: int) -> Sequence[Message]:
        with self._reading() as ask:
            return outbox.unheard(ask, namespace, definitions, limit)

    def heard(self, namespace: str, messages: Sequence[Message]) -> None:
        work = partial(outbox.heard, namespace=namespace, messages=messages)
        self._repeated(partial(self._once, work), on_writer=False)

    def backlog(self, namespace: str, now: datetime | None) -> Sequence[Backlog]:
        with self._reading() as ask:
            return backlog.backlog(ask, namespace, now)

    def tally(self, namespace: str, now: datetime | None, at_most: int) -> Tally:
        with self._reading() as ask:
            return Tally(
                backlog.waiting(ask, namespace, now, at_most), letters.count(ask, namespace, at_most)
            )

    # ------------------------------------------------------------------ read
    def load(self, namespace: str, run_id: str, since: int = 0) -> RunRows | None:
        with self._reading_one_moment() as ask:
            return reads.load(ask, namespace, run_id, since)

    def head(self, namespace: str, run_id: str) -> RunRecord | None:
        with self._reading() as ask:
            return reads.head(ask, namespace, run_id)

    def places(self, namespace: str, run_id: str) -> Sequence[Place]:
        with self._reading_one_moment() as ask:
            return places.places(ask, namespace, run_id)

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
        with self._reading() as ask:
            return places.page(ask, namespace, run_id, place=place, states=states, after=after, limit=limit)

    def find(
        self,
        namespace: str,
        wanted: RunFilter = EVERY_RUN,
        *,
        after: str | None = None,
        limit: int,
        newest_first: bool = False,
    ) -> Sequence[RunRecord]:
        with self._reading_one_moment() as ask:
            return finding.find(ask, namespace, wanted, after=after, limit=limit, newest_first=newest_first)

    def count(self, namespace: str, wanted: RunFilter = EVERY_RUN) -> Mapping[str, int]:
        with self._reading_one_moment() as ask:
            return finding.count(ask, namespace, wanted)

    def open_runs(self, namespace: str, at_most: int) -> int:
        with self._reading() as ask:
            return finding.open_runs(ask, namespace, at_most)

    def usage(self, namespace: str, wanted: RunFilter = EVERY_RUN) -> Usage:
        with self._reading_one_moment() as ask:
            return finding.usage(ask, namespace, wanted)

    def statistics(
        self, namespace: str, wanted: RunFilter = EVERY_RUN, by: Grouping = "pipeline"
    ) -> Sequence[Statistics]:
        with self._reading_one_moment() as ask:
            return statistics.statistics(ask, namespace, wanted, by)

    def letters(
        self,
        namespace: str,
        wanted: LetterFilter = EVERY_LETTER,
        *,
        after: LetterKey | None = None,
        limit: int,
        newest_first: bool = False,
    ) -> Sequence[DeadLetter]:
        with self._reading() as ask:
            return letters.find(ask, namespace, wanted, after=after, limit=limit, newest_first=newest_first)

    def keyed(self, namespace: str, pipeline: str, key: str) -> str | None:
        with self._reading() as ask:
            return reads.keyed(ask, namespace, pipeline, key)

    def is_committed(self, namespace: str, run_id: str, commit_id: int) -> bool:
        with self._reading() as ask:
            return reads.is_committed(ask, namespace, run_id, commit_id)

    def values(self, namespace: str, run_id: str, paths: Iterable[str]) -> Mapping[str, str]:
        with self._reading() as ask:
            return reads.values(ask, namespace, run_id, paths)

    def beginning(self, namespace: str, run_id: str, path: str, characters: int) -> Beginning | None:
        with self._reading_one_moment() as ask:
            return beginnings.beginning(ask, namespace, run_id, path, characters)

    def steps(self, namespace: str, run_id: str, path: str, generation: int) -> Mapping[str, str]:
        with self._reading() as ask:
            return reads.steps(ask, namespace, run_id, path, generation)

    def checkpoints(self, namespace: str, run_id: str) -> Sequence[Checkpoint]:
        with self._reading() as ask:
            return reads.checkpoints(ask, namespace, run_id)

    def events(self, namespace: str, run_id: str, after: int, limit: int) -> Sequence[Event]:
        with self._reading() as ask:
            return reads.events(ask, namespace, run_id, after, limit)


def _write(batch: Batch, ask: Access) -> None:
    ask.write(batch)


def dialect_of(url: str, schema: str, answer_within: timedelta) -> Dialect:
    """Choose the dialect that a URL asks for."""
    if not isinstance(url, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # for who runs no type checker
        raise StorageURLError(
            type(url).__name__,
            "a URL is needed, for connections are set up in a way of our own; of an engine: "
            "engine.url.render_as_string(hide_password=False)",
        )
    scheme, colon, rest = url.partition(":")
    url = f"{scheme.lower()}{colon}{rest}"
    if base_of(url) in POSTGRES:
        return PostgresDialect(url, schema, answer_within)
    if scheme_of(url) in SQLITE:
        return SqliteDialect(url)
    raise StorageURLError(
        url, "known are sqlite:///path/to/file.db and postgresql://user:password@host/database"
    )
