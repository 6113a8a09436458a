"""Nothing is open over HTTP to whom the host does not name, and nothing is told of what is not his."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.counted import doubled, listed, summed, world
from tests.loops import BOTH_LOOPS, anyio_backend  # noqa: F401  # a fixture
from tests.web_client import client_of

from phaseline import Pipeline, RunSummary, Runtime, each, phase
from phaseline.control import PLAIN
from phaseline.errors import DefinitionError, RunError, RunNotSettledError
from phaseline.web import Access, Action, asgi_app, console, problem_of
from phaseline.web.routes import ROUTES

SECRET = "hunter2"  # noqa: S105  # that is what must not be found


@phase
async def leaking(number: int) -> int:
    """Fail with a password in the text, in the cause, and in a variable."""
    password = f"postgresql://bob:{SECRET}@db/runs"
    try:
        raise OSError(password)  # noqa: TRY301  # as bodies do
    except OSError as cause:
        raise ValueError(f"no route to {password}") from cause


summing = Pipeline("summing", listed >> each(doubled) >> summed)
leaks = Pipeline("leaks", leaking)


async def everybody(_: Any) -> Access:
    return Access("user:42")


async def nobody(_: Any) -> None:
    return None


@pytest.fixture
async def runtime() -> AsyncIterator[Runtime]:
    """An open runtime in memory."""
    async with Runtime(pipelines=[summing, leaks], tracebacks=True) as opened:
        yield opened


BODIES: dict[str, dict[str, Any]] = {
    "startRun": {"pipeline": "summing", "input": 2}, "annotateRun": {"note": "seen"},
    "signalRun": {"signal": "approved", "value": True}, "putSchedule": {"pipeline": "summing", "input": 2, "cron": "0 0 1 1 *"},
    "rerunRunFrom": {"phase": "summed"},
    # Those of a tag that the other namespace has: all others would change between two of the same requests.
    **{f"{verb}Runs": {"tag": ["canary"]} for verb in PLAIN},
}  # fmt: skip
"""Of operations that need more than an id."""


def every_request(run_id: str, schedule: str) -> Iterator[tuple[str, str, str, Any]]:
    """One request of each kind that there is, about a run and a schedule: name, method, path, body."""
    for route in ROUTES:
        name = schedule if "/schedules" in route.path else "summing"
        path = route.path.replace("{id}", run_id).replace("{name}", name)
        body = BODIES.get(route.name, {"id": run_id} if route.run_in_body else {})
        yield route.name, route.method, path, None if route.body is None else body


# --------------------------------------------------------------------- who asks
async def test_no_route_lets_in_strangers(runtime: Runtime) -> None:
    """All of the table, and its description: 401 before anything else is looked at."""
    run_id = (await runtime.start(summing, 1)).id
    async with client_of(asgi_app(runtime, authorize=nobody)) as client:
        asked = [*every_request(run_id, "nightly"), ("", "GET", "/openapi.json", None)]
        for name, method, path, body in asked:
            answer = await client.request(method, path, json=body)
            told = (answer.status_code, answer.json()["type"], answer.headers["www-authenticate"])
            assert (401, "urn:phaseline:problem:unauthenticated", "Bearer") == told, name
            malformed = await client.request(
                method, path, content=b"{", headers={"content-type": "application/json"}
            )
            assert 401 == malformed.status_code, name


async def test_each_route_asks_for_its_action(runtime: Runtime) -> None:
    """To whom it is denied a run is unknown, and all else forbidden; nothing has changed."""
    handle = await runtime.start(summing, 1)
    await handle.wait()
    await runtime.schedules.put("nightly", summing, input=1, cron="0 0 1 1 *")
    before = await handle.run()
    asked_for: set[Action] = set()

    async def authorize(_: Any) -> Access:
        def may(action: Action, run: RunSummary | None) -> bool:
            asked_for.add(action)
            return False

        return Access("user:13", may=may)

    async with client_of(asgi_app(runtime, authorize=authorize)) as client:
        for name, method, path, body in every_request(handle.id, "nightly"):
            answer = await client.request(method, path, json=body)
            unknown = await client.request(
                method, path.replace(handle.id, "0" * len(handle.id)),
                json={**body, "id": "0" * len(handle.id)} if body and "id" in body else body,
            )  # fmt: skip
            if name == "getAccess":  # to know that one may do nothing is for everybody
                assert (200, []) == (answer.status_code, answer.json()["actions"])
                continue
            of_run = "{id}" in next(r.path for r in ROUTES if r.name == name) or (body and "id" in body)
            assert (404 if of_run else 403) == answer.status_code, name
            assert answer.text.replace(handle.id, "") == unknown.text.replace("0" * len(handle.id), ""), name
    assert {*Action} - asked_for == set()
    assert (await handle.run()).phases == before.phases
    assert ["nightly"] == [each.name for each in await runtime.schedules.list()]


async def test_lists_show_only_what_one_may_read(runtime: Runtime) -> None:
    """Runs and dead letters of others are left out."""
    world.broken = {"summed"}
    mine, other = [await runtime.start(summing, 1, tags=[tag]) for tag in ("mine", "other")]
    await mine.wait()
    await other.wait()

    async def authorize(_: Any) -> Access:
        return Access("me", may=lambda action, run: run is None or "mine" in run.tags)

    async with client_of(asgi_app(runtime, authorize=authorize)) as client:
        runs, letters = (await client.get("/runs")).text, (await client.get("/dead-letters")).text
    assert mine.id in runs
    assert mine.id in letters
    assert other.id not in runs + letters


async def test_a_command_to_many_reaches_only_what_one_may_command(runtime: Runtime) -> None:
    """Dead letters of others stay."""
    world.broken = {"summed"}
    mine, other = [await runtime.start(summing, 1, tags=[tag]) for tag in ("mine", "other")]
    await mine.wait()
    await other.wait()

    async def authorize(_: Any) -> Access:
        return Access("me", may=lambda action, run: run is None or "mine" in run.tags)

    async with client_of(asgi_app(runtime, authorize=authorize)) as client:
        answer = await client.post("/dead-letters/discard", json={})
    assert {"done": 1, "refused": {}, "next": None} == answer.json()
    assert [other.id] == [letter.run_id async for letter in runtime.dead_letters.find()]


async def test_runs_belong_to_who_started_them(runtime: Runtime) -> None:
    """By attributes that he cannot give other values; and a key of somebody else's gives him nothing."""

    async def authorize(connection: Any) -> Access:
        name = connection.headers["x-name"]
        return Access(
            name,
            may=lambda _, run: run is None or run.attributes.get("owner") == name,
            attributes={"owner": name},
        )

    app = asgi_app(runtime, authorize=authorize)
    asked = {"pipeline": "summing", "input": 2, "key": "order-7", "attributes": {"owner": "bob", "size": 1}}
    async with client_of(app, x_name="ann") as ann, client_of(app, x_name="bob") as bob:
        run_id = (await ann.post("/pipeline/start", json=asked)).json()["id"]
        assert {"owner": "ann", "size": 1} == (await ann.get(f"/runs/{run_id}")).json()["attributes"]
        assert 404 == (await bob.get(f"/runs/{run_id}")).status_code
        same, other = [
            await bob.post("/pipeline/start", json={**asked, "input": number}) for number in (2, 3)
        ]
        assert (409, other.text) == (same.status_code, same.text)
        assert run_id not in same.text
        assert run_id == (await ann.post("/pipeline/start", json=asked)).json()["id"]


