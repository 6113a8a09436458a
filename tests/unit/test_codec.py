"""The door between Python values and stored JSON text."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import sys
import typing
from collections import deque
from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
    Sequence,
)
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, Optional, Self, TypeVar, Union
from uuid import UUID

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    Base64Bytes,
    BaseModel,
    ConfigDict,
    Field,
    Json,
    PlainSerializer,
    PrivateAttr,
    SecretBytes,
    SecretStr,
    WithJsonSchema,
    computed_field,
    field_serializer,
    field_validator,
)
from typing_extensions import TypeAliasType, TypedDict

from phaseline._values.codec import Limits, ValueCodec, from_json_text, to_json_text
from phaseline.errors import DecodeError, DefinitionError, EncodeError, InvalidInputError

T = TypeVar("T")
WHAT = "output of phase 'pack'"


class Item(BaseModel):
    sku: str
    count: int = 1


class Gift(Item):
    note: str = ""


class Same(Item):
    """Has no more fields than an Item."""


class Lookalike(BaseModel):
    """Has the fields of an Item, but is none."""

    sku: str = "x"
    count: int = 1


class Order(BaseModel):
    id: int
    items: list[Item] = []
    weight: float | None = None
    extra: Any = None
    due: datetime | None = None


class Tree(BaseModel):
    children: list[Tree] = []


class Namesakes(BaseModel):
    """Its fields have the names of keys in a core schema."""

    type: str = "float"
    serialization: int = 1
    extra_behavior: str = "allow"
    metadata: float | None = None
    default: float | None = None
    function: float | None = None
    computed_fields: float | None = None


class Box(BaseModel, Generic[T]):
    value: T


class Aliased(BaseModel):
    model_config = ConfigDict(extra="forbid")
    first: int = Field(alias="second")
    second: int = Field(validation_alias="zwei", serialization_alias="dos")


class Cat(BaseModel):
    kind: Literal["cat"] = Field("cat", alias="type")


class Hound(BaseModel):
    kind: Literal["hound"] = Field("hound", alias="type")


class Area(BaseModel):
    model_config = ConfigDict(extra="forbid")
    width: int

    @computed_field
    @property
    def doubled(self) -> int:
        return 2 * self.width


class Hidden(BaseModel):
    id: int
    inside: str = Field(exclude=True)


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    id: int = 1


class Constants(BaseModel):
    model_config = ConfigDict(ser_json_inf_nan="constants")
    value: float = 1.0


class Strings(BaseModel):
    model_config = ConfigDict(ser_json_inf_nan="strings")
    value: float = 1.0


class Base64Config(BaseModel):
    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
    data: bytes
    ratio: float | None = None


class Parsed(BaseModel):
    numbers: Json[list[int]]


class Deferred(BaseModel):
    model_config = ConfigDict(defer_build=True)
    id: int


class Shaky(BaseModel):
    """Its own code fails, in one way or another."""

    number: int = 0
    write: str = ""
    read: str = ""

    @field_serializer("write")
    def _write(self, value: str) -> object:
        if value == "crash":
            raise KeyError(value)
        if value == "loop":
            return self._write(value)
        return value

    @field_validator("read")
    @classmethod
    def _read(cls, value: str) -> str:
        if value == "crash":
            raise KeyError(value)
        if value == "unspeakable":
            raise KeyError(Unspeakable())
        if value == "surrogate":
            raise RuntimeError("\ud800 \0")
        return value


class Polymorphic(BaseModel):
    model_config = ConfigDict(polymorphic_serialization=True)


@dataclasses.dataclass
class Parcel:
    weight: float
    tags: frozenset[str] = frozenset()


@dataclasses.dataclass
class ParcelLookalike:
    weight: float
    tags: frozenset[str] = frozenset()


class Point(NamedTuple):
    x: int
    y: int = 0


class PointLookalike(NamedTuple):
    x: int
    y: int = 0


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


class Color(Enum):
    RED = "red"
    BLUE = 2


class Size(StrEnum):
    SMALL = "small"


class Arbitrary: ...


class Unspeakable:
    def __repr__(self) -> str:
        raise RuntimeError


@attrs.frozen
class Frozen:
    id: int


class Incomplete(BaseModel):
    other: Nowhere  # noqa: F821  # that it is undefined is the test


Doubling = Annotated[int, AfterValidator(lambda n: n * 2), PlainSerializer(lambda n: n // 2)]
Recursive = TypeAliasType("Recursive", "list[Recursive] | int")
HUGE_NUMBER = 10**4300
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


def codec(type_: Any, **limits: int) -> ValueCodec[Any]:
    return ValueCodec(type_, what=WHAT, limits=Limits(**limits))


def problems_of(type_: Any, value: object, **limits: int) -> tuple[str, ...]:
    with pytest.raises(EncodeError) as caught:
        codec(type_, **limits).encode(value)
    assert WHAT == caught.value.what
    assert WHAT in str(caught.value)
    return caught.value.problems


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


# --------------------------------------------------------------------- what comes back
# fmt: off
ROUND_TRIPS = [
    (int, 5, "5"), (int, -(10**30), "-1" + "0" * 30), (bool, True, "true"), (float, 1.5, "1.5"), (str, "é", '"é"'),
    (type(None), None, "null"), (int | None, None, "null"), (float | None, None, "null"), (bytes, b"abc", '"abc"'),
    (Base64Bytes, b"\xff", '"/w=="'), (Decimal, Decimal("1.10"), '"1.10"'), (date, date(2026, 1, 2), '"2026-01-02"'),
    (datetime, MOMENT, '"2026-01-02T03:04:05.000006Z"'), (timedelta, timedelta(days=3), '"P3D"'),
    (UUID, UUID(int=1), '"00000000-0000-0000-0000-000000000001"'), (Color, Color.BLUE, "2"), (Size, Size.SMALL, '"small"'),
    (Literal["a", 1], 1, "1"), (list[int], [1, 2], "[1,2]"), (set[int], {1}, "[1]"), (frozenset[str], frozenset("a"), '["a"]'),
    (deque[int], deque([1]), "[1]"), (tuple[int, str], (1, "a"), '[1,"a"]'), (tuple[int, ...], (1, 2), "[1,2]"),
    (dict[str, list[int]], {"a": [1]}, '{"a":[1]}'), (dict[int, str], {1: "a"}, '{"1":"a"}'), (Mapping[str, int], {"a": 1}, '{"a":1}'),
    (dict[UUID, date], {UUID(int=2): date(2026, 1, 2)}, '{"00000000-0000-0000-0000-000000000002":"2026-01-02"}'),
    (Iterable[int], [1], "[1]"), (Collection[Item], [Item(sku="a")], '[{"sku":"a","count":1}]'), (Iterable, [1, "a"], '[1,"a"]'),
    (dict[str, Namesakes], {}, "{}"), (Item, Item(sku="a", count=2), '{"sku":"a","count":2}'), (Item | None, None, "null"), (Optional[Item], Item(sku="a"), '{"sku":"a","count":1}'),  # noqa: UP045  # the older spelling is meant
    (Annotated[Item, "note"], Item(sku="a"), '{"sku":"a","count":1}'), (list[Gift], [Gift(sku="a")], '[{"sku":"a","count":1,"note":""}]'),
    (Order, Order(id=1, items=[Item(sku="a")], due=MOMENT, extra={"k": [None, 1.5]}),
     '{"id":1,"items":[{"sku":"a","count":1}],"weight":null,"extra":{"k":[null,1.5]},"due":"2026-01-02T03:04:05.000006Z"}'),
    (Tree, Tree(children=[Tree(), Tree()]), '{"children":[{"children":[]},{"children":[]}]}'), (Recursive, [1, [2]], "[1,[2]]"),
    (Box[int], Box[int](value=1), '{"value":1}'), (Box[Item], Box[Item](value=Item(sku="a")), '{"value":{"sku":"a","count":1}}'),
    (Parcel, Parcel(1.0, frozenset("a")), '{"weight":1.0,"tags":["a"]}'), (Point, Point(1, 2), "[1,2]"),
    (Movie, {"title": "a"}, '{"title":"a"}'), (tuple[Item, int], (Item(sku="a"), 1), '[{"sku":"a","count":1},1]'),
    (dict[str, Item], {"k": Item(sku="a")}, '{"k":{"sku":"a","count":1}}'), (MutableMapping[str, Point], {"k": Point(1)}, '{"k":[1,0]}'),
    (Item | Order, Order(id=1), '{"id":1,"items":[],"weight":null,"extra":null,"due":null}'),
    (Aliased, Aliased(second=1, zwei=2), '{"first":1,"second":2}'), (Area, Area(width=2), '{"width":2}'),
    (list[Annotated[Cat | Hound, Field(discriminator="kind")]], [Hound(), Cat()], '[{"kind":"hound"},{"kind":"cat"}]'),
    (Parsed, Parsed(numbers="[1,2]"), '{"numbers":"[1,2]"}'), (Open, Open(id=1, more=[1.5, None]), '{"id":1,"more":[1.5,null]}'),
    (Base64Config, Base64Config(data=b"\xff"), '{"data":"_w==","ratio":null}'), (Deferred, Deferred(id=1), '{"id":1}'),
    (Strings, Strings(value=1.0), '{"value":1.0}'), (Doubling, 4, "2"), (Any, {"a": (1, None)}, None), (object, "null", '"null"'),
    (dict[float, int], {math.inf: 1}, '{"inf":1}'),
    # what only looks suspicious
    (str, "NaN null Infinity", '"NaN null Infinity"'), (Any, ["NaN", None, "Infinity"], '["NaN",null,"Infinity"]'),
    (Any, "NaN", '"NaN"'), (str, "\\u0000", '"\\\\u0000"'), (Any, ["\\\\u0000"], '["\\\\\\\\u0000"]'), (str, "\ufffd", '"\ufffd"'),
    (dict[str, int], {"\ufffd": 1}, '{"\ufffd":1}'), (str, "*" * 10, '"**********"'), (Any, "[" * 500, '"' + "[" * 500 + '"'),
    (Any, ["*" * 10, "*"], '["**********","*"]'), (str, "\U0001f600", '"\U0001f600"'), (list[str], ["\x7f\x01"], '["\x7f\\u0001"]'),
]
# fmt: on


@pytest.mark.parametrize(("type_", "value", "text"), ROUND_TRIPS, ids=range(len(ROUND_TRIPS)))
def test_gives_back_what_it_was_given(type_: Any, value: object, text: str | None) -> None:
    """A value of the declared type comes back equal and of the same class, from encode and from decode."""
    door = codec(type_)

    stored, copy = door.encode(value)

    expected = [1, None] if text is None else value
    copy = copy["a"] if text is None else copy
    assert (text or '{"a":[1,null]}', expected, type(expected)) == (stored, copy, type(copy))
    assert door.encode(door.decode(stored))[0] == stored


@pytest.mark.parametrize(
    ("type_", "value", "copy"),
    [
        (Item, Same(sku="a"), Item(sku="a")),
        (list[Item], [Same(sku="a")], [Item(sku="a")]),
        (Sequence[int], (1, 2), [1, 2]),
        (Iterable[int], (1, 2), [1, 2]),
        (Iterable[int], {1}, [1]),
        (float, 1, 1.0),
        (int, True, 1),
        (Any, MOMENT, "2026-01-02T03:04:05.000006Z"),
        (Any, Area(width=2), {"width": 2}),
        (dict[str, Any], {"a": {1}}, {"a": [1]}),
        (Box[int], Box(value=1), Box[int](value=1)),
        (Polymorphic, Polymorphic(), Polymorphic()),
        (Movie, {"title": "a", "unknown": 1}, {"title": "a"}),
        (Open, Open(at=MOMENT), Open(at="2026-01-02T03:04:05.000006Z")),
    ],
    ids=range(14),
)
def test_gives_back_the_declared_type(type_: Any, value: object, copy: object) -> None:
    """What the type leaves open comes back as the type says, so that the next phase sees the same everywhere."""
    given = codec(type_).encode(value)[1]

    assert (copy, type(copy)) == (given, type(given))


@dataclasses.dataclass
class Animal:
    name: str


@dataclasses.dataclass
class Dog(Animal):
    breed: str = "pug"


class Sold(Item):
    """An Item by its looks, and declared beside it."""


class Place(NamedTuple):
    x: int


class Spot(NamedTuple):
    x: int


class Colour(StrEnum):
    RED = "red"


class Kennel(BaseModel):
    dog: Animal
    spare: dict[str, Animal] = {}
    notes: dict[str, Any] = {}
    due: str | datetime = ""


class Leash(BaseModel):
    tag: str | datetime | None = None
    next: Leash | None = None


class Sealed(BaseModel):
    """Parts of it are never written."""

    secret: int | None = Field(default=1, exclude=True)
    _count: int = PrivateAttr(0)
    _free: int = PrivateAttr()

    @classmethod
    def counted(cls, count: int) -> Self:
        sealed = cls()
        sealed._count = count
        return sealed

    @classmethod
    def freed(cls) -> Self:
        sealed = cls()
        sealed._free = 3
        return sealed


class Restored(BaseModel):
    """What is never written comes back by itself, and holds what it is a part of."""

    parts: list[Restored] = []
    above: Restored | None = Field(default=None, exclude=True)
    _top: Restored | None = PrivateAttr(None)
    _lock: object = PrivateAttr(default_factory=object)

    def model_post_init(self, context: object, /) -> None:
        for part in self.parts:
            part.above = part._top = self


class OldTyped(typing.TypedDict):
    open: int


class Hushed(TypedDict):
    open: int
    hidden: NotRequired[Annotated[int, Field(exclude=True)]]


Shelf = TypeAliasType("Shelf", "dict[str, Shelf] | list[Shelf] | str | date")

# fmt: off
LOST: list[tuple[Any, Any, str]] = [
    (Item, Gift(sku="a", note="b"), "note: would be lost: a Gift is stored as the declared Item"),
    (list[Item], [Item(sku="a"), Gift(sku="a")], "[1].note: would be lost"),
    (tuple[int, Item], (1, Gift(sku="a")), "[1].note: would be lost"),
    (dict[str, Item], {"a": Gift(sku="a")}, "a.note: would be lost"),
    (Item | None, Gift(sku="a"), "note: would be lost"),
    (Sequence[Item], (Gift(sku="a"),), "[0].note: would be lost"),
    (Order, Order(id=1, items=[Gift(sku="a")]), "items[0].note: would be lost"),
    (Animal, Dog("rex"), "breed: would be lost"),
    (Kennel, Kennel(dog=Dog("rex")), "dog.breed: would be lost"),
    (Kennel, Kennel(dog=Animal("rex"), spare={"a": Dog("b")}), "spare.a.breed: would be lost"),
    (Item | Sold, Sold(sku="a"), "a Sold would come back as Item"),
    (Item | Lookalike, Lookalike(), "a Lookalike would come back as Item"),
    (list[Item | Lookalike], [Item(sku="a"), Lookalike()], "[1]: a Lookalike would come back as Item"),
    (list[Item] | list[Lookalike], [Lookalike()], "[0]: a Lookalike would come back as Item"),
    (Item | Lookalike, Gift(sku="a"), "a Gift would come back as Item"),
    (Place | Spot, Spot(1), "a Spot would come back as Place"),
    (str | datetime, MOMENT, "a datetime would come back as str"),
    (Kennel, Kennel(dog=Animal("rex"), due=MOMENT), "due: a datetime would come back as str"),
    (Leash, Leash(next=Leash(next=Leash(tag=MOMENT))), "next.next.tag: a datetime would come back as str"),
    (Shelf, {"a": ["b", date(2026, 1, 2)]}, "a[1]: a date would come back as str"),
    (str | Colour, Colour.RED, "a Colour would come back as str"),
    (str | bytes, b"a", "a bytes would come back as str"),
    (list[int] | tuple[int, ...], (1, 2), "a tuple would come back as list"),
    (dict[int | str, str], {1: "a", "1": "b"}, "[1]: the key would not come back"),
    (dict[str | int, str], {1: "a"}, "[1]: the key would not come back"),
    (dict[Any, str], {1: "a", "1": "b"}, "two of its keys are the same as text"),
    (Any, {"a": [{1: "a", "1": "b"}]}, "a[0]: two of its keys are the same as text"),
    (set[Annotated[str, AfterValidator(str.lower)]], {"a", "A"}, "the set would not come back"),
    (Sealed, Sealed(secret=5), "secret: is never written (exclude=True)"),
    (Sealed, Sealed(secret=None), "secret: is never written (exclude=True)"),
    (list[Sealed], [Sealed(), Sealed.counted(5)], "[1]._count: is private, so never written"),
    (Sealed, Sealed.freed(), "_free: is private"),
    (Sealed | str, Sealed.counted(5), "_count: is private"),
    (Item | Sealed | Lookalike, Sealed.counted(5), "_count: is private"),
    (Hushed, {"open": 1, "hidden": 2}, "hidden: is never written (exclude=True)"),
    (re.Pattern[str], re.compile("a", re.IGNORECASE), "the flags of a pattern would be lost"),
]
# fmt: on


@pytest.mark.parametrize(("type_", "value", "line"), LOST, ids=range(len(LOST)))
def test_refuses_what_would_come_back_as_something_else(type_: Any, value: object, line: str) -> None:
    """What JSON would lose or turn into another member of a union is refused by its path, never lost in silence."""
    with pytest.raises(EncodeError) as caught:
        codec(type_).encode(value)

    assert line in caught.value.problems[0], caught.value.problems


# fmt: off
KEPT: list[tuple[Any, Any]] = [
    (Item | Lookalike, Item(sku="a")), (Item | None, Item(sku="a")), (str | int, 1), (int | float, 1.5),
    (Cat | Hound, Hound()), (Item | Order, Order(id=1)), (str | datetime, "a"), (Shelf, {"a": ["b", {}]}),
    (dict[int, Item], {1: Item(sku="a")}), (dict[date, str], {date(2026, 1, 2): "a"}), (dict[Colour, int], {Colour.RED: 1}),
    (list[Box[int] | str], [Box[int](value=1), "a"]), (re.Pattern[str], re.compile("a")), (Leash, Leash(next=Leash())),
    (set[Colour], {Colour.RED}), (Place | str, Place(1)), (tuple[Item, ...] | None, (Item(sku="a"),)), (Tree, Tree(children=[Tree()])),
]
# fmt: on


@pytest.mark.parametrize(("type_", "value"), KEPT, ids=range(len(KEPT)))
def test_unions_and_odd_keys_come_back(type_: Any, value: object) -> None:
    """What comes back equal and of its class is taken, whatever else its type allows."""
    copy = codec(type_).encode(value)[1]

    assert (value, type(value)) == (copy, type(copy))


def test_parts_that_are_never_written_may_come_back_by_themselves() -> None:
    """From a default or from a validator, even where they lead back to what they are a part of."""
    given = Restored(parts=[Restored(), Restored(parts=[Restored()])])

    text, copy = codec(Restored).encode(given)

    assert ('{"parts":[{"parts":[]},{"parts":[{"parts":[]}]}]}', copy) == (text, copy.parts[1].above)


def test_parts_declared_any_are_plain_data_beside_a_union() -> None:
    """A union in one field does not make the door stricter with what another field leaves open."""
    given = Kennel(dog=Animal("rex"), notes={"at": MOMENT, "pair": (1, 2)})

    copy = codec(Kennel).encode(given)[1]

    assert {"at": "2026-01-02T03:04:05.000006Z", "pair": [1, 2]} == copy.notes


def test_the_copy_shares_nothing_with_the_value() -> None:
    """Changing the value afterwards does not change what is handed on."""
    value = [{"a": [1]}]
    _, copy = codec(list[dict[str, list[int]]]).encode(value)

    value[0]["a"].append(2)

    assert [{"a": [1]}] == copy


# --------------------------------------------------------------------- what is refused
# fmt: off
WRONG_TYPES = [
    (int, "x", "Input should be a valid integer, got str"), (int, "1", "Input should be a valid integer, got str"), (int, 1.0, "Input should be a valid integer, got float"),
    (str, 1, "Input should be a valid string, got int"), (str, HUGE_NUMBER, None), (None, 1, "Input should be null"), (bool, "x", None),
    (int | None, "x", None), (int | str, 1.5, "int: Input should be a valid integer, got float"), (Literal["a"], "b", None), (Color, "red", "expected enum, got str"),
    (UUID, "00000000-0000-0000-0000-000000000001", "expected uuid, got str"), (date, MOMENT, "Input should be a valid date"),
    (list[int], [1, "x"], "[1]: Input should be a valid integer"), (list[int], [1, "2"], "[1]: Input should be a valid integer"),
    (list[int], (1,), "expected list[int], got tuple"), (list[int], {1}, "expected list[int], got set"),
    (set[int], [1], "expected set[int], got list"), (tuple[int, str], (1,), None), (tuple[int, str], (1, "a", "b"), None),
    (tuple[int, ...], [1], None), (dict[str, int], {"a": "x"}, "a: Input should be a valid integer"), (dict[str, int], {1: 1}, None),
    (dict[str, list[int]], {"a": [1, None]}, "a[1]: Input should be a valid integer, got NoneType"), (Sequence[int], ["1"], None),
    (Item, {"sku": "a"}, "Input should be an instance of Item, got dict"), (Item, None, "Input should be an instance of Item, got NoneType"),
    (Item, Lookalike(), "Input should be an instance of Item, got Lookalike"), (Item, Order(id=1), "Input should be an instance of Item, got Order"),
    (Item, Arbitrary(), "Input should be an instance of Item, got Arbitrary"), (Item, Unspeakable(), None),
    (Gift, Item(sku="a"), "Input should be an instance of Gift, got Item"), (Item | None, Lookalike(), "Input should be an instance of Item, got Lookalike"),
    (list[Item], [Item(sku="a"), Lookalike()], "[1]: Input should be an instance of Item, got Lookalike"),
    (list[Item], Item(sku="a"), "Input should be a valid list, got Item"), (list[Item], (Item(sku="a"),), "Input should be a valid list, got tuple"), (Sequence[Item], (Lookalike(),), "[0]: Input should be an instance of Item, got Lookalike"),
    (dict[str, Item], {"k": Lookalike()}, "k: Input should be an instance of Item, got Lookalike"),
    (tuple[int, Item], (1, Lookalike()), "[1]: Input should be an instance of Item, got Lookalike"),
    (tuple[Item, ...], (Lookalike(),), "[0]: Input should be an instance of Item, got Lookalike"),
    (Annotated[Item, "note"], Lookalike(), "Input should be an instance of Item, got Lookalike"), (Item | Order, Lookalike(), None),
    (Box[int], Box(value="x"), "value: Input should be a valid integer"), (Box[int], Item(sku="a"), "Input should be an instance of Box, got Item"),
    (Parcel, ParcelLookalike(1.0), "Input should be an instance of Parcel, got ParcelLookalike"), (Parcel, Parcel("x"), "weight: Input should be a valid number"),
    (Point, PointLookalike(1), "Input should be an instance of Point, got PointLookalike"), (Point, (1, 2), "Input should be an instance of Point, got tuple"),
    (Movie, {}, "title: Field required (when read back)"), (Movie, {"title": 1}, "title: Input should be a valid string"),
    (Namesakes, Namesakes.model_construct(type=1), "type: Input should be a valid string, got int"), (Order, Order.model_construct(id="7"), "id: Input should be a valid integer"),
    (Order, Order.model_construct(id=1, items=[Item.model_construct(sku=5)]), "items[0].sku: Input should be a valid string"),
    (Order, Order.model_construct(id=1, items=(Item(sku="a"),)), "items: expected list[Item], got tuple"),
    (Iterable[int], "ab", "expected a list, got str"), (Iterable[int], {"a": 1}, "expected a list, got dict"), (Iterable[int], 5, "expected a list, got int"),
    (Iterable[int], (n for n in [1]), "expected a list, got generator"), (Iterable[int], (1, "x"), "[1]: Input should be a valid integer"),
    (Annotated[int, Field(gt=0)], -1, "Input should be greater than 0 (when read back)"),
    (Hidden, Hidden(id=1, inside="s"), "inside: Field required (when read back)"),
    (dict[tuple[int, int], int], {(1, 2): 3}, "Input should be a valid array, got str (when read back)"),
]
# fmt: on


@pytest.mark.parametrize(("type_", "value", "line"), WRONG_TYPES, ids=range(len(WRONG_TYPES)))
def test_refuses_another_type(type_: Any, value: object, line: str | None) -> None:
    """A value that is not of the declared type is refused, with the path of what is wrong."""
    problems = problems_of(type_, value)

    assert line is None or any(line in problem for problem in problems), problems


NAN = "nan is no JSON number"
NUL = "the NUL character cannot be stored"
SURROGATE = "a lone surrogate is no text"
MASKED = "a secret would be stored as asterisks"
HUGE = "an integer of more than 4,300 digits"
UNWRITABLE = "cannot be written as JSON"


async def forget() -> int:
    """Be called without an await."""
    return 1


# fmt: off
UNSTORABLE = [
    (float, math.nan, NAN), (float, math.inf, "inf is no JSON number"), (float, -math.inf, "-inf is no JSON number"),
    (float | None, math.nan, NAN), (Any, math.nan, NAN), (object, [math.nan], "[0]: " + NAN), (list[float | None], [None, math.nan], "[1]: " + NAN),
    (Order, Order(id=1, weight=math.nan), "weight: " + NAN), (Order, Order(id=1, extra={"a": [1, {"b": math.nan}]}), "extra.a[1].b: " + NAN),
    (Order, Order(id=1, extra=Order(id=2, weight=math.nan)), "extra.weight: " + NAN), (Any, Order(id=1, weight=math.nan), "weight: " + NAN),
    (Constants, Constants(value=math.nan), "value: " + NAN), (Strings, Strings(value=math.inf), "value: inf"),
    (Open, Open(id=1, more=math.nan), "more: " + NAN), (Base64Config, Base64Config(data=b"\xff", ratio=math.nan), "ratio: " + NAN),
    (Sequence[float | None], (math.nan,), "[0]: " + NAN), (Parcel, Parcel(math.nan), "weight: " + NAN), (Point | float | None, math.nan, NAN),
    (dict[str, Any], {"a": {1, math.nan}}, NAN), (Any, {"bytes": b"ok", "x": ["NaN", "\ufffd", math.nan]}, "x[2]: " + NAN),
    (Namesakes, Namesakes(metadata=math.nan), "metadata: " + NAN), (Namesakes, Namesakes(default=math.nan), "default: " + NAN),
    (Namesakes, Namesakes(function=math.nan), "function: " + NAN), (Namesakes, Namesakes(computed_fields=math.nan), "computed_fields: " + NAN),
    (dict[int, Any], {7: math.nan}, "[7]: " + NAN), (dict[int, Any], {HUGE_NUMBER: math.nan}, "[int]: " + NAN), (dict[float, Any], {0.5: math.nan}, "[0.5]: " + NAN),
    (dict[Any, Any], {Unspeakable(): math.nan}, "[Unspeakable]: " + NAN), (Any, [Frozen(1), math.nan], "[1]: " + NAN), (Decimal, Decimal("NaN"), "finite number (when read back)"),
    (str, "a\0", NUL), (Item, Item(sku="\0"), "sku: " + NUL), (dict[str, int], {"a\0": 1}, "['a\\x00']: the key: " + NUL), (Any, [["\\\0"]], "[0][0]: " + NUL),
    (Annotated[str, PlainSerializer(lambda s: s + "\0", when_used="json")], "a", "it contains the NUL character"),
    (str, "\ud800", SURROGATE), (Item, Item.model_construct(sku="a\udfff"), "sku: " + SURROGATE), (Any, ["\ud800", {"b": "\ud800"}], "[0]: " + SURROGATE),
    (dict[str, int], {"\ud800": 1}, "['\\ud800']: the key: " + SURROGATE), (Any, {"k": {"\ud800": 1}}, "k['\\ud800']: the key: " + SURROGATE),
    (int, HUGE_NUMBER, HUGE), (int, -(HUGE_NUMBER), HUGE), (list[Any], [1, HUGE_NUMBER], "[1]: " + HUGE), (Any, HUGE_NUMBER, HUGE),
    (SecretStr, SecretStr("s"), MASKED), (dict[str, SecretBytes], {"k": SecretBytes(b"s")}, "k: " + MASKED),
    (Any, Arbitrary(), "a value of type Arbitrary " + UNWRITABLE), (object, [{"k": Arbitrary()}], "[0].k: a value of type Arbitrary " + UNWRITABLE),
    (Any, Unspeakable(), "a value of type Unspeakable " + UNWRITABLE), (Order, Order(id=1, extra=print), "extra: a value of type builtin_function_or_method"),
    (bytes, b"\xff", "bytes that are no UTF-8 text; declare pydantic.Base64Bytes"), (list[Any], ["a", b"\xff"], "[1]: bytes that are no UTF-8 text"),
    (Shaky, Shaky(write="crash"), "KeyError: 'crash'"), (Shaky, Shaky(write="loop"), "RecursionError"),
    (Shaky, Shaky.model_construct(read="crash"), "KeyError: 'crash' (when read back)"), (Shaky, Shaky.model_construct(read="unspeakable"), "KeyError: (it has no text)"),
    (Shaky, Shaky.model_construct(number="x", read="crash"), "number: expected int, got str"),
    (Shaky, Shaky.model_construct(read="surrogate"), "RuntimeError: \\ud800 \\0 (when read back)"),
    (Constants, Constants.model_construct(value=Arbitrary()), "value: a value of type Arbitrary " + UNWRITABLE),
]
# fmt: on


@pytest.mark.parametrize(("type_", "value", "line"), UNSTORABLE, ids=range(len(UNSTORABLE)))
def test_refuses_what_some_storage_cannot_hold(type_: Any, value: object, line: str) -> None:
    """One set of values is accepted for all storages; the path of what is outside of it is told."""
    problems = problems_of(type_, value)

    assert any(line in problem for problem in problems), problems


def test_refuses_a_bare_nan_that_only_a_serializer_makes() -> None:
    """What a serializer of the user's writes is checked too, not only the value."""

    class Odd(BaseModel):
        model_config = ConfigDict(ser_json_inf_nan="constants")
        value: Annotated[float, PlainSerializer(lambda _: math.nan, when_used="json", return_type=float)]

    assert "a serializer wrote NaN" in problems_of(Odd, Odd(value=1.0))[0]


