"""What may be asked for over the network: the shapes of bodies and queries, checked before anything is done."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from phaseline.rows import ErrorCategory, PhaseState
from phaseline.run_filter import Order, Stage
from phaseline.statistics import Grouping
from phaseline.tags import attribute_from
from phaseline.timetable import CatchUp, Overlap
from phaseline.views import RUN_ID


def _without_nul(text: str) -> str:
    if "\0" in text:  # PostgreSQL takes it in no text, nor in a question
        raise ValueError("it contains the NUL character")
    return text


Text = Annotated[str, Field(max_length=2_000), AfterValidator(_without_nul)]
Name = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_without_nul)]
RunId = Annotated[str, Field(min_length=1, max_length=200, examples=[RUN_ID]), AfterValidator(_without_nul)]
Tag = Annotated[str, Field(min_length=1, max_length=100)]
Attributes = dict[str, bool | int | float | str]
Tags = Annotated[list[Tag], Field(max_length=32)]
Priority = Annotated[int, Field(ge=0, le=999)]
Seconds = Annotated[float, Field(ge=0, le=10 * 366 * 86_400, allow_inf_nan=False)]


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:  # it is before the year 1 there, or after the year 9999
        raise ValueError("it is out of range") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class Query(BaseModel):
    """Base of queries; what is not known is refused, for it is a mistake."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")


def _example(**body: Any) -> ConfigDict:
    """Have OpenAPI show a body."""
    return ConfigDict(json_schema_extra={"examples": [body]})


class Body(BaseModel):
    """Base of bodies; what is not known, or of another type, is refused."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", strict=True)


# --------------------------------------------------------------------- bodies
class Start(Body):
    """What a run is started with."""

    model_config: ClassVar[ConfigDict] = _example(
        pipeline="task-preparation", input={"title": "Reset a password"}
    )

    pipeline: Name | None = None
    """Name of the pipeline; may be left out where only one is served."""
    version: Text | None = None
    """Of the pipeline; may be left out where only one is served."""
    input: Any
    """What it takes: see its ``input_schema``."""
    key: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    """Idempotency key, as the header ``Idempotency-Key``."""
    while_open: bool = False
    """Let go of the key when the run ends."""
    priority: Priority = 100
    """Lower goes first."""
    delay_seconds: Seconds = 0
    timeout_seconds: Annotated[Seconds, Field(gt=0)] | None = None
    """How long it may be active."""
    deadline: Moment | None = None
    """When it must be over."""
    tags: Tags = []
    attributes: Attributes = {}


class Command(Body):
    """What a command may be given with it."""

    model_config: ClassVar[ConfigDict] = _example(reason="the supplier is away until Monday")

    reason: Text = ""
    """Why, for the run's history."""


class Rerun(Command):
    """From where on a run is done once more."""

    model_config: ClassVar[ConfigDict] = _example(phase="enrich")

    phase: Name
    """Path of the phase that it begins with."""


class Rollback(Command):
    """To where a run is taken back."""

    model_config: ClassVar[ConfigDict] = _example(to="decompose", reason="the subtasks are wrong")

    to: Name | None = None
    """Path of a phase, or id of a checkpoint; without it to before the first phase."""


class Fork(Command):
    """Up to where a run is copied."""

    model_config: ClassVar[ConfigDict] = _example(at="decompose")

    at: Name | None = None
    """Path of a phase, or id of a checkpoint; without it all that is committed."""


class ManyLetters(Command):
    """Of which dead letters the runs are commanded, the newest first."""

    model_config: ClassVar[ConfigDict] = _example(
        pipeline=["task-preparation"], reason="the model answers again"
    )

    pipeline: Annotated[list[Name], Field(max_length=100)] = []
    category: Annotated[list[ErrorCategory], Field(max_length=100)] = []
    phase: Name | None = None
    """Path of the phase that failed."""
    since: Moment | None = None
    until: Moment | None = None
    limit: Annotated[int, Field(ge=1, le=500)] = 100
    """How many runs one call commands at most."""
    after: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """``next`` of the call before."""


class Note(Command):
    """What is written into a run's history."""

    model_config: ClassVar[ConfigDict] = _example(note="looked at, the input was wrong")

    note: Annotated[str, Field(min_length=1, max_length=2_000)]


class Send(Body):
    """A signal."""

    model_config: ClassVar[ConfigDict] = _example(signal="approved", value=True, id="mail-1")

    signal: Name
    """Name of the signal."""
    value: Any
    """What is sent: see the pipeline's ``signals``."""
    key: Name | None = None
    """Which of several waits it is for."""
    id: Name | None = None
    """By which a second sending is known, and does nothing."""


class PauseById(Command):
    """Which run is paused."""

    model_config: ClassVar[ConfigDict] = _example(id=RUN_ID, reason="maintenance")

    id: RunId


class ResumeById(PauseById):
    """Which run goes on."""

    model_config: ClassVar[ConfigDict] = _example(id=RUN_ID, checkpoint=f"{RUN_ID}:4")

    checkpoint: Name | None = None
    """Take it back to there before."""


