"""Who asks over the network, and what he may: the host says so, for each request anew."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, TypeAlias, cast

import attrs
from starlette.requests import HTTPConnection

from phaseline._values.texts import storable_text
from phaseline.errors import DefinitionError
from phaseline.query_arguments import TO_COME, check_moment
from phaseline.run_filter import RunSummary
from phaseline.schedule import Schedule
from phaseline.tags import Attribute, marks_of

log: Final = logging.getLogger("phaseline.web")


class Action(StrEnum):
    """What may be asked for."""

    LIST = "list"
    """See lists: runs, dead letters, pipelines, schedules. A run or schedule is shown in them to whom ``READ`` of it is allowed."""
    READ = "read"
    """See a run: its state, values, events and checkpoints; a schedule; of none in particular: a pipeline, or schedules at all."""
    SUBSCRIBE = "subscribe"
    """Be told events as they come: of a run, or of all."""
    START = "start"
    """Start a run."""
    PAUSE = "pause"
    """As ``RunHandle.pause``."""
    RESUME = "resume"
    """As ``RunHandle.resume``."""
    CANCEL = "cancel"
    """As ``RunHandle.cancel``."""
    ROLLBACK = "rollback"
    """As ``RunHandle.rollback``."""
    RETRY = "retry"
    """As ``RunHandle.retry``."""
    RERUN_FROM = "rerun_from"
    """As ``RunHandle.rerun_from``."""
    RESTART = "restart"
    """As ``RunHandle.restart``."""
    FORK = "fork"
    """As ``RunHandle.fork``."""
    ANNOTATE = "annotate"
    """As ``RunHandle.annotate``."""
    SIGNAL = "signal"
    """As ``RunHandle.signal``."""
    REQUEUE = "requeue"
    """Have the run of a dead letter tried again."""
    DISCARD = "discard"
    """Let go of a dead letter."""
    SCHEDULE = "schedule"
    """Store, change, trigger and delete a schedule; of none in particular: schedules at all."""
    HEALTH = "health"
    """See whether all is well."""
    STATS = "stats"
    """See figures of runs."""


Resource: TypeAlias = RunSummary | Schedule
"""What something may be done to; both have a pipeline, tags and attributes."""
May: TypeAlias = Callable[[Action, Resource | None], bool | Awaitable[bool]]
"""Says whether something may be done: to a run or schedule, or, with None, at all."""


def everything(action: Action, resource: Resource | None) -> bool:  # noqa: ARG001  # whatever it is
    """Allow all there is in the namespace."""
    return True


def _text(_: object, attribute: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str) or not value or not value.isprintable():
        msg = f"Access({attribute.name}={value!r}): it is a text that can be printed, and not empty"
        raise DefinitionError(msg)
    storable_text(value, what=f"the {attribute.name}")


def _moment(_: object, attribute: attrs.Attribute[datetime | None], value: object) -> None:
    check_moment(value, attribute.name, TO_COME)


def _marks(_: object, __: object, value: object) -> None:
    marks_of((), value)


@attrs.frozen
class Access:
    """Who asks, and what he may.

    Raises:
        DefinitionError: Actor or namespace is no text that can be printed, or the time is not aware.
        InvalidMarkError: No run could have such attributes.
    """

    actor: str = attrs.field(validator=_text)
    """For the history of the runs that he commands, such as ``user:42``."""
    namespace: str | None = attrs.field(default=None, validator=attrs.validators.optional(_text))
    """In whose runs he may look; None for that of the one runtime that was given."""
    may: May = attrs.field(default=everything, validator=attrs.validators.is_callable())
    """Asked for each action, and for each run and schedule that it is about; anything but True denies."""
    expires_at: datetime | None = attrs.field(default=None, validator=_moment)
    """Until when this holds: a request is refused after it, and a live connection ends."""
    attributes: Mapping[str, Attribute] = attrs.field(factory=dict[str, Attribute], validator=_marks)
    """What each run and schedule has that he starts or stores, whatever he says himself: by it ``may`` knows whose it is."""

    async def allows(self, action: Action, resource: Resource | None = None) -> bool:
        """Whether he may do that, to the run or schedule or at all."""
        answer = self.may(action, resource)
        return (await answer if inspect.isawaitable(answer) else answer) is True

    def has_expired(self, now: datetime | None = None) -> bool:
        """Whether it holds no more."""
        return self.expires_at is not None and self.expires_at <= (now or datetime.now(UTC))


Authorize: TypeAlias = Callable[[HTTPConnection], Awaitable[Access | None]]
"""Says who asks, by the headers or the session of a request or WebSocket; None for somebody unknown."""


async def allow_all(connection: HTTPConnection) -> Access:  # noqa: ARG001  # whoever it is
    """Let in everybody, to everything: for trials, and behind something else that keeps strangers out."""
    return Access("anonymous")


def checked_authorize(authorize: object, what: str) -> Authorize:
    """Refuse what could let in nobody, or anybody by accident; say so where everybody is let in.

    Raises:
        DefinitionError: It is no function.
    """
    if not callable(authorize):
        msg = (
            f"{what}: authorize={authorize!r} is no function; write async def authorize(connection) -> Access | None, which "
            "says who asks, or give phaseline.web.allow_all"
        )
        raise DefinitionError(msg)
    if authorize is allow_all:
        log.warning("%s: authorize=allow_all lets everybody who can reach it see and command all runs", what)
    return cast("Authorize", authorize)  # what it gives is seen when it is asked


async def asked(authorize: Authorize, connection: HTTPConnection) -> Access | None:
    """Ask the host who this is.

    Raises:
        RuntimeError: It says what is neither an ``Access`` nor None.
    """
    found = await authorize(connection)
    if found is None or isinstance(found, Access):  # pyright: ignore[reportUnnecessaryIsInstance]  # not everybody runs a type checker
        return found
    raise RuntimeError(f"authorize returned {type(found).__name__}; return Access(...) or None")
