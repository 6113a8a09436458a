"""A large value that bodies hand on as they were given it is stored once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from anyio import to_thread
from pydantic import BaseModel
from tests.opening import OpenRuntime

from phaseline import Context, Finish, Phase, Pipeline, Retry, Runtime, Skip, each, parallel, phase, when
from phaseline.abc import Storage
from phaseline.rows import PhaseRecord
from phaseline.storage.sql.store import SqlStorage

MakeStorage = Callable[[], Storage]
LARGE = "x" * 2_000


class Page(BaseModel):
    text: str
    seen: int = 0


def hand_on(name: str, **options: Any) -> Phase[str, str]:
    @phase(name=name, **options)
    async def same(value: str) -> str:
        return value

    return same


@phase
async def double(value: str) -> str:
    return value + value


@phase
async def length(value: str) -> int:
    return len(value)


def kept(run: Any) -> dict[str, str | None]:
    """Where the output of each phase is kept."""
    rows: Mapping[str, PhaseRecord] = run.phases
    return {path: row.same_as for path, row in rows.items()}


def read(storage: MakeStorage, run_id: str, paths: Sequence[str]) -> Mapping[str, str]:
    """Ask for outputs by path, as anybody may who opens the storage."""
    opened = storage()
    opened.open()
    try:
        return opened.values("default", run_id, paths)
    finally:
        opened.close()


async def test_it_is_kept_where_it_was_made(storage: MakeStorage, open_runtime: OpenRuntime) -> None:
    """However long the way, each phase refers to the one that made the value, or to the run's input; who reads sees it."""
    chain = Pipeline("chain", hand_on("a") >> hand_on("b") >> double >> hand_on("c") >> hand_on("d"))
    async with open_runtime(chain) as runtime:
        run = await runtime.run(chain, LARGE)

        assert LARGE * 2 == run.output
        assert {"a": "", "b": "", "double": None, "c": "double", "d": "double"} == kept(run)
    texts = await to_thread.run_sync(read, storage, run.id, [*run.phases])
    assert [2_002, 2_002, 4_002, 4_002, 4_002] == [len(texts[path]) for path in kept(run)]


async def test_small_values_and_changed_ones_are_kept_by_each(open_runtime: OpenRuntime) -> None:
    """A reference would not be shorter than a small value; and what a body changed is another value, if the same object."""

    @phase
    async def mark(page: Page) -> Page:
        page.seen += 1
        return page

    @phase
    async def mark_again(page: Page) -> Page:
        page.seen += 1
        return page

    @phase
    async def copy(page: Page) -> Page:
        return Page(text=page.text, seen=page.seen)

    small = Pipeline("small", hand_on("a") >> hand_on("b"))
    changed = Pipeline("changed", mark >> mark_again >> copy)
    async with open_runtime(small, changed) as runtime:
        assert {"a": None, "b": None} == kept(await runtime.run(small, "x"))

        run = await runtime.run(changed, Page(text=LARGE))
        assert Page(text=LARGE, seen=2) == run.output
        assert {"mark": None, "mark_again": None, "copy": "mark_again"} == kept(run)


async def test_a_value_that_is_read_again_is_known_again(open_runtime: OpenRuntime, clock: Any) -> None:
    """A later attempt decodes what was stored, and so does the second of two that take the same value."""

    @phase(retry=Retry(attempts=2))
    async def second_time(value: str, ctx: Context) -> str:
        if ctx.attempt == 1:
            raise ValueError
        return value

    forked = Pipeline("forked", double >> parallel(second_time, hand_on("b")))
    async with open_runtime(forked) as runtime:
        handle = await runtime.start(forked, LARGE)
        await clock.advance(timedelta(minutes=1))
        run = await handle.wait()

        assert (LARGE * 2, LARGE * 2) == run.output
        assert {"double": None, "second_time": "double", "b": "double"} == kept(run)


async def test_ways_around_a_phase(open_runtime: OpenRuntime) -> None:
    """What a skipped step passes on is the value before it; an early end and a skip may hand on the same one."""

    def never(value: str) -> bool:
        return not value

    @phase
    async def pass_by(value: str) -> str:
        raise Skip("not needed")

    @phase
    async def replaced(value: str) -> str:
        raise Skip("as it is", output=value)

    @phase(may_finish=True)
    async def end(value: str) -> str:
        raise Finish(value)

    way = Pipeline(
        "way", double >> when(never, hand_on("unseen")) >> pass_by >> hand_on("a") >> replaced >> end
    )
    async with open_runtime(way) as runtime:
        run = await runtime.run(way, LARGE)

        assert LARGE * 2 == run.output
        found = {"a": "double", "replaced": "double", "end": "double"}
        assert found == {path: same_as for path, same_as in kept(run).items() if same_as is not None}


async def test_items_keep_their_own(open_runtime: OpenRuntime) -> None:
    """An element is stored with its list and nowhere else; what an item made is referred to by its later phases."""
    twice = Pipeline("twice", double >> hand_on("a"))
    items = Pipeline("items", each(hand_on("a")) >> each(twice) >> each(length))
    async with open_runtime(items) as runtime:
        run = await runtime.run(items, [LARGE, LARGE + "y"])

        assert [4_000, 4_002] == run.output
        found = {"twice[0]/a": "twice[0]/double", "twice[1]/a": "twice[1]/double"}
        assert found == {path: same_as for path, same_as in kept(run).items() if same_as is not None}


async def test_a_transactional_phase(database: Callable[[], SqlStorage]) -> None:
    """It refers like any other."""

    @phase(transactional=True)
    def booked(value: str, ctx: Context) -> str:
        return value

    chain = Pipeline("chain", double >> booked >> hand_on("a"))
    async with Runtime(database(), pipelines=[chain]) as runtime:
        run = await runtime.run(chain, LARGE)

        assert LARGE * 2 == run.output
        assert {"double": None, "booked": "double", "a": "double"} == kept(run)
