"""A run as it is drawn over HTTP: folded, page by page, and only as much of values as can be looked at."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.loops import anyio_backend  # noqa: F401  # the fixture
from tests.web_client import client_of

from phaseline import Abort, Pipeline, Runtime, Skip, branch, each, phase
from phaseline.run_filter import RunSummary
from phaseline.storage.sql.store import SqlStorage
from phaseline.web import Access, asgi_app, console
from phaseline.web.access import Action


@phase
async def split(text: str) -> list[str]:
    return text.split()


@phase
async def weigh(word: str) -> dict[str, str]:
    if word == "bad":
        raise Abort("it is bad")
    return {"word": word, "api_token": f"secret of {word}"}


@phase
async def gather(words: list[dict[str, str]]) -> dict[str, Any]:
    return {"words": words, "password": "hunter2", "long": "x" * 10_000}


weighing = Pipeline("weighing", split >> each(weigh) >> gather)


async def everybody(_: Any) -> Access:
    return Access("user:42")


@pytest.fixture
async def runtime() -> AsyncIterator[Runtime]:
    async with Runtime(pipelines=[weighing]) as opened:
        yield opened


async def test_items_are_folded(runtime: Runtime) -> None:
    """However many there are they are one line, with counts; the first of many of each phase is there by itself."""
    handle = await runtime.start(weighing, " ".join(["good"] * 30 + ["bad"]))
    await handle.wait()
    async with client_of(asgi_app(runtime, authorize=everybody)) as client:
        told = (await client.get(f"/runs/{handle.id}/outline")).json()
        places = {each["path"]: each for each in told["phases"]}
        assert ["split", "weigh", "weigh[]"] == [*places]
        assert ("COMPLETED", None) == (places["split"]["phase"]["state"], places["weigh[]"]["phase"])
        assert 31 == sum(places["weigh[]"]["states"].values()) == places["weigh"]["phase"]["total"]
        assert 1 == places["weigh[]"]["states"]["FAILED"]
        assert "it is bad" == told["error"]["message"]
        assert told["seq"] == max([event.seq async for event in handle.events()])


async def test_what_is_shown_is_as_new_as_its_number_says(runtime: Runtime) -> None:
    """Whoever goes on from that number hears of what came later alone: nothing that is shown may be older."""
    handle = await runtime.start(weighing, "a", delay=timedelta(hours=1))

    async def may(action: Action, run: RunSummary | None) -> bool:
        if action == Action.READ and run is not None:
            await handle.pause()  # somebody does, between two readings
        return True

    async def reader(_: Any) -> Access:
        return Access("user:42", may=may)

    async with client_of(asgi_app(runtime, authorize=reader)) as client:
        told = (await client.get(f"/runs/{handle.id}/outline")).json()
        assert (1, "PAUSED", True) == (told["seq"], told["state"], "resume" in told["allowed"])


async def test_no_command_is_offered_where_the_pipeline_is_not_served(tmp_path: Path) -> None:
    """None would be obeyed; the run is shown all the same."""
    url = f"sqlite:///{tmp_path}/runs.db"
    async with Runtime(url, pipelines=[weighing], serve=False) as runtime:
        handle = await runtime.start(weighing, "a")
        async with client_of(asgi_app(runtime, authorize=everybody)) as client:
            assert "cancel" in (await client.get(f"/runs/{handle.id}/outline")).json()["allowed"]
    async with Runtime(url, serve=False) as bare, client_of(asgi_app(bare, authorize=everybody)) as client:
        told = (await client.get(f"/runs/{handle.id}/outline")).json()
        assert ("IDLE", []) == (told["state"], told["allowed"])
        assert 409 == (await client.post(f"/runs/{handle.id}/cancel", json={})).status_code


async def test_where_the_pipeline_is_not_served_it_is_told_what_to_do(tmp_path: Path) -> None:
    """The output is put together by the pipeline; what each phase gave is shown without it. Of who answers nothing is told."""
    url = f"sqlite:///{tmp_path}/runs.db"
    async with Runtime(url, pipelines=[weighing]) as runtime:
        done, bad = [await runtime.start(weighing, text) for text in ("a", "bad")]
        for handle in (done, bad):
            await handle.wait()
    told = (
        "the pipeline 'weighing', as this run or schedule began with it, is not served here: look from a runtime that registers "
        "it, such as phaseline console MODULE:NAME"
    )
    async with Runtime(url, serve=False) as bare, client_of(asgi_app(bare, authorize=everybody)) as client:
        path = f"/runs/{done.id}/value"
        whole = await client.get(path)
        assert (409, told) == (whole.status_code, whole.json()["detail"])
        assert "hunter2" == (await client.get(path, params={"phase": "gather"})).json()["value"]["password"]
        answer = (await client.post("/dead-letters/requeue", json={})).json()
        assert (0, {bad.id: told}) == (answer["done"], answer["refused"])


async def test_a_deadline_that_has_passed_is_refused(runtime: Runtime) -> None:
    """The client is told, and nothing is started."""
    late = {"pipeline": "weighing", "input": "a", "deadline": "2020-01-01T00:00:00Z"}
    async with client_of(asgi_app(runtime, authorize=everybody)) as client:
        answer = await client.post("/pipeline/start", json=late)
        assert (422, True) == (answer.status_code, "has passed before the start" in answer.json()["detail"])
        assert 0 == (await client.get("/runs/counts")).json()["total"]


async def test_phases_come_page_by_page(runtime: Runtime) -> None:
    """All, or those at a place in a state; each once."""
    handle = await runtime.start(weighing, "a b c d e f g")
    await handle.wait()
    async with client_of(asgi_app(runtime, authorize=everybody)) as client:
        met: list[str] = []
        after = -1
        while after is not None:
            page = (await client.get(f"/runs/{handle.id}/phases", params={"limit": 2, "after": after})).json()
            met += [each["path"] for each in page["phases"]]
            after = page["next"]
        assert ["split", "weigh", *(f"weigh[{number}]" for number in range(7)), "gather"] == met
        items = {"place": "weigh[]", "state": "COMPLETED"}
        assert 7 == len((await client.get(f"/runs/{handle.id}/phases", params=items)).json()["phases"])
        failed = {"place": "weigh[]", "state": "FAILED"}
        assert [] == (await client.get(f"/runs/{handle.id}/phases", params=failed)).json()["phases"]


async def test_values_are_shown_in_part_and_without_secrets(runtime: Runtime) -> None:
    """In the console; what programs are told is whole."""
    handle = await runtime.start(weighing, "a b")
    await handle.wait()
    async with client_of(console(runtime, authorize=everybody), "/api") as client:
        path = f"/runs/{handle.id}/value"
        output = (await client.get(path)).json()
        assert ["•••", "•••"] == [each["api_token"] for each in output["value"]["words"]]
        assert "•••" == output["value"]["password"]
        assert {"$left_out": 6_000} == output["value"]["long"][1]
        assert output["characters"] > 10_000
        assert "a b" == (await client.get(path, params={"of": "input"})).json()["value"]
        item = (await client.get(path, params={"phase": "weigh[1]"})).json()
        assert {"word": "b", "api_token": "•••"} == item["value"]
        assert not (await client.get(path, params={"phase": "nowhere"})).json()["is_there"]
        assert 422 == (await client.get(path, params={"phase": "weigh[1]", "of": "input"})).status_code
        assert "hunter2" not in (await client.get(f"/runs/{handle.id}")).text
    async with client_of(asgi_app(runtime, authorize=everybody)) as client:
        assert "hunter2" == (await client.get(f"/runs/{handle.id}")).json()["output"]["password"]


@phase
async def swell(count: int) -> dict[str, Any]:
    item = {"password": "hunter2", "text": "y" * 80}
    return {"rows": [item] * count, "long": "x" * 80 * count}


async def test_of_a_very_large_value_the_beginning_is_shown_and_all_can_be_had() -> None:
    """What is left out is not counted then; secrets are hidden in the beginning and in the file."""
    swelling = Pipeline("swelling", swell)
    async with Runtime(pipelines=[swelling]) as runtime:
        handle = await runtime.start(swelling, 30_000)
        await handle.wait()
        async with client_of(console(runtime, authorize=everybody), "/api") as client:
            answer = await client.get(f"/runs/{handle.id}/value")
            told = answer.json()
            assert told["is_beginning"]
            assert told["characters"] > 5_000_000
            assert len(answer.content) < 100_000
            assert [{"password": "•••", "text": "y" * 80}] * 200 == told["value"]["rows"][:200]
            assert {"$left_out": None} == told["value"]["rows"][-1]
            path = f"/runs/{handle.id}/value/file"
            file = await client.get(path)
            assert f'attachment; filename="{handle.id}-output.json"' == file.headers["content-disposition"]
            assert "application/json" == file.headers["content-type"]
            assert {"•••"} == {each["password"] for each in file.json()["rows"]}
            assert 30_000 == len(file.json()["rows"])
            none = await client.get(path, params={"phase": 'no\r\n"where'})
            assert (404, "urn:phaseline:problem:no-value") == (none.status_code, none.json()["type"])
            assert 422 == (await client.get(path, params={"of": "all"})).status_code
        async with client_of(asgi_app(runtime, authorize=everybody)) as client:
            assert "hunter2" in (await client.get(path)).text


async def test_no_more_of_a_value_is_read_than_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a database the rest of it stays there: of an output, of the output of a phase, and of the input."""

    def read_whole(*_: object) -> None:
        raise AssertionError

    swelling = Pipeline("swelling", swell)
    async with Runtime(f"sqlite:///{tmp_path / 'runs.db'}", pipelines=[swelling]) as runtime:
        handle = await runtime.start(swelling, 30_000)
        await handle.wait()
        monkeypatch.setattr(SqlStorage, "values", read_whole)
        async with client_of(console(runtime, authorize=everybody), "/api") as client:
            path = f"/runs/{handle.id}/value"
            whole = (await client.get(path)).json()
            assert whole["is_beginning"]
            assert whole == (await client.get(path, params={"phase": "swell"})).json()
            assert 30_000 == (await client.get(path, params={"of": "input"})).json()["value"]


