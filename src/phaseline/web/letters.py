"""Dead letters: runs that failed, until somebody sees to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from phaseline.errors import RunNotFoundError
from phaseline.finding import Order
from phaseline.letters import DeadLetter, LetterPage
from phaseline.views import CommandedView, LettersView, LetterView, StateView
from phaseline.web.access import Action, everything
from phaseline.web.asked import Letters, ManyLetters
from phaseline.web.calls import Call
from phaseline.web.many import told_to_each


async def list_letters(call: Call) -> LettersView:
    """List dead letters, page by page."""
    page = await _page(call, call.query, call.query.order)
    letters = [letter for letter in page.letters if await _may(call, Action.READ, letter)]
    return LettersView(letters=tuple(map(LetterView.of, letters)), next=page.next)


async def _page(call: Call, asked: Letters | ManyLetters, order: Order) -> LetterPage:
    return await call.runtime.dead_letters.find(
        pipeline=asked.pipeline or None, category=asked.category or None, phase=asked.phase, since=asked.since,
        until=asked.until, order=order, limit=asked.limit, after=asked.after,
    )  # fmt: skip


async def _may(call: Call, action: Action, letter: DeadLetter) -> bool:
    if call.access.may is everything:
        return True
    try:
        await call.visitor.run(action, letter.run_id)
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


async def requeue_many(call: Call) -> CommandedView:
    """Take the runs of the dead letters that fulfil all conditions up again, each where it failed, page by page.

    The newest come first, so that one that fails again meanwhile is not met again on a page further on.
    """
    return await _command(call, Action.REQUEUE, call.runtime.dead_letters.requeue)


async def discard_many(call: Call) -> CommandedView:
    """Let go of the dead letters that fulfil all conditions, page by page; their runs stay FAILED."""
    return await _command(call, Action.DISCARD, call.runtime.dead_letters.discard)


async def _command(call: Call, action: Action, act: Callable[..., Awaitable[None]]) -> CommandedView:
    page = await _page(call, call.body, "newest")
    # Of what he may not command he learns nothing, as in lists.
    ids = [letter.run_id for letter in page.letters if await _may(call, action, letter)]

    async def command(run_id: str) -> None:
        await act(run_id, reason=call.body.reason, actor=call.access.actor)

    return await told_to_each(ids, command, page.next)
