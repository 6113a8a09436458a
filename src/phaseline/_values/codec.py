"""The door between Python values and stored JSON text.

A value is checked against its declared type, written as JSON and read back from that text. What was read back is
what the next phase gets, so that a test in memory sees what production would see.

One set of values is accepted for all storages. NaN and infinities, lone surrogates, NUL characters, and what is too
deep or too large are refused before anything is stored. Parts declared ``Any`` or ``object`` come back as plain JSON
data. Data is written by field names, never by aliases; computed fields are left out. What is never written, such as an
excluded field or a private attribute, must come back from its default or by a validator.
"""

from __future__ import annotations

import json
import re
import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from copy import copy
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar, get_origin

import attrs
from pydantic import TypeAdapter, ValidationError
from pydantic_core import (
    PydanticSerializationError,
    SchemaValidator,
    from_json,
    to_json,
)

from phaseline._values.exact import exact_fields, has_aliases, has_exactly
from phaseline._values.faults import (
    brief,
    double_keys,
    fault_or_unwritable,
    faults_of,
    first_sentence,
    is_deeper,
    leaf_fault,
    lines_of,
    not_json,
    problems_of,
)
from phaseline._values.losses import changed, is_a, loss_finder
from phaseline._values.natures import FLOATLESS, class_schema, nature_of
from phaseline._values.signature import element_type, type_name
from phaseline.errors import DecodeError, DefinitionError, EncodeError, InvalidInputError

T = TypeVar("T")

_MOST_DEPTH = 190
"""What is left of the levels that the parser reads for the lists that items of a map are joined to."""
_MASK = '"**********"'
"""What pydantic writes in the place of a secret."""
_ENDLESS = re.compile(
    "Error serializing to JSON: ValueError: (Circular reference|Maximum serialization depth)"
)
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


@attrs.frozen
class Limits:
    """Bounds of one stored value; what is at the bound is accepted."""

    max_bytes: int = attrs.field(default=16 * 1024 * 1024, validator=attrs.validators.ge(1))
    """Length of the JSON text in UTF-8."""
    max_depth: int = attrs.field(
        default=_MOST_DEPTH, validator=[attrs.validators.ge(1), attrs.validators.le(_MOST_DEPTH)]
    )
    """Levels of arrays and objects, at most 190: the parser reads 200, and joining the items of a map adds some."""


_DEFAULT_LIMITS = Limits()


