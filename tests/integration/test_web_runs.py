"""Runs are started, watched and commanded over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import httpx2
import pytest
from tests.counted import doubled, listed, summed, world
from tests.loops import BOTH_LOOPS, anyio_backend  # noqa: F401  # a fixture
from tests.web_client import client_of, streaming

from phaseline import Pipeline, Runtime, Signal, each, inspection
from phaseline._definition.context import Context
from phaseline._definition.phase import phase
from phaseline._shell.runner import Runner
from phaseline.errors import StorageUnavailableError
from phaseline.storage.sql.store import SqlStorage
from phaseline.views import RunDetail
from phaseline.web import Access, asgi_app, runs, sse

APPROVED = Signal[bool]("approved")


@phase
async def published(decided: tuple[int, bool]) -> str:
    return f"{decided[0]}: {decided[1]}"


@phase
async def held(number: int, ctx: Context) -> int:
    """Stand still until the test lets it go on."""
    world.begun.set()
    ctx.progress(1, 2)
    await world.open.wait()
    return number


summing = Pipeline("summing", listed >> each(doubled) >> summed)
reports = Pipeline("reports", doubled.wait_for(APPROVED) >> published)
holding = Pipeline("holding", held >> doubled)


async def known(_: Any) -> Access:
    return Access("user:42")


@pytest.fixture
async def runtime() -> AsyncIterator[Runtime]:
    """An open runtime in memory."""
    async with Runtime(pipelines=[summing, reports, holding]) as opened:
        yield opened


@pytest.fixture
async def client(runtime: Runtime) -> AsyncIterator[httpx2.AsyncClient]:
    """Somebody who may do everything."""
    async with client_of(asgi_app(runtime, authorize=known)) as found:
        yield found


async def started(client: httpx2.AsyncClient, pipeline: str, value: Any, **more: Any) -> str:
    answer = await client.post("/pipeline/start", json={"pipeline": pipeline, "input": value, **more})
    assert (201, "application/json") == (answer.status_code, answer.headers["content-type"]), answer.text
    return str(answer.json()["id"])


async def ended(runtime: Runtime, run_id: str) -> None:
    await (await runtime.get(run_id)).wait(timedelta(seconds=20))


async def ok(asked: Any, status: int = 200) -> Any:
    """Give the data of an answer."""
    answer = await asked
    assert status == answer.status_code, answer.text
    return answer.json()


# --------------------------------------------------------------------- the seven
@BOTH_LOOPS
async def test_a_run_is_controlled_by_the_seven_endpoints(
    runtime: Runtime, client: httpx2.AsyncClient
) -> None:
    """Start, state, checkpoints, pause, resume from a checkpoint, rollback, stats; who and why stands in its history."""
    run_id = await started(client, "holding", 4)
    await world.begun.wait()
    assert "HELD" == (await ok(client.get(f"/pipeline/{run_id}/state")))["state"]
    paused = await ok(client.patch("/pipeline/pause", json={"id": run_id, "reason": "lunch"}))
    assert ("PAUSED", "resume") == (paused["state"], paused["allowed"][0])
    world.open.set()
    await ok(client.patch("/pipeline/resume", json={"id": run_id}))
    await ended(runtime, run_id)
    points = (await ok(client.get(f"/pipeline/{run_id}/checkpoints")))["checkpoints"]
    assert ["held", "doubled"] == [point["phase"] for point in points]
    back = await ok(
        client.post("/pipeline/rollback", json={"id": run_id, "to": points[0]["id"], "reason": "odd"})
    )
    assert "ROLLED_BACK" == back["state"]
    await ok(client.patch("/pipeline/resume", json={"id": run_id}))
    await ended(runtime, run_id)
    assert {"COMPLETED": 1} == (await ok(client.get("/pipeline/stats")))["pipelines"]["holding"]
    events = (await ok(client.get(f"/runs/{run_id}/events")))["events"]
    told = [
        (each["type"], each["data"]["reason"], each["data"]["actor"])
        for each in events
        if "actor" in each["data"]
    ]
    assert ("PIPELINE_PAUSED", "lunch", "user:42") in told
    assert ("PIPELINE_ROLLED_BACK", "odd", "user:42") in told


async def test_a_run_is_resumed_from_a_checkpoint(runtime: Runtime, client: httpx2.AsyncClient) -> None:
    """It is taken back there before: what came after it is done once more."""
    world.open.set()
    run_id = await started(client, "holding", 4)
    await ended(runtime, run_id)
    points = (await ok(client.get(f"/pipeline/{run_id}/checkpoints")))["checkpoints"]
    await ok(client.patch("/pipeline/resume", json={"id": run_id, "checkpoint": points[0]["id"]}))
    await ended(runtime, run_id)
    assert 2 == world.calls["doubled"]
    unknown = await client.patch("/pipeline/resume", json={"id": run_id, "checkpoint": "none"})
    assert (422, [each["id"] for each in points][:1]) == (
        unknown.status_code,
        unknown.json()["checkpoints"][:1],
    )


async def test_a_key_stands_for_one_run(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    """As the header, or in the body; another input under it is refused, and the run not told."""
    asked = {"pipeline": "summing", "input": 3}
    first = await ok(client.post("/pipeline/start", json=asked, headers={"Idempotency-Key": "k"}), 201)
    again = await ok(client.post("/pipeline/start", json={**asked, "key": "k"}), 200)
    assert (first["id"], first.keys()) == (again["id"], again.keys())
    await ended(runtime, first["id"])
    other = await client.post("/pipeline/start", json={**asked, "input": 4, "key": "k"})
    assert (409, "urn:phaseline:problem:key-conflict") == (other.status_code, other.json()["type"])
    assert first["id"] not in other.text
    two = await client.post("/pipeline/start", json={**asked, "key": "k"}, headers={"Idempotency-Key": "l"})
    assert 422 == two.status_code


# --------------------------------------------------------------------- looking at runs
async def test_runs_that_go_on_are_listed_and_commanded_by_stage(
    client: httpx2.AsyncClient, runtime: Runtime
) -> None:
    """By one word, whatever the labels are: those that wait, and those that are worked on."""
    active = await started(client, "holding", 4)
    await world.begun.wait()
    waiting = await started(client, "reports", 5)
    while "WAIT_FOR_APPROVED" not in await runtime.find().count():  # noqa: ASYNC110  # no event tells of it
        await anyio.sleep(0.01)

    async def found(stage: str) -> list[str]:
        return [run["id"] for run in (await ok(client.get("/runs", params={"stage": stage})))["runs"]]

    assert ([active], [waiting]) == (await found("active"), await found("waiting"))
    assert {"WAIT_FOR_APPROVED": 1} == (await ok(client.get("/runs/counts?stage=waiting")))["counts"]
    assert 422 == (await client.get("/runs", params={"stage": "ended"})).status_code
    assert 1 == (await ok(client.post("/runs/pause", json={"stage": "waiting"})))["done"]
    assert ([active], []) == (await found("active"), await found("waiting"))
    world.open.set()


async def test_runs_are_listed(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    """With the filters of ``find``, page by page, and counted."""
    world.broken = {"summed"}
    ids = [
        await started(
            client, "summing", number, tags=[f"t{number}"], attributes={"customer": number, "name": "7"}
        )
        for number in range(3)
    ]
    for run_id in ids:
        await ended(runtime, run_id)

    async def found(**query: Any) -> list[str]:
        return [run["id"] for run in (await ok(client.get("/runs", params=query)))["runs"]]

    assert ids[::-1] == await found()
    assert ids[::-1] == await found(state=["FAILED", "PAUSED"], pipeline="summing", ended="true")
    assert [ids[1]] == await found(tag="t1")
    assert [ids[2]] == await found(attribute=["customer=2", 'name="7"'])
    assert [] == await found(attribute="customer=two")
    assert [] == await found(until="2020-01-01T00:00:00Z")
    assert [ids[0]] == await found(text=ids[0])
    first = await ok(client.get("/runs", params={"limit": 2, "order": "oldest"}))
    rest = await ok(client.get("/runs", params={"limit": 2, "order": "oldest", "after": first["next"]}))
    assert (ids, None) == ([run["id"] for run in (*first["runs"], *rest["runs"])], rest["next"])
    assert {"counts": {"FAILED": 3}, "total": 3} == await ok(client.get("/runs/counts"))
    (group,) = (await ok(client.get("/runs/statistics?by=day&state=FAILED")))["groups"]
    assert (group["states"], group["success_rate"], group["usage"]["cost"]) == ({"FAILED": 3}, 0, "0")
    assert group["waited_seconds"].keys() == {"p50", "p95", "p99", "most"}
    shown = first["runs"][0]
    assert ("summed", "ValueError", ["t0"]) == (shown["phase"], shown["error"]["type"], shown["tags"])


async def test_a_run_is_shown(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    """With its phases, its history, its checkpoints and its output."""
    run_id = await started(client, "summing", 3)
    await ended(runtime, run_id)
    shown = await ok(client.get(f"/runs/{run_id}"))
    assert ("COMPLETED", 6) == (shown["state"], shown["output"])
    assert ["listed", "doubled", "doubled[0]"] == [each["path"] for each in shown["phases"]][:3]
    assert "INITIALIZING" == shown["history"][0]["target"]
    assert shown["checkpoints"]


async def test_the_output_of_a_run_is_shown_beside_the_event_loop(
    client: httpx2.AsyncClient, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be large: it is read, and written, in a thread, and nobody else waits for that."""
    run_id = await started(client, "summing", 3)
    await ended(runtime, run_id)
    at: dict[str, int] = {}

    def noted(name: str, function: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            at[name] = threading.get_ident()
            return function(*args, **options)

        return call

    monkeypatch.setattr("phaseline.inspection.from_json", noted("read", inspection.from_json))
    monkeypatch.setattr("phaseline.web.runs.redacted", noted("redacted", runs.redacted))
    monkeypatch.setattr(RunDetail, "model_dump_json", noted("written", RunDetail.model_dump_json))
    assert 6 == (await ok(client.get(f"/runs/{run_id}")))["output"]
    assert {"read", "redacted", "written"} == at.keys()
    assert threading.get_ident() not in at.values()


async def test_a_run_that_goes_on_is_shown(client: httpx2.AsyncClient) -> None:
    """Without an output, with how far it is."""
    run_id = await started(client, "holding", 1)
    await world.begun.wait()
    shown = await ok(client.get(f"/runs/{run_id}"))
    assert (None, "RUNNING") == (shown["output"], shown["phases"][0]["state"])
    world.open.set()


async def test_of_a_large_run_the_first_phases_are_shown(
    client: httpx2.AsyncClient, runtime: Runtime
) -> None:
    """And how many more there are."""
    run_id = await started(client, "summing", 1_010)
    await ended(runtime, run_id)
    shown = await ok(client.get(f"/runs/{run_id}"))
    assert (1_000, 13) == (len(shown["phases"]), shown["phases_left_out"])


async def test_events_come_in_pages(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    """Each once, in order, in the form that they have everywhere."""
    run_id = await started(client, "summing", 3)
    await ended(runtime, run_id)
    events: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        page = await ok(client.get(f"/runs/{run_id}/events", params={"after": after, "limit": 4}))
        events += page["events"]
        after = page["next"]
    assert [*range(1, len(events) + 1)] == [event["seq"] for event in events]
    assert {"from": "IDLE", "to": "INITIALIZING"} == events[0]["transition"]
    assert ("PIPELINE_COMPLETED", "summing", run_id) == tuple(
        events[-1][name] for name in ("type", "pipeline", "run_id")
    )


# --------------------------------------------------------------------- server-sent events
@BOTH_LOOPS
async def test_events_are_told_as_they_come(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    """What is stored first, then what comes, to the end; a client that connects again misses nothing."""
    app = asgi_app(runtime, authorize=known)
    run_id = await started(client, "holding", 1)
    await world.begun.wait()
    async with streaming(app, f"/runs/{run_id}/stream") as first:
        await first.until("event: PHASE_STARTED")
        assert (200, "text/event-stream; charset=utf-8") == (first.status, first.headers["content-type"])
        assert "no-store" == first.headers["cache-control"]
        last = first.ids[-1]
    world.open.set()
    async with streaming(app, f"/runs/{run_id}/stream", {"Last-Event-ID": str(last)}) as second:
        with anyio.fail_after(10):
            await second.over.wait()
    assert [*range(1, max(second.ids) + 1)] == [*first.ids, *second.ids]
    data = [json.loads(line[6:]) for line in second.text.splitlines() if line.startswith("data: ")]
    assert "PIPELINE_COMPLETED" == data[-1]["type"]
    last = max(second.ids)
    done = await client.get(f"/runs/{run_id}/stream", headers={"Last-Event-ID": str(last)})
    assert (204, "") == (done.status_code, done.text)


async def test_a_stream_after_what_is_not_there_yet_tells_what_comes(
    client: httpx2.AsyncClient, runtime: Runtime
) -> None:
    """As a WebSocket does: a number beyond the last one, as of a database set back, is taken for the last one."""
    run_id = await started(client, "holding", 1)
    await world.begun.wait()
    app, beyond = asgi_app(runtime, authorize=known), {"Last-Event-ID": str(10**17)}
    async with streaming(app, f"/runs/{run_id}/stream", beyond) as told:
        await told.until("retry: ")
        world.open.set()
        await told.until("event: PIPELINE_COMPLETED")

    stored = (await ok(client.get(f"/runs/{run_id}/events")))["events"]
    assert [*range(told.ids[0], stored[-1]["seq"] + 1)] == told.ids


@BOTH_LOOPS
async def test_a_stream_stays_alive_and_ends_with_its_access(
    runtime: Runtime, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing happens something is said all the same; whose access expires is told so."""
    monkeypatch.setattr(sse, "KEEP_ALIVE", 0.01)
    run_id = await started(client, "holding", 1)
    await world.begun.wait()

    async def for_a_while(_: Any) -> Access:
        return Access("user:42", expires_at=datetime.now(UTC) + timedelta(seconds=0.3))

    async with streaming(asgi_app(runtime, authorize=for_a_while), f"/runs/{run_id}/stream") as told:
        await told.until(": still here")
        await told.until('event: closed\ndata: {"reason": "expired"}')
        with anyio.fail_after(10):
            await told.over.wait()
    world.open.set()


@BOTH_LOOPS
async def test_a_client_that_reads_nothing_holds_up_nobody(
    runtime: Runtime, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its stream stands, and the run does not; after a while it is let go of."""
    app = asgi_app(runtime, authorize=known)
    run_id = await started(client, "holding", 4)
    stuck = anyio.Event()
    monkeypatch.setattr(sse, "SEND_WITHIN", 0.2)

    async def never(message: Any) -> None:
        if message["type"] == "http.response.body":
            stuck.set()
            await anyio.sleep_forever()

    async def stream() -> None:
        with anyio.fail_after(10):
            await app(scope, anyio.sleep_forever, never)

    scope = {
        "type": "http", "method": "GET", "path": f"/runs/{run_id}/stream", "query_string": b"", "headers": [],
    }  # fmt: skip
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stream)
        await stuck.wait()
        world.open.set()
        await ended(runtime, run_id)


@BOTH_LOOPS
async def test_a_client_that_goes_away_is_forgotten(runtime: Runtime, client: httpx2.AsyncClient) -> None:
    """Its stream ends while the run goes on, and leaves nothing behind that listens."""
    run_id = await started(client, "holding", 1)
    await world.begun.wait()
    async with streaming(asgi_app(runtime, authorize=known), f"/runs/{run_id}/stream") as told:
        await told.until("event: PHASE_STARTED")
    assert "HELD" == (await ok(client.get(f"/pipeline/{run_id}/state")))["state"]
    world.open.set()
    await ended(runtime, run_id)


# --------------------------------------------------------------------- commands
async def test_every_command_is_carried_out(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    """By the path of its run; what the state does not allow is refused, with what it does."""
    world.broken = {"summed"}
    run_id = await started(client, "summing", 3)
    await ended(runtime, run_id)
    refused = await client.post(f"/runs/{run_id}/pause")
    assert (409, "FAILED") == (refused.status_code, refused.json()["state"])
    assert "retry" in refused.json()["allowed"]
    world.broken.clear()
    for command, body in (
        ("retry", {"reason": "mended"}), ("rerun-from", {"phase": "summed"}), ("restart", {}), ("rollback", {"to": "listed"}),
        ("resume", {}), ("annotate", {"note": "seen"}),
    ):  # fmt: skip
        assert run_id == (await ok(client.post(f"/runs/{run_id}/{command}", json=body)))["id"]
        await ended(runtime, run_id)
    copy = await ok(client.post(f"/runs/{run_id}/fork", json={"at": "listed"}), 201)
    await ended(runtime, copy["id"])
    assert run_id == (await ok(client.get(f"/runs/{copy['id']}")))["forked_from"]
    copies = (await ok(client.get(f"/runs?forked_from={run_id}")))["runs"]
    assert [copy["id"]] == [each["id"] for each in copies]
    going = await started(client, "holding", 1)
    assert "CANCELLED" == (await ok(client.post(f"/runs/{going}/cancel")))["state"]


async def test_a_signal_is_sent(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    """Checked as its type says, and taken by what waits for it."""
    run_id = await started(client, "reports", 4)
    maybe = await client.post(f"/runs/{run_id}/signal", json={"signal": "approved", "value": "maybe"})
    assert (422, "urn:phaseline:problem:invalid-signal") == (maybe.status_code, maybe.json()["type"])
    await ok(
        client.post(f"/runs/{run_id}/signal", json={"signal": "approved", "value": True, "id": "mail-1"})
    )
    await ended(runtime, run_id)
    assert "8: True" == (await ok(client.get(f"/runs/{run_id}")))["output"]
    events = (await ok(client.get(f"/runs/{run_id}/events?type=SIGNAL_RECEIVED")))["events"]
    assert [{"signal": "approved", "id": "mail-1", "actor": "user:42"}] == [each["data"] for each in events]
    late = await client.post(f"/runs/{run_id}/signal", json={"signal": "approved", "value": True})
    assert 409 == late.status_code
    unknown = await client.post(f"/runs/{run_id}/signal", json={"signal": "other", "value": True})
    assert (422, ["approved"]) == (unknown.status_code, unknown.json()["known"])


# --------------------------------------------------------------------- letters, schedules, pipelines, health
async def test_dead_letters_are_seen_to(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    """Listed page by page, their runs tried again, let go of."""
    world.broken = {"summed"}
    ids = [await started(client, "summing", number) for number in (1, 2)]
    for run_id in ids:
        await ended(runtime, run_id)
    page = await ok(
        client.get("/dead-letters", params={"limit": 1, "category": "PROCESSING", "order": "oldest"})
    )
    assert page["letters"][0]["error"]["type"] == "ValueError"
    rest = await ok(client.get("/dead-letters", params={"after": page["next"], "order": "oldest"}))
    assert {*ids} == {letter["run_id"] for letter in (*page["letters"], *rest["letters"])}
    world.broken.clear()
    await ok(client.post(f"/dead-letters/{ids[0]}/requeue", json={"reason": "mended"}))
    await ended(runtime, ids[0])
    await ok(client.post(f"/dead-letters/{ids[1]}/discard"))
    assert [] == (await ok(client.get("/dead-letters")))["letters"]
    assert 409 == (await client.post(f"/dead-letters/{ids[1]}/discard")).status_code
    assert 422 == (await client.get("/dead-letters", params={"after": "nowhere"})).status_code


async def test_many_dead_letters_are_seen_to(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    """Those that fulfil all conditions, page by page; what fails again is not met again, and who did it is told."""
    world.broken = {"summed"}
    handles = [await started(client, "summing", number) for number in range(3)]
    for run_id in handles:
        await ended(runtime, run_id)
    other = {"category": ["TIMEOUT"]}
    nothing = await ok(client.post("/dead-letters/requeue", json=other))
    assert {"done": 0, "refused": {}, "next": None} == nothing
    asked: dict[str, Any] = {"pipeline": ["summing"], "phase": "summed", "limit": 2, "reason": "again"}
    first = await ok(client.post("/dead-letters/requeue", json=asked))
    rest = await ok(client.post("/dead-letters/requeue", json={**asked, "after": first["next"]}))
    assert [(2, {}), (1, {}), None] == [(each["done"], each["refused"]) for each in (first, rest)] + [
        rest["next"]
    ]
    for run_id in handles:
        await ended(runtime, run_id)
    page = await ok(client.get("/dead-letters"))
    assert {*handles} == {each["run_id"] for each in page["letters"]}
    events = (await ok(client.get(f"/runs/{handles[0]}/events")))["events"]
    assert [("user:42", "again")] == [
        (each["data"]["actor"], each["data"]["reason"]) for each in events if each["data"].get("actor")
    ]
    assert 3 == (await ok(client.post("/dead-letters/discard", json={})))["done"]
    assert [] == (await ok(client.get("/dead-letters")))["letters"]
    assert 422 == (await client.post("/dead-letters/discard", json={"after": "nowhere"})).status_code


async def test_many_runs_are_commanded(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    """Those that fulfil all conditions and can obey, page by page; each is told why, and by whom; no others."""
    going = [await started(client, "holding", number, tags=["sale"]) for number in range(3)]
    other = await started(client, "holding", 9)
    over = await started(client, "summing", 2, tags=["sale"])
    await ended(runtime, over)
    asked: dict[str, Any] = {"tag": ["sale"], "reason": "closed early"}
    first = await ok(client.post("/runs/pause", json={**asked, "limit": 2}))
    rest = await ok(client.post("/runs/pause", json={**asked, "limit": 2, "after": first["next"]}))
    assert [(2, {}), (1, {}), None] == [(each["done"], each["refused"]) for each in (first, rest)] + [
        rest["next"]
    ]
    states = [(await ok(client.get(f"/pipeline/{run_id}/state")))["state"] for run_id in (*going, over)]
    assert ["PAUSED", "PAUSED", "PAUSED", "COMPLETED"] == states
    events = (await ok(client.get(f"/runs/{going[0]}/events")))["events"]
    assert [("user:42", "closed early")] == [
        (each["data"]["actor"], each["data"]["reason"]) for each in events if each["data"].get("actor")
    ]

    # Runs in whose state nothing obeys the command are not meant, whatever is asked for.
    none = {"done": 0, "refused": {}, "next": None}
    for conditions in ({"state": ["COMPLETED"]}, {"ended": True}, {"state": ["PAUSED"]}):
        assert none == await ok(client.post("/runs/pause", json={**asked, **conditions}))
    assert 3 == (await ok(client.post("/runs/cancel", json={**asked, "state": ["PAUSED"]})))["done"]
    assert none == await ok(client.post("/runs/resume", json={}))
    assert 1 == (await ok(client.post("/runs/restart", json={"pipeline": ["summing"]})))["done"]
    await ended(runtime, over)
    assert "HELD" == (await ok(client.get(f"/pipeline/{other}/state")))["state"]
    for wrong in ({"colour": "red"}, {"after": 7}, {"state": "PAUSED"}, {"attribute": ["=1"]}):
        assert 422 == (await client.post("/runs/cancel", json=wrong)).status_code, wrong
    world.open.set()


@pytest.mark.parametrize("place", ["/runs/pause", "/dead-letters/requeue"])
async def test_where_the_storage_is_gone_a_command_to_many_says_so(
    client: httpx2.AsyncClient, runtime: Runtime, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """With the status by which clients try again, as a command to one does."""
    world.broken = {"summed"}
    for number in range(2):
        await ended(runtime, await started(client, "summing", number))
        await started(client, "reports", number)

    async def lost(*_: Any) -> None:
        raise StorageUnavailableError("here", "it is gone", "wait")

    with monkeypatch.context() as patched:
        patched.setattr(Runner, "hold", lost)
        answer = await client.post(place, json={})
    assert (503, "5") == (answer.status_code, answer.headers["retry-after"])
    assert "urn:phaseline:problem:storage-unavailable" == answer.json()["type"]


async def test_many_runs_are_retried(runtime: Runtime, client: httpx2.AsyncClient) -> None:
    """Those that failed and fulfil the filter, page by page, where they failed; what completed is not done again."""
    world.broken = {"summed"}
    failed = [(await runtime.start(summing, 2, tags=["sale"])).id for _ in range(3)]
    other = (await runtime.start(summing, 2)).id
    for run_id in (*failed, other):
        await ended(runtime, run_id)
    over = await started(client, "reports", 2, tags=["sale"])
    world.broken.clear()
    asked: dict[str, Any] = {"tag": ["sale"], "reason": "the supplier is back"}
    first = await ok(client.post("/runs/retry", json={**asked, "limit": 2}))
    rest = await ok(client.post("/runs/retry", json={**asked, "limit": 2, "after": first["next"]}))
    assert [2, 1, {}, {}, None] == [
        first["done"],
        rest["done"],
        first["refused"],
        rest["refused"],
        rest["next"],
    ]
    for run_id in failed:
        await ended(runtime, run_id)
        page = await ok(client.get(f"/runs/{run_id}/events"))
        commands = [each["data"] for each in page["events"] if each["data"].get("actor")]
        assert [("user:42", "the supplier is back")] == [(each["actor"], each["reason"]) for each in commands]
    states = [
        (await ok(client.get(f"/pipeline/{run_id}/state")))["state"] for run_id in (*failed, other, over)
    ]
    assert ["COMPLETED", "COMPLETED", "COMPLETED", "FAILED", "WAIT_FOR_APPROVED"] == states
    assert (4, 4 + 3) == (world.calls["listed"], world.calls["summed"])
    none = {"done": 0, "refused": {}, "next": None}
    assert none == await ok(client.post("/runs/retry", json={**asked, "state": ["COMPLETED"]}))
    assert none == await ok(client.post("/runs/retry", json=asked))


async def test_of_many_runs_those_obey_that_may_be_commanded(runtime: Runtime) -> None:
    """Of the others nothing is told; who may at none is refused."""

    async def limited(_: Any) -> Access:
        return Access(
            "user:7",
            may=lambda action, run: action == "cancel" and (run is None or run.key == "mine"),
        )

    async with client_of(asgi_app(runtime, authorize=limited)) as client:
        mine, other = [await runtime.start(holding, 1, key=key) for key in ("mine", "other")]
        told = await ok(client.post("/runs/cancel", json={}))
        assert (1, {}) == (told["done"], told["refused"])
        assert ("CANCELLED", False) == (await mine.state(), await other.state() == "CANCELLED")
        assert 403 == (await client.post("/runs/pause", json={})).status_code
    world.open.set()


async def test_numbers_over_time(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    """Cut into parts: a run counts in that in which it was created; phases too; and a time that makes none is refused."""
    begin = runtime.runner.clock.now() - timedelta(hours=1)
    run_id = await started(client, "summing", 1)
    await ended(runtime, run_id)
    for by, groups in (
        ("pipeline", {"summing"}),
        ("phase", {"summing/listed", "summing/doubled", "summing/summed"}),
    ):
        asked = {"since": begin.isoformat(), "parts": 3, "by": by, "pipeline": "summing"}
        first, second, last = (await ok(client.get("/runs/series", params=asked)))["points"]
        assert ([], []) == (first["groups"], second["groups"])
        assert first["until"] == second["since"]
        assert groups == {each["group"] for each in last["groups"]}
    backwards = {"since": begin.isoformat(), "until": (begin - timedelta(seconds=1)).isoformat()}
    assert 422 == (await client.get("/runs/series", params=backwards)).status_code
    assert 422 == (await client.get("/runs/series", params={"parts": 3})).status_code


async def test_work_is_told(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    """What waits on which queue, and since when; dead letters; and who is there."""
    await ended(runtime, await started(client, "summing", 1))
    work = await ok(client.get("/work"))
    assert (True, []) == (work["ok"], work["problems"])
    assert {(each["queue"], each["served"], each["waiting"]) for each in work["queues"]} == {
        ("pipeline", True, 0)
    }
    assert work["threads"]["limit"] > 0


async def test_schedules_are_kept(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    """Stored, shown, paused, resumed, triggered and deleted."""
    asked = {
        "pipeline": "summing",
        "input": 2,
        "cron": "30 2 * * *",
        "tz": "Europe/Berlin",
        "tags": ["nightly"],
    }
    assert "Europe/Berlin" == (await ok(client.put("/schedules/nightly", json=asked)))["tz"]
    every = {"pipeline": "summing", "input": 2, "every_seconds": 3600}
    assert 3600 == (await ok(client.put("/schedules/hourly", json=every)))["every_seconds"]
    assert ["hourly", "nightly"] == [
        each["name"] for each in (await ok(client.get("/schedules")))["schedules"]
    ]
    slots = (await ok(client.get("/schedules/nightly/slots", params={"limit": 2})))["slots"]
    assert ["02:30", "02:30"] == [slot[11:16] for slot in slots]
    assert (await ok(client.post("/schedules/nightly/pause")))["paused"]
    assert not (await ok(client.post("/schedules/nightly/resume")))["paused"]
    run_id = (await ok(client.post("/schedules/nightly/trigger"), 201))["id"]
    await ended(runtime, run_id)
    assert ["nightly"] == (await ok(client.get(f"/runs/{run_id}")))["tags"]
    assert (204, "") == ((gone := await client.delete("/schedules/nightly")).status_code, gone.text)
    for asked_for in (client.get, client.delete):
        assert 404 == (await asked_for("/schedules/nightly")).status_code
    wrong = await client.put("/schedules/nightly", json={**asked, "cron": "61 * * * *"})
    assert (422, "urn:phaseline:problem:invalid-schedule") == (wrong.status_code, wrong.json()["type"])


async def test_a_schedule_without_slots_is_refused_in_the_words_of_the_body(
    client: httpx2.AsyncClient,
) -> None:
    """Neither rule, or both: what is told names ``every_seconds``, and nothing that only Python knows."""
    for rule in ({}, {"cron": "0 6 * * *", "every_seconds": 60}):
        refused = await client.put("/schedules/nightly", json={"pipeline": "summing", "input": 1, **rule})
        assert (422, "urn:phaseline:problem:invalid-schedule") == (
            refused.status_code,
            refused.json()["type"],
        )
        assert '"every_seconds"' in refused.json()["problem"]
        assert "timedelta" not in refused.text
        assert {"schedules": []} == (await client.get("/schedules")).json()


async def test_who_names_an_unknown_pipeline_is_told_where_the_known_are_listed(
    client: httpx2.AsyncClient,
) -> None:
    """A slip of the pen is mended with one more request."""
    refused = await client.post("/pipeline/start", json={"pipeline": "sumning", "input": 1})
    assert "no pipeline 'sumning' is served here; GET pipelines lists them" == refused.json()["detail"]
    assert "summing" in {each["name"] for each in (await client.get("/pipelines")).json()["pipelines"]}


async def test_of_several_versions_the_first_is_meant() -> None:
    """Where none is named; several pipelines are told apart by their names."""
    older = Pipeline("reports", doubled.wait_for(APPROVED) >> published, version="0")
    async with (
        Runtime(pipelines=[reports, older, summing]) as runtime,
        client_of(asgi_app(runtime, authorize=known)) as client,
    ):
        for given, version in (({}, "1"), ({"version": "1"}, "1"), ({"version": "0"}, "0")):
            run_id = await started(client, "reports", 3, **given)
            assert version == (await ok(client.get(f"/runs/{run_id}")))["version"]
        put = await client.put(
            "/schedules/often", json={"pipeline": "reports", "input": 1, "every_seconds": 60}
        )
        assert (200, "1") == (put.status_code, put.json().get("version")), put.text
        refused = await client.post("/pipeline/start", json={"input": 1})
        assert (422, ["reports", "summing"]) == (refused.status_code, refused.json()["known"])


async def test_what_is_served_is_told(client: httpx2.AsyncClient) -> None:
    """Pipelines with graph and schemas, as for a form, and how the service is."""
    names = [each["name"] for each in (await ok(client.get("/pipelines")))["pipelines"]]
    assert ["summing", "reports", "holding"] == names
    shown = await ok(client.get("/pipelines/reports", params={"version": "1"}))
    assert ("integer", "boolean") == (shown["input_schema"]["type"], shown["signals"]["approved"]["type"])
    drawn = await client.get("/pipelines/reports/graph")
    assert ("text/plain; charset=utf-8", "flowchart") == (drawn.headers["content-type"], drawn.text[:9])
    assert 404 == (await client.get("/pipelines/reports", params={"version": "2"})).status_code
    assert {"ok": True, "problems": []} == await ok(client.get("/health"))


async def test_it_works_on_a_database_too(tmp_path: Any) -> None:
    """With a final slash, and with a process that only looks."""
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    async with (
        Runtime(url, pipelines=[summing]) as runtime,
        client_of(asgi_app(runtime, authorize=known)) as client,
    ):
        run_id = await started(client, "summing", 3)
        await ended(runtime, run_id)
    looking = Runtime(SqlStorage(url), pipelines=[summing], serve=False)
    async with looking, client_of(asgi_app(looking, authorize=known)) as client:
        assert 6 == (await ok(client.get(f"/runs/{run_id}/")))["output"]
        stream = await client.get(f"/runs/{run_id}/stream/")
        assert "event: PIPELINE_COMPLETED" in stream.text
