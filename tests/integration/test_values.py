"""What bodies are handed, and what is asked of what they give."""

from __future__ import annotations

import zlib
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict
from tests.opening import OpenRuntime

from phaseline import Context, Pipeline, Retry, each, phase


class Word(BaseModel):
    """Its hash depends on a salt, as that of a text depends on the process."""

    model_config = ConfigDict(frozen=True)
    text: str

    def __hash__(self) -> int:
        return zlib.crc32(f"{_salt[0]}{self.text}".encode())


_salt = ["first"]
WORDS = [f"w{n}" for n in range(20)]


async def test_items_of_a_set_keep_their_places(open_runtime: OpenRuntime, clock: Any) -> None:
    """An item of a map over a set is the same element in each attempt, though a set has no order of its own."""
    _salt[0] = "first"

    @phase
    async def words(value: int) -> set[Word]:
        return {Word(text=text) for text in WORDS}

    @phase(retry=Retry(attempts=2))
    async def spell(word: Word, ctx: Context) -> str:
        if ctx.attempt == 1 and ctx.item is not None and ctx.item % 2:
            _salt[0] = "second"
            raise ValueError
        return word.text

    spelled = Pipeline("spelled", words >> each(spell))
    async with open_runtime(spelled) as runtime:
        handle = await runtime.start(spelled, 0)
        await clock.advance(timedelta(minutes=1))

        assert sorted(WORDS) == sorted(await handle.result())


# --------------------------------------------------------------------- lists in lists
CUBE = [[[1, 2], [3]], [[4]], [], [[5, 6, 7]]]
"""Two maps inside a map take it apart."""


@phase
async def cube(value: int) -> list[list[list[int]]]:
    return CUBE


async def test_elements_of_elements_are_found_again(open_runtime: OpenRuntime, clock: Any) -> None:
    """By a runtime that has never seen the lists of the outer maps: those of the inner ones are elements of them."""

    @phase(retry=Retry(attempts=2, wait=5.0))
    async def scale(n: int, ctx: Context) -> int:
        if ctx.attempt == 1:
            raise OSError
        return 10 * n

    scaled = Pipeline("scaled", cube >> each(Pipeline("plane", each(Pipeline("row", each(scale))))))
    async with open_runtime(scaled) as runtime:
        run_id = (await runtime.start(scaled, 0)).id
        await clock.settle()
    async with open_runtime(scaled) as runtime:
        handle = await runtime.get(run_id)
        await clock.advance(timedelta(minutes=1))
        run = await handle.wait()
    assert ("COMPLETED", [[[10 * n for n in row] for row in plane] for plane in CUBE]) == (
        run.state,
        run.output,
    )


async def test_elements_of_elements_are_undone(open_runtime: OpenRuntime) -> None:
    """A rollback forgets all lists that were decoded."""
    undone: list[int] = []

    async def unbook(n: int, booked: int) -> None:
        undone.append(n)

    @phase(compensate=unbook)
    async def book(n: int) -> int:
        return n

    booked = Pipeline("booked", cube >> each(Pipeline("plane", each(Pipeline("row", each(book))))))
    async with open_runtime(booked) as runtime:
        handle = await runtime.start(booked, 0)
        await handle.result()
        await handle.rollback()
        assert "ROLLED_BACK" == (await handle.wait()).state
    assert [1, 2, 3, 4, 5, 6, 7] == sorted(undone)
