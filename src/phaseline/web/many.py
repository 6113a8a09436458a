"""Commands to many runs: all that fulfil conditions, page by page, each through the same doors as a single one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from phaseline._shell.controlling import each_of
from phaseline.control import ACTIVE, TABLE, Verb, allowed_in
from phaseline.views import CommandedView
from phaseline.web.access import Action
from phaseline.web.asked import ManyRuns
from phaseline.web.calls import Call, Handler
from phaseline.web.problems import told_of
from phaseline.web.runs import found
from phaseline.web.seen import seen_runs


async def told_to_each(
    run_ids: Iterable[str], command: Callable[[str], Awaitable[None]], next_: str | None
) -> CommandedView:
    """Command runs, and say what it came to; one that refuses holds nothing up."""
    asked = tuple(run_ids)
    refused = await each_of(asked, command)
    told = {run_id: told_of(error, "a command to many")[1] for run_id, error in refused.items()}
    return CommandedView(done=len(asked) - len(refused), refused=told, next=next_)


async def _command(call: Call, verb: Verb) -> CommandedView:
    asked: ManyRuns = call.body
    obeying = _obeying(asked, verb)
    if obeying is None:
        return CommandedView(done=0, refused={}, next=None)
    # The newest come first, so that one that is begun meanwhile is not met on a page further on.
    # Of what he may not command he learns nothing, as in lists.
    runs, next_ = await seen_runs(
        partial(found, call, obeying), partial(call.access.allows, Action(verb)),
        order="newest", limit=asked.limit, after=asked.after,
    )  # fmt: skip

    async def command(run_id: str) -> None:
        await call.runtime.control(run_id, verb, reason=asked.reason, actor=call.access.actor)

    return await told_to_each([run.id for run in runs], command, next_)


def _obeying(asked: ManyRuns, verb: Verb) -> ManyRuns | None:
    """What is asked for, without runs in whose state nothing obeys the verb; None if all are such."""
    if asked.state:
        states = [state for state in asked.state if verb in allowed_in(state)]
        return asked.model_copy(update={"state": states}) if states else None
    if ACTIVE not in TABLE[verb]:
        return asked.model_copy(update={"state": [*TABLE[verb]]})
    return None if asked.ended else asked.model_copy(update={"ended": False})


def command_many(verb: Verb) -> Handler:
    """What commands all runs that fulfil conditions."""
    handler = partial(_command, verb=verb)
    handler.__doc__ = f"{str(verb).title()} all runs that fulfil conditions and can obey, page by page."
    return handler
