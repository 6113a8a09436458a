"""Runs started and commanded; who did it stands in their history."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from http import HTTPStatus

from starlette.responses import Response

from phaseline.control import SUMMARIES, Verb
from phaseline.errors import DeadlinePassedError, KeyConflictError
from phaseline.inspection import send
from phaseline.rows import RunState
from phaseline.run_filter import RunSummary
from phaseline.views import StateView
from phaseline.web.access import Access, Action
from phaseline.web.calls import Call, Handler
from phaseline.web.problems import INVALID_REQUEST, RequestError


async def start(call: Call) -> StateView | Response:
    """Start a run; with a key that stands for one, give that one."""
    asked = call.body
    key = call.request.headers.get("idempotency-key") or asked.key
    if asked.key not in (None, key):
        raise RequestError(INVALID_REQUEST, "the header Idempotency-Key and the key in the body are two")
    timeout = asked.timeout_seconds
    try:
        handle = await call.runtime.start(
            call.pipeline(asked.pipeline, asked.version), asked.input, key=key, while_open=asked.while_open,
            priority=asked.priority, delay=timedelta(seconds=asked.delay_seconds),
            timeout=None if timeout is None else timedelta(seconds=timeout), deadline=asked.deadline,
            tags=asked.tags, attributes={**asked.attributes, **call.access.attributes},
        )  # fmt: skip
    except DeadlinePassedError as error:
        raise RequestError(INVALID_REQUEST, str(error)) from error
    found = await call.summary(handle.id)
    view = StateView.of(found)
    if handle.is_new or key is None:
        return view
    if not await _is_his(call.access, found):
        raise KeyConflictError(key, found.pipeline, found.id)  # it is somebody else's
    return Response(view.model_dump_json(by_alias=True), HTTPStatus.OK, media_type="application/json")


async def _is_his(access: Access, found: RunSummary) -> bool:
    """Whether a run that was there already may be one that he started."""
    has_his = access.attributes.items() <= found.attributes.items()
    return has_his and await access.allows(Action.START, found)


async def _command(call: Call, verb: Verb) -> StateView:
    asked = call.body
    details = {name: getattr(asked, name) for name in ("phase", "to", "note") if hasattr(asked, name)}
    await call.runtime.control(call.run.id, verb, reason=asked.reason, actor=call.access.actor, **details)
    return await call.state()


def command(verb: Verb) -> Handler:
    """What carries out a command that is no more than its verb and what its body says."""
    handler = partial(_command, verb=verb)
    handler.__doc__ = SUMMARIES[verb]
    return handler


async def resume_by_id(call: Call) -> StateView:
    """Go on with a run that is PAUSED or ROLLED_BACK; with a checkpoint, it is taken back there before.

    Where that has something to compensate it is ROLLING_BACK in the answer, and resumed with another call.
    """
    asked = call.body
    control = partial(call.runtime.control, call.run.id, reason=asked.reason, actor=call.access.actor)
    if asked.checkpoint is not None:
        await call.visitor.run(Action.ROLLBACK, call.run.id)
        await control(Verb.ROLLBACK, to=asked.checkpoint)
        where = await call.state()
        if where.state != RunState.ROLLED_BACK:
            return where
    await control(Verb.RESUME)
    return await call.state()


async def fork(call: Call) -> StateView:
    """Begin another run as a copy of this one, up to a place."""
    handle = await call.runtime.get(call.run.id)
    copy = await handle.fork(call.body.at, reason=call.body.reason, actor=call.access.actor)
    return await call.state(copy.id)


async def signal(call: Call) -> StateView:
    """Send a run what it waits for."""
    asked = call.body
    actor = call.access.actor
    await send(call.runtime, call.run.id, asked.signal, asked.value, key=asked.key, id_=asked.id, actor=actor)
    return await call.state()
