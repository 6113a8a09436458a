"""What a callable takes and gives, read from its annotations, and whether one type fits another.

``accepts`` is no type checker. It repeats, for those who do not run one, the refusals that are beyond doubt;
what it does not understand it lets pass.
"""

from __future__ import annotations

import inspect
import types
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
    MutableSequence,
    MutableSet,
    Sequence,
)
from collections.abc import Set as AbstractSet
from enum import Enum
from functools import partial
from typing import (
    Annotated,
    Any,
    Literal,
    Never,
    NewType,
    NoReturn,
    TypeVar,
    Union,
    Unpack,
    get_args,
    get_origin,
    get_type_hints,
)

import attrs

from phaseline.errors import DefinitionError

_EMPTY = inspect.Parameter.empty
_UNIONS = (Union, types.UnionType)
_COLLECTIONS = frozenset(
    {list, set, frozenset, deque, Sequence, MutableSequence, Iterable, Collection, AbstractSet, MutableSet}
)
"""Classes whose only type argument is the type of what they hold."""
_FIRST_IS_ITEM = _COLLECTIONS | {dict, Mapping, MutableMapping, Iterator, Generator}
"""Classes whose first type argument is the type of what iteration gives."""
_WIDER: Mapping[type, tuple[type, ...]] = {float: (int,), complex: (int, float)}
"""PEP 484: an int may stand where a float is wanted, and both where a complex is."""


# --------------------------------------------------------------------- callables
@attrs.frozen
class Signature:
    """What a callable takes and gives."""

    inputs: tuple[Any, ...]
    """Types of the values it takes by position: its parameters without a default, or else the first one."""
    output: Any
    """Type of what a call gives, or, of an async callable, of what awaiting it gives."""
    context: str | None
    """Name of the parameter that takes the context; it is passed by this name."""
    is_async: bool
    """Whether what a call gives is to be awaited."""


def signature_of(
    fn: Callable[..., Any], *, context_type: type, what: str, localns: Mapping[str, Any] | None = None
) -> Signature:
    """Read a function, method, ``functools.partial`` or callable object.

    Args:
        fn: What is to be called.
        context_type: A parameter annotated with it, or with a subclass of it, is the context.
        what: How messages name the callable.
        localns: Names of an enclosing function that its annotations may use.

    Raises:
        DefinitionError: It cannot be called with values and a context, or its annotations are missing or unreadable.
    """
    called = _called(fn)
    function = inspect.unwrap(called)  # the one that carries the annotations
    if reason := _refusal(function):
        raise DefinitionError(f"{what} is {reason}")
    hints = _hints_of(function, what, localns)
    inputs: list[inspect.Parameter] = []
    context: str | None = None
    for parameter in _parameters_of(fn, what):
        if _is_context(hints.get(parameter.name), context_type):
            _check_context(parameter, context, what)
            context = parameter.name
        elif parameter.kind is not parameter.KEYWORD_ONLY or parameter.default is _EMPTY:
            _check_value(parameter, context, hints, what)
            inputs.append(parameter)
    if "return" not in hints:
        raise DefinitionError(f"{what}: what it returns has no annotation; write '-> Type', or '-> None'")
    is_coroutine = inspect.iscoroutinefunction(called) or inspect.iscoroutinefunction(function)
    awaited = None if is_coroutine else _awaited(hints["return"])
    required = [parameter for parameter in inputs if parameter.default is _EMPTY] or inputs[:1]
    return Signature(
        inputs=tuple(hints[parameter.name] for parameter in required),
        output=hints["return"] if awaited is None else awaited,
        context=context,
        is_async=is_coroutine or awaited is not None,
    )


