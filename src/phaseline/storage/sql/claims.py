"""Who holds what: claims, leases, and the workers that hold them."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import chain, groupby
from operator import itemgetter
from typing import Any, Final

import attrs

from phaseline.abc import ClaimRequest, DueRuns, DueWait, DueWaits, Grant, HeldPhase, WorkerRecord
from phaseline.limits import Slots, rates_in
from phaseline.rows import WAITING_PHASES, Definition, RunRecord, RunState
from phaseline.storage.sql import lanes, reads, rows, starts
from phaseline.storage.sql.access import Access
from phaseline.storage.sql.parts import SETTLED, STANDING, is_of, moment_of, run_is
from phaseline.unit_of_work import RunRows, Unit

log: Final = logging.getLogger("phaseline.storage")

Candidate = tuple[str, str, int, str | None]
"""Run id, path and priority of a row that waits, and the limits it is under."""
_WORKER_COLUMNS = ", ".join(rows.WORKER)
LARGE_INPUT = 8_192
"""Length from which on the input of a run is read when it is needed, and not with the claim."""
LOCK_TRIES = 3
LOCK_PAUSE = 0.005
"""Seconds to wait where others hold every candidate locked."""


# --------------------------------------------------------------------- claims
@attrs.frozen
class Found:
    """What a look without locks came to."""

    rows: Sequence[Candidate] = ()
    """Those that are due, best first, one more than asked for if there are as many."""
    now: datetime | None = None
    """The moment at which they are due, if any is."""
    next_due: datetime | None = None
    """When the next one falls due, or may be started by the rates it is under."""
    rated: Sequence[str] = ()
    """The limits of due rows that are under rates."""


def candidates(ask: Access, request: ClaimRequest) -> Found:
    """Look, without locks, for rows that are due."""
    found = _lanes(ask, request)
    if not found:
        return Found()
    moment = found[0].now
    now, rows_found = rows.time_of(moment), list[_Row]()
    due = sorted((lane for lane in found if lane.first <= moment), key=lambda lane: lane.priority)
    limits = {lane.limits for lane in due if lane.limits}
    slots = _slots(ask, request.namespace, limits, now) if limits else Slots()
    for _, level in groupby(due, key=lambda lane: lane.priority):
        best: list[_Row] = []
        for lane in sorted(level, key=lambda lane: lane.first):
            if len(best) > request.limit:
                last = _fitting(slots, rows_found, best)[request.limit :]
                if last and last[0][0] < lane.first:
                    break  # there are enough that came before all in the lanes to come
            best = sorted([*best, *_first_of(ask, request, lane, slots)], key=itemgetter(0, 1, 2))
        rows_found += _fitting(slots, rows_found, best)
        if len(rows_found) > request.limit:
            break
    later = [rows.time_of(lane.following) for lane in found if lane.following is not None]
    rated = [some for some in limits if rates_in(some)]
    return Found(
        [row[1:] for row in rows_found[: request.limit + 1]],
        now if rows_found else None,
        min([*later, *slots.free_at(rated)], default=None),
        rated,
    )


_Row = tuple[int, str, str, int, str | None]
"""A candidate behind the time at which it is due."""


def _fitting(slots: Slots, before: Sequence[_Row], rows_found: Sequence[_Row]) -> list[_Row]:
    """Which of these rows could be started together with those before them: what waits for a slot hides no other one."""
    if all(row[-1] is None for row in rows_found):
        return [*rows_found]
    return slots.fitting((row, row[-1]) for row in (*before, *rows_found))[len(before) :]


@attrs.frozen
class _Lane:
    """A lane in which rows wait that the request would take; times are microseconds."""

    name: str
    priority: int
    queue: str
    limits: str
    first: int
    """When the first row in it is due."""
    following: int | None
    """When the next one falls due of those that are not."""
    now: int


def _lanes(ask: Access, request: ClaimRequest) -> list[_Lane]:
    """Find the lanes of these definitions and queues, jumping from each to the next."""
    if not request.definitions:
        return []
    now, given = moment_of(ask, request.now)
    heads = [lanes.head(definition) for definition in sorted(request.definitions)]
    of_lane = "FROM phaseline_phase_execution p WHERE p.namespace = ? AND p.lane = l.lane"
    following = (
        "(SELECT min(p.lane) FROM phaseline_phase_execution p "
        "WHERE p.namespace = ? AND p.lane > l.lane AND p.lane < l.until)"
    )
    found = ask(
        f"WITH RECURSIVE heads (lane, until) AS (VALUES {', '.join(['(CAST(? AS TEXT), CAST(? AS TEXT))'] * len(heads))}), "  # noqa: S608  # names of ours
        f"lanes (lane, until) AS (SELECT {following}, l.until FROM heads l "
        f"UNION ALL SELECT {following}, l.until FROM lanes l WHERE l.lane IS NOT NULL) "
        f"SELECT l.lane, (SELECT min(p.available_at) {of_lane}), "
        f"(SELECT min(p.available_at) {of_lane} AND p.available_at > {now}), {now} FROM lanes l WHERE l.lane IS NOT NULL",
        (
            *chain(*((head, lanes.after(head)) for head in heads)),
            *[request.namespace] * 4,
            *given * 2,
        ),
    )
    every = [_Lane(name, *lanes.parts(name), first, following, now) for name, first, following, now in found]
    return [lane for lane in every if request.queues is None or lane.queue in request.queues]


def _slots(ask: Access, namespace: str, limits: Iterable[str], now: datetime) -> Slots:
    """Count the slots that are held, for a phase under limits that has a worker holds one of each, and what rates count."""
    held = ask(
        "SELECT limits, count(*) FROM phaseline_phase_execution "
        "WHERE namespace = ? AND worker IS NOT NULL AND limits IS NOT NULL GROUP BY limits",
        (namespace,),
    )
    names = {rate.name for some in limits for rate in rates_in(some)}
    return Slots(held, starts.read(ask, namespace, names) if names else None, now)


def _first_of(ask: Access, request: ClaimRequest, lane: _Lane, slots: Slots) -> list[_Row]:
    """Read the first rows of a lane that are due: available_at, run id, path, priority and limits."""
    room = request.limit + 1
    if lane.limits:
        room = min(room, slots.free(lane.limits))
        if room <= 0:
            return []
    others, quarantined = "", list[Any]()
    if request.quarantined:
        others, value = ask.dialect.outside(request.quarantined)
        others, quarantined = f"AND p.run_id {others} ", [value]
    return ask(
        "SELECT p.available_at, p.run_id, p.path, p.priority, p.limits FROM phaseline_phase_execution p "  # noqa: S608  # names of ours
        "WHERE p.namespace = ? AND p.lane = ? AND p.available_at <= ? "
        f"{others}AND {run_is(f'r.state NOT IN ({SETTLED}) AND {is_of(request.definitions)}')} "
        "ORDER BY p.available_at, p.run_id, p.path LIMIT ?",
        (request.namespace, lane.name, lane.now, *quarantined, *chain(*request.definitions), room),
    )


@attrs.define
class Granted:
    """What is to be written of a claim."""

    units: list[Unit] = attrs.field(factory=list[Unit])
    free_at: datetime | None = None
    """When the next row may be started, as far as rates are concerned."""
    quarantined: list[str] = attrs.field(factory=list[str])
    """Runs of which what is stored cannot be read."""


def granted(ask: Access, request: ClaimRequest, grant: Grant, found: Found, now: datetime) -> Granted:
    """Inside a transaction: lock the runs of candidates, and ask what is to be written of each."""
    by_run: dict[str, list[str]] = {}
    limits: dict[tuple[str, str], str] = {}
    for run_id, path, _, under in found.rows[: request.limit]:
        by_run.setdefault(run_id, []).append(path)
        if under is not None:
            limits[run_id, path] = under
    done = Granted()
    slots: Slots | None = None
    for stored in _locked(ask, request, by_run, done.quarantined):
        gone = {
            row.path for row in stored.phases if row.state not in WAITING_PHASES or row.available_at > now
        }
        paths = [path for path in by_run[stored.run.id] if path not in gone]  # others were faster with these
        if limits:
            if slots is None:  # run rows are locked: whoever waits here waits for nobody else who does
                ask.dialect.lock_limits(ask, request.namespace)
                slots = _slots(ask, request.namespace, [*limits.values(), *found.rated], now)
            paths = slots.fitting([(path, limits.get((stored.run.id, path))) for path in paths])
        unit = grant(stored, paths, now) if paths else None
        if unit is not None:
            done.units.append(unit)
            if slots is not None:
                slots.hold_of((row.worker, row.limits) for row, _ in unit.updated)
    if slots is not None:
        starts.write(ask, request.namespace, slots.begun, now)
        done.free_at = min(slots.free_at(found.rated), default=None)
    return done


def _locked(
    ask: Access, request: ClaimRequest, run_ids: Collection[str], quarantined: list[str]
) -> Iterable[RunRows]:
    """Lock the runs that nobody else holds locked, in the order of their ids, and read them."""
    locked = _lock(ask, request.namespace, run_ids, quarantined)
    known = request.known
    unknown = [run_id for run_id in locked if run_id not in known]
    found: Mapping[str, list[rows.Row]] = {}
    if unknown:
        found = reads.phases_of_many(ask, request.namespace, unknown)
    for run_id in run_ids:  # in the order of the candidates, so that what is best is started first
        if run_id not in locked:
            continue
        run, input_text = locked[run_id]
        try:
            if run_id in known:
                read = reads.rows_of(ask, run, known[run_id])
            else:
                phases = [rows.phase_from(row) for row in found.get(run_id, ())]
                read = RunRows(run, phases, signals=reads.signals(ask, run, 0), input=input_text)
        except (ValueError, TypeError):  # of what is stored, not of the storage
            _quarantine(run_id, quarantined)
        else:
            yield read


def _lock(
    ask: Access, namespace: str, run_ids: Collection[str], quarantined: list[str]
) -> Mapping[str, tuple[RunRecord, str | None]]:
    """Lock runs; gives them by id, with the input of those that have not begun, unless it is large."""
    listed, value = ask.dialect.among(run_ids)
    statement = (
        f"SELECT CASE WHEN state = '{RunState.IDLE}' AND {ask.dialect.octets}(input) < {LARGE_INPUT} THEN input END, "  # noqa: S608  # names of ours
        f"{reads.RUN_COLUMNS} FROM phaseline_pipeline_run WHERE namespace = ? AND id {listed} "
        f"ORDER BY id{ask.dialect.lock}"
    )
    for tries in range(1, LOCK_TRIES + 1):
        found = ask(statement, (namespace, value))
        if found or tries == LOCK_TRIES:
            read = [(_run_from(row[1:], quarantined), row[0]) for row in found]
            return {run.id: (run, text) for run, text in read if run is not None}
        time.sleep(LOCK_PAUSE)  # all are being written at this moment: they are free again soon
    raise AssertionError  # the last try returns


def _run_from(row: rows.Row, quarantined: list[str]) -> RunRecord | None:
    try:
        return rows.run_from(row)
    except (ValueError, TypeError):
        _quarantine(row[rows.RUN.index("id")], quarantined)
        return None


def _quarantine(run_id: str, quarantined: list[str]) -> None:
    """Say of a run that cannot be read that it is not carried on; all others are."""
    quarantined.append(run_id)
    log.error(
        "run %s is left alone: what is stored of it cannot be read",
        run_id,
        exc_info=True,  # noqa: LOG014  # for handlers
        extra={"run_id": run_id},
    )


def _marks(values: Collection[Any]) -> str:
    return ", ".join("?" * len(values)) or "NULL"


# --------------------------------------------------------------------- workers and leases
def enlist(ask: Access, worker: WorkerRecord) -> Sequence[WorkerRecord]:
    """Store a worker's row, and read those of the others."""
    ask.dialect.take_turns(ask)  # of two that enlist at once, one must learn of the other
    others = ask(
        f"SELECT {_WORKER_COLUMNS} FROM phaseline_worker WHERE namespace = ? AND id <> ?",  # noqa: S608  # names of ours
        (worker.namespace, worker.id),
    )
    ask.changed("DELETE FROM phaseline_worker WHERE namespace = ? AND id = ?", (worker.namespace, worker.id))
    ask.changed(
        f"INSERT INTO phaseline_worker ({_WORKER_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608  # names of ours
        rows.worker_row(worker),
    )
    return [rows.worker_from(other) for other in others]


