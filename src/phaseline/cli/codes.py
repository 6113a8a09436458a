"""What the command's exit code says: the one table of it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from phaseline.errors import (
    CommandRefusedError,
    KeyConflictError,
    NamespaceFullError,
    PipelineEndedError,
    PipelineNotRegisteredError,
    RunNotFoundError,
    ScheduleNotFoundError,
    SchemaVersionError,
    SignalRefusedError,
    UnknownCheckpointError,
    UnknownPhaseError,
    UnknownSignalError,
)


class ExitCode(IntEnum):
    """How a command ended."""

    DONE = 0
    FAILED = 1
    UNUSABLE = 2
    REFUSED = 3
    NOT_FOUND = 4
    INTERRUPTED = 130


MEANINGS: Final[Mapping[ExitCode, str]] = {
    ExitCode.DONE: "done, or all is well",
    ExitCode.FAILED: "the answer is no: a run ended otherwise than COMPLETED, the tables are of another version, something "
    "is not well; or it cannot be written; or a mistake in the program, with its traceback",
    ExitCode.UNUSABLE: "nothing could be asked: the command line, a settings file, an input or a template is wrong, or the "
    "storage cannot be reached",
    ExitCode.REFUSED: "the run does not obey that in its state, the key stands for another input, or the namespace has "
    "all that it may have",
    ExitCode.NOT_FOUND: "there is no such run, phase, checkpoint, schedule, signal or pipeline",
    ExitCode.INTERRUPTED: "Ctrl-C; what was begun goes on",
}
EPILOG: Final = "Exit codes: " + "; ".join(f"{code:d} {meaning}" for code, meaning in MEANINGS.items()) + "."

_CODES: Final[Mapping[ExitCode, tuple[type[Exception], ...]]] = {
    ExitCode.FAILED: (SchemaVersionError, PipelineEndedError),
    ExitCode.REFUSED: (CommandRefusedError, SignalRefusedError, KeyConflictError, NamespaceFullError),
    ExitCode.NOT_FOUND: (
        RunNotFoundError, UnknownPhaseError, UnknownCheckpointError, UnknownSignalError, ScheduleNotFoundError,
        PipelineNotRegisteredError,
    ),
}  # fmt: skip


def code_of(error: Exception) -> ExitCode:
    """The exit code by which an error is told."""
    return next((code for code, kinds in _CODES.items() if isinstance(error, kinds)), ExitCode.UNUSABLE)


def to_markdown() -> str:
    """The table for readers."""
    lines = [
        "| exit code | says |",
        "|---|---|",
        *(f"| {code:d} | {text} |" for code, text in MEANINGS.items()),
    ]
    return "\n".join(lines) + "\n"
