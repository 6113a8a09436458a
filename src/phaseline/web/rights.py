"""What somebody may do: so that a page offers that, and nothing else."""

from __future__ import annotations

from datetime import datetime

from phaseline.views import View
from phaseline.web.access import Action, everything
from phaseline.web.calls import Call


class AccessView(View):
    """Who asks, and what he may."""

    actor: str
    namespace: str
    expires_at: datetime | None
    run_id: str | None
    """The run that it is about; None of what may be done at all."""
    actions: tuple[str, ...]
    read_only: bool
    """Whether nothing can be changed here, whoever asks."""
    all_runs: bool
    """Whether he may do that to every run; else to those that the host says, of which figures tell nothing."""


async def show_access(call: Call) -> AccessView:
    """Say who asks and what he may do, at all or to a run; whoever is known may ask that."""
    access, run_id = call.access, call.query.run
    found = None if run_id is None else await call.visitor.run(Action.READ, run_id)
    return AccessView(
        actor=access.actor, namespace=call.runtime.namespace, expires_at=access.expires_at, run_id=run_id,
        actions=tuple([str(action) for action in Action if await access.allows(action, found)]), read_only=call.read_only,
        all_runs=access.may is everything,
    )  # fmt: skip
