"""The ports: what phaseline asks of a storage, a queue, a clock.

A third party implements one and proves it with the contract of the same name in ``phaseline.testing``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import attrs

from phaseline._values.codec import same_json
from phaseline.dead_letter import EVERY_LETTER, DeadLetter, LetterFilter, LetterKey
from phaseline.errors import RuntimeUsageError, StorageUnavailableError
from phaseline.events import Event
from phaseline.places import Place, page_of, places_of
from phaseline.rows import Checkpoint, Definition, PhaseRecord, PhaseState, RunRecord
from phaseline.run_filter import EVERY_RUN, RunFilter
from phaseline.statistics import Grouping, Statistics
from phaseline.unit_of_work import Message, Outcome, RunRows, Unit
from phaseline.usage import Usage

if TYPE_CHECKING:
    from phaseline.timetable import Timetable


# --------------------------------------------------------------------- what is asked and answered
@attrs.frozen
class ClaimRequest:
    """What a worker looks for."""

    namespace: str
    """Of whose phases are claimed."""
    queues: frozenset[str] | None
    """None for all."""
    definitions: frozenset[Definition]
    """Those that the worker knows; runs of others are left alone."""
    limit: int
    """At most so many phases."""
    now: datetime | None
    """What is due is judged at this moment; None: by the storage's own clock."""
    known: Mapping[str, int] = attrs.field(factory=dict[str, int])
    """Runs that the worker has read already, each with its revision: only what changed since is given of these."""
    quarantined: frozenset[str] = frozenset()
    """Runs that are passed over: they could not be read lately, and others are not to wait for them."""


@attrs.frozen
class Claimed:
    """What a claim came to."""

    units: Sequence[Unit]
    """The units that were committed."""
    waiting: int | None
    """Best priority among rows that are due but were left, None if none was."""
    next_due: datetime | None
    """When the next row falls due that this request would take."""
    quarantined: Collection[str] = ()
    """Runs that could not be read, so that ``grant`` was not asked."""


Grant = Callable[[RunRows, Sequence[str], datetime], Unit | None]
"""Asked inside a claim's transaction: the run as it is now, the paths that wait, and the moment at which they are due;
gives the unit to commit."""


FAULT_POINTS = (
    "commit.begin", "transaction.written", "commit.end", "claim.found", "claim.decided", "claim.end",
    "renew.begin", "renew.end", "sweep.found", "body.begin", "body.end",
)  # fmt: skip
"""Moments at which tests let a process die, stop or fail; ``transaction.written`` is before COMMIT."""


def pass_by(_: str) -> None:
    """Reach a fault point that nobody has armed."""


@attrs.frozen(kw_only=True)
class WorkerRecord:
    """A process that holds leases."""

    id: str
    """Random for each process start."""
    namespace: str
    """Namespace that it serves."""
    host: str
    """Boot id of the host: equal only for processes that see each other's pids."""
    pid: int
    """Process id on its host."""
    process_started: str
    """Tells a process from an earlier one with the same pid."""
    seen_at: datetime
    """When it last gave a sign of life, by the storage's time."""


@attrs.frozen(kw_only=True)
class Nudge:
    """A hint from one process to the others; what is not heard is found a little later."""

    queues: frozenset[str] = frozenset()
    """On which a commit left work that is due."""
    runs: frozenset[str] = frozenset()
    """That have come to an end."""
    awaited_by: frozenset[str] = frozenset()
    """Who waits for runs to end, by names of their own: whoever it is tells himself nothing."""
    workers: frozenset[str] = frozenset()
    """That serve from now on."""

    def joined(self, other: Nudge) -> Nudge:
        """Both in one."""
        return Nudge(
            queues=self.queues | other.queues,
            runs=self.runs | other.runs,
            awaited_by=self.awaited_by | other.awaited_by,
            workers=self.workers | other.workers,
        )


@attrs.frozen
class HeldPhase:
    """A phase that a worker holds, or held when it was lost."""

    run_id: str
    """Id of the run."""
    path: str
    """Path of the phase."""
    fence: int
    """Fence of the attempt that holds it."""


