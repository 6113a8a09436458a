"""Exceptions as data."""

from __future__ import annotations

import logging
from collections.abc import Callable
from traceback import format_exception
from typing import Any

from phaseline.errors import (
    BudgetExceededError,
    CodecError,
    InvalidTransitionError,
    MissingDependencyError,
    PhaselineError,
    QuotaExceededError,
    StorageError,
)
from phaseline.masking import without_secrets
from phaseline.rows import ErrorCategory, ErrorInfo

log = logging.getLogger("phaseline.failure")

Classify = Callable[[BaseException], ErrorCategory | None]
"""Says what kind of failure an exception is; None to leave it to ``categorize``."""

MAX_NAME = 200
MAX_TRACEBACK = 4_000
"""Characters of a traceback that are stored, its end."""
MAX_MESSAGE = 2_000
"""Characters of an exception's text that are stored."""
NEVER_RETRIED = frozenset({ErrorCategory.VALIDATION, ErrorCategory.STATE})


def categorize(error: BaseException, classify: Classify | None = None) -> ErrorCategory:
    """Say what kind of failure an exception is; the host is asked first, if it wants to be."""
    said = None if classify is None else _said(classify, error)
    if said is None and isinstance(error, PhaselineError):
        said = error.category
    if said is not None:
        return said
    if isinstance(error, TimeoutError):
        return ErrorCategory.TIMEOUT
    if (
        isinstance(error, CodecError) or type(error).__name__ == "ValidationError"
    ):  # pydantic's, whichever version
        return ErrorCategory.VALIDATION
    if isinstance(error, InvalidTransitionError | BudgetExceededError | QuotaExceededError):
        return ErrorCategory.STATE
    if isinstance(error, MemoryError | OSError | MissingDependencyError | StorageError):
        return ErrorCategory.SYSTEM
    return ErrorCategory.PROCESSING


def _said(classify: Classify, error: BaseException) -> ErrorCategory | None:
    """Ask the host's classifier, whatever it may do: a mistake in it must not take the place of the failure."""
    try:
        said: Any = classify(error)
        return None if said is None else ErrorCategory(said)
    except KeyboardInterrupt:
        raise
    except BaseException:
        log.exception("classify(%s) gave no category; it is classified as without it", type(error).__name__)
        return None


def info_of(
    error: BaseException, phase: str, classify: Classify | None = None, *, traceback: bool = False
) -> ErrorInfo:
    """Make data of an exception, bounded in size and safe to store, whatever the exception does.

    Args:
        error: Any exception; its text may be missing, endless or unprintable.
        phase: Path of the phase that it ended.
        classify: The host's own classifier, if it has one.
        traceback: Whether to keep the last 4,000 characters of its traceback, too.
    """
    return ErrorInfo(
        category=categorize(error, classify),
        type=_storable(type(error).__name__)[:MAX_NAME],
        message=_cut(_text_of(error)),
        phase=phase,
        traceback=_trace_of(error) if traceback else None,
    )


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except KeyboardInterrupt:
        raise
    except BaseException as failure:  # noqa: BLE001  # its __str__ is the user's code
        return f"(it has no text: its __str__ raised {type(failure).__name__})"


def _cut(text: str) -> str:
    """Bound a text before anything else is done with it, and mask the passwords in it: it is shown to many."""
    kept = without_secrets(_storable(text[: 2 * MAX_MESSAGE]))[:MAX_MESSAGE]  # of a password no half is left
    return kept if len(text) <= MAX_MESSAGE else f"{kept}… ({len(text)} characters)"


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")


def _trace_of(error: BaseException) -> str:
    try:
        lines = format_exception(error)
    except KeyboardInterrupt:
        raise
    except BaseException as failure:  # noqa: BLE001  # it asks the exception for its notes and its cause
        return f"(it cannot be written: {type(failure).__name__})"
    return without_secrets(_storable("".join(lines)[-2 * MAX_TRACEBACK :]))[-MAX_TRACEBACK:]