def returned_type(fn: Callable[..., Any], *, what: str) -> Any | None:
    """Give the type of what a call gives, or of what awaiting that gives; None if nothing is said of it.

    Args:
        fn: A function, method, class, ``functools.partial`` or callable object.
        what: How messages name what is returned.

    Raises:
        DefinitionError: Its annotation cannot be read.
    """
    while isinstance(fn, partial):
        fn = fn.func
    if isinstance(fn, type):
        return fn
    function = inspect.unwrap(_called(fn))
    if "return" not in getattr(function, "__annotations__", {}):
        return None
    returned = _hints_of(function, what, None)["return"]
    awaited = None if inspect.iscoroutinefunction(function) else _awaited(returned)
    returned = returned if awaited is None else awaited
    return None if returned in (Any, object) or isinstance(returned, TypeVar) else returned


def _called(fn: Any) -> Any:
    """Give the function or method that a call of ``fn`` ends in."""
    while isinstance(fn, partial):
        fn = fn.func
    return fn if inspect.isroutine(fn) or isinstance(fn, type) else type(fn).__call__


def _refusal(function: Any) -> str | None:
    if isinstance(function, type):
        return "a class; write a function that makes an instance of it: def ..."
    if getattr(function, "__name__", None) == "<lambda>":
        return "a lambda, which has no types; give it a name: def ..."
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return "a generator, which hands nothing on that could be stored; return a list"
    return None


def _hints_of(function: Any, what: str, localns: Mapping[str, Any] | None) -> dict[str, Any]:
    try:
        return get_type_hints(
            function, localns=None if localns is None else dict(localns), include_extras=True
        )
    except NameError as error:
        raise DefinitionError(
            f"{what}: the type {error.name!r} in its annotations cannot be found; define or import it at module level, "
            "and not under TYPE_CHECKING"
        ) from error
    except Exception as error:  # an annotation is any expression, so any error may come of it
        raise DefinitionError(
            f"{what}: its annotations cannot be read: {type(error).__name__}: {error}"
        ) from error


def _parameters_of(fn: Callable[..., Any], what: str) -> Iterable[inspect.Parameter]:
    try:
        return inspect.signature(fn).parameters.values()
    except (TypeError, ValueError) as error:
        raise DefinitionError(
            f"{what}: Python cannot tell its parameters; call it from a function: def ..."
        ) from error


def _members(t: Any) -> tuple[Any, ...]:
    t = _plain(t)
    return get_args(t) if get_origin(t) in _UNIONS else (t,)


def _is_context(hint: Any, context_type: type) -> bool:
    members = [member for member in _members(hint) if member is not type(None)]
    return bool(members) and all(isinstance(m, type) and issubclass(m, context_type) for m in members)


def _check_context(parameter: inspect.Parameter, other: str | None, what: str) -> None:
    name = parameter.name
    if other is not None:
        raise DefinitionError(
            f"{what}: {other!r} and {name!r} are both annotated as the context; keep one of them"
        )
    if parameter.kind is parameter.POSITIONAL_ONLY:
        raise DefinitionError(
            f"{what}: the context is passed by name, but {name!r} is positional-only; move the '/'"
        )


def _check_value(
    parameter: inspect.Parameter, context: str | None, hints: Mapping[str, Any], what: str
) -> None:
    name = parameter.name
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
        raise DefinitionError(f"{what}: {stars}{name} does not say what it takes; name each parameter")
    if parameter.kind is parameter.KEYWORD_ONLY:
        raise DefinitionError(
            f"{what}: values are passed by position, but {name!r} is keyword-only; give it a default"
        )
    if name not in hints:
        kind = "Context" if name in ("ctx", "context") else "Type"
        raise DefinitionError(f"{what}: the parameter {name!r} has no annotation; write '{name}: {kind}'")
    if context is not None and parameter.default is _EMPTY:
        raise DefinitionError(
            f"{what}: the value {name!r} stands after the context; write ({name}, {context})"
        )


def _awaited(returned: Any) -> Any:
    """Give what awaiting a value of this type gives; None if it cannot be awaited."""
    plain = _plain(returned)
    origin = get_origin(plain) or plain
    if origin not in (Awaitable, Coroutine):
        return None
    return (get_args(plain) or (Any,))[-1]


# --------------------------------------------------------------------- types
def accepts(target: Any, source: Any) -> bool:
    """Tell whether a value declared ``source`` may be handed to a parameter declared ``target``.

    False means that a type checker refuses it, too; what is not understood here is accepted.
    Type arguments are compared as covariant: ``list[Dog]`` fits ``list[Animal]``.
    """
    return _fits(target, source, ())