@attrs.frozen
class DueWait:
    """A wait whose time has come."""

    run_id: str
    """Id of the run."""
    path: str
    """Path of the phase that waits."""
    due_at: datetime
    """When its wait ends."""


@attrs.frozen
class DueWaits:
    """What a look at the waits came to."""

    waits: Sequence[DueWait]
    """Those that are due, the earliest first."""
    next_due: datetime | None
    """When the next one falls due; None if there is none, or if there are more that are due now."""


@attrs.frozen
class DueRuns:
    """What a look at the runs that must be over came to."""

    run_ids: Sequence[str]
    """Those whose time is over, the earliest first."""
    next_due: datetime | None
    """When the next one's is; None if there is none, or if there are more that are over now."""


@attrs.frozen
class LateLevel:
    """What is not over, and should be by its service level; of which that is not told."""

    run_id: str
    """Id of the run."""
    path: str | None
    """Of the phase; None: the run itself."""


@attrs.frozen
class LateLevels:
    """What a look at the service levels came to."""

    levels: Sequence[LateLevel]
    """Those that were passed, the earliest first."""
    next_due: datetime | None
    """When the next one is passed; None if there is none, or if there are more that were passed now."""


@attrs.frozen
class Backlog:
    """Phases of one definition that are due on one queue, and that no worker has taken."""

    definition: Definition
    """Of what they are phases."""
    queue: str
    """On which they wait."""
    since: datetime
    """When the first of them fell due."""


@attrs.frozen
class Tally:
    """How much waits, each counted up to a bound."""

    waiting: Mapping[str, int]
    """Phases that are due and that no worker has taken, by queue."""
    letters: Mapping[str, int]
    """Dead letters, by name of the pipeline."""


@attrs.frozen
class Beginning:
    """What a value begins with, encoded."""

    text: str
    """So many characters of it as were asked for, or all."""
    size: int
    """Of the whole of it, in bytes of UTF-8."""
    is_whole: bool
    """Whether that is all of it."""

    @classmethod
    def of(cls, text: str, characters: int) -> Beginning:
        """Cut one that was read whole."""
        return cls(text[:characters], len(text.encode()), len(text) <= characters)


class Transaction(ABC):
    """A transaction that a phase's body and its commit share; used by one thread, but for ``abandon``."""

    @property
    @abstractmethod
    def connection(self) -> Any:
        """What the body writes its own rows on; the transaction begins with its first use."""

    @abstractmethod
    def lock(self, namespace: str, run_id: str, since: int) -> RunRows | None:
        """Lock a run until the end, and read it as ``Storage.load`` does."""

    @abstractmethod
    def write(self, unit: Unit) -> None:
        """Write a unit of the locked run."""

    @abstractmethod
    def commit(self) -> None:
        """Commit all of it.

        Raises:
            StorageUnavailableError: It may be stored; ask ``is_committed``.
        """

    @abstractmethod
    def roll_back(self) -> None:
        """Undo all of it; does nothing after the end."""

    @abstractmethod
    def abandon(self) -> None:
        """Undo all of it, from another thread, whatever is being done; what a body does on it later is refused."""

    def fault(self, error: BaseException) -> StorageUnavailableError | None:  # noqa: ARG002  # not every storage can tell
        """Say whether an exception that the body raised is the storage's: an outage, or others that were in the way."""
        return None


