"""What is told of runs, schedules and pipelines to people and other programs: the same over the network and on the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from phaseline.control import allowed_in
from phaseline.dead_letter import DeadLetter
from phaseline.errors import DefinitionError
from phaseline.pipeline import Pipeline
from phaseline.rows import Checkpoint, ErrorInfo, PhaseRecord, StateChange
from phaseline.run import Run
from phaseline.run_filter import RunSummary
from phaseline.schedule import Schedule
from phaseline.statistics import Percentiles, Statistics
from phaseline.usage import Usage, cost_text

RUN_ID = "1j1bpti4l334vq0sg87ck0"
"""Of examples."""


class View(BaseModel):
    """Base of what is told."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)


class ErrorView(View):
    """What something failed with; never with a traceback."""

    category: str
    type: str
    message: str
    phase: str | None = None

    @classmethod
    def of(cls, error: ErrorInfo | None) -> Self | None:
        """Show it, if there is one."""
        if error is None:
            return None
        return cls(category=error.category, type=error.type, message=error.message, phase=error.phase)


class RunView(View):
    """A run, as lists show it."""

    id: str = Field(examples=[RUN_ID])
    pipeline: str = Field(examples=["task-preparation"])
    version: str
    state: str = Field(examples=["ENRICHING"])
    phase: str | None
    """Path of the phase that it is at, or failed in."""
    key: str | None
    priority: int
    tags: tuple[str, ...]
    attributes: Mapping[str, str | int | float | bool]
    parent_id: str | None
    error: ErrorView | None
    allowed: tuple[str, ...]
    """Commands that a run in this state obeys."""
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    ended_at: datetime | None

    @classmethod
    def of(cls, run: RunSummary) -> Self:
        """Show it."""
        return cls.model_validate(_facts_of(run))


def _facts_of(run: RunSummary) -> dict[str, Any]:
    return {
        "id": run.id, "pipeline": run.pipeline, "version": run.version, "state": run.state, "phase": run.phase,
        "key": run.key, "priority": run.priority, "tags": run.tags, "attributes": run.attributes,
        "parent_id": run.parent_id, "error": ErrorView.of(run.error), "allowed": tuple(map(str, allowed_in(run.state))),
        "created_at": run.created_at, "updated_at": run.updated_at, "started_at": run.started_at,
        "ended_at": run.ended_at,
    }  # fmt: skip


class ProgressView(View):
    """How far a phase is, as its body told."""

    done: float
    total: float | None
    note: str


class PhaseView(View):
    """A phase of a run, a map, or an item of one."""

    path: str
    state: str
    queue: str
    attempt: int
    failures: int
    crashes: int
    reason: str
    total: int | None
    """Of a map: how many items it has."""
    progress: ProgressView | None
    waits_for: str | None
    """``signal``, ``timer`` or ``child`` of a phase that waits for one."""
    waits_until: datetime | None
    """When its wait ends by itself: the end of a sleep, or of the time that a signal has; null where it has none."""
    sla_at: datetime | None
    """When it should be over, by its service level."""
    breached: int | None
    """Number of the event that tells that it was not over by then."""
    available_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    error: ErrorView | None

    @classmethod
    def of(cls, phase: PhaseRecord) -> Self:
        """Show it."""
        told = phase.progress
        progress = None if told is None else ProgressView(done=told.done, total=told.total, note=told.note)
        return cls(
            path=phase.path, state=phase.state, queue=phase.queue, attempt=phase.attempt, failures=phase.failures,
            crashes=phase.crashes, reason=phase.reason, total=phase.total, progress=progress, waits_for=phase.wait_kind,
            waits_until=phase.due_at,
            sla_at=phase.sla_at, breached=phase.breached, available_at=phase.available_at, started_at=phase.started_at, ended_at=phase.ended_at,
            error=ErrorView.of(phase.error),
        )  # fmt: skip