_Seen = tuple[tuple[Any, Any], ...]


def _fits(target: Any, source: Any, seen: _Seen) -> bool:  # noqa: PLR0911  # one return for each kind of type
    if _is_alias(target) or _is_alias(source):
        if any(target is t and source is s for t, s in seen):
            return True  # a recursive alias: nothing on the way round spoke against it
        seen = (*seen, (target, source))
    target, source = _plain(target), _plain(source)
    if target in (Any, object) or source in (Any, Never, NoReturn) or target == source:
        return True
    if get_origin(source) in _UNIONS:
        return all(_fits(target, member, seen) for member in get_args(source))
    if get_origin(source) is Literal:
        return all(_fits_value(target, value, seen) for value in get_args(source))
    if get_origin(target) in _UNIONS:
        return any(_fits(member, source, seen) for member in get_args(target))
    if isinstance(target, NewType) or isinstance(source, NewType):
        return _fits_new_type(target, source, seen)
    if isinstance(target, TypeVar) or isinstance(source, TypeVar):
        return _fits_variable(target, source, seen)
    if get_origin(target) is Literal:  # that all of them are named is not checked
        return any(type(value) is source and isinstance(value, bool | Enum) for value in get_args(target))
    return _fits_class(target, source, seen)


def _fits_value(target: Any, value: object, seen: _Seen) -> bool:
    target = _plain(target)
    if get_origin(target) in _UNIONS:
        return any(_fits_value(member, value, seen) for member in get_args(target))
    if get_origin(target) is Literal:
        return any(type(value) is type(known) and value == known for known in get_args(target))
    return _fits(target, type(value), seen)


def _fits_new_type(target: Any, source: Any, seen: _Seen) -> bool:
    if not isinstance(source, NewType):
        return _fits(target.__supertype__, source, seen)
    if not isinstance(target, NewType):
        return _fits(target, source.__supertype__, seen)
    base = source.__supertype__
    return isinstance(base, NewType) and _fits(target, base, seen)


def _fits_variable(target: Any, source: Any, seen: _Seen) -> bool:
    variable, other = (target, source) if isinstance(target, TypeVar) else (source, target)
    bounds = variable.__constraints__ or (Any if variable.__bound__ is None else variable.__bound__,)
    return any(
        _fits(bound, other, seen) or (variable is source and _fits(other, bound, seen)) for bound in bounds
    )


def _fits_class(target: Any, source: Any, seen: _Seen) -> bool:  # noqa: PLR0911  # as above
    wanted, wanted_args = _class_and_arguments(target)
    given, given_args = _class_and_arguments(source)
    if not isinstance(wanted, type) or not isinstance(given, type):
        return True
    if any(getattr(known, "_is_protocol", False) for known in (wanted, given)):
        return True
    if _is_typed_dict(target):
        keys: frozenset[str] = target.__required_keys__
        return keys <= source.__annotations__.keys() if _is_typed_dict(source) else issubclass(given, Mapping)
    if not issubclass(given, (wanted, *_WIDER.get(wanted, ()))):
        return False
    if not wanted_args:
        return True
    if wanted in _COLLECTIONS:
        item = _item_type(given, given_args)
        return item is None or _fits(wanted_args[0], item, seen)
    if wanted is tuple:
        return given is not tuple or not given_args or _fits_tuple(wanted_args, given_args, seen)
    if len(given_args) != len(wanted_args) or (wanted is not given and not issubclass(wanted, Mapping)):
        return True
    return all(_fits(w, g, seen) for w, g in zip(wanted_args, given_args, strict=True))


def _fits_tuple(wanted: tuple[Any, ...], given: tuple[Any, ...], seen: _Seen) -> bool:
    if any(get_origin(item) is Unpack or getattr(item, "__unpacked__", False) for item in (*wanted, *given)):
        return True
    if wanted[-1] is ...:
        return all(_fits(wanted[0], item, seen) for item in given if item is not ...)
    if given[-1] is ...:
        return all(_fits(item, given[0], seen) for item in wanted)
    return len(wanted) == len(given) and all(_fits(w, g, seen) for w, g in zip(wanted, given, strict=True))


