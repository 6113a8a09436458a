"""The surface as a router of FastAPI, so that it stands in the host's own OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from phaseline.errors import MissingExtraError
from phaseline.web.access import Authorize
from phaseline.web.calls import Route
from phaseline.web.feed import DEFAULT_LIMITS, FeedLimits
from phaseline.web.guard import Source
from phaseline.web.openapi import document, inlined
from phaseline.web.rates import DEFAULT
from phaseline.web.routes import ROUTES
from phaseline.web.service import MAX_BODY, Service, service
from phaseline.web.websocket import live_route

if TYPE_CHECKING:
    from fastapi import APIRouter


def fastapi_router(
    runtime: Source,
    *,
    authorize: Authorize,
    origins: Iterable[str] = (),
    rate: str | None = DEFAULT,
    max_body: int = MAX_BODY,
    live: FeedLimits = DEFAULT_LIMITS,
) -> APIRouter:
    """Make a router that a host includes: ``app.include_router(fastapi_router(...), prefix="/api")``.

    It answers as ``asgi_app`` does, also at the WebSocket ``live``, and takes the same arguments. CORS is the host's: its ``CORSMiddleware`` opens it for browsers,
    ``origins`` says whose pages may change something.

    Raises:
        DefinitionError: An argument makes no sense.
        MissingExtraError: FastAPI is not installed.
    """
    try:
        from fastapi import APIRouter  # noqa: PLC0415  # an extra of its own
    except ImportError as error:
        raise MissingExtraError("phaseline.web.fastapi_router", "fastapi") from error
    serving = service(
        "fastapi_router", runtime, authorize=authorize, origins=origins, rate=rate, max_body=max_body
    )
    router = APIRouter()
    paths = inlined(document(ROUTES, title="", version=""))["paths"]
    for route in ROUTES:
        described: dict[str, Any] = dict(paths[route.path][route.method.lower()])
        router.add_api_route(
            route.path, partial(_respond, serving, route), methods=[route.method], name=route.name,
            operation_id=described.pop("operationId"), tags=described.pop("tags"), summary=described.pop("summary"),
            description=described.pop("description", ""), status_code=route.status, response_class=Response,
            response_model=None, openapi_extra=described,
        )  # fmt: skip
    router.routes.append(live_route(serving, limits=live))
    return router


async def _respond(serving: Service, route: Route, request: Request) -> Response:
    return await serving.respond(route, request)
