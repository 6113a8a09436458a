"""How much work waits, and who is there for it."""

from __future__ import annotations

from functools import partial

from phaseline._shell.checkup import figures_of
from phaseline.health import Health
from phaseline.views import PipelineName, QueueView, ThreadsView, WorkerView, WorkView
from phaseline.web.about import without_places
from phaseline.web.calls import Call


async def show_work(call: Call) -> WorkView:
    """Show what waits on each queue, since when, and the workers that are there for it."""
    runtime = call.runtime
    health = without_places(await runtime.health())
    figures = await runtime.runner.read(partial(figures_of, runtime.runner))
    tally, threads = figures.tally, health.threads
    waiting = {} if tally is None else dict(tally.waiting)
    return WorkView(
        ok=health.ok, problems=health.problems, queues=_queues(health, waiting, figures.queues),
        workers=tuple(WorkerView(id=each.id, pid=each.pid, seen_at=each.seen_at, alive=each.alive) for each in health.workers),
        lists_workers=health.lists_workers, dead_letters={} if tally is None else tally.letters,
        threads=None if threads is None else ThreadsView(limit=threads.limit, busy=threads.busy, abandoned=threads.abandoned),
        unknown=tuple(PipelineName(name=each.pipeline, version=each.version) for each in health.unknown),
    )  # fmt: skip


def _queues(health: Health, waiting: dict[str, int], served: frozenset[str]) -> tuple[QueueView, ...]:
    late = {each.queue: each for each in health.queues}
    return tuple(
        QueueView(
            queue=name, waiting=waiting.get(name, 0), served=name in served,
            since=late[name].since if name in late else None,
            pipelines=tuple(sorted({each.pipeline for each in late[name].definitions})) if name in late else (),
        )
        for name in sorted(served.union(waiting, late))
    )  # fmt: skip
