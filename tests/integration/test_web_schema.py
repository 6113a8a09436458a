"""The HTTP surface does what its OpenAPI document says, whatever is sent to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis.errors import FlakyStrategyDefinition
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from phaseline import Pipeline, Runtime, Signal, phase
from phaseline.web import Access, asgi_app
from phaseline.web.routes import ROUTES

APPROVED: Signal[Any] = Signal[Any]("approved")


@phase
async def first(value: Any) -> Any:
    return value


@phase
async def second(pair: tuple[Any, Any]) -> str:
    if pair[1] is None:
        raise ValueError("not approved")
    return "approved"


approvals = Pipeline("approvals", first.wait_for(APPROVED) >> second)
QUICK: Final = {
    "deadline": None, "database": None, "phases": [Phase.generate], "suppress_health_check": [*HealthCheck],
}  # fmt: skip


WORDS: Final = {
    place.rpartition("/")[2]
    for place in (route.path for route in ROUTES)
    if place.startswith("/runs/") and "{" not in place
}
"""What stands where the id of a run may, such as ``/runs/pause``: with another method it is 405, and no id is like that."""
pytestmark = pytest.mark.timeout(240)  # seconds of work, and many on a machine that is busy


async def everybody(_: Any) -> Access:
    return Access("user:42")


class Opened:
    """An application whose lifespan opens the runtime, as a host's does."""

    def __init__(self) -> None:
        self.runtime = Runtime(pipelines=[approvals])
        self.app = asgi_app(self.runtime, authorize=everybody, rate=None)
        self.host = Starlette(lifespan=self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        async with self.runtime:
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand it on."""
        await (self.host if scope["type"] == "lifespan" else self.app)(scope, receive, send)


@pytest.fixture(scope="module")
def schema() -> Iterator[Any]:
    """The document, as the application itself gives it; on a loop of its own."""
    # Imported here: it takes seconds, and each worker of the suite imports each module.
    import schemathesis  # noqa: PLC0415
    from schemathesis.python import asgi  # noqa: PLC0415

    yield schemathesis.openapi.from_asgi("/openapi.json", Opened())
    asgi.shutdown_lifespans()


def checks() -> list[Any]:
    """What is asked of each answer."""
    from schemathesis import checks as general  # noqa: PLC0415
    from schemathesis.specs.openapi import checks as openapi  # noqa: PLC0415

    return [
        general.not_a_server_error, openapi.status_code_conformance, openapi.content_type_conformance,
        openapi.response_headers_conformance, openapi.response_schema_conformance, openapi.negative_data_rejection,
    ]  # fmt: skip


def test_whatever_is_sent_is_answered_as_documented(schema: Any) -> None:
    """Each operation, with data that fit and that do not: no server error, no status or shape that is not documented."""
    asked_of = checks()
    seen: Counter[str] = Counter()
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(max_examples=4, **QUICK)
        @given(case=operation.as_strategy())
        def answered(case: Any) -> None:
            assume((case.path_parameters or {}).get("id") not in WORDS)
            seen[case.operation.label] += 1
            case.call_and_validate(checks=asked_of)

        answered()
    assert {f"{route.method} {route.path}" for route in ROUTES} <= {*seen}


def test_what_is_linked_can_be_followed(schema: Any) -> None:
    """Runs are started, and commanded by what the answers link to."""
    from schemathesis.core.failures import FailureGroup  # noqa: PLC0415

    asked_of = checks()
    seen: Counter[tuple[str, int]] = Counter()
    failures: list[FailureGroup] = []

    class Machine(schema.as_state_machine()):  # type: ignore[misc]
        def before_call(self, case: Any) -> None:
            """Name what is there: it could not be guessed."""
            if (case.path_parameters or {}).get("id") in WORDS:
                case.path_parameters["id"] = "0" * 22
            more = {"POST /pipeline/start": {}, "PUT /schedules/{name}": {"cron": "0 0 1 1 *"}}
            if case.operation.label in more and isinstance(case.body, dict):
                given = {"pipeline": "approvals", "input": case.body.get("input")}
                case.body = {**given, **more[case.operation.label]}

        def validate_response(self, response: Any, case: Any, *_: Any, **__: Any) -> None:
            seen[case.operation.label, response.status_code] += 1
            try:
                case.validate_response(response, checks=asked_of)
            except FailureGroup as failure:
                failures.append(failure)

    def reached() -> set[int]:
        return {status for (label, status) in seen if label.startswith("POST /runs/")}

    for _ in range(60):  # they are drawn by chance: a round misses a conflict about two times in three
        # The server remembers what was done before, so that the same draws are answered in another way: hypothesis ends then.
        with suppress(FlakyStrategyDefinition):
            Machine.run(settings=settings(max_examples=6, stateful_step_count=8, **QUICK))
        if 409 in reached() and {200, 201} & reached():
            break
    assert not failures
    assert 409 in reached()
    assert {200, 201} & reached()
