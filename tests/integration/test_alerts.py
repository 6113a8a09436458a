"""Errors that are told: their severity, and that whoever is told changes nothing, on every storage."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import anyio
import pytest
from tests.loops import BOTH_LOOPS, anyio_backend
from tests.opening import OpenRuntime

from phaseline import Abort, ErrorCategory, Pipeline, Retry, RunState, Runtime, each, phase
from phaseline.errors import DefinitionError
from phaseline.events import ErrorOccurred, Severity
from phaseline.testing import FakeClock

__all__ = ["anyio_backend"]
SECOND = timedelta(seconds=1)


@phase(retry=Retry(attempts=3, wait=1))
async def stumble(number: int) -> int:
    raise ValueError(f"no {number}")


@phase
async def break_down(number: int) -> int:
    raise OSError(f"no {number}")


@phase
async def give_up(number: int) -> int:
    raise Abort(f"no {number}")


@phase
async def wait(number: int) -> int:
    await anyio.sleep_forever()
    return number


stumbling, broken = Pipeline("stumbling", stumble), Pipeline("broken", break_down)
collecting = Pipeline("collecting", each(give_up, on_error="collect"))
late = Pipeline("late", wait, timeout=SECOND)
ALL = (stumbling, broken, collecting, late)


@pytest.mark.parametrize(
    ("pipeline", "value", "expected"),
    [
        (stumbling, 1, [("WARNING", "stumble", 1), ("WARNING", "stumble", 2), ("ERROR", "stumble", 3)]),
        (broken, 1, [("CRITICAL", "break_down", 1)]),
        (collecting, [1], [("WARNING", "give_up[0]", 1)]),
        (late, 1, [("ERROR", None, None)]),
    ],
)
async def test_an_error_is_told_with_its_severity(
    open_runtime: OpenRuntime,
    clock: FakeClock,
    pipeline: Pipeline[Any, Any],
    value: object,
    expected: list[tuple[str, str | None, int | None]],
) -> None:
    """Once each, as it is stored; a run that goes on is a warning, one that is at fault with its system is critical."""
    told: list[ErrorOccurred] = []
    async with open_runtime(*ALL, on_error=told.append) as runtime:
        handle = await runtime.start(pipeline, value)
        await clock.advance(5 * SECOND)
        run = await handle.wait()
        stored = [event async for event in handle.events() if event.type == "ERROR_OCCURRED"]
    assert told == stored
    assert [(event.severity, event.phase, event.attempt) for event in told] == expected
    assert run.error in (None, told[-1].error)


@BOTH_LOOPS
@pytest.mark.parametrize("kind", ["raises", "async raises", "blocks"])
async def test_who_is_told_changes_nothing(open_runtime: OpenRuntime, clock: FakeClock, kind: str) -> None:
    """A hook that raises or blocks delays no run, and none fails by it."""
    release, called = threading.Event(), threading.Event()

    def hook(_: ErrorOccurred) -> None:
        called.set()
        if kind == "blocks":
            release.wait(20)
        raise RuntimeError(kind)

    async def async_hook(_: ErrorOccurred) -> None:
        called.set()
        raise RuntimeError(kind)

    try:
        hooked = async_hook if kind == "async raises" else hook
        async with open_runtime(*ALL, on_error=hooked) as runtime:
            for _ in range(2):
                handle = await runtime.start(broken, 1)
                run = await handle.wait()
                assert (run.state, run.error and run.error.category) == (
                    RunState.FAILED,
                    ErrorCategory.SYSTEM,
                )
            with anyio.fail_after(10):
                while not called.is_set():  # noqa: ASYNC110  # it may be called in a thread
                    await anyio.sleep(0.002)
            release.set()
    finally:
        release.set()


async def test_an_error_is_told_by_the_process_that_commits_it(open_runtime: OpenRuntime) -> None:
    """And by no other, so that nobody is woken twice."""
    here: list[ErrorOccurred] = []
    there: list[ErrorOccurred] = []
    one, two = (
        open_runtime(*ALL, on_error=here.append),
        open_runtime(*ALL, on_error=there.append, serve=False),
    )
    async with one, two:
        await (await one.start(broken, 1)).wait()
    assert ([event.severity for event in here], there) == ([Severity.CRITICAL], [])


def test_a_hook_is_a_function() -> None:
    """Told where it is given."""
    with pytest.raises(DefinitionError):
        Runtime(on_error="page me")  # type: ignore[arg-type]  # that is what is refused
