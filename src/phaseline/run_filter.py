"""Which runs are meant, and the light view on each that lists give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, TypeAlias, get_args

import attrs
import msgspec

from phaseline._definition.options import check_bool
from phaseline.errors import DefinitionError, PhaselineError
from phaseline.query_arguments import check_asked, check_moment, check_state, listed
from phaseline.rows import STANDING_STATES, ErrorInfo, RunRecord, RunState
from phaseline.tags import Attribute, marks_of

Order: TypeAlias = Literal["newest", "oldest"]

LONGEST_TEXT = 200

Stage: TypeAlias = Literal["active", "waiting"]
"""How a run goes on: it is worked on, or nothing is done until something comes."""
STAGES: tuple[str, ...] = get_args(Stage)
WAITS: tuple[str, ...] = ("WAIT_FOR_", "SLEEP")
"""How the states begin of a run that waits for a signal, or for a time to be over, unless the wait was given another name."""


def stage_of(state: str) -> Stage | None:
    """Tell by its state whether a run is active or waiting; None where it is neither: paused, rolling back, or over."""
    if state == RunState.IDLE or state.startswith(WAITS):
        return "waiting"
    return None if state in STANDING_STATES else "active"


@attrs.frozen(kw_only=True)
class RunFilter:
    """Which runs are meant; None, or nothing, where it does not matter."""

    pipelines: frozenset[str] | None = None
    versions: frozenset[str] | None = None
    states: frozenset[str] | None = None
    ended: bool | None = None
    """Whether they have ended."""
    stage: Stage | None = None
    """How they go on; those that do not are neither."""
    marks: tuple[str, ...] = ()
    """All of these, as ``RunRecord.marks`` has them."""
    since: datetime | None = None
    """Created at this moment or later."""
    until: datetime | None = None
    """Created before this moment."""
    ended_before: datetime | None = None
    """That have ended before this moment."""
    ended_since: datetime | None = None
    """That have ended at this moment or later."""
    from_id: str | None = None
    """With this id, or a greater one."""
    to_id: str | None = None
    """With a lesser id than this."""
    parent: str | None = None
    """Started by the run of this id."""
    parent_path: str | None = None
    """Started by the phase at this path; given with the parent alone."""
    forked_from: str | None = None
    """Copied from the run of this id."""
    text: str = ""
    """Part of id, key, pipeline, a mark, or what the run failed with; ASCII letters in either case."""

    def matches(self, run: RunRecord) -> bool:
        """Whether a run is meant: what every storage has to find."""
        return (
            (self.pipelines is None or run.pipeline in self.pipelines)
            and (self.versions is None or run.version in self.versions)
            and (self.states is None or run.state in self.states)
            and (self.ended is None or self.ended == (run.ended_at is not None))
            and self.stage in (None, stage_of(run.state))
            and {*self.marks} <= {*run.marks}
            and (self.ended_before is None or (run.ended_at is not None and run.ended_at < self.ended_before))
            and (self.ended_since is None or (run.ended_at is not None and run.ended_at >= self.ended_since))
            and (self.from_id is None or run.id >= self.from_id)
            and (self.to_id is None or run.id < self.to_id)
            and (self.since is None or run.created_at >= self.since)
            and (self.until is None or run.created_at < self.until)
            and self.parent in (None, run.parent_id)
            and self.parent_path in (None, run.parent_path)
            and self.forked_from in (None, run.forked_from)
            and (not self.text or self._is_in_texts(run))
        )

    def _is_in_texts(self, run: RunRecord) -> bool:
        wanted = ascii_lower(self.text)
        told = (run.error.type, run.error.message) if run.error is not None else ()
        return any(
            wanted in ascii_lower(text) for text in (run.id, run.key or "", run.pipeline, *run.marks, *told)
        )


EVERY_RUN = RunFilter()


def run_filter(
    *,
    pipeline: str | Iterable[str] | None = None,
    version: str | Iterable[str] | None = None,
    state: str | Iterable[str] | None = None,
    ended: bool | None = None,
    stage: Stage | None = None,
    tags: str | Iterable[str] = (),
    attributes: Mapping[str, Attribute] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    parent: str | None = None,
    forked_from: str | None = None,
    text: str = "",
) -> RunFilter:
    """Make a filter of what a caller gives.

    Raises:
        DefinitionError: A state could be none, there is no such stage, a time is not aware, or the text is too long.
        InvalidMarkError: No run could have such a tag or attribute.
    """
    check_moment(since, "since")
    check_moment(until, "until")
    check_asked(parent, "parent")
    check_asked(forked_from, "forked_from")
    check_asked(text, "text")
    if len(text) > LONGEST_TEXT:
        msg = f"text= is longer than {LONGEST_TEXT} characters"
        raise DefinitionError(msg)
    if stage not in (None, *STAGES):
        raise DefinitionError(f"stage={stage!r}: a run that goes on is {' or '.join(map(repr, STAGES))}")
    if ended is not None:
        check_bool(ended, "ended", "find")
    states = _names(state, "state")
    for name in states or ():
        check_state(name)
    return RunFilter(
        pipelines=_names(pipeline, "pipeline"), versions=_names(version, "version"), states=states, ended=ended,
        stage=stage, marks=marks_of((tags,) if isinstance(tags, str) else tags, attributes), since=since, until=until,
        parent=parent, forked_from=forked_from, text=text,
    )  # fmt: skip


def _names(given: str | Iterable[str] | None, option: str) -> frozenset[str] | None:
    """One name, several, or all."""
    if given is None:
        return None
    names = listed(given)
    for name in names:
        check_asked(name, option)
    return frozenset(map(str, names))


def ascii_lower(text: str) -> str:
    """Letters A-Z as a-z, all else as it is: what every database does alike."""
    return text.translate(_ASCII_LOWER)


_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


@attrs.frozen(kw_only=True)
class RunSummary:
    """What lists show of a run."""

    id: str
    """Id of the run."""
    pipeline: str
    """Name of the pipeline."""
    version: str
    """Version text of the pipeline's definition."""
    state: str
    """A ``RunState``, or the label of the phase it is at."""
    phase: str | None
    """Path of the phase that it is at, or failed in; None if there is none, or its pipeline is not registered here."""
    key: str | None
    """Idempotency key, if it was given one."""
    priority: int
    """Lower goes first, 0 to 999."""
    tags: tuple[str, ...]
    """Words by which it is found."""
    attributes: Mapping[str, Attribute]
    """Names and values by which it is found."""
    parent_id: str | None
    """Id of the run that started it."""
    forked_from: str | None
    """Id of the run that it is a copy of."""
    error: ErrorInfo | None
    """What it failed with."""
    created_at: datetime
    """When it was stored."""
    updated_at: datetime
    """Time of its latest commit."""
    started_at: datetime | None
    """When it began; None as long as it has not."""
    ended_at: datetime | None
    """When it ended; None as long as it has not."""

    def to_dict(self) -> dict[str, Any]:
        """Give it all in what JSON knows, as over HTTP: times as ISO texts, and an error without its traceback."""
        plain = {"tags": [*self.tags], "attributes": {**self.attributes}}
        found: dict[str, Any] = attrs.asdict(self, recurse=False) | plain
        told: dict[str, Any] = msgspec.to_builtins(found)
        if self.error is not None:
            del told["error"]["traceback"]
        return told