class MoveView(View):
    """A move of a run's state machine."""

    source: str
    target: str
    at: datetime
    reason: str
    """Of a command: why."""
    actor: str
    """Of a command: who gave it."""

    @classmethod
    def of(cls, move: StateChange) -> Self:
        """Show it."""
        return cls(source=move.source, target=move.target, at=move.at, reason=move.reason, actor=move.actor)


class CheckpointView(View):
    """A position to which a run can be taken back."""

    id: str = Field(examples=[f"{RUN_ID}:1"])
    phase: str
    epoch: int
    created_at: datetime

    @classmethod
    def of(cls, point: Checkpoint) -> Self:
        """Show it."""
        return cls(id=point.id, phase=point.phase, epoch=point.epoch, created_at=point.created_at)


MOST_PHASES: Final = 1_000
"""Phases of a run that are shown: a map may have very many items."""


class UsageView(View):
    """What was used of something that is paid for."""

    requests: int
    input_tokens: int
    output_tokens: int
    cost: Annotated[Decimal, PlainSerializer(cost_text)] = Field(examples=["0.0042"])
    """As a text, so that nothing of it is lost."""

    @classmethod
    def of(cls, usage: Usage) -> Self:
        """Show it."""
        return cls(
            requests=usage.requests,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cost=usage.cost,
        )


class RunDetail(RunView):
    """A run, with all that is known of it but its events."""

    forked_from: str | None
    deadline: datetime | None
    """When it must be over: it fails if it is not; null if it was given none."""
    sla_at: datetime | None
    """When it should be over, by the service level of its pipeline."""
    breached: int | None
    """Number of the event that tells that it was not over by then."""
    phases: tuple[PhaseView, ...]
    """In the order in which they came up: the first 1 000."""
    phases_left_out: int
    """How many more there are."""
    history: tuple[MoveView, ...]
    checkpoints: tuple[CheckpointView, ...]
    usage: UsageView
    """What was used in all."""
    usage_by_phase: Mapping[str, UsageView]
    """By path of the phase in the pipeline."""
    output: Any
    """Of a run that is COMPLETED."""

    @classmethod
    def with_all(cls, summary: RunSummary, run: Run[object], output: object) -> Self:
        """Show it."""
        shown = islice(run.phases.values(), MOST_PHASES)
        return cls.model_validate(
            {
                **_facts_of(summary), "error": ErrorView.of(run.error),
                "forked_from": run.forked_from, "deadline": run.deadline, "sla_at": run.sla_at, "breached": run.breached, "output": output, "usage": UsageView.of(run.usage),
                "usage_by_phase": {path: UsageView.of(usage) for path, usage in run.usage_by_phase.items()},
                "phases": tuple(map(PhaseView.of, shown)), "phases_left_out": max(0, len(run.phases) - MOST_PHASES),
                "history": tuple(map(MoveView.of, run.history)),
                "checkpoints": tuple(map(CheckpointView.of, run.checkpoints)),
            }
        )  # fmt: skip


class StateView(View):
    """Where a run is."""

    id: str = Field(examples=[RUN_ID])
    state: str = Field(examples=["ENRICHING"])
    phase: str | None
    allowed: tuple[str, ...]
    updated_at: datetime

    @classmethod
    def of(cls, run: RunSummary) -> Self:
        """Show it."""
        allowed = tuple(map(str, allowed_in(run.state)))
        return cls(id=run.id, state=run.state, phase=run.phase, allowed=allowed, updated_at=run.updated_at)


class RunsView(View):
    """A page of runs."""

    runs: tuple[RunView, ...]
    next: str | None
    """To be given as ``after`` for the next page; null if this was the last. A page may hold fewer than were asked for,
    where very many runs are not his who asks."""


class CountsView(View):
    """How many runs there are, by state."""

    counts: Mapping[str, int] = Field(examples=[{"COMPLETED": 12, "FAILED": 1}])
    total: int


