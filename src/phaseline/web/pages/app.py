"""The console as an ASGI application: its files, and beside them, at ``api``, the surface that they use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final

import anyio
import anyio.to_thread
import attrs
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from phaseline.web.access import Access, Action, Authorize, Resource, asked
from phaseline.web.app import application
from phaseline.web.feed import DEFAULT_LIMITS, FeedLimits
from phaseline.web.guard import Guard, Source
from phaseline.web.pages.assets import HEADERS, PAGE, Asset, read_assets
from phaseline.web.rates import DEFAULT
from phaseline.web.service import MAX_BODY, service
from phaseline.web.shown import HIDDEN, hidden_names

READING: Final = frozenset({Action.LIST, Action.READ, Action.SUBSCRIBE, Action.HEALTH, Action.STATS})
"""What may be done in a console that changes nothing."""


def console(
    runtime: Source,
    *,
    authorize: Authorize,
    read_only: bool = False,
    hidden: Iterable[str] = HIDDEN,
    origins: Iterable[str] = (),
    rate: str | None = DEFAULT,
    max_body: int = MAX_BODY,
    live: FeedLimits = DEFAULT_LIMITS,
    title: str = "Pipelines",
) -> ASGIApp:
    """Make the console as an application, for a host to mount below a path of its own: ``app.mount("/console", ...)``.

    Everything that it needs is below that path: its files, which anybody may read, and the surface of ``asgi_app`` at
    ``api``, which answers those whom ``authorize`` knows. People see what they may see, and the buttons of what they may do.
    It has no lifespan: the host opens the runtime in its own.

    Args:
        runtime: As of ``asgi_app``, with what follows.
        authorize: Says for each request who asks, and what he may. The page sends what a browser sends by itself: cookies.
        read_only: Whether nothing may be changed, whatever ``authorize`` allows.
        hidden: Names, and ends of names, of members of values of which nothing is shown: ``db_password`` by ``password``.
        origins: Whose pages may use what is at ``api``, beside its own.
        rate: How often each client may ask there.
        max_body: Bytes of a body that are read at most.
        live: What one client of live events may have.
        title: Of the OpenAPI document at ``api/openapi.json``.

    Raises:
        DefinitionError: An argument makes no sense.
    """
    serving = service("console", runtime, authorize=authorize, origins=origins, rate=rate, max_body=max_body)
    serving = attrs.evolve(serving, hidden=hidden_names(hidden))
    if read_only:
        guard = Guard(serving.guard.source, _without_changes(serving.guard.authorize))
        serving = attrs.evolve(serving, guard=guard, read_only=True)
    api = application(serving, live=live, title=title)
    return _Placed(Router(routes=[Mount("/api", api)], default=_Files(), redirect_slashes=False))


def _without_changes(authorize: Authorize) -> Authorize:
    async def limited(connection: Any) -> Access | None:
        access = await asked(authorize, connection)
        return None if access is None else attrs.evolve(access, may=partial(_may_read, access))

    return limited


async def _may_read(access: Access, action: Action, resource: Resource | None) -> bool:
    return action in READING and await access.allows(action, resource)


class _Placed:
    """Has the path begin with what the application is mounted below, as ASGI says: Litestar leaves that out, and the slash."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand it on."""
        path, root = scope.get("path", ""), scope.get("root_path", "").rstrip("/")
        if not path.startswith("/"):
            path = f"/{path}"
        if not f"{path}/".startswith(f"{root}/"):
            path = f"{root}{path}"
        await self._app({**scope, "path": path}, receive, send)


class _Files:
    """Gives the files, whatever path they are mounted below; they are read when the first one is asked for."""

    def __init__(self) -> None:
        self._assets: Mapping[str, Asset] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; nobody talks here."""
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
        elif scope["type"] == "http":
            if self._assets is None:
                self._assets = await anyio.to_thread.run_sync(read_assets)
            await self._answer(Request(scope), self._assets)(scope, receive, send)

    @staticmethod
    def _answer(request: Request, assets: Mapping[str, Asset]) -> Response:
        name = request.scope["path"].removeprefix(request.scope.get("root_path", "")).strip("/")
        if not name and (elsewhere := _with_slash(request.scope)) is not None:
            return Response(status_code=307, headers={**HEADERS, "location": elsewhere})
        asset = assets.get(name or PAGE)
        if asset is None:
            return PlainTextResponse("there is nothing here", 404, HEADERS)
        if request.method not in ("GET", "HEAD"):
            return PlainTextResponse("use GET", 405, {**HEADERS, "allow": "GET, HEAD"})
        return asset.answer(request)


def _with_slash(scope: Scope) -> str | None:
    """Where the page is, as seen from an address without the slash at the end, by which browsers find what lies beside it."""
    raw: bytes = scope.get("raw_path") or b"/"  # as the browser asked; frameworks change the other one
    path = raw.partition(b"?")[0].decode("latin-1")
    return None if path.endswith("/") else f"./{path.rpartition('/')[2]}/"
