"""Tags and attributes of a run, each kept as one short text by which runs are found: ``#urgent``, ``customer=42``."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping
from typing import TypeAlias

from phaseline.errors import InvalidMarkError

Attribute: TypeAlias = str | int | float | bool
"""What an attribute may be; 1, 1.0 and True are three."""

MOST = 32
"""Tags, and attributes, that a run may have."""
LONGEST_TAG = 100
LONGEST_VALUE = 500
"""Characters of an attribute that is a text."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}\Z")
_WIDEST = 1 << 63
_TAG = "#"


def marks_of(tags: object, attributes: object) -> tuple[str, ...]:
    """Check tags and attributes, and give the texts they are kept as, in order.

    Raises:
        InvalidMarkError: One of them cannot be kept, or there are too many.
    """
    if not tags and not attributes:
        return ()
    return tuple(sorted({*map(tag_mark, _checked_tags(tags)), *_attribute_marks(attributes)}))


def tag_mark(tag: object) -> str:
    """Check a tag, and give the text it is kept as."""
    if not isinstance(tag, str) or not 0 < len(tag) <= LONGEST_TAG or not tag.isprintable():
        raise InvalidMarkError(
            f"a tag {_shown(tag)}", f"a tag is text of 1 to {LONGEST_TAG} characters that can be printed"
        )
    return _TAG + tag


def attribute_mark(name: object, value: object) -> str:
    """Check an attribute, and give the text it is kept as."""
    if not isinstance(name, str) or not _NAME.match(name):
        raise InvalidMarkError(
            f"an attribute named {_shown(name)}",
            "a name has 1 to 100 letters, digits, '_', '-' and '.', and begins with a letter or '_'",
        )
    what = f"the attribute {name!r}"  # never its value: a message may end in any log
    match value:
        case bool():
            pass
        case str():
            if len(value) > LONGEST_VALUE or not value.isprintable():
                raise InvalidMarkError(
                    what, f"a text has at most {LONGEST_VALUE} characters, all of which can be printed"
                )
        case int():
            if not -_WIDEST <= value < _WIDEST:
                raise InvalidMarkError(what, "an integer has at most 64 bits; use text")
        case float():
            if not math.isfinite(value):
                raise InvalidMarkError(what, "a number is finite")
        case _:
            raise InvalidMarkError(
                what, f"a value of type {type(value).__name__} is none of str, int, float and bool"
            )
    return f"{name}={json.dumps(value, ensure_ascii=False)}"


def tags_of(marks: Collection[str]) -> tuple[str, ...]:
    """The tags among marks, in order."""
    return tuple(mark[1:] for mark in marks if mark.startswith(_TAG)) if marks else ()


def attributes_of(marks: Collection[str]) -> dict[str, Attribute]:
    """The attributes among marks, by name."""
    if not marks:
        return {}
    pairs = (mark.partition("=") for mark in marks if not mark.startswith(_TAG))
    return {name: json.loads(value) for name, _, value in pairs}


def attribute_from(text: str) -> tuple[str, Attribute]:
    """Read ``name=value``: the value is JSON, or a text where it is none.

    Raises:
        ValueError: It has no ``=``.
    """
    name, sign, value = text.partition("=")
    if not sign:
        raise ValueError(f"{text!a} has no value: write NAME=VALUE")
    try:
        found: Attribute = json.loads(value, parse_constant=_no_constant)
    except ValueError:
        return name, value
    return name, found


def _no_constant(name: str) -> None:
    raise ValueError(name)  # NaN and the infinities are no JSON


def _checked_tags(tags: object) -> list[object]:
    if isinstance(tags, str) or not isinstance(tags, Iterable):
        raise InvalidMarkError(f"tags={_shown(tags)}", "a list of texts is needed")
    found: list[object] = list(tags)  # pyright: ignore[reportUnknownArgumentType]  # each is checked by itself
    if len(found) > MOST:
        raise InvalidMarkError(f"{len(found)} tags", f"a run has at most {MOST}")
    return found


def _attribute_marks(attributes: object) -> list[str]:
    if attributes is None:
        return []
    if not isinstance(attributes, Mapping):
        raise InvalidMarkError(
            f"attributes of type {type(attributes).__name__}", "a mapping of names to values is needed"
        )
    found: Mapping[object, object] = attributes  # pyright: ignore[reportUnknownVariableType]  # as above
    if len(found) > MOST:
        raise InvalidMarkError(f"{len(found)} attributes", f"a run has at most {MOST}")
    return [attribute_mark(name, value) for name, value in found.items()]


def _shown(value: object) -> str:
    return ascii(value)[:LONGEST_TAG] if isinstance(value, str) else f"of type {type(value).__name__}"
