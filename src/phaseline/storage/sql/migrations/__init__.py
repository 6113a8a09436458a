"""Numbered migrations, one SQL file per dialect and version; a file that was released is never changed."""

from __future__ import annotations

from importlib import resources

LATEST = 1


def statements(dialect: str, version: int) -> list[str]:
    """The statements that bring a database from the version before to this one."""
    text = resources.files(__name__).joinpath(f"{version:04d}_{dialect}.sql").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    return [statement.strip() for statement in "\n".join(lines).split(";") if statement.strip()]
