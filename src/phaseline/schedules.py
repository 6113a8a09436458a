"""Schedules: runs that begin by themselves, at the slots of a rule."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_args

import msgspec
from anyio import to_thread

from phaseline._definition.options import check_priority
from phaseline._shell.scheduling import Scheduler, input_of, options_of, plan_of
from phaseline._shell.starting import found_run, start
from phaseline.arguments import checked_pipeline
from phaseline.errors import (
    ForbiddenError,
    KeyConflictError,
    PipelineNotRegisteredError,
    ScheduleError,
    ScheduleNotFoundError,
    StorageUnavailableError,
)
from phaseline.handle import RunHandle
from phaseline.pipeline import Pipeline
from phaseline.schedule import Schedule, schedule_of
from phaseline.schedule_rule import ZONE_ERRORS, Rule, rule_of, unknown_zone, zone_of
from phaseline.tags import MOST, Attribute, marks_of
from phaseline.timetable import CatchUp, Overlap, ScheduleRecord

if TYPE_CHECKING:
    from phaseline.runtime import Runtime

In = TypeVar("In")
Out = TypeVar("Out")

LONGEST_NAME: Final = 100
MOST_SLOTS: Final = 10_000
"""Slots that are filled in at once."""
MOST_SHOWN: Final = 100
"""Slots to come that are told at once."""
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Of what is filled in."""
CLOCKS_APART: Final = timedelta(seconds=5)
"""How far a caller's clock may be before the storage's: his "now" is a time that has come."""
TRIES: Final = 100
"""Times a change is tried where others change the same schedule; each time one of the two got through."""
OWN: Final = frozenset({"schedule", "slot"})
"""Attributes that every run of a schedule has."""


class Slot:
    """What stands for the slot of a run; see ``SLOT``."""

    def __repr__(self) -> str:
        return "SLOT"


SLOT: Any = Slot()
"""As ``input=`` of a schedule: each run takes its own slot, a ``datetime`` in the schedule's time zone."""


async def _any(schedule: Schedule) -> bool:  # noqa: ARG001  # whichever it is
    return True


