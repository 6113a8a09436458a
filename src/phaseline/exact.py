"""Models of which pydantic has nothing to warn when it writes them: plain fields, of exactly the declared classes.

To be warned costs as much as the writing itself, for the option is read anew at each call. So it is left out where a
look at the classes tells that there is nothing to warn of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

_CLASSES: Mapping[str, type] = {"bool": bool, "float": float, "int": int, "str": str}


class Fields(NamedTuple):
    """All fields of a model, in the order of their declaration."""

    names: tuple[str, ...]
    classes: tuple[type, ...]


def exact_fields(schema: Any) -> Fields | None:
    """Give the fields of a model, by its core schema, if all of them are plain; None for everything else."""
    if schema["type"] != "model" or schema.get("root_model") or "serialization" in schema:
        return None
    inner = schema["schema"]
    if inner["type"] != "model-fields" or "serialization" in inner or "extras_schema" in inner:
        return None
    config = schema.get("config", {})
    if "allow" in (inner.get("extra_behavior"), config.get("extra_fields_behavior")):
        return None
    classes = tuple(_class_of(field["schema"]) for field in inner["fields"].values())
    known = tuple(cls for cls in classes if cls is not None)
    return Fields(tuple(inner["fields"]), known) if len(known) == len(classes) else None


def has_exactly(value: Any, fields: Fields) -> bool:
    """Whether an instance of the model holds its fields, of their classes, and nothing else; False if it cannot be told."""
    held = value.__dict__
    return (*held,) == fields.names and (*map(type, held.values()),) == fields.classes


def _class_of(schema: Any) -> type | None:
    """The class of a plain value, None for any other."""
    if "serialization" in schema:
        return None
    return _class_of(schema["schema"]) if schema["type"] == "default" else _CLASSES.get(schema["type"])
