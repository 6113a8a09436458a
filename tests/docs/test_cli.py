"""Each command in the guide to the command line is typed as it stands there, beside the file that the guide shows."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

from typer.testing import CliRunner, Result

from phaseline.cli.app import app

PAGE = Path(__file__).parents[2] / "docs/how-to/cli.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FILES = {"python": "shop.py", "toml": "pyproject.toml"}
KNOWN = ("ID", "WAITING")


class Shell:
    """As much of a shell as the page asks for."""

    def __init__(self) -> None:
        self.variables: dict[str, str] = {}

    def type(self, line: str) -> int:
        """Carry out a line; gives the exit code."""
        line, _, told = (part.strip() for part in line.partition("# exit code"))
        kept, _, rest = line.partition("=$(")
        if rest and kept in KNOWN:
            self.variables[kept] = self._run(rest.removesuffix(")")).stdout.strip()
            assert self.variables[kept], line
            return 0
        first, _, second = line.partition(" | xargs -r ")
        found = self._run(first)
        if second:
            assert found.stdout, first
            found = self._run(f"{second} {found.stdout}")
        assert int(told or 0) == found.exit_code, f"{line}\n{found.output}"
        return found.exit_code

    def _run(self, line: str) -> Result:
        for name, value in self.variables.items():
            line = line.replace(f"${name}", value)
        command, *arguments = shlex.split(line)
        assert "phaseline" == command
        return CliRunner().invoke(app, arguments)


def test_each_command_of_the_guide_does_what_it_says(tmp_path, monkeypatch):
    """One after another, in an empty directory with the files that the page shows."""
    page = re.sub(
        r"^   (?=\S)", "", PAGE.read_text("utf-8"), flags=re.MULTILINE
    )  # blocks in lists are indented
    blocks = BLOCK.findall(page)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("PHASELINE_RUNTIME", "DATABASE_URL", "PHASELINE_ACTOR"):
        monkeypatch.delenv(name, raising=False)
    for kind, text in blocks:
        if kind in FILES and not (tmp_path / FILES[kind]).exists():
            (tmp_path / FILES[kind]).write_text(text, "utf-8")
    shell = Shell()
    lines = [line for kind, text in blocks if kind == "console" for line in text.splitlines()]
    typed = [shell.type(line.removeprefix("$ ")) for line in lines if line.startswith("$ ")]
    assert len(typed) > 10
    sys.modules.pop("shop")
