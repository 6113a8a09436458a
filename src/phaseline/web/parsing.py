"""Requests read: queries and bodies as what the routes say, within bounds."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any, Final, TypeVar, get_origin

from pydantic import BaseModel, ValidationError
from starlette.datastructures import QueryParams
from starlette.requests import Request

from phaseline.web.problems import INVALID_REQUEST, MALFORMED, NOT_JSON_TYPE, TOO_LARGE, RequestError

M = TypeVar("M", bound=BaseModel)

EMPTY: Final = b"{}"
"""What no body stands for: a command may be given without one."""


def read_query(model: type[M], params: QueryParams) -> M:
    """Give the query as the model has it.

    Raises:
        RequestError: It does not fit.
    """
    given: dict[str, Any] = {}
    for name in params:
        field = model.model_fields.get(name)
        is_list = field is not None and get_origin(field.annotation) is list
        given[name] = params.getlist(name) if is_list else params[name]
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise _invalid(error, "the query") from None


async def read_body(model: type[M], request: Request, limit: int) -> M:
    """Give the body as the model has it.

    Raises:
        RequestError: It is too large, not said to be JSON, no JSON, or does not fit.
    """
    raw = await _raw_body(request, limit)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if raw and media_type != "application/json" and not media_type.endswith("+json"):
        raise RequestError(NOT_JSON_TYPE, "send it as content-type: application/json")
    try:
        return model.model_validate_json(raw or EMPTY)
    except ValidationError as error:
        if any(each["type"] == "json_invalid" for each in error.errors(include_input=False)):
            told = error.errors(include_input=False, include_url=False)[0]["msg"]
            raise RequestError(MALFORMED, told) from None
        raise _invalid(error, "the body") from None


async def _raw_body(request: Request, limit: int) -> bytes:
    declared = request.headers.get("content-length", "")
    raw = bytearray()
    if not (declared.isdecimal() and int(declared[:20]) > limit):
        async with aclosing(request.stream()) as chunks:  # that is what it is
            async for chunk in chunks:
                raw += chunk
                if len(raw) > limit:
                    break
            else:
                return bytes(raw)
    raise RequestError(TOO_LARGE, f"at most {limit:,} bytes are read", limit=limit)


def _invalid(error: ValidationError, what: str) -> RequestError:
    """Say what is wrong, and never what was given: it may be a secret."""
    faults = error.errors(include_input=False, include_url=False, include_context=False)
    problems = [": ".join(filter(None, (".".join(map(str, fault["loc"])), fault["msg"]))) for fault in faults]
    return RequestError(INVALID_REQUEST, f"{what} is not what is taken here", problems=problems)
