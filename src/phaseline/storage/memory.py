"""Runs in this process's memory: for tests, for pipelines that need no durability, and as the contract's model."""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import TypeVar

import attrs
from msgspec.structs import replace

from phaseline.abc import (
    Backlog,
    Claimed,
    ClaimRequest,
    DueRuns,
    DueWait,
    DueWaits,
    Grant,
    HeldPhase,
    LateLevel,
    LateLevels,
    Storage,
    Tally,
    WorkerRecord,
)
from phaseline.dead_letter import EVERY_LETTER, DeadLetter, LetterFilter, LetterKey
from phaseline.events import CheckpointCreated, Event
from phaseline.limits import Slots, Starts, rates_in
from phaseline.rows import (
    ENDED_STATES,
    SETTLED_STATES,
    STANDING_STATES,
    WAITING_PHASES,
    Checkpoint,
    Definition,
    PhaseRecord,
    PhaseState,
    RunRecord,
)
from phaseline.run_filter import EVERY_RUN, RunFilter
from phaseline.statistics import Grouping, Statistics, summed_up
from phaseline.storage.heaps import DueHeap, Entry, WaitingEntry, WaitingRows
from phaseline.storage.letterbox import LetterBox
from phaseline.storage.memory_run import MemoryRun, guards_hold
from phaseline.storage.memory_timetable import MemoryTimetable
from phaseline.timetable import Timetable
from phaseline.unit_of_work import Message, Outcome, RunRows, Unit, takes_key
from phaseline.usage import Usage, total

COMMITTED = Outcome.COMMITTED  # looked up once and not with each phase
_First = TypeVar("_First", int, datetime)
_Key = tuple[str, str]


