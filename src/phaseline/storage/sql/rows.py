"""Between records and rows: which columns there are, in which order, and how values are stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec
from pydantic_core import from_json, to_json

from phaseline.abc import WorkerRecord
from phaseline.dead_letter import DeadLetter
from phaseline.events import CheckpointCreated, Event, Transition, rebuilt
from phaseline.rows import (
    Checkpoint,
    ErrorInfo,
    PhaseRecord,
    PhaseState,
    Progress,
    RunRecord,
    SignalRecord,
    WaitKind,
    error_of,
    progress_of,
)
from phaseline.unit_of_work import AMENDED, Message, MessageKind, StepResult
from phaseline.usage import spending_from, spending_text

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

RUN = (
    "namespace", "id", "pipeline", "version", "fingerprint", "state", "revision", "seq", "epoch", "priority", "key",
    "while_open", "signals", "marks", "timeout", "deadline", "active_ms", "active_since", "expires_at", "letter", "undo_after",
    "spending", "sla_at", "breached", "error", "created_at", "updated_at", "started_at", "ended_at", "limits", "forked_from", "parent_id", "parent_path",
    "parent_generation", "trace",
)  # fmt: skip
RUN_CHANGES = (
    "state",
    "revision",
    "seq",
    "epoch",
    "priority",
    "signals",
    "error",
    "updated_at",
    "started_at",
    "ended_at",
)
RUN_AMENDED = (*RUN_CHANGES, *AMENDED)
PHASE = (
    "path", "epoch", "position", "generation", "limits", "state", "queue", "priority", "available_at", "attempt", "failures",
    "crashes", "postponed", "fence", "worker", "lease_expires", "live", "length", "same_as", "total", "reason", "error",
    "progress", "wait_kind", "wait_key", "due_at", "first_started_at", "started_at", "ended_at", "decided",
)  # fmt: skip
PHASE_CHANGES = PHASE[5:]
MARK = ("namespace", "mark", "run_id")
PHASE_LEVEL = ("sla_at", "breached")
"""Written with the rows of those phases that should be over within a time, and of no others."""
PHASE_READ = (*PHASE, "gone_in_epoch", *PHASE_LEVEL)
PHASE_DROPPED = (
    "state",
    "generation",
    "fence",
    "live",
    "reason",
    "error",
    "progress",
    "ended_at",
    "decided",
    "gone_in_epoch",
    "breached",
)
"""Written of what is gone: all that can change in the unit by which it goes, for it may be ended by that."""
CHECKPOINT = ("seq", "id", "phase", "revision", "epoch", "created_at")
EVENT = ("seq", "type", "phase", "source", "target", "data", "at")
STEP = ("path", "generation", "key", "result")
SIGNAL = ("seq", "name", "key", "id", "value", "taken_by", "received_at")
LETTER = ("run_id", "pipeline", "seq", "phase", "category", "error", "attempts", "crashes", "input", "at")
MESSAGE = ("sender", "seq", "run_id", "kind")
WORKER = ("namespace", "id", "host", "pid", "process_started", "seen_at")

Row = tuple[Any, ...]


@lru_cache(maxsize=256)
def micros(moment: datetime | None) -> int | None:
    """Microseconds since 1970. Remembered, because all rows of a unit share a few moments."""
    return None if moment is None else (moment - EPOCH) // MICROSECOND


def moment(value: int | None) -> datetime | None:
    """The time that ``micros`` stored."""
    return None if value is None else EPOCH + timedelta(microseconds=value)


def time_of(value: int) -> datetime:
    """The time that ``micros`` stored where there is one."""
    return EPOCH + timedelta(microseconds=value)


# --------------------------------------------------------------------- to rows
def run_changes(run: RunRecord) -> tuple[Any, ...]:
    """Values of ``RUN_CHANGES``."""
    return (
        run.state, run.revision, run.seq, run.epoch, run.priority, run.signals, _encode(run.error),
        micros(run.updated_at), micros(run.started_at), micros(run.ended_at),
    )  # fmt: skip


def run_amended(run: RunRecord) -> tuple[Any, ...]:
    """Values of ``RUN_AMENDED``."""
    return (*run_changes(run), *_amended(run))


def _amended(run: RunRecord) -> tuple[Any, ...]:
    return (
        marks_text(run), micros(run.deadline), run.active_ms, micros(run.active_since), micros(run.expires_at),
        run.letter, run.undo_after, spending_text(run.spending), micros(run.sla_at), run.breached,
    )  # fmt: skip


def run_row(run: RunRecord) -> tuple[Any, ...]:
    """Values of ``RUN``."""
    marks, *times = _amended(run)
    timeout = None if run.timeout is None else run.timeout // MICROSECOND
    return (
        run.namespace, run.id, run.pipeline, run.version, run.fingerprint, run.state, run.revision, run.seq, run.epoch,
        run.priority, run.key, run.while_open, run.signals, marks, timeout, *times, _encode(run.error),
        micros(run.created_at), micros(run.updated_at), micros(run.started_at), micros(run.ended_at),
        run.limits, run.forked_from, run.parent_id, run.parent_path, run.parent_generation, run.trace,
    )  # fmt: skip


def marks_text(run: RunRecord) -> str | None:
    """The column ``marks``: a mark a line."""
    return "\n".join(run.marks) if run.marks else None


def phase_row(row: PhaseRecord) -> tuple[Any, ...]:
    """Values of ``PHASE``."""
    return (row.path, row.epoch, row.position, row.generation, row.limits, *phase_changes(row))


def phase_changes(row: PhaseRecord) -> tuple[Any, ...]:
    """Values of ``PHASE_CHANGES``."""
    return (
        row.state.value, row.queue, row.priority, micros(row.available_at), row.attempt, row.failures, row.crashes,
        row.postponed, row.fence, row.worker, micros(row.lease_expires), row.live, row.length, row.same_as, row.total, row.reason,
        _encode(row.error), _encode(row.progress), row.wait_kind and row.wait_kind.value, row.wait_key,
        micros(row.due_at), micros(row.first_started_at), micros(row.started_at), micros(row.ended_at), row.decided,
    )  # fmt: skip


def phase_dropped(row: PhaseRecord) -> tuple[Any, ...]:
    """Values of ``PHASE_DROPPED``."""
    return (
        row.state.value, row.generation, row.fence, row.live, row.reason, _encode(row.error), _encode(row.progress),
        micros(row.ended_at), row.decided, row.gone_in_epoch, row.breached,
    )  # fmt: skip


def checkpoint_row(event: CheckpointCreated) -> tuple[Any, ...]:
    """Values of ``CHECKPOINT``."""
    return (
        event.seq,
        event.checkpoint,
        event.phase or "",
        event.revision,
        event.epoch,
        micros(event.at),
    )


def event_row(event: Event) -> tuple[Any, ...]:
    """Values of ``EVENT``."""
    move = event.transition
    source, target = (None, None) if move is None else (move.source, move.target)
    return (
        event.seq,
        event.type,
        event.phase,
        source,
        target,
        to_json(event.data).decode(),
        micros(event.at),
    )


def step_row(step: StepResult) -> tuple[Any, ...]:
    """Values of ``STEP``."""
    return (step.path, step.generation, step.key, step.result)


def signal_row(signal: SignalRecord) -> tuple[Any, ...]:
    """Values of ``SIGNAL``."""
    return (
        signal.seq, signal.name, signal.key, signal.id, signal.value, signal.taken_by, micros(signal.received_at),
    )  # fmt: skip


def letter_row(letter: DeadLetter) -> tuple[Any, ...]:
    """Values of ``LETTER``."""
    return (
        letter.run_id, letter.pipeline, letter.seq, letter.phase, letter.category.value, _encode(letter.error),
        letter.attempts, letter.crashes, letter.input, micros(letter.at),
    )  # fmt: skip


def message_row(message: Message) -> tuple[Any, ...]:
    """Values of ``MESSAGE``."""
    return (message.sender, message.seq, message.run_id, message.kind.value)


def worker_row(worker: WorkerRecord) -> tuple[Any, ...]:
    """Values of ``WORKER``."""
    return (
        worker.namespace,
        worker.id,
        worker.host,
        worker.pid,
        worker.process_started,
        micros(worker.seen_at),
    )


def _encode(value: ErrorInfo | Progress | None) -> str | None:
    return None if value is None else to_json(msgspec.structs.asdict(value), exclude_none=True).decode()


# --------------------------------------------------------------------- from rows
def run_from(row: Row) -> RunRecord:
    """The record of a row of ``RUN``."""
    (  # spelt out: a claim makes hundreds of these, and a mapping by names takes three times as long
        namespace, id_, pipeline, version, fingerprint, state, revision, seq, epoch, priority, key,
        while_open, signals, marks, timeout, deadline, active_ms, active_since, expires_at, letter, undo_after,
        spending, sla_at, breached, error, created_at, updated_at, started_at, ended_at, limits, forked_from, parent_id,
        parent_path, parent_generation, trace,
    ) = row  # fmt: skip
    return RunRecord(
        namespace=namespace, id=id_, pipeline=pipeline, version=version, fingerprint=fingerprint, state=state,
        revision=revision, seq=seq, epoch=epoch, priority=priority, key=key, while_open=bool(while_open),
        signals=signals, marks=() if marks is None else tuple(marks.split("\n")),
        timeout=None if timeout is None else timedelta(microseconds=timeout), deadline=moment(deadline),
        active_ms=active_ms, active_since=moment(active_since), expires_at=moment(expires_at), letter=letter,
        undo_after=undo_after, spending=spending_from(spending), sla_at=moment(sla_at), breached=breached,
        error=_error(error), created_at=time_of(created_at), updated_at=time_of(updated_at),
        started_at=moment(started_at), ended_at=moment(ended_at), limits=limits, forked_from=forked_from,
        parent_id=parent_id, parent_path=parent_path, parent_generation=parent_generation, trace=trace,
    )  # fmt: skip


def phase_from(row: Row) -> PhaseRecord:
    """The record of a row of ``PHASE_READ``."""
    (  # spelt out, as above
        path, epoch, position, generation, limits, state, queue, priority, available_at, attempt, failures, crashes,
        postponed, fence, worker, lease_expires, live, length, same_as, total, reason, error, progress, wait_kind,
        wait_key, due_at, first_started_at, started_at, ended_at, decided, gone_in_epoch, sla_at, breached,
    ) = row  # fmt: skip
    return PhaseRecord(
        path=path, epoch=epoch, position=position, generation=generation, limits=limits, state=PhaseState(state),
        queue=queue, priority=priority, available_at=time_of(available_at), attempt=attempt, failures=failures,
        crashes=crashes, postponed=postponed, fence=fence, worker=worker, lease_expires=moment(lease_expires),
        live=None if live is None else bool(live), length=length, same_as=same_as, total=total, reason=reason,
        error=_error(error), progress=None if progress is None else progress_of(from_json(progress)),
        wait_kind=None if wait_kind is None else WaitKind(wait_kind), wait_key=wait_key, due_at=moment(due_at),
        first_started_at=moment(first_started_at), started_at=moment(started_at), ended_at=moment(ended_at),
        decided=decided, gone_in_epoch=gone_in_epoch, sla_at=moment(sla_at), breached=breached,
    )  # fmt: skip


def checkpoint_from(row: Row) -> Checkpoint:
    """The record of a row of ``CHECKPOINT``."""
    _, id_, phase, revision, epoch, created_at = row
    return Checkpoint(id_, phase, revision, epoch, time_of(created_at))


def event_from(run_id: str, row: Row) -> Event:
    """The event of a row of ``EVENT``, before which the name of the run's pipeline stands."""
    pipeline, seq, type_, phase, source, target, data, at = row
    transition = None if source is None else Transition(source, target)
    return rebuilt(
        type_,
        from_json(data),
        run_id=run_id,
        pipeline=pipeline,
        seq=seq,
        at=time_of(at),
        phase=phase,
        transition=transition,
    )


def signal_from(row: Row) -> SignalRecord:
    """The record of a row of ``SIGNAL``."""
    data: dict[str, Any] = dict(zip(SIGNAL, row, strict=True))
    data["received_at"] = time_of(data["received_at"])
    return SignalRecord(**data)


def letter_from(row: Row) -> DeadLetter:
    """The record of a row of ``LETTER``."""
    data: dict[str, Any] = dict(zip(LETTER, row, strict=True))
    del data["category"]  # it is that of the error, stored by itself to be looked for
    data["error"], data["at"] = _error(data["error"]), time_of(data["at"])
    return DeadLetter(**data)


def message_from(row: Row) -> Message:
    """The record of a row of ``MESSAGE``."""
    sender, seq, run_id, kind = row
    return Message(sender=sender, seq=seq, run_id=run_id, kind=MessageKind(kind))


def worker_from(row: Row) -> WorkerRecord:
    """The record of a row of ``WORKER``."""
    namespace, id_, host, pid, started, seen_at = row
    return WorkerRecord(
        namespace=namespace, id=id_, host=host, pid=pid, process_started=started, seen_at=time_of(seen_at)
    )


def _error(text: str | None) -> ErrorInfo | None:
    return None if text is None else error_of(from_json(text))
