"""The disk under a SQLite file fills up, or fails: what cannot be stored is told or held, never half written."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio
import pytest

from phaseline import Pipeline, Runtime, phase
from phaseline.errors import StorageUnavailableError
from phaseline.storage.sql.store import SqlStorage
from phaseline.testing.accounts import Reply
from phaseline.testing.checker import check
from phaseline.testing.faults import Faults
from phaseline.unit_of_work import Outcome, Unit

LARGE = 100_000
"""Characters that need pages of their own, so that no room left in others takes them."""
PATIENCE = 30


class Disk(SqlStorage):
    """A file on a disk that can fail, and that tells how often it did."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.refused = 0

    def commit(self, units: Sequence[Unit]) -> list[Outcome]:
        try:
            return super().commit(units)
        except StorageUnavailableError:
            self.refused += 1
            raise

    def fail(self) -> None:
        raise NotImplementedError

    def mend(self) -> None:
        raise NotImplementedError


class FullDisk(Disk):
    """One with as much room as the file takes up now, while it fails."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.is_full = False

    def commit(self, units: Sequence[Unit]) -> list[Outcome]:
        ask = self._connected()  # the limit is one of the connection that writes
        pages = int(ask("PRAGMA page_count")[0][0])
        ask(f"PRAGMA max_page_count = {pages if self.is_full else 1 << 30}")
        return super().commit(units)

    def fail(self) -> None:
        self.is_full = True

    def mend(self) -> None:
        self.is_full = False


class BrokenDisk(Disk):
    """One that does not flush, while it fails; SQLite has ended the transaction when it says so."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.faults = Faults(self)

    def fail(self) -> None:
        self.faults.from_now_on("transaction.written", self._refuse)

    def mend(self) -> None:
        assert "transaction.written" in self.faults.struck
        self.faults.disarm()

    def _refuse(self) -> None:
        self._connected()("ROLLBACK")
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorname, error.sqlite_errorcode = "SQLITE_IOERR_FSYNC", 1034
        raise error


@pytest.fixture(
    params=[(FullDisk, "full; make room on the disk"), (BrokenDisk, "I/O error; see the system's log")],
    ids=["full", "broken"],
)
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Disk, str]:
    """A disk, and what is said of it when it fails."""
    make, message = request.param
    return make(f"sqlite:///{tmp_path / 'runs.db'}"), message


class Gate:
    """A pipeline whose first body waits until it may go on."""

    def __init__(self) -> None:
        self.opened = anyio.Event()
        self.calls: list[str] = []

        @phase
        async def fill(text: str) -> str:
            self.calls.append("fill")
            await self.opened.wait()
            return text * LARGE

        @phase
        async def measure(text: str) -> int:
            self.calls.append("measure")
            return len(text)

        self.pipeline = Pipeline("gate", fill >> measure)


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(PATIENCE):
        while not condition():  # noqa: ASYNC110  # nothing tells that another thread was refused
            await anyio.sleep(0.01)


def check_stored(storage: SqlStorage, *replies: Reply) -> list[str]:
    """Have everything checked that is stored; gives the states of the runs."""
    check(storage, replies=replies)
    return [run.state for run in storage.find("default", limit=100)]


async def test_start_says_that_the_disk_fails(disk: tuple[Disk, str]) -> None:
    """A run that cannot be stored is refused by an error of ours, and nothing of it is stored."""
    storage, message = disk
    gate = Gate()
    gate.opened.set()
    async with Runtime(storage, pipelines=[gate.pipeline]) as runtime:
        storage.fail()
        with pytest.raises(StorageUnavailableError, match=message) as caught:
            await runtime.start(gate.pipeline, "x" * LARGE)
        assert caught.value.retryable
        storage.mend()
        assert await anyio.to_thread.run_sync(check_stored, storage) == []
        handle = await runtime.start(gate.pipeline, "x")
        assert await handle.result() == LARGE
    assert gate.calls == ["fill", "measure"]


async def test_a_run_in_flight_outlasts_the_fault(
    disk: tuple[Disk, str], caplog: pytest.LogCaptureFixture
) -> None:
    """What a body gave is held, and written when there is room again; the body is not called again."""
    storage, message = disk
    gate = Gate()
    async with Runtime(storage, pipelines=[gate.pipeline]) as runtime:
        handle = await runtime.start(gate.pipeline, "x")
        await until(lambda: gate.calls)
        storage.fail()
        gate.opened.set()
        await until(lambda: storage.refused > 1)  # it was tried again
        assert await anyio.to_thread.run_sync(check_stored, storage) == ["FILL"]
        storage.mend()
        assert await handle.result(timeout=None) == LARGE
        reply = Reply(run_id=handle.id, state="COMPLETED", outputs={"measure": str(LARGE)})
        assert await anyio.to_thread.run_sync(check_stored, storage, reply) == ["COMPLETED"]
    assert gate.calls == ["fill", "measure"]
    assert any(message in told and "finished work is held" in told for told in caplog.messages)
