"""Values as people are shown them: as much as can be looked at, and without what must not be looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

import attrs

from phaseline.errors import DefinitionError
from phaseline.masking import SECRETS

HIDDEN: Final = (
    *SECRETS, "authorization", "cookie", "pin", "iban", "card_number",
)  # fmt: skip
"""Names, and ends of names, of members of which nothing is shown, where the host does not say; in the plural too."""
IN_ITS_PLACE: Final = "•••"
LEFT_OUT: Final = "$left_out"
"""The one member of an object that stands for so many characters, items or members; null where they were not counted."""

LONGEST_TEXT: Final = 4_000
"""Characters of a text that are shown."""
MOST_INSIDE: Final = 200
"""Items of a list and members of an object that are shown."""
MOST_IN_ALL: Final = 5_000
"""Values that are shown, one in another."""


def hidden_names(names: Iterable[str]) -> frozenset[str]:
    """Read names as a host gives them.

    Raises:
        DefinitionError: They are no names.
    """
    given: list[object] = [] if isinstance(names, str) else [*names]
    if isinstance(names, str) or not all(isinstance(each, str) and each for each in given):
        raise DefinitionError(f"hidden={names!r}: a list of names is needed, such as ['password', 'iban']")
    return frozenset(map(_plain, cast("list[str]", given)))


def _plain(name: str) -> str:
    return name.casefold().replace("_", "").replace("-", "")


def is_hidden(name: str, hidden: frozenset[str], value: object = None) -> bool:
    """Whether nothing is shown of a member: of ``db_password``, ``accessToken``, and ``tokens``, unless that is how many there are."""
    plain = _plain(name)
    if any(plain.endswith(each) for each in hidden):
        return True
    is_number = value is None or isinstance(value, int | float)
    return not is_number and plain.endswith("s") and is_hidden(plain[:-1], hidden)


def redacted(value: Any, hidden: frozenset[str]) -> Any:
    """Give JSON data whole, but for what is hidden."""
    if not hidden:
        return value
    if isinstance(value, Mapping):
        members = cast("Mapping[str, Any]", value)
        return {
            name: IN_ITS_PLACE if is_hidden(name, hidden, each) else redacted(each, hidden)
            for name, each in members.items()
        }
    if isinstance(value, list):
        return [redacted(each, hidden) for each in cast("Sequence[Any]", value)]
    return value


@attrs.define
class Shown:
    """JSON data as they are shown, within bounds."""

    hidden: frozenset[str]
    left: int = MOST_IN_ALL
    """Values that may yet be shown."""
    is_beginning: bool = False
    """Whether the data are the beginning of larger ones, so that nobody can say how much is left out."""

    def of(self, value: Any) -> Any:
        """Give as much of it as there is room for; what is left out is counted, where it can be."""
        self.left -= 1
        if isinstance(value, str):
            return (
                value
                if len(value) <= LONGEST_TEXT
                else [value[:LONGEST_TEXT], {LEFT_OUT: self._more(len(value) - LONGEST_TEXT)}]
            )
        if isinstance(value, Mapping):
            return self._members(cast("Mapping[str, Any]", value))
        if isinstance(value, list):
            return self._items(cast("Sequence[Any]", value))
        return value

    def _more(self, number: int) -> int | None:
        return None if self.is_beginning else number

    def _members(self, value: Mapping[str, Any]) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        for name, each in value.items():
            if len(shown) == MOST_INSIDE or self.left <= 0:
                return {**shown, LEFT_OUT: self._more(len(value) - len(shown))}
            shown[name] = IN_ITS_PLACE if is_hidden(name, self.hidden, each) else self.of(each)
        return shown

    def _items(self, value: Sequence[Any]) -> list[Any]:
        shown: list[Any] = []
        for each in value:
            if len(shown) == MOST_INSIDE or self.left <= 0:
                return [*shown, {LEFT_OUT: self._more(len(value) - len(shown))}]
            shown.append(self.of(each))
        return shown