def test_names_ten_problems_at_most() -> None:
    """A long list of bad values gives a short message."""
    problems = problems_of(list[Any], [math.nan] * 50)

    assert [f"[{i}]" for i in range(10)] + ["and more"] == [problem.partition(":")[0] for problem in problems]


def test_messages_are_bounded_and_printable() -> None:
    """Neither a hostile key nor a long one gets into a message as it is."""
    [problem] = problems_of(dict[str, Any], {"\ud800\0" + "k" * 5000: math.nan, "k" * 5000: 1})[1:]
    assert len(problem) < 200
    problem.encode()

    assert 500 >= len(problems_of(Annotated[str, AfterValidator(lambda s: int("x" * 9000))], "a")[0]) - len(
        " (when read back)"
    )


# --------------------------------------------------------------------- limits
def test_size_limit() -> None:
    """A text of exactly the limit is stored, one byte more is not; bytes count, not characters."""
    assert '"éé"' == codec(str, max_bytes=6).encode("éé")[0]
    assert "7 bytes of JSON, the limit is 6" in problems_of(str, "éé!", max_bytes=6)[0]
    assert "16,777,217 bytes" in problems_of(str, "x" * (16 * 1024 * 1024 - 1))[0]


@pytest.mark.parametrize("depth", [1, 2, 5, 100, 190])
@pytest.mark.parametrize("filler", ["", "]" * 300, '["\\' * 300], ids=["bare", "closing", "opening"])
def test_depth_limit(depth: int, filler: str) -> None:
    """A value of exactly the limit is stored, one level more is not, whatever brackets stand in its texts."""
    within, beyond = nested(depth), nested(depth + 1)
    within.insert(0, filler)
    beyond.insert(0, filler)

    assert within == codec(Any, max_depth=depth).encode(within)[1]
    assert (f"it is nested deeper than {depth} levels",) == problems_of(Any, beyond, max_depth=depth)


