"""From data to the models of the format; every mistake is told with its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from phaseline._values.texts import did_you_mean
from phaseline.templates.format import TABLES, Template
from phaseline.templates.places import Where
from phaseline.templates.text import Source, is_list, is_table

MOST_PROBLEMS = 10
"""Mistakes that are told at once."""


def check(source: Source) -> Template:
    """Read a template and check that it is one, whatever it names.

    Raises:
        TemplateError: It is not; with all mistakes, or the first ten.
    """
    data = source.data()
    try:
        return Template.model_validate(data)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise source.error(
            *(_problem(data, one["loc"], one["type"], one["msg"]) for one in found[:MOST_PROBLEMS])
        ) from error


def _problem(data: Any, loc: Sequence[str | int], kind: str, message: str) -> tuple[Where, str]:
    where = _where(data, loc)
    if kind == "missing":
        return where, f"the key {loc[-1]!r} is missing"
    if kind == "extra_forbidden":
        keys = {field.alias or name for table in TABLES for name, field in table.model_fields.items()}
        return where, f"the key {loc[-1]!r} is not known here{did_you_mean(str(loc[-1]), keys)}"
    return where, message[0].lower() + message[1:]


def _where(data: Any, loc: Sequence[str | int]) -> Where:
    """The place in the data: of a location, only the parts that lead anywhere; the others are kinds of step."""
    where: list[str | int] = []
    for part in loc:
        if _has(data, part):
            where.append(part)
            data = data[part]
    return tuple(where)


def _has(data: object, part: str | int) -> bool:
    return (is_table(data) and part in data) or (is_list(data) and isinstance(part, int))
