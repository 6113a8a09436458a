"""Dead letters: runs that failed, until somebody sees to them."""

from __future__ import annotations

from phaseline.errors import DefinitionError, RunNotFoundError
from phaseline.letters import DeadLetter
from phaseline.views import LettersView, LetterView, StateView
from phaseline.web.access import Action, everything
from phaseline.web.calls import Call
from phaseline.web.problems import INVALID_REQUEST, RequestError


async def list_letters(call: Call) -> LettersView:
    """List dead letters, page by page."""
    asked = call.query
    try:
        found = call.runtime.dead_letters.find(
            pipeline=asked.pipeline or None, category=asked.category or None, phase=asked.phase, since=asked.since,
            until=asked.until, order=asked.order, limit=asked.limit, after=asked.after,
        )  # fmt: skip
    except DefinitionError:
        raise
    except ValueError as error:  # a place to go on at that is none
        raise RequestError(INVALID_REQUEST, str(error)) from None
    page = await found
    letters = [letter for letter in page.letters if await _is_visible(call, letter)]
    return LettersView(letters=tuple(map(LetterView.of, letters)), next=page.next)


async def _is_visible(call: Call, letter: DeadLetter) -> bool:
    if call.access.may is everything:
        return True
    try:
        await call.visitor.run(Action.READ, letter.run_id)
    except RunNotFoundError:
        return False
    return True


async def requeue(call: Call) -> StateView:
    """Take the run of a dead letter up again where it failed."""
    await call.runtime.dead_letters.requeue(call.run.id, reason=call.body.reason, actor=call.access.actor)
    return await call.state()


async def discard(call: Call) -> StateView:
    """Let go of a dead letter; its run stays FAILED."""
    await call.runtime.dead_letters.discard(call.run.id, reason=call.body.reason, actor=call.access.actor)
    return await call.state()
