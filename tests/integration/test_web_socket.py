"""Live events over a WebSocket, in process: the words of the protocol, and what befalls those who misuse it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from anyio.abc import TaskStatus
from starlette.requests import HTTPConnection
from tests.talking import talking

from phaseline import Context, Pipeline, RunSummary, Runtime, phase
from phaseline.storage.memory import MemoryStorage
from phaseline.web import Access, Action, asgi_app
from phaseline.web.feed import FeedLimits
from phaseline.web.websocket import LONGEST, MOST_BAD


@phase
async def half(number: int) -> int:
    return number // 2


@phase
async def told(number: int, ctx: Context) -> int:
    ctx.progress(1, 1)
    return number


halving, telling = Pipeline("halving", half), Pipeline("telling", told)


async def anybody(_: HTTPConnection) -> Access:
    return Access("anybody")


@pytest.fixture
async def runtime() -> AsyncIterator[Runtime]:
    """An open runtime in memory."""
    async with Runtime(pipelines=[halving, telling]) as opened:
        yield opened


async def open_until(
    runtime: Runtime, closing: anyio.Event, closed: anyio.Event, *, task_status: TaskStatus[None]
) -> None:
    async with runtime:
        task_status.started()
        await closing.wait()
    closed.set()


# --------------------------------------------------------------------- the protocol
async def test_a_run_is_subscribed_to_and_taken_up_again(runtime: Runtime) -> None:
    """Stored events first, then live ones; after a reconnection nothing is missing and nothing comes twice."""
    app = asgi_app(runtime, authorize=anybody)
    handle = await runtime.start(halving, 8)
    async with talking(app, sec_websocket_protocol="other, phaseline.v1") as socket:
        await socket.until(lambda: socket.answers)
        subscribed = await socket.ask({"type": "subscribe", "run": handle.id, "after": 1})
        await socket.until(lambda: socket.has("PIPELINE_COMPLETED"))
        gone = await socket.ask({"type": "unsubscribe", "run": handle.id})
        again = await socket.ask({"type": "unsubscribe", "run": handle.id})
        pong = await socket.ask({"type": "ping"})
    await handle.annotate("nobody hears this now")
    async with talking(app) as later:
        await later.ask({"type": "subscribe", "run": handle.id, "after": socket.numbers(handle.id)[-1]})
        await later.until(lambda: later.has("PIPELINE_ANNOTATED"))

    known = {"type": "subscribed", "run": handle.id, "seq": subscribed["seq"]}
    assert {"type": "connected", "protocol": "phaseline.v1"} == socket.answers[0] == later.answers[0]
    assert ("phaseline.v1", None, known) == (socket.protocol, later.protocol, subscribed)
    assert {"type": "unsubscribed", "run": handle.id, "was_subscribed": True} == gone
    assert (False, {"type": "pong"}) == (again["was_subscribed"], pong)
    assert ([2, 3, 4, 5], [6]) == (socket.numbers(handle.id), later.numbers(handle.id))
    assert ("halving", {"from": "INITIALIZING", "to": "HALF"}) == (
        socket.events[0]["pipeline"], socket.events[0]["transition"],
    )  # fmt: skip


async def test_pipelines_and_everything(runtime: Runtime) -> None:
    """Those who hear many runs hear what is not stored, too, and go on where they were."""
    app = asgi_app(runtime, authorize=anybody)
    async with talking(app) as wide, talking(app) as narrow:
        await wide.until(lambda: wide.answers)
        first = await wide.ask({"type": "subscribe", "everything": True})
        await narrow.until(lambda: narrow.answers)
        await narrow.ask({"type": "subscribe", "pipeline": "halving"})
        one, two = await runtime.start(halving, 8), await runtime.start(telling, 1)
        await two.result()
        await wide.until(lambda: sum(event["type"] == "PIPELINE_COMPLETED" for event in wide.events) == 2)
        await narrow.until(lambda: narrow.has("PIPELINE_COMPLETED"))
    three = await runtime.start(halving, 2)
    await three.result()
    async with talking(app) as later:
        later.say({"type": "subscribe", "pipeline": "halving", "after": {one.id: 4}, "newer_than": two.id})
        await later.until(lambda: len(later.events) == 6)

    assert {one.id} == {event["run_id"] for event in narrow.events}
    assert (list(range(1, 6)), True) == (wide.numbers(one.id), wide.has("PHASE_PROGRESS"))
    assert ([5], list(range(1, 6))) == (later.numbers(one.id), later.numbers(three.id))
    assert {"type": "subscribed", "everything": True, "newest": None} == first


# --------------------------------------------------------------------- bad input
NOT_UNDERSTOOD: tuple[Any, ...] = (
    "{", "", "[]", "nonsense \ud800", b"\xff\x00", {"type": "subscribe"}, {"type": "start", "pipeline": "halving"},
    {"type": "subscribe", "run": "a", "everything": True}, {"type": "subscribe", "run": 7},
    {"type": "subscribe", "run": "a", "after": -1}, {"type": "subscribe", "run": "a", "after": {"a": 1}},
    {"type": "subscribe", "everything": True, "after": 3}, {"type": "subscribe", "run": "a", "colour": "red"},
    {"type": "subscribe", "everything": True, "after": {"a": 2**60}}, "[" * 5_000,
)  # fmt: skip


async def test_what_is_not_understood_is_answered_then_closed(runtime: Runtime) -> None:
    """Each is told what is wrong; after a few of them the connection ends."""
    app = asgi_app(runtime, authorize=anybody)
    for first in range(0, len(NOT_UNDERSTOOD), MOST_BAD):
        async with talking(app) as socket:
            for said in NOT_UNDERSTOOD[first : first + MOST_BAD]:
                socket.say(said)
            await socket.until(lambda socket=socket: socket.closed)

        assert [("error", "bad-message")] * MOST_BAD == [
            (error["type"], error.get("code")) for error in socket.answers[1:]
        ]
        assert socket.closed is not None
        assert (1008, "bad-messages") == (socket.closed[0], socket.closed[1].partition(":")[0])


async def test_a_huge_message_ends_the_connection(runtime: Runtime) -> None:
    """One of the longest length does not."""
    async with talking(asgi_app(runtime, authorize=anybody)) as socket:
        socket.say('{"type":"ping"}'.ljust(LONGEST))
        await socket.until(lambda: len(socket.answers) == 2)
        socket.say('{"type":"ping"}'.ljust(LONGEST + 1))
        await socket.until(lambda: socket.closed)

    assert ("pong", 1009) == (socket.answers[1]["type"], (socket.closed or (0, ""))[0])


async def test_a_client_has_so_many_subscriptions_and_asks_so_often(runtime: Runtime) -> None:
    """More are refused by name, and those that it has go on."""
    app = asgi_app(runtime, authorize=anybody, live=FeedLimits(subscriptions=2), rate="20/minute")
    runs = [await runtime.start(halving, number) for number in range(3)]
    async with talking(app) as socket:
        for run in runs:
            socket.say({"type": "subscribe", "run": run.id})
        for _ in range(20):
            socket.say({"type": "ping"})
        await socket.until(lambda: len(socket.answers) == 24)
        await socket.until(lambda: len(socket.events) == 10)
        late = await socket.ask({"type": "subscribe", "run": runs[0].id})

    refused = [answer for answer in socket.answers if answer["type"] == "error"]
    assert ["too-many-subscriptions", *5 * ["too-many-requests"]] == [error["code"] for error in refused]
    assert (runs[2].id, True) == (refused[0]["run"], "2 subscriptions" in refused[0]["message"])
    assert ("too-many-requests", runs[0].id) == (late["code"], late["run"])


async def test_a_run_that_one_may_not_see_is_none(runtime: Runtime) -> None:
    """Its refusal is that of an unknown id."""

    async def may(action: Action, run: RunSummary | None) -> bool:
        return run is None or "mine" in run.tags

    async def somebody(_: HTTPConnection) -> Access:
        return Access("somebody", may=may)

    theirs, unknown = (await runtime.start(halving, 1)).id, "0" * 22
    async with talking(asgi_app(runtime, authorize=somebody)) as socket:
        await socket.until(lambda: socket.answers)
        one = await socket.ask({"type": "subscribe", "run": theirs})
        two = await socket.ask({"type": "subscribe", "run": unknown})
        three = await socket.ask({"type": "subscribe", "run": "\x00 no id"})

    assert ("unknown-run", one["code"]) == (one["code"], three["code"])
    assert one == {**two, "run": theirs, "message": two["message"].replace(unknown, theirs)}


async def test_a_mistake_of_the_host_is_told_as_no_more_than_that(runtime: Runtime) -> None:
    """The connection lives on."""

    async def somebody(_: HTTPConnection) -> Access:
        def may(action: Action, run: RunSummary | None) -> bool:
            raise KeyError("secret", action, run)

        return Access("somebody", may=may)

    run_id = (await runtime.start(halving, 1)).id
    async with talking(asgi_app(runtime, authorize=somebody)) as socket:
        await socket.until(lambda: socket.answers)
        answer = await socket.ask({"type": "subscribe", "run": run_id})
        pong = await socket.ask({"type": "ping"})

    assert ("internal", run_id, "pong") == (answer["code"], answer["run"], pong["type"])
    assert "secret" not in str(socket.heard)


async def test_a_mistake_of_the_host_about_a_run_that_is_covered_ends_the_connection(
    runtime: Runtime,
) -> None:
    """The client comes again: else it would be told nothing of that run, and not know."""

    async def somebody(_: HTTPConnection) -> Access:
        def may(action: Action, run: RunSummary | None) -> bool:
            if run is not None:
                raise KeyError("secret", action, run)
            return True

        return Access("somebody", may=may)

    async with talking(asgi_app(runtime, authorize=somebody)) as socket:
        await socket.until(lambda: socket.answers)
        await socket.ask({"type": "subscribe", "everything": True})
        await runtime.run(halving, 1)
        await socket.until(lambda: socket.closed)

    assert socket.closed is not None
    assert (1011, False) == (socket.closed[0], "secret" in str((socket.closed, socket.heard)))


# --------------------------------------------------------------------- the handshake, and ends from here
async def test_who_is_not_let_in_is_told_why(runtime: Runtime) -> None:
    """Before a connection there is: unknown people, pages of others, and a runtime that is not open."""

    async def nobody(_: HTTPConnection) -> None:
        return None

    async def broken(_: HTTPConnection) -> Access:
        raise ValueError("secret")

    app = asgi_app(runtime, authorize=anybody, origins=["https://app.example"])
    found = []
    for served, headers in (
        (asgi_app(runtime, authorize=nobody), {}),
        (app, {"origin": "https://evil.example"}),
        (asgi_app(Runtime(), authorize=anybody), {}),
        (asgi_app(runtime, authorize=broken), {}),
    ):
        async with talking(served, **headers) as socket:
            await socket.until(lambda socket=socket: socket.refusal)
        found.append((socket.status, socket.refusal["type"].rpartition(":")[2], socket.heard))
        assert "secret" not in str(socket.refusal)
    for origin in ("https://app.example", "http://host"):
        async with talking(app, origin=origin) as socket:
            await socket.until(lambda socket=socket: socket.answers)

    names = [(401, "unauthenticated"), (403, "foreign-origin"), (503, "not-open"), (500, "internal")]
    assert [(*name, []) for name in names] == found


async def test_a_connection_ends_with_its_access_and_with_the_runtime() -> None:
    """It is told which of them."""

    async def briefly(_: HTTPConnection) -> Access:
        return Access("a", expires_at=datetime.now(UTC) + timedelta(milliseconds=200))

    runtime, closing = Runtime(pipelines=[halving]), anyio.Event()
    async with anyio.create_task_group() as tasks:
        await tasks.start(open_until, runtime, closing, anyio.Event())
        async with talking(asgi_app(runtime, authorize=briefly)) as expiring:
            await expiring.until(lambda: expiring.closed)
        async with talking(asgi_app(runtime, authorize=anybody)) as staying:
            await staying.until(lambda: staying.answers)
            closing.set()
            await staying.until(lambda: staying.closed)

    assert expiring.closed is not None
    assert staying.closed is not None
    assert (4401, 1001) == (expiring.closed[0], staying.closed[0])


async def test_a_runtime_that_closes_while_somebody_is_let_in_ends_the_connection() -> None:
    """He is told why, as those are who were there before: it is no fault."""
    runtime = Runtime(pipelines=[halving])
    closing, closed, let_in = anyio.Event(), anyio.Event(), anyio.Event()
    async with anyio.create_task_group() as tasks:
        await tasks.start(open_until, runtime, closing, closed)
        async with talking(asgi_app(runtime, authorize=anybody), let_in=let_in) as socket:
            await socket.until(lambda: socket.is_accepted)
            closing.set()
            await closed.wait()
            let_in.set()
            await socket.until(lambda: socket.closed)

    assert socket.closed is not None
    assert 1001 == socket.closed[0]


async def test_tenants_learn_nothing_of_each_other() -> None:
    """One application, one storage, equal keys: who says another namespace's id is answered as if there were no such run."""
    storage, tenants = MemoryStorage(), dict[str | None, Runtime]()
    for name in ("acme", "umbrella"):
        tenants[name] = Runtime(storage, pipelines=[halving], namespace=name)

    async def by_header(connection: HTTPConnection) -> Access:
        return Access("a", namespace=connection.headers["tenant"])

    app = asgi_app(tenants.get, authorize=by_header)
    async with (
        tenants["acme"], tenants["umbrella"], talking(app, tenant="acme") as one, talking(app, tenant="umbrella") as two,
    ):  # fmt: skip
        for socket in (one, two):
            await socket.until(lambda socket=socket: socket.answers)
            await socket.ask({"type": "subscribe", "everything": True})
        runs = [await tenants[name].start(halving, 2, key="the same") for name in ("acme", "umbrella")]
        for socket in (one, two):
            await socket.until(lambda socket=socket: socket.has("PIPELINE_COMPLETED"))
        refused = await one.ask({"type": "subscribe", "run": runs[1].id})
        unknown = await one.ask({"type": "subscribe", "run": "0" * 22})
        resumed = await one.ask(
            {"type": "subscribe", "pipeline": "halving", "after": {runs[1].id: 0}, "newer_than": "0"}
        )
        await one.until(lambda: len(one.numbers(runs[0].id)) == 10)

    assert str(refused).replace(runs[1].id, "0" * 22) == str(unknown)
    assert runs[0].id == resumed["newest"]
    assert [{run.id} for run in runs] == [
        {event["run_id"] for event in socket.events} for socket in (one, two)
    ]
