"""The mistakes of a user, one by one."""

from __future__ import annotations

from pathlib import Path


def test_each_mistake_is_refused_by_both_checkers() -> None:
    """No line of ``bad.py`` is marked for one type checker only; the checkers themselves see that a mark is true."""
    lines = Path(__file__).with_name("bad.py").read_text(encoding="utf-8").splitlines()
    by_mypy = [number for number, line in enumerate(lines, 1) if "# type: ignore[" in line]
    by_pyright = [number for number, line in enumerate(lines, 1) if "# pyright: ignore[" in line]
    assert by_mypy
    assert by_mypy == by_pyright
