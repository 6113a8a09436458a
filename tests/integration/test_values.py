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
