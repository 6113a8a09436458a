"""From a request to its answer: who asks, whether he may, what he asks, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs
from pydantic import BaseModel
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response

from phaseline.errors import DefinitionError, ForeignOriginError, UnauthenticatedError
from phaseline.run_filter import RunSummary
from phaseline.runtime import Runtime
from phaseline.web.access import checked_authorize
from phaseline.web.calls import Call, Route
from phaseline.web.guard import Guard, Source, Visitor
from phaseline.web.origins import checked_origins, comes_from
from phaseline.web.parsing import read_body, read_query
from phaseline.web.problems import problem_of
from phaseline.web.rates import RateLimit, rate_limit

MAX_BODY: Final = 1024 * 1024
"""Bytes of a body where the host does not say."""

GONE: Final = 499
"""What others too note for a client that did not wait for its answer."""

SECURITY_HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


@attrs.frozen
class Service:
    """What answers requests, whichever framework routes them."""

    guard: Guard
    origins: frozenset[str]
    rate: RateLimit | None
    max_body: int
    hidden: frozenset[str] = frozenset()
    """Names of members of values of which nothing is shown."""
    read_only: bool = False
    """Whether nothing may be changed, so that no run is said to obey a command."""

    async def respond(self, route: Route, request: Request) -> Response:
        """Answer a request; errors are answers, too."""
        try:
            response = await self._respond(route, request)
        except ClientDisconnect:
            response = Response(status_code=GONE)  # to nobody
        except Exception as error:  # noqa: BLE001  # all are told, or logged
            response = problem_of(error, f"{route.method} {route.path}")
        return secured(response)

    async def _respond(self, route: Route, request: Request) -> Response:
        if route.changes and not comes_from(request, self.origins):
            raise ForeignOriginError(request.headers["origin"])
        visitor = await self.admit(request)
        if route.action is not None and not route.is_of_run and not route.run_in_body:
            await visitor.require(route.action)
        query = read_query(route.query, request.query_params)
        body = None if route.body is None else await read_body(route.body, request, self.max_body)
        found: RunSummary | None = None
        if route.action is not None and (route.is_of_run or route.run_in_body):
            run_id: str = request.path_params["id"] if route.is_of_run else vars(body)["id"]
            found = await visitor.run(route.action, run_id)
        call = Call(
            visitor=visitor, request=request, found=found, query=query, body=body, hidden=self.hidden,
            read_only=self.read_only,
        )  # fmt: skip
        answer = await route.handler(call)
        if isinstance(answer, BaseModel):
            return Response(answer.model_dump_json(by_alias=True), route.status, media_type=route.media_type)
        return Response(status_code=route.status) if answer is None else answer

    async def admit(self, connection: HTTPConnection) -> Visitor:
        """Let somebody in, and count it: for him, or, where nobody knows him, for where he comes from."""
        try:
            visitor = await self.guard.admit(connection)
        except UnauthenticatedError:
            self._count(f"address {connection.client.host if connection.client else ''}")
            raise
        self.count(visitor)
        return visitor

    def count(self, visitor: Visitor) -> None:
        """Count something that he asks.

        Raises:
            RequestError: It is one too many.
        """
        self._count(f"actor {visitor.runtime.namespace} {visitor.access.actor}")

    def _count(self, client: str) -> None:
        if self.rate is not None:
            self.rate.count(client)


def service(
    what: str, runtime: Source, *, authorize: object, origins: Iterable[str], rate: str | None, max_body: int
) -> Service:
    """Make one of what a host gives.

    Raises:
        DefinitionError: Something of it makes no sense.
    """
    if not isinstance(runtime, Runtime) and not callable(runtime):
        raise DefinitionError(f"{what}: {runtime!r} is no runtime, and no function from a namespace to one")
    if type(max_body) is not int or max_body < 1:
        raise DefinitionError(f"{what}: max_body={max_body!r} is no number of bytes")
    guard = Guard(runtime, checked_authorize(authorize, what))
    return Service(guard, checked_origins(origins), rate_limit(rate), max_body)


def secured(response: Response) -> Response:
    """Add the headers that keep browsers from doing more with an answer than showing it to who asked."""
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    return response