async def test_a_run_without_an_output_has_none_to_show(runtime: Runtime) -> None:
    """One that failed, for example."""
    handle = await runtime.start(weighing, "bad")
    await handle.wait()
    async with client_of(asgi_app(runtime, authorize=everybody)) as client:
        assert not (await client.get(f"/runs/{handle.id}/value")).json()["is_there"]


async def test_a_run_whose_last_phase_was_skipped_has_no_output_to_show() -> None:
    """It completed all the same; nor does a look at what is not there fail."""

    @phase
    async def silent(n: int) -> str:
        raise Skip("there is nothing to say")

    @phase
    async def loud(n: int) -> str:
        return f"{n}!"

    def is_negative(n: int) -> bool:
        return n < 0

    either = Pipeline("either", branch(is_negative, loud, silent))
    async with Runtime("memory", pipelines=[either]) as runtime:
        handle = await runtime.start(either, 1)
        await handle.wait()
        async with client_of(asgi_app(runtime, authorize=everybody)) as client:
            answer = await client.get(f"/runs/{handle.id}/value")
            assert (answer.status_code, answer.json()["is_there"]) == (200, False)


async def test_events_are_read_backward(runtime: Runtime) -> None:
    """From the end to the first, each once, in order within a page."""
    handle = await runtime.start(weighing, "a b c")
    await handle.wait()
    numbers = [event.seq async for event in handle.events()]
    async with client_of(asgi_app(runtime, authorize=everybody)) as client:
        met: list[int] = []
        before: int | None = 2**53
        while before is not None:
            page = (
                await client.get(f"/runs/{handle.id}/events", params={"before": before, "limit": 5})
            ).json()
            met = [each["seq"] for each in page["events"]] + met
            before = page["previous"]
            assert page["next"] is None
        assert numbers == met
        nothing = (await client.get(f"/runs/{handle.id}/events", params={"before": 1})).json()
        assert ([], None) == (nothing["events"], nothing["previous"])


