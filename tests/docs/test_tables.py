"""Tables in the documentation that are written by the code are as the code writes them now."""

from __future__ import annotations

import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from phaseline import control, measuring
from phaseline.cli import codes, verbs
from phaseline.web import problems, routes

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("page", "module"),
    [
        ("reference/control.md", control),
        ("how-to/observe.md", measuring),
        ("how-to/cli.md", codes),
        ("how-to/cli.md", verbs),
        ("reference/web.md", routes),
        ("reference/web.md", problems),
    ],
)
def test_tables_are_those_of_the_code(page: str, module: ModuleType) -> None:
    """Write one anew with ``python -c "from phaseline.control import *; print(to_markdown())"``."""
    start = f"<!-- table of {module.__name__} -->\n"
    _, _, rest = (ROOT / "docs" / page).read_text().partition(start)
    table, end, _ = rest.partition("<!-- end of the table -->")
    assert end
    assert table == module.to_markdown()


def test_the_rooms_are_listed_in_the_order_that_is_checked() -> None:
    """The layers of import-linter stand in the documentation, one a line."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    page = (ROOT / "docs/explanation/architecture.md").read_text()
    shown = page.partition("<!-- layers of pyproject.toml -->\n```text\n")[2].partition("\n```")[0]
    assert shown.splitlines() == [layer.replace("(", "").replace(")", "") for layer in layers]
