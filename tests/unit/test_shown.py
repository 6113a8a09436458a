"""What people are shown of values: within bounds, and without secrets."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phaseline.errors import DefinitionError
from phaseline.web.schemas import shown_schema
from phaseline.web.shown import (
    HIDDEN,
    IN_ITS_PLACE,
    LEFT_OUT,
    LONGEST_TEXT,
    MOST_IN_ALL,
    MOST_INSIDE,
    Shown,
    hidden_names,
    is_hidden,
    redacted,
)

NAMES = hidden_names(HIDDEN)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(["a", "b", "token"]), inner),
)


@pytest.mark.parametrize(
    "name", ["password", "db_password", "dbPassword", "API-KEY", "accessToken", "token", "IBAN"]
)
def test_secrets_are_known_by_the_ends_of_names(name):
    """However they are written."""
    assert is_hidden(name, NAMES)


@pytest.mark.parametrize("name", ["input_tokens", "secretary", "name", "passwords_sent", ""])
def test_other_names_are_shown(name):
    """Also those in which such a name stands further ahead."""
    assert not is_hidden(name, NAMES)


@pytest.mark.parametrize("name", ["passwords", "tokens", "api_keys", "refreshTokens", "cookies"])
def test_many_secrets_are_hidden_and_their_number_is_not(name):
    """A name in the plural may stand for them, or for how many there are."""
    for value in (["t-SECRET"], {"ann": "t-SECRET"}, "t-SECRET"):
        assert {name: IN_ITS_PLACE} == redacted({name: value}, NAMES) == Shown(NAMES).of({name: value})
    assert {name: 512} == redacted({name: 512}, NAMES) == Shown(NAMES).of({name: 512})


@given(JSON)
def test_small_values_are_shown_whole(value):
    """But for what is hidden, wherever it stands."""
    shown = Shown(NAMES).of(value)
    assert redacted(value, NAMES) == shown
    assert redacted(value, frozenset()) == value == Shown(frozenset()).of(value)


def test_what_is_hidden_is_not_shown_in_any_depth():
    """Nor what is in it."""
    value = [{"user": {"name": "ann", "password": {"old": "a", "new": "b"}}}]
    assert [{"user": {"name": "ann", "password": IN_ITS_PLACE}}] == Shown(NAMES).of(value)


def test_long_texts_lists_and_objects_are_cut():
    """And it is said how much is missing."""
    assert ["x" * LONGEST_TEXT, {LEFT_OUT: 5}] == Shown(NAMES).of("x" * (LONGEST_TEXT + 5))
    assert {LEFT_OUT: 7} == Shown(NAMES).of([*range(MOST_INSIDE + 7)])[-1]
    assert 7 == Shown(NAMES).of({str(each): each for each in range(MOST_INSIDE + 7)})[LEFT_OUT]


def test_many_small_values_are_cut_too():
    """However they lie in one another, an answer stays small."""
    value = [[[each] * 100 for each in range(100)] for _ in range(100)]
    assert len(json.dumps(Shown(NAMES).of(value))) < 20 * MOST_IN_ALL


@pytest.mark.parametrize("names", ["password", [""], [1]])
def test_names_that_are_none_are_refused(names):
    """A single text would hide all that ends with one of its letters."""
    with pytest.raises(DefinitionError, match="hidden="):
        hidden_names(names)


def test_of_schemas_no_value_of_a_hidden_member_is_told():
    """Nor of what it refers to, nor in a default or example of what holds one; all else stays."""
    text = {"type": "string", "default": "open", "examples": ["open"]}
    schema = {
        "type": "object", "default": {"user": "ann", "password": "shut"}, "examples": [[{"password": "shut"}]],
        "required": ["credentials"], "$defs": {
            "Pair": {"properties": {"left": {"$ref": "#/$defs/Side"}, "kind": {"enum": ["a"], "default": "shut"}}},
            "Side": {"properties": {"text": {"type": "string", "default": "shut"}}}, "Other": {"properties": {"text": text}},
        },
        "properties": {
            "credentials": {"anyOf": [{"$ref": "#/$defs/Pair"}, {"type": "null"}], "default": "shut"},
            "default": text, "items": {"type": "array", "items": {"properties": {"api_key": {"default": "shut"}}}},
            "user": {"default": {"name": "open"}}, "other": {"$ref": "#/$defs/Other"},
        },
    }  # fmt: skip
    shown = shown_schema(schema, NAMES)
    assert "shut" not in json.dumps(shown)
    assert text == shown["properties"]["default"] == shown["$defs"]["Other"]["properties"]["text"]
    assert {"default": {"name": "open"}} == shown["properties"]["user"]
    assert {"enum": ["a"]} == shown["$defs"]["Pair"]["properties"]["kind"]
    assert {"writeOnly": True} == shown["properties"]["items"]["items"]["properties"]["api_key"]
    assert ["credentials"] == shown["required"]
    assert schema is shown_schema(schema, frozenset())


def test_of_schemas_many_secrets_are_told_as_little_as_one():
    """But how many there are is told."""
    count, many = {"type": "integer", "default": 3}, {"type": "array", "default": ["shut"]}
    shown = shown_schema({"properties": {"tokens": many, "max_tokens": count}}, NAMES)["properties"]
    assert {"tokens": {"type": "array", "writeOnly": True}, "max_tokens": count} == shown
