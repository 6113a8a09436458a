"""Runs read as a whole, within bounds, to be handed to somebody else."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
from pydantic_core import to_json

from phaseline._shell.describing import facts_of, picture
from phaseline._shell.live import LiveRun
from phaseline._values.codec import from_json_text
from phaseline.errors import DecodeError, NoOutputError
from phaseline.events import (
    Emitted,
    EpochBegun,
    Event,
    PhaseCompensated,
    PhaseCompensationFailed,
    PhaseCompleted,
    PhaseFailed,
    PhaseRetrying,
    PhaseSkipped,
    PhaseStarted,
)
from phaseline.exports import (
    ExportedAttempt,
    ExportedCheckpoint,
    ExportedError,
    ExportedEvent,
    ExportedMove,
    ExportedPhase,
    ExportedUsage,
    ExportedValue,
    LeftOut,
    RunExport,
)
from phaseline.rows import INPUT, ErrorInfo, PhaseRecord, PhaseState, RunState
from phaseline.wire import without_traceback

if TYPE_CHECKING:
    from phaseline._shell.runner import Runner

MOST_PHASES, MOST_EVENTS = 10_000, 20_000
"""Phases and events of an export, the first ones."""
LARGEST_VALUE = 64 << 10
"""Characters of a value that is shown."""
LARGEST_EXPORT = 8 << 20
"""Characters of all values, and of what applications put into events, that are shown."""
READ_AT_ONCE = 100
PAGE = 1_000
NOT_ASKED_FOR = "values were not asked for"
FULL = "the export is full"


@attrs.define
class _Room:
    """How much may yet be shown of values."""

    values: bool
    left: int
    is_full: bool = False
    """Whether there was no room for something."""

    def take(self, size: int) -> str | None:
        """Take room for a value of so many characters; gives why there is none."""
        if not self.values:
            return NOT_ASKED_FOR
        if size > LARGEST_VALUE:
            return f"{size:,} characters, more than {LARGEST_VALUE:,}"
        if size > self.left:
            self.is_full = True
            return FULL
        self.left -= size
        return None

    def shown(self, text: str) -> ExportedValue:
        """Give an encoded value, if there is room for it."""
        why = self.take(len(text))
        return ExportedValue(value=from_json_text(text)) if why is None else ExportedValue(left_out=why)


async def export(runner: Runner, run_id: str, *, values: bool) -> RunExport:
    """Read all there is of a run.

    Raises:
        RunNotFoundError: There is no such run.
        PipelineNotRegisteredError: Its pipeline, in the shape it started under, is not registered here.
        StorageError: It cannot be read.
    """
    live = await runner.load(run_id)
    record, room = live.snapshot.run, _Room(values, LARGEST_EXPORT)
    texts = await _read(runner, live, (INPUT,))
    input_ = room.shown(texts[INPUT])
    output = await _output(runner, live, room)
    events = await _events(runner, live)
    rows = list(live.snapshot.rows.values())
    listed = rows[:MOST_PHASES]
    outputs = await _outputs(runner, live, listed, room)
    attempts = _attempts(events, listed)
    is_whole = len(events) == record.seq
    run = picture(live, events if is_whole else await facts_of(runner, live))
    return RunExport(
        exported_at=runner.clock.now(), namespace=record.namespace, id=record.id, pipeline=record.pipeline,
        version=record.version, fingerprint=record.fingerprint, state=record.state, key=record.key,
        priority=record.priority, tags=record.tags, attributes=record.attributes, forked_from=record.forked_from,
        parent_id=record.parent_id, parent_path=record.parent_path,
        epoch=record.epoch, created_at=record.created_at, started_at=record.started_at, ended_at=record.ended_at,
        timeout_seconds=None if record.timeout is None else record.timeout.total_seconds(), deadline=record.deadline,
        error=_error(run.error), usage=ExportedUsage.of(run.usage),
        usage_by_phase={path: ExportedUsage.of(usage) for path, usage in run.usage_by_phase.items()}, input=input_, output=output,
        history=tuple(ExportedMove(source=m.source, target=m.target, at=m.at) for m in run.history),
        phases=tuple(_phase(row, attempts[row.path], outputs.get(row.path)) for row in listed),
        checkpoints=tuple(
            ExportedCheckpoint(id=point.id, phase=point.phase, epoch=point.epoch, created_at=point.created_at)
            for point in run.checkpoints
        ),
        events=tuple(_event(event, room) for event in events),
        left_out=LeftOut(phases=len(rows) - len(listed), events=record.seq - len(events)),
    )  # fmt: skip


async def _read(runner: Runner, live: LiveRun, paths: Sequence[str]) -> Mapping[str, str]:
    run = live.snapshot.run
    return await runner.read(partial(runner.storage.values, run.namespace, run.id, paths))


async def _output(runner: Runner, live: LiveRun, room: _Room) -> ExportedValue | None:
    """The output of the run, put together as its caller would get it."""
    if live.snapshot.run.state != RunState.COMPLETED:
        return None
    if not room.values:
        return ExportedValue(left_out=NOT_ASKED_FOR)
    try:
        text, _ = live.snapshot.plan.whole.encode(await runner.values.output(live))
    except NoOutputError:
        return None
    except DecodeError as error:  # the types of the pipeline were changed; all else can be told
        return ExportedValue(left_out=f"it cannot be read: {error}")
    return room.shown(text)


async def _events(runner: Runner, live: LiveRun) -> list[Event]:
    run = live.snapshot.run
    found: list[Event] = []
    last = min(run.seq, MOST_EVENTS)
    while len(found) < last:
        size = min(PAGE, last - len(found))
        page = await runner.read(partial(runner.storage.events, run.namespace, run.id, len(found), size))
        if not page:
            break
        found += page
    return found


async def _outputs(
    runner: Runner, live: LiveRun, rows: Sequence[PhaseRecord], room: _Room
) -> Mapping[str, ExportedValue]:
    """The outputs of phases, as far as there is room for them."""
    found = {
        row.path: ExportedValue(left_out=f"the same as {row.same_as!r}" if row.same_as else "the same as the input")
        for row in rows
        if row.same_as is not None
    }  # fmt: skip
    asked = (
        [row.path for row in rows if row.live and row.same_as is None and row.total is None]
        if room.values
        else []
    )
    for start in range(0, len(asked), READ_AT_ONCE):
        if room.is_full:
            found.update((path, ExportedValue(left_out=FULL)) for path in asked[start:])
            break
        texts = await _read(runner, live, asked[start : start + READ_AT_ONCE])
        found.update((path, room.shown(text)) for path, text in texts.items())
    return found


# --------------------------------------------------------------------- as data
def _phase(
    row: PhaseRecord, attempts: Sequence[ExportedAttempt], output: ExportedValue | None
) -> ExportedPhase:
    return ExportedPhase(
        path=row.path, state=row.state.value, queue=row.queue, generation=row.generation, taken_over=row.is_taken_over,
        attempts=tuple(attempts), failures=row.failures, crashes=row.crashes, reason=row.reason,
        started_at=row.started_at, ended_at=row.ended_at, error=_error(row.error), output=output,
    )  # fmt: skip


def _error(error: ErrorInfo | None) -> ExportedError | None:
    if error is None:
        return None
    return ExportedError(category=error.category.value, type=error.type, message=error.message)


def _event(event: Event, room: _Room) -> ExportedEvent:
    move, data = event.transition, without_traceback(event)
    why = room.take(len(to_json(data))) if isinstance(event, Emitted) else None
    if why is not None:
        data = {}
    return ExportedEvent(
        seq=event.seq or 0, type=event.type, phase=event.phase, at=event.at, source=None if move is None else move.source,
        target=None if move is None else move.target, data=data, left_out=why,
    )  # fmt: skip


def _attempts(events: Sequence[Event], rows: Sequence[PhaseRecord]) -> Mapping[str, list[ExportedAttempt]]:
    """The attempts of phases, as the events tell them, and the rows where events do not."""
    found: dict[str, list[ExportedAttempt]] = {row.path: [] for row in rows}
    going_on: set[str] = set()
    epoch, cut = 0, None
    for event in events:
        if isinstance(event, PhaseStarted) and event.phase in found:
            begun = ExportedAttempt(attempt=event.attempt, epoch=epoch, began_at=event.at)
            found[event.phase].append(begun)
            going_on.add(event.phase)
            continue
        cut = event if isinstance(event, PhaseSkipped) else cut
        for path, ending in _ends(event, cut, going_on):
            if path in going_on:
                found[path][-1] = ended = _ended(found[path][-1], ending)
                if ended.ended_at is not None:
                    going_on.discard(path)
        if isinstance(event, EpochBegun):
            epoch = event.epoch
    for row in rows:
        if row.path in going_on:
            found[row.path][-1] = _as_stored(found[row.path][-1], row)
    return found


def _ends(event: Event, cut: Event | None, going_on: Collection[str]) -> Iterator[tuple[str, Event]]:
    """The phases whose attempt an event may end, each with the event that tells how; an epoch leaves none that goes on.

    Of those that end at once, events name the first ones. Before an epoch all the others have ended so.
    """
    if isinstance(event, PhaseSkipped):
        yield from ((path, event) for path in event.paths)
    if isinstance(event, EpochBegun) and cut is not None:
        yield from ((path, cut) for path in tuple(going_on))
    elif event.phase is not None:
        yield event.phase, event


def _as_stored(attempt: ExportedAttempt, row: PhaseRecord) -> ExportedAttempt:
    """What became of the latest attempt of a phase, if that has ended and no event was read that names it."""
    if (attempt.epoch, attempt.attempt) != (row.epoch, row.attempt):
        return attempt
    changes: dict[str, Any]
    match row.state:
        case PhaseState.COMPLETED:
            changes = {"outcome": "completed"}
        case PhaseState.FAILED:
            changes = {"outcome": "failed", "error": _error(row.error)}
        case PhaseState.SKIPPED:
            changes = {"outcome": "skipped", "reason": row.reason}
        case _:
            return attempt
    return attempt.model_copy(update={**changes, "ended_at": row.ended_at})


def _ended(attempt: ExportedAttempt, event: Event) -> ExportedAttempt:
    changes: dict[str, Any]
    match event:
        case PhaseCompleted() | PhaseCompensated():
            changes = {"outcome": "completed"}
        case PhaseFailed() | PhaseCompensationFailed():
            changes = {"outcome": "failed", "error": _error(event.error)}
        case PhaseRetrying():
            changes = {"outcome": "retrying", "reason": event.reason, "error": _error(event.error)}
        case PhaseSkipped():
            changes = {"outcome": "skipped", "reason": event.reason}
        case _:
            return attempt
    return attempt.model_copy(update={**changes, "ended_at": event.at})
