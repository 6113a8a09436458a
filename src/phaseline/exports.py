"""A run as a document: data with a stable shape, as JSON or, for readers, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, PlainSerializer
from pydantic_core import to_json

from phaseline._values.markup import escaped, of_json, table
from phaseline.usage import Usage, cost_text, usage_text

SHOWN_VALUE = 4_000
"""Characters of a value that Markdown shows."""
SHOWN_DATA = 300
"""Characters of an event's data that it shows."""
SHOWN_PHASES, SHOWN_EVENTS = 100, 200
"""Phases and events that Markdown lists."""


class _Part(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")


class ExportedValue(_Part):
    """A stored value, or why it is not shown."""

    value: Any = None
    """Plain JSON data."""
    left_out: str | None = None
    """Why there is none: too large, or the same as another one; None where it is shown."""


class ExportedError(_Part):
    """What something failed with; never with a traceback."""

    category: str
    """An ``ErrorCategory``."""
    type: str
    """Name of the exception's class."""
    message: str
    """Its text, bounded in length."""


class ExportedAttempt(_Part):
    """One attempt of a phase."""

    attempt: int
    """1 for the first in its epoch."""
    epoch: int
    """Epoch of the run in which it was made."""
    began_at: datetime
    """When a worker took the phase up."""
    ended_at: datetime | None = None
    """None while it runs, and where no event that tells its end was read."""
    outcome: Literal["running", "completed", "failed", "retrying", "skipped"] = "running"
    """What it came to."""
    reason: str = ""
    """Why it is made once more, or ended without an output."""
    error: ExportedError | None = None
    """What it failed with; None if it did not fail."""


class ExportedPhase(_Part):
    """A phase, a map, or an item of one (path ``enrich[3]``)."""

    path: str
    """``outer/enrich``; of one item of a map ``enrich[3]``."""
    state: str
    """A ``PhaseState``."""
    queue: str
    """Where workers take it up."""
    generation: int
    """Part of the idempotency key: rises when its committed output is undone or redone."""
    taken_over: bool
    """Whether the run is a copy of another one, and has it from there."""
    attempts: tuple[ExportedAttempt, ...]
    """In their order, of all epochs."""
    failures: int
    """Attempts that ended in an error."""
    crashes: int
    """Attempts whose worker was lost."""
    reason: str
    """Why it was skipped, or waits to be called again."""
    started_at: datetime | None
    """Start of the latest attempt."""
    ended_at: datetime | None
    """When it ended; None as long as it has not."""
    error: ExportedError | None
    """What the latest failed attempt failed with."""
    output: ExportedValue | None
    """None where nothing is stored: it has none, or it is put together of others."""


class ExportedMove(_Part):
    """A move of the run's state machine."""

    source: str
    """State that it left."""
    target: str
    """State that it came to."""
    at: datetime
    """When."""


class ExportedCheckpoint(_Part):
    """A position to which the run can be taken back."""

    id: str
    """By which ``rollback`` takes it."""
    phase: str
    """Path of the phase whose commit made it."""
    epoch: int
    """Epoch of the run."""
    created_at: datetime
    """When it was made."""


class ExportedUsage(_Part):
    """What was used of something that is paid for."""

    requests: int
    """Number of requests."""
    input_tokens: int
    """Tokens that were sent."""
    output_tokens: int
    """Tokens that were answered."""
    cost: Annotated[Decimal, PlainSerializer(cost_text)]
    """As ``Usage.cost``, as the text of a decimal number."""

    @classmethod
    def of(cls, usage: Usage) -> ExportedUsage:
        """Show it."""
        return cls(
            requests=usage.requests,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cost=usage.cost,
        )


class ExportedEvent(_Part):
    """A fact of the run's history."""

    seq: int
    """Number within the run, from 1."""
    type: str
    """The stable name on the wire."""
    phase: str | None
    """Path of the phase that it is about, if it is about one."""
    at: datetime
    """When."""
    source: str | None
    """State that it moved the run from, if it moved it."""
    target: str | None
    """State that it moved the run to, if it moved it."""
    data: Mapping[str, Any]
    """Its own fields, without tracebacks."""
    left_out: str | None = None
    """Why ``data`` is empty though it is not in the storage."""


class LeftOut(_Part):
    """How much of what there is the export does not list."""

    phases: int = 0
    """Phases, and items of maps."""
    events: int = 0
    """Events."""


class RunExport(_Part):
    """All that is stored of a run, within bounds, at the moment at which it was read."""

    schema_version: Literal[1] = 1
    """Version of this shape: a field that is added leaves it as it is."""
    exported_at: datetime
    """When it was read."""
    namespace: str
    """Namespace of the run."""
    id: str
    """Id of the run."""
    pipeline: str
    """Name of the pipeline."""
    version: str
    """Version text of the pipeline's definition."""
    fingerprint: str
    """Digest of the shape that it began under."""
    state: str
    """A ``RunState``, or the label of the phase it is at."""
    key: str | None
    """Idempotency key, if it was given one."""
    priority: int
    """Lower goes first, 0 to 999."""
    tags: tuple[str, ...]
    """Words by which it is found."""
    attributes: Mapping[str, str | int | float | bool]
    """Names and values by which it is found."""
    forked_from: str | None
    """Id of the run that it is a copy of."""
    parent_id: str | None
    """Id of the run that started it."""
    parent_path: str | None
    """Path of the phase there that waits for it."""
    epoch: int
    """Rises when the run is taken up anew after an end."""
    created_at: datetime
    """When it was stored."""
    started_at: datetime | None
    """When it began; None as long as it has not."""
    ended_at: datetime | None
    """When it ended; None as long as it has not."""
    timeout_seconds: float | None
    """How long it may be active; None: as long as it takes."""
    deadline: datetime | None
    """When it must be over."""
    error: ExportedError | None
    """What it failed with; None if it did not fail."""
    usage: ExportedUsage
    """In all."""
    usage_by_phase: Mapping[str, ExportedUsage]
    """By path of the phase; items of a map are counted together."""
    input: ExportedValue
    """What it was started with."""
    output: ExportedValue | None
    """None where the run has none."""
    history: tuple[ExportedMove, ...]
    """Its moves from state to state."""
    phases: tuple[ExportedPhase, ...]
    """In the order in which they came up."""
    checkpoints: tuple[ExportedCheckpoint, ...]
    """Those that it can be taken back to now, oldest first."""
    events: tuple[ExportedEvent, ...]
    """In the order of their numbers."""
    left_out: LeftOut
    """What is not listed here."""

    def to_json(self, *, indent: int | None = 2) -> str:
        """The document as JSON; ``RunExport.model_validate_json`` reads it back.

        Args:
            indent: Spaces of each level; None writes one line.
        """
        return self.model_dump_json(indent=indent)

    def to_markdown(self) -> str:
        """The document for readers, with the first 100 phases, the first 200 events, and values of up to 4,000 characters.

        Texts of users are escaped and values stand in code blocks: nothing in them can be read as markup.
        """
        return "\n\n".join(_sections(self)) + "\n"


# --------------------------------------------------------------------- for readers
def _sections(run: RunExport) -> Iterator[str]:
    yield f"# Run {escaped(run.id)} of {escaped(run.pipeline)}: {escaped(run.state)}"
    yield table(("", ""), _facts(run))
    if run.error is not None:
        yield f"## Error\n\n{_error(run.error)}"
    yield f"## Input\n\n{_value(run.input)}"
    if run.output is not None:
        yield f"## Output\n\n{_value(run.output)}"
    yield "## History"
    yield table(
        ("at", "from", "to"), ((_time(m.at), escaped(m.source), escaped(m.target)) for m in run.history)
    )
    yield "## Phases"
    yield table(
        ("phase", "state", "attempts", "began", "ended", "why"), map(_phase, run.phases[:SHOWN_PHASES])
    )
    yield from _more(len(run.phases) + run.left_out.phases - SHOWN_PHASES, "phases")
    for phase in run.phases[:SHOWN_PHASES]:
        yield from _details(phase)
    if run.checkpoints:
        yield "## Checkpoints"
        rows = (
            (escaped(p.id), escaped(p.phase), _time(p.created_at)) for p in run.checkpoints[:SHOWN_EVENTS]
        )
        yield table(("id", "after", "at"), rows)
        yield from _more(len(run.checkpoints) - SHOWN_EVENTS, "checkpoints")
    yield "## Events"
    yield table(("number", "at", "event", "phase", "data"), map(_event, run.events[:SHOWN_EVENTS]))
    yield from _more(len(run.events) + run.left_out.events - SHOWN_EVENTS, "events")
    yield f"Read at {_time(run.exported_at)}."


def _facts(run: RunExport) -> Iterator[tuple[str, str]]:
    """What is told of a run in a line each; what it has not is left out."""
    attributes = [f"{name}={value}" for name, value in run.attributes.items()]
    facts: Mapping[str, object] = {
        "version": run.version, "namespace": run.namespace, "key": run.key, "priority": run.priority,
        "tags": ", ".join(run.tags), "attributes": ", ".join(attributes), "a copy of": run.forked_from,
        "started by": run.parent_id, "at its phase": run.parent_path,
        "timeout": None if run.timeout_seconds is None else f"{run.timeout_seconds:g} s",
        "used": _used(run.usage) if run.usage_by_phase else None,
    }  # fmt: skip
    yield from ((name, escaped(str(value))) for name, value in facts.items() if value not in (None, ""))
    times = {
        "created": run.created_at,
        "began": run.started_at,
        "ended": run.ended_at,
        "deadline": run.deadline,
    }
    yield from ((name, _time(moment)) for name, moment in times.items() if moment is not None)


def _used(usage: ExportedUsage) -> str:
    return usage_text(usage.requests, usage.input_tokens + usage.output_tokens, usage.cost)


def _phase(phase: ExportedPhase) -> tuple[str, ...]:
    state = f"{phase.state} (taken over)" if phase.taken_over else phase.state
    why = phase.reason if phase.error is None else f"{phase.error.type}: {phase.error.message}"
    return (
        escaped(phase.path), escaped(state), str(len(phase.attempts)), _time(phase.started_at), _time(phase.ended_at),
        escaped(why),
    )  # fmt: skip


def _details(phase: ExportedPhase) -> Iterator[str]:
    """Its output, and its attempts where there were several."""
    if phase.output is None and len(phase.attempts) < 2:  # noqa: PLR2004  # one says no more than the table
        return
    yield f"### {escaped(phase.path)}"
    if len(phase.attempts) > 1:
        yield table(("attempt", "began", "ended", "outcome", "why"), map(_attempt, phase.attempts))
    if phase.output is not None:
        yield _value(phase.output)


def _attempt(attempt: ExportedAttempt) -> tuple[str, ...]:
    error = attempt.error
    why = attempt.reason if error is None else f"{error.type}: {error.message}"
    return (
        str(attempt.attempt),
        _time(attempt.began_at),
        _time(attempt.ended_at),
        attempt.outcome,
        escaped(why),
    )


def _event(event: ExportedEvent) -> tuple[str, ...]:
    data = event.left_out or ", ".join(
        f"{name}={to_json(value).decode()}" for name, value in event.data.items()
    )
    shown = data if len(data) <= SHOWN_DATA else f"{data[:SHOWN_DATA]}…"
    return str(event.seq), _time(event.at), escaped(event.type), escaped(event.phase or ""), escaped(shown)


def _value(value: ExportedValue) -> str:
    if value.left_out is not None:
        return f"*{escaped(value.left_out)}*"
    return of_json(value.value, SHOWN_VALUE)


def _error(error: ExportedError) -> str:
    return f"{escaped(error.category)}, {escaped(error.type)}: {escaped(error.message)}"


def _more(left: int, what: str) -> Iterator[str]:
    if left > 0:
        yield f"*… and {left:,} {what} more*"


def _time(moment: datetime | None) -> str:
    return "" if moment is None else moment.isoformat(sep=" ", timespec="milliseconds")