class Schedules:
    """The schedules of a runtime's namespace; ``runtime.schedules``."""

    def __init__(
        self,
        runtime: Runtime,
        scheduler: Scheduler | None,
        may: Callable[[Schedule], Awaitable[bool]] = _any,
    ) -> None:
        self._runtime, self._scheduler, self._may = runtime, scheduler, may
        self._runner = runtime.runner
        self._timetable = self._runner.storage.timetable
        self._namespace = self._runner.options.namespace

    def restricted(self, may: Callable[[Schedule], Awaitable[bool]], /) -> Schedules:
        """The same schedules without those that somebody may not see, or change: for him they are not there.

        Args:
            may: Asked about a schedule as it stands, before anything of it is told or done; and, before it is stored, as it
                would be.
        """
        return Schedules(self._runtime, self._scheduler, may)

    async def put(
        self,
        name: str,
        pipeline: Pipeline[In, Any],
        /,
        *,
        input: In,  # noqa: A002  # says best what it is
        cron: str | None = None,
        every: timedelta | None = None,
        tz: str | None = None,
        overlap: Overlap = "skip",
        catch_up: CatchUp = "latest",
        priority: int = 100,
        tags: Iterable[str] = (),
        attributes: Mapping[str, Attribute] | None = None,
    ) -> Schedule:
        """Store a schedule, or change the one of this name. Every process may do so when it begins.

        With another rule, or a pipeline of another name, it begins with the next slot from now on; else it goes on where
        it was, so that what was missed while no process was there is caught up on. A paused one stays paused.

        Args:
            name: By which it is known: 1 to 100 characters that can be printed.
            pipeline: What is run; registered here.
            input: What each run takes; ``SLOT`` for its own slot.
            cron: A cron text of five fields, as Debian's cron reads it, or of six with seconds first.
            every: Distance of slots, at least a second. They are its multiples since 1970 in UTC.
            tz: Time zone that the cron text is read in, by default UTC.
            overlap: What becomes of a slot while an earlier run of this schedule goes on: ``"skip"`` lets it go,
                ``"allow"`` fires it all the same, ``"queue"`` has it wait for the end of that run.
            catch_up: Which slots are fired that came while nobody served, or that nobody got to within a minute: the
                ``"latest"``, ``"all"`` of them one after the other, or ``"none"`` that is more than a minute late.
            priority: Of its runs, 0 to 999, lower goes first.
            tags: Of its runs.
            attributes: Of its runs; they also get ``schedule``, the name, and ``slot``.

        Raises:
            ScheduleError: There is no such time zone, the cron text never fires, or another argument makes no sense.
            InvalidInputError: The input is not what the pipeline takes.
            InvalidMarkError: A tag or an attribute cannot be kept.
            PipelineNotRegisteredError: It is not registered.
            ScheduleNotFoundError: These are restricted, and there is one of this name that is none of them.
            ForbiddenError: These are restricted, and it would be none of them.
            StorageError: It could not be stored.
        """
        checked_pipeline(pipeline, "schedules.put")
        if not self._runtime.has(pipeline):
            raise PipelineNotRegisteredError(pipeline.name, repr(self._runtime), self._runtime.names)
        _check_name(name)
        rule = await to_thread.run_sync(rule_of, name, cron, every, tz)  # reads the files of time zones
        _check_choice(name, "overlap", overlap, get_args(Overlap))
        _check_choice(name, "catch_up", catch_up, get_args(CatchUp))
        check_priority(priority)
        now = self._runner.clock.now()
        first = rule.after(now)
        if first is None:
            raise ScheduleError(name, f"cron={rule.cron!r} never fires again")
        is_slot = isinstance(input, Slot)
        text, _ = pipeline.plan.input.encode_input(first.astimezone(zone_of(rule.zone)) if is_slot else input)
        record = ScheduleRecord(
            namespace=self._namespace, name=name, pipeline=pipeline.name, version=pipeline.version, cron=rule.cron,
            every=rule.every, zone=rule.zone, input=None if is_slot else text, overlap=overlap, catch_up=catch_up, priority=priority,
            marks=_marks(name, tags, attributes), revision=1, next_at=first, created_at=now, updated_at=now,
        )  # fmt: skip
        for _ in range(TRIES):
            before = await self._read(name)
            after = record if before is None else _in_place_of(before, record)
            if not await self._may(schedule_of(after)):
                raise ForbiddenError("schedule")
            if after is before or await self._store(after, 0 if before is None else before.revision):
                return schedule_of(after)
        raise self._contended(name)

    async def get(self, name: str, /) -> Schedule:
        """A schedule as it stands.

        Raises:
            ScheduleNotFoundError: There is none of this name.
        """
        return schedule_of(await self._known(name))

    async def list(self) -> Sequence[Schedule]:
        """All schedules of the namespace, in the order of their names."""
        found = await self._runner.read(partial(self._timetable.all, self._namespace))
        return [shown for shown in map(schedule_of, found) if await self._may(shown)]

    async def upcoming(self, name: str, /, *, limit: int = 10) -> Sequence[datetime]:
        """The next slots of a schedule from now on, in its time zone; of a paused one those that there would be.

        Args:
            name: The schedule's.
            limit: How many, 1 to 100; there are fewer where its cron text fires no more.

        Raises:
            ScheduleError: The limit makes no sense, or the stored cron text cannot be read here.
            ScheduleNotFoundError: There is none of this name.
        """
        if type(limit) is not int or not 1 <= limit <= MOST_SHOWN:
            raise ScheduleError(name, f"upcoming(limit={limit!r}) is no number from 1 to {MOST_SHOWN}")
        schedule = await self._known(name)
        begin = self._runner.clock.now()
        if schedule.next_at is not None:  # it is one of them, also where it is due already
            begin = min(begin, schedule.next_at - timedelta.resolution)
        slots = (await _rule_of(schedule)).upcoming(begin)
        found = await to_thread.run_sync(list, islice(slots, limit))  # a rare one takes a while
        return [slot.astimezone(zone_of(schedule.zone)) for slot in found]

    async def delete(self, name: str, /) -> None:
        """Delete a schedule; its runs stay, and go on.

        Raises:
            ScheduleNotFoundError: There is none of this name.
        """
        if self._may is not _any:
            await self._look(name)
        if not _is_name(name) or not await self._runner.write(
            partial(self._timetable.delete, self._namespace, name)
        ):
            raise await self._unknown(name)

    async def pause(self, name: str, /) -> Schedule:
        """Fire nothing more until ``resume``; once this returns no process begins a run of it.

        Raises:
            ScheduleNotFoundError: There is none of this name.
        """
        return await self._change(name, paused=True)

    async def resume(self, name: str, /) -> Schedule:
        """Go on with the next slot from now on; those that came meanwhile are let go, ``backfill`` fills them in.

        Raises:
            ScheduleError: Its stored cron text cannot be read here.
            ScheduleNotFoundError: There is none of this name.
        """
        return await self._change(name, paused=False)

    async def trigger(self, name: str, /) -> RunHandle[object]:
        """Begin a run of a schedule now, apart from its slots, whether it is paused or another run goes on.

        Raises:
            ScheduleNotFoundError: There is none of this name.
            PipelineNotRegisteredError: Its pipeline, of its version, is not registered here.
            CodecError: Its input cannot be read here.
        """
        schedule = await self._known(name)
        return await self._begin(schedule, self._runner.clock.now().replace(microsecond=0), of_slot=False)

    async def backfill(
        self, name: str, /, *, since: datetime, until: datetime
    ) -> Sequence[RunHandle[object]]:
        """Begin a run for each slot of a past time that has none, and give handles on the runs of all.

        They do not wait for each other. Called again it begins no run twice, unless one was purged.

        Args:
            name: The schedule's.
            since: The first slot may be this moment; aware.
            until: Slots are before this moment, which has come already; aware.

        Raises:
            ScheduleError: The times make no sense, there are more than 10 000 slots between them, or the stored cron text
                cannot be read here.
            ScheduleNotFoundError: There is none of this name.
            PipelineNotRegisteredError: Its pipeline, of its version, is not registered here.
            CodecError: Its input cannot be read here.
        """
        schedule = await self._known(name)
        for moment in (since, until):
            if not isinstance(moment, datetime) or moment.tzinfo is None:  # pyright: ignore[reportUnnecessaryIsInstance]  # callers need not be typed
                raise ScheduleError(
                    name, f"backfill needs aware times, datetime(2026, 1, 1, tzinfo=UTC); got {moment!r}"
                )
        if since < EARLIEST:
            raise ScheduleError(
                name, f"backfill(since={since.isoformat()}): nothing is filled in before {EARLIEST.year}"
            )
        if not since < until <= self._runner.clock.now() + CLOCKS_APART:
            raise ScheduleError(
                name,
                f"backfill(since={since.isoformat()}, until={until.isoformat()}): that is no time that has passed",
            )
        least = timedelta.resolution
        rule = await _rule_of(schedule)
        slots = [*islice(rule.between(since - least, until - least), MOST_SLOTS + 1)]
        if len(slots) > MOST_SLOTS:
            raise ScheduleError(
                name,
                f"between {since.isoformat()} and {until.isoformat()} are more than {MOST_SLOTS} slots; fill in less at once",
            )
        return [await self._begin(schedule, slot, of_slot=True) for slot in slots]

    # ------------------------------------------------------------------ what they share
    async def _begin(self, schedule: ScheduleRecord, slot: datetime, *, of_slot: bool) -> RunHandle[object]:
        plan = plan_of(self._runner, schedule)
        if plan is None:
            raise PipelineNotRegisteredError(
                schedule.pipeline, repr(self._runtime), self._runtime.names, version=schedule.version
            )
        value = input_of(plan, schedule, slot)
        try:
            found = await start(self._runner, plan, value, options_of(schedule, slot if of_slot else None))
        except KeyConflictError as error:  # the schedule had another input when it was fired
            found = await found_run(self._runner, error.run_id)
        return RunHandle(self._runtime, *found)

    async def _change(self, name: str, *, paused: bool) -> Schedule:
        for _ in range(TRIES):
            before = await self._known(name)
            if before.paused is paused:
                return schedule_of(before)
            now = self._runner.clock.now()
            next_at = None if paused else (await _rule_of(before)).after(now)
            after = msgspec.structs.replace(
                before, paused=paused, next_at=next_at, updated_at=now,
                revision=before.revision + 1,
            )  # fmt: skip
            if await self._store(after, before.revision):
                return schedule_of(after)
        raise self._contended(name)

    async def _store(self, schedule: ScheduleRecord, expected: int) -> bool:
        stored = await self._runner.write(partial(self._timetable.put, schedule, expected))
        if stored and self._scheduler is not None:
            self._scheduler.wake()
        return stored

    async def _look(self, name: str) -> ScheduleRecord | None:
        if not _is_name(name):  # with half a surrogate it could not even be asked for
            return None
        found = await self._runner.read(partial(self._timetable.get, self._namespace, name))
        if found is not None and not await self._may(schedule_of(found)):
            raise await self._unknown(name)
        return found

    async def _read(self, name: str) -> ScheduleRecord | None:
        found = await self._look(name)
        if found is not None:
            try:
                await to_thread.run_sync(zone_of, found.zone)
            except ZONE_ERRORS as error:
                raise ScheduleError(name, unknown_zone(found.zone)) from error
        return found

    async def _known(self, name: str) -> ScheduleRecord:
        found = await self._read(name)
        if found is None:
            raise await self._unknown(name)
        return found

    async def _unknown(self, name: str) -> ScheduleNotFoundError:
        return ScheduleNotFoundError(name, [schedule.name for schedule in await self.list()])

    def _contended(self, name: str) -> StorageUnavailableError:
        problem = f"schedule {name!r} was changed by others {TRIES} times in a row"
        return StorageUnavailableError(repr(self._runner.storage), problem, "try again")