async def test_a_key_gives_no_run_that_one_may_not_have_started(runtime: Runtime) -> None:
    """Also where runs belong to somebody by something else than attributes of his access."""

    async def authorize(connection: Any) -> Access:
        tag = connection.headers["x-name"]
        return Access(tag, may=lambda _, run: run is None or tag in run.tags)

    app = asgi_app(runtime, authorize=authorize)
    asked = {"pipeline": "summing", "input": 2, "key": "order-7", "tags": ["ann"]}
    async with client_of(app, x_name="ann") as ann, client_of(app, x_name="bob") as bob:
        run_id = (await ann.post("/pipeline/start", json=asked)).json()["id"]
        refused = await bob.post("/pipeline/start", json=asked)
        assert (409, "urn:phaseline:problem:key-conflict") == (refused.status_code, refused.json()["type"])
        assert run_id not in refused.text
        assert run_id == (await ann.post("/pipeline/start", json=asked)).json()["id"]


# --------------------------------------------------------------------- two namespaces
async def by_header(connection: Any) -> Access:
    return Access("user:42", connection.headers["x-tenant"])


async def test_namespaces_reveal_nothing_to_each_other(tmp_path: Path) -> None:
    """With equal keys and names, on one database: what is told of the other's is what is told of what is not there."""
    ours, theirs = (  # in theirs nothing moves on by itself, so that answers can be compared
        Runtime(
            f"sqlite:///{tmp_path / 'runs.db'}",
            pipelines=[summing, leaks],
            namespace=name,
            serve=name == "ours",
        )
        for name in ("ours", "theirs")
    )
    async with ours, theirs:
        app = asgi_app({"ours": ours, "theirs": theirs}.get, authorize=by_header)
        handle = await ours.start(summing, 3, key="order-7", tags=["canary"], attributes={"canary": 7})
        await handle.wait()
        failed = await ours.start(leaks, 1, key="canary-8")
        await failed.wait()
        await ours.schedules.put("canary", summing, input=1, cron="0 0 1 1 *")
        before = await handle.run()
        async with client_of(app, x_tenant="theirs") as client:
            for name, method, path, body in every_request(handle.id, "canary"):
                if name == "putSchedule":  # a name of theirs, whatever ours has
                    continue
                answer = await client.request(method, path, json=body)
                unknown = await client.request(
                    method, path.replace(handle.id, "0" * len(handle.id)).replace("canary", "nobody"),
                    json={**body, "id": "0" * len(handle.id)} if body and "id" in body else body,
                )  # fmt: skip
                if name != "startRun":
                    told = answer.text.replace(handle.id, "").replace("canary", "")
                    assert told == unknown.text.replace("0" * len(handle.id), "").replace("nobody", ""), name
                    assert answer.status_code == unknown.status_code, name
                assert failed.id not in answer.text, name
            # The same key, with another input: a run of theirs, and no conflict with ours.
            asked = {"pipeline": "summing", "input": 9, "key": "order-7"}
            started = await client.post("/pipeline/start", json=asked)
            assert (201, False) == (started.status_code, started.json()["id"] == handle.id)
            assert "canary" not in "".join(
                [
                    (await client.get(path)).text
                    for path in ("/runs", "/dead-letters", "/schedules", "/pipeline/stats")
                ]
            )
            conflict = await client.post("/pipeline/start", json={**asked, "input": 3})
            assert 409 == conflict.status_code
        async with client_of(app, x_tenant="nobody") as client:
            for name, method, path, body in every_request(handle.id, "canary"):
                assert 403 == (await client.request(method, path, json=body)).status_code, name
        assert ["canary"] == [each.name for each in await ours.schedules.list()]
        assert {"COMPLETED": 1, "FAILED": 1} == await ours.find().count()
        assert before.history == (await handle.run()).history


