"""What is wrong with a value that cannot be stored, told by path; and exceptions of pydantic, told so."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from inspect import isawaitable
from typing import Any

from pydantic import Secret, SecretBytes, SecretStr, ValidationError
from pydantic.errors import PydanticErrorMixin
from pydantic_core import PydanticSerializationError, from_json, to_json

from phaseline._values.losses import Loc, is_a

PARSER_DEPTH = 200
"""Levels of nesting that the JSON parser of pydantic-core reads."""
_HUGE = 10**4300
"""The first integer that the JSON parser does not read."""
_MOST_PROBLEMS = 10
_LONGEST_NAME = 40


def faults_of(plain: object, check: Callable[[object], str | None]) -> Iterator[tuple[Loc, str]]:
    """Walk through data that is made of containers and leaves; give the place and the fault of each bad one."""
    todo: deque[tuple[Loc, Any]] = deque([((), plain)])
    seen: set[int] = set()  # pydantic leaves what is circular or too deep as it is when it gives Python data
    while todo:
        loc, part = todo.popleft()
        if not is_a(part, Mapping | list | tuple | set | frozenset | deque):
            if reason := check(part):
                yield loc, reason
        elif id(part) not in seen and len(loc) <= PARSER_DEPTH:
            seen.add(id(part))
            if is_a(part, Mapping):
                yield from (((*loc, key), f"the key: {reason}") for key in part if (reason := check(key)))
            todo.extend(
                ((*loc, key), item)
                for key, item in (part.items() if is_a(part, Mapping) else enumerate(part))
            )


def double_keys(plain: object) -> Iterator[tuple[Loc, str]]:
    """Give the place of each dict, in data made of containers and leaves, that has two keys with the same text."""
    todo: deque[tuple[Loc, Any]] = deque([((), plain)])
    while todo:
        loc, part = todo.popleft()
        if is_a(part, Mapping):
            texts = [from_json(to_json({key: None})) for key in part]
            if len({*map(str, texts)}) < len(texts):
                yield loc, "two of its keys are the same as text, so that one would be lost; use keys of text"
            todo.extend(((*loc, key), item) for key, item in part.items())
        elif is_a(part, list | tuple | set | frozenset | deque):
            todo.extend(((*loc, index), item) for index, item in enumerate(part))


def leaf_fault(value: object) -> str | None:
    """Tell why no storage takes this leaf, if so."""
    if isinstance(value, str):
        if "\0" in value:
            return "the NUL character cannot be stored; remove it"
        try:
            value.encode()
        except UnicodeEncodeError:
            return "a lone surrogate is no text; decode the bytes it came from with errors='replace'"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is no JSON number; use None or another finite value"
    if isinstance(value, int) and abs(value) >= _HUGE:
        return "an integer of more than 4,300 digits is not read back; use text"
    if isinstance(value, Secret | SecretBytes | SecretStr):
        return "a secret would be stored as asterisks; hand on where it is kept"
    return None


def fault_or_unwritable(value: object) -> str | None:
    """Tell why no storage takes this leaf, or that pydantic cannot write it, if so."""
    fault = leaf_fault(value)
    if fault is None:
        try:
            to_json(value)
        except Exception:  # noqa: BLE001  # that it fails is the answer
            if isinstance(value, bytes):
                fault = (
                    "bytes that are no UTF-8 text; declare pydantic.Base64Bytes, or a model whose config sets "
                    "ser_json_bytes and val_json_bytes to 'base64'"
                )
            else:
                fault = f"a value of type {type(value).__name__} cannot be written as JSON"
                fault += "; is an await missing before it?" if isawaitable(value) else ""
    return fault


def not_json(text: str) -> list[str]:
    """Tell that a text holds NaN or an infinity, if so."""
    try:
        from_json(text, allow_inf_nan=False)
    except ValueError as error:
        return [f"a serializer wrote NaN or an infinity, which are no JSON ({error})"]
    return []


def is_deeper(raw: bytes, limit: int) -> bool:
    """Tell whether a JSON text is nested deeper than ``limit``, by the parser that will have to read it."""
    if raw.count(b"[") + raw.count(b"{") <= limit:
        return False
    counted = raw.replace(b"[]", b"[0]").replace(b"{}", b'{"":0}')  # the parser does not count what is empty
    around = PARSER_DEPTH - limit
    try:
        from_json(b"[" * around + counted + b"]" * around)
    except ValueError as error:
        return "recursion limit" in str(error)
    return False


def problems_of(error: Exception) -> list[str]:
    """Write an exception as lines of ``path: message``."""
    if isinstance(error, ValidationError):
        return lines_of((item["loc"], _message(item)) for item in error.errors(include_url=False))
    if isinstance(error, PydanticSerializationError) and (found := _UNEXPECTED.findall(str(error))):
        return lines_of(
            (((name,) if name else ()), f"expected {type_}, got {given}") for type_, name, given in found
        )
    return [brief(error)]


_UNEXPECTED = re.compile(
    r"Expected `(.+?)` - serialized value may not be as expected \[(?:field_name='(.*?)', )?.*?input_type=(.*?)\]"
)


def _message(item: Mapping[str, Any]) -> str:
    kind: str = item["type"]
    tells = kind == "is_instance_of" or kind.endswith("_type")  # that another class was given
    return f"{item['msg']}, got {type(item['input']).__name__}" if tells else item["msg"]


def lines_of(problems: Iterable[tuple[Loc, str]]) -> list[str]:
    """Write the first problems as lines of ``path: message``."""
    lines: list[str] = []
    for loc, message in problems:
        if len(lines) == _MOST_PROBLEMS:
            return [*lines, "and more"]
        path = "".join(map(_step, loc)).removeprefix(".")
        lines.append(_printable(f"{path}: {message}" if path else message))
    return lines


def _step(part: object) -> str:
    if isinstance(part, str):
        plain = part.isidentifier() and len(part) <= _LONGEST_NAME
        return f".{part}" if plain else f"[{_cut(ascii(part), _LONGEST_NAME)}]"
    # Of other keys only those are shown that are sure to have a short text.
    plain = type(part) in (bool, float) or (type(part) is int and abs(part) < _HUGE)
    shown = repr(part) if plain else type(part).__name__
    return f"[{_cut(shown, _LONGEST_NAME)}]"


def brief(error: Exception) -> str:
    """Write an exception on one printable line, without pydantic's links."""
    try:
        text = str(error).partition("\n\nFor further information")[0]
    except Exception:  # noqa: BLE001  # an exception of the user's may have no text
        text = "(it has no text)"
    if isinstance(error, PydanticErrorMixin | PydanticSerializationError):
        return _printable(text)
    return _printable(f"{type(error).__name__}: {text}")


def first_sentence(error: Exception) -> str:
    """Give what pydantic says first; paragraphs of advice for authors of types follow."""
    return _cut(re.split(r"\.\s|\n", brief(error), maxsplit=1)[0], 200)


def _printable(text: str) -> str:
    return _cut(text.encode(errors="backslashreplace").decode().replace("\0", "\\0"), 500)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}\N{HORIZONTAL ELLIPSIS}"