def test_depth_limit_of_closed_types() -> None:
    """Types without end are bounded, and so are closed types deeper than the limit."""
    wide = [[[1] * 300] * 3]
    tree = Tree()
    for _ in range(4):
        tree = Tree(children=[tree])

    assert wide == codec(list[list[list[int]]], max_depth=3).encode(wide)[1]
    assert "deeper than 2" in problems_of(list[list[list[int]]], wide, max_depth=2)[0]
    assert tree == codec(Tree, max_depth=10).encode(tree)[1]
    assert "deeper than 9" in problems_of(Tree, tree, max_depth=9)[0]


@pytest.mark.parametrize("depth", [191, 201, 254, 255, 2_000, 100_000])
def test_depth_never_overflows(depth: int) -> None:
    """However deep, the answer is an EncodeError, never a RecursionError."""
    value = nested(depth)
    try:
        assert "nested deeper than 190 levels" in problems_of(Any, value)[0]
    finally:
        while value:  # take it apart from outside, so that freeing it does not recurse
            value = value[0]


def test_refuses_circles() -> None:
    """A value that holds itself is refused."""
    value: list[Any] = []
    value.append(value)

    assert ("it is nested deeper than 190 levels, or holds itself",) == problems_of(Any, value)


def test_looks_at_a_circle_once() -> None:
    """The search for faults ends, even in a circle that only a serializer kept from being written."""

    class Linked(BaseModel):
        link: Annotated[Any, PlainSerializer(lambda _: None, when_used="json")]

    circle: list[Any] = []
    circle.extend([circle, circle])
    assert Linked(link=None) == codec(Linked).encode(Linked(link=circle))[1]

    circle.append(math.nan)
    assert "link[2]: nan is no JSON number" in problems_of(Linked, Linked(link=circle))[0]


