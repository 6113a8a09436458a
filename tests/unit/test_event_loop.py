"""What is asked of the event loop itself."""

from __future__ import annotations

import anyio
import pytest

from phaseline.event_loop import Post, loop_post


async def reached() -> Post:
    """Give what reaches the loop, once it was seen to."""
    post, called = loop_post(), anyio.Event()
    assert await anyio.to_thread.run_sync(post, called.set)
    await called.wait()
    return post


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_loop_that_has_ended_is_not_reached(backend: str) -> None:
    """A thread that is late is no error: nobody is left to be told, and it is told so."""
    post, called = anyio.run(reached, backend=backend), list[int]()
    assert not post(lambda: called.append(1))
    assert [] == called