@attrs.frozen(kw_only=True)
class Orphans:
    """Runs of one definition that are not over, and that a runtime leaves alone since it does not know the definition."""

    pipeline: str
    """Name of the pipeline."""
    version: str
    """Version text of the pipeline's definition."""
    fingerprint: str
    """Digest of the shape that they began under."""
    count: int
    """How many they are."""
    first: str
    """Id of the oldest of them."""
    is_changed: bool
    """Whether a pipeline of this name and version is registered, in another shape."""

    @property
    def remedy(self) -> str:
        """What to do about them."""
        which = f"{self.pipeline!r}, version {self.version!r}"
        if self.is_changed:
            return (
                f"{which}, is registered in another shape: register the one that they began under, and give the new one "
                "another version=, so that they go on or can be cancelled"
            )
        return f"{which}, is not registered: add it, Runtime(pipelines=[...]), where they are to go on, or to be cancelled"


@attrs.frozen
class RunPage:
    """Some of the runs that were asked for."""

    runs: tuple[RunSummary, ...]
    """In the order that was asked for."""
    next: str | None
    """To be given as ``after`` for the next page; None if this was the last."""


@attrs.frozen
class Commanded:
    """What came of a command that was given to many runs."""

    done: tuple[str, ...]
    """Ids of those that obeyed, in the order in which they were met."""
    refused: Mapping[str, PhaselineError]
    """By id, why the others did not; nothing was stored of them."""
