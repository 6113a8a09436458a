"""A connection to PostgreSQL is cut on either side of COMMIT: the same error both ways, and only one is to be redone."""

from __future__ import annotations

import json
from collections.abc import Sequence

import anyio
import pytest
from sqlalchemy import make_url
from tests.crash.proxy import Side, proxy
from tests.databases import Database
from tests.servers import Server

from phaseline import Pipeline, Runtime, phase
from phaseline.errors import StorageUnavailableError
from phaseline.storage.sql.store import SqlStorage
from phaseline.testing.accounts import Reply
from phaseline.testing.checker import check
from phaseline.unit_of_work import Outcome, Unit

RUNS, EVERY, TIMES = 12, 3, 6


class Watched(SqlStorage):
    """Keeps what was asked of commits whose outcome nobody knew."""

    def __init__(self, url: str, schema: str) -> None:
        super().__init__(url, schema=schema)
        self.unanswered: list[Unit] = []
        self.found: dict[int, bool] = {}

    def commit(self, units: Sequence[Unit]) -> list[Outcome]:
        try:
            return super().commit(units)
        except StorageUnavailableError:
            self.unanswered += units
            raise

    def is_committed(self, namespace: str, run_id: str, commit_id: int) -> bool:
        self.found[commit_id] = found = super().is_committed(namespace, run_id, commit_id)
        return found


@phase
async def first(number: int) -> int:
    return number + 1


@phase
async def second(number: int) -> int:
    return number * 2


@phase
async def third(number: int) -> str:
    return f"{number}"


CHAIN = Pipeline("chain", first >> second >> third)


@pytest.mark.parametrize("side", Side)
async def test_connection_cut_at_a_commit(postgres: Database, postgres_server: Server, side: Side) -> None:
    """What was stored is recognised by its commit id and goes on; what was not is written again; nobody calls a body twice."""
    replies: list[Reply] = []
    where = postgres_server.dsn
    with proxy(where.host, where.port, side, every=EVERY, times=TIMES) as cutter:
        url = make_url(postgres.url).set(host="127.0.0.1", port=cutter.port)
        storage = Watched(url.render_as_string(hide_password=False), postgres.schema)
        async with Runtime(storage, pipelines=[CHAIN]) as runtime:

            async def carry_out(number: int) -> None:
                key = str(number)
                while True:
                    try:
                        handle = await runtime.start(CHAIN, number, key=key)
                        break
                    except StorageUnavailableError:
                        await anyio.sleep(0.01)
                outputs = {"third": json.dumps(await handle.result())}
                replies.append(Reply(run_id=handle.id, key=key, state="COMPLETED", outputs=outputs))

            for number in range(RUNS):  # one after the other: a batch for each commit
                await carry_out(number)
    assert cutter.struck == TIMES
    assert len(storage.unanswered) == TIMES
    assert dict.fromkeys([unit.commit_id for unit in storage.unanswered], side is Side.AFTER) == storage.found
    _check(postgres, replies)


def _check(database: Database, replies: list[Reply]) -> None:
    storage = database.storage()
    storage.open()
    check(storage, replies=replies)
    runs = storage.find("default", limit=100)
    assert len(runs) == RUNS
    loaded = [storage.load("default", run.id) for run in runs]
    attempts = {row.attempt for rows in loaded if rows is not None for row in rows.phases}
    storage.close()
    assert attempts == {1}
