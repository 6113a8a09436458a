"""The close of a runtime whose storage is out of reach, or is another one's."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import NoReturn

import anyio
import pytest

from phaseline import Pipeline, Runtime, phase
from phaseline._shell.own_tasks import own_tasks
from phaseline.abc import Storage
from phaseline.errors import RuntimeUsageError, StorageUnavailableError
from phaseline.testing import FakeClock


@phase
async def double(number: int) -> int:
    return 2 * number


doubled = Pipeline("doubled", double)


class HostError(Exception):
    """Something of the host's own."""


def fail() -> NoReturn:
    raise HostError


def out_of_reach(*_: object) -> None:
    raise StorageUnavailableError("this", "nobody answers", "wait")


@pytest.mark.parametrize("fails", [True, False], ids=["the host fails", "the host is done"])
async def test_an_outage_at_the_close_is_told_and_harms_nobody(
    database: Callable[[], Storage],
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fails: bool,
) -> None:
    """What the host raised comes through as it is: it was wrapped in a group, or lost."""
    opened = database()
    raised: Exception | None = None
    try:
        async with Runtime(opened, pipelines=[doubled], clock=clock):
            assert (await doubled.run(2)).output == 4
            monkeypatch.setattr(opened, "retire", out_of_reach)
            if fails:
                fail()
    except Exception as error:  # noqa: BLE001  # looked at
        raised = error
    assert (type(raised) is HostError) == fails
    told = [record for record in caplog.records if "cannot be taken off the list" in record.message]
    assert [record.levelno for record in told] == [logging.WARNING]


async def test_what_an_end_raises_is_not_wrapped() -> None:
    """Whoever opened it knows it by its type."""
    ending = AsyncExitStack()
    ending.callback(out_of_reach)
    with pytest.raises(StorageUnavailableError):
        async with own_tasks(ending):
            pass


async def test_what_an_end_raises_is_logged_where_a_cancellation_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is not raised then, and would be lost."""
    ending = AsyncExitStack()
    ending.callback(out_of_reach)
    with anyio.CancelScope() as scope:
        async with own_tasks(ending):
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert "a runtime could not be closed in order" in caplog.text
    assert "nobody answers" in caplog.text


async def test_a_storage_serves_one_runtime_at_a_time(
    database: Callable[[], Storage], clock: FakeClock
) -> None:
    """The first one to be closed closed it for both, and nobody told the one what the other did."""
    opened = database()
    async with Runtime(opened, pipelines=[doubled], clock=clock) as first:
        for second in (
            Runtime(opened, clock=clock, namespace="other"),
            Runtime(opened, clock=clock, serve=False),
        ):
            with pytest.raises(
                RuntimeUsageError, match="serves another open runtime; give each runtime one of its own"
            ):
                await second.__aenter__()
        assert (await doubled.run(2, runtime=first)).output == 4
    async with Runtime(opened, pipelines=[doubled], clock=clock):
        assert (await doubled.run(3)).output == 6
