"""Errors as they are told over the network: problem documents (RFC 9457) of one table, with nothing of the inside in them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast
from uuid import uuid4

import attrs
from starlette.responses import JSONResponse

from phaseline import errors

log: Final = logging.getLogger("phaseline.web")

MEDIA_TYPE: Final = "application/problem+json"
TYPE: Final = "urn:phaseline:problem:"
"""Before the name of a kind of problem: what stands in ``type``."""
RETRY_AFTER: Final = "5"
"""Seconds after which it may be worth trying again where the service is not there."""

Tell = Callable[[Any], str]


@attrs.frozen
class Kind:
    """A kind of problem."""

    name: str
    status: int
    title: str
    members: tuple[str, ...] = ()
    """Attributes of the error that are told too."""
    detail: Tell = str
    """What is told of one error; by default its message, where that has nothing of the inside in it."""
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str])


def _saying(text: str) -> Tell:
    return lambda error: text.format(error=error)


class RequestError(errors.PhaselineError):
    """A request cannot be understood, or is more than is taken."""

    def __init__(
        self, kind: Kind, detail: str, headers: Mapping[str, str] | None = None, **members: object
    ) -> None:
        """Say so.

        Args:
            kind: One of those below.
            detail: What is wrong, and what to do.
            headers: Of the answer.
            members: What else is told.
        """
        self.kind = kind
        self.headers: Mapping[str, str] = headers or {}
        self.members: Mapping[str, object] = members
        super().__init__(detail)


NO_SUCH_PLACE: Final = Kind("no-such-place", 404, "There is nothing here")
NOT_THIS_METHOD: Final = Kind("not-this-method", 405, "Not with this method")
TOO_LARGE: Final = Kind("too-large", 413, "The body is too large")
NOT_JSON_TYPE: Final = Kind("not-json-type", 415, "The body is not said to be JSON")
MALFORMED: Final = Kind("malformed", 400, "The body is no JSON")
INVALID_REQUEST: Final = Kind("invalid-request", 422, "The request makes no sense")
TOO_MANY: Final = Kind("too-many-requests", 429, "Too many requests")
UNKNOWN_PIPELINE: Final = Kind("unknown-pipeline", 404, "There is no such pipeline")
NO_VALUE: Final = Kind("no-value", 404, "There is no such value")
INTERNAL: Final = Kind("internal", 500, "Something went wrong here")

_UNAVAILABLE: Final = {"retry-after": RETRY_AFTER}

TABLE: Final[Mapping[type[errors.PhaselineError], Kind]] = {
    errors.UnauthenticatedError: Kind(
        "unauthenticated", 401, "It is not known who asks", headers={"www-authenticate": "Bearer"}
    ),
    errors.ForbiddenError: Kind("forbidden", 403, "This is not allowed", ("action",)),
    errors.ForeignOriginError: Kind(
        "foreign-origin", 403, "Not from that page", detail=_saying("pages of that origin may not do that here")
    ),
    errors.RunNotFoundError: Kind(
        "unknown-run", 404, "There is no such run", ("run_id",), _saying("there is no run {error.run_id!a} here")
    ),
    errors.ScheduleNotFoundError: Kind(
        "unknown-schedule", 404, "There is no such schedule", ("schedule",),
        _saying("there is no schedule {error.schedule!a} here"),
    ),
    errors.SubscriptionLimitError: Kind("too-many-subscriptions", 429, "There are too many subscriptions"),
    errors.SubscriptionError: Kind("subscription-refused", 422, "This cannot be subscribed to"),
    errors.RunNotVisibleError: Kind("not-visible", 409, "The run is not committed yet", ("run_id",)),
    errors.PipelineEndedError: Kind(
        "run-ended", 409, "The run ended without an output", ("run_id", "state"),
        _saying("the run {error.run_id!a} ended {error.state}; who may read it is told more"),
    ),
    errors.RunNotSettledError: Kind("not-settled", 409, "The run has not ended", ("run_id",)),
    errors.ResultTimeoutError: Kind("not-settled", 409, "The run has not ended", ("run_id",)),
    errors.NoResultError: Kind("no-result", 409, "The phase has no result", ("run_id", "phase", "state")),
    errors.NoOutputError: Kind("no-output", 409, "The run has no output", ("run_id",)),
    errors.DeadlinePassedError: Kind("deadline-passed", 422, "It should be over already"),
    errors.CommandRefusedError: Kind(
        "command-refused", 409, "The run does not obey that now", ("run_id", "command", "state", "allowed")
    ),
    errors.SignalRefusedError: Kind("signal-refused", 409, "The run does not take it now", ("run_id", "signal", "state")),
    errors.KeyConflictError: Kind(
        "key-conflict", 409, "The key stands for another input", ("key",),
        _saying("the key {error.key!a} stands for a run that was started with another input; use another key for this one"),
    ),
    errors.PipelineNotRegisteredError: Kind(
        "pipeline-not-registered", 409, "The pipeline is not served here", ("pipeline",),
        _saying(
            "the pipeline {error.pipeline!a}, as this run or schedule began with it, is not served here: look from a runtime that "
            "registers it, such as phaseline console MODULE:NAME"
        ),
    ),
    errors.DecryptionError: Kind(
        "cannot-be-decrypted", 409, "What is stored cannot be decrypted here",
        detail=_saying("the key that it was encrypted with is not here; look from a runtime that has it"),
    ),
    errors.NamespaceFullError: Kind(
        "namespace-full", 429, "The namespace has all that it may have",
        detail=_saying("runs here have used, or are as many as, they may together; try again later"), headers=_UNAVAILABLE,
    ),
    errors.UnknownPhaseError: Kind("unknown-phase", 422, "There is no such phase", ("run_id", "phase", "known")),
    errors.UnknownCheckpointError: Kind(
        "unknown-checkpoint", 422, "There is no such checkpoint", ("run_id", "named", "checkpoints", "phases")
    ),
    errors.UnknownSignalError: Kind("unknown-signal", 422, "Nothing waits for that signal", ("run_id", "signal", "known")),
    errors.InvalidInputError: Kind("invalid-input", 422, "The input does not fit", ("problems",)),
    errors.InvalidSignalError: Kind("invalid-signal", 422, "The value does not fit the signal", ("problems",)),
    errors.InvalidMarkError: Kind("invalid-mark", 422, "A tag or attribute cannot be kept"),
    errors.EncodeError: Kind("not-storable", 422, "This cannot be stored", ("problems",)),
    errors.ScheduleError: Kind("invalid-schedule", 422, "The schedule cannot work", ("problem",)),
    errors.DefinitionError: Kind("invalid-request", 422, "The request makes no sense"),
    errors.RuntimeNotOpenError: Kind(
        "not-open", 503, "The service is not open",
        detail=_saying("the runtime is not open: the host opens it, 'async with runtime:', in its lifespan"),
        headers=_UNAVAILABLE,
    ),
    errors.StorageUnavailableError: Kind(
        "storage-unavailable", 503, "The storage cannot be reached",
        detail=_saying("the storage cannot be reached now; try again"), headers=_UNAVAILABLE,
    ),
    errors.QueueUnavailableError: Kind(
        "queue-unavailable", 503, "The queue cannot be reached",
        detail=_saying("the queue cannot be reached now; try again"), headers=_UNAVAILABLE,
    ),
}  # fmt: skip
"""By class of the error; what is not here, nor a subclass of it, is told as ``INTERNAL`` and logged."""


KINDS: Final = {
    kind.name: kind
    for kind in (
        *TABLE.values(), MALFORMED, INVALID_REQUEST, UNKNOWN_PIPELINE, NO_SUCH_PLACE, NOT_THIS_METHOD, TOO_LARGE, NOT_JSON_TYPE,
        TOO_MANY, NO_VALUE, INTERNAL,
    )
}  # fmt: skip
"""All of them, by name."""


def to_markdown() -> str:
    """The table for readers."""
    lines = [f"| `type`: `{TYPE}…` | status | | also told |", "|---|---|---|---|"]
    for kind in sorted(KINDS.values(), key=lambda kind: (kind.status, kind.name)):
        members = ", ".join(f"`{name}`" for name in kind.members)
        lines.append(f"| `{kind.name}` | {kind.status} | {kind.title} | {members} |")
    return "\n".join(lines) + "\n"


def kind_of(error: BaseException) -> Kind:
    """What kind of problem an error is."""
    if isinstance(error, RequestError):
        return error.kind
    return next((TABLE[cls] for cls in type(error).__mro__ if cls in TABLE), INTERNAL)


def told_of(error: Exception, what: str) -> tuple[str, str]:
    """Give the name of an error's kind, and what may be told of it; what may not is logged.

    Args:
        error: What was raised.
        what: What was asked for, for the log.
    """
    kind = kind_of(error)
    if kind is INTERNAL:
        log.error("%s failed", what, exc_info=error)
        return kind.name, "the host's log tells more"
    return kind.name, kind.detail(error)


def problem_of(error: Exception, what: str = "a request of the host's") -> JSONResponse:
    """Answer with what may be told of an error, as a problem document; what may not be told is logged.

    For the host's own routes: ``application.add_exception_handler(PhaselineError, ...)``.

    Args:
        error: What was raised.
        what: What was asked for, for the log.
    """
    kind = kind_of(error)
    headers = {**kind.headers, **(error.headers if isinstance(error, RequestError) else {})}
    told: dict[str, object] = {"type": TYPE + kind.name, "title": kind.title, "status": kind.status}
    if kind is INTERNAL:
        instance = f"urn:uuid:{uuid4()}"
        log.error("%s failed (%s)", what, instance, exc_info=error)
        told |= {"detail": "the host's log tells more, under the instance", "instance": instance}
    else:
        if kind.status >= INTERNAL.status:
            log.warning("%s: %s", what, error)
        members = error.members if isinstance(error, RequestError) else _members(error, kind)
        told |= {"detail": kind.detail(error), **members}
    return JSONResponse(told, kind.status, headers, MEDIA_TYPE)


def _members(error: Exception, kind: Kind) -> Mapping[str, object]:
    given = {name: getattr(error, name) for name in kind.members}
    return {name: _plain(value) for name, value in given.items()}


def _plain(value: object) -> object:
    if isinstance(value, str) or value is None:
        return value
    return [str(each) for each in cast("Sequence[object]", value)]  # all others are tuples of texts
