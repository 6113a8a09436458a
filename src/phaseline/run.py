"""A run as its caller sees it: a frozen view of its row, which does no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Generic, TypeVar, cast

import attrs

from phaseline.errors import (
    NoOutputError,
    PipelineCancelledError,
    PipelineEndedError,
    PipelineFailedError,
    PipelineRolledBackError,
    RunNotSettledError,
)
from phaseline.rows import Checkpoint, ErrorInfo, PhaseRecord, RunRecord, RunState, StateChange
from phaseline.tags import Attribute
from phaseline.usage import NO_SPENDING, Usage, total

if TYPE_CHECKING:
    from phaseline.events import Event

Out_co = TypeVar("Out_co", covariant=True)

_ENDINGS: Mapping[str, type[PipelineEndedError]] = {
    RunState.FAILED: PipelineFailedError,
    RunState.CANCELLED: PipelineCancelledError,
    RunState.ROLLED_BACK: PipelineRolledBackError,
}
"""What is raised where the output is asked for of a run that ended without one."""
_SHORT = 80
"""Characters of an output that are shown beside a run's id."""


def _command_in(fact: Event) -> tuple[str, str]:
    """Reason and actor, if somebody commanded it: phases have reasons too, and those are nobody's."""
    actor: str | None = getattr(fact, "actor", None)
    return ("", "") if actor is None else (getattr(fact, "reason", ""), actor)


@attrs.frozen(kw_only=True, slots=False, repr=False)
class Run(Generic[Out_co]):
    """A run as its caller sees it, at the moment it was read."""

    phases: Mapping[str, PhaseRecord]
    """By path, in the order in which they came up."""
    _record: RunRecord = attrs.field(alias="record")
    """Its row, of which callers see a part."""
    _facts: Sequence[Event] = attrs.field(default=(), repr=False, eq=False, alias="facts")
    """Those that moved the state or made a checkpoint, and maybe others: who followed the run here has more of them."""
    _taken_back: ErrorInfo | None = attrs.field(default=None, alias="taken_back")
    """What it failed with that is being rolled back, or was."""
    _output: Out_co | None = attrs.field(default=None, alias="output")
    _missing: str | None = attrs.field(default=None, alias="missing")
    """Why there is no output, if there is none."""

    @property
    def id(self) -> str:
        """By which it is found."""
        return self._record.id

    @property
    def pipeline(self) -> str:
        """Name of the pipeline."""
        return self._record.pipeline

    @property
    def version(self) -> str:
        """Version text of the pipeline's definition."""
        return self._record.version

    @property
    def state(self) -> str:
        """A ``RunState``, or the label of the phase it is at."""
        return self._record.state

    @property
    def created_at(self) -> datetime:
        """When it was stored."""
        return self._record.created_at

    @property
    def started_at(self) -> datetime | None:
        """When it began; None as long as it has not."""
        return self._record.started_at

    @property
    def ended_at(self) -> datetime | None:
        """When it ended; None as long as it has not."""
        return self._record.ended_at

    @property
    def error(self) -> ErrorInfo | None:
        """What it failed with, also where it was rolled back since; None if it did not fail."""
        return self._record.error or self._taken_back

    @property
    def parent_id(self) -> str | None:
        """Id of the run that started it."""
        return self._record.parent_id

    @property
    def parent_path(self) -> str | None:
        """Path of the phase there that waits for it."""
        return self._record.parent_path

    @property
    def tags(self) -> tuple[str, ...]:
        """Words by which it is found."""
        return self._record.tags

    @property
    def attributes(self) -> Mapping[str, Attribute]:
        """Names and values by which it is found."""
        return self._record.attributes

    @property
    def forked_from(self) -> str | None:
        """Id of the run that it is a copy of."""
        return self._record.forked_from

    @property
    def deadline(self) -> datetime | None:
        """When it must be over: it fails if it is not; None if it was given none."""
        return self._record.deadline

    @property
    def sla_at(self) -> datetime | None:
        """When it should be over, by the service level of its pipeline."""
        return self._record.sla_at

    @property
    def breached(self) -> int | None:
        """Number of the event that tells that it was not over by then."""
        return self._record.breached

    @property
    def usage_by_phase(self) -> Mapping[str, Usage]:
        """What was used, by path of the phase in the pipeline: items of a map are counted together.

        What was rolled back or retried was used all the same; what a copy took over was used by the other run.
        """
        return (self._record.spending or NO_SPENDING).phases

    def __repr__(self) -> str:
        output = ""
        if self.state == RunState.COMPLETED and self._missing is None:
            try:
                shown = repr(self._output)
            except Exception:  # noqa: BLE001  # it is the user's code, and a debugger asks
                shown = "..."
            output = f", output={shown if len(shown) <= _SHORT else '...'}"
        return f"Run({self.id!r}, pipeline={self.pipeline!r}, state={self.state!r}{output})"

    @property
    def output(self) -> Out_co:
        """The value of the last phase.

        Raises:
            RunNotSettledError: The run has not ended.
            PipelineFailedError: A phase failed for good.
            PipelineCancelledError: It was cancelled.
            PipelineRolledBackError: It was rolled back.
            NoOutputError: It completed, but the phase that gives the output was skipped.
        """
        if self.state in _ENDINGS:
            raise _ENDINGS[self.state](self, self.error)
        if self.state != RunState.COMPLETED:
            raise RunNotSettledError(self.id, self.state)
        if self._missing is not None:
            raise NoOutputError(self.id, self._missing)
        return cast("Out_co", self._output)  # None only where Out_co itself holds None

    @property
    def usage(self) -> Usage:
        """What was used in all."""
        return total(self.usage_by_phase.values())

    @cached_property
    def history(self) -> tuple[StateChange, ...]:
        """Every move of the run's state machine, oldest first; of commands with reason and actor."""
        return tuple(
            StateChange(move.source, move.target, fact.at, *_command_in(fact))
            for fact in self._facts
            if (move := fact.transition) is not None
        )

    @cached_property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Its checkpoints, oldest first; those of what was undone since are gone."""
        positions = (fact.position for fact in self._facts)
        return tuple(point for point in positions if point is not None and self._is_there(point))

    def _is_there(self, point: Checkpoint) -> bool:
        """Whether the phase after which it stands is part of the run, as it was then."""
        row = self.phases.get(point.phase)
        return row is not None and row.epoch == point.epoch

    @property
    def states(self) -> tuple[str, ...]:
        """Names of the states it went through, in order, from IDLE on."""
        return (str(RunState.IDLE), *(change.target for change in self.history))

    @property
    def duration(self) -> timedelta | None:
        """Time from the first start of a phase to the end."""
        if self.started_at is None or self.ended_at is None:
            return None
        return self.ended_at - self.started_at
