"""How a runtime and what it depends on are, as frozen data."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final, cast

import attrs

from phaseline.rows import Definition

PATIENCE = timedelta(minutes=1)
"""How long phases may wait for a worker before this is a problem, where the caller says nothing."""
NOBODY: Final = timedelta(seconds=10)
"""How long they may wait where no worker is on the list: one that is begun with them has yet to come."""


@attrs.frozen(kw_only=True)
class QueueHealth:
    """A queue on which phases are due that no worker has taken."""

    queue: str
    """Name of the queue."""
    since: datetime
    """When the one that waits longest fell due."""
    waited: timedelta
    """How long that is ago."""
    definitions: tuple[Definition, ...]
    """Of what they are phases."""


@attrs.frozen(kw_only=True)
class ScheduleHealth:
    """A schedule that is due, and that nobody has fired."""

    name: str
    """Name of the schedule."""
    since: datetime
    """When it fell due."""
    waited: timedelta
    """How long that is ago."""


@attrs.frozen(kw_only=True)
class WorkerHealth:
    """A worker on the list of its namespace."""

    id: str
    """By which phases name who holds them."""
    pid: int
    """Process id on its host."""
    seen_at: datetime
    """When it last gave a sign of life, by the storage's time."""
    alive: bool
    """Whether it did so within a lease, and its process is not known to be gone."""


@attrs.frozen(kw_only=True)
class ThreadsHealth:
    """The threads of this process in which plain functions run."""

    limit: int
    """How many there are at most."""
    busy: int
    """Calls that have not returned, abandoned ones included."""
    abandoned: int
    """Calls that were given up, by a timeout or a cancellation, and go on all the same. At the limit of busy ones no
    phase that needs a thread is claimed here."""


@attrs.frozen(kw_only=True)
class Health:
    """What ``runtime.health()`` found."""

    at: datetime | None
    """When, by the storage's time; None if that does not answer."""
    namespace: str
    """Namespace of the runtime."""
    patience: timedelta
    """How long phases may wait for a worker before this is a problem."""
    storage: str | None
    """What is wrong with the storage; None if it answers."""
    broker: str | None
    """What is wrong with the queue's broker; None if it answers, or there is none."""
    transport: str | None = None
    """What is wrong with the transport of events; None if nothing is known to be, or there is none, or the runtime is not open."""
    last_sweep: datetime | None
    """When this process last looked over everything; None if it serves nothing, or has not yet."""
    queues: tuple[QueueHealth, ...]
    """Those on which phases wait, the longest waiting first."""
    lost: int = 0
    """Phases that were begun by workers that are gone, counted where no worker is alive that would take them up: at most 100, and
    of pipelines alone that the runtime knows."""
    schedules: tuple[ScheduleHealth, ...] = ()
    """Those that fell due longer than ``patience`` ago, the longest first; not those that wait for the end of a run of theirs."""
    workers: tuple[WorkerHealth, ...]
    """All on the list."""
    lists_workers: bool
    """Whether there is a list; there is none where one process is all there is."""
    unknown: tuple[Definition, ...]
    """Definitions with waiting phases that this runtime does not know: it leaves them to others."""
    threads: ThreadsHealth | None
    """None if the runtime is not open."""

    @property
    def ok(self) -> bool:
        """Whether there are no problems."""
        return not self.problems

    @property
    def problems(self) -> tuple[str, ...]:
        """What somebody should look at, a sentence each."""
        return tuple(self._problems())

    def _problems(self) -> Iterator[str]:
        if self.storage is not None:
            yield f"the storage does not answer: {self.storage}"
        if self.broker is not None:
            yield f"the broker does not answer, and workers find work by looking only: {self.broker}"
        if self.transport is not None:
            yield f"the transport of events does not answer, and those of other processes are told late: {self.transport}"
        for queue in self.queues:
            if queue.waited > self.patience:
                names = ", ".join(sorted(f"{each.pipeline} {each.version}" for each in queue.definitions))
                yield (
                    f"on queue {queue.queue!r} a phase waits for a worker since {queue.since:%Y-%m-%d %H:%M:%S} UTC "
                    f"({queue.waited.total_seconds():.0f} s), of: {names}"
                )
        for schedule in self.schedules:
            yield (
                f"schedule {schedule.name!r} is due since {schedule.since:%Y-%m-%d %H:%M:%S} UTC "
                f"({schedule.waited.total_seconds():.0f} s), and no worker fires it"
            )
        if self._lacks_workers:
            yield "phases wait, and no worker is alive; phaseline worker MODULE:NAME starts one"
        if self.at is not None and self.last_sweep is not None and self.at - self.last_sweep > self.patience:
            yield f"this worker has not looked for lost work since {self.last_sweep:%Y-%m-%d %H:%M:%S} UTC"
        if self.threads is not None and self.threads.abandoned >= self.threads.limit:
            yield (
                f"all {self.threads.limit} threads of this process are held by calls that were given up and do not return: "
                "it takes no phase that needs one"
            )

    @property
    def _lacks_workers(self) -> bool:
        if not self.lists_workers or any(worker.alive for worker in self.workers):
            return False
        if self.lost:
            return True
        return bool(self.queues) and (bool(self.workers) or self.queues[0].waited > NOBODY)

    def to_dict(self) -> dict[str, Any]:
        """Give it all in what JSON knows: times as ISO texts, durations in seconds."""
        found: dict[str, Any] = attrs.asdict(self, value_serializer=_plain)
        return {"ok": self.ok, "problems": list(self.problems), **found}


def _plain(_: object, __: object, value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Definition):
        return value._asdict()
    if isinstance(value, tuple):
        return [
            _plain(None, None, each) for each in cast("tuple[object, ...]", value)
        ]  # of whatever there is
    return value