@pytest.mark.parametrize("bad", [{"max_bytes": 0}, {"max_depth": 0}, {"max_depth": 191}])
def test_limits_are_possible(bad: dict[str, int]) -> None:
    """Limits that nothing fits, or that the parser could not read, are refused."""
    with pytest.raises(ValueError, match="max_"):
        Limits(**bad)


# --------------------------------------------------------------------- input
def test_input_is_validated_as_pydantic_does() -> None:
    """For input a dict may stand for a model, text for a date, and any iterable for a list."""
    given = {"id": "7", "items": [{"sku": "a"}], "due": "2026-01-02T03:04:05.000006Z"}
    order = Order(id=7, items=[Item(sku="a")], due=MOMENT)

    assert order == codec(Order).encode_input(given)[1]
    assert order == codec(Order).encode_input(order)[1]
    assert [0, 1] == codec(Iterable[int]).encode_input(n for n in range(2))[1]
    assert '{"first":1,"second":2}' == codec(Aliased).encode_input({"second": 1, "zwei": 2})[0]


@pytest.mark.parametrize(
    ("type_", "value", "problems"),
    [
        (Order, {"id": "x", "items": [{"count": 1}]},
         ["id: Input should be a valid integer, unable to parse string as an integer", "items[0].sku: Field required"]),
        (int, "x", ["Input should be a valid integer, unable to parse string as an integer"]),
        (float, math.nan, ["nan is no JSON number; use None or another finite value"]),
        (Order, {"id": 1, "extra": ["a\0"]}, ["extra[0]: the NUL character cannot be stored; remove it"]),
        (Shaky, {"read": "crash"}, ["KeyError: 'crash'"]),
    ],
)  # fmt: skip
def test_bad_input_is_told_by_path(type_: Any, value: object, problems: list[str]) -> None:
    """Input that does not validate, or cannot be stored, is an InvalidInputError with its paths."""
    with pytest.raises(InvalidInputError) as caught:
        codec(type_).encode_input(value)

    assert tuple(problems) == caught.value.problems