class MemoryStorage(Storage):
    """Holds everything in dictionaries. Belongs to one process; what it holds is gone with it."""

    blocking = False
    shared = False
    keeps_schedules = True

    def __init__(self) -> None:
        self._runs: dict[_Key, MemoryRun] = {}
        self._ids: dict[str, list[str]] = {}
        """Ids of the runs of a namespace, in order."""
        self._waiting: dict[str, WaitingRows] = {}
        self._slots: dict[str, Slots] = {}
        """Those that are held, by namespace."""
        self._starts: dict[str, Starts] = {}
        """What was started under rates, by namespace."""
        self._dues: dict[str, DueHeap] = {}
        """Of each namespace the rows that run without a worker until a time."""
        self._letters: dict[str, LetterBox] = {}
        """Dead letters of each namespace."""
        self._expiries: dict[str, DueHeap] = {}
        """Of each namespace the runs that must be over at a time."""
        self._levels: dict[str, DueHeap] = {}
        """Of each namespace the runs and phases that should be over at a time."""
        self._messages: dict[str, dict[Message, None]] = {}
        """Of each namespace those that were not heard."""
        self._workers: dict[_Key, WorkerRecord] = {}
        self._keys: dict[tuple[str, str, str], str] = {}
        """Id of the run that was last given an idempotency key, by namespace, pipeline and key."""
        self._timetable: MemoryTimetable | None = None
        """Made where it is asked for: it refers back to this storage, which the collector alone would free then."""

    def __repr__(self) -> str:
        return "memory"

    @property
    def timetable(self) -> Timetable:
        if self._timetable is None:
            self._timetable = MemoryTimetable(self._write, self.now)
        return self._timetable

    def open(self) -> None:
        """There is nothing to connect to."""

    def close(self) -> None:
        """There is nothing to give back."""

    # ------------------------------------------------------------------ write
    def commit(self, units: Sequence[Unit]) -> list[Outcome]:
        if len(units) == 1:
            return [self._write(units[0])]
        if len({(unit.run.namespace, unit.run.id) for unit in units}) < len(units):
            msg = "a batch names a run twice; fold its commands into one unit"
            raise ValueError(msg)
        return [self._write(unit) for unit in units]

    def _write(self, unit: Unit) -> Outcome:
        run = unit.run
        key = (run.namespace, run.id)
        stored = self._runs.get(key)
        if unit.expected != (0 if stored is None else stored.run.revision):
            return Outcome.STALE
        takes = run.key is not None and takes_key(None if stored is None else stored.run, run)
        if takes and self._is_held_by_another(run):
            return Outcome.DUPLICATE
        if not guards_hold(stored, unit) or (unit.begins and self._are_there(unit.begins)):
            return Outcome.FENCED
        if takes:
            self._keys[run.namespace, run.pipeline, run.key or ""] = run.id
        if stored is None:
            self._runs[key] = stored = MemoryRun.of(unit)
            self._list(key)
        self._note(key, stored, unit)
        stored.write(unit)
        if unit.amended or unit.messages or unit.begins or not unit.expected:
            self._amend(key, unit)
        return COMMITTED

    def _list(self, key: _Key) -> None:
        """Keep the id of a run in order; a new one mostly comes last, and a search would touch ids all over the memory."""
        ids = self._ids.setdefault(key[0], [])
        if not ids or ids[-1] < key[1]:
            ids.append(key[1])
        else:
            insort(ids, key[1])

    def _note(self, key: _Key, stored: MemoryRun, unit: Unit) -> None:
        """Note what is to be found without its run: what waits, and who holds slots. Before the unit is written."""
        for row in unit.inserted:
            if row.limits is not None:
                self._count_slot(key[0], stored.phases.get(row.path), row, row.limits)
            if row.sla_at is not None:
                self._levels.setdefault(key[0], DueHeap()).add((row.sla_at, key[1], row.path))
            if row.worker is None and row.ended_at is None:
                self._await(key, row)
        for row, _ in unit.dropped:
            if row.limits is not None:
                self._count_slot(key[0], stored.phases.get(row.path), row, row.limits)
        for row, _ in unit.updated:
            if row.limits is not None:
                self._count_slot(key[0], stored.phases.get(row.path), row, row.limits)
            if row.worker is None and row.ended_at is None:
                self._await(key, row)

    def _count_slot(self, namespace: str, before: PhaseRecord | None, row: PhaseRecord, limits: str) -> None:
        """Note whether a row holds a slot from now on, or no more."""
        held = before is not None and before.worker is not None and before.limits == limits
        slots = self._slots.setdefault(namespace, Slots())
        if row.worker is not None and not held:
            slots.hold(limits)
        elif row.worker is None and held:
            slots.give(limits)

    def _amend(self, key: _Key, unit: Unit) -> None:
        """Note what hardly any unit changes."""
        if unit.letter is not None or unit.letter_removed:
            self._letters.setdefault(key[0], LetterBox()).replace(key[1], unit.letter)
        if unit.run.expires_at is not None:
            self._expiries.setdefault(key[0], DueHeap()).add((unit.run.expires_at, key[1], ""))
        if unit.run.sla_at is not None:
            self._levels.setdefault(key[0], DueHeap()).add((unit.run.sla_at, key[1], ""))
        if unit.messages:
            self._messages.setdefault(key[0], {}).update(dict.fromkeys(unit.messages))
        for other in unit.begins:
            self._write(other)
            if other.run.forked_from == key[1]:
                self._runs[key[0], other.run.id].take_over(self._runs[key])

    def _are_there(self, units: Iterable[Unit]) -> bool:
        return any((unit.run.namespace, unit.run.id) in self._runs for unit in units)

    def _is_held_by_another(self, run: RunRecord) -> bool:
        """Whether the key of a run stands for another one."""
        return self.keyed(run.namespace, run.pipeline, run.key or "") not in (None, run.id)

    def _await(self, key: _Key, row: PhaseRecord) -> None:
        if row.due_at is not None and row.state is PhaseState.RUNNING:
            self._dues.setdefault(key[0], DueHeap()).add((row.due_at, key[1], row.path))
        elif row.state in WAITING_PHASES:
            waiting = self._waiting.get(key[0])
            if waiting is None:
                waiting = self._waiting[key[0]] = WaitingRows(row.available_at)
            waiting.add((row.priority, row.available_at, key[1], row.path, row.limits or ""))

    def claim(self, request: ClaimRequest, grant: Grant) -> Claimed:
        waiting = self._waiting.get(request.namespace)
        if waiting is None:
            return Claimed((), None, None)
        now = request.now or self.now()
        waiting.sort(now)
        starts = self._starts.setdefault(request.namespace, Starts())
        slots = self._slots.setdefault(request.namespace, Slots()).copy(starts, now)
        rated = [
            limits
            for limits, heap in waiting.due.items()
            if limits and rates_in(limits) and self._first(request, heap, 1)
        ]
        found = self._best(request, waiting, slots, request.limit + 1)
        chosen: dict[str, list[tuple[str, str | None]]] = {}
        for _, _, run_id, path, limits in found[: request.limit]:
            chosen.setdefault(run_id, []).append((path, limits or None))
        granted = list[Unit]()
        for run_id, phases in chosen.items():
            paths = slots.fitting(phases)
            unit = grant(self._rows(request, run_id), paths, now) if paths else None
            if unit is not None:
                slots.hold_of((row.worker, row.limits) for row, _ in unit.updated)
                granted.append(unit)
        units = [unit for unit in granted if self._write(unit) is Outcome.COMMITTED]
        for rate, number in slots.begun.items():
            starts.note(rate, now, number)
        waiting.sort(now)
        later = [entry[1] for entry in self._first(request, waiting.later, 1)]
        return Claimed(
            units,
            found[-1][0] if len(found) > request.limit else None,
            min([*later, *slots.free_at(rated)], default=None),
        )

    def age(self, namespace: str, now: datetime | None, waited: timedelta, limit: int) -> int:
        waiting = self._waiting.get(namespace)
        if waiting is None:
            return 0
        now = now or self.now()
        waiting.sort(now)
        due = (entry for heap in waiting.due.values() for _, entry in heap)
        old = {
            entry
            for entry in due
            if entry[0] > 0 and entry[1] <= now - waited and self._is_offered(namespace, entry)
        }
        for _, _, run_id, path, _ in list(old)[:limit]:
            stored = self._runs[namespace, run_id]
            stored.phases[path] = row = replace(stored.phases[path], priority=0)
            self._await((namespace, run_id), row)
        return min(len(old), limit)

    def _is_offered(self, namespace: str, entry: WaitingEntry) -> bool:
        return (
            self._still_waits(namespace, entry)
            and self._runs[namespace, entry[2]].run.state not in SETTLED_STATES
        )

    def _best(
        self, request: ClaimRequest, waiting: WaitingRows, slots: Slots, limit: int
    ) -> list[WaitingEntry]:
        """Find the best rows that are due, and for which there may be a slot."""
        found: list[WaitingEntry] = []
        for limits, heap in list(waiting.due.items()):
            found += self._first(request, heap, min(limit, slots.free(limits)) if limits else limit)
            if limits and not heap:
                del waiting.due[limits]
        if len(waiting.due) == 1:
            return found
        return slots.fitting((entry, entry[-1] or None) for entry in sorted(found))[:limit]

    def _first(
        self, request: ClaimRequest, heap: list[tuple[_First, WaitingEntry]], limit: int
    ) -> list[WaitingEntry]:
        """Find the first rows of a heap that a request would take."""
        found: list[WaitingEntry] = []
        kept: list[tuple[_First, WaitingEntry]] = []
        while heap and len(found) < limit:
            item = heapq.heappop(heap)
            if (kept and item == kept[-1]) or not self._still_waits(request.namespace, item[1]):
                continue
            kept.append(item)
            if self._matches(request, item[1]):
                found.append(item[1])
        for item in kept:
            heapq.heappush(heap, item)
        return found

    def _rows(self, request: ClaimRequest, run_id: str) -> RunRows:
        rows = self.load(request.namespace, run_id, request.known.get(run_id, 0))
        assert rows is not None  # noqa: S101  # it has a row that waits
        return rows

    def _still_waits(self, namespace: str, entry: WaitingEntry) -> bool:
        priority, available_at, run_id, path, _ = entry
        row = self._row(namespace, run_id, path)
        return (
            row is not None
            and row.state in WAITING_PHASES
            and row.available_at == available_at
            and row.priority == priority
        )

    def _matches(self, request: ClaimRequest, entry: WaitingEntry) -> bool:
        _, _, run_id, path, _ = entry
        stored = self._runs[request.namespace, run_id]
        return (
            stored.run.definition in request.definitions
            and run_id not in request.quarantined
            and stored.run.state not in SETTLED_STATES
            and (request.queues is None or stored.phases[path].queue in request.queues)
        )

    def due(
        self, namespace: str, now: datetime | None, definitions: Collection[Definition], limit: int
    ) -> DueWaits:
        heap = self._dues.get(namespace)
        if heap is None:
            return DueWaits((), None)

        def is_awaited(entry: Entry) -> bool:
            due_at, run_id, path = entry
            row = self._row(namespace, run_id, path)
            if row is None or row.state is not PhaseState.RUNNING or row.worker is not None:
                return False
            return row.due_at == due_at

        def goes_on(entry: Entry) -> bool:
            run = self._runs[namespace, entry[1]].run
            return run.definition in definitions and run.state not in STANDING_STATES

        found, following = heap.first(now or self.now(), limit, holds=is_awaited, fits=goes_on)
        return DueWaits([DueWait(run_id, path, due_at) for due_at, run_id, path in found], following)

    def overdue(
        self, namespace: str, now: datetime | None, definitions: Collection[Definition], limit: int
    ) -> DueRuns:
        heap = self._expiries.get(namespace)
        if heap is None:
            return DueRuns((), None)

        def still_expires(entry: Entry) -> bool:
            stored = self._runs.get((namespace, entry[1]))
            return stored is not None and stored.run.expires_at == entry[0]

        def is_known(entry: Entry) -> bool:
            return self._runs[namespace, entry[1]].run.definition in definitions

        found, following = heap.first(now or self.now(), limit, holds=still_expires, fits=is_known)
        return DueRuns([run_id for _, run_id, _ in found], following)

    def late(
        self, namespace: str, now: datetime | None, definitions: Collection[Definition], limit: int
    ) -> LateLevels:
        heap = self._levels.get(namespace)
        if heap is None:
            return LateLevels((), None)

        def is_open(entry: Entry) -> bool:
            sla_at, run_id, path = entry
            stored = self._runs.get((namespace, run_id))
            found = None if stored is None else stored.phases.get(path) if path else stored.run
            return (
                found is not None
                and found.sla_at == sla_at
                and found.breached is None
                and found.ended_at is None
            )

        def is_known(entry: Entry) -> bool:
            return self._runs[namespace, entry[1]].run.definition in definitions

        found, following = heap.first(now or self.now(), limit, holds=is_open, fits=is_known)
        return LateLevels([LateLevel(run_id, path or None) for _, run_id, path in found], following)

    def _row(self, namespace: str, run_id: str, path: str) -> PhaseRecord | None:
        """Give a phase that waited once; None if its run was purged."""
        stored = self._runs.get((namespace, run_id))
        return None if stored is None else stored.phases[path]

    # ------------------------------------------------------------------ workers and leases
    def enlist(self, worker: WorkerRecord) -> Sequence[WorkerRecord]:
        others = [
            w
            for (namespace, _), w in self._workers.items()
            if namespace == worker.namespace and w.id != worker.id
        ]
        self._workers[worker.namespace, worker.id] = worker
        return others

    def workers(self, namespace: str) -> Sequence[WorkerRecord]:
        return [worker for (of, _), worker in self._workers.items() if of == namespace]

    def retire(self, namespace: str, worker_id: str) -> None:
        if not any(self._leased(namespace, worker_id)):
            self._workers.pop((namespace, worker_id), None)

    def renew(self, namespace: str, worker_id: str, now: datetime, until: datetime) -> Collection[HeldPhase]:
        held = list(self._leased(namespace, worker_id))
        for stored, row in held:
            stored.phases[row.path] = replace(row, lease_expires=until)
        own = self._workers.get((namespace, worker_id))
        if own is not None:
            self._workers[namespace, worker_id] = attrs.evolve(own, seen_at=now)
        return [HeldPhase(stored.run.id, row.path, row.fence) for stored, row in held]

    def _leased(
        self, namespace: str, worker_id: str | None = None
    ) -> Iterator[tuple[MemoryRun, PhaseRecord]]:
        for (of, _), stored in self._runs.items():
            if of != namespace or stored.run.state in ENDED_STATES:
                continue
            for row in stored.phases.values():
                if row.worker is not None and worker_id in (None, row.worker):
                    yield stored, row

    def lost(
        self,
        namespace: str,
        now: datetime | None,
        dead_workers: Collection[str],
        definitions: Collection[Definition],
        limit: int,
    ) -> Sequence[HeldPhase]:
        now = now or self.now()
        found = [
            HeldPhase(stored.run.id, row.path, row.fence)
            for stored, row in self._leased(namespace)
            if stored.run.definition in definitions
            and (row.worker in dead_workers or (row.lease_expires is not None and row.lease_expires <= now))
        ]
        return sorted(found, key=lambda lost: (lost.run_id, lost.path))[:limit]

    def messages(self, namespace: str, definitions: Collection[Definition], limit: int) -> Sequence[Message]:
        to_known = (
            message
            for message in self._messages.get(namespace, ())
            if (to := self._runs.get((namespace, message.run_id))) and to.run.definition in definitions
        )
        return list(islice(to_known, limit))

    def heard(self, namespace: str, messages: Sequence[Message]) -> None:
        for message in messages:
            self._messages.get(namespace, {}).pop(message, None)

    def backlog(self, namespace: str, now: datetime | None) -> Sequence[Backlog]:
        now = now or self.now()
        first: dict[tuple[Definition, str], datetime] = {}
        for (of, _), stored in self._runs.items():
            if of != namespace or stored.run.state in SETTLED_STATES:
                continue
            for row in stored.phases.values():
                if row.state in WAITING_PHASES and row.available_at <= now:
                    place = stored.run.definition, row.queue
                    first[place] = min(row.available_at, first.get(place, row.available_at))
        return [Backlog(*place, since) for place, since in first.items()]

    def tally(self, namespace: str, now: datetime | None, at_most: int) -> Tally:
        now = now or self.now()
        lanes: Counter[tuple[str, int, Definition, str | None]] = Counter()
        for (of, _), stored in self._runs.items():
            if of != namespace or stored.run.state in SETTLED_STATES:
                continue
            lanes.update(
                (row.queue, row.priority, stored.run.definition, row.limits)
                for row in stored.phases.values()
                if row.state in WAITING_PHASES and row.available_at <= now
            )
        waiting: Counter[str] = Counter()
        for (queue, *_), count in lanes.items():
            waiting[queue] += min(count, at_most)
        return Tally(waiting, Counter(letter.pipeline for letter in self.letters(namespace, limit=at_most)))

    # ------------------------------------------------------------------ read
    def load(self, namespace: str, run_id: str, since: int = 0) -> RunRows | None:
        stored = self._runs.get((namespace, run_id))
        if stored is None:
            return None
        if since >= stored.run.revision:
            return RunRows(stored.run, (), since)
        written, extras = stored.written, stored.extras
        phases = [row for path, row in stored.phases.items() if written[path] > since]
        if stored.run.epoch:  # what came up anew stands where it stood before
            phases.sort(key=lambda row: row.position)
        return RunRows(
            stored.run,
            phases,
            since,
            [extras.signals[seq] for seq in sorted(extras.signals) if extras.signals_written[seq] > since],
        )

    def head(self, namespace: str, run_id: str) -> RunRecord | None:
        stored = self._runs.get((namespace, run_id))
        return None if stored is None else stored.run

    def find(
        self,
        namespace: str,
        wanted: RunFilter = EVERY_RUN,
        *,
        after: str | None = None,
        limit: int,
        newest_first: bool = False,
    ) -> Sequence[RunRecord]:
        ids = self._between(namespace, wanted)
        if newest_first:
            ids = ids[: None if after is None else bisect_left(ids, after)][::-1]
        elif after is not None:
            ids = ids[bisect_right(ids, after) :]
        runs = (self._runs[namespace, run_id].run for run_id in ids)
        return list(islice((run for run in runs if wanted.matches(run)), limit))

    def count(self, namespace: str, wanted: RunFilter = EVERY_RUN) -> Mapping[str, int]:
        runs = (self._runs[namespace, run_id].run for run_id in self._between(namespace, wanted))
        return Counter(run.state for run in runs if wanted.matches(run))

    def usage(self, namespace: str, wanted: RunFilter = EVERY_RUN) -> Usage:
        runs = (self._runs[namespace, run_id].run for run_id in self._between(namespace, wanted))
        return total(run.spending.used for run in runs if run.spending is not None and wanted.matches(run))

    def statistics(
        self, namespace: str, wanted: RunFilter = EVERY_RUN, by: Grouping = "pipeline"
    ) -> Sequence[Statistics]:
        found = (self._runs[namespace, run_id] for run_id in self._between(namespace, wanted))
        samples = (sample for each in found if wanted.matches(each.run) for sample in each.samples(by))
        return summed_up(samples)

    def _between(self, namespace: str, wanted: RunFilter) -> list[str]:
        """The ids among which the runs are that are wanted, in order."""
        ids = self._ids.get(namespace, [])
        first = 0 if wanted.from_id is None else bisect_left(ids, wanted.from_id)
        last = len(ids) if wanted.to_id is None else bisect_left(ids, wanted.to_id)
        return ids[first:last]

    def letters(
        self,
        namespace: str,
        wanted: LetterFilter = EVERY_LETTER,
        *,
        after: LetterKey | None = None,
        limit: int,
        newest_first: bool = False,
    ) -> Sequence[DeadLetter]:
        box = self._letters.get(namespace)
        return () if box is None else box.find(wanted, after=after, limit=limit, newest_first=newest_first)

    def purge(self, namespace: str, wanted: RunFilter, limit: int) -> Sequence[str]:
        unheard = self._messages.get(namespace, {})
        senders = {message.sender for message in unheard if (namespace, message.run_id) in self._runs}
        runs = (self._runs[namespace, run_id].run for run_id in self._between(namespace, wanted))
        ended = attrs.evolve(wanted, ended=True)
        gone = list(islice((run for run in runs if run.id not in senders and ended.matches(run)), limit))
        ids = self._ids.get(namespace, [])
        purged = {run.id for run in gone}
        for message in [one for one in unheard if not purged.isdisjoint((one.run_id, one.sender))]:
            del unheard[message]
        for run in gone:
            del self._runs[namespace, run.id]
            if run.letter is not None:
                self._letters[namespace].replace(run.id, None)
            del ids[bisect_left(ids, run.id)]
            if run.key is not None and self._keys.get((namespace, run.pipeline, run.key)) == run.id:
                del self._keys[namespace, run.pipeline, run.key]
        return [run.id for run in gone]

    def keyed(self, namespace: str, pipeline: str, key: str) -> str | None:
        run_id = self._keys.get((namespace, pipeline, key))
        if run_id is None:
            return None
        run = self._runs[namespace, run_id].run
        return None if run.while_open and run.ended_at is not None else run_id

    def is_committed(self, namespace: str, run_id: str, commit_id: int) -> bool:
        stored = self._runs.get((namespace, run_id))
        return stored is not None and commit_id in stored.extras.commits

    def values(self, namespace: str, run_id: str, paths: Iterable[str]) -> Mapping[str, str]:
        stored = self._runs.get((namespace, run_id))
        if stored is None:
            return {}
        found = ((path, stored.value(path)) for path in paths)
        return {path: text for path, text in found if text is not None}

    def steps(self, namespace: str, run_id: str, path: str, generation: int) -> Mapping[str, str]:
        stored = self._runs.get((namespace, run_id))
        return {} if stored is None else dict(stored.extras.steps.get((path, generation), {}))

    def checkpoints(self, namespace: str, run_id: str) -> Sequence[Checkpoint]:
        stored = self._runs.get((namespace, run_id))
        if stored is None:
            return ()
        made = (event for event in stored.events if isinstance(event, CheckpointCreated))
        return [event.position for event in made if event.seq not in stored.extras.gone]

    def events(self, namespace: str, run_id: str, after: int, limit: int) -> Sequence[Event]:
        stored = self._runs.get((namespace, run_id))
        return (
            () if stored is None else tuple(stored.events[after : after + limit])
        )  # event n stands at n - 1
