"""The surface as an ASGI application, to be mounted below any path of any framework."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import cache, partial
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as Place
from starlette.types import ASGIApp, Receive, Scope, Send

from phaseline.web.access import Authorize
from phaseline.web.calls import Call, Route
from phaseline.web.feed import DEFAULT_LIMITS, FeedLimits
from phaseline.web.guard import Source
from phaseline.web.openapi import document
from phaseline.web.problems import NO_SUCH_PLACE, NOT_THIS_METHOD, RequestError, problem_of
from phaseline.web.rates import DEFAULT
from phaseline.web.routes import ROUTES
from phaseline.web.service import MAX_BODY, Service, secured, service
from phaseline.web.websocket import live_route

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
HEADERS: Final = ("authorization", "content-type", "idempotency-key", "last-event-id")


def asgi_app(
    runtime: Source,
    *,
    authorize: Authorize,
    origins: Iterable[str] = (),
    rate: str | None = DEFAULT,
    max_body: int = MAX_BODY,
    live: FeedLimits = DEFAULT_LIMITS,
    title: str = "Pipelines",
) -> ASGIApp:
    """Make an application that a host mounts below a path of its own.

    It has no lifespan: the host opens the runtime in its own, and until then all answers are 503. What may be asked for is
    described at ``openapi.json``.

    Args:
        runtime: The runtime, or what gives that of a namespace (None where ``Access`` names none), and None where there is
            none.
        authorize: Says for each request who asks, and what he may; None for somebody unknown.
        origins: Whose pages may use it, beside those of the host itself: ``["https://app.example"]``.
        rate: How often each client may ask, in this process: ``"10/second"``; None for no limit.
        max_body: Bytes of a body that are read at most.
        live: What one client of live events, the WebSocket at ``live``, may have.
        title: Of the OpenAPI document.

    Raises:
        DefinitionError: An argument makes no sense.
    """
    serving = service("asgi_app", runtime, authorize=authorize, origins=origins, rate=rate, max_body=max_body)
    return application(serving, live=live, title=title)


def application(serving: Service, *, live: FeedLimits, title: str) -> ASGIApp:
    """Make the application of what answers."""
    routes = (*ROUTES, description(title))
    by_path: defaultdict[str, dict[str, Route]] = defaultdict(dict)
    for route in routes:
        by_path[route.path][route.method] = route
    places = [
        Place(path, partial(_dispatch, serving, methods), methods=[*METHODS])
        for path, methods in by_path.items()
    ]
    middleware = [
        Middleware(
            CORSMiddleware, allow_origins=[*serving.origins], allow_methods=METHODS, allow_headers=HEADERS,
            allow_credentials=True, expose_headers=["retry-after"],
        )
    ]  # fmt: skip
    app = Starlette(
        routes=[*places, live_route(serving, limits=live)],
        middleware=middleware if serving.origins else [],
        exception_handlers={404: _nowhere, 405: _nowhere},
    )
    app.router.redirect_slashes = False  # a host may hand over paths with a slash at the end
    return _Unslashed(app)


def description(title: str) -> Route:
    """The route of the OpenAPI document."""
    described = cache(
        partial(document, ROUTES, title=title, version="1")
    )  # it takes a while, and not every host asks

    async def openapi(call: Call) -> Response:  # noqa: ARG001  # it is the same for everybody
        """Describe all of this, as OpenAPI 3.1."""
        return JSONResponse(described())

    return Route(method="GET", path="/openapi.json", name="getOpenAPI", action=None, handler=openapi)


async def _dispatch(serving: Service, routes: dict[str, Route], request: Request) -> Response:
    route = routes.get("GET" if request.method == "HEAD" else request.method)
    if route is None:
        return _not_this_method(request, routes)
    return await serving.respond(route, request)


def _not_this_method(request: Request, methods: Iterable[str]) -> Response:
    allowed = ", ".join(sorted(methods))
    error = RequestError(NOT_THIS_METHOD, f"use {allowed} here", {"allow": allowed})
    return secured(problem_of(error, request.url.path))


async def _nowhere(request: Request, error: Exception) -> Response:
    """Answer what no place of the table is asked with."""
    if isinstance(error, HTTPException) and error.status_code == NOT_THIS_METHOD.status:
        return _not_this_method(request, METHODS)
    return secured(
        problem_of(RequestError(NO_SUCH_PLACE, "openapi.json lists what there is"), request.url.path)
    )


class _Unslashed:
    """Takes paths with a slash at the end for those without: some frameworks add one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand it on."""
        path: Any = scope.get("path", "")
        if path.endswith("/"):
            scope = {**scope, "path": path.rstrip("/") or "/"}
        await self._app(scope, receive, send)