class RollbackById(Rollback):
    """Which run is taken back, and to where."""

    model_config: ClassVar[ConfigDict] = _example(id=RUN_ID, to="decompose")

    id: RunId


class PutSchedule(Body):
    """A schedule: ``cron`` or ``every_seconds``."""

    model_config: ClassVar[ConfigDict] = _example(
        pipeline="report", input="today", cron="30 2 * * *", tz="Europe/Berlin"
    )

    pipeline: Name | None = None
    version: Text | None = None
    input: Any
    cron: Text | None = None
    every_seconds: Annotated[float, Field(ge=1, le=10 * 366 * 86_400)] | None = None
    tz: Text | None = None
    overlap: Overlap = "skip"
    catch_up: CatchUp = "latest"
    priority: Priority = 100
    tags: Tags = []
    attributes: Attributes = {}

    @property
    def every(self) -> timedelta | None:
        """Distance of its slots."""
        return None if self.every_seconds is None else timedelta(seconds=self.every_seconds)


# --------------------------------------------------------------------- queries
class Selection(Query):
    """Which runs are meant."""

    pipeline: list[Name] = []
    version: list[Name] = []
    state: list[Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$", max_length=100)]] = []
    ended: bool | None = None
    stage: Stage | None = None
    """Of those that go on: ``waiting``, for a first worker, a signal or a time, or ``active``."""
    tag: Tags = []
    """All of them."""
    attribute: list[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,99}=", max_length=700)]] = []
    """Each ``name=value``; the value is JSON, or a text where it is none."""
    since: Moment | None = None
    until: Moment | None = None
    parent: RunId | None = None
    forked_from: RunId | None = None
    text: Annotated[str, Field(max_length=200)] = ""

    @property
    def attributes(self) -> dict[str, Any]:
        """Names and values."""
        return dict(map(attribute_from, self.attribute))


class Statistics(Selection):
    """How which runs went is meant."""

    by: Grouping = "pipeline"
    """What is told apart."""


class Series(Selection):
    """How which runs went over time is meant."""

    by: Literal["pipeline", "phase"] = "pipeline"
    """What is told apart."""
    since: Moment  # pyright: ignore[reportIncompatibleVariableOverride, reportGeneralTypeIssues]  # here it has to be said; nothing changes it
    parts: Annotated[int, Field(ge=1, le=100)] = 24
    """Into how many parts of equal length the time is cut."""


class ManyRuns(Selection, Command):
    """Which runs are commanded, the newest first."""

    model_config: ClassVar[ConfigDict] = _example(
        pipeline=["task-preparation"], tag=["nightly"], reason="the supplier is away until Monday"
    )

    limit: Annotated[int, Field(ge=1, le=500)] = 100
    """How many runs one call commands at most."""
    after: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """``next`` of the call before."""


class Paging(Query):
    """Which page of a list is meant."""

    order: Order = "newest"
    limit: Annotated[int, Field(ge=1, le=500)] = 100
    after: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """``next`` of the page before."""


class Runs(Selection, Paging):
    """Which page of which runs is meant."""


class Letters(Paging):
    """Which page of which dead letters is meant."""

    pipeline: list[Name] = []
    category: list[ErrorCategory] = []
    phase: Name | None = None
    since: Moment | None = None
    until: Moment | None = None


Number = Annotated[int, Field(ge=0, lt=1 << 62)]


class Events(Query):
    """Which page of a run's events is meant."""

    after: Number = 0
    """Number of the last event that is known."""
    before: Number | None = None
    """Number of the first event that is known: go back from there, as far as the limit says."""
    type: Annotated[
        list[Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$", max_length=100)]], Field(max_length=100)
    ] = []
    phase: Name | None = None
    """Path of a phase; what is in it, such as the items of a map, is meant too."""
    limit: Annotated[int, Field(ge=1, le=500)] = 100


class Phases(Query):
    """Which page of a run's phases is meant."""

    place: Name | None = None
    """Path in the graph: ``pick[]`` for the items of the map ``pick``; or that of one of them: ``pick[3]``."""
    state: list[PhaseState] = []
    after: Annotated[int, Field(ge=-1, lt=1 << 62)] = -1
    """``next`` of the page before."""
    limit: Annotated[int, Field(ge=1, le=500)] = 100


class Value(Query):
    """Which value of a run is meant."""

    of: Literal["input", "output"] = "output"
    phase: Name | None = None
    """Path of a phase, whose output is meant; without it that of the run."""


class Stream(Query):
    """From where on events are told."""

    after: Number = 0
    """As the header ``Last-Event-ID``, which counts more."""


class Slots(Query):
    """How many slots are meant."""

    limit: Annotated[int, Field(ge=1, le=100)] = 10


class Version(Query):
    """Which version of a pipeline is meant."""

    version: Text | None = None


class Rights(Query):
    """To what something may be done is meant."""

    run: RunId | None = None
    """The run; without it what may be done at all."""
