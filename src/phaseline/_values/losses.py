"""What a value would lose on the way to JSON text and back, where its type lets that happen in silence.

Four kinds of types do: a class whose subclass has more fields, one with parts that are never written, a union whose
members look alike as JSON, and a dict whose keys are no text. ``loss_finder`` makes, once for each type, the function that compares a value of it with the copy
that was read back; it looks only where something can get lost, and not into parts declared ``Any``.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import attrs
from pydantic import BaseModel

Loc = tuple[Any, ...]
Losses = Sequence[tuple[Loc, str]]
"""Where something is lost, and what."""
Compare = Callable[[Any, Any], Losses]
"""Takes a value and the copy of it that was read back."""

_EXCLUDED = "is never written (exclude=True) and would come back as something else; leave it out, or let it be written"
_PRIVATE = "is private, so never written, and would come back as something else; make it a field"
_UNION_ADVICE = "wrap it in a model of its own, or tell the members of the union apart by a Literal field"
_WRAPPERS: Mapping[str, str] = {
    "nullable": "schema",
    "default": "schema",
    "function-before": "schema",
    "function-after": "schema",
    "function-wrap": "schema",
    "json-or-python": "json_schema",
    "model-field": "schema",
    "dataclass-field": "schema",
    "typed-dict-field": "schema",
    "named-tuple-field": "schema",
}
"""Kinds of core schema that add nothing to the kind inside, by the key of that."""
_CLASSES: Mapping[str, type] = {
    "none": type(None), "bool": bool, "int": int, "float": float, "str": str, "bytes": bytes, "decimal": Decimal,
    "date": date, "datetime": datetime, "time": time, "timedelta": timedelta, "uuid": UUID,
    "list": list, "tuple": tuple, "set": set, "frozenset": frozenset, "dict": dict, "typed-dict": dict,
}  # fmt: skip
"""What a kind of core schema reads."""
_NOTHING: frozenset[int] = frozenset()
_NO_ROWS = (str, bytes, Mapping, AbstractSet)
_BY_IDENTITY: Any = object.__eq__
_HOLDERS = frozenset({list, tuple, set, frozenset, dict})


@attrs.frozen
class LossFinder:
    """Looks for losses in values of one type."""

    compare: Compare
    flat: type | None = None
    """A class whose very own instances lose nothing: they need not be compared."""


def loss_finder(schema: Any) -> LossFinder | None:
    """Give what looks for losses in values of a core schema; None if nothing can get lost."""
    return _Maker().of(schema)


class _Maker:
    def __init__(self) -> None:
        self._definitions: dict[str, Any] = {}
        self._known: dict[str, LossFinder | None] = {}

    def of(self, schema: Any) -> LossFinder | None:  # noqa: PLR0911  # one return for each kind of schema
        schema = self._bare(schema)
        match schema["type"]:
            case "definition-ref":
                return self._referred(schema["schema_ref"])
            case "model" | "dataclass" | "named-tuple":
                return self._of_class(schema)
            case "typed-dict":
                fields = schema["fields"]
                return _of_fields(
                    self._parts(fields), lambda value, name: value.get(name), _unwritten(fields)
                )
            case "list":
                return _of_list(self._inner(schema, "items_schema"))
            case "tuple":
                return self._of_tuple(schema)
            case "dict":
                return self._of_dict(schema)
            case "union":
                return self._of_union([c[0] if is_a(c, tuple) else c for c in schema["choices"]])
            case "tagged-union":
                return self._of_union(schema["choices"].values(), tagged=True)
            case kind:
                return _SIMPLE.get(kind)

    def _bare(self, schema: Any) -> Any:
        """Look through what only wraps another schema."""
        while True:
            kind = schema["type"]
            if kind == "definitions":
                self._definitions.update((known["ref"], known) for known in schema["definitions"])
                schema = schema["schema"]
            elif kind == "chain":
                schema = schema["steps"][-1]
            elif kind in _WRAPPERS:
                schema = schema[_WRAPPERS[kind]]
            else:
                return schema

    def _inner(self, schema: Any, key: str) -> LossFinder | None:
        return self.of(schema[key]) if key in schema else None

    def _referred(self, ref: str) -> LossFinder | None:
        if ref not in self._known:
            known = self._known  # what refers to itself asks for itself when it is used
            known[ref] = LossFinder(lambda v, c: () if (w := known[ref]) is None else w.compare(v, c))
            known[ref] = self.of(self._definitions[ref])
        return self._known[ref]

    def _of_class(self, schema: Any) -> LossFinder:
        cls: Any = schema["cls"]
        inner: Any = schema if schema["type"] == "named-tuple" else self._bare(schema["schema"])
        fields: Any = inner.get("fields", {})
        parts = self._parts(fields)
        if schema.get("root_model"):
            root = self.of(inner)
            parts = [] if root is None else [("root", root)]
        names = {"root", *(fields if is_a(fields, dict) else [field["name"] for field in fields])}
        below = _of_fields(parts, getattr, _unwritten(fields))
        base = _origin(cls)
        has_private = bool(getattr(cls, "__private_attributes__", None))

        def compare(value: Any, copy: Any) -> Losses:
            if type(value) is not cls:
                if not is_a(value, base):
                    return ()
                if lost := sorted(_fields_of(type(value)) - names):
                    of, as_ = type(value).__name__, cls.__name__
                    return [
                        (
                            (name,),
                            f"would be lost: a {of} is stored as the declared {as_}; declare {of} there",
                        )
                        for name in lost
                    ]
            losses = () if below is None else below.compare(value, copy)
            return [*losses, *_lost_privates(value, copy)] if has_private else losses

        return LossFinder(compare, None if below or has_private else cls)

    def _parts(self, fields: Any) -> list[tuple[str, LossFinder]]:
        pairs = fields.items() if is_a(fields, dict) else ((field["name"], field) for field in fields)
        return [
            (name, finder)
            for name, field in pairs
            if not _is_unwritten(field) and (finder := self.of(field)) is not None
        ]

    def _of_tuple(self, schema: Any) -> LossFinder | None:
        items = [self.of(item) for item in schema["items_schema"]]
        if not any(items):
            return None
        if len(items) == 1 and "variadic_item_index" in schema:
            return _of_list(items[0])
        parts = [(index, finder) for index, finder in enumerate(items) if finder is not None]
        if "variadic_item_index" in schema:  # rare, and what each place holds depends on the length
            return None
        return _of_fields(parts, lambda value, index: value[index])

    def _of_dict(self, schema: Any) -> LossFinder | None:
        values = self._inner(schema, "values_schema")
        keys = self._bare(schema.get("keys_schema", {"type": "any"}))["type"]
        has_odd_keys = keys not in ("str", "any")  # "any" comes back as plain data, as everywhere
        if values is None and not has_odd_keys:
            return None

        def compare(value: Any, copy: Any) -> Losses:
            if not (is_a(value, Mapping) and is_a(copy, Mapping)):
                return ()
            if has_odd_keys and (lost := _lost_keys(value, copy)):
                return lost
            if values is None:
                return ()
            return [
                ((key, *loc), what)
                for key, item in value.items()
                if type(item) is not values.flat and key in copy
                for loc, what in values.compare(item, copy[key])
            ]

        return LossFinder(compare)

    def _of_union(self, choices: Any, *, tagged: bool = False) -> LossFinder:
        found: dict[Any, list[LossFinder | None]] = {}
        for choice in choices:
            schema = self._resolved(choice)
            for cls in _classes_of(schema):
                found.setdefault(cls, []).append(self.of(choice))

        def compare(value: Any, copy: Any) -> Losses:
            kind = _class_of(copy)
            members = found.get(kind, ())
            if _origin(type(value)) is _origin(kind) and len(members) == 1 and _has_parts(kind):
                return () if members[0] is None else members[0].compare(value, copy)
            return () if tagged else [(loc, f"{what}; {_UNION_ADVICE}") for loc, what in changed(value, copy)]

        return LossFinder(compare)

    def _resolved(self, schema: Any) -> Any:
        schema = self._bare(schema)
        while schema["type"] == "definition-ref":
            schema = self._bare(self._definitions[schema["schema_ref"]])
        return schema


# --------------------------------------------------------------------- what is never written
def _is_unwritten(field: Any) -> bool:
    return bool(field.get("serialization_exclude") or field.get("serialization_exclude_if"))


def _unwritten(fields: Any) -> Sequence[str]:
    pairs = fields.items() if is_a(fields, dict) else ((field["name"], field) for field in fields)
    return [name for name, field in pairs if _is_unwritten(field)]


def _lost_privates(value: Any, copy: Any, within: frozenset[int] = _NOTHING) -> Iterator[tuple[Loc, str]]:
    """Give the private attributes of a model that its copy has not got from a default or a validator."""
    kept: Mapping[str, Any] = getattr(copy, "__pydantic_private__", None) or {}
    private: Mapping[str, Any] = getattr(value, "__pydantic_private__", None) or {}
    for name, part in private.items():
        if name not in kept or any(changed(part, kept[name], (), within)):
            yield (name,), _PRIVATE


# --------------------------------------------------------------------- comparers
def _of_fields(
    parts: Sequence[tuple[Any, LossFinder]], get: Callable[[Any, Any], Any], unwritten: Sequence[Any] = ()
) -> LossFinder | None:
    """Compare field by field; those that are never written must come back all the same, from their defaults."""
    if not (parts or unwritten):
        return None

    def compare(value: Any, copy: Any) -> Losses:
        losses: list[tuple[Loc, str]] = [
            ((name,), _EXCLUDED) for name in unwritten if any(changed(get(value, name), get(copy, name)))
        ]
        for name, finder in parts:
            part = get(value, name)
            if part is not None and type(part) is not finder.flat:
                losses += [((name, *loc), what) for loc, what in finder.compare(part, get(copy, name))]
        return losses

    return LossFinder(compare)


def _of_list(item: LossFinder | None) -> LossFinder | None:
    if item is None:
        return None
    flat = item.flat

    def compare(value: Any, copy: Any) -> Losses:
        if not _is_row(value) or not _is_row(copy):
            return ()
        if flat is not None and {*map(type, value)} <= {flat}:  # a seventh of the time of a loop
            return ()
        return [
            ((index, *loc), what)
            for index, (part, back) in enumerate(zip(value, copy, strict=False))
            for loc, what in item.compare(part, back)
        ]

    return LossFinder(compare)


def _compare_sets(value: Any, copy: Any) -> Losses:
    if is_a(value, AbstractSet) and is_a(copy, AbstractSet) and value != copy:
        return [((), "the set would not come back with the same elements; declare a list")]
    return ()


def _compare_patterns(value: Any, copy: Any) -> Losses:
    if is_a(value, re.Pattern) and value != copy:
        return [((), "the flags of a pattern would be lost; write them into it, as in '(?i)...'")]
    return ()


_SIMPLE: Mapping[str, LossFinder] = {
    "set": LossFinder(_compare_sets),
    "frozenset": LossFinder(_compare_sets),
    "function-plain": LossFinder(_compare_patterns),
}
"""What is looked at as a whole, by kind of core schema."""


def changed(
    value: Any, copy: Any, loc: Loc = (), within: frozenset[int] = _NOTHING
) -> Iterator[tuple[Loc, str]]:
    """Give each part of a value that did not come back equal and of the same class.

    ``within``: what it is a part of; by parts that are never written, a value may hold itself.
    """
    if id(value) in within:
        return
    same = _origin(type(value)) is _origin(type(copy))
    if same and (names := _fields_of(type(value))):
        within |= {id(value)}
        for name in sorted(names):
            yield from changed(getattr(value, name), getattr(copy, name), (*loc, name), within)
        yield from (((*loc, *at), what) for at, what in _lost_privates(value, copy, within))
    elif is_a(value, Mapping) and is_a(copy, Mapping):
        lost = _lost_keys(value, copy)
        yield from (((*loc, *at), what) for at, what in lost)
        for key in () if lost else value:
            yield from changed(value[key], copy[key], (*loc, key), within | {id(value)})
    elif same and _is_row(value) and len(value) == len(copy):
        for index, (part, back) in enumerate(zip(value, copy, strict=True)):
            yield from changed(part, back, (*loc, index), within | {id(value)})
    elif not _is_equal_leaf(value, copy, same=same):
        became = "something else" if same else type(copy).__name__
        yield loc, f"a {type(value).__name__} would come back as {became}"


def _is_equal_leaf(value: Any, copy: Any, *, same: bool) -> bool:
    if same and _class_of(value).__eq__ is _BY_IDENTITY:
        return True  # it cannot be told
    alike = same or not (is_a(value, Enum | tuple) or is_a(copy, Enum | tuple))
    return alike and bool(value == copy)


def _lost_keys(value: Mapping[Any, Any], copy: Mapping[Any, Any]) -> Losses:
    """Name the keys that did not come back; the cheap question comes first."""
    if len(value) == len(copy) and value.keys() == copy.keys():
        return ()
    return [
        ((key,), "the key would not come back as it is; use keys of text") for key in value if key not in copy
    ]


# --------------------------------------------------------------------- classes
def _class_of(value: Any) -> Any:
    """Do as ``type`` does, but leave to type checkers the Any that the value is."""
    cls: Any = type(value)  # pyright: ignore[reportUnknownVariableType]  # of an Any it knows no class
    return cls


def _origin(cls: Any) -> Any:
    """Give ``Box`` for ``Box[int]``: an instance of either passes for the other."""
    generic: Mapping[str, Any] = getattr(cls, "__pydantic_generic_metadata__", None) or {}
    return generic.get("origin") or cls


def _fields_of(cls: Any) -> frozenset[str]:
    """Names of the fields of a model, a dataclass or a named tuple."""
    if issubclass(cls, BaseModel):
        return frozenset(cls.model_fields)
    if dataclasses.is_dataclass(cls):
        return frozenset(field.name for field in dataclasses.fields(cls))
    names: Any = getattr(cls, "_fields", ())
    return frozenset(names) if issubclass(cls, tuple) else frozenset()


def _classes_of(schema: Any) -> Sequence[Any]:
    """The classes whose instances a bare schema reads; none if that cannot be told."""
    kind = schema["type"]
    if kind == "literal":
        return tuple({type(value) for value in schema["expected"]})
    if "cls" in schema and kind != "typed-dict":
        return (schema["cls"],)
    return (_CLASSES[kind],) if kind in _CLASSES else ()


def _has_parts(cls: Any) -> bool:
    return cls in _HOLDERS or bool(_fields_of(cls))


def _is_row(value: Any) -> bool:
    return type(value) is list or (is_a(value, Collection) and not is_a(value, _NO_ROWS))


def is_a(value: Any, classes: Any) -> bool:
    """Do as ``isinstance`` does, but leave to type checkers the Any that the value is."""
    return isinstance(value, classes)