# --------------------------------------------------------------------- reading
def test_reads_items_as_one_list() -> None:
    """The texts of items are read as a list or tuple of them; none are an empty one."""
    texts = [codec(Item).encode(Item(sku=name))[0] for name in "ab"]

    assert [Item(sku="a"), Item(sku="b")] == codec(list[Item]).decode_items(texts)
    assert (1, "a") == codec(tuple[int, str]).decode_items(["1", '"a"'])
    assert [] == codec(list[Item]).decode_items([])


def test_joins_the_deepest_items() -> None:
    """An item at the depth limit can still be read as part of a list of lists."""
    text = codec(Any).encode(nested(190))[0]

    assert 10 * [[nested(190)]] == codec(list[Any]).decode_items([f"[{text}]"] * 10)


@pytest.mark.parametrize(
    ("type_", "text", "problem"),
    [
        (Item, '{"sku":"a","count":"x"}', "count: Input should be a valid integer"),
        (list[Item], '[{"sku":"a"},{}]', "[1].sku: Field required"),
        (int, "", "Invalid JSON"),
        (int, '"\ud800"', "unable to parse raw data as a unicode string"),
        (Any, "[" * 202 + "]" * 202, "recursion limit"),
        (Shaky, '{"read":"crash"}', "KeyError: 'crash'"),
    ],
    ids=range(6),
)
def test_names_what_does_not_fit_any_more(type_: Any, text: str, problem: str) -> None:
    """A stored value that is not of the declared type is a DecodeError that names it, never None or a dict."""
    with pytest.raises(DecodeError) as caught:
        codec(type_).decode(text)

    assert (WHAT, True) == (caught.value.what, problem in caught.value.problems[0]), caught.value.problems


