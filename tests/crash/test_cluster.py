"""Four workers on a broker and PostgreSQL, everything of which fails; nobody restarts anything by hand.

A supervisor stands for systemd: ``docs/how-to/deploy.md`` asks for one, since the ``dramatiq`` command ends when its child dies.
"""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread
from dramatiq import Message
from tests.apps import depot
from tests.crash.cluster import Mischief, RabbitmqMischief, RedisMischief, Supervisor
from tests.crash.journal import Journal
from tests.databases import Database, fresh_schema
from tests.servers import Server, postgres
from tests.servers_redis import redis

from phaseline import Runtime
from phaseline.errors import PhaselineError
from phaseline.testing.accounts import Moment, Reply
from phaseline.testing.checker import check

WORKERS = 4
RESENT = 20
STOPPED = 5.0
"""Seconds for which a process is stopped: longer than its leases."""
PATIENCE = 240
PHASES = 7


class Cluster:
    """The workers, a client, and what is known of the runs so far."""

    def __init__(self, database: Database, mischief: Mischief, client: Runtime, journal: Journal) -> None:
        self.database, self.mischief, self.client, self.journal = database, mischief, client, journal
        self.started: list[str] = []
        self.captured: list[Message[Any]] = []
        """Permits that the client has sent."""
        outlet: Any = client.queue._outlet
        send = outlet.enqueue

        def enqueue(message: Message[Any]) -> None:
            self.captured.append(message)
            send(message)

        outlet.enqueue = enqueue

    async def start(self, count: int) -> None:
        """Start runs, as a caller does who calls again while the storage is away."""
        async with anyio.create_task_group() as tasks:
            for _ in range(count):
                number = len(self.started)
                self.started.append("")
                tasks.start_soon(self._start, number)

    async def _start(self, number: int) -> None:
        handle = await _patiently(lambda: self.client.start(depot.orders, number, key=f"order {number}"))
        self.started[number] = handle.id
        await self._note(Reply(run_id=handle.id, key=f"order {number}"))

    async def _note(self, reply: Reply) -> None:
        await to_thread.run_sync(self.journal.write, reply)

    async def done(self) -> int:
        """Count bodies that came to their end."""
        path = anyio.Path(self.journal.path)
        return (await path.read_bytes()).count(b'"moment":"end"') if await path.exists() else 0

    async def progress(self, bodies: int) -> None:
        """Wait until so many more bodies have ended."""
        aim = min(await self.done() + bodies, PHASES * len(self.started))
        with anyio.fail_after(PATIENCE):
            while await self.done() < aim:  # noqa: ASYNC110  # other processes do them
                await anyio.sleep(0.02)

    async def all_done(self) -> None:
        """Wait for the ends of all runs, and note what was told of them."""
        for number, run_id in enumerate(self.started):
            run = await _patiently((await self.client.get(run_id)).wait)
            assert ("COMPLETED", depot.output_of(number)) == (run.state, run.output)
            outputs = {"settle": json.dumps(run.output)}
            await self._note(Reply(run_id=run_id, key=f"order {number}", state="COMPLETED", outputs=outputs))

    async def worker_pids(self) -> list[int]:
        """Give the processes that are on the list of workers, and live."""
        health = await self.client.health()
        return [worker.pid for worker in health.workers if worker.alive]

    async def full(self) -> list[int]:
        """Wait until all workers are there."""
        with anyio.fail_after(PATIENCE):
            while len(pids := await self.worker_pids()) < WORKERS:  # noqa: ASYNC110  # as above
                await anyio.sleep(0.1)
        return pids


async def _patiently(call: Callable[[], Awaitable[Any]]) -> Any:
    while True:
        try:
            return await call()
        except PhaselineError as error:
            if not error.retryable:
                raise
            await anyio.sleep(0.1)


async def spread(cluster: Cluster) -> None:
    """One run's map of a thousand items is done by all workers."""
    pids = await cluster.full()
    handle = await cluster.client.start(depot.wide, 1_000)
    done = Counter(await handle.result(timedelta(seconds=PATIENCE)))
    assert (set(pids), 1_000) == (set(done), done.total())
    assert min(done.values()) >= 100, done


# --------------------------------------------------------------------- what befalls it
async def kill_one(cluster: Cluster) -> None:
    """A worker dies."""
    os.kill((await cluster.full())[0], signal.SIGKILL)


async def stop_one(cluster: Cluster) -> None:
    """A worker stands still for longer than its leases, and goes on as if nothing had happened."""
    pid = (await cluster.full())[-1]
    os.kill(pid, signal.SIGSTOP)
    await anyio.sleep(STOPPED)
    os.kill(pid, signal.SIGCONT)


async def flush(cluster: Cluster) -> None:
    """All that waits in the broker is taken away."""
    await to_thread.run_sync(cluster.mischief.flush)


async def send_nonsense(cluster: Cluster) -> None:
    """Permits of before come again, many times and in any order; others are forged, or cannot be read."""
    assert cluster.captured
    assert RESENT * len(cluster.captured) == await to_thread.run_sync(
        cluster.mischief.resend, list(cluster.captured), RESENT
    )
    assert await to_thread.run_sync(cluster.mischief.forge) > 0


