"""All that may be asked for over the network, as one table: requests are routed by it, and OpenAPI is made of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from phaseline import views
from phaseline.control import PLAIN, Verb
from phaseline.web import (
    about,
    asked,
    commands,
    history,
    letters,
    many,
    outlines,
    rights,
    runs,
    schedules,
    series,
    values,
    work,
)
from phaseline.web.access import Action
from phaseline.web.calls import Handler, Route

_BODIES: Final[Mapping[Verb, type[asked.Body]]] = {
    Verb.RERUN_FROM: asked.Rerun, Verb.ROLLBACK: asked.Rollback, Verb.ANNOTATE: asked.Note,
}  # fmt: skip
"""Of verbs that need more than a reason."""
_NOT_PLAIN: Final = (Verb.FORK, Verb.DISCARD)
_REFUSED: Final = ("command-refused", "pipeline-not-registered", "not-storable")
_PLACES: Final[Mapping[Verb, tuple[str, ...]]] = {
    Verb.RERUN_FROM: ("unknown-phase",), Verb.ROLLBACK: ("unknown-checkpoint",),
}  # fmt: skip
_OF_RUN: Final = {"id": "$response.body#/id"}
_NEXT: Final[Mapping[str, Mapping[str, str]]] = dict.fromkeys(
    ("getRun", "getOutline", "getState", "getCheckpoints", "getEvents", "pauseRun", "resumeRun", "cancelRun", "rollbackRun", "forkRun"),
    _OF_RUN,
)  # fmt: skip
"""What may be asked for of a run that was answered with."""
_STARTS: Final = (
    "unknown-pipeline", "invalid-input", "invalid-mark", "not-storable", "key-conflict", "pipeline-not-registered",
)  # fmt: skip


def _get(path: str, name: str, action: Action | None, handler: Handler, **more: Any) -> Route:
    return Route(method="GET", path=path, name=name, action=action, handler=handler, **more)


def _to(method: str, path: str, name: str, action: Action, handler: Handler, **more: Any) -> Route:
    given: dict[str, Any] = {"answer": views.StateView, "body": asked.Command, **more}
    return Route(method=method, path=path, name=name, action=action, handler=handler, **given)


def _of_verb(verb: Verb) -> Route:
    head, _, rest = verb.partition("_")
    return _to(
        "POST", f"/runs/{{id}}/{verb.replace('_', '-')}", f"{head}Run{rest.title()}", Action(verb), commands.command(verb),
        body=_BODIES.get(verb, asked.Command), problems=(*_REFUSED, *_PLACES.get(verb, ())),
        follow=_NEXT,
    )  # fmt: skip


def _pipeline() -> Iterator[Route]:
    """Runs started and commanded by the shortest paths."""
    yield _to(
        "POST", "/pipeline/start", "startRun", Action.START, commands.start, body=asked.Start, status=201,
        also={200: "The run that the key stands for: it was started before"},
        problems=_STARTS, follow=_NEXT, headers=("Idempotency-Key",),
    )  # fmt: skip
    yield _get("/pipeline/{id}/state", "getState", Action.READ, runs.show_state, answer=views.StateView)
    yield _get(
        "/pipeline/{id}/checkpoints", "getCheckpoints", Action.READ, runs.show_checkpoints,
        answer=views.CheckpointsView, problems=("pipeline-not-registered",),
    )  # fmt: skip
    yield _to(
        "PATCH", "/pipeline/pause", "pauseRunById", Action.PAUSE, commands.command(Verb.PAUSE), body=asked.PauseById,
        problems=_REFUSED,
    )  # fmt: skip
    yield _to(
        "PATCH", "/pipeline/resume", "resumeRunById", Action.RESUME, commands.resume_by_id, body=asked.ResumeById,
        problems=(*_REFUSED, "unknown-checkpoint"),
    )  # fmt: skip
    yield _to(
        "POST", "/pipeline/rollback", "rollbackRunById", Action.ROLLBACK, commands.command(Verb.ROLLBACK),
        body=asked.RollbackById, problems=(*_REFUSED, "unknown-checkpoint"),
    )  # fmt: skip
    yield _get("/pipeline/stats", "getStats", Action.STATS, about.stats, answer=views.StatsView)


def _runs() -> Iterator[Route]:
    marks = ("invalid-mark",)
    yield _get(
        "/runs", "listRuns", Action.LIST, runs.list_runs, query=asked.Runs, answer=views.RunsView, problems=marks,
        follow={name: {"id": "$response.body#/runs/0/id"} for name in _NEXT},
    )  # fmt: skip
    yield _get(
        "/runs/counts", "countRuns", Action.STATS, runs.count_runs, query=asked.Selection, answer=views.CountsView,
        problems=marks,
    )  # fmt: skip
    yield _get(
        "/runs/statistics", "getStatistics", Action.STATS, runs.show_statistics, query=asked.Statistics,
        answer=views.StatisticsView, problems=marks,
    )  # fmt: skip
    yield _get(
        "/runs/series", "getSeries", Action.STATS, series.show_series, query=asked.Series, answer=views.SeriesView,
        problems=marks,
    )  # fmt: skip
    for verb in PLAIN:
        yield _to(
            "POST", f"/runs/{verb}", f"{verb}Runs", Action(verb), many.command_many(verb), body=asked.ManyRuns,
            answer=views.CommandedView, problems=marks,
        )  # fmt: skip
    yield _get(
        "/runs/{id}", "getRun", Action.READ, runs.show_run, answer=views.RunDetail,
        problems=("pipeline-not-registered",),
    )  # fmt: skip
    yield _get(
        "/runs/{id}/events",
        "getEvents",
        Action.READ,
        history.list_events,
        query=asked.Events,
        answer=views.EventsView,
    )
    yield _get(
        "/runs/{id}/outline", "getOutline", Action.READ, outlines.show_outline, answer=outlines.OutlineView,
        follow={"getPhases": _OF_RUN, "getValue": _OF_RUN},
    )  # fmt: skip
    yield _get(
        "/runs/{id}/phases", "getPhases", Action.READ, outlines.list_phases, query=asked.Phases,
        answer=outlines.PhasesView,
    )  # fmt: skip
    yield _get(
        "/runs/{id}/value", "getValue", Action.READ, values.show_value, query=asked.Value,
        answer=values.ValueView, problems=("pipeline-not-registered",),
    )  # fmt: skip
    yield _get(
        "/runs/{id}/value/file", "downloadValue", Action.READ, values.download_value, query=asked.Value,
        problems=("pipeline-not-registered", "no-value"),
    )  # fmt: skip
    yield _get(
        "/runs/{id}/stream", "streamEvents", Action.SUBSCRIBE, runs.stream_events, query=asked.Stream,
        media_type="text/event-stream", problems=("pipeline-not-registered",), headers=("Last-Event-ID",),
    )  # fmt: skip
    yield from (_of_verb(verb) for verb in Verb if verb not in _NOT_PLAIN)
    yield _to(
        "POST", "/runs/{id}/fork", "forkRun", Action.FORK, commands.fork, body=asked.Fork, status=201,
        problems=(*_REFUSED, "unknown-checkpoint"), follow=_NEXT,
    )  # fmt: skip
    yield _to(
        "POST", "/runs/{id}/signal", "signalRun", Action.SIGNAL, commands.signal, body=asked.Send,
        problems=(
            "unknown-signal", "invalid-signal", "signal-refused", "pipeline-not-registered",
            "not-storable", "unknown-pipeline",
        ),
    )  # fmt: skip


def _letters() -> Iterator[Route]:
    first = {"id": "$response.body#/letters/0/run_id"}
    yield _get(
        "/dead-letters", "listDeadLetters", Action.LIST, letters.list_letters, query=asked.Letters,
        answer=views.LettersView, follow={"requeueDeadLetter": first, "getRun": first},
    )  # fmt: skip
    for name, action, handler in (
        ("requeue", Action.REQUEUE, letters.requeue), ("discard", Action.DISCARD, letters.discard),
    ):  # fmt: skip
        yield _to(
            "POST", f"/dead-letters/{{id}}/{name}", f"{name}DeadLetter", action, handler, problems=_REFUSED
        )
    for name, action, to_all in (
        ("requeue", Action.REQUEUE, letters.requeue_many), ("discard", Action.DISCARD, letters.discard_many),
    ):  # fmt: skip
        yield _to(
            "POST", f"/dead-letters/{name}", f"{name}DeadLetters", action, to_all, body=asked.ManyLetters,
            answer=views.CommandedView,
        )  # fmt: skip


def _schedules() -> Iterator[Route]:
    unknown = ("unknown-schedule",)
    view: dict[str, Any] = {"answer": views.ScheduleView, "body": None}
    yield _get(
        "/schedules", "listSchedules", Action.LIST, schedules.list_schedules, answer=views.SchedulesView
    )
    yield _get(
        "/schedules/{name}", "getSchedule", Action.READ, schedules.show_schedule, answer=views.ScheduleView,
        problems=unknown,
    )  # fmt: skip
    yield _get(
        "/schedules/{name}/slots", "listSlots", Action.READ, schedules.list_slots, query=asked.Slots,
        answer=views.SlotsView, problems=unknown,
    )  # fmt: skip
    yield _to(
        "PUT", "/schedules/{name}", "putSchedule", Action.SCHEDULE, schedules.put_schedule, **{
            **view, "body": asked.PutSchedule,
            "problems": ("unknown-schedule", "invalid-schedule", "unknown-pipeline", "invalid-input", "invalid-mark", "pipeline-not-registered"),
            "follow": {
                name: {"name": "$response.body#/name"}
                for name in ("getSchedule", "pauseSchedule", "resumeSchedule", "triggerSchedule", "deleteSchedule")
            },
        },
    )  # fmt: skip
    yield _to(
        "DELETE", "/schedules/{name}", "deleteSchedule", Action.SCHEDULE, schedules.delete_schedule, body=None, status=204,
        answer=None, problems=unknown,
    )  # fmt: skip
    for name, handler in (("pause", schedules.pause_schedule), ("resume", schedules.resume_schedule)):
        yield _to(
            "POST",
            f"/schedules/{{name}}/{name}",
            f"{name}Schedule",
            Action.SCHEDULE,
            handler,
            **view,
            problems=unknown,
        )
    yield _to(
        "POST", "/schedules/{name}/trigger", "triggerSchedule", Action.SCHEDULE, schedules.trigger_schedule, body=None,
        status=201, problems=(*unknown, "pipeline-not-registered"), follow=_NEXT,
    )  # fmt: skip


def _about() -> Iterator[Route]:
    version: dict[str, Any] = {"query": asked.Version, "problems": ("unknown-pipeline",)}
    yield _get(
        "/pipelines", "listPipelines", Action.LIST, about.list_pipelines, answer=views.PipelinesView,
        follow={
            name: {"name": "$response.body#/pipelines/0/name", "version": "$response.body#/pipelines/0/version"}
            for name in ("getPipeline", "drawPipeline")
        },
    )  # fmt: skip
    yield _get(
        "/pipelines/{name}",
        "getPipeline",
        Action.READ,
        about.show_pipeline,
        answer=views.PipelineView,
        **version,
    )
    yield _get(
        "/pipelines/{name}/graph",
        "drawPipeline",
        Action.READ,
        about.draw_pipeline,
        media_type="text/plain",
        **version,
    )
    yield _get(
        "/access", "getAccess", None, rights.show_access, query=asked.Rights, answer=rights.AccessView,
        problems=("unknown-run",),
    )  # fmt: skip
    yield _get("/health", "getHealth", Action.HEALTH, about.health, answer=views.HealthView)
    yield _get("/work", "getWork", Action.HEALTH, work.show_work, answer=views.WorkView)


ROUTES: Final = (*_pipeline(), *_runs(), *_letters(), *_schedules(), *_about())


def to_markdown() -> str:
    """The table for readers."""
    lines = ["| request | right | what it does |", "|---|---|---|"]
    for route in ROUTES:
        right = f"`{route.action}`" if route.action else ""
        lines.append(f"| `{route.method} {route.path}` | {right} | {route.summary} |")
    return "\n".join(lines) + "\n"
