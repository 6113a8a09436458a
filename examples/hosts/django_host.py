"""Django: views start runs and ask about them, and the whole surface is mounted beside them in ``asgi.py``.

pip install 'phaseline[web]' django
"""

from __future__ import annotations

from typing import Any

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, JsonResponse
from django.test import Client
from django.urls import path
from starlette.requests import HTTPConnection

from phaseline import Pipeline, Runtime, phase
from phaseline.sync import SyncRuntime
from phaseline.web import Access, asgi_app


@phase
def greet(name: str) -> str:
    return f"Hello, {name}"


greetings = Pipeline("greetings", greet)
runtime = SyncRuntime(Runtime("sqlite:///greetings.db", pipelines=[greetings]))
"""Opened by each process that serves: in ``wsgi.py`` or ``asgi.py``, with ``atexit.register(runtime.close)``."""
urlpatterns: list[Any] = []


# --------------------------------------------------------------------- views.py, under WSGI
def start(request: HttpRequest) -> JsonResponse:
    handle = runtime.start(greetings, request.POST["name"])
    return JsonResponse({"id": handle.id}, status=202)


def show(_: HttpRequest, run_id: str) -> JsonResponse:
    run = runtime.get(run_id, greetings).wait()
    return JsonResponse({"state": run.state, "greeting": run.output})


# --------------------------------------------------------------------- asgi.py, under ASGI
async def authorize(connection: HTTPConnection) -> Access | None:
    return Access("ann") if connection.headers.get("authorization") == "Bearer of-ann" else None


def application_of(views: Any) -> Any:
    """Hand what is below ``/api`` to phaseline, and all else to Django."""
    api = asgi_app(runtime.runtime, authorize=authorize)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] in {"http", "websocket"} and scope["path"].startswith("/api/"):
            await api({**scope, "root_path": scope.get("root_path", "") + "/api"}, receive, send)
        else:
            await views(scope, receive, send)

    return application


async def ask(application: Any, where: str) -> int:
    """Ask for something as a server would; gives the status."""
    scope = {
        "type": "http", "method": "GET", "path": where, "query_string": b"", "headers": [(b"authorization", b"Bearer of-ann")],
    }  # fmt: skip
    told: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: dict[str, Any]) -> None:
        told.append(message.get("status", 0))

    await application(scope, receive, send)
    return told[0]


def main() -> None:
    settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["testserver"])
    django.setup()
    urlpatterns.extend([path("greetings", start), path("greetings/<str:run_id>", show)])
    with runtime:
        client = Client()
        run_id = client.post("/greetings", {"name": "Bob"}).json()["id"]
        print(client.get(f"/greetings/{run_id}").json())
        application = application_of(get_asgi_application())
        print(
            runtime.call(ask, application, f"/api/runs/{run_id}"),
            runtime.call(ask, application, "/api/runs/unknown"),
        )


if __name__ == "__main__":
    main()
