"""Tables in the documentation that are written by the code are as the code writes them now."""

from __future__ import annotations

from pathlib import Path

from phaseline.control import to_markdown

PAGE = Path(__file__).parents[2] / "docs/how-to/control.md"


def test_the_table_of_commands_is_that_of_the_code() -> None:
    """Write it anew with ``python -c "from phaseline.control import *; print(to_markdown())"``."""
    _, _, rest = PAGE.read_text().partition("<!-- table of phaseline.control -->\n")
    table, end, _ = rest.partition("<!-- end of the table -->")
    assert end
    assert table == to_markdown()
