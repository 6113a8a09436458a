"""What bodies did and what callers were told, written down outside of phaseline, to be compared with what is stored."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

import msgspec


class Moment(StrEnum):
    """Where in a body something was written down."""

    BEGIN = "begin"
    """The body was called."""
    END = "end"
    """The body returned."""
    KEPT = "kept"
    """Of a step: ``ctx.step`` has returned, so that its result is stored."""


class Effect(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What a body did, as it wrote it down, in the order in which things happened."""

    run_id: str
    """Id of the run."""
    phase: str
    """Path: ``ctx.phase``."""
    attempt: int
    """Number of the attempt, from 1."""
    moment: Moment
    """Beginning or end."""
    at: datetime
    """When, by the clock of the process."""
    step: str | None = None
    """Key of the step that it is about; None for the body as a whole."""
    key: str | None = None
    """``ctx.idempotency_key``, if it was written down."""


class Reply(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What a caller was told of a run; from then on it must be so, for whoever asks."""

    run_id: str
    """Id of the run."""
    key: str | None = None
    """The idempotency key under which it was started."""
    state: str | None = None
    """The state in which it ended."""
    outputs: Mapping[str, str] = {}
    """What phases gave, as JSON texts by path."""


_LINE = msgspec.json.Decoder(Effect | Reply)


def to_line(account: Effect | Reply) -> bytes:
    """Write an account as one line of JSON, to be appended to a log by a process that may die."""
    return msgspec.json.encode(account) + b"\n"


def from_lines(log: bytes) -> tuple[list[Effect], list[Reply]]:
    """Read the accounts of a log; a last line that its writer did not finish is left out."""
    lines = [_LINE.decode(line) for line in log.splitlines(keepends=True) if line.endswith(b"\n")]
    effects = [line for line in lines if isinstance(line, Effect)]
    return effects, [line for line in lines if isinstance(line, Reply)]