def _item_type(given: type, args: tuple[Any, ...]) -> Any | None:
    """Give the type of what iterating over an instance gives; None if it cannot be told."""
    if issubclass(given, str):
        return str
    if issubclass(given, bytes | bytearray):
        return int
    if given is tuple and args:
        return Union[tuple(item for item in args if item is not ...)]  # noqa: UP007  # of members known at run time only
    return _not_none(args[0]) if given in _FIRST_IS_ITEM and args else None


def _class_and_arguments(t: Any) -> tuple[Any, tuple[Any, ...]]:
    if _is_typed_dict(t):
        return dict, ()
    generic: Mapping[str, Any] = getattr(t, "__pydantic_generic_metadata__", None) or {}
    if generic.get("origin") is not None:
        return generic["origin"], tuple(generic["args"])
    return get_origin(t) or t, get_args(t)


def element_type(t: Any) -> Any | None:
    """Give ``X`` for ``list[X]``, ``Sequence[X]``, ``Iterable[X]``, ``tuple[X, ...]``, ``set[X]`` and their like.

    None if the type is not one iterable of things of one type: text, mappings, fixed tuples, unions, other classes.
    """
    t = _plain(t)
    args, origin = get_args(t), get_origin(t) or t
    if isinstance(t, NewType):
        return element_type(t.__supertype__)
    if origin is tuple:
        if not args:
            return Any if t is tuple else None
        return _not_none(args[0]) if args[-1] is ... else None
    if origin not in _COLLECTIONS:
        return None
    return _not_none(args[0]) if args else Any


def common_type(types_: Sequence[Any]) -> Any | None:
    """Give the widest type known here that may be handed to parameters of all these types; None if there is none."""
    for candidate in sorted(types_, key=lambda t: t is Any):
        if all(accepts(other, candidate) for other in types_):
            return candidate
    members = [member for t in types_ for member in _members(t)]
    fitting = [member for member in members if all(accepts(other, member) for other in types_)]
    return Union[tuple(fitting)] if fitting else None  # noqa: UP007  # of members known at run time only


def type_name(t: Any) -> str:  # noqa: PLR0911  # one return for each kind of type
    """Write a type as one would in code: ``list[Subtask]``, ``int | None``."""
    origin, args = get_origin(t), get_args(t)
    if t in (None, type(None)):
        return "None"
    if t is ...:
        return "..."
    if isinstance(t, str):
        return t
    if isinstance(t, list):
        return f"[{_names(t)}]"  # pyright: ignore[reportUnknownArgumentType]  # the parameters of a Callable
    if origin is Annotated:
        return type_name(args[0])
    if origin in _UNIONS:
        return " | ".join(type_name(member) for member in args)
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, args))}]"
    if origin is not None and args:
        return f"{type_name(origin)}[{_names(args)}]"
    name: str | None = getattr(t, "__name__", None)
    return name or repr(t).removeprefix("typing.")


def _names(args: Iterable[Any]) -> str:
    return ", ".join(type_name(argument) for argument in args)


def _plain(t: Any) -> Any:
    """Look through ``Annotated`` and aliases; None stands for its type."""
    while True:
        if get_origin(t) is Annotated:
            t = get_args(t)[0]
        elif _is_alias(t):
            t = t.__value__
        else:
            return _not_none(t)


def _not_none(t: Any) -> Any:
    """Give the type that None stands for in an annotation."""
    return type(None) if t is None else t


def _is_typed_dict(t: Any) -> bool:
    # By its look: the TypedDict of typing_extensions is another one than that of typing.
    return isinstance(t, type) and hasattr(t, "__required_keys__")


def _is_alias(t: Any) -> bool:
    # By its look: typing has the class from Python 3.12 on, and typing_extensions one of its own before.
    return type(t).__name__ == "TypeAliasType"
