"""JSON schemas as people are shown them: without what they tell of values that must not be looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import attrs

from phaseline.web.shown import is_hidden, redacted

_VALUES: Final = frozenset({"default", "example", "examples"})
"""Words of a schema that tell values."""
_DATA: Final = frozenset({"const", "enum"})
"""Words of a schema in which no other schemas stand."""

_NUMBERS: Final = ("integer", "number")
"""Types of which a member in the plural is how many there are, and no secret."""


def shown_schema(schema: Mapping[str, Any], hidden: frozenset[str]) -> Mapping[str, Any]:
    """Give a schema whole, but for defaults and examples of members that are hidden, and those in which such a member stands.

    A hidden member is ``writeOnly``: a form takes it, and shows nothing of it.
    """
    if not hidden:
        return schema
    shown = _Shown(hidden)
    while True:
        reached = len(shown.reached)
        found: Mapping[str, Any] = shown.of(schema)
        if len(shown.reached) == reached:
            return found


@attrs.frozen
class _Shown:
    hidden: frozenset[str]
    reached: set[str] = attrs.field(factory=set[str])
    """Definitions that hidden members refer to; which they are is known when all has been looked at."""

    def of(self, schema: Any, *, is_inside: bool = False) -> Any:
        """Show a part of it; of what is inside of a hidden member no value is told."""
        if isinstance(schema, list):
            return [self.of(each, is_inside=is_inside) for each in cast("Sequence[Any]", schema)]
        if not isinstance(schema, Mapping):
            return schema
        given = cast("Mapping[str, Any]", schema)
        if is_inside and "$ref" in given:
            self.reached.add(given["$ref"].rpartition("/")[2])
        return {
            word: self._of_word(word, each, is_inside)
            for word, each in given.items()
            if word not in _VALUES or (not is_inside and redacted(each, self.hidden) == each)
        }

    def _of_word(self, word: str, each: Any, is_inside: bool) -> Any:
        if word in _VALUES or word in _DATA:
            return each
        if word == "properties":
            return {name: self._member(name, member, is_inside) for name, member in each.items()}
        if word == "$defs":
            return {
                name: self.of(part, is_inside=is_inside or name in self.reached)
                for name, part in each.items()
            }
        return self.of(each, is_inside=is_inside)

    def _member(self, name: str, member: Any, is_inside: bool) -> Any:
        is_number = isinstance(member, Mapping) and cast("Any", member).get("type") in _NUMBERS
        if is_hidden(name, self.hidden, 0 if is_number else ""):
            return {**self.of(member, is_inside=True), "writeOnly": True}
        return self.of(member, is_inside=is_inside)
