"""What stored runs say of their service levels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from phaseline.events import EpochBegun, SlaBreached
from phaseline.rows import PhaseRecord, RunRecord
from phaseline.testing.stored import StoredRun


def of_run(account: StoredRun) -> Iterator[str]:
    """What ended late was told, once, before its end; and nothing else was."""
    told: dict[tuple[str | None, int], list[SlaBreached]] = defaultdict(list)
    epoch = 0
    for event in account.events:
        if isinstance(event, EpochBegun):
            epoch = event.epoch
        elif isinstance(event, SlaBreached):
            told[event.phase, epoch].append(event)
    for (path, _), events in told.items():
        if len(events) > 1:
            yield f"events {[event.seq for event in events]} tell more than once that {path or 'the run'} is late"
    by_seq = {event.seq: event for events in told.values() for event in events}
    for event in by_seq.values():
        if event.at < event.sla_at:
            yield f"event {event.seq} tells at {event.at} that it was not over at {event.sla_at}"
    yield from _of_record(None, account.run, by_seq)
    for path, row in account.rows.items():
        yield from _of_record(path, row, by_seq)


def _of_record(
    path: str | None, record: RunRecord | PhaseRecord, told: Mapping[int | None, SlaBreached]
) -> Iterator[str]:
    name, ended_at = path or "the run", record.ended_at
    if record.breached is None:
        if record.sla_at is not None and ended_at is not None and ended_at >= record.sla_at:
            yield f"{name} ended at {ended_at}, was to be over at {record.sla_at}, and nothing tells of it"
        return
    event = told.get(record.breached)
    if event is None or event.phase != path:
        yield f"no event {record.breached} tells that {name} is late, and its row says so"
    elif ended_at is not None and event.at > ended_at:
        yield f"event {event.seq} tells that {name} is late, after its end at {ended_at}"
