"""Units of work: what one commit writes of one run, and the rows from which the next one is decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum, StrEnum

import msgspec

from phaseline.dead_letter import DeadLetter
from phaseline.events import Event
from phaseline.rows import PhaseRecord, RunRecord, SignalRecord


class StepResult(msgspec.Struct, frozen=True, gc=False):
    """The stored result of one ``ctx.step``."""

    path: str
    """Path of the phase."""
    generation: int
    """Generation of the phase in which it was made."""
    key: str
    """Name of the step within the phase."""
    result: str
    """Encoded."""


KEPT = ""
"""Key under which ``steps`` gives what is kept of a phase beside the steps of its body, for those have names: what the body
saved of itself, or which of several values came first."""


class SavedValue(msgspec.Struct, frozen=True, gc=False):
    """What a body saved of itself, for the next attempt of its phase."""

    path: str
    """Path of the phase."""
    generation: int
    """Generation of the phase in which it was saved."""
    value: str | None
    """Encoded; None: it is let go of."""


class MessageKind(StrEnum):
    """What one run has another one look at."""

    ENDED = "ended"
    """To a parent: its child, the sender, has ended."""
    CLOSED = "closed"
    """To a child: its parent, the sender, does not wait for it any more, and wants it cancelled."""
    AGAIN = "again"
    """To a parent, by itself: the child that is named as the sender may have ended before it was waited for."""


class Message(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one run has to tell another one: stored with what it tells of, and deleted once it has been heard."""

    sender: str
    """Id of the run that tells it."""
    seq: int
    """Number of the newest event of who wrote it."""
    run_id: str
    """Id of the run that is to hear it."""
    kind: MessageKind
    """What it is about."""


class Unit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One unit of work, of one run: all of it is written or nothing."""

    run: RunRecord
    """The run's row as it is to be."""
    expected: int
    """Revision the stored row must have; 0: there must be none, and the row is inserted."""
    stood: bool = False
    """Whether the run, as it was before, was in one of ``SETTLED_STATES``."""
    input: str | None
    """The run's input, encoded; only where the row is inserted."""
    inserted: Sequence[PhaseRecord]
    """Rows of phases that come up."""
    updated: Sequence[tuple[PhaseRecord, int]]
    """Rows as they are to be, each with the fence that the stored row must have."""
    dropped: Sequence[tuple[PhaseRecord, int]] = ()
    """Rows that are gone from now on, as ``updated``; with a phase's row its checkpoint is gone."""
    outputs: Mapping[str, str]
    """Encoded outputs by path of a row written here."""
    events: Sequence[Event]
    """A ``CheckpointCreated`` among them is also a checkpoint to be kept."""
    steps: Sequence[StepResult] = ()
    """Results of steps to be kept."""
    saved: Sequence[SavedValue] = ()
    """No phase twice; each takes the place of what was saved before."""
    marks_added: Sequence[str] = ()
    """Marks of the run's row that the stored one has not; all of them where it is inserted."""
    marks_removed: Sequence[str] = ()
    """Marks of the stored row that the run's has not. Where neither is given, the stored marks stay."""
    amended: bool = False
    """Whether a field of the run's row changes that hardly ever does: one of ``AMENDED``. Where not, those of the stored row
    are as this row has them."""
    commit_id: int
    """Random: found at an event of the run, it tells that this unit was committed (63 bits). 0 where nobody will ask."""
    signals: Sequence[SignalRecord] = ()
    """Signals that the run has received; one may be taken in the same unit."""
    taken: Sequence[tuple[int, str]] = ()
    """Stored signals that are taken: the number of each, and the path of the phase. Their values are let go of."""
    letter: DeadLetter | None = None
    """What is to be kept of its failure; such a unit is ``amended``, for the run's row names the letter."""
    letter_removed: bool = False
    """Whether the dead letter that it had is removed."""
    begins: Sequence[Unit] = ()
    """Units that insert other runs, written in the same transaction or not at all: runs that this one starts, and copies of
    it, which name it as ``forked_from``. A copy has the input of this run and, as this unit leaves them, the outputs of its
    own rows whose ``decided`` is 0 or less, and what is kept under ``KEPT`` beside them."""
    messages: Sequence[Message] = ()
    """To other runs."""


AMENDED = (
    "marks",
    "deadline",
    "active_ms",
    "active_since",
    "expires_at",
    "letter",
    "undo_after",
    "spending",
    "sla_at",
    "breached",
)
"""Fields of a run's row that most commits leave as they are."""


def takes_key(before: RunRecord | None, run: RunRecord) -> bool:
    """Whether a unit takes the idempotency key of its run: the run begins, or goes on after its end."""
    return before is None or (before.ended_at is not None and run.ended_at is None)


class Outcome(Enum):
    """What became of a unit."""

    COMMITTED = "committed"
    """All of it was written."""
    STALE = "stale"
    """The run moved on, or (for an insert) exists; nothing of the unit was written."""
    FENCED = "fenced"
    """A row carries another fence; nothing of the unit was written."""
    DUPLICATE = "duplicate"
    """Another run of the pipeline holds the key of the run to be inserted, or to be opened again after its end; nothing of
    the unit was written."""
    BLOCKED = "blocked"
    """Somebody holds locked what it needs; nothing of the unit was written, and it may be tried again as it is."""


class RunRows(msgspec.Struct, frozen=True, gc=False):
    """A run as it is stored."""

    run: RunRecord
    """The run's row."""
    phases: Sequence[PhaseRecord]
    """In the order in which they came up; of a phase that came up several times the newest, also if it is gone."""
    since: int = 0
    """Only what was written after this revision of the run is given; 0: all."""
    signals: Sequence[SignalRecord] = ()
    """In the order of their numbers, taken or not."""
    input: str | None = None
    """The run's input, encoded: a claim may give it where nothing of the run has begun, so that nobody has to ask for it."""
