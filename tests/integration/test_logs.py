"""Log records tell of the run in which they were made, whichever logger they come from."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import anyio
import pytest
from tests.loops import BOTH_LOOPS, anyio_backend  # noqa: F401  # the fixture

from phaseline import Context, Pipeline, Runtime, phase
from phaseline.logs import RunContext

library = logging.getLogger("a.library")


class Kept(logging.Handler):
    """A handler of the host's."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[tuple[object, ...]] = []
        self.addFilter(RunContext())

    def emit(self, record: logging.LogRecord) -> None:
        told = vars(record)
        self.records.append(
            (record.getMessage(), told["pipeline"], told["phase"], told["attempt"], told["run_id"])
        )


@pytest.fixture
def kept() -> Iterator[Kept]:
    handler = Kept()
    for logger in (library, logging.getLogger("phaseline.phase")):
        logger.addHandler(handler)
    yield handler
    for logger in (library, logging.getLogger("phaseline.phase")):
        logger.removeHandler(handler)


@phase
async def loud(value: int) -> int:
    library.warning("in a task")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(louder)
    return value


async def louder() -> None:
    library.warning("in a task of its own")


@phase
def threaded(value: int, ctx: Context) -> int:
    library.warning("in a thread")
    ctx.log.warning("by the context")
    return value


inner = Pipeline("inner", loud)


@phase
async def nesting(value: int) -> int:
    await inner.run(value)
    library.warning("after another run")
    return value


outer = Pipeline("outer", threaded >> nesting)


@BOTH_LOOPS
@pytest.mark.parametrize("is_in_memory", [True, False])
async def test_records_tell_of_the_run_in_which_they_were_made(kept: Kept, *, is_in_memory: bool) -> None:
    """In tasks, in threads, in a run within a run; and of none outside of bodies."""
    if is_in_memory:
        run = await outer.run(1)
    else:
        async with Runtime(pipelines=[outer, inner]) as runtime:
            run = await runtime.run(outer, 1)
    library.warning("outside")
    assert [
        ("in a thread", "outer", "threaded", 1),
        ("by the context", "outer", "threaded", 1),
        ("in a task", "inner", "loud", 1),
        ("in a task of its own", "inner", "loud", 1),
        ("after another run", "outer", "nesting", 1),
        ("outside", None, None, None),
    ] == [record[:4] for record in kept.records]
    ids = [record[4] for record in kept.records]
    assert {run.id} == {ids[0], ids[1], ids[4]}
    assert ids[2] == ids[3] != run.id
    assert None is ids[5]


def test_the_filter_lets_every_record_through_and_changes_none_that_knows_better() -> None:
    """A host may have fields of that name."""
    record = logging.makeLogRecord({"phase": "of the moon"})
    assert RunContext().filter(record)
    assert ("of the moon", None) == (vars(record)["phase"], vars(record)["run_id"])