def workers(ask: Access, namespace: str) -> Sequence[WorkerRecord]:
    """Read the rows of all workers."""
    found = ask(f"SELECT {_WORKER_COLUMNS} FROM phaseline_worker WHERE namespace = ?", (namespace,))  # noqa: S608  # names of ours
    return [rows.worker_from(row) for row in found]


def retire(ask: Access, namespace: str, worker_id: str) -> None:
    """Remove a worker's row, unless it holds leases."""
    ask.changed(
        "DELETE FROM phaseline_worker WHERE namespace = ? AND id = ? AND NOT EXISTS ("
        "SELECT 1 FROM phaseline_phase_execution p WHERE p.namespace = ? AND p.worker = ?)",
        (namespace, worker_id, namespace, worker_id),
    )


def renew(
    ask: Access, namespace: str, worker_id: str, now: datetime, until: datetime
) -> Collection[HeldPhase]:
    """Extend the leases of a worker, and note that it lives; gives what it holds."""
    ask.changed(
        "UPDATE phaseline_worker SET seen_at = ? WHERE namespace = ? AND id = ?",
        (rows.micros(now), namespace, worker_id),
    )
    # Rows that are being written at this moment are passed over: waiting for them in an order of our own could deadlock
    # with who writes them, and their lease ends or was just given.
    held = ask(
        "UPDATE phaseline_phase_execution SET lease_expires = ? WHERE (namespace, run_id, path, epoch) IN ("  # noqa: S608  # names of ours
        "SELECT namespace, run_id, path, epoch FROM phaseline_phase_execution "
        f"WHERE namespace = ? AND worker = ?{ask.dialect.lock}) RETURNING run_id, path, fence",
        (rows.micros(until), namespace, worker_id),
    )
    return [HeldPhase(run_id, path, fence) for run_id, path, fence in held]


