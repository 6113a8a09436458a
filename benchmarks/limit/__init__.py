"""The limit: the same rows written by hand, with nothing around them. Not a peer; it shows how far there is to go.

For each finished phase one commit writes what ours does: the run's new version (guarded by the old one), the finished
phase with its output (guarded by its fence), the start of the next, the checkpoint, three events. What is left out is
everything that makes a library of it: types, validation, decoding, decisions, observers, claims, leases that are renewed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from benchmarks.limit import postgres, sqlite
from benchmarks.limit.chain import Chain
from benchmarks.limit.group import GroupWriter
from benchmarks.load import OneRun, Setting
from benchmarks.stores import is_postgres, path_of


@asynccontextmanager
async def durable(setting: Setting) -> AsyncGenerator[OneRun, None]:
    """Prepare runs in a database, all written by one group-committing thread."""
    url = setting.database
    opened = postgres.writing(url) if is_postgres(url) else sqlite.writing(path_of(url))
    with opened as write, GroupWriter(write) as writer:
        yield Chain(setting.phases, writer).one_run
