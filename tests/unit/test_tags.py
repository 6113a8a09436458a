"""Tags and attributes: what they may be, and the texts they are kept as."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phaseline.errors import InvalidMarkError
from phaseline.tags import attributes_of, marks_of, tags_of

PRINTABLE = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=20)
TAGS = st.lists(PRINTABLE.filter(bool), max_size=5)
VALUES = (
    PRINTABLE
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)
ATTRIBUTES = st.dictionaries(st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_.-]{0,9}\Z"), VALUES, max_size=5)


@given(tags=TAGS, attributes=ATTRIBUTES)
def test_what_goes_in_comes_out(tags: list[str], attributes: dict[str, Any]) -> None:
    """Whatever characters they have; with the type they had."""
    marks = marks_of(tags, attributes)
    assert tags_of(marks) == tuple(sorted(set(tags)))
    found = attributes_of(marks)
    assert {name: (type(value), value) for name, value in found.items()} == {
        name: (type(value), value) for name, value in attributes.items()
    }
    assert marks == tuple(sorted(marks))


def test_values_of_different_types_are_different_marks() -> None:
    """1, 1.0, True and "1" are equal or not in Python; here each stands for itself."""
    marks = {marks_of((), {"n": value}) for value in (1, 1.0, True, "1")}
    assert len(marks) == 4


@pytest.mark.parametrize(
    ("tags", "attributes", "told"),
    [
        ("urgent", None, "a list of texts"),
        (7, None, "a list of texts"),
        ([""], None, "a tag ''"),
        (["a\nb"], None, r"a tag 'a\\nb'"),
        (["x" * 101], None, "1 to 100 characters"),
        ([7], None, "a tag of type int"),
        ([f"t{n}" for n in range(33)], None, "33 tags"),
        ((), [("a", 1)], "type list"),
        ((), {"": 1}, "named ''"),
        ((), {"a b": 1}, "named 'a b'"),
        ((), {7: 1}, "of type int"),
        ((), {"a": None}, "type NoneType"),
        ((), {"a": [1]}, "type list"),
        ((), {"a": "x" * 501}, "at most 500"),
        ((), {"a": "x\0"}, "printed"),
        ((), {"a": "\ud800"}, "printed"),
        ((), {"a": 1 << 63}, "64 bits"),
        ((), {"a": math.nan}, "finite"),
        ((), {f"a{n}": n for n in range(33)}, "33 attributes"),
    ],
)
def test_what_cannot_be_kept_is_refused(tags: Any, attributes: Any, told: str) -> None:
    """By name, and with what is allowed."""
    with pytest.raises(InvalidMarkError, match=told):
        marks_of(tags, attributes)


def test_no_message_tells_the_value_of_an_attribute() -> None:
    """A message may end in any log, and a value may be what it should not be: a password."""
    for value in ("hunter2\n", ["hunter2"], "hunter2" * 100):
        with pytest.raises(InvalidMarkError) as caught:
            marks_of((), {"password": value})
        assert "hunter2" not in str(caught.value)
