"""The input of a run comes with the claim of its first phase: a worker that took it up need not ask for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import pytest

from phaseline import Pipeline, Runtime, phase
from phaseline.rows import INPUT
from phaseline.storage.sql.claims import LARGE_INPUT
from phaseline.storage.sql.store import SqlStorage


@phase
async def measure(text: str) -> int:
    """Give the length of a text."""
    return len(text)


@phase
async def double(number: int) -> int:
    """Double a number."""
    return 2 * number


pipeline = Pipeline("measured", measure >> double)


@pytest.mark.parametrize("length", [3, LARGE_INPUT + 1])
async def test_only_a_large_input_is_read_by_itself(
    database: Callable[[], SqlStorage], monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    """Both sides of the bound: the runs are started by one runtime, and carried out by another."""
    asked: list[str] = []
    values = SqlStorage.values

    def note(storage: SqlStorage, namespace: str, run_id: str, paths: Iterable[str]) -> Mapping[str, str]:
        wanted = list(paths)
        asked.extend(path for path in wanted if path == INPUT)
        return values(storage, namespace, run_id, wanted)

    async with Runtime(database(), pipelines=[pipeline], serve=False) as client:
        ids = [(await client.start(pipeline, "a" * length)).id for _ in range(5)]
    monkeypatch.setattr(SqlStorage, "values", note)
    async with Runtime(database(), pipelines=[pipeline]) as worker:
        assert [await (await worker.get(run_id)).result() for run_id in ids] == [2 * length] * 5
    assert len(asked) == (5 if length > LARGE_INPUT else 0)