# --------------------------------------------------------------------- types
OLD_TYPED: list[tuple[Any, list[str]]] = []
"""What pydantic reads from Python 3.12 on."""
if sys.version_info < (3, 12):
    OLD_TYPED.append((list[OldTyped], ["list[OldTyped]", "must be that of typing_extensions"]))


@pytest.mark.parametrize(
    ("type_", "words"),
    [
        (Arbitrary, ["Arbitrary", "pydantic model"]),
        (list[Arbitrary], ["list[Arbitrary]"]),
        (Frozen, ["Frozen", "attrs"]),
        (AsyncIterator[int], ["AsyncIterator[int]"]),
        (Iterator[int], ["Iterator[int]"]),
        (Incomplete, ["Incomplete", "Nowhere"]),
        (dict[str, Iterable[int]], ["Iterable", "declare a list"]),
        *OLD_TYPED,
    ],
    ids=str,
)
def test_refuses_types_at_definition(type_: Any, words: list[str]) -> None:
    """A type that cannot be stored is refused when the door is built, with its name and what to do."""
    with pytest.raises(DefinitionError) as caught:
        codec(type_)

    assert [] == [word for word in [WHAT, *words] if word not in str(caught.value)]


def test_json_schema() -> None:
    """The JSON schema tells what is accepted as input; a type that has none is a DefinitionError."""
    assert {"type": "array", "items": {"type": "integer"}} == codec(list[int]).json_schema()
    assert {"second", "zwei"} == codec(Aliased).json_schema()["properties"].keys()
    with pytest.raises(DefinitionError, match="has no JSON schema"):
        codec(Callable[[], int]).json_schema()
    assert {"type": "string"} == codec(
        Annotated[Callable[[], int], WithJsonSchema({"type": "string"})]
    ).json_schema()


