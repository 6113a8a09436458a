"""Pipelines as data: a TOML or JSON text that composes phases by their registered names.

Only what is registered can be named. Nothing is imported by a path in a template, and nothing in it is run.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

from phaseline import plugins
from phaseline._definition.phase import Phase
from phaseline._definition.signals import Signal
from phaseline._definition.step import Node, Subgraph
from phaseline._values.signature import accepts, type_name
from phaseline.errors import DefinitionError, TemplateError
from phaseline.pipeline import Pipeline
from phaseline.templates.building import Builder, Registered
from phaseline.templates.checking import check
from phaseline.templates.format import Template
from phaseline.templates.text import MOST_BYTES, MOST_DEPTH, MOST_STEPS, Source, given, read

__all__ = [
    "MOST_BYTES",
    "MOST_DEPTH",
    "MOST_STEPS",
    "Registered",
    "TemplateError",
    "json_schema",
    "load",
    "loads",
]

In = TypeVar("In")
Out = TypeVar("Out")


@overload
def load(
    path: str | os.PathLike[str], /, *, phases: Mapping[str, Registered] | Iterable[Registered] | None = None
) -> Pipeline[Any, Any]: ...
@overload
def load(
    path: str | os.PathLike[str],
    /,
    *,
    input: type[In],
    output: type[Out],
    phases: Mapping[str, Registered] | Iterable[Registered] | None = None,
) -> Pipeline[In, Out]: ...
def load(
    path: str | os.PathLike[str],
    /,
    *,
    input: Any = None,
    output: Any = None,
    phases: Mapping[str, Registered] | Iterable[Registered] | None = None,
) -> Pipeline[Any, Any]:
    """Make a pipeline of a template in a file; its name ends in ``.toml`` or ``.json``.

    Args:
        path: The file.
        input: What runs will be given. The pipeline must take it, and type checkers then know what it takes.
        output: What runs are to give; as ``input``.
        phases: What the template may name: a mapping from names, or nodes and functions under the names they have. By
            default what installed plugins offer, ``phaseline.plugins.phases()``.

    Raises:
        TemplateError: It cannot be made a pipeline; the error tells line and column.
        OSError: The file cannot be read.
    """
    return _loaded(read(Path(path)), phases, input, output)


@overload
def loads(
    text: str,
    /,
    *,
    format: Literal["toml", "json"] = "toml",
    name: str = "<template>",
    phases: Mapping[str, Registered] | Iterable[Registered] | None = None,
) -> Pipeline[Any, Any]: ...
@overload
def loads(
    text: str,
    /,
    *,
    input: type[In],
    output: type[Out],
    format: Literal["toml", "json"] = "toml",
    name: str = "<template>",
    phases: Mapping[str, Registered] | Iterable[Registered] | None = None,
) -> Pipeline[In, Out]: ...
def loads(
    text: str,
    /,
    *,
    input: Any = None,
    output: Any = None,
    format: Literal["toml", "json"] = "toml",
    name: str = "<template>",
    phases: Mapping[str, Registered] | Iterable[Registered] | None = None,
) -> Pipeline[Any, Any]:
    """Do as ``load`` does, with a text.

    Args:
        text: The template.
        input: As with ``load``.
        output: As with ``load``.
        format: What the text is.
        name: What errors call it.
        phases: As with ``load``.

    Raises:
        TemplateError: It cannot be made a pipeline; the error tells line and column.
    """
    return _loaded(given(text, format, name), phases, input, output)


def json_schema() -> dict[str, Any]:
    """The JSON schema of templates, for editors and other programs; a name that is not registered passes it."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Template.model_json_schema()}


def _loaded(
    source: Source, phases: Mapping[str, Registered] | Iterable[Registered] | None, input_: Any, output: Any
) -> Pipeline[Any, Any]:
    pipeline = Builder(source, _by_name(phases)).pipeline(check(source))
    plan = pipeline.plan
    if input_ is not None and not accepts(plan.input_type, input_):
        text = f"it takes {type_name(plan.input_type)}, but {type_name(input_)} was asked for as input="
        raise source.error((("name",), text))
    if output is not None and not accepts(output, plan.output_type):
        text = f"it gives {type_name(plan.output_type)}, but {type_name(output)} was asked for as output="
        raise source.error((("name",), text))
    return pipeline


def _by_name(phases: Mapping[str, Registered] | Iterable[Registered] | None) -> Mapping[str, Registered]:
    if phases is None:
        return plugins.phases()
    if isinstance(phases, Mapping):
        return phases  # pyright: ignore[reportUnknownVariableType, reportReturnType]  # nobody uses names as keys to nodes
    found: dict[str, Registered] = {}
    for one in phases:
        name = _name_of(one)
        if found.setdefault(name, one) is not one:
            raise DefinitionError(
                f"phases=[...] has two that are named {name!r}; give a mapping from names of your own"
            )
    return found


def _name_of(one: Registered) -> str:
    if isinstance(one, Phase):
        return one.options.name
    if isinstance(one, Subgraph | Signal):
        return one.name
    name: str | None = None if isinstance(one, Node | type) else getattr(one, "__name__", None)
    if name is None or name == "<lambda>":
        raise DefinitionError(
            f"phases=[...]: {one!r} has no name of its own; give a mapping: {{'name': ...}}"
        )
    return name