class ValueCodec(Generic[T]):
    """The door for values of one declared type.

    Making one costs up to a millisecond, using it about a microsecond: keep it.
    """

    _round_trip: ClassVar[bool] = True

    def __init__(self, type_: type[T], *, what: str, limits: Limits = _DEFAULT_LIMITS) -> None:
        """Build the door.

        Args:
            type_: Any annotation that pydantic understands. ``Iterable[X]`` and ``Collection[X]`` are read as lists.
            what: How messages name the value: ``output of phase 'enrich'``.
            limits: Bounds of one value.

        Raises:
            DefinitionError: Values of this type cannot be written as JSON.
        """
        self.what = what
        self.limits = limits
        self._listed = (get_origin(type_) or type_) in (Iterable, Collection)
        stored: Any = types.GenericAlias(list, element_type(type_)) if self._listed else type_
        self._adapter = _adapter_for(stored, what)
        self._write = self._adapter.serializer.to_json
        validate = self._adapter.validator.validate_json
        self._read: Callable[..., Any] = partial(validate, by_alias=False, by_name=True)
        self._exact = type_ if type_ in _SCALARS else None
        self._finder = loss_finder(self._adapter.core_schema)
        self._flat = None if self._finder is None else self._finder.flat
        self._fields = exact_fields(self._adapter.core_schema)
        if self._fields is not None and not has_aliases(self._adapter.core_schema):
            self._read = validate  # these options take nearly as long as to read a small model
        classes = class_schema(stored)
        self._check_class = None if classes is None else SchemaValidator(classes).validate_python
        nature = nature_of(self._adapter.core_schema)
        if "generator" in nature.kinds:
            raise DefinitionError(
                f"{what}: {type_name(type_)} holds an Iterable, which can be read only once; declare a list there"
            )
        self._may_lose_floats = not nature.kinds <= FLOATLESS
        self._may_repeat_keys = "any" in nature.kinds
        self._may_be_deep = nature.depth > limits.max_depth

    def encode(self, value: T, *, refuse: type[EncodeError] = EncodeError) -> tuple[str, T]:
        """Check and encode a value; give the JSON text, and the value as read back from it.

        Raises:
            EncodeError: It is not of the declared type, or cannot be stored; it names the paths of what is wrong. Of
                the kind that ``refuse`` names.
        """
        if self._listed:
            value = self._as_list(value)
        try:
            if type(value) is self._flat and self._fields is not None and has_exactly(value, self._fields):
                # Of what is exactly what was declared there is nothing to warn, and pydantic takes its time to read that option.
                raw = self._write(value, round_trip=self._round_trip, by_alias=False)
            else:
                raw = self._written(value)
        except Exception as error:
            raise refuse(self.what, self._write_problems(value, error)) from error
        size = len(raw)
        if size > self.limits.max_bytes or (self._may_be_deep and size > 2 * self.limits.max_depth):
            self._check_limits(raw, refuse)
        text = raw.decode()
        if problems := self._losses(text, value):
            raise refuse(self.what, problems)
        try:
            copy: T = self._read(raw)
        except Exception as error:
            problems = self._faults_in(value) or [f"{line} (when read back)" for line in problems_of(error)]
            raise refuse(self.what, problems) from error
        if self._may_repeat_keys or (self._finder is not None and type(value) is not self._flat):
            try:
                problems = self._silent_losses(raw, value, copy)
            except Exception as error:  # it calls what the user's classes define for ==
                raise refuse(self.what, problems_of(error)) from error
            if problems:
                raise refuse(self.what, problems)
        return text, copy

    def encode_input(self, value: object) -> tuple[str, T]:
        """Do as ``encode`` does after pydantic has validated the value, so that a dict may stand for a model.

        Raises:
            InvalidInputError: It does not validate, or cannot be stored.
        """
        try:
            valid: T = self._adapter.validator.validate_python(value)
        except Exception as error:
            raise InvalidInputError(self.what, problems_of(error), says="does not fit") from error
        return self.encode(valid, refuse=InvalidInputError)

    def decode(self, text: str) -> T:
        """Read a stored value.

        Raises:
            DecodeError: It is not of the declared type any more.
        """
        try:
            value: T = self._read(text)
        except Exception as error:
            raise DecodeError(self.what, problems_of(error)) from error
        return value

    def decode_items(self, texts: Sequence[str]) -> T:
        """Read a list or tuple from the stored texts of its items.

        Raises:
            DecodeError: An item is not of the declared type any more.
        """
        return self.decode(f"[{','.join(texts)}]")

    def json_schema(self) -> dict[str, Any]:
        """Give the JSON schema of what ``encode_input`` accepts.

        Raises:
            DefinitionError: The type holds something that JSON schema cannot describe.
        """
        try:
            return self._adapter.json_schema()
        except Exception as error:
            raise DefinitionError(f"{self.what} has no JSON schema: {brief(error)}") from error

    # ------------------------------------------------------------------ how it is done
    def _written(self, value: T) -> bytes:
        """Have pydantic write a value; it raises where the value is not of its type."""
        kind = type(value)
        if kind is self._exact:
            return self._write(value)
        if kind is not self._flat and self._check_class is not None:
            self._check_class(value)
        return self._write(value, warnings="error", round_trip=self._round_trip, by_alias=False)

    def _silent_losses(self, raw: bytes, value: T, copy: T) -> list[str]:
        """Name the parts that were written and read without complaint, and came back as something else."""
        losses = () if self._finder is None else self._finder.compare(value, copy)
        if (
            not losses and self._may_repeat_keys
        ):  # two keys with one text: the copy, written again, is shorter
            again = self._write(copy, warnings=False, round_trip=self._round_trip, by_alias=False)
            if len(again) != len(raw):
                return lines_of(double_keys(self._dump(value)))
        return lines_of(losses) if losses else []

    def _check_limits(self, raw: bytes, refuse: type[EncodeError]) -> None:
        size, limits = len(raw), self.limits
        if size > limits.max_bytes:
            problem = f"it is {size:,} bytes of JSON, the limit is {limits.max_bytes:,}; keep it elsewhere and hand on where"
            raise refuse(self.what, [problem])
        if is_deeper(raw, limits.max_depth):
            raise refuse(self.what, [f"it is nested deeper than {limits.max_depth} levels"])

    def _losses(self, text: str, value: object) -> list[str]:
        """Name the parts of a value that its text does not hold, or holds and no storage takes.

        Substrings are looked for first, and the value itself only where one is found. A single character comes before
        its substring, since it is found, or not, thirty times as fast.
        """
        problems: list[str] = []
        not_finite = lost = False
        if self._may_lose_floats:
            not_finite = ("N" in text and "NaN" in text) or ("I" in text and "Infinity" in text)
            lost = (not_finite or "null" in text) and self._holds_nan(value)
        if lost or "\ufffd" in text or ("*" in text and _MASK in text):
            problems = self._faults_in(value)
        if not_finite and not problems:
            problems = not_json(text)
        if not problems and "\\" in text and "\\u0000" in text and _NUL.search(text):
            problems = self._faults_in(value) or ["it contains the NUL character"]
        return problems

    def _holds_nan(self, value: object) -> bool:
        """Tell whether a NaN or an infinity, which pydantic writes as null, may be in a value; no false negatives."""
        try:
            plain = self._dump(value)
            marked = to_json(
                plain, inf_nan_mode="constants", bytes_mode="base64", serialize_unknown=True
            ).decode()
        except Exception:  # noqa: BLE001  # it cannot be told at once: look at each part
            return True
        return "NaN" in marked or "Infinity" in marked

    def _dump(self, value: object) -> Any:
        return self._adapter.serializer.to_python(
            value, warnings=False, round_trip=self._round_trip, by_alias=False
        )

    def _as_list(self, value: Any) -> Any:
        if not is_a(value, Collection) or is_a(value, str | bytes | bytearray | Mapping):
            problem = f"expected a list, got {type(value).__name__}, which is none; return a list"
            raise EncodeError(self.what, [problem])
        items: list[Any] = [*value]
        return items

    def _write_problems(self, value: object, error: Exception) -> list[str]:
        if not isinstance(error, PydanticSerializationError):
            return problems_of(error)
        if _ENDLESS.match(str(error)):
            return [f"it is nested deeper than {self.limits.max_depth} levels, or holds itself"]
        return (
            self._faults_in(value, check=fault_or_unwritable)
            or self._mismatches_in(value)
            or problems_of(error)
        )

    def _faults_in(self, value: object, check: Callable[[object], str | None] | None = None) -> list[str]:
        """Name each part that cannot be stored."""
        try:
            plain = self._dump(value)
        except Exception:  # noqa: BLE001  # too deep, in a circle, or a serializer of the user's fails: the caller knows
            return []
        return lines_of(faults_of(plain, check or leaf_fault))

    def _mismatches_in(self, value: object) -> list[str]:
        """Name each part that is not of its declared type, where reading the JSON of it tells."""
        try:
            raw = self._write(value, warnings=False, round_trip=self._round_trip, by_alias=False)
            self._read(raw, strict=True)
        except ValidationError as error:
            return problems_of(error)
        except Exception:  # noqa: BLE001  # a validator of the user's fails: the error that led here is told
            return []
        return []


