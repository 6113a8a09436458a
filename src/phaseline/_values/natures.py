"""What the values of a type can hold, by pydantic's core schema of it: asked once, so that each value is checked for less."""

from __future__ import annotations

import math
import types
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Annotated, Any, Union, get_args, get_origin

import attrs
from pydantic_core import CoreSchema, core_schema

from phaseline._values.losses import is_a
from phaseline._values.signature import element_type


@attrs.frozen
class Nature:
    """What a core schema says of the values it takes."""

    kinds: frozenset[str]
    """The kinds of core schema in it."""
    depth: float
    """Levels of nesting that a value of it can have."""


_LEVELS = frozenset(
    "list set frozenset tuple dict model-fields dataclass-args typed-dict named-tuple".split()
)
FLOATLESS = _LEVELS | frozenset(
    "str bytes int bool none date time datetime timedelta uuid url multi-host-url enum literal decimal "
    "model model-field dataclass dataclass-field typed-dict-field named-tuple-field nullable default union tagged-union "
    "definitions definition-ref function-before function-after function-wrap".split()
)
"""Kinds that write no float by themselves; all others might write a NaN as null."""
_NOT_SCHEMAS = frozenset({"default", "function", "metadata", "computed_fields"})
_OPENING = frozenset(
    {("extra_behavior", "allow"), ("extra_fields_behavior", "allow"), ("polymorphic_serialization", True)}
)
"""Options by which a model holds more than its fields."""
_SHALLOW = (FLOATLESS | {"float"}) - {"definition-ref"}


def nature_of(schema: Any) -> Nature:
    """Survey a core schema. Kinds that are not known here count as holding anything, to any depth."""
    kinds: set[str] = set()
    depth: float = 0
    inner: Iterable[Any] = schema
    if is_a(schema, Mapping):
        inner = schema.values()
        kind = schema.get("type")
        if isinstance(kind, str):  # else it maps names to schemas, and "metadata" may be a field
            kinds.add(kind)
            depth = (1 if kind in _LEVELS else 0) if kind in _SHALLOW else math.inf
            inner = [value for key, value in schema.items() if key not in _NOT_SCHEMAS]
        if "serialization" in schema or not _OPENING.isdisjoint(
            (key, value) for key, value in schema.items() if isinstance(value, str | bool)
        ):
            kinds.add("any")
            depth = math.inf
    natures = [nature_of(value) for value in inner if is_a(value, Mapping | list | tuple)]
    return Nature(
        kinds=frozenset(kinds).union(*(nature.kinds for nature in natures)),
        depth=depth + max((nature.depth for nature in natures), default=0),
    )


def class_schema(t: Any) -> CoreSchema | None:  # noqa: PLR0911  # one return for each kind of type
    """Give a schema that only checks classes, for what pydantic would write by its looks; None if there is nothing.

    Asked to write a model, a dataclass or a named tuple, pydantic takes any object that has such attributes.
    """
    origin: Any = get_origin(t) or t
    args = get_args(t)
    if origin is Annotated:
        return class_schema(args[0])
    if origin in (Union, types.UnionType):
        members = [member for member in args if member is not type(None)]
        # Of several members pydantic finds the right one by its class.
        inner = class_schema(members[0]) if len(members) == 1 else None
        return None if inner is None else core_schema.nullable_schema(inner)
    if origin in (dict, Mapping, MutableMapping) and args:
        inner = class_schema(args[1])
        return None if inner is None else core_schema.dict_schema(values_schema=inner)
    if origin is tuple and args and args[-1] is not ...:
        parts = [class_schema(argument) for argument in args]
        if not any(parts):
            return None
        return core_schema.tuple_schema([part or core_schema.any_schema() for part in parts])
    if (item := element_type(t)) is not None:
        inner = class_schema(item)
        return None if inner is None else core_schema.list_schema(inner, strict=origin is list)
    # The marks of a model, a dataclass and a named tuple.
    marks = ("__pydantic_fields__", "__dataclass_fields__", "_fields")
    if not is_a(origin, type) or not any(hasattr(origin, mark) for mark in marks):
        return None
    # Box(value=1) is an instance of Box, and type checkers take it for a Box[int].
    generic: Mapping[str, Any] = getattr(t, "__pydantic_generic_metadata__", {})
    return core_schema.is_instance_schema(generic.get("origin") or origin)
