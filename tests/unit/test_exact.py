"""Where pydantic is not asked to warn, it would have had nothing to say."""

from __future__ import annotations

import warnings
from datetime import datetime
from typing import Annotated, Any

import pytest
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    RootModel,
    TypeAdapter,
    model_serializer,
)

from phaseline._values.codec import ValueCodec
from phaseline._values.exact import exact_fields, has_aliases, has_exactly
from phaseline.errors import EncodeError


class Plain(BaseModel):
    """Nothing but plain fields."""

    flag: bool
    number: int = 1
    share: Annotated[float, Field(ge=0)] = 0.5
    text: str = ""


class Open(BaseModel):
    """Holds more than its fields."""

    model_config = ConfigDict(extra="allow")
    number: int


class Written(BaseModel):
    """Is written by a function of its own."""

    number: int

    @model_serializer
    def write(self) -> dict[str, int]:
        """Write it."""
        return {"number": self.number}


class OddField(BaseModel):
    """Has a field that is written by a function of its own."""

    number: Annotated[int, PlainSerializer(lambda value: value + 1)]


class Dated(BaseModel):
    """Has a field that is not plain."""

    at: datetime


def fields_of(type_: Any) -> Any:
    """Give what is known of a type."""
    return exact_fields(TypeAdapter(type_).core_schema)


def test_only_models_of_plain_fields_are_known() -> None:
    """Whatever may be written in another way than by the classes of its fields is left to pydantic's own checks."""
    assert (("flag", bool), ("number", int), ("share", float), ("text", str)) == fields_of(Plain)
    others = (Open, Written, OddField, Dated, RootModel[int], int, list[Plain], Plain | None)
    assert [None] * len(others) == [fields_of(type_) for type_ in others]


class Renamed(BaseModel):
    """Has a field that is read and written under another name."""

    number: int = Field(alias="n")


class WrittenAs(BaseModel):
    """Has one that is written so."""

    number: int = Field(serialization_alias="n")


class ReadAs(BaseModel):
    """Has one that is read so."""

    number: int = Field(validation_alias=AliasChoices("n", "m"))


class AllRenamed(BaseModel):
    """Has them all renamed."""

    model_config = ConfigDict(alias_generator=str.upper)

    number: int


@pytest.mark.parametrize("model", [Renamed, WrittenAs, ReadAs, AllRenamed])
def test_other_names_are_seen_and_make_no_difference(model: type[BaseModel]) -> None:
    """Under whatever names a model is read elsewhere: it is stored under its own, and read so again."""
    assert has_aliases(TypeAdapter(model).core_schema)
    assert not has_aliases(TypeAdapter(Plain).core_schema)
    value = model.model_validate({"n": 3, "number": 3, "NUMBER": 3})
    door = ValueCodec(model, what="it")
    text, copy = door.encode(value)
    assert '{"number":3}' == text
    assert value == copy == door.decode(text)


@pytest.mark.parametrize(
    ("name", "value"),
    [("number", "1"), ("number", True), ("flag", 1), ("text", None), ("share", 1), ("more", 1)],
)
def test_what_pydantic_may_warn_of_is_not_held_for_exact(name: str, value: object) -> None:
    """A value of another class, also one that pydantic lets pass, and one too many, is looked at by pydantic."""
    model = Plain(flag=True)
    assert has_exactly(model, fields_of(Plain))
    model.__dict__[name] = value
    assert not has_exactly(model, fields_of(Plain))


def test_what_lacks_a_field_is_not_held_for_exact() -> None:
    """One may be taken away after the validation."""
    model = Plain(flag=True)
    del model.__dict__["text"]
    assert not has_exactly(model, fields_of(Plain))


def test_exact_models_are_written_without_a_warning() -> None:
    """The text is the one that pydantic writes when it is asked to raise."""
    model = Plain(flag=False, number=-3, share=1e9, text="ä\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text, copy = ValueCodec(Plain, what="value").encode(model)
    expected = TypeAdapter(Plain).serializer.to_json(model, warnings="error").decode()
    assert (expected, model) == (text, copy)


def test_a_wrong_field_is_still_refused() -> None:
    """A model that somebody bent after it was validated does not get in."""
    model = Plain(flag=False)
    model.__dict__["number"] = "many"
    with pytest.raises(EncodeError, match="number"):
        ValueCodec(Plain, what="value").encode(model)
