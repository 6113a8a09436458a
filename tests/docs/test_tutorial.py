"""The tutorial is followed as it stands: its files are saved, its commands are typed, and they print what it shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "docs/tutorial"
PAGES = sorted(FOLDER.glob("[1-9]-*.md"))
BLOCK = re.compile(
    r'^``` { .py title="(?P<title>.+?)" }\n--8<-- "docs/tutorial/(?P<file>.+?)"\n```'
    r"|^```sh\n(?P<commands>.*?)^```(?:\n+```text\n(?P<printed>.*?)^```)?",
    re.MULTILINE | re.DOTALL,
)
FENCE = re.compile(r"^```[ \w]", re.MULTILINE)
DYING = "python durable.py crash"
REFUSED = "python -c "
MOST_LINES = 40


@pytest.mark.timeout(180)  # a dozen times Python is started
def test_each_step_does_what_it_says(tmp_path):
    """One step after another, in one directory."""
    directory = tmp_path / "shop"
    directory.mkdir()
    typed = [line for page in PAGES for line in follow(page, directory)]
    assert len(typed) > len(PAGES)


def follow(page: Path, directory: Path) -> list[str]:
    """Save and type what is on a page; gives the commands."""
    text = page.read_text("utf-8")
    typed: list[str] = []
    fences = 0
    for block in BLOCK.finditer(text):
        fences += 1 + (block["printed"] is not None)
        if block["title"]:
            assert block["title"] == block["file"]
            source = (FOLDER / block["file"]).read_text("utf-8")
            (directory / block["title"]).write_text(source, "utf-8")
        else:
            lines = block["commands"].splitlines()
            printed = "".join(type_in(line, directory) for line in lines)
            typed += lines
            if block["printed"]:
                left_out, shown = re.fullmatch(r"(\.\.\.\n)?(.*)", block["printed"], re.DOTALL).groups()
                assert shown == (printed[-len(shown) :] if left_out else printed)
    assert len(FENCE.findall(text)) == fences, f"{page.name} has a block that is not tested"
    return typed


def type_in(line: str, directory: Path) -> str:
    """Run a command where the reader is; what it logs is shown where it is refused only."""
    tools = Path(sys.executable).parent
    environment = {
        **{
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PHASELINE_", "DATABASE_"))
        },
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",  # as on a terminal
    }
    done = subprocess.run(  # noqa: S602  # our own documentation
        line,
        shell=True,
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=50,
        check=False,
    )
    assert done.returncode == (1 if line == DYING or line.startswith(REFUSED) else 0), (line, done)
    return done.stderr if line.startswith(REFUSED) else done.stdout


def test_each_file_is_short_and_shown():
    """A newcomer sees a whole file at once, and no file is left over."""
    lengths = {file.name: len(file.read_text("utf-8").splitlines()) for file in FOLDER.glob("*.py")}
    assert {} == {name: length for name, length in lengths.items() if length > MOST_LINES}
    shown = [block["title"] for page in PAGES for block in BLOCK.finditer(page.read_text("utf-8"))]
    assert sorted(lengths) == sorted(title for title in shown if title)
