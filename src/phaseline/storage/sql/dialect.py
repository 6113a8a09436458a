"""What differs between databases: how to connect, how statements are spelt, how a batch is written."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import Connection, Engine

from phaseline.abc import Nudge
from phaseline.errors import StorageRefusedError, StorageUnavailableError
from phaseline.storage.sql.batch import Batch
from phaseline.storage.sql.notices import Hearer, Teller
from phaseline.storage.sql.rows import Row

if TYPE_CHECKING:
    from phaseline.storage.sql.access import Access
    from phaseline.storage.sql.beginnings import Kept

_NAME = re.compile(r"phaseline_(\w+)")
_VALUE = re.compile(r"\?")


class Conflict(Exception):  # noqa: N818  # a verdict inside the adapter, never seen outside
    """A guard of the batch did not hold; nothing of it may be committed."""


class Oversized(Exception):  # noqa: N818  # as above
    """A batch holds more than may be sent at once; nothing of it was sent."""


class LockedError(StorageUnavailableError):
    """Others held locked what was needed for longer than a statement waits; nothing of it was done."""


class Dialect(ABC):
    """One kind of database.

    Statements are written once, for SQLite: tables are named ``phaseline_event``, values stand at ``?``. ``spell`` makes
    them what this database reads.
    """

    name: ClassVar[str]
    begin: ClassVar[str] = "BEGIN"
    """Begins a transaction that writes."""
    batch_is_atomic: ClassVar[bool] = False
    """Whether a batch needs no transaction around it."""
    nudges: ClassVar[bool] = False
    """Whether processes can nudge each other through it."""
    is_server: ClassVar[bool] = False
    """Whether another process carries out the statements."""
    transaction_limit: ClassVar[timedelta | None] = None
    begin_reading: ClassVar[str] = "BEGIN"
    """Begins a transaction whose queries all see the same moment."""
    lock: ClassVar[str] = ""
    """At the end of a query for run rows: locks them, and passes over those that others hold locked."""

    outcome: ClassVar[str] = "state"
    """Column with the state of runs that have ended, in the index of those."""

    run_of_mark: ClassVar[str] = (
        "JOIN phaseline_pipeline_run r ON r.namespace = m.namespace AND r.id = m.run_id"
    )
    """Behind a table of marks ``m``: the run ``r`` that has each."""

    octets: ClassVar[str] = "octet_length"
    """The function that gives the length of a text, or about that, without reading it."""
    now: ClassVar[str]
    """The database's own time, in microseconds since 1970."""

    @property
    @abstractmethod
    def where(self) -> str:
        """The URL as messages may show it, without a password."""

    @abstractmethod
    def connect(self, **pool: Any) -> Engine:
        """Make an engine whose connections are set up for durable runs and commit each statement by itself."""

    # ------------------------------------------------------------------ statements, on a connection of the driver's
    @abstractmethod
    def rows(self, driver: Any, statement: str, values: Sequence[Any]) -> list[Row]:
        """Run a statement of the store's, and read all that it gives."""

    @abstractmethod
    def changed(self, driver: Any, statement: str, values: Sequence[Any]) -> int:
        """Run one that writes; gives the number of rows."""

    @abstractmethod
    def control(self, driver: Any, statement: str) -> None:
        """Run what has no values and gives nothing."""

    @abstractmethod
    def write(self, driver: Any, batch: Batch) -> None:
        """Write a batch; in a transaction if the connection is in one, else all of it or nothing.

        Raises:
            Conflict: A run moved on, or a row carries another fence.
            Oversized: It is too much at once.
            sqlalchemy.exc.IntegrityError: A run that is to be inserted exists, or its key is taken.
        """

    @abstractmethod
    def is_refusal(self, error: BaseException) -> bool:
        """Whether an error is about the values that were sent, and not about the state of the database or the way to it."""

    def refused(self, error: BaseException) -> StorageRefusedError:
        """Say in our words what the database does not take."""
        return StorageRefusedError(self.where, told_by(error))

    @abstractmethod
    def unavailable(self, error: BaseException) -> StorageUnavailableError:
        """Say in our words what the driver said went wrong."""

    @property
    @abstractmethod
    def driver_error(self) -> type[Exception]:
        """What the driver raises."""

    @abstractmethod
    def in_transaction(self, driver: Any) -> bool:
        """Whether a connection of the driver's is in a transaction."""

    @abstractmethod
    def abandon(self, driver: Any) -> None:
        """Roll back a connection that another thread may be using."""

    def bound(self, driver: Any, *, bounded: bool) -> None:  # noqa: B027  # a file does not fall silent
        """Let the waits for a server on a connection of the driver's be endless, or bounded as they are at first."""

    @property
    def schema_name(self) -> str | None:
        """The schema of the tables; None where their names carry a prefix."""
        return None

    def is_gone(self, driver: Any) -> bool:  # noqa: ARG002  # a file does not hang up
        """Whether a connection of the driver's is lost and another one is needed."""
        return False

    def prepare_writer(self, driver: Any) -> None:  # noqa: B027  # not every database needs it
        """Set up the connection that writes."""

    def plan_anew(self, driver: Any) -> None:  # noqa: B027  # as above
        """Have the statements of the connection that writes planned anew, for the tables as they are now."""

    def prepare_end(self, driver: Any) -> None:  # noqa: B027  # as above
        """Set up a transaction of somebody else's for what we write at its end."""

    @abstractmethod
    def schema_version(self, ask: Access) -> int:
        """The version of the tables; 0 where there are none."""

    def take_turns(self, ask: Access) -> None:  # noqa: B027  # as above
        """Inside a transaction that writes: wait for others that take turns, and keep them waiting until it ends."""

    def lock_limits(self, ask: Access, namespace: str) -> None:  # noqa: B027  # as above
        """Inside a claim's transaction: keep others from starting phases under limits until it ends."""

    def make_schema(self, ask: Access) -> list[str]:  # noqa: ARG002  # a file needs none
        """Give the statements that make the place for the tables, if it is not there."""
        return []

    @abstractmethod
    def note_version(self, version: int) -> str:
        """Give the statement that notes the version of the tables."""

    @abstractmethod
    def among(self, values: Iterable[str]) -> tuple[str, Any]:
        """Give the condition ``IN (…)`` over any number of texts as one value: its text, and the value."""

    def outside(self, values: Iterable[str]) -> tuple[str, Any]:
        """Give the condition ``NOT IN (…)``, as ``among`` does."""
        listed, value = self.among(values)
        return f"NOT {listed}", value

    def by(self, index: str) -> str:  # noqa: ARG002  # a planner with statistics finds it by itself
        """Give what stands behind a table to have it read by one of its indexes, where that must be said."""
        return ""

    @abstractmethod
    def holds(self, text: str) -> str:
        """Give the condition that a text holds another, of which ``held`` makes its value; A-Z count as a-z."""

    def held(self, text: str) -> str:
        """Give the value for such a condition, of a text in lower case."""
        return text

    @abstractmethod
    def field(self, column: str, name: str) -> str:
        """Give the expression for a field of a JSON object in a column."""

    @abstractmethod
    def without_indices(self, path: str, instead: str = "") -> str:
        """Give the expression for the path of a phase without indices, or with a text in place of each: ``enrich`` of ``enrich[3]``."""

    def bytes_of(self, column: str) -> str:
        """Give the expression for the length of a text in UTF-8."""
        return f"octet_length({column})"

    def beginning(self, ask: Access, kept: Kept, characters: int) -> tuple[str, int] | None:
        """Read the first characters of a value, and how many bytes the whole has."""
        found = ask.first(
            f"SELECT substr({kept.column}, 1, ?), {self.bytes_of(kept.column)} FROM {kept.table} WHERE {kept.where}",  # noqa: S608  # names of ours
            (characters, *kept.values),
        )
        return None if found is None else (found[0], found[1])

    @property
    def exists(self) -> bool:
        """Whether there is a database to look at; False only where a look would make one."""
        return True

    @property
    def migrates_itself(self) -> bool:
        """Whether opening brings the tables up to date."""
        return False

    def spell(self, statement: str) -> str:
        """Give a statement as this database reads it."""
        return statement

    def announce(self, connection: Connection, namespace: str, nudge: Nudge) -> None:  # noqa: B027  # as above
        """Have others nudged once a transaction of the host's is committed, where that can be."""

    def teller(self) -> Teller | None:
        """Make what nudges others, where that can be; its thread starts with the first nudge."""
        return None

    def hearer(self) -> Hearer | None:
        """Make what hears the nudges of others, where that can be; its thread starts with the first one who listens."""
        return None


def told_by(error: BaseException) -> str:
    """What a driver says of an error, in one line."""
    return "; ".join(map(str.strip, str(error).strip().splitlines())) or type(error).__name__


@lru_cache(maxsize=1_000)
def qualified(statement: str, schema: str) -> str:
    """Name the tables of a schema, and number values as PostgreSQL does."""
    numbers = count(1)
    return _VALUE.sub(lambda _: f"${next(numbers)}", _NAME.sub(rf'"{schema}".\1', statement))