# --------------------------------------------------------------------- untyped data
def test_untyped_data() -> None:
    """Untyped data is written as JSON, a model with its computed fields, and read as plain data."""
    text = to_json_text({"area": Area(width=2), "at": MOMENT, "none": None, "t": (1, 2.5)}, what="event")

    assert (
        '{"area":{"width":2,"doubled":4},"at":"2026-01-02T03:04:05.000006Z","none":null,"t":[1,2.5]}' == text
    )
    assert {
        "area": {"width": 2, "doubled": 4},
        "at": "2026-01-02T03:04:05.000006Z",
        "none": None,
        "t": [1, 2.5],
    } == from_json_text(text)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (math.nan, NAN),
        ({"a": Order(id=1, weight=math.nan)}, "a.weight: " + NAN),
        (["\0"], "[0]: " + NUL),
        ({"\ud800": 1}, "the key: " + SURROGATE),
        ([HUGE_NUMBER], "[0]: " + HUGE),
        (Arbitrary(), UNWRITABLE),
        (Item.model_construct(sku=1), "expected str, got int"),
        ([*nested(191), "x" * 400], "deeper than 190"),
        ("x" * (16 * 1024 * 1024), "bytes of JSON"),
    ],
    ids=["nan", "nan in a model", "nul", "key", "huge", "unknown", "wrong field", "deep", "large"],
)
def test_untyped_data_is_refused_alike(value: object, problem: str) -> None:
    """The accepted set is that of typed values, and the message names the data."""
    with pytest.raises(EncodeError) as caught:
        to_json_text(value, what="event PACKED")

    assert ("event PACKED", True) == (caught.value.what, problem in caught.value.problems[0]), (
        caught.value.problems
    )


