"""What the checker knows of runs that were copied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from phaseline._values.codec import same_json
from phaseline.events import PipelineForked
from phaseline.rows import INPUT
from phaseline.testing.stored import StoredRun


def of_run(account: StoredRun) -> Iterator[str]:
    """A copy says so with its first event, and no other run; of what it took over its events tell nothing."""
    origin, events = account.run.forked_from, account.events
    first = events[0] if events else None
    told = first.origin if isinstance(first, PipelineForked) else None
    if told != origin:
        yield f"its first event says that it is a copy of {told}, and its row of {origin}"
    late = [event.seq for event in events[1:] if isinstance(event, PipelineForked) and event.origin]
    if late:
        yield f"events {late} say that it is a copy, and are not its first"
    for path, row in account.rows.items():
        if row.is_taken_over and origin is None:
            yield f"{path!r} was taken over, but the run is no copy"
        if row.is_taken_over and account.lives.get((path, row.epoch)):
            yield f"{path!r} was taken over, and events tell of it"


def of_all(stored: Mapping[str, StoredRun]) -> Iterator[str]:
    """Both runs tell of the copying, and what was taken over is what the other one has, where it has it still."""
    for run_id, account in stored.items():
        for event in account.events:
            copy = stored.get(event.fork) if isinstance(event, PipelineForked) and event.fork else None
            if copy is not None and copy.run.forked_from != run_id:
                yield f"run {run_id}: event {event.seq} tells of the copy {copy.run.id}, which is one of {copy.run.forked_from}"
        origin = stored.get(account.run.forked_from or "")
        if origin is not None:
            yield from (f"run {run_id}: {found}" for found in _of_copy(account, origin))


def _of_copy(account: StoredRun, origin: StoredRun) -> Iterator[str]:
    told = [event.fork for event in origin.events if isinstance(event, PipelineForked)]
    if told.count(account.run.id) != 1:
        yield f"it is a copy of {origin.run.id}, which tells of the copies {told}"
    if account.values.get(INPUT) != origin.values.get(INPUT):
        yield f"its input is not that of {origin.run.id}, of which it is a copy"
    for path, row in account.present.items():
        other = origin.present.get(path)
        if not row.is_taken_over or other is None:
            continue
        if (other.generation, other.ended_at) != (row.generation, row.ended_at):
            continue  # it was done once more there since
        mine, theirs = account.values.get(path), origin.values.get(path)
        if mine is not theirs and (mine is None or theirs is None or not same_json(mine, theirs)):
            yield f"{path!r} was taken over as {mine}, and {origin.run.id} has {theirs}"
