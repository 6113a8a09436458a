"""A real browser for tests: Debian's Chromium, or another one, driven by Playwright.

``program()`` gives the first of: the program that ``PHASELINE_TEST_CHROMIUM`` names, ``chromium`` or
``google-chrome`` on PATH. No wheel holds one: where there is none, tests say that they did not run.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, async_playwright
from tests.servers import ServerMissingError

CHROMIUM = "PHASELINE_TEST_CHROMIUM"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


def program() -> str:
    """Give the browser's program.

    Raises:
        ServerMissingError: There is none.
    """
    found = os.environ.get(CHROMIUM) or next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        raise ServerMissingError(
            "Chromium",
            "apt-get install chromium, or another one on PATH",
            f"set {CHROMIUM}=/path/to/chromium",
        )
    return found


@asynccontextmanager
async def browser(path: str) -> AsyncIterator[Browser]:
    """Start one without a window; it ends with the block."""
    async with async_playwright() as playwright:
        # No sandbox: tests may run as root, and open pages of ours alone.
        started = await playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            yield started
        finally:
            await started.close()
