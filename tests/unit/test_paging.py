"""What has to be seen to is read in pages; what stays hides nothing, and is met once."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest

from phaseline._shell.paging import page_by_page


@pytest.mark.parametrize("number", [0, 1, 3, 4, 9])
@pytest.mark.parametrize("stays", [0, 1, 3, 4, 7])
@pytest.mark.parametrize("size", [1, 3, 100])
async def test_all_are_met_once(number: int, stays: int, size: int) -> None:
    """However many of those that come first can not be seen to."""
    there, met = list(range(number)), list[int]()
    limits: list[int] = []

    async def read(limit: int) -> Sequence[int]:
        limits.append(limit)
        return there[:limit]

    async def see_to(some: Sequence[int]) -> None:
        assert some
        met.extend(some)
        for each in some:
            if each >= stays:
                there.remove(each)

    with anyio.fail_after(5):
        assert await page_by_page(read, see_to, size) == set(range(number))
    assert sorted(met) == list(range(number))
    assert max(limits) <= 2 * (size + min(number, stays))


async def test_what_comes_meanwhile_is_met() -> None:
    """Behind a page that was full."""
    there, met = [1, 2], list[int]()

    async def read(limit: int) -> Sequence[int]:
        return there[:limit]

    async def see_to(some: Sequence[int]) -> None:
        met.extend(some)
        for each in some:
            there.remove(each)
        if met == [1, 2]:
            there.append(3)

    await page_by_page(read, see_to, 2)
    assert met == [1, 2, 3]