async def crash_broker(cluster: Cluster, meanwhile: int) -> None:
    """The broker is gone, Redis with all it had; runs are started all the same."""
    await to_thread.run_sync(cluster.mischief.crash)
    await cluster.start(meanwhile)
    await to_thread.run_sync(cluster.mischief.restart)


async def crash_database(server: Server) -> None:
    """PostgreSQL ends at once, and recovers."""
    await to_thread.run_sync(partial(server.stop, immediate=True))
    await anyio.sleep(0.3)
    await to_thread.run_sync(server.start)


# --------------------------------------------------------------------- the two clusters
@pytest.fixture
def database_server() -> Iterator[Server]:
    """A PostgreSQL of the test's own."""
    with postgres() as server:
        assert server.ours.pid
        yield server


@pytest.fixture
def database(database_server: Server) -> Iterator[Database]:
    """Our tables on it, where an application finds them."""
    with fresh_schema(database_server.url, "phaseline") as database:
        yield database


@contextmanager
def workers(database: Database, broker: Server, folder: Path) -> Iterator[Supervisor]:
    """Have workers run under a supervisor; all of them are stopped in order at the end."""
    environment = {
        "DEPOT_STORAGE": database.url, "DEPOT_BROKER": broker.url, "DEPOT_JOURNAL": str(folder / "journal"),
    }  # fmt: skip
    with Supervisor(WORKERS, environment, folder) as supervisor:
        yield supervisor


def beset(
    database: Database, mischief: Mischief, folder: Path, storm: Callable[[Cluster], Awaitable[None]]
) -> None:
    """Have a client start runs and wait for their ends, with all that befalls it meanwhile."""
    journal = folder / "journal"

    async def client() -> None:
        async with depot.make(database.storage(), mischief.server.url, journal, serve=False) as runtime:
            cluster = Cluster(database, mischief, runtime, Journal(journal))
            await cluster.full()
            await storm(cluster)
            await cluster.all_done()

    try:
        anyio.run(client)
    finally:
        mischief.close()


def checked(database: Database, journal: Path, runs: int) -> None:
    """Everything that is stored is as it must be, nobody holds anything, and every run is there."""
    effects, replies = Journal(journal).read()
    storage = database.storage()
    storage.open()
    try:
        check(storage, effects=effects, replies=replies)
        found = [run for run in storage.find("default", limit=runs + 2) if run.pipeline == "orders"]
        assert ({"COMPLETED"}, runs) == ({run.state for run in found}, len(found))
        assert ([], []) == (list(storage.workers("default")), list(storage.backlog("default", None)))
    finally:
        storage.close()
    assert PHASES * runs <= sum(effect.moment is Moment.END for effect in effects)


@pytest.mark.timeout(400)
def test_a_cluster_on_redis_survives_everything(
    database_server: Server, database: Database, tmp_path: Path
) -> None:
    """500 runs complete, each phase committed once; and before that a wide one, spread over all workers."""

    async def storm(cluster: Cluster) -> None:
        await spread(cluster)
        await cluster.start(100)
        await cluster.progress(100)
        await kill_one(cluster)
        await flush(cluster)
        await cluster.start(100)
        await cluster.progress(50)
        await send_nonsense(cluster)
        await cluster.progress(50)
        await crash_database(database_server)
        await flush(cluster)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stop_one, cluster)
            await cluster.start(100)
            await cluster.progress(100)
            await crash_broker(cluster, meanwhile=100)
            await flush(cluster)
        await cluster.start(100)
        await cluster.progress(50)
        await kill_one(cluster)
        assert await cluster.done() < 500 * PHASES, "the last fault came too late"

    with redis() as broker:
        with workers(database, broker, tmp_path) as supervisor:
            beset(database, RedisMischief(broker), tmp_path, storm)
            supervisor.await_ready(WORKERS + 2)
        assert 2 <= supervisor.restarts <= 4, supervisor.told
    assert [0] * WORKERS == supervisor.ends, supervisor.told
    assert 1 == database_server.log.count("was not properly shut down")
    checked(database, tmp_path / "journal", 500)


@pytest.mark.timeout(400)
def test_a_cluster_on_rabbitmq_survives_the_same(
    database: Database, rabbitmq_server: Server, tmp_path: Path
) -> None:
    """Shorter."""

    async def storm(cluster: Cluster) -> None:
        await cluster.start(50)
        await cluster.progress(50)
        await kill_one(cluster)
        await send_nonsense(cluster)
        await crash_broker(cluster, meanwhile=50)
        await cluster.start(50)
        await flush(cluster)

    with workers(database, rabbitmq_server, tmp_path) as supervisor:
        beset(database, RabbitmqMischief(rabbitmq_server), tmp_path, storm)
        supervisor.await_ready(WORKERS + 1)
    assert 1 <= supervisor.restarts <= 2, supervisor.told
    assert [0] * WORKERS == supervisor.ends, supervisor.told
    checked(database, tmp_path / "journal", 150)