class Storage(ABC):
    """Where runs are kept: one write verb, few others.

    All methods are plain blocking calls. The shell calls the writing verbs (``commit``, ``claim``, ``enlist``,
    ``retire``) from one thread at a time and reads from others; ``renew`` may come from any thread at any time.
    With ``blocking = False`` everything is called on the event loop itself. Times are aware UTC.
    """

    blocking: bool = True
    """Whether its calls may wait, so that they are made in threads. One that does not has no answer to lose: where a writing
    verb of it raises ``StorageUnavailableError``, nothing is stored, and it is called again later."""
    shared: bool = True
    """Whether other processes can open the same one."""
    transactional: bool = False
    """Whether a phase's body, and a host that starts a run, may write in one transaction with it."""
    transaction_limit: timedelta | None = None
    """Bound of a transactional phase that has none of its own, where others cannot write meanwhile."""
    keeps_schedules: bool = False
    """Whether ``timetable`` can be asked for."""
    nudges: bool = False
    """Whether ``nudge`` reaches other processes."""
    is_server: bool = False
    """Whether another process does what a call asks for, so that this one can go on meanwhile."""
    reach: Callable[[str], None] = staticmethod(pass_by)
    """Called with the name of each fault point that is passed; tests put a fault in its place."""

    @abstractmethod
    def open(self) -> None:
        """Connect, and make or check the tables.

        Raises:
            StorageUnavailableError: It cannot be reached, read or written.
            SchemaVersionError: Its tables are newer than this code.
        """

    @property
    def innermost(self) -> Storage:
        """What keeps all in the end: this one, unless it stands before another one, with which it is opened and closed."""
        return self

    @property
    def timetable(self) -> Timetable:
        """Where schedules are kept.

        Raises:
            RuntimeUsageError: This storage keeps none, as ``keeps_schedules`` says.
        """
        msg = f"{self!r} keeps no schedules; use a storage that does: memory, SQLite, PostgreSQL"
        raise RuntimeUsageError(msg)

    def migrate(self) -> int:
        """Bring the tables up to this code's version, and say from which; does nothing where there are none."""
        return 0

    @abstractmethod
    def close(self) -> None:
        """Give everything back; may be called on one that did not open."""

    def now(self) -> datetime:
        """The time by which due times and leases are judged; that of this machine unless the storage has its own."""
        return datetime.now(UTC)

    @abstractmethod
    def commit(self, units: Sequence[Unit]) -> list[Outcome]:
        """Write units, each all or nothing, and say what became of each, in order.

        A unit that is stale or fenced fails alone. When this returns, what is COMMITTED is durable. The caller names
        no run twice. Where a phase goes on under its worker and fence, its ``lease_expires`` is not written: it may have
        been renewed since the unit was decided.

        Raises:
            ValueError: A run is named twice.
            StorageUnavailableError: Nothing is known of any unit: it may be stored; ask ``is_committed``. (With
                ``blocking = False`` none of them is.)
            StorageRefusedError: One of them cannot be stored; of all others nothing is known, as above.
        """

    async def insert_on(
        self,
        connection: Any,  # noqa: ARG002  # not here, as all of these
        unit: Unit,  # noqa: ARG002
        tell: Callable[[], object],  # noqa: ARG002
        same: Callable[[str, str], bool] = same_json,  # noqa: ARG002
    ) -> str:
        """Insert a run in a transaction of the host's; gives its id, or that of the run that holds its key.

        Args:
            connection: What the host is in a transaction on.
            unit: Inserts the run; starts nothing.
            tell: Called once the transaction is committed, where that can be known.
            same: Says whether two encoded inputs are the same.

        Raises:
            KeyConflictError: The key stands for a run that was started with another input.
            RuntimeUsageError: This storage has no transactions of the host's, or the connection is of another kind.
        """
        msg = f"start(connection=...) needs a database; {self!r} has no transactions of yours"
        raise RuntimeUsageError(msg)

    def begin(self) -> Transaction:
        """Begin the transaction of a transactional phase.

        Raises:
            RuntimeUsageError: This storage has none.
        """
        msg = f"a transactional phase needs a database; {self!r} has no transactions"
        raise RuntimeUsageError(msg)

    def nudge(self, namespace: str, nudge: Nudge) -> None:  # noqa: B027  # where nobody can be reached
        """Tell other processes, soon; never blocks and never raises, may be called from any thread.

        A hint and no more. A transaction of the host's that ``insert_on`` was used in nudges by itself.
        """

    def listen(self, namespace: str, heard: Callable[[Nudge], object]) -> Callable[[], None]:  # noqa: ARG002  # nothing to hear
        """Call ``heard``, from any thread, for the nudges of a namespace, our own too; gives a function that ends this.

        By default there is nothing to hear.
        """
        return lambda: None

    @abstractmethod
    def is_committed(self, namespace: str, run_id: str, commit_id: int) -> bool:
        """Whether the unit of this id, which has events, is stored."""

    @abstractmethod
    def claim(self, request: ClaimRequest, grant: Grant) -> Claimed:
        """Find rows that are PENDING or RETRYING and due, best (priority, available_at, run id, path) first.

        Runs whose state is one of ``SETTLED_STATES`` are passed over. For each run found, ``grant`` is asked once,
        in the claim's own transaction with the run's row locked, and the unit it gives is committed there. A run
        that another worker holds locked is passed over.

        Of a run that the request knows, only the phases written since the known revision are given to ``grant``.
        """

    @abstractmethod
    def age(self, namespace: str, now: datetime | None, waited: timedelta, limit: int) -> int:
        """Give priority 0 to rows that a claim could offer and that have been due for so long; gives how many they were.

        At most ``limit`` at once. Rows that are being written at this moment may be left out. It is no commit of their
        runs: no revision rises, and a row that is written later gets the priority that its writer knows. May come from any
        thread at any time. Judged at ``now``; None: by the storage's own clock.
        """

    def workers(self, namespace: str) -> Sequence[WorkerRecord]:  # noqa: ARG002  # where nobody else is
        """The rows of all workers of a namespace; none where there is one process only."""
        return ()

    @abstractmethod
    def enlist(self, worker: WorkerRecord) -> Sequence[WorkerRecord]:
        """Store a worker's row and give the rows of all others on the list of its namespace."""

    @abstractmethod
    def retire(self, namespace: str, worker_id: str) -> None:
        """Remove a worker's row, unless it holds leases: by the row others see that its process is gone."""

    @abstractmethod
    def renew(self, namespace: str, worker_id: str, now: datetime, until: datetime) -> Collection[HeldPhase]:
        """Extend all leases a worker holds, and say what it holds; phases that are being written may be left out."""

    @abstractmethod
    def lost(
        self,
        namespace: str,
        now: datetime | None,
        dead_workers: Collection[str],
        definitions: Collection[Definition],
        limit: int,
    ) -> Sequence[HeldPhase]:
        """Running phases of runs of these definitions whose lease ran out, or whose worker is named; at most ``limit``.

        Leases are judged at ``now``; None: by the storage's own clock.
        """

    @abstractmethod
    def due(
        self, namespace: str, now: datetime | None, definitions: Collection[Definition], limit: int
    ) -> DueWaits:
        """Phases that run without a worker and whose ``due_at`` has come, of runs of these definitions; at most ``limit``.

        Runs whose state is one of ``STANDING_STATES`` are passed over. Times are judged at ``now``; None: by the
        storage's own clock.
        """

    @abstractmethod
    def overdue(
        self, namespace: str, now: datetime | None, definitions: Collection[Definition], limit: int
    ) -> DueRuns:
        """Runs of these definitions whose ``expires_at`` has come; at most ``limit``.

        Times are judged at ``now``; None: by the storage's own clock.
        """

    @abstractmethod
    def late(
        self, namespace: str, now: datetime | None, definitions: Collection[Definition], limit: int
    ) -> LateLevels:
        """Runs of these definitions, and phases of them, that have not ended, and whose ``sla_at`` has come; at most ``limit``.

        In whatever state they are; those that are ``breached`` are passed over. Times are judged at ``now``; None: by the
        storage's own clock.
        """

    @abstractmethod
    def messages(self, namespace: str, definitions: Collection[Definition], limit: int) -> Sequence[Message]:
        """Messages that have not been heard, to runs of these definitions; at most ``limit``, in any order.

        There are hardly ever any, and workers ask several times a second.
        """

    @abstractmethod
    def heard(self, namespace: str, messages: Sequence[Message]) -> None:
        """Delete messages; those that are gone already do no harm. May come from any thread at any time."""

    @abstractmethod
    def backlog(self, namespace: str, now: datetime | None) -> Sequence[Backlog]:
        """What waits for a worker and is due, of all definitions, each queue of each once; in any order.

        Runs whose state is one of ``SETTLED_STATES`` are passed over. Judged at ``now``; None: by the storage's own
        clock. It must cost little however many phases wait: workers ask every few seconds.
        """

    @abstractmethod
    def tally(self, namespace: str, now: datetime | None, at_most: int) -> Tally:
        """Count what waits for a worker and is due, as ``backlog`` judges it, and dead letters.

        Of each queue, priority and definition, and of the letters of all pipelines together, ``at_most`` are counted, so that
        asking costs a bounded time however many there are.
        """

    @abstractmethod
    def load(self, namespace: str, run_id: str, since: int = 0) -> RunRows | None:
        """A run with its phases and signals, without inputs and outputs; None if there is none.

        Args:
            namespace: Where the run lives.
            run_id: Its id.
            since: Give only phases and signals that were written after this revision of the run.
        """

    def head(self, namespace: str, run_id: str) -> RunRecord | None:
        """A run's own row alone; None if there is none."""
        rows = self.load(namespace, run_id)
        return None if rows is None else rows.run

    def places(self, namespace: str, run_id: str) -> Sequence[Place]:
        """The phases of a run that are not gone, folded by their place in the graph, in the order in which they came up.

        Of a run that is not there it gives none. It is asked where a map may have very many items: it should count them, and
        not read each.
        """
        found = self.load(namespace, run_id)
        return () if found is None else places_of(found.phases)

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
        """Phases of a run that are not gone, in the order in which they came up, without their outputs.

        Args:
            namespace: Where the run lives.
            run_id: Its id.
            place: Only those at this place in the graph: ``pick[]`` for the items of the map ``pick``; or the one of this path: ``pick[3]``.
            states: Only those in one of these states.
            after: Only those that came up behind this ``position``.
            limit: How many at most.
        """
        found = self.load(namespace, run_id)
        rows = () if found is None else found.phases
        return page_of(rows, place=place, states=states, after=after, limit=limit)

    @abstractmethod
    def find(
        self,
        namespace: str,
        wanted: RunFilter = EVERY_RUN,
        *,
        after: str | None = None,
        limit: int,
        newest_first: bool = False,
    ) -> Sequence[RunRecord]:
        """Runs that ``wanted.matches``, in the order of their ids, which is that of their creation, or against it.

        Args:
            namespace: Where they live.
            wanted: Which are meant.
            after: Only those beyond this id in the order that was asked for; None: from the first on.
            limit: How many at most.
            newest_first: Give the greatest id first.
        """

    @abstractmethod
    def count(self, namespace: str, wanted: RunFilter = EVERY_RUN) -> Mapping[str, int]:
        """How many runs ``wanted.matches``, by state; states of none are left out."""

    def open_runs(self, namespace: str, at_most: int) -> int:
        """How many runs have not ended, counted no further than ``at_most``; it may be asked with each start."""
        return len(self.find(namespace, RunFilter(ended=False), limit=at_most))

    @abstractmethod
    def usage(self, namespace: str, wanted: RunFilter = EVERY_RUN) -> Usage:
        """What was used in all runs that ``wanted.matches``, by their ``spending``."""

    @abstractmethod
    def statistics(
        self, namespace: str, wanted: RunFilter = EVERY_RUN, by: Grouping = "pipeline"
    ) -> Sequence[Statistics]:
        """How all runs that ``wanted.matches`` went, or their phases, group by group, in the order of their names."""

    @abstractmethod
    def letters(
        self,
        namespace: str,
        wanted: LetterFilter = EVERY_LETTER,
        *,
        after: LetterKey | None = None,
        limit: int,
        newest_first: bool = False,
    ) -> Sequence[DeadLetter]:
        """Dead letters that ``wanted.matches``, in the order of their keys, or against it.

        Args:
            namespace: Where their runs live.
            wanted: Which are meant.
            after: Only those beyond this key in the order that was asked for; None: from the first on.
            limit: How many at most.
            newest_first: Give the greatest key first.
        """

    @abstractmethod
    def purge(self, namespace: str, wanted: RunFilter, limit: int) -> Sequence[str]:
        """Delete, in one transaction, the first runs that ``wanted.matches`` and that have ended; gives their ids.

        Those that have told another run something that was not heard yet are left for another time.

        Each is deleted as a whole: its row, key and marks, phases, values, events, checkpoints, dead letter, and all else
        that bears its id. May come from any thread at any time. What is decided on a run that is gone finds none.

        Args:
            namespace: Where they live.
            wanted: Which are meant; those that go on never are.
            limit: How many at most, in the order of their ids.
        """

    @abstractmethod
    def keyed(self, namespace: str, pipeline: str, key: str) -> str | None:
        """Id of the run of a pipeline that holds an idempotency key."""

    @abstractmethod
    def values(self, namespace: str, run_id: str, paths: Iterable[str]) -> Mapping[str, str]:
        """Encoded outputs by path (``""`` is the run's input); paths without one, and rows that are gone, are left out.

        The output of a row that is ``same_as`` another is that of the other, as it was when the row was written.
        """

    def beginning(self, namespace: str, run_id: str, path: str, characters: int) -> Beginning | None:
        """What one of these values begins with, at most so many characters; None where ``values`` has none.

        By default it is cut from the whole. A storage that can read the beginning alone overrides this: values may be very large.
        """
        text = self.values(namespace, run_id, (path,)).get(path)
        return None if text is None else Beginning.of(text, characters)

    @abstractmethod
    def steps(self, namespace: str, run_id: str, path: str, generation: int) -> Mapping[str, str]:
        """Stored results of a phase's steps by key, and what its body saved under ``KEPT``."""

    @abstractmethod
    def checkpoints(self, namespace: str, run_id: str) -> Sequence[Checkpoint]:
        """The checkpoints of a run that are not gone, oldest first."""

    @abstractmethod
    def events(self, namespace: str, run_id: str, after: int, limit: int) -> Sequence[Event]:
        """Events numbered above ``after``, in order, at most ``limit``."""


