"""The description of what may be asked for, as OpenAPI 3.1, made of the table of routes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any, ClassVar, Final, cast

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

from phaseline.views import RUN_ID
from phaseline.web import problems
from phaseline.web.calls import Route

REF: Final = "#/components/schemas/{model}"
_PARAMETER: Final = re.compile(r"{(\w+)}")
_PATH: Final = {
    "id": {"type": "string", "minLength": 1, "maxLength": 200, "examples": [RUN_ID]},
    "name": {"type": "string", "minLength": 1, "maxLength": 500},
}
_HEADERS: Final = {
    "Idempotency-Key": "Of calls with the same key and input the first starts a run, and all others give that one.",
    "Last-Event-ID": "Number of the last event that is known; browsers send it when they connect again.",
}
_ALWAYS: Final = (
    "unauthenticated",
    "forbidden",
    "invalid-request",
    "too-many-requests",
    "not-open",
    "storage-unavailable",
)
_WITH_BODY: Final = ("malformed", "too-large", "not-json-type")


class Problem(BaseModel):
    """A problem document (RFC 9457); some kinds have more members."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:phaseline:problem:unknown-run"])
    title: str
    status: int
    detail: str


def document(routes: Sequence[Route], *, title: str, version: str) -> dict[str, Any]:
    """Describe routes.

    Args:
        routes: The table.
        title: Of the document.
        version: Of the document.
    """
    wanted = {
        model
        for route in routes
        for model in (route.body, route.query, route.answer, Problem)
        if model is not None
    }
    ordered = sorted(wanted, key=lambda model: model.__name__)
    refs, definitions = models_json_schema(
        [(model, "serialization" if _is_answer(model, routes) else "validation") for model in ordered],
        ref_template=REF,
    )
    del refs
    schemas = definitions["$defs"]
    paths: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for route in routes:
        paths[route.path][route.method.lower()] = operation(route, schemas, routes)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": version,
            "description": "Runs of pipelines: started, watched and commanded.",
        },
        "servers": [{"url": "."}],
        "paths": dict(paths),
        "components": {"schemas": schemas},
    }


def inlined(described: dict[str, Any]) -> dict[str, Any]:
    """Give a document without references, for parts of it to stand in another one."""
    schemas = described["components"]["schemas"]

    def resolved(part: Any) -> Any:
        if isinstance(part, dict):
            given = cast("dict[str, Any]", part)  # JSON
            name = given.get("$ref", "").rpartition("/")[2]
            return resolved(schemas[name]) if name else {key: resolved(value) for key, value in given.items()}
        if isinstance(part, list):
            return [resolved(each) for each in cast("Sequence[Any]", part)]  # JSON
        return part

    return {"paths": resolved(described["paths"])}


def _is_answer(model: type[BaseModel], routes: Sequence[Route]) -> bool:
    return model is Problem or any(route.answer is model for route in routes)


def operation(route: Route, schemas: dict[str, Any], routes: Sequence[Route]) -> dict[str, Any]:
    """Describe one route."""
    found: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [route.path.split("/")[1]],
        "parameters": [*_parameters(route, schemas)],
        "responses": _responses(route, routes),
    }
    if route.action is not None:
        found["description"] = f"Needs the right to: {route.action}."
    if route.body is not None:
        needed = any(field.is_required() for field in route.body.model_fields.values())
        found["requestBody"] = {
            "required": needed,
            "content": {"application/json": {"schema": _ref(route.body)}},
        }
    return found


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REF.format(model=model.__name__)}


def _parameters(route: Route, schemas: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name in _PARAMETER.findall(route.path):
        yield {"name": name, "in": "path", "required": True, "schema": _PATH[name]}
    for name, schema in schemas[route.query.__name__].get("properties", {}).items():
        yield {"name": name, "in": "query", "required": False, "schema": _given(schema)}
    for name in route.headers:
        kind = "integer" if name == "Last-Event-ID" else "string"
        yield {"name": name, "in": "header", "schema": {"type": kind}, "description": _HEADERS[name]}


def _given(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter is there or not: it is never null."""
    options = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    if len(options) == 1:
        return {
            **{name: value for name, value in schema.items() if name not in ("anyOf", "default")},
            **options[0],
        }
    return schema


def _responses(route: Route, routes: Sequence[Route]) -> dict[str, Any]:
    success: dict[str, Any] = {"description": HTTPStatus(route.status).phrase}
    if route.answer is not None:
        success["content"] = {route.media_type: {"schema": _ref(route.answer)}}
    elif route.status != HTTPStatus.NO_CONTENT:
        # No model says of what shape a value of the application's is, and OpenAPI 3.1 has no way to tell of what events are.
        is_open = route.media_type in ("application/json", "text/event-stream")
        schema = {} if is_open else {"type": "string"}
        success["content"] = {route.media_type: {"schema": schema}}
    if links := _links(route, routes):
        success["links"] = links
    responses = {str(route.status): success}
    for status, meaning in route.also.items():
        responses[str(status)] = {**success, "description": meaning}
    if route.media_type == "text/event-stream":
        responses["204"] = {"description": "All has been told: do not connect again"}
    names = [*_ALWAYS, *route.problems, *(_WITH_BODY if route.body is not None else ())]
    if route.is_of_run or route.run_in_body:
        names.append("unknown-run")
    by_status: defaultdict[int, list[problems.Kind]] = defaultdict(list)
    for name in names:
        by_status[problems.KINDS[name].status].append(problems.KINDS[name])
    for status, kinds in sorted(by_status.items()):
        responses[str(status)] = {
            "description": "; ".join(f"{kind.title} (`{kind.name}`)" for kind in kinds),
            "content": {problems.MEDIA_TYPE: {"schema": _ref(Problem)}},
        }
    return responses


def _links(route: Route, routes: Sequence[Route]) -> dict[str, Any]:
    known = {each.name: each for each in routes}
    return {
        name: {"operationId": name, "parameters": {f"{_place(known[name], key)}.{key}": value for key, value in given.items()}}
        for name, given in route.follow.items()
    }  # fmt: skip


def _place(route: Route, parameter: str) -> str:
    return "path" if f"{{{parameter}}}" in route.path else "query"
