"""What may be commanded of a run, in which of its states, and what it then comes to: one table, which the engine obeys."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from phaseline.errors import CodecError, PipelineNotRegisteredError, RunError
from phaseline.rows import RunState


class Verb(StrEnum):
    """What may be commanded of a run."""

    PAUSE = "pause"
    """Have no phase start from now on."""
    RESUME = "resume"
    """Go on."""
    CANCEL = "cancel"
    """End it for good, at once."""
    RETRY = "retry"
    """Take it up again where it failed."""
    RERUN_FROM = "rerun_from"
    """Do a phase, and all after it, once more."""
    RESTART = "restart"
    """Do all of it once more."""
    ROLLBACK = "rollback"
    """Take it back to where it was after a phase."""
    FORK = "fork"
    """Begin another run as a copy of it."""
    ANNOTATE = "annotate"
    """Write something into its history."""
    DISCARD = "discard"
    """Let go of its dead letter."""


SUMMARIES: Mapping[Verb, str] = {
    Verb.PAUSE: "Have no phase of a run start from now on.",
    Verb.RESUME: "Go on with a run that is PAUSED or ROLLED_BACK.",
    Verb.CANCEL: "End a run for good, at once.",
    Verb.RETRY: "Take a FAILED run up again where it failed.",
    Verb.RERUN_FROM: "Do a phase of a run that has ended, and all after it, once more.",
    Verb.RESTART: "Do a run that has ended once more.",
    Verb.ROLLBACK: "Take a run back to where it was after a phase.",
    Verb.FORK: "Begin another run as a copy of this one, up to a place.",
    Verb.ANNOTATE: "Write something into the history of a run.",
    Verb.DISCARD: "Let go of a dead letter; its run stays FAILED.",
}
"""What each does, in a line: the same words wherever it can be given."""

PLAIN: Final = (Verb.PAUSE, Verb.RESUME, Verb.CANCEL, Verb.RETRY, Verb.RESTART)
"""What is commanded of runs, one or many, with no more than a reason."""

ACTIVE = "an active state"
"""Stands for all labels of phases."""

_IDLE, _INITIALIZING, _PAUSED = str(RunState.IDLE), str(RunState.INITIALIZING), str(RunState.PAUSED)
_COMPLETED, _FAILED, _CANCELLED = str(RunState.COMPLETED), str(RunState.FAILED), str(RunState.CANCELLED)
_ROLLED_BACK, _ROLLING_BACK = str(RunState.ROLLED_BACK), str(RunState.ROLLING_BACK)
_GOING = (_IDLE, _INITIALIZING, ACTIVE)

STATES: tuple[str, ...] = (*_GOING, *(str(state) for state in RunState if state not in _GOING))
"""All states, those of phases as one."""

TABLE: Mapping[Verb, Mapping[str, tuple[str, ...]]] = {
    Verb.PAUSE: dict.fromkeys(_GOING, (_PAUSED,)),
    Verb.RESUME: {_PAUSED: (_IDLE, ACTIVE, _COMPLETED), _ROLLED_BACK: (_IDLE, ACTIVE)},
    Verb.CANCEL: dict.fromkeys((*_GOING, _PAUSED), (_CANCELLED,)),
    Verb.RETRY: {_FAILED: (_IDLE, ACTIVE, _ROLLING_BACK)},
    Verb.RERUN_FROM: dict.fromkeys((_COMPLETED, _FAILED, _ROLLED_BACK), (_IDLE, ACTIVE)),
    Verb.RESTART: dict.fromkeys((_COMPLETED, _FAILED, _ROLLED_BACK), (_IDLE, ACTIVE)),
    Verb.ROLLBACK: dict.fromkeys((*_GOING, _PAUSED, _COMPLETED, _FAILED), (_ROLLED_BACK, _ROLLING_BACK)),
    Verb.FORK: {state: (state,) for state in STATES if state != _ROLLING_BACK},
    Verb.ANNOTATE: {state: (state,) for state in STATES},
    Verb.DISCARD: {_FAILED: (_FAILED,)},
}
"""For each verb the states in which it is allowed, each with the states to which it leads in its own commit."""


def kind_of(state: str) -> str:
    """The state as the table names it."""
    return state if state in RunState.__members__ else ACTIVE


def allowed_in(state: str) -> tuple[Verb, ...]:
    """The verbs that a run in this state obeys."""
    kind = kind_of(state)
    return tuple(verb for verb, rows in TABLE.items() if kind in rows)


def to_markdown() -> str:
    """The table for readers: a row for each state, a column for each verb."""
    lines = [
        f"| | {' | '.join(f'`{verb}`' for verb in TABLE)} |",
        f"|---|{'---|' * len(TABLE)}",
    ]
    for state in STATES:
        name = f"`{state}`" if state != ACTIVE else state
        cells = (" or ".join(rows[state]) if state in rows else "—" for rows in TABLE.values())
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


OF_ONE_RUN: Final = (RunError, PipelineNotRegisteredError, CodecError)
"""What keeps one run from obeying, and says nothing of the others that are commanded with it."""