class PercentilesView(View):
    """How long something took, in seconds: so many percent of them no longer than this."""

    p50: float
    p95: float
    p99: float
    most: float

    @classmethod
    def of(cls, found: Percentiles | None) -> Self | None:
        """Show them, if there are any."""
        if found is None:
            return None
        spans = (found.p50, found.p95, found.p99, found.most)
        return cls(**dict(zip(cls.model_fields, map(timedelta.total_seconds, spans), strict=True)))


class GroupView(View):
    """How the runs of one group went, or the phases."""

    group: str = Field(examples=["task-preparation"])
    """Name of the pipeline, its name and the path of the phase, or the day."""
    states: Mapping[str, int] = Field(examples=[{"COMPLETED": 12, "FAILED": 1}])
    success_rate: float | None
    """Of those that completed or failed."""
    duration_seconds: PercentilesView | None
    """How long those that completed took."""
    waited_seconds: PercentilesView | None
    """How long until they were begun."""
    usage: UsageView

    @classmethod
    def of(cls, found: Statistics) -> Self:
        """Show it."""
        return cls(
            group=found.group, states=found.states, success_rate=found.success_rate, usage=UsageView.of(found.usage),
            duration_seconds=PercentilesView.of(found.duration), waited_seconds=PercentilesView.of(found.waited),
        )  # fmt: skip


class StatisticsView(View):
    """How runs went, in numbers."""

    groups: tuple[GroupView, ...]
    """In the order of their names."""


class PointView(StatisticsView):
    """How runs went that were created in a part of a time."""

    since: datetime
    until: datetime


class SeriesView(View):
    """How runs went over time."""

    points: tuple[PointView, ...]
    """Parts of equal length, in their order."""


class StatsView(CountsView):
    """How many runs there are, by state, and of each pipeline."""

    pipelines: Mapping[str, Mapping[str, int]]


class CheckpointsView(View):
    """The checkpoints of a run, the oldest first."""

    checkpoints: tuple[CheckpointView, ...]


class TransitionView(View):
    """A move of the run's state machine."""

    model_config: ClassVar[ConfigDict] = ConfigDict(populate_by_name=True)

    source: str = Field(alias="from")
    target: str = Field(alias="to")


class EventView(View):
    """A fact of a run's history; the same wherever events are told."""

    type: str = Field(examples=["PHASE_COMPLETED"])
    run_id: str
    pipeline: str
    seq: int | None
    at: datetime
    phase: str | None
    transition: TransitionView | None
    data: Mapping[str, Any]


class EventsView(View):
    """A page of a run's events, in their order."""

    events: tuple[EventView, ...]
    next: int | None
    """To be given as ``after`` for the next page; null if these were the last for now."""
    previous: int | None = None
    """To be given as ``before`` for those before, where that was given; null if these were the first."""


class LetterView(View):
    """What tells of a run that failed and that nobody has seen to."""

    run_id: str = Field(examples=[RUN_ID])
    pipeline: str
    phase: str | None
    error: ErrorView
    attempts: int
    crashes: int
    at: datetime

    @classmethod
    def of(cls, letter: DeadLetter) -> Self:
        """Show it."""
        return cls.model_validate(
            {
                "run_id": letter.run_id, "pipeline": letter.pipeline, "phase": letter.phase,
                "error": ErrorView.of(letter.error), "attempts": letter.attempts, "crashes": letter.crashes,
                "at": letter.at,
            }
        )  # fmt: skip


class LettersView(View):
    """A page of dead letters."""

    letters: tuple[LetterView, ...]
    next: str | None


class CommandedView(View):
    """What a command to many runs came to, as far as it went."""

    done: int
    """Runs that obeyed."""
    refused: Mapping[str, str]
    """Why others did not, by id."""
    next: str | None
    """To be given as ``after``, to go on; null if these were the last."""