def lost(  # noqa: PLR0917  # as the port has them
    ask: Access,
    namespace: str,
    now: datetime | None,
    dead_workers: Collection[str],
    definitions: Collection[Definition],
    limit: int,
) -> Sequence[HeldPhase]:
    """Read which phases are held by a worker that is gone."""
    expression, moment = moment_of(ask, now)
    found = ask(
        "SELECT p.run_id, p.path, p.fence FROM phaseline_phase_execution p "  # noqa: S608  # marks only
        "WHERE p.namespace = ? AND p.worker IS NOT NULL "
        f"AND (p.lease_expires <= {expression} OR p.worker IN ({_marks(dead_workers)})) "
        f"AND {run_is(is_of(definitions))} ORDER BY p.run_id, p.path LIMIT ?",
        (namespace, *moment, *dead_workers, *chain(*definitions), limit),
    )
    return [HeldPhase(run_id, path, fence) for run_id, path, fence in found]


# --------------------------------------------------------------------- waits
def due(
    ask: Access, namespace: str, now: datetime | None, definitions: Collection[Definition], limit: int
) -> DueWaits:
    """Read which waits have come to their time, and when the next one does."""
    expression, moment = moment_of(ask, now)
    condition = (
        "WHERE p.namespace = ? AND p.state = 'RUNNING' "
        f"AND {run_is(f'r.state NOT IN ({STANDING}) AND {is_of(definitions)}')}"
    )
    values = (namespace, *chain(*definitions), *moment)
    found = ask(
        f"SELECT p.due_at, p.run_id, p.path FROM phaseline_phase_execution p {condition} "  # noqa: S608  # names of ours
        f"AND p.due_at <= {expression} ORDER BY p.due_at, p.run_id, p.path LIMIT ?",
        (*values, limit),
    )
    waits = [DueWait(run_id, path, rows.time_of(due_at)) for due_at, run_id, path in found]
    if len(waits) == limit:
        return DueWaits(waits, None)
    following = ask.value(
        f"SELECT p.due_at FROM phaseline_phase_execution p {condition} "  # noqa: S608  # names of ours
        f"AND p.due_at > {expression} ORDER BY p.due_at LIMIT 1",
        values,
    )
    return DueWaits(waits, rows.moment(following))


def overdue(
    ask: Access, namespace: str, now: datetime | None, definitions: Collection[Definition], limit: int
) -> DueRuns:
    """Read which runs must be over, and when the next one must."""
    expression, moment = moment_of(ask, now)
    condition = (
        f"FROM phaseline_pipeline_run r{ask.dialect.by('run_expiry')} WHERE r.namespace = ? AND r.expires_at IS NOT NULL "
        f"AND {is_of(definitions)}"
    )
    values = (namespace, *chain(*definitions), *moment)
    found = ask(
        f"SELECT r.id {condition} AND r.expires_at <= {expression} ORDER BY r.expires_at, r.id LIMIT ?",  # names of ours
        (*values, limit),
    )
    run_ids = [run_id for (run_id,) in found]
    if len(run_ids) == limit:
        return DueRuns(run_ids, None)
    following = ask.value(
        f"SELECT r.expires_at {condition} AND r.expires_at > {expression} ORDER BY r.expires_at LIMIT 1",  # names of ours
        values,
    )
    return DueRuns(run_ids, rows.moment(following))
