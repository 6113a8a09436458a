"""Numbered migrations, one SQL file per dialect and version; a file that was released is never changed."""

from __future__ import annotations

import re
from importlib import resources

LATEST = 2


def statements(dialect: str, version: int) -> list[str]:
    """The statements that bring a database from the version before to this one, each ended by a line's last semicolon."""
    text = resources.files(__name__).joinpath(f"{version:04d}_{dialect}.sql").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    found = re.split(r";\s*$", "\n".join(lines), flags=re.MULTILINE)
    return [statement.strip() for statement in found if statement.strip()]