class Queue(ABC):
    """Carries permits: "there may be work on queue Q". A permit names no run and holds no data.

    Losing, doubling or inventing permits changes no outcome, only how soon work is found.
    """

    crosses_processes: ClassVar[bool] = False
    """Whether a permit that is put here wakes other processes."""

    def check(self, queue: str) -> None:  # noqa: B027  # most carry any name
        """Refuse a name that it cannot carry.

        Raises:
            DefinitionError: It is one.
        """

    @abstractmethod
    def put(self, queue: str) -> None:
        """Send a permit. Never blocks and never raises, may be called from any thread."""

    @abstractmethod
    def listen(self, wake: Callable[[str], bool], queues: Iterable[str]) -> Callable[[], None]:
        """Call ``wake(queue)`` for each permit for these queues from now on, from any thread.

        Args:
            wake: Says whether there was room to take up work. A permit that found none may be handed on to another
                process.
            queues: Whose permits to hear.

        Returns:
            A function that ends this.
        """

    def flush(self, seconds: float) -> None:  # noqa: B027  # most send at once
        """Block until what was put is sent, for at most that long."""

    def close(self) -> None:  # noqa: B027  # most hold nothing
        """Let go of threads and connections, and of permits that could not be sent; may block for a second.

        A runtime calls it at its end; others may use the queue still, so that a later ``put`` begins anew.
        """

    def ping(self) -> None:  # noqa: B027  # most need nobody else
        """Reach whoever carries the permits; blocks.

        Raises:
            QueueUnavailableError: There is no answer.
        """


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> datetime:
        """Aware UTC."""
        ...

    def sql_now(self) -> datetime | None:
        """The moment with which a storage compares due times and leases; None: its own time."""
        ...

    def follow(self, ask: Callable[[], datetime]) -> None:
        """Ask the storage for its time, and take that over; a clock that stands by itself need not. It may block."""
        ...

    async def sleep_until(self, moment: datetime) -> None:
        """Return once ``now()`` has reached the moment."""
        ...

    async def rest(self, span: timedelta) -> None:
        """Return once so much time has passed; between two looks at what nobody tells of, so that it may be later, too."""
        ...