_SCALARS = frozenset({bool, float, int, str})


def _adapter_for(type_: Any, what: str) -> TypeAdapter[Any]:
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(type_)
        if not adapter.pydantic_complete:
            adapter.rebuild()
    except Exception as error:  # pydantic runs whatever the type defines for it
        if getattr(error, "code", None) == "typed-dict-version":
            msg = f"{what}: before Python 3.12 the TypedDict in {type_name(type_)} must be that of typing_extensions; import it from there"
            raise DefinitionError(msg) from error
        raise DefinitionError(
            f"{what}: values of type {type_name(type_)} cannot be written as JSON; declare a pydantic model, a dataclass "
            f"or plain data (pydantic knows neither attrs classes nor arbitrary ones: {first_sentence(error)})"
        ) from error
    return adapter


# --------------------------------------------------------------------- untyped JSON data
class _UntypedCodec(ValueCodec[Any]):
    _round_trip = False  # a model is written once, for readers, so that its computed fields belong to it


class _PlainCodec(ValueCodec[Any]):
    """The door for a value of which no type is known: it takes only what is plain JSON data already."""

    def _silent_losses(self, raw: bytes, value: Any, copy: Any) -> list[str]:
        lost = [
            (loc, f"{reason}; annotate what is returned: '-> Type'") for loc, reason in changed(value, copy)
        ]
        return lines_of(lost) if lost else super()._silent_losses(raw, value, copy)


_ANYTHING: Any = Any
_ANY = ValueCodec[Any](_ANYTHING, what="JSON data")
_PLAIN = _PlainCodec(_ANYTHING, what="JSON data")
_UNTYPED = _UntypedCodec(_ANYTHING, what="JSON data")


def plain_codec(what: str) -> ValueCodec[Any]:
    """Give a door that takes plain JSON data, and nothing that would come back as such."""
    codec = copy(_PLAIN)
    codec.what = what
    return codec


def any_codec(what: str) -> ValueCodec[Any]:
    """Give a door that takes whatever pydantic can write, and gives plain JSON data, for others to validate."""
    codec = copy(_ANY)
    codec.what = what
    return codec


def to_json_text(value: object, *, what: str) -> str:
    """Encode data that has no declared type; a model becomes an object, with its computed fields.

    Raises:
        EncodeError: It cannot be stored.
    """
    codec = copy(_UNTYPED)
    codec.what = what
    return codec.encode(value)[0]


def same_json(one: str, other: str) -> bool:
    """Whether two texts hold the same data, in whatever order their keys come."""
    return one == other or _canonical(one) == _canonical(other)


def _canonical(text: str) -> str:
    return json.dumps(
        json.loads(text), sort_keys=True
    )  # 1, 1.0 and true stay apart, as they would not as values


def from_json_text(text: str, *, what: str = "JSON data") -> Any:
    """Read data that has no declared type.

    Raises:
        DecodeError: The text is not JSON.
    """
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise DecodeError(what, [brief(error)]) from error
