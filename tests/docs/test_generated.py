"""What of the documentation is written by the code is as the code writes it now."""

from __future__ import annotations

import pytest
from docs.tools import GENERATED, picture, schema


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
