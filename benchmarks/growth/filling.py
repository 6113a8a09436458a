"""Many finished runs at once: the rows of the one that is there, copied under other ids inside the database.

Columns are read from the catalog, so that a new one is copied too: every table that has ``run_id``, and the runs.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from time import perf_counter

import psycopg

from benchmarks.stores import is_postgres, path_of

# as long as the library's are, from the year 1970: the new runs come behind them, as in a table that grew
ID_HEAD = "0000000000"
RUNS = "pipeline_run"


def fill(url: str, runs: int) -> float:
    """Add finished runs to a database that holds one, gather its statistics; gives the seconds it took."""
    begin = perf_counter()
    if is_postgres(url):
        _fill_postgres(url, runs)
    else:
        _fill_sqlite(path_of(url), runs)
    return perf_counter() - begin


def _fill_postgres(url: str, runs: int) -> None:
    new_id = f"'{ID_HEAD}' || lpad(to_hex(n), 12, '0')"
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute(
            "SELECT table_schema || '.' || table_name, array_agg(column_name::text) FROM information_schema.columns "
            "WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND is_generated = 'NEVER' GROUP BY 1"
        ).fetchall()
        for table, columns in found:
            if key := _key_of(table, columns):
                numbers = f"generate_series(1, {runs}) AS n"
                connection.execute(_copying(table, key, columns, new_id, numbers).encode())
        connection.execute("VACUUM (ANALYZE)")
        connection.execute("CHECKPOINT")  # else the writing of all this would fall into the measurement


def _fill_sqlite(path: str, runs: int) -> None:
    new_id = f"'{ID_HEAD}' || printf('%012x', n)"
    numbers = (
        f"(WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {runs}) SELECT n FROM s)"
    )
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            if key := _key_of(table, columns):
                connection.execute(_copying(table, key, columns, new_id, numbers))
        connection.execute("ANALYZE")
        connection.execute(
            "PRAGMA synchronous = FULL"
        )  # else the first commit measured would flush all of this
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _key_of(table: str, columns: Iterable[str]) -> str | None:
    """The column that holds the id of a run, if the table has one."""
    if table.endswith(RUNS):
        return "id"
    return "run_id" if "run_id" in columns else None


def _copying(table: str, key: str, columns: list[str], new_id: str, numbers: str) -> str:
    names = ", ".join(f'"{name}"' for name in columns)
    values = ", ".join(new_id if name == key else f'"{name}"' for name in columns)
    # the numbers lead and the rows of the one run follow, so that new ids come in order
    rows = f"(SELECT * FROM {table}) AS t"
    return f"INSERT INTO {table} ({names}) SELECT {values} FROM {numbers}, {rows}"