@pytest.mark.parametrize("text", ["", "{", "[NaN]", "[Infinity]", '"\\ud800"', "1" * 4301, "[" * 201])
def test_text_that_is_no_json(text: str) -> None:
    """Text that is no JSON is a DecodeError."""
    with pytest.raises(DecodeError, match="JSON data"):
        from_json_text(text)


# --------------------------------------------------------------------- properties
good_texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
good_leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), good_texts,
    st.sampled_from(["NaN", "Infinity", "null", "\\u0000", "\ufffd", "*" * 10, "[[", '"]}']),
)  # fmt: skip
json_values = st.recursive(
    good_leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(good_texts, inner, max_size=4),
    max_leaves=25,
)
huge_numbers = st.integers(4300, 5000).map(lambda digits: 10**digits)
bad_leaves = huge_numbers | st.sampled_from(
    [math.nan, math.inf, -math.inf, "a\0", "\ud800", "x\udfff", b"\xff", Arbitrary(), SecretStr("s")]
)
strange_leaves = good_leaves | bad_leaves | st.sampled_from(
    [b"ok", MOMENT, Decimal("NaN"), 1j, range(3), print, int, KeyError("x"), {1, math.nan}, Order(id=1, weight=math.nan),
     Order.model_construct(id="x"), Lookalike(), Gift(sku="a"), Parcel(math.inf), Point(1), Shaky(write="crash"), Shaky(write="loop"),
     Frozen(1), Color.RED, Hidden(id=1, inside="\0"), float, ..., Size.SMALL]
)  # fmt: skip
strange_keys = good_texts | st.sampled_from(
    ["\0", "\ud800", 1, 1.5, math.nan, None, True, (1, 2), b"\xff", MOMENT, Color.RED, Arbitrary()]
)
strange_values = st.recursive(
    strange_leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(strange_keys, inner, max_size=3), st.tuples(inner, inner), st.lists(inner).map(iter),
        st.builds(lambda extra: Order(id=1, extra=extra), inner), st.builds(lambda v: Order.model_construct(id=v, items=v, weight=v), inner),
    ),
    max_leaves=10,
)  # fmt: skip
TYPES = [
    Any, object, int, str, float, float | None, bytes, list[Any], list[Item], dict[str, Any], dict[str, float | None], Iterable[Any],
    Order, Item | None, Tree, Parcel, Point, Movie, Shaky, Hidden, Open, Constants, Strings, tuple[int, Item], int | str | None, Decimal,
    set[int], Union[Item, Order, Point], Color, datetime, SecretStr, Base64Config, Box[Any], Polymorphic,  # noqa: UP007  # the older spelling is meant
]  # fmt: skip
DOORS = [codec(type_) for type_ in TYPES]


@given(json_values)
@example({"a": [None, "NaN", {"\ufffd": "\\u0000"}]})
def test_json_like_values_come_back(value: object) -> None:
    """Every value that JSON can hold comes back as it was, bare, inside a model and without a type."""
    text, copy = ANYTHING.encode(value)
    boxed_text, boxed = BOXES.encode(Box[Any](value=value))

    assert [value] * 5 == [
        copy, ANYTHING.decode(text), boxed.value, BOXES.decode(boxed_text).value, from_json_text(to_json_text(value, what="event"))
    ]  # fmt: skip


ANYTHING, BOXES = codec(Any), codec(Box[Any])


@given(st.builds(Order, id=st.integers(), items=st.lists(st.builds(Item, sku=good_texts, count=st.integers())),
                 weight=st.none() | st.floats(allow_nan=False, allow_infinity=False), extra=json_values,
                 due=st.none() | st.datetimes(timezones=st.just(UTC))))  # fmt: skip
def test_models_come_back(order: Order) -> None:
    """Every model that validates and holds what JSON can hold comes back equal, alone and as item of a list."""
    text, copy = ORDERS.encode(order)

    assert [order, order, [order]] == [copy, ORDERS.decode(text), ORDER_LISTS.decode_items([text])]


ORDERS, ORDER_LISTS = codec(Order), codec(list[Order])


@given(st.data())
def test_one_bad_leaf_is_found(data: st.DataObject) -> None:
    """Wherever a bad leaf stands, the value is refused and its path is told."""
    value: Any = data.draw(bad_leaves)
    path = ""
    for _ in range(data.draw(st.integers(0, 5))):
        around = data.draw(st.lists(json_values, max_size=3))
        if data.draw(st.booleans()):
            value, path = [*around, value], f"[{len(around)}]{path}"
        else:
            value, path = {**dict(zip("abc", around, strict=False)), "key": value}, f".key{path}"

    problems = problems_of(Any, value)

    path = path.removeprefix(".")
    assert any(problem.startswith(f"{path}: " if path else "") for problem in problems), problems


@given(st.sampled_from(range(len(TYPES))), strange_values)
@example(0, float("nan"))
def test_nothing_but_an_encode_error(index: int, value: object) -> None:
    """Any value is stored as strict JSON that reads back as its copy, or is refused with an EncodeError."""
    door = DOORS[index]
    for encode in (door.encode, door.encode_input):
        outcome = outcome_of(encode, value)
        if isinstance(outcome, EncodeError):
            assert outcome.problems
            str(outcome).encode()
        else:
            text, copy = outcome
            json.loads(text, parse_constant=pytest.fail)
            text.encode()
            assert [copy, copy] == [door.decode(text), door.encode(copy)[1]]


def outcome_of(encode: Callable[[object], tuple[str, Any]], value: object) -> tuple[str, Any] | EncodeError:
    try:
        return encode(value)
    except EncodeError as error:
        return error


def test_a_forgotten_await_is_guessed() -> None:
    """What a body gave is the call itself, and not what it comes to."""
    call = forget()
    with pytest.raises(
        EncodeError, match="type coroutine cannot be written as JSON; is an await missing before it"
    ):
        ValueCodec(Any, what="output").encode(call)
    call.close()