async def _rule_of(schedule: ScheduleRecord) -> Rule:
    """The rule of a stored schedule, which another version of what reads cron texts may have known how to read."""
    zone = None if schedule.cron is None else schedule.zone
    try:
        return await to_thread.run_sync(rule_of, schedule.name, schedule.cron, schedule.every, zone)
    except ScheduleError as error:
        remedy = "it is stored like this: put it anew, or delete it"
        raise ScheduleError(schedule.name, f"{error.problem}; {remedy}") from error


def _is_name(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= LONGEST_NAME and name.isprintable()


def _check_name(name: object) -> None:
    if not _is_name(name):
        shown = ascii(name)[:LONGEST_NAME]
        raise ScheduleError(shown, f"a name has 1 to {LONGEST_NAME} characters, all of which can be printed")


def _check_choice(name: str, option: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ScheduleError(name, f"{option}={value!r} is none of {', '.join(map(repr, known))}")


def _marks(name: str, tags: Iterable[str], attributes: Mapping[str, Attribute] | None) -> tuple[str, ...]:
    marks = marks_of(tags, attributes)
    own = OWN.intersection(attributes or ())
    if own:
        raise ScheduleError(name, f"the attribute {min(own)!r} is one that its runs get by themselves")
    if attributes and len(attributes) > MOST - len(OWN):
        raise ScheduleError(name, f"{len(attributes)} attributes: at most {MOST - len(OWN)} beside its own")
    return marks


def _in_place_of(before: ScheduleRecord, new: ScheduleRecord) -> ScheduleRecord:
    """What a schedule is once it is stored anew; itself if it is the same."""
    replace = msgspec.structs.replace
    goes_on = (before.rule, before.pipeline) == (new.rule, new.pipeline)
    after = replace(
        new, paused=before.paused, next_at=None if before.paused else before.next_at if goes_on else new.next_at,
        last_slot=before.last_slot, created_at=before.created_at, revision=before.revision + 1,
    )  # fmt: skip
    is_same = replace(after, revision=before.revision, updated_at=before.updated_at) == before
    return before if is_same else after
