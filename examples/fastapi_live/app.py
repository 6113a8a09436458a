"""Task preparation in a browser: FastAPI, a JWT in a cookie, live progress, and buttons that command the run.

    pip install 'phaseline[fastapi]' 'uvicorn[standard]' pyjwt python-multipart
    PASSWORD=... uvicorn app:app

Then open http://localhost:8000 and log in as anybody.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import anyio
import jwt
from fastapi import Cookie, FastAPI, Form, HTTPException, Response
from fastapi.responses import FileResponse
from starlette.requests import HTTPConnection

from phaseline import Context, Runtime
from phaseline.recipes.task_preparation import Subtask, Task, TemplateDecomposer, task_preparation_pipeline
from phaseline.web import Access, asgi_app

PAGE = Path(__file__).with_name("index.html")
ALGORITHM, AUDIENCE, COOKIE = "HS256", "task-preparation", "access"


class Unhurried:
    """The templates of the recipe, with the time that a model provider would take."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def __call__(self, task: Task, ctx: Context, /) -> Sequence[Subtask]:
        await anyio.sleep(self._seconds)
        # In a thread: the templates are read from files at first.
        return await anyio.to_thread.run_sync(TemplateDecomposer(), task, ctx)


class Tokens:
    """Says who somebody is, until it expires or he logs out: a token that was copied before is refused then, too."""

    def __init__(self, secret: str, lifetime: timedelta) -> None:
        self._secret, self._lifetime = secret, lifetime
        self._ended: set[str] = set()  # keep them in a database where there are several processes

    def issue(self, name: str) -> str:
        claims = {
            "sub": name, "aud": AUDIENCE, "exp": datetime.now(UTC) + self._lifetime, "jti": secrets.token_urlsafe(12),
        }  # fmt: skip
        return jwt.encode(claims, self._secret, ALGORITHM)

    def access(self, token: str) -> Access | None:
        required = {"require": ["sub", "exp", "jti"]}
        try:
            claims = jwt.decode(token, self._secret, [ALGORITHM], audience=AUDIENCE, options=required)
        except jwt.InvalidTokenError:
            return None
        if claims["jti"] in self._ended:
            return None
        return Access(f"user:{claims['sub']}", expires_at=datetime.fromtimestamp(claims["exp"], UTC))

    def end(self, token: str) -> None:
        with_any_age = {"verify_exp": False}
        claims = jwt.decode(token, self._secret, [ALGORITHM], audience=AUDIENCE, options=with_any_age)
        self._ended.add(claims["jti"])


def create_app(
    runtime: Runtime, password: str, *, secret: str | None = None, lifetime: timedelta = timedelta(hours=1)
) -> FastAPI:
    tokens = Tokens(secret or secrets.token_urlsafe(32), lifetime)

    async def authorize(connection: HTTPConnection) -> Access | None:
        bearer = connection.headers.get("authorization", "").removeprefix("Bearer ")
        token = bearer or connection.cookies.get(COOKIE, "")
        return tokens.access(token)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with runtime:
            yield

    app = FastAPI(title="Task preparation", lifespan=lifespan)

    @app.post("/login", status_code=204)
    async def login(
        response: Response,
        name: Annotated[str, Form(pattern=r"^\w{1,40}$")],
        given: Annotated[str, Form(alias="password")],
    ) -> None:
        if not secrets.compare_digest(given.encode(), password.encode()):
            raise HTTPException(401, "wrong name or password")
        # Scripts cannot read it, pages of others cannot use it. Add secure=True where you serve HTTPS.
        response.set_cookie(
            COOKIE,
            tokens.issue(name),
            httponly=True,
            samesite="strict",
            max_age=int(lifetime.total_seconds()),
        )

    @app.post("/logout", status_code=204)
    async def logout(response: Response, access: Annotated[str, Cookie()]) -> None:
        if tokens.access(access) is not None:
            tokens.end(access)
        response.delete_cookie(COOKIE)

    @app.get("/")
    async def page() -> FileResponse:
        return FileResponse(PAGE)

    app.mount("/api", asgi_app(runtime, authorize=authorize))
    return app


def __getattr__(name: str) -> FastAPI:
    """Make ``app`` when a server asks for it, and not when a test imports this."""
    if name != "app":
        raise AttributeError(name)
    runtime = Runtime("sqlite:///tasks.db", pipelines=[task_preparation_pipeline(Unhurried(2))])
    return create_app(runtime, os.environ["PASSWORD"])
