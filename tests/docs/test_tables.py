"""What of the documentation is written by the code, tables and a picture, is as the code writes it now."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest
from docs.tools import GENERATED, llms, picture, schema

import phaseline
from phaseline import control, metrics
from phaseline.abc import Storage
from phaseline.cli import codes, verbs
from phaseline.web import problems, routes

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("page", "module"),
    [
        ("reference/control.md", control),
        ("how-to/observe.md", metrics),
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


def test_every_alert_is_listed() -> None:
    """In the order of the rules."""
    rules = (ROOT / "deploy/phaseline.rules.yml").read_text("utf-8")
    table = (ROOT / "docs/how-to/observe.md").read_text("utf-8").partition("| alert | fires when |")[2]
    assert re.findall(r"alert: (\w+)", rules) == re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)


def test_the_rooms_are_listed_in_the_order_that_is_checked() -> None:
    """The layers of import-linter stand in the documentation, one a line."""
    page = (ROOT / "docs/explanation/architecture.md").read_text()
    shown = page.partition("<!-- layers of pyproject.toml -->\n```text\n")[2].partition("\n```")[0]
    assert shown.splitlines() == [layer.replace("(", "").replace(")", "") for layer in picture.layers()]


def test_something_is_said_of_every_room():
    """In the table of the rooms, which is no list of some."""
    page = (ROOT / "docs/explanation/architecture.md").read_text("utf-8")
    table = page.partition("## The rooms\n")[2].partition("\n## ")[0]
    there = {room.stem for room in Path(phaseline.__file__).parent.iterdir() if room.suffix in {"", ".py"}}
    listed = re.findall(r"`(\w+)(?:\.py|/)`", table)
    assert sorted(there - {"__init__", "__pycache__"}) == sorted(listed)


@pytest.mark.parametrize("room", ["_engine", "_shell"])
def test_every_module_of_a_large_room_is_found_by_its_subject(room: str) -> None:
    """In a table of its own."""
    page = (ROOT / "docs/explanation/architecture.md").read_text("utf-8")
    table = page.partition(f"| in `{room}/` | |\n")[2].partition("\n\n")[0]
    there = {module.stem for module in (Path(phaseline.__file__).parent / room).glob("*.py")}
    assert sorted(there - {"__init__"}) == sorted(re.findall(r"`(\w+)`", table))


def test_something_is_said_of_all_that_a_storage_may_do():
    """In the tables of who writes one."""
    page = (ROOT / "docs/how-to/write-a-storage.md").read_text("utf-8")
    names = {
        name
        for cell in re.findall(r"^\|.*\|.*\|", page, re.MULTILINE)
        for name in re.findall(r"`(\w+)", cell)
    }
    assert set() == {name for name in dir(Storage) if not name.startswith("_")} - names


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.name)
def test_file_is_as_the_code_writes_it(path):
    """Write it anew with ``python -m docs.tools``."""
    assert GENERATED[path]() == path.read_text("utf-8")


def test_the_picture_has_every_room():
    """Each room of the contract of imports stands on one floor."""
    shown = [room for floor in picture.FLOORS for room in floor.rooms]
    assert sorted(picture.listed()) == sorted(shown)


def test_arrows_of_the_picture_lead_down():
    """No module imports from a floor above its own."""
    row = {floor.title: floor.place[0] for floor in picture.FLOORS}
    assert [] == [(a, b) for a, others in picture.arrows().items() for b in others if row[a] >= row[b]]


def test_a_picture_that_cannot_be_drawn_in_floors_is_refused():
    """Floors whose modules import each other are no floors."""
    mixed = (
        picture.Floor("a", "", {"run", "runtime"}, (0, 0, 1)),
        picture.Floor("b", "", {"pipeline"}, (1, 0, 1)),
    )
    with pytest.raises(ValueError, match="do not part the rooms"):
        picture.arrows(mixed)


def test_a_column_of_which_nothing_is_said_is_refused(monkeypatch):
    """Nobody has to remember the page when a column is added."""
    own = {**schema.OWN, "signal": {"name": "Name of the signal."}}
    monkeypatch.setattr(schema, "OWN", own)
    with pytest.raises(LookupError, match=r"signal of which nothing is said: \['received_at'"):
        schema.page()


def test_contents_for_language_models_name_every_page():
    """Each once, and with a word about it: so no page is left out of the navigation, either."""
    links = re.findall(r"^- \[.+?\]\((.+?)\): \S", llms.contents(), re.MULTILINE)
    there = {str(file.relative_to(llms.DOCS).with_suffix(".html")) for file in llms.DOCS.rglob("*.md")}
    assert sorted(there) == sorted(links)
