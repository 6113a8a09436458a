"""Workers that were killed on hosts that are no more."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import anyio

from phaseline import Pipeline, Runtime, phase
from phaseline.abc import WorkerRecord
from phaseline.storage.sql.store import SqlStorage


@phase
async def same(number: int) -> int:
    return number


def enlisted(storage: SqlStorage, **seen: timedelta) -> None:
    storage.migrate()
    storage.open()
    for name, ago in seen.items():
        storage.enlist(
            WorkerRecord(
                id=name,
                namespace="default",
                host="elsewhere",
                pid=1,
                process_started="1",
                seen_at=datetime.now(UTC) - ago,
            )
        )
    storage.close()


def names(storage: SqlStorage) -> set[str]:
    return {worker.id for worker in storage.workers("default")}


async def test_who_was_not_seen_for_long_is_taken_off_the_list(database: Callable[[], SqlStorage]) -> None:
    """Nothing else proves that it is gone; one that was seen of late stays, and counts as a peer."""
    await anyio.to_thread.run_sync(
        lambda: enlisted(database(), old=timedelta(days=30), late=timedelta(seconds=40))
    )
    pipeline = Pipeline("same", same)
    async with Runtime(database(), pipelines=[pipeline]) as runtime:
        storage, ours = runtime.runner.storage, runtime.runner.worker_id
        assert isinstance(storage, SqlStorage)
        with anyio.fail_after(20):
            while await anyio.to_thread.run_sync(names, storage) != {"late", ours}:  # noqa: ASYNC110  # nobody is told
                await anyio.sleep(0.05)
        assert runtime.runner.nudges.has_peers
        await anyio.to_thread.run_sync(storage.retire, "default", "late")
        with anyio.fail_after(20):
            while runtime.runner.nudges.has_peers:  # noqa: ASYNC110  # as above
                await anyio.sleep(0.05)


async def test_who_was_taken_off_the_list_and_lives_comes_back(database: Callable[[], SqlStorage]) -> None:
    """A machine that slept: others hear of it again, and it leaves the list for good when it is closed."""
    pipeline = Pipeline("same", same)
    async with Runtime(database(), pipelines=[pipeline]) as other:
        storage, stays = other.runner.storage, other.runner.worker_id
        assert isinstance(storage, SqlStorage)
        async with Runtime(database(), pipelines=[pipeline]) as runtime:
            ours = runtime.runner.worker_id
            await other.runner.write(partial(storage.retire, "default", ours))
            with anyio.fail_after(20):
                while await anyio.to_thread.run_sync(names, storage) != {stays, ours}:  # noqa: ASYNC110  # nobody is told
                    await anyio.sleep(0.05)
            assert (await runtime.health()).ok
        assert await anyio.to_thread.run_sync(names, storage) == {stays}
