"""Very many runs, written through the storage's port: copies of a few that really ran, under other ids, at other times."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import islice
from time import perf_counter
from typing import Any

import anyio
import anyio.to_thread
import attrs
import msgspec
import psycopg

from phaseline import Abort, Pipeline, RunHandle, Runtime, Signal, each, phase
from phaseline._shell.ids import commit_ids, new_run_id
from phaseline.abc import Storage
from phaseline.dead_letter import DeadLetter
from phaseline.rows import INPUT, RunRecord
from phaseline.storage.sql.store import SqlStorage
from phaseline.tags import marks_of
from phaseline.unit_of_work import RunRows, Unit

NAMESPACE = "default"
SPAN = timedelta(days=30)
"""In which all of them were created."""
BATCH = 500
ITEMS = 10_000
"""Of the map; each has two events."""
LARGE_OUTPUT, LARGE_INPUT = 50 << 20, 15 << 20
"""Characters. No phase lets in more than 16 MiB unless a host says so, and an output of that size is larger than any."""
NAMES = ("orders", "invoices", "mails", "reports")
COMPLETED = 16
"""For each run that failed there are so many of the pipeline that completed, and one each that waits, is paused, and was cancelled."""
APPROVED = Signal[bool]("approved")


@phase
async def check(text: str) -> str:
    """Refuse what is bad."""
    if text.startswith("bad"):
        raise Abort("the parcel has no address")
    return text


@phase
async def work(text: str) -> str:
    """Do what takes long."""
    return text.upper()


@phase
async def send(found: tuple[str, bool]) -> Any:
    """Give what came of it."""
    return found[0]


@phase
async def split(number: int) -> list[int]:
    """Give the numbers below one."""
    return [*range(number)]


@phase
async def square(number: int) -> int:
    """Multiply it by itself."""
    return number * number


@phase
async def add(numbers: list[int]) -> int:
    """Add them up."""
    return sum(numbers)


DELIVERIES = [Pipeline(name, check >> work.wait_for(APPROVED) >> send) for name in NAMES]
SQUARES = Pipeline("squares", split >> each(square) >> add)


@attrs.frozen
class Large:
    """The ids of what is large by itself."""

    map: str
    """A run of a map with many items, so that it has twice as many events."""
    value: str
    """A run that was given a very long text, and gave a very long list."""
    seconds: float
    """That the writing of all took."""


@attrs.frozen
class _Model:
    """A run that others are copies of."""

    rows: RunRows
    unit: Unit
    letter: DeadLetter | None

    def copied(self, number: int, age: timedelta, commit_id: int) -> Unit:
        """Another one like it."""
        old = self.rows.run
        created = old.created_at - age
        run_id = new_run_id(created)
        tags = (f"region-{number % 10}", *(["urgent"] if number % 5_000 == 0 else []))  # fmt: skip
        marks = marks_of(tags, {"customer": number % 1_000})
        run = msgspec.structs.replace(
            old, id=run_id, key=f"order-{number}", marks=marks, revision=1, created_at=created, updated_at=old.updated_at - age,
            started_at=_earlier(old.started_at, age), ended_at=_earlier(old.ended_at, age),
        )  # fmt: skip
        letter = self.letter and msgspec.structs.replace(self.letter, run_id=run_id, at=self.letter.at - age)
        return msgspec.structs.replace(
            self.unit, run=run, marks_added=marks, letter=letter, commit_id=commit_id,
            events=[msgspec.structs.replace(event, run_id=run_id, at=event.at - age) for event in self.unit.events],
        )  # fmt: skip


def _earlier(moment: Any, age: timedelta) -> Any:
    return None if moment is None else moment - age


@asynccontextmanager
async def filled(url: str, runs: int) -> AsyncGenerator[tuple[Runtime, Large]]:
    """Open a runtime where there are so many runs, and the large ones."""
    begin = perf_counter()
    SqlStorage(url).migrate()
    async with Runtime(url, pipelines=[*DELIVERIES, SQUARES]) as runtime:
        models = await _models(runtime)
        storage: Storage = runtime.runner.storage
        await runtime.runner.read(lambda: _fill(storage, models, runs))
        mapped = await runtime.start(SQUARES, ITEMS)
        await mapped.result()
        large = await runtime.runner.read(lambda: _large(storage, models[0]))
        await anyio.to_thread.run_sync(_settle, url)
        yield runtime, Large(mapped.id, large, perf_counter() - begin)


def _settle(url: str) -> None:
    """Have PostgreSQL do at once what it does within a minute of such a writing: else that falls into the first looks."""
    if not url.startswith("postgresql"):
        return
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")
        connection.execute("CHECKPOINT")


async def _models(runtime: Runtime) -> Sequence[_Model]:
    """Make one run for each way in which they end, of each pipeline."""
    found: list[_Model] = []
    for pipeline in DELIVERIES:
        done, waits, stopped, cancelled, failed = [
            await runtime.start(pipeline, text) for text in ("good", "good", "good", "good", "bad")
        ]
        await done.signal(APPROVED, True)
        for handle in (waits, stopped, cancelled):
            while not (await handle.run()).state.startswith("WAIT_FOR"):  # noqa: ASYNC110  # no event of this process tells it
                await anyio.sleep(0.01)
        await stopped.pause()
        await cancelled.cancel()
        for handle in (done, stopped, cancelled, failed):
            await handle.wait()
        rare = [await _model(runtime, handle) for handle in (failed, waits, stopped, cancelled)]
        found += [*[await _model(runtime, done)] * COMPLETED, *rare]
    return found


async def _model(runtime: Runtime, handle: RunHandle[Any]) -> _Model:
    storage: Storage = runtime.runner.storage

    def read() -> _Model:
        rows = storage.load(NAMESPACE, handle.id)
        assert rows is not None
        events = storage.events(NAMESPACE, handle.id, 0, 1_000)
        values = dict(storage.values(NAMESPACE, handle.id, (INPUT, *(row.path for row in rows.phases))))
        letters = [each for each in storage.letters(NAMESPACE, limit=1_000) if each.run_id == handle.id]
        unit = Unit(
            run=rows.run, expected=0, input=values.pop(INPUT), inserted=rows.phases, updated=(), outputs=values, events=events,
            steps=(), signals=rows.signals, amended=True, commit_id=0,
        )  # fmt: skip
        return _Model(rows, unit, letters[0] if letters else None)

    return await runtime.runner.read(read)


def _fill(storage: Storage, models: Sequence[_Model], runs: int) -> None:
    copies = _copies(models, runs)
    while units := list(islice(copies, BATCH)):
        _write(storage, units)


def _write(storage: Storage, units: Sequence[Unit]) -> None:
    outcomes = {str(outcome) for outcome in storage.commit(units)}
    assert outcomes == {"Outcome.COMMITTED"}, outcomes


def _copies(models: Sequence[_Model], runs: int) -> Iterator[Unit]:
    draw = commit_ids()
    for number in range(runs):
        model = models[number * 7 % len(models)]  # 7 has no factor in common with their number
        yield model.copied(number, SPAN * (runs - number) / runs, draw())


def _large(storage: Storage, model: _Model) -> str:
    """Write a run whose values are large; by itself, nothing lets such a value in."""
    unit = model.copied(-1, SPAN / 2, commit_ids()())
    item = '{"name": "parcel", "weight": 17, "text": "%s"}' % ("x" * 60)
    outputs = {
        path: f"[{', '.join([item] * (LARGE_OUTPUT // len(item)))}]" if path == "send" else text
        for path, text in unit.outputs.items()
    }
    run: RunRecord = msgspec.structs.replace(unit.run, key="large")
    _write(
        storage,
        [msgspec.structs.replace(unit, run=run, input='"' + "y" * LARGE_INPUT + '"', outputs=outputs)],
    )
    return unit.run.id
