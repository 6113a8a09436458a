"""A browser for the tests of this folder; where there is none, they say that they did not run."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page
from tests.browsers import browser, program
from tests.conftest import NOT_TESTED
from tests.servers import ServerMissingError


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Alone asyncio: uvicorn and Playwright know no other."""
    return "asyncio"


@pytest.fixture(scope="session")
def chromium() -> str:
    """A browser; where there is none, the last line of the run says so."""
    try:
        return program()
    except ServerMissingError:
        pytest.skip(f"{NOT_TESTED}browser")


@pytest.fixture(scope="module")
async def opened(chromium: str) -> AsyncIterator[Browser]:
    """One browser for the tests of a file; each has a profile of its own. While it is open, its thread runs an event loop."""
    async with browser(chromium) as found:
        yield found


@pytest.fixture
async def page(opened: Browser) -> AsyncIterator[Page]:
    """A page of the browser."""
    context = await opened.new_context()
    yield await context.new_page()
    await context.close()
