"""Who asks over the network, and what he may: denied unless the host says otherwise."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.requests import HTTPConnection

from phaseline import Pipeline, RunSummary, Runtime, phase
from phaseline.errors import (
    DefinitionError,
    ForbiddenError,
    InvalidMarkError,
    RunNotFoundError,
    RuntimeNotOpenError,
    UnauthenticatedError,
)
from phaseline.web import Access, Action, allow_all
from phaseline.web.access import checked_authorize
from phaseline.web.guard import Guard
from phaseline.web.origins import checked_origins, comes_from


@phase
async def double(number: int) -> int:
    return 2 * number


doubled = Pipeline("doubled", double)


def connection(**headers: str) -> HTTPConnection:
    """A request with these headers."""
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return HTTPConnection({"type": "http", "headers": raw})


def guard(access: Access | None, source: Any) -> Guard:
    """One that takes everybody for this one."""

    async def authorize(_: HTTPConnection) -> Access | None:
        return access

    return Guard(source, authorize)


# --------------------------------------------------------------------- access
async def test_what_is_not_allowed_is_denied() -> None:
    """Only True allows: not a forgotten return, not what is true by being there; it may be awaited for."""

    async def reading(action: Action, run: RunSummary | None) -> bool:
        return action is Action.READ

    assert await Access("a", may=reading).allows(Action.READ)
    assert not await Access("a", may=reading).allows(Action.CANCEL)
    for answer in (None, 1, "yes", False):
        assert not await Access("a", may=lambda action, run, answer=answer: answer).allows(Action.READ)


@pytest.mark.parametrize(
    "given",
    [
        {"actor": ""},
        {"actor": None},
        {"actor": "a\nb"},
        {"actor": "a", "namespace": ""},
        {"actor": "a", "may": "everything"},
        {"actor": "a", "attributes": {"owner": None}},
        {"actor": "a", "expires_at": datetime(2030, 1, 1)},  # noqa: DTZ001  # that is refused
    ],
)
def test_an_access_that_makes_no_sense_is_refused(given: dict[str, Any]) -> None:
    """Before anybody is let in by it."""
    with pytest.raises((DefinitionError, InvalidMarkError, TypeError)):
        Access(**given)


def test_an_access_ends_at_its_time() -> None:
    """At the moment itself it holds no more."""
    now = datetime.now(UTC)
    access = Access("a", expires_at=now)
    assert access.has_expired(now)
    assert not access.has_expired(now - timedelta.resolution)
    assert not Access("a").has_expired()


@pytest.mark.parametrize("authorize", [None, "allow_all", True])
def test_who_is_let_in_must_be_said(authorize: object) -> None:
    """There is no default, and nothing stands for one."""
    with pytest.raises(DefinitionError, match="authorize"):
        checked_authorize(authorize, "asgi_app")


async def test_allow_all_says_what_it_does(caplog: pytest.LogCaptureFixture) -> None:
    """A warning when it is given."""
    with caplog.at_level(logging.WARNING, "phaseline.web"):
        assert checked_authorize(allow_all, "asgi_app") is allow_all
    assert ["WARNING"] == [record.levelname for record in caplog.records]
    assert "anonymous" == (await allow_all(connection())).actor


# --------------------------------------------------------------------- the guard
async def test_who_is_unknown_is_not_admitted() -> None:
    """And neither is whose access has expired."""
    async with Runtime(pipelines=[doubled]) as runtime:
        with pytest.raises(UnauthenticatedError):
            await guard(None, runtime).admit(connection())
        past = Access("a", expires_at=datetime.now(UTC) - timedelta(seconds=1))
        with pytest.raises(UnauthenticatedError) as caught:
            await guard(past, runtime).admit(connection())
    assert caught.value.expired


async def test_a_runtime_that_is_not_open_says_so() -> None:
    """The host mounted the application, and forgot ``async with``."""
    with pytest.raises(RuntimeNotOpenError):
        await guard(Access("a"), Runtime(pipelines=[doubled])).admit(connection())


async def test_nobody_gets_to_another_namespace() -> None:
    """Not even where the host gives the wrong runtime by accident."""
    async with Runtime(namespace="acme") as acme, Runtime(namespace="other") as other:
        several = {"acme": acme, "wrong": other}.get
        assert (await guard(Access("a", "acme"), several).admit(connection())).runtime is acme
        assert (await guard(Access("a"), acme).admit(connection())).runtime is acme
        for namespace, source in (("wrong", several), ("unknown", several), (None, several), ("other", acme)):
            with pytest.raises(ForbiddenError):
                await guard(Access("a", namespace), source).admit(connection())


async def test_a_namespace_may_be_found_in_a_while() -> None:
    """As a view is, that is opened by who asks for it first."""
    async with Runtime(pipelines=[doubled]) as runtime:

        async def found(namespace: str | None) -> Runtime | None:
            return None if namespace != "acme" else await runtime.within(namespace)

        visitor = await guard(Access("a", "acme"), found).admit(connection())
        assert visitor.runtime is await runtime.within("acme")
        for namespace in ("unknown", None):
            with pytest.raises(ForbiddenError):
                await guard(Access("a", namespace), found).admit(connection())


async def test_a_run_that_one_may_not_see_is_unknown() -> None:
    """The same error, the same words as for one that is not there."""
    async with Runtime(pipelines=[doubled]) as runtime:
        run_id = (await runtime.start(doubled, 1, tags=["mine"])).id
        hers = Access("a", may=lambda _, run: run is not None and "mine" in run.tags)
        his = Access("b", may=lambda _, run: False)
        found = await (await guard(hers, runtime).admit(connection())).run(Action.READ, run_id)
        assert (run_id, "doubled") == (found.id, found.pipeline)
        visitor = await guard(his, runtime).admit(connection())
        with pytest.raises(RunNotFoundError) as hidden:
            await visitor.run(Action.READ, run_id)
        with pytest.raises(RunNotFoundError) as unknown:
            await visitor.run(Action.READ, "x" * len(run_id))
        with pytest.raises(ForbiddenError):
            await visitor.require(Action.LIST)
    assert str(hidden.value).replace(run_id, "") == str(unknown.value).replace("x" * len(run_id), "")


# --------------------------------------------------------------------- origins
@pytest.mark.parametrize(
    ("headers", "is_ours"),
    [
        ({}, True),
        ({"origin": "https://app.example", "host": "api.example"}, True),
        ({"origin": "HTTPS://APP.example", "host": "api.example"}, True),
        ({"origin": "http://api.example:8000", "host": "api.example:8000"}, True),
        ({"origin": "http://api.example:8001", "host": "api.example:8000"}, False),
        ({"origin": "http://app.example", "host": "api.example"}, False),
        ({"origin": "https://app.example.evil.example", "host": "api.example"}, False),
        ({"origin": "null", "host": "api.example"}, False),
        ({"origin": "", "host": "api.example"}, False),
        ({"origin": "http://["}, False),
        ({"origin": "http://"}, False),
    ],
)
def test_pages_of_others_are_told_from_ours(headers: dict[str, str], *, is_ours: bool) -> None:
    """By the whole origin, or by our own host."""
    assert is_ours is comes_from(connection(**headers), checked_origins(["https://app.example"]))


@pytest.mark.parametrize(
    "origins", ["https://app.example", ["*"], ["app.example"], ["https://a/b"], [None], 3]
)
def test_origins_that_no_browser_sends_are_refused(origins: object) -> None:
    """They would keep out whom the host means to let in."""
    with pytest.raises(DefinitionError, match="origin"):
        checked_origins(origins)
