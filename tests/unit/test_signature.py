"""What a callable takes and gives, and whether one type fits another."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import (
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
    Sequence,
)
from enum import Enum
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    Never,
    NewType,
    NotRequired,
    Optional,
    ParamSpec,
    Protocol,
    TypeVar,
    TypeVarTuple,
    Union,
    Unpack,
)

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from typing_extensions import TypeAliasType as Alias
from typing_extensions import TypedDict

from phaseline._values.signature import Signature, accepts, element_type, signature_of, type_name
from phaseline.errors import DefinitionError

if TYPE_CHECKING:
    from decimal import Decimal

T = TypeVar("T")
P = ParamSpec("P")


class Ctx:
    """Stands for the context type."""


class OwnCtx(Ctx): ...


class Animal: ...


class Dog(Animal): ...


class Box(BaseModel, Generic[T]):
    value: T


class IntBox(Box[int]): ...


class Page(Generic[T]): ...


class IntPage(Page[int]): ...


class Point(NamedTuple):
    x: int
    y: int


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


class Named(TypedDict):
    title: str


class Numbered(TypedDict):
    number: int


class Barker(Protocol):
    def bark(self) -> str: ...


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Number(Enum):
    ONE = 1


UserId = NewType("UserId", int)
AdminId = NewType("AdminId", UserId)
OrderId = NewType("OrderId", int)
Names = NewType("Names", list[str])
Bound = TypeVar("Bound", bound=Animal)
Either = TypeVar("Either", int, str)
Ts = TypeVarTuple("Ts")
Ints = Alias("Ints", list[int])
Pair = Alias("Pair", tuple[T, T], type_params=(T,))


class TypeAliasType:
    """A recursive alias, as a ``type`` statement makes them."""

    @property
    def __value__(self) -> Any:
        return dict[str, self] | int if self is Tree else dict[str, self] | int | str


Tree, Bush = TypeAliasType(), TypeAliasType()


def read(fn: Callable[..., Any], **kwargs: Any) -> Signature:
    return signature_of(fn, context_type=Ctx, what="shop.pack", **kwargs)


# --------------------------------------------------------------------- what a callable takes and gives
def plain(order: int) -> str: ...
async def coroutine(order: int, ctx: Ctx) -> list[str]: ...
def promises(order: int) -> Awaitable[str]: ...
def hands_out_coroutine(order: int) -> Coroutine[Any, Any, bytes]: ...
def promises_anything(order: int) -> Awaitable: ...
async def gives_awaitable(order: int) -> Awaitable[str]: ...
def several(a: int, b: str, ctx: OwnCtx) -> None: ...
def context_first_by_keyword(order: int, *, context: Optional[Ctx] = None, limit=5) -> int: ...  # noqa: UP045  # the older spelling is meant
def union_context(order: int, c: Ctx | OwnCtx | None) -> int: ...
def noted_context(order: int, c: Annotated[Ctx, "note"]) -> int: ...
def noted(order: Annotated[int, "note"]) -> Annotated[str, "note"]: ...
def with_setting(order: int, limit: int = 3, *, strict: bool = False) -> int: ...
def only_setting(limit: int = 3) -> int: ...
def context_then_setting(order: int, ctx: Ctx, limit: int = 3) -> int: ...
def nothing() -> None: ...
def not_the_context(order: Ctx | int) -> int: ...


class Packer:
    async def pack(self, order: int, ctx: Ctx) -> str: ...
    @staticmethod
    def weigh(order: int) -> float: ...
    @classmethod
    def of(cls, order: int) -> str: ...
    def __call__(self, order: int) -> bytes: ...


class AsyncPacker:
    async def __call__(self, order: int) -> bytes: ...


def traced(fn: Callable[P, T]) -> Callable[P, T]:
    @functools.wraps(fn)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        return fn(*args, **kwargs)

    return wrapper


def made_async(fn: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    @functools.wraps(fn)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        return fn(*args, **kwargs)

    return wrapper


class WrappedCall:
    __call__ = made_async(lambda self, order: b"")
    __call__.__wrapped__.__name__ = "call"
    __call__.__wrapped__.__annotations__ = {"order": int, "return": bytes}


NONE = type(None)


@pytest.mark.parametrize(
    ("fn", "expected"),
    [
        (plain, Signature((int,), str, None, False)),
        (coroutine, Signature((int,), list[str], "ctx", True)),
        (promises, Signature((int,), str, None, True)),
        (hands_out_coroutine, Signature((int,), bytes, None, True)),
        (promises_anything, Signature((int,), Any, None, True)),
        (gives_awaitable, Signature((int,), Awaitable[str], None, True)),
        (several, Signature((int, str), NONE, "ctx", False)),
        (context_first_by_keyword, Signature((int,), int, "context", False)),
        (union_context, Signature((int,), int, "c", False)),
        (noted_context, Signature((int,), int, "c", False)),
        (noted, Signature((Annotated[int, "note"],), Annotated[str, "note"], None, False)),
        (with_setting, Signature((int,), int, None, False)),
        (only_setting, Signature((int,), int, None, False)),
        (context_then_setting, Signature((int,), int, "ctx", False)),
        (nothing, Signature((), NONE, None, False)),
        (not_the_context, Signature((Ctx | int,), int, None, False)),
        (Packer().pack, Signature((int,), str, "ctx", True)),
        (Packer.weigh, Signature((int,), float, None, False)),
        (Packer.of, Signature((int,), str, None, False)),
        (Packer(), Signature((int,), bytes, None, False)),
        (AsyncPacker(), Signature((int,), bytes, None, True)),
        (WrappedCall(), Signature((int,), bytes, None, True)),
        (functools.partial(several, 1), Signature((str,), NONE, "ctx", False)),
        (functools.partial(functools.partial(several, 1), "b"), Signature((), NONE, "ctx", False)),
        (functools.partial(with_setting, limit=9), Signature((int,), int, None, False)),
        (functools.partial(Packer().pack, ctx=Ctx()), Signature((int,), str, "ctx", True)),
        (traced(plain), Signature((int,), str, None, False)),
        (traced(coroutine), Signature((int,), list[str], "ctx", True)),
        (made_async(plain), Signature((int,), str, None, True)),
    ],
)
def test_reads(fn: Callable[..., Any], expected: Signature) -> None:
    """Types come from the annotations, and the context is the parameter annotated so, wherever it stands."""
    assert expected == read(fn)


def test_reads_local_types() -> None:
    """Annotations may use names of the enclosing function when those are handed over."""

    class Local: ...

    def pack(order: Local) -> list[Local]: ...

    assert Signature((Local,), list[Local], None, False) == read(pack, localns=locals())


def no_parameter_type(order) -> int: ...
def no_return_type(order: int): ...
def stars(order: int, *more: int) -> int: ...
def double_stars(order: int, **more: int) -> int: ...
def keyword_only(order: int, *, limit: int) -> int: ...
def two_contexts(order: int, a: Ctx, b: Ctx) -> int: ...
def positional_context(order: int, ctx: Ctx, /) -> int: ...
def context_in_front(ctx: Ctx, order: int) -> int: ...
def unknown_type(order: Nowhere) -> int: ...  # noqa: F821  # that it is undefined is the test
def hidden_type(order: Decimal) -> int: ...
def bad_expression(order: int + 1) -> int: ...
def yields(order: int) -> Iterator[int]:
    yield order


async def yields_later(order: int) -> Any:
    yield order


# fmt: off
REFUSED = [
    (lambda order: order, ["lambda", "give it a name: def ..."]),
    (functools.partial(lambda order: order), ["lambda"]),
    (no_parameter_type, ["'order' has no annotation", "write 'order: Type'"]),
    (no_return_type, ["returns has no annotation", "'-> None'"]),
    (stars, ["*more", "name each parameter"]),
    (double_stars, ["**more"]),
    (keyword_only, ["'limit' is keyword-only", "give it a default"]),
    (two_contexts, ["'a' and 'b'", "keep one"]),
    (positional_context, ["'ctx' is positional-only"]),
    (context_in_front, ["'order' stands after the context", "(order, ctx)"]),
    (unknown_type, ["'Nowhere'", "at module level"]),
    (hidden_type, ["'Decimal'", "TYPE_CHECKING"]),
    (bad_expression, ["cannot be read", "TypeError"]),
    (yields, ["generator", "return a list"]),
    (yields_later, ["generator"]),
    (Animal, ["is a class"]),
    (len, ["'obj' has no annotation"]),
    (dict.fromkeys(()).update, ["Python cannot tell its parameters"]),
]
# fmt: on


@pytest.mark.parametrize(("fn", "words"), REFUSED)
def test_refuses_with_advice(fn: Callable[..., Any], words: Sequence[str]) -> None:
    """What cannot be called with values is refused, with the callable, the parameter and what to do."""
    with pytest.raises(DefinitionError) as caught:
        read(fn)

    message = str(caught.value)
    assert [] == [word for word in ["shop.pack", *words] if word not in message]


# --------------------------------------------------------------------- whether a type fits
FITS = [
    (Any, int), (int, Any), (object, int), (int, int), (None, NONE), (NONE, None), (int, Never),
    (Animal, Dog), (float, int), (float, bool), (complex, int), (complex, float), (int, bool),
    (int | None, int), (int | None, None), (Optional[int], int | None), (Union[int, str], str),  # noqa: UP007, UP045  # the older spelling is meant
    (int | str | None, int | None), (float | None, int | None), (list[int] | None, list[int]),
    (Annotated[int, "a"], int), (int, Annotated[int, "a"]), (list[Animal], list[Annotated[Dog, "a"]]),
    (Literal["a", "b"], Literal["a"]), (str, Literal["a", "b"]), (int | str, Literal["a", 1]),
    (Literal["a"] | None, Literal["a"] | None), (Animal | str, Literal["a"]), (Color, Literal[Color.RED]),
    (Literal[Color.RED, Color.BLUE], Color), (Literal[True, False], bool), (float, Literal[1]),
    (int, UserId), (UserId, UserId), (UserId, AdminId), (int, AdminId), (UserId, int), (float, UserId),
    (UserId | None, AdminId), (str | UserId, int), (Sequence[str], Names),
    (list, list[int]), (list[int], list), (list[Animal], list[Dog]), (list[float], list[int]),
    (Sequence[Animal], list[Dog]), (Iterable[int], list[int]), (Collection[int], set[int]),
    (Iterable[int], tuple[int, ...]), (Sequence[int], tuple[int, int]), (Sequence[int | str], tuple[int, str]),
    (Iterable[int], Iterator[int]), (Iterable[int], Generator[int, str, None]), (Iterable[str], dict[str, int]),
    (Iterable[int], deque[int]), (Iterable[str], str), (Sequence[int], bytes), (Iterable[Any], range),
    (Iterable[int], range), (Sequence[int], Point), (Iterable[int], tuple), (Iterable[object], tuple[int, str]),
    (Mapping[str, float], dict[str, int]), (Mapping[str, Animal], MutableMapping[str, Dog]), (dict, Movie),
    (Mapping[str, object], Movie), (dict[str, int], dict), (Mapping, dict[str, int]),
    (tuple[Animal, int], tuple[Dog, bool]), (tuple[int, ...], tuple[int, int]), (tuple[int, int], tuple[int, ...]),
    (tuple[int, ...], tuple[bool, ...]), (tuple, tuple[int, str]), (tuple[int, int], Point), (tuple, Point),
    (tuple[int, str], tuple), (tuple[Unpack[Ts]], tuple[int, str]), (tuple[int, *tuple[str, ...]], tuple[int]),  # noqa: UP044  # the older spelling is meant
    (T, int), (int, T), (Bound, Dog), (Dog, Bound), (Animal, Bound), (Either, int), (Either, Literal[1]),
    (Literal[1], T), (int | str, Either), (list[T], list[int]), (Animal | None, Bound),
    (Barker, int), (Dog, Barker), (Movie, Movie), (Named, Movie), (Movie, dict[str, Any]), (Movie, Mapping[str, str]),
    (Box[float], Box[int]), (Box, Box[int]), (Box[int], Box), (Box[int], IntBox), (Box[str], IntBox), (BaseModel, Box[int]),
    (Page[float], Page[int]), (Page[str], IntPage), (Page[int], Page), (type[Animal], type[Dog]),
    (Callable[[int], str], Callable[[int], str]), (Callable[[int], object], Callable[[int], str]),
    (Callable[[int], str], Packer), (Ints, list[int]), (Sequence[float], Ints), (Tree, Tree), (Bush, Tree), (Tree, int),
    (Pair[int], tuple[int, int]), ("Nowhere", int), (int, "Nowhere"), (P, int),
]  # fmt: skip

MISFITS = [
    (int, str), (int, None), (None, int), (str, int), (int, float), (bool, int), (float, complex), (Dog, Animal),
    (int, object), (Dog, object), (int, int | None), (int | None, str), (int | str, int | bytes), (int, float | int),
    (Literal["a"], Literal["b"]), (Literal["a"], Literal["a", "b"]), (Literal[1], Literal[True]), (int, Literal["a"]),
    (Literal["a"], str), (Literal[1], int), (Literal[Color.RED], Number), (None, Literal["a"]), (Literal["a"], None),
    (UserId, OrderId), (AdminId, UserId), (str, UserId), (UserId, str), (AdminId | None, OrderId), (Names, list[int]),
    (list[Dog], list[Animal]), (list[int], list[str]), (list[int], set[int]), (list[int], Sequence[int]),
    (Sequence[Dog], list[Animal]), (Iterable[int], list[str]), (Iterable[int], tuple[int, str]),
    (Iterable[int], str), (Iterable[str], bytes), (Iterable[int], dict[str, int]), (Iterable[int], Iterator[str]),
    (Iterable[int], tuple[str, ...]), (Iterable[int], int), (list[list[int]], list[list[str]]),
    (dict[str, int], dict[str, str]), (Mapping[str, int], dict[int, int]), (dict[str, int], list[int]), (dict, Mapping),
    (tuple[int, str], tuple[str, int]), (tuple[int, int], tuple[int]), (tuple[int, ...], tuple[int, str]),
    (tuple[int, int], tuple[str, ...]), (tuple[int, ...], list[int]), (Point, tuple[int, int]),
    (Bound, int), (Either, bytes), (int, Bound), (list[int], list[Bound]), (Movie, Numbered), (Movie, int), (list[str], Movie),
    (Box[int], Box[str]), (Box[int], Page[int]), (IntBox, Box[int]), (Page[int], Page[str]), (type[Dog], type[Animal]),
    (Callable[[int], str], Callable[[int], int]), (Callable[[int], str], Page), (Ints, list[str]), (list[str], Ints), (Tree, Bush), (Tree, bytes), (Color, Number),
]  # fmt: skip


@pytest.mark.parametrize(("target", "source"), FITS, ids=range(len(FITS)))
def test_accepts_what_may_fit(target: Any, source: Any) -> None:
    """A subtype fits, and so does everything that is not understood."""
    assert accepts(target, source) is True


@pytest.mark.parametrize(("target", "source"), MISFITS, ids=range(len(MISFITS)))
def test_refuses_what_cannot_fit(target: Any, source: Any) -> None:
    """What a type checker refuses for certain is refused."""
    assert accepts(target, source) is False


leaves = st.sampled_from(
    [int, str, bool, float, None, Any, object, Animal, Dog, UserId, Literal["a"], Color, Movie]
)
all_types = st.recursive(
    leaves,
    lambda inner: st.one_of(
        inner.map(lambda t: list[t]),
        inner.map(lambda t: t | None if t is not None else None),
        inner.map(lambda t: tuple[t, ...]),
        st.tuples(inner, inner).map(lambda pair: tuple[pair]),
        st.tuples(inner, inner).map(lambda pair: Union[pair]),  # noqa: UP007  # of members known at run time only
        inner.map(lambda t: Annotated[t, "note"]),
        inner.map(lambda t: dict[str, t]),
        inner.map(lambda t: Iterable[t]),
    ),
    max_leaves=5,
)


@given(all_types)
def test_every_type_fits_itself(t: Any) -> None:
    """Each type fits itself, object, Any and itself or nothing."""
    assert [True] * 4 == [accepts(target, t) for target in (t, object, Any, Union[t, None])]  # noqa: UP007  # as above


@given(all_types, all_types)
def test_any_pair_gets_an_answer(target: Any, source: Any) -> None:
    """Every pair of types gets a bool, and a list of one fits a list of the other exactly if they fit."""
    assert accepts(target, source) is accepts(list[target], list[source])


# --------------------------------------------------------------------- elements and names
@pytest.mark.parametrize(
    ("t", "expected"),
    [
        (list[int], int), (Sequence[int], int), (Iterable[Dog], Dog), (Collection[int], int), (set[str], str),
        (frozenset[str], str), (deque[int], int), (tuple[int, ...], int), (list[list[int]], list[int]), (list, Any),
        (tuple, Any), (Iterable, Any), (Annotated[list[int], "note"], int), (Names, str), (Ints, int),
        (list[int | None], int | None), (list[None], NONE), (tuple[None, ...], NONE), (str, None), (bytes, None), (dict[str, int], None), (Mapping[str, int], None),
        (tuple[int, int], None), (tuple[()], None), (Point, None), (int, None), (Dog, None), (Movie, None), (Any, None),
        (None, None), (list[int] | None, None), (Iterator[int], None), (UserId, None), (Literal["a"], None),
    ],
    ids=str,
)  # fmt: skip
def test_element_type(t: Any, expected: Any) -> None:
    """The element type is known of iterables of things of one type, and of nothing else."""
    assert expected == element_type(t)


@pytest.mark.parametrize(
    ("t", "expected"),
    [
        (int, "int"), (None, "None"), (NONE, "None"), (Dog, "Dog"), (list[Dog], "list[Dog]"), (Any, "Any"),
        (int | None, "int | None"), (Optional[int], "int | None"), (Union[int, str], "int | str"),  # noqa: UP007, UP045  # the older spelling is meant
        (dict[str, list[int]], "dict[str, list[int]]"), (tuple[int, ...], "tuple[int, ...]"), (tuple[()], "tuple"),
        (Sequence[int], "Sequence[int]"), (Annotated[int, "note"], "int"), (Literal["a", 1], "Literal['a', 1]"),
        (Box[int], "Box[int]"), (Page[int], "Page[int]"), (UserId, "UserId"), (T, "T"), (Ints, "Ints"),
        (Callable[[int, str], bool], "Callable[[int, str], bool]"), (Callable[..., int], "Callable[..., int]"),
        ("Nowhere", "Nowhere"), (list["Nowhere"], "list[Nowhere]"), (Never, "Never"), (Literal, "Literal"),  # noqa: F821  # that it is undefined is the test
        (object(), None),
    ],
    ids=lambda value: str(value).partition(" at ")[0],
)  # fmt: skip
def test_type_name(t: Any, expected: str | None) -> None:
    """A type is written as in code; what is no type, as Python shows it."""
    assert (repr(t) if expected is None else expected) == type_name(t)
