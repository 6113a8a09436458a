"""A PostgreSQL that stands still, or sits behind something that does: every wait for it ends."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta

import anyio
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from tests.databases import Database

from phaseline import Pipeline, Runtime, phase
from phaseline.errors import StorageUnavailableError
from phaseline.storage.sql import postgres as dialect
from phaseline.storage.sql.store import SqlStorage

ANSWER_WITHIN = timedelta(seconds=1)
SOON = 30


@phase
async def same(number: int) -> int:
    return number


one = Pipeline("one", same)


class Freezer:
    """A proxy on loopback that can stop forwarding, while its kernel goes on acknowledging what is sent."""

    def __init__(self, host: str, port: int) -> None:
        self.held = 0
        """Times something was not forwarded at once."""
        self._target, self._open = (host, port), threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open.set()
        self._ends = [self._listener]
        self._threads: list[threading.Thread] = []
        self._begin(self._accept)

    def freeze(self) -> None:
        self._open.clear()

    def thaw(self) -> None:
        self._open.set()

    def close(self) -> None:
        self.thaw()
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(SOON)
        for end in self._ends:
            end.close()

    def _begin(self, work: Callable[..., None], *ends: socket.socket) -> None:
        thread = threading.Thread(target=work, args=ends, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self._ends += client, server
                self._begin(self._pump, client, server)
                self._begin(self._pump, server, client)

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if not self._open.is_set():
                    self.held += 1
                    self._open.wait()
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def freezer(postgres: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Freezer]:
    """In front of the server; who connects through it gives up soon."""
    monkeypatch.setattr(dialect, "CONNECT_ARGS", {"connect_timeout": 2})
    parts = make_url(postgres.url)
    made = Freezer(parts.host or "", parts.port or 0)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def behind(postgres: Database, freezer: Freezer) -> SqlStorage:
    """A storage that sits behind it."""
    url = make_url(postgres.url).set(port=freezer.port).render_as_string(hide_password=False)
    return SqlStorage(url, schema=postgres.schema, answer_within=ANSWER_WITHIN)


async def test_a_start_is_told_that_the_server_is_silent(behind: SqlStorage, freezer: Freezer) -> None:
    """And once it answers again everything goes on."""
    async with Runtime(behind, pipelines=[one]) as runtime:
        with anyio.fail_after(SOON):
            assert (await runtime.run(one, 1)).output == 1
            freezer.freeze()
            with pytest.raises(StorageUnavailableError, match=r"silent|timeout"):
                await runtime.start(one, 2)
            assert freezer.held
            freezer.thaw()
            assert (await runtime.run(one, 3)).output == 3


async def test_a_runtime_closes_though_the_server_is_silent(
    behind: SqlStorage, freezer: Freezer, caplog: pytest.LogCaptureFixture
) -> None:
    """Within a bound, and says what could not be done in order."""
    began = time.monotonic()
    async with Runtime(behind, pipelines=[one], drain=timedelta(seconds=1)) as runtime:
        await runtime.run(one, 1)
        freezer.freeze()
    assert "cannot be taken off the list, and others find it gone" in caplog.text
    assert "the server was silent" in caplog.text
    assert freezer.held
    assert time.monotonic() - began < SOON
    assert "phaseline-listener" not in {thread.name for thread in threading.enumerate()}


def test_a_body_is_abandoned_though_the_server_is_silent(behind: SqlStorage, freezer: Freezer) -> None:
    """Whoever takes its connection away waits for a bounded time, and no other thread stands still meanwhile."""
    ended: list[Exception] = []
    begun, over = threading.Event(), threading.Event()
    gaps: list[float] = []

    def body() -> None:
        try:
            connection = transaction.connection
            begun.set()
            connection.execute(text("SELECT pg_sleep(60)"))
        except Exception as error:  # noqa: BLE001  # looked at below
            ended.append(error)

    def beat() -> None:
        last = time.monotonic()
        while not over.wait(0.01):
            now = time.monotonic()
            gaps.append(now - last)
            last = now

    behind.open()
    try:
        transaction = behind.begin()
        threads = [threading.Thread(target=work, daemon=True) for work in (body, beat)]
        for thread in threads:
            thread.start()
        assert begun.wait(SOON)
        freezer.freeze()
        began = time.monotonic()
        transaction.abandon()
        took = time.monotonic() - began
        threads[0].join(SOON)
        over.set()
        transaction.roll_back()
    finally:
        freezer.thaw()
        behind.close()
    assert len(ended) == 1
    assert freezer.held
    assert took < 10
    assert max(gaps) < 1.5
