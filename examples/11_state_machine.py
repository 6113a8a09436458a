"""The state machine by itself: a table that is checked when it is made, and one thing that moves along it."""

from __future__ import annotations

from enum import Enum, auto

from phaseline import StateMachine, Transitions
from phaseline.errors import InvalidTransitionError
from phaseline.machine import Change


class Door(Enum):
    """The states."""

    OPEN = auto()
    CLOSED = auto()
    LOCKED = auto()
    BRICKED_UP = auto()


TABLE = Transitions(
    {
        Door.OPEN: [Door.CLOSED],
        Door.CLOSED: [Door.OPEN, Door.LOCKED],
        Door.LOCKED: [Door.CLOSED, Door.BRICKED_UP],
        Door.BRICKED_UP: [],
    },
    initial=Door.OPEN,
    name="door",
)


def main() -> None:
    door = StateMachine(TABLE)

    @door.guard(Door.CLOSED, Door.LOCKED)
    def key_is_there(change: Change[Door]) -> str | None:
        return None if "key" in change.reason else "the key is missing"

    @door.after
    def tell(change: Change[Door]) -> None:
        print(f"{change.version}: {change.source.name} > {change.target.name}")

    door.to(Door.CLOSED)
    for reason in ("", "with the key"):
        try:
            door.to(Door.LOCKED, reason=reason)
        except InvalidTransitionError as error:
            print(error)
    print(sorted(state.name for state in door.allowed()))

    again = StateMachine.restore(TABLE, door.snapshot())
    print(again.state.name, again.version, again.is_terminal)
    print(TABLE.to_mermaid())


if __name__ == "__main__":
    main()
