"""Dead letters: runs that failed, until somebody sees to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial

from phaseline.dead_letter import DeadLetter
from phaseline.dead_letters import cursor_of
from phaseline.errors import RunNotFoundError
from phaseline.run_filter import Order
from phaseline.views import CommandedView, LettersView, LetterView, StateView
from phaseline.web.access import Action, everything
from phaseline.web.asked import Letters, ManyLetters
from phaseline.web.calls import Call
from phaseline.web.many import told_to_each
from phaseline.web.seen import seen


async def list_letters(call: Call) -> LettersView:
    """List dead letters, page by page."""
    letters, next_ = await _page(call, call.query, call.query.order, Action.READ)
    return LettersView(letters=tuple(map(LetterView.of, letters)), next=next_)


async def _page(
    call: Call, asked: Letters | ManyLetters, order: Order, action: Action
) -> tuple[list[DeadLetter], str | None]:
    """Give a page of the letters to whose runs he may do something, and where the next one begins."""

    async def read(after: str | None, limit: int) -> tuple[Sequence[DeadLetter], str | None]:
        page = await call.runtime.dead_letters.find(
            pipeline=asked.pipeline or None, category=asked.category or None, phase=asked.phase, since=asked.since,
            until=asked.until, order=order, limit=limit, after=after,
        )  # fmt: skip
        return page.letters, page.next

    def place(letter: DeadLetter) -> str:
        second = letter.at.replace(microsecond=0)
        return cursor_of((second if order == "newest" else second + timedelta(seconds=1), ""))

    return await seen(
        read, partial(_may, call, action), limit=asked.limit, after=asked.after,
        cursor=lambda letter: cursor_of(letter.key), place=place,
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
    # Of what he may not command he learns nothing, as in lists.
    letters, next_ = await _page(call, call.body, "newest", action)

    async def command(run_id: str) -> None:
        await act(run_id, reason=call.body.reason, actor=call.access.actor)

    return await told_to_each([letter.run_id for letter in letters], command, next_)
