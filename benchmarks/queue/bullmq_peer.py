"""BullMQ, on Node: installed aside with npm, where there are both."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).with_name("bullmq.js")
PLACE = "BENCH_BULLMQ"
"""Environment variable that tells where it is installed."""
RELEASE = "bullmq@5"
INSTALLING = 180


def install(directory: Path) -> str | None:
    """Install it in a directory; gives why not, if that cannot be."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        return "there is no Node"
    command = [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(directory), RELEASE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALLING, check=False)  # noqa: S603  # npm, and names of ours
    except subprocess.TimeoutExpired:
        return f"npm did not install {RELEASE} within {INSTALLING} s"
    return None if done.returncode == 0 else f"npm could not install {RELEASE}: {done.stderr[-300:]}"


async def fill(jobs: int) -> None:
    """Add as many jobs, many at once."""
    await _node("fill", str(jobs))


async def send_one_by_one(times: int, pause: float) -> None:
    """Add jobs to an idle worker."""
    await _node("latency", str(times), str(pause))


async def _node(*arguments: str) -> None:
    process = await asyncio.create_subprocess_exec("node", str(SCRIPT), *arguments, env=os.environ)
    if await process.wait() != 0:
        raise RuntimeError(f"node ended with {process.returncode}")