class ScheduleView(View):
    """A schedule as it stands."""

    name: str = Field(examples=["nightly"])
    pipeline: str
    version: str
    cron: str | None
    every_seconds: float | None
    tz: str
    overlap: str
    catch_up: str
    priority: int
    paused: bool
    next_at: datetime | None
    last_slot: datetime | None
    created_at: datetime
    updated_at: datetime
    unreadable: str | None
    """Why its input cannot be read here, so that no run of it begins from here; null if it can."""

    @classmethod
    def of(cls, schedule: Schedule) -> Self:
        """Show it."""
        every = None if schedule.every is None else schedule.every.total_seconds()
        return cls(
            name=schedule.name, pipeline=schedule.pipeline, version=schedule.version, cron=schedule.cron,
            every_seconds=every, tz=schedule.tz, overlap=schedule.overlap, catch_up=schedule.catch_up,
            priority=schedule.priority, paused=schedule.paused, next_at=schedule.next_at,
            last_slot=schedule.last_slot, created_at=schedule.created_at, updated_at=schedule.updated_at,
            unreadable=schedule.unreadable,
        )  # fmt: skip


class SlotsView(View):
    """The next slots of a schedule, in its time zone; of a paused one those that there would be."""

    slots: tuple[datetime, ...]


class SchedulesView(View):
    """All schedules, in the order of their names."""

    schedules: tuple[ScheduleView, ...]


class PipelineName(View):
    """A pipeline that is served here."""

    name: str = Field(examples=["task-preparation"])
    version: str


class PipelinesView(View):
    """The pipelines that are served here."""

    pipelines: tuple[PipelineName, ...]


class PipelineView(PipelineName):
    """A pipeline, with its graph and what it takes and gives as JSON schemas; null where a type has none."""

    graph: Mapping[str, Any]
    input_schema: Mapping[str, Any] | None
    output_schema: Mapping[str, Any] | None
    signals: Mapping[str, Any] | None

    @classmethod
    def of(cls, pipeline: Pipeline[Any, Any]) -> Self:
        """Show it."""
        return cls(
            name=pipeline.name, version=pipeline.version, graph=pipeline.to_dict(),
            input_schema=_schema(pipeline.input_schema), output_schema=_schema(pipeline.output_schema),
            signals=_schema(pipeline.signal_schemas),
        )  # fmt: skip


def _schema(make: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any] | None:
    try:
        return make()
    except DefinitionError:  # the type holds something that JSON schema cannot describe
        return None


class HealthView(View):
    """How the service is."""

    ok: bool
    problems: tuple[str, ...]
    """Where something is wrong: in the storage, the broker, the transport of events, the queues, the workers or the threads."""


class QueueView(View):
    """A queue of phases."""

    queue: str = Field(examples=["default"])
    waiting: int
    """Phases that are due and that no worker has taken; of very many some 10 000 are counted."""
    since: datetime | None
    """When the one that waits longest fell due; null if none does."""
    pipelines: tuple[str, ...]
    """Of what they are phases."""
    served: bool
    """Whether the process that answers takes work from it."""


class WorkerView(View):
    """A worker that storage knows."""

    id: str
    pid: int
    seen_at: datetime
    alive: bool


class ThreadsView(View):
    """The threads of the process that answers, in which plain functions run."""

    limit: int
    busy: int
    abandoned: int
    """Of the busy ones those whose call was given up, and goes on all the same."""


class WorkView(HealthView):
    """How much work waits, since when, and who is there for it."""

    queues: tuple[QueueView, ...]
    """Those that are served here, or on which something waits, by name."""
    workers: tuple[WorkerView, ...]
    lists_workers: bool
    """False where one process is all there is: none is on a list."""
    threads: ThreadsView | None
    unknown: tuple[PipelineName, ...]
    """Pipelines with waiting phases that the process that answers does not know."""
    dead_letters: Mapping[str, int]
    """How many, by pipeline."""
