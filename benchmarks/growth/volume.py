"""Bytes that a store grows by, for each byte that was new."""

from __future__ import annotations

import base64
import os
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import reduce
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.growth.outcome import Growth, Stage
from benchmarks.stores import is_postgres, path_of
from phaseline import Phase, Pipeline, Runtime, each, phase
from phaseline.storage.sql.store import SqlStorage

ITEMS, ITEM_BYTES = 3_000, 1_024
"""So many that what each table takes once, whatever is in it, does not count: on PostgreSQL maps of free space and first
pages of indexes, 150 kB in all, which were a quarter of a byte for each one at 600 items."""
HANDS, VALUE_BYTES = 100, 102_400


def _text(size: int) -> str:
    """Text of a multiple of 4 characters that no database can compress."""
    return base64.b64encode(os.urandom(size * 3 // 4)).decode()


async def joined(stage: Stage) -> Growth:
    """Measure a map whose items give a kilobyte each, joined to a list that the last phase takes."""

    @phase
    async def write(_: int) -> str:
        return _text(ITEM_BYTES)

    @phase
    async def measure(texts: list[str]) -> int:
        return sum(map(len, texts))

    pipeline = Pipeline("joined", each(write) >> measure)

    async def run(runtime: Runtime) -> int:
        return (await runtime.run(pipeline, list(range(ITEMS)))).output

    sizes = {"items": ITEMS, "item_bytes": ITEM_BYTES}
    return await _growth(stage, "growth.bytes", pipeline, run, sizes)


async def handed_on(stage: Stage) -> Growth:
    """Measure a large value that every phase of a chain hands on as it is."""
    first, *others = (_handing_on(f"p{number}") for number in range(HANDS))
    pipeline = Pipeline("handed-on", reduce(lambda done, following: done >> following, others, first))

    async def run(runtime: Runtime) -> int:
        return len((await runtime.run(pipeline, _text(VALUE_BYTES))).output)

    sizes = {"phases": HANDS, "value_bytes": VALUE_BYTES}
    return await _growth(stage, "growth.handed_on", pipeline, run, sizes)


def _handing_on(name: str) -> Phase[str, str]:
    @phase(name=name)
    async def hand_on(value: str) -> str:
        return value

    return hand_on


async def _growth(
    stage: Stage,
    name: str,
    pipeline: Pipeline[Any, Any],
    run: Callable[[Runtime], Awaitable[int]],
    sizes: dict[str, int],
) -> Growth:
    with stage.databases.fresh("volume") as url:
        SqlStorage(url).migrate()
        async with Runtime(url, pipelines=[pipeline]):
            pass  # what a first opening writes is not of the run
        before = stored_bytes(url)
        async with Runtime(url, pipelines=[pipeline]) as runtime:
            new = await run(runtime)
        stored = stored_bytes(url) - before
    details = {**sizes, "new_bytes": new, "stored_bytes": stored}
    return Growth(name, "bytes/byte", stored / new, stage.storage, details)


def stored_bytes(url: str) -> int:
    """Size of all tables with their indexes, when what is dead has been cleared away; nobody else may be connected."""
    return _postgres_bytes(url) if is_postgres(url) else _sqlite_bytes(Path(path_of(url)))


def _postgres_bytes(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM")
        row = connection.execute(
            "SELECT sum(pg_total_relation_size(relid))::bigint FROM pg_stat_user_tables"
        ).fetchone()
    assert row is not None, "a sum is one row"
    return int(row[0])


def _sqlite_bytes(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.stat().st_size
