"""Values of a run: as much of them as can be looked at, however large they are, and the whole as a file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import anyio.to_thread
from pydantic_core import from_json, to_json
from starlette.responses import Response

from phaseline.abc import Beginning
from phaseline.errors import NoOutputError
from phaseline.rows import INPUT, RunState
from phaseline.views import View
from phaseline.web.calls import Call
from phaseline.web.problems import INVALID_REQUEST, NO_VALUE, RequestError
from phaseline.web.shown import Shown, redacted

LARGEST: Final = 1 << 20
"""Characters of a value that are read at most where a part of it is shown."""
BEGINNING: Final = 128 << 10
"""Characters of one that is larger of which a part is shown."""
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9_.-]+")


class ValueView(View):
    """A value of a run, as much of it as is shown."""

    is_there: bool
    characters: int
    """Of the whole of it, as JSON; where ``is_beginning``, its bytes in UTF-8."""
    is_beginning: bool = False
    """Whether it is so large that alone its beginning was read: what is left out of it is not counted then."""
    value: Any
    """Where an object has ``$left_out``, or a list ends with such an object, so many more are not shown, or, where that is null,
    nobody counted; a text of which that is true is a list of its beginning and such an object."""


async def show_value(call: Call) -> ValueView:
    """Show what a run was given, what came of it, or what a phase of it gave; of what is large, a part."""
    found = await _beginning(call)
    if found is None:
        return ValueView(is_there=False, characters=0, value=None)
    value = await anyio.to_thread.run_sync(_shown, found, call.hidden)
    size = len(found.text) if found.is_whole else found.size
    return ValueView(is_there=True, characters=size, is_beginning=not found.is_whole, value=value)


def _shown(found: Beginning, hidden: frozenset[str]) -> Any:
    if found.is_whole:
        return Shown(hidden).of(from_json(found.text))
    beginning = from_json(found.text[:BEGINNING], allow_partial="trailing-strings")
    return Shown(hidden, is_beginning=True).of(beginning)


async def download_value(call: Call) -> Response:
    """Give such a value whole, as a file of JSON, but for what is hidden."""
    text = await _text(call)
    if text is None:
        raise RequestError(NO_VALUE, "there is no such value of the run, or not yet")
    content: str | bytes = text
    if call.hidden:
        content = await anyio.to_thread.run_sync(lambda: to_json(redacted(from_json(text), call.hidden)))
    name = _NO_NAME.sub("-", f"{call.run.id}-{call.query.phase or call.query.of}").strip("-")
    return Response(
        content, media_type="application/json", headers={"content-disposition": f'attachment; filename="{name}.json"'}
    )  # fmt: skip


async def _beginning(call: Call) -> Beginning | None:
    """As much of the value as is read to show it; None where there is none."""
    path = _path(call)
    if path is not None:
        return await _stored(call, path)
    if call.run.state != RunState.COMPLETED:
        return None
    values = call.runtime.runner.values
    live = await call.runtime.runner.load(call.run.id)
    try:
        path = values.output_path(live)
        found = None if path is None else await _stored(call, path)
        # Else it is put together of what several phases gave, or what a skipped one took.
        return found or Beginning.of(await values.output_text(live), LARGEST)
    except NoOutputError:  # the phase that gives it was skipped
        return None


async def _stored(call: Call, path: str) -> Beginning | None:
    runner = call.runtime.runner
    of_run = runner.options.namespace, call.run.id
    found: Beginning | None = await runner.read(partial(runner.storage.beginning, *of_run, path, LARGEST))
    return found


def _path(call: Call) -> str | None:
    """Where the value is stored; None of the output of the run, which is to be found."""
    asked = call.query
    if asked.of == "input" and asked.phase is not None:
        raise RequestError(
            INVALID_REQUEST, "what a phase was given is what those before it gave; ask for these"
        )
    path: str | None = INPUT if asked.of == "input" else asked.phase
    return path


async def _text(call: Call) -> str | None:
    """The value as it is stored; None where there is none."""
    runner, path = call.runtime.runner, _path(call)
    if path is None:
        return await _output(call)
    read = partial(runner.storage.values, runner.options.namespace, call.run.id, (path,))
    texts: Mapping[str, str] = await runner.read(read)
    return texts.get(path)


async def _output(call: Call) -> str | None:
    if call.run.state != RunState.COMPLETED:
        return None
    runner = call.runtime.runner
    live = await runner.load(call.run.id)
    try:
        return await runner.values.output_text(live)
    except NoOutputError:  # the phase that gives it was skipped
        return None
