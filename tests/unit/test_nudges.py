"""A process that is alone tells nobody that its runs end."""

from __future__ import annotations

from collections.abc import Callable

from anyio.lowlevel import checkpoint

from phaseline._shell.nudges import Nudges
from phaseline.abc import Nudge
from phaseline.bus import EventBus
from phaseline.storage.memory import MemoryStorage


class Loud(MemoryStorage):
    """Everybody hears what is told, who told it too."""

    nudges: bool = True

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Nudge] = []
        self.hearers: list[Callable[[Nudge], object]] = []

    def nudge(self, namespace: str, nudge: Nudge) -> None:
        """Tell it to all."""
        self.told.append(nudge)
        for heard in self.hearers:
            heard(nudge)

    def listen(self, namespace: str, heard: Callable[[Nudge], object]) -> Callable[[], None]:
        """Hear it too."""
        self.hearers.append(heard)
        return lambda: None


async def turns() -> None:
    """Let what was heard reach the event loop."""
    for _ in range(10):
        await checkpoint()


async def test_who_waits_tells_himself_of_no_ends() -> None:
    """His own word that he waits comes back to him, and is none of his business."""
    storage = Loud()
    nudges = Nudges(storage, "default", EventBus(), "w-a")
    nudges.wait()
    await turns()
    nudges.ended("run")
    assert [Nudge(awaited_by=frozenset({"w-a"}))] == storage.told


async def test_ends_are_told_to_others_who_wait() -> None:
    """Also when he waits himself, and the two were told of in one."""
    storage = Loud()
    nudges = Nudges(storage, "default", EventBus(), "w-a")
    nudges.listen()
    storage.nudge("default", Nudge(awaited_by=frozenset({"w-a", "w-b"})))
    await turns()
    nudges.ended("run")
    assert Nudge(runs=frozenset({"run"})) == storage.told[-1]


async def test_who_begins_to_serve_is_a_peer_at_once() -> None:
    """Also of one that found itself alone a moment ago; his own word makes him no peer of himself."""
    storage = Loud()
    ours, theirs = (Nudges(storage, "default", EventBus(), name) for name in ("w-a", "w-b"))
    ours.listen()
    ours.has_peers = False
    ours.serving()
    assert not ours.has_peers
    theirs.serving()
    assert ours.has_peers
