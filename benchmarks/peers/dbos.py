"""DBOS: a workflow of steps, with a system database; everything else as it comes."""

from __future__ import annotations

import importlib
import sqlite3
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TypedDict

from benchmarks.load import PAD, OneRun, Setting
from benchmarks.stores import is_postgres


class State(TypedDict):
    """What goes through the phases."""

    n: int
    pad: str


def _newer_sqlite() -> None:
    """Put pysqlite3 in the place of the standard library's sqlite3 where that is too old for DBOS.

    It fails at its start below SQLite 3.42, where ``unixepoch('subsec')`` is NULL; Debian 12 has 3.40.
    """
    if sqlite3.sqlite_version_info < (3, 42):
        # importlib: it has no types
        pysqlite3 = importlib.import_module("pysqlite3")

        sys.modules["sqlite3"] = pysqlite3
        sys.modules["sqlite3.dbapi2"] = importlib.import_module("pysqlite3.dbapi2")


@asynccontextmanager
async def durable(setting: Setting) -> AsyncGenerator[OneRun, None]:
    """Prepare runs whose steps are kept in the system database."""
    if not is_postgres(setting.database):
        _newer_sqlite()
    from dbos import DBOS, DBOSConfig  # noqa: PLC0415  # only now: it imports sqlite3

    config: DBOSConfig = {
        "name": "bench",
        "system_database_url": setting.database,
        "log_level": "ERROR",
    }
    DBOS(config=config)

    @DBOS.step()
    async def add_one(state: State) -> State:
        return {"n": state["n"] + 1, "pad": state["pad"]}

    @DBOS.workflow()
    async def flow(state: State) -> State:
        for _ in range(setting.phases):
            state = await add_one(state)
        return state

    async def one_run() -> int:
        return (await flow({"n": 0, "pad": PAD}))["n"]

    DBOS.launch()
    try:
        yield one_run
    finally:
        DBOS.destroy()
