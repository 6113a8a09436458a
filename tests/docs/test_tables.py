"""Tables in the documentation that are written by the code are as the code writes them now."""

from __future__ import annotations

import tomllib
from pathlib import Path

from phaseline.control import to_markdown

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/how-to/control.md"


def test_the_table_of_commands_is_that_of_the_code() -> None:
    """Write it anew with ``python -c "from phaseline.control import *; print(to_markdown())"``."""
    _, _, rest = PAGE.read_text().partition("<!-- table of phaseline.control -->\n")
    table, end, _ = rest.partition("<!-- end of the table -->")
    assert end
    assert table == to_markdown()


def test_the_rooms_are_listed_in_the_order_that_is_checked() -> None:
    """The layers of import-linter stand in the documentation, one a line."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    page = (ROOT / "docs/explanation/architecture.md").read_text()
    shown = page.partition("<!-- layers of pyproject.toml -->\n```text\n")[2].partition("\n```")[0]
    assert shown.splitlines() == [layer.replace("(", "").replace(")", "") for layer in layers]
