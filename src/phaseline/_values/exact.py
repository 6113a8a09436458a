"""Models of which pydantic has nothing to warn when it writes them: plain fields, of exactly the declared classes.

To be warned costs as much as the writing itself, for the option is read anew at each call. So it is left out where a
look at the classes tells that there is nothing to warn of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

_CLASSES: Mapping[str, type] = {"bool": bool, "float": float, "int": int, "str": str}


Fields: TypeAlias = tuple[tuple[str, type], ...]
"""All fields of a model, each with the class of its values."""


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
    classes = {name: _class_of(field["schema"]) for name, field in inner["fields"].items()}
    known = tuple((name, cls) for name, cls in classes.items() if cls is not None)
    return known if len(known) == len(classes) else None


def has_aliases(schema: Any) -> bool:
    """Whether fields of a model whose fields are plain are read or written under other names than their own."""
    fields = schema["schema"]["fields"].values()
    return any(key.endswith("_alias") for field in fields for key in field)


def has_exactly(value: Any, fields: Fields) -> bool:
    """Whether an instance of the model holds its fields, of their classes, and nothing else; False if it cannot be told."""
    held = value.__dict__
    if len(held) != len(fields):
        return False
    for name, cls in fields:  # noqa: SIM110  # a generator costs more than all that is saved here
        if type(held.get(name)) is not cls:
            return False
    return True


def _class_of(schema: Any) -> type | None:
    """The class of a plain value, None for any other."""
    if "serialization" in schema:
        return None
    return _class_of(schema["schema"]) if schema["type"] == "default" else _CLASSES.get(schema["type"])
