"""Finds out how the storage, the broker, the queues and the workers are."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import attrs

from phaseline._shell.ids import host_identity, is_gone
from phaseline._shell.scheduling import goes_on
from phaseline._shell.storage_use import PAUSE, is_open, looked_at
from phaseline.abc import Backlog, Queue, Storage, Tally
from phaseline.errors import QueueUnavailableError, StorageError
from phaseline.health import PATIENCE, Health, QueueHealth, ScheduleHealth, ThreadsHealth, WorkerHealth
from phaseline.metrics import Figures
from phaseline.rows import Definition

if TYPE_CHECKING:
    from phaseline._shell.options import RunnerOptions
    from phaseline._shell.runner import Runner

MOST_SCHEDULES: Final = 1_000
"""Schedules that are due, and are looked at."""
MOST_TOLD: Final = 100
"""Those of them that are told."""
MOST_LOST: Final = 100
"""Phases whose worker is gone that are counted."""
MOST_COUNTED: Final = 10_000
"""Phases of a lane, and dead letters, that are counted."""

MOMENT: Final = 5.0
"""Seconds that a runtime may take to open or close a storage until this is told as a problem."""


def examine(
    storage: Storage,
    queue: Queue,
    known: Collection[Definition],
    options: RunnerOptions,
    patience: timedelta,
    *,
    now: datetime | None = None,
) -> Health:
    """Look at all that processes share, at a moment or by the storage's clock; blocks where the storage does."""
    at: datetime | None = None
    trouble: str | None = None
    workers: tuple[WorkerHealth, ...] = ()
    found: Sequence[Backlog] = ()
    schedules: tuple[ScheduleHealth, ...] = ()
    lost = 0
    try:
        at = now or storage.now()
        workers = _workers(storage, options, at)
        found = storage.backlog(options.namespace, now)
        schedules = _overdue(storage, options.namespace, at, patience)
        if known and storage.shared and not any(worker.alive for worker in workers):  # else it takes them up
            gone = [worker.id for worker in workers]
            lost = len(storage.lost(options.namespace, now, gone, known, MOST_LOST))
    except StorageError as error:
        trouble = str(error)
    return Health(
        at=at, namespace=options.namespace, patience=patience, storage=trouble, broker=_trouble_of(queue), last_sweep=None,
        queues=() if at is None else _queues(found, at), lost=lost, schedules=schedules, workers=workers, lists_workers=storage.shared,
        unknown=tuple(sorted({each.definition for each in found} - set(known))), threads=None,
    )  # fmt: skip


def examine_closed(
    storage: Storage, queue: Queue, known: Collection[Definition], options: RunnerOptions, patience: timedelta
) -> Health:
    """Do so for a runtime that is not open, or not yet, or no more; what a runtime uses is neither opened nor closed for it.

    One that just opens it, or closes it, has no connection that could be asked: that is no problem, and over in a moment.
    """
    until = time.monotonic() + MOMENT
    while True:
        was_open = is_open(storage)
        with looked_at(storage) as is_opened:
            if is_opened:
                with suppress(StorageError):  # asked below, it says what is the matter
                    storage.open()
            try:
                found = examine(storage, queue, known, options, patience)
            finally:
                if is_opened:
                    storage.close()
        stays_so = is_opened or not storage.blocking or (was_open and is_open(storage))
        if stays_so or found.storage is None or time.monotonic() >= until:
            return found
        time.sleep(PAUSE)


def figures_of(runner: Runner) -> Figures:
    """Look at the same, and count what waits; blocks where the storage does."""
    storage, options, now = runner.storage, runner.options, runner.clock.sql_now()
    health = examine(storage, runner.queue, runner.plans, options, PATIENCE, now=now)
    tally: Tally | None = None
    if health.storage is None:
        try:
            tally = storage.tally(options.namespace, now, MOST_COUNTED)
        except StorageError as error:  # it went away in between
            health = attrs.evolve(health, storage=str(error))
    return Figures(health, tally, runner.served)


def threads_of(runner: Runner) -> ThreadsHealth:
    """Count the threads of this process."""
    bodies = runner.bodies
    return ThreadsHealth(
        limit=runner.options.sync_threads,
        busy=0 if bodies is None else bodies.busy,
        abandoned=0 if bodies is None else bodies.abandoned,
    )


def _trouble_of(queue: Queue) -> str | None:
    try:
        queue.ping()
    except QueueUnavailableError as error:
        return str(error)
    return None


def _workers(storage: Storage, options: RunnerOptions, at: datetime) -> tuple[WorkerHealth, ...]:
    listed = sorted(storage.workers(options.namespace), key=lambda worker: worker.id)
    if not listed:  # nor anything to read beside the storage
        return ()
    host = host_identity()
    return tuple(
        WorkerHealth(
            id=each.id,
            pid=each.pid,
            seen_at=each.seen_at,
            alive=at - each.seen_at <= options.lease and not is_gone(each, host),
        )
        for each in listed
    )


def _overdue(
    storage: Storage, namespace: str, at: datetime, patience: timedelta
) -> tuple[ScheduleHealth, ...]:
    """Find the schedules of which a slot has come, and nothing was decided of any since, as somebody does at each slot."""
    if not storage.keeps_schedules:
        return ()
    due = storage.timetable.due(namespace, at, "", MOST_SCHEDULES).schedules
    late = [
        (schedule.next_at, schedule)
        for schedule in due
        if schedule.next_at is not None and at - max(schedule.next_at, schedule.updated_at) > patience
    ]
    late.sort(key=lambda each: each[0])
    return tuple(
        ScheduleHealth(name=schedule.name, since=since, waited=at - since)
        for since, schedule in late[:MOST_TOLD]
        if schedule.overlap == "allow" or not goes_on(storage, schedule)
    )


def _queues(found: Sequence[Backlog], at: datetime) -> tuple[QueueHealth, ...]:
    by_queue: dict[str, list[Backlog]] = {}
    for each in found:
        by_queue.setdefault(each.queue, []).append(each)
    queues = [
        QueueHealth(
            queue=queue,
            since=since,
            waited=max(at - since, timedelta(0)),
            definitions=tuple(sorted(each.definition for each in waiting)),
        )
        for queue, waiting in by_queue.items()
        for since in [min(each.since for each in waiting)]
    ]
    return tuple(sorted(queues, key=lambda queue: (queue.since, queue.queue)))
