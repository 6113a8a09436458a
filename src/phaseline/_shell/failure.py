"""Exceptions as data."""

from __future__ import annotations

from phaseline.errors import CodecError, InvalidTransitionError, MissingDependencyError
from phaseline.run import ErrorCategory, ErrorInfo

MAX_MESSAGE = 2_000
"""Characters of an exception's text that are stored."""
NEVER_RETRIED = frozenset({ErrorCategory.VALIDATION, ErrorCategory.STATE})


def categorize(error: BaseException) -> ErrorCategory:
    """Say what kind of failure an exception is."""
    if isinstance(error, TimeoutError):
        return ErrorCategory.TIMEOUT
    if (
        isinstance(error, CodecError) or type(error).__name__ == "ValidationError"
    ):  # pydantic's, whichever version
        return ErrorCategory.VALIDATION
    if isinstance(error, InvalidTransitionError):
        return ErrorCategory.STATE
    if isinstance(error, MemoryError | OSError | MissingDependencyError):
        return ErrorCategory.SYSTEM
    return ErrorCategory.PROCESSING


def describe(error: BaseException, phase: str) -> ErrorInfo:
    """Make data of an exception, bounded in size and safe to store."""
    text = str(error).encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")
    if len(text) > MAX_MESSAGE:
        text = f"{text[:MAX_MESSAGE]}… ({len(text)} characters)"
    return ErrorInfo(category=categorize(error), type=type(error).__name__, message=text, phase=phase)
