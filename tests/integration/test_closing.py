"""The close of a runtime whose storage is out of reach, or is another one's."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import NoReturn

import anyio
import pytest

from phaseline import Pipeline, Runtime, phase
from phaseline._shell import storage_use
from phaseline._shell.own_tasks import own_tasks
from phaseline.abc import Storage
from phaseline.crypto import EncryptedCodec
from phaseline.errors import RuntimeUsageError, StorageUnavailableError
from phaseline.storage.encoded import EncodedStorage
from phaseline.testing import FakeClock


@phase
async def double(number: int) -> int:
    return 2 * number


doubled = Pipeline("doubled", double)


class HostError(Exception):
    """Something of the host's own."""


def fail() -> NoReturn:
    raise HostError


async def wait_until(test: Callable[[], bool]) -> None:
    """Let others go on until something holds."""
    with anyio.fail_after(20):
        while not test():  # noqa: ASYNC110  # of whatever sort it is
            await anyio.sleep(0.001)


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


async def hold_open(runtime: Runtime, opened: anyio.Event, close: anyio.Event) -> str:
    """Open a runtime, and say what refused that, if anything did."""
    try:
        async with runtime:
            opened.set()
            await close.wait()
    except RuntimeUsageError as error:
        return str(error)
    return ""


async def refusals(first: Runtime, second: Runtime) -> list[str]:
    """Open two at the same moment, and use the one that opened once the other one was refused, if it was."""
    opened, close, found = anyio.Event(), anyio.Event(), list[str]()

    async def keep(runtime: Runtime) -> None:
        found.append(await hold_open(runtime, opened, close))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keep, first)
        tasks.start_soon(keep, second)
        await opened.wait()
        await wait_until(lambda: len(found) == 1)
        with anyio.fail_after(20):
            assert (await doubled.run(2)).output == 4
        close.set()
    return sorted(found)


async def test_of_two_that_open_with_one_storage_at_once_one_is_refused(
    database: Callable[[], Storage], clock: FakeClock
) -> None:
    """Both were open, and wrote from two threads on one connection; or the one that was refused closed it for the other."""
    one = database()
    pair = [Runtime(one, pipelines=[doubled], clock=clock, namespace=each) for each in "ab"]
    none, refused = await refusals(pair[0], pair[1])
    assert (none, "serves another open runtime" in refused) == ("", True)
    async with pair[0]:
        assert (await doubled.run(3)).output == 6


async def test_one_that_is_opened_twice_at_once_is_refused_once(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """The second time it closed the storage of the first."""
    twice = Runtime(storage(), pipelines=[doubled], clock=clock)
    none, refused = await refusals(twice, twice)
    assert (none, "is open already" in refused) == ("", True)


async def test_two_wrappers_of_one_storage_are_one(database: Callable[[], Storage], clock: FakeClock) -> None:
    """Each opens and closes what is behind it."""
    inner, codec = database(), EncryptedCodec({"1": b"k" * 32})
    outer, beside = EncodedStorage(inner, codec), EncodedStorage(EncodedStorage(inner, codec), codec)
    async with Runtime(outer, pipelines=[doubled], clock=clock) as first:
        for other in (beside, inner, EncodedStorage(inner, codec)):
            with pytest.raises(RuntimeUsageError, match="serves another open runtime"):
                await Runtime(other, clock=clock).__aenter__()
        assert (await doubled.run(2, runtime=first)).output == 4


async def test_a_storage_is_kept_until_the_runtime_has_closed_it(
    database: Callable[[], Storage], clock: FakeClock
) -> None:
    """While it drains no other one opens the storage: that would be closed for both."""
    opened, begun, end = database(), anyio.Event(), anyio.Event()
    refused = list[str]()

    @phase
    async def last(number: int) -> int:
        begun.set()
        await end.wait()
        return number

    lasting = Pipeline("lasting", last)
    draining = Runtime(opened, pipelines=[lasting], clock=clock, drain=timedelta(seconds=30))

    async def open_meanwhile() -> None:
        await wait_until(lambda: not draining.is_open)
        refused.append(await hold_open(Runtime(opened, clock=clock), anyio.Event(), anyio.Event()))
        end.set()

    async with anyio.create_task_group() as tasks, draining:
        handle = await draining.start(lasting, 1)
        await begun.wait()
        tasks.start_soon(open_meanwhile)
    assert "serves another open runtime" in refused[0]
    async with Runtime(opened, pipelines=[lasting], clock=clock) as again:
        assert await (await again.get(handle.id, lasting)).state() == "COMPLETED"


async def test_a_storage_that_could_not_be_opened_is_free(
    database: Callable[[], Storage], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the next try, of whichever runtime."""
    opened = database()
    with monkeypatch.context() as patched:
        patched.setattr(opened, "open", out_of_reach)
        with pytest.raises(StorageUnavailableError):
            await Runtime(opened, pipelines=[doubled], clock=clock).__aenter__()
    async with Runtime(opened, pipelines=[doubled], clock=clock):
        assert (await doubled.run(2)).output == 4


async def test_what_a_parent_has_open_is_not_in_use_in_its_fork(
    database: Callable[[], Storage], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where another thread of the parent was looking that up: its lock is not that of the child."""
    opened = database()
    async with Runtime(opened, pipelines=[doubled], clock=clock) as runtime:
        with storage_use._lock():
            monkeypatch.setattr(os, "getpid", lambda: 0)  # as in a child
            with storage_use.used_by("one of the child", opened):
                pass
            with pytest.raises(RuntimeUsageError, match="open already"), storage_use.used_by(runtime, opened):
                pass
            monkeypatch.undo()
