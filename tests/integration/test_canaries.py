"""Canaries: secrets that are put wherever users can, and looked for wherever others look."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from anyio import to_thread
from prometheus_client import CollectorRegistry, generate_latest
from pydantic import BaseModel
from tests.apps.traced import Recorded
from tests.loops import anyio_backend  # noqa: F401  # the fixture
from tests.web_client import client_of

from phaseline import Context, Event, Pipeline, Runtime, otel, phase, prometheus
from phaseline.errors import InvalidInputError, PhaselineError, PipelineFailedError
from phaseline.storage.sql.store import SqlStorage
from phaseline.web import Access, asgi_app

VALUE = "canary-in-a-value"
WORDS = "canary-in-the-words-of-an-exception"
MASKED = "canary-in-a-password"
CAUSE = "canary-in-a-cause"
URL = "canary-in-a-url"


class Order(BaseModel):
    number: int
    card: str


@phase
async def charge(order: Order, ctx: Context) -> Order:
    await ctx.step("look", lambda: order.card)
    await ctx.save({"card": order.card})
    return order


@phase
async def refuse(order: Order) -> int:
    try:
        {}[CAUSE]
    except KeyError as error:
        msg = f"{WORDS}: https://user:{MASKED}@bank/?api_key={MASKED} for order {order.number}"
        raise ValueError(msg) from error


ordering = Pipeline("ordering", charge >> refuse)


async def known(_: Any) -> Access:
    return Access("user:42")


async def test_secrets_are_where_their_user_put_them_and_nowhere_else(
    sqlite_storage: Callable[[], SqlStorage], caplog: pytest.LogCaptureFixture
) -> None:
    """Values are told as values alone; the words of an exception with the failure, their passwords masked, its causes nowhere."""
    caplog.set_level(logging.DEBUG, "phaseline")
    recorded, registry, events = Recorded(), CollectorRegistry(), list[Event]()
    runtime = Runtime(sqlite_storage(), pipelines=[ordering], on_error=events.append)
    runtime.bus.subscribe(events.append)
    await runtime.migrate()
    otel.instrument(runtime, tracer_provider=recorded.provider)
    prometheus.instrument(runtime, registry=registry)
    async with runtime:
        with pytest.raises(InvalidInputError) as invalid:
            await runtime.start(ordering, {"number": f"{VALUE}", "card": VALUE})  # type: ignore[arg-type]  # what is tested
        with pytest.raises(PipelineFailedError) as failed:
            await runtime.run(ordering, Order(number=1, card=VALUE))
        run_id = failed.value.run.id
        stored = [event async for event in (await runtime.get(run_id)).events()]
        async with client_of(asgi_app(runtime, authorize=known)) as client:
            asked = ["", f"/{run_id}", f"/{run_id}/events", "/counts"]
            answers = [
                await client.get(path)
                for path in (*(f"/runs{each}" for each in asked), "/dead-letters", "/health")
            ]
            assert {200} == {answer.status_code for answer in answers}
            shown = [answer.text for answer in answers]
            refused = (
                await client.post("/pipeline/start", json={"pipeline": "ordering", "input": {"card": VALUE}})
            ).text
        figures = (await to_thread.run_sync(generate_latest, registry)).decode()
        export = (await (await runtime.get(run_id)).export(values=False)).to_json()

    told = "\n".join(str(event.data) for event in [*events, *stored])
    assert len(events) >= len(stored) > 5
    logged = "\n".join(
        f"{record.getMessage()} {vars(record)} {record.exc_text or ''}" for record in caplog.records
    )
    beside = {
        "log": logged, "spans": json.dumps(recorded.spans()), "figures": figures,
        "refusal": str(invalid.value) + refused,
    }  # fmt: skip
    with_failure = {
        "events": told, "error": str(failed.value), "run": repr(failed.value.run), "export": str(export),
        **{f"answer {number}": text for number, text in enumerate(shown)},
    }  # fmt: skip
    assert recorded.spans()
    assert WORDS in told, "the canaries are alive"
    assert any(WORDS in text for text in shown), "the canaries are alive"
    assert [] == [
        (place, canary)
        for place, text in beside.items()
        for canary in (VALUE, WORDS, MASKED, CAUSE)
        if canary in text
    ]
    assert [] == [
        (place, canary)
        for place, text in with_failure.items()
        for canary in (VALUE, MASKED, CAUSE)
        if canary in text
    ]


@pytest.mark.parametrize(
    "given",
    [
        {"storage": f"postgresql://user:{URL}@127.0.0.1:1/runs"},
        {"storage": f"postgresql://user:{URL}@127.0.0.1:port/runs"},
        {"storage": f"nothing://user:{URL}@127.0.0.1/runs"},
        {"queue": f"redis://user:{URL}@127.0.0.1:1/0"},
        {"queue": f"amqp://user:{URL}@127.0.0.1:1"},
        {"queue": f"nothing://user:{URL}@127.0.0.1"},
        {"transport": f"redis://user:{URL}@127.0.0.1:1/0"},
        {"transport": f"nothing://user:{URL}@127.0.0.1"},
    ],
    ids=str,
)
async def test_the_password_of_a_url_is_nowhere(
    given: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither where the URL is wrong nor where nobody answers: not in the error and its causes, what it shows of itself, health or log."""
    caplog.set_level(logging.DEBUG, "phaseline")
    said: list[str] = []
    try:
        if "storage" not in given:
            given = {"storage": "sqlite://", **given}
        runtime = await to_thread.run_sync(lambda: Runtime(pipelines=[ordering], **given))
        said.append(repr(runtime))
        said.append(str((await runtime.health()).to_dict()))
        if "postgresql" in str(given):
            async with runtime:
                raise AssertionError("it opened")
    except PhaselineError as error:
        said.append("".join(traceback.format_exception(error)))
        said.append(str(vars(error)))
    assert said
    logged = "\n".join(record.getMessage() + (record.exc_text or "") for record in caplog.records)
    assert URL not in logged
    assert [] == [text for text in said if URL in text]