@pytest.mark.parametrize("way", [{"before": 2**53}, {"after": 0}])
async def test_events_of_some_kinds_or_phases_are_found(runtime: Runtime, way: dict[str, int]) -> None:
    """Forward and back, also where a page is smaller than what is found."""
    handle = await runtime.start(weighing, "a b c d bad")
    await handle.wait()
    async with client_of(asgi_app(runtime, authorize=everybody)) as client:

        async def found(**wanted: Any) -> list[tuple[str, str | None]]:
            met: list[Any] = []
            params = {**way, **wanted, "limit": 2}
            while True:
                page = (await client.get(f"/runs/{handle.id}/events", params=params)).json()
                met += page["events"]
                if page["next"] is None and page["previous"] is None:
                    return sorted((each["type"], each["phase"]) for each in met)
                params |= {"before": page["previous"]} if "before" in way else {"after": page["next"]}

        assert ["weigh", *(f"weigh[{number}]" for number in range(5))] == [
            path for _, path in await found(type=["PHASE_STARTED"], phase="weigh")
        ]
        assert [
            ("PHASE_FAILED", "weigh"),
            ("PHASE_FAILED", "weigh[4]"),
            ("PIPELINE_FAILED", None),
        ] == await found(type=["PHASE_FAILED", "PIPELINE_FAILED"])
        assert [] == await found(phase="nowhere")