# --------------------------------------------------------------------- browsers
async def test_pages_of_others_change_nothing(runtime: Runtime) -> None:
    """Where the Origin is neither the host's nor one that it allows, before it is looked who asks."""
    async with client_of(asgi_app(runtime, authorize=everybody, origins=["https://app.example"])) as client:
        for origin, status in (
            ("https://evil.example", 403), ("null", 403), ("http://host", 201), ("https://app.example", 201),
        ):  # fmt: skip
            asked = {"pipeline": "summing", "input": 2}
            answer = await client.post("/pipeline/start", json=asked, headers={"origin": origin})
            assert status == answer.status_code, origin
            assert 200 == (await client.get("/runs", headers={"origin": origin})).status_code
        for route in ROUTES:
            path = route.path.replace("{id}", "x").replace("{name}", "x")
            answer = await client.request(route.method, path, headers={"origin": "https://evil.example"})
            assert (403 == answer.status_code) is route.changes, route.name
    assert {"COMPLETED": 2} == {**await _settled(runtime)}


async def _settled(runtime: Runtime) -> dict[str, int]:
    async for run in runtime.find():
        await (await runtime.get(run.id)).wait()
    return {**await runtime.find().count()}


async def test_cors_is_closed_unless_origins_are_given(runtime: Runtime) -> None:
    """No header for anybody by default; then for those pages alone, and never for all."""
    asked = {"origin": "https://app.example", "access-control-request-method": "PATCH"}
    async with client_of(asgi_app(runtime, authorize=everybody)) as client:
        for answer in (
            await client.options("/runs", headers=asked),
            await client.get("/runs", headers=asked),
        ):
            assert not [name for name in answer.headers if name.startswith("access-control")]
    async with client_of(asgi_app(runtime, authorize=everybody, origins=["https://app.example"])) as client:
        answer = await client.options("/pipeline/pause", headers=asked)
        assert "https://app.example" == answer.headers["access-control-allow-origin"]
        other = await client.options("/pipeline/pause", headers={**asked, "origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers


async def test_every_answer_is_safe_in_a_browser(runtime: Runtime) -> None:
    """Not guessed at, not framed, not kept; also errors."""
    async with client_of(asgi_app(runtime, authorize=everybody)) as client:
        for path in ("/runs", "/runs/x", "/nothing", "/openapi.json", "/pipelines/summing/graph"):
            headers = (await client.get(path)).headers
            assert ("nosniff", "no-store") == (headers["x-content-type-options"], headers["cache-control"])
            assert "default-src 'none'" in headers["content-security-policy"]


# --------------------------------------------------------------------- how much
@BOTH_LOOPS
async def test_one_client_asks_only_so_often(runtime: Runtime) -> None:
    """Others are not held up; and nobody guesses at who he is without end."""

    async def by_name(connection: Any) -> Access | None:
        name = connection.headers.get("x-name")
        return name and Access(name)

    async with client_of(asgi_app(runtime, authorize=by_name, rate="3/hour")) as client:
        for name, refused in (("alice", 200), ("bob", 200), (None, 401)):
            headers = {"x-name": name} if name else {}
            answers = [await client.get("/runs", headers=headers) for _ in range(4)]
            assert [refused] * 3 + [429] == [answer.status_code for answer in answers]
            assert "3600" == answers[-1].headers["retry-after"]


@pytest.mark.parametrize(
    "wrong", [{"rate": "often"}, {"rate": 3}, {"max_body": 0}, {"authorize": None}, {"origins": "*"}]
)
async def test_what_makes_no_sense_is_refused(runtime: Runtime, wrong: dict[str, Any]) -> None:
    """When the application is made."""
    with pytest.raises(DefinitionError):
        asgi_app(runtime, **{"authorize": everybody, **wrong})
    with pytest.raises(DefinitionError):
        asgi_app("sqlite://", authorize=everybody)  # type: ignore[arg-type]


JSON = {"content-type": "application/json"}


BAD: tuple[tuple[str, str, dict[str, Any], int, str], ...] = (
    ("POST", "/pipeline/start", {"content": b"{", "headers": JSON}, 400, "malformed"),
    ("POST", "/pipeline/start", {"content": b"\xff", "headers": JSON}, 400, "malformed"),
    ("POST", "/pipeline/start", {"content": b"[" * 100_000, "headers": JSON}, 400, "malformed"),
    (
        "POST",
        "/pipeline/start",
        {"content": b"{}", "headers": {"content-type": "text/plain"}},
        415,
        "not-json-type",
    ),
    ("POST", "/pipeline/start", {"data": {"pipeline": "summing"}}, 415, "not-json-type"),
    ("POST", "/pipeline/start", {"content": b" " * 2000, "headers": JSON}, 413, "too-large"),
    ("POST", "/pipeline/start", {"json": []}, 422, "invalid-request"),
    ("POST", "/pipeline/start", {}, 422, "invalid-request"),
    ("POST", "/pipeline/start", {"json": {"input": 1}}, 422, "invalid-request"),
    ("POST", "/pipeline/start", {"json": {"pipeline": "other", "input": 1}}, 404, "unknown-pipeline"),
    ("POST", "/pipeline/start", {"json": {"pipeline": "summing", "input": "x"}}, 422, "invalid-input"),
    (
        "POST",
        "/pipeline/start",
        {"json": {"pipeline": "summing", "input": 1, "more": 1}},
        422,
        "invalid-request",
    ),
    (
        "POST",
        "/pipeline/start",
        {"json": {"pipeline": "summing", "input": 1, "priority": "1"}},
        422,
        "invalid-request",
    ),
    (
        "POST",
        "/pipeline/start",
        {"json": {"pipeline": "summing", "input": 1, "tags": ["a\n"]}},
        422,
        "invalid-mark",
    ),
    (
        "POST",
        "/pipeline/start",
        {"json": {"pipeline": "summing", "input": 1, "key": "a\n"}},
        422,
        "invalid-request",
    ),
    ("PATCH", "/pipeline/pause", {"json": {}}, 422, "invalid-request"),
    ("PATCH", "/pipeline/pause", {"json": {"id": "x"}}, 404, "unknown-run"),
    ("PATCH", "/pipeline/pause", {"json": {"id": "a\nb"}}, 404, "unknown-run"),
    ("GET", "/runs/x%0Ay", {}, 404, "unknown-run"),
    ("GET", "/runs/%F0%9F%92%A9", {}, 404, "unknown-run"),
    ("GET", "/runs/x/events", {}, 404, "unknown-run"),
    ("GET", "/runs/x/stream", {}, 404, "unknown-run"),
    ("GET", "/runs?limit=0", {}, 422, "invalid-request"),
    ("GET", "/runs?limit=501", {}, 422, "invalid-request"),
    ("GET", "/runs?since=2026-01-01T00:00:00", {}, 422, "invalid-request"),
    ("GET", "/runs?since=0001-01-01T00:00:00%2B14:00", {}, 422, "invalid-request"),
    ("GET", "/dead-letters?until=9999-12-31T23:59:59-12:00", {}, 422, "invalid-request"),
    ("GET", "/runs?attribute=x=%5B1%5D", {}, 422, "invalid-mark"),
    ("GET", "/runs?text=a%0A", {}, 422, "invalid-request"),
    ("GET", "/schedules/x", {}, 404, "unknown-schedule"),
    ("PUT", "/schedules/x", {"json": {"pipeline": "summing", "input": 1}}, 422, "invalid-schedule"),
    ("GET", "/pipelines/x", {}, 404, "unknown-pipeline"),
    ("GET", "/nothing", {}, 404, "no-such-place"),
    ("GET", "/../etc/passwd", {}, 404, "no-such-place"),
    ("DELETE", "/runs", {}, 405, "not-this-method"),
    ("GET", "/dead-letters?pipeline=a%00b", {}, 422, "invalid-request"),
    ("GET", "/runs/r/value?phase=%00", {}, 422, "invalid-request"),
    ("GET", "/runs?parent=%00", {}, 422, "invalid-request"),
    ("TRACE", "/runs", {}, 405, "not-this-method"),
)
"""Requests, each with the status and the kind of problem that it is answered with."""


async def test_bad_input_is_refused(runtime: Runtime) -> None:
    """With a problem document that says what is wrong, before anything is stored."""
    for method, path, sent, status, kind in BAD:
        app = asgi_app(runtime, authorize=everybody, max_body=1_500 if status == 413 else 200_000)
        async with client_of(app) as client:
            answer = await client.request(method, path, **sent)
        told = answer.json()
        expected = (status, "application/problem+json", f"urn:phaseline:problem:{kind}", status)
        assert expected == (
            answer.status_code,
            answer.headers["content-type"],
            told["type"],
            told["status"],
        ), told
        assert {"title", "detail"} <= {*told}
    assert {} == await runtime.find().count()


@BOTH_LOOPS
async def test_a_body_without_a_length_is_bounded_too(runtime: Runtime) -> None:
    """It is read no further than allowed."""
    told: list[Any] = []
    read: list[int] = []

    async def endless() -> dict[str, Any]:
        read.append(1_000)
        return {"type": "http.request", "body": b" " * 1_000, "more_body": True}

    async def tell(message: Any) -> None:
        told.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/pipeline/start", "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }  # fmt: skip
    await asgi_app(runtime, authorize=everybody, max_body=10_000)(scope, endless, tell)
    assert (413, 11_000) == (told[0]["status"], sum(read))


async def test_a_client_that_leaves_amid_its_body_is_no_error(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is logged, and nothing started."""

    async def gone() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def tell(_: Any) -> None: ...

    scope = {
        "type": "http", "method": "POST", "path": "/pipeline/start", "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }  # fmt: skip
    await asgi_app(runtime, authorize=everybody)(scope, gone, tell)
    assert [] == caplog.records
    assert {} == await runtime.find().count()


# --------------------------------------------------------------------- what is told of errors
async def test_a_runtime_that_is_not_open_is_told() -> None:
    """503, with what to do, for all there is."""
    async with client_of(asgi_app(Runtime(pipelines=[summing]), authorize=everybody)) as client:
        for name, method, path, body in every_request("x", "x"):
            answer = await client.request(method, path, json=body)
            told = (answer.status_code, answer.json()["type"], answer.headers["retry-after"])
            assert (503, "urn:phaseline:problem:not-open", "5") == told, name
            assert "async with" in answer.json()["detail"]


@BOTH_LOOPS
async def test_a_mistake_of_the_host_is_logged_and_not_told(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer has a number by which the log is searched, and nothing else."""

    async def mistaken(_: Any) -> Access:
        raise KeyError(SECRET)

    async with client_of(asgi_app(runtime, authorize=mistaken)) as client:
        with caplog.at_level(logging.ERROR, "phaseline.web"):
            answer = await client.get("/runs")
    assert (500, "urn:phaseline:problem:internal") == (answer.status_code, answer.json()["type"])
    assert SECRET not in answer.text
    assert answer.json()["instance"] in caplog.records[0].message
    assert SECRET in (caplog.records[0].exc_text or "")


@pytest.mark.parametrize(
    "mount", [asgi_app, console, partial(console, read_only=True)], ids=["api", "console", "read only"]
)
async def test_what_is_no_access_is_a_mistake_of_the_host(
    runtime: Runtime, caplog: pytest.LogCaptureFixture, mount: Callable[..., Any]
) -> None:
    """The log says what to return; nobody is let in, and who asks is told nothing of it."""

    async def mistaken(_: Any) -> Any:
        return SECRET

    path = "/runs" if mount is asgi_app else "/api/runs"
    async with client_of(mount(runtime, authorize=mistaken)) as client:
        with caplog.at_level(logging.ERROR, "phaseline.web"):
            answer = await client.get(path)
    assert (500, "urn:phaseline:problem:internal") == (answer.status_code, answer.json()["type"])
    assert "authorize" not in answer.text
    assert "RuntimeError: authorize returned str; return Access(...) or None" in caplog.text
    assert SECRET not in caplog.text


async def test_an_access_that_cannot_be_is_a_mistake_of_the_host(runtime: Runtime) -> None:
    """Who asks is told neither that it is his own, nor what stood in it."""

    async def mistaken(_: Any) -> Access:
        return Access(f"{SECRET}\n")

    async with client_of(asgi_app(runtime, authorize=mistaken)) as client:
        answer = await client.get("/runs")
    assert (500, "urn:phaseline:problem:internal") == (answer.status_code, answer.json()["type"])
    assert SECRET not in answer.text


async def test_passwords_of_phases_are_not_told(runtime: Runtime) -> None:
    """In no list, detail, event or letter of a run that failed with one; and no traceback."""
    handle = await runtime.start(leaks, 1)
    await handle.wait()
    async with client_of(asgi_app(runtime, authorize=everybody)) as client:
        paths = ("", f"/{handle.id}", f"/{handle.id}/events", f"/{handle.id}/stream")
        texts = [(await client.get(f"/runs{path}")).text for path in paths]
        texts.append((await client.get("/dead-letters")).text)
    for text in texts:
        assert "no route to postgresql://bob:***@db/runs" in text
        assert SECRET not in text
        assert "Traceback" not in text


async def test_how_a_run_ended_is_told_in_a_hosts_own_route_without_its_words(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a run that failed, or has not ended, id and state are told; nothing is logged, and no traceback is."""
    failed = await runtime.start(leaks, 1)
    late = await runtime.start(summing, 1, delay=timedelta(hours=1))
    found: list[Any] = []
    caplog.set_level(logging.WARNING, "phaseline.web")
    for ask in (failed.result, partial(late.result, timedelta(milliseconds=1))):
        with pytest.raises(RunError) as raised:
            await ask()
        found.append(problem_of(raised.value))
    with pytest.raises(RunNotSettledError) as raised:
        _ = (await late.run()).output
    found.append(problem_of(raised.value))
    assert [409] * 3 == [answer.status_code for answer in found]
    told, *rest = [json.loads(answer.body) for answer in found]
    assert ("urn:phaseline:problem:run-ended", failed.id, "FAILED") == (
        told["type"], told["run_id"], told["state"],
    )  # fmt: skip
    assert {("urn:phaseline:problem:not-settled", late.id)} == {
        (each["type"], each["run_id"]) for each in rest
    }
    assert "no route" not in json.dumps(told)
    assert not [record for record in caplog.records if record.name.startswith("phaseline.web")]
