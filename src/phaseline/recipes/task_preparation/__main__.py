"""The command line of task preparation."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import attrs

from phaseline import (
    Budget,
    Event,
    PhaselineError,
    PhaseState,
    Pipeline,
    Run,
    RunHandle,
    RunState,
    Runtime,
)
from phaseline.errors import RuntimeUsageError
from phaseline.recipes.task_preparation.arguments import MEMORY, Request, parse
from phaseline.recipes.task_preparation.catalog import Catalog
from phaseline.recipes.task_preparation.gate import AWAITING_APPROVAL, PLAN_REVIEW, PlanRefusedError
from phaseline.recipes.task_preparation.models import Prompt, Task
from phaseline.recipes.task_preparation.pipeline import task_preparation_pipeline
from phaseline.recipes.task_preparation.result import PreparedTask, plan_told, prepared_task

DONE, FAILED, BAD_USAGE, WAITS, INTERRUPTED = 0, 1, 2, 3, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare a task.

    Args:
        arguments: By default those of the process.

    Returns:
        The exit code: 0 done, 1 the run failed, 2 bad usage, 3 the plan waits for approval, 130 interrupted.
    """
    request = parse(arguments)
    try:
        catalog = Catalog.read(*request.catalog)
        # Both shapes: a run goes on as it began, whatever is asked for now.
        pipelines = [
            _pipeline(request.model, request.budget, catalog, approval=approval) for approval in (False, True)
        ]
        outcome = anyio.run(_prepare, request, pipelines)
        _show(request, outcome)
    except PhaselineError as error:
        _say(f"error: {error}")
        return BAD_USAGE
    except OSError as error:
        _say(f"error: {error}")
        return FAILED
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED
    if outcome.waits:
        return WAITS
    return DONE if outcome.made is not None else FAILED


@attrs.frozen
class Outcome:
    """What became of the run."""

    run: Run[list[Prompt]]
    events: Sequence[Event]
    made: PreparedTask | None
    """None where it did not complete."""
    waits: bool
    """Whether its plan waits for a person."""


async def _prepare(request: Request, pipelines: Sequence[Pipeline[Task, list[Prompt]]]) -> Outcome:
    async with Runtime(request.storage, pipelines=pipelines) as runtime:
        handle = await _begin(runtime, pipelines[request.approval], request)
        if request.retry:
            await handle.retry()
        if request.review is not None:
            if not await _waits(handle):  # it would be kept for a plan that nobody has seen
                msg = f"no plan of run {handle.id} waits for a review; --resume it without one, which prints the plan once it does"
                raise RuntimeUsageError(msg)
            await handle.signal(PLAN_REVIEW, request.review)
        events = [event async for event in _told(handle, aloud=not request.as_json)]
        waits = await _waits(handle)
        run = await handle.run() if waits else await handle.wait()
        made = await prepared_task(handle) if run.state == RunState.COMPLETED else None
        return Outcome(run, events, made, waits)


async def _waits(handle: RunHandle[Any]) -> bool:
    wait = (await handle.run()).phases.get(AWAITING_APPROVAL)
    return wait is not None and wait.state == PhaseState.RUNNING


def _pipeline(
    model: str | None, budget: Budget | None, catalog: Catalog, *, approval: bool
) -> Pipeline[Task, list[Prompt]]:
    """Have a model do the work, if one is named.

    Raises:
        ModelSetupError: It cannot be asked; nothing was stored.
    """
    if model is None:
        return task_preparation_pipeline(approval=approval, catalog=catalog)
    # Only who asks a model needs the extra, and the second that its import takes.
    from phaseline.ai import model_named  # noqa: PLC0415
    from phaseline.recipes.task_preparation.agents import (  # noqa: PLC0415
        AgentDecomposer,
        AgentEnricher,
        AgentPromptWriter,
    )

    model_named(model)
    return task_preparation_pipeline(
        AgentDecomposer(model),
        AgentEnricher(model, catalog=catalog),
        AgentPromptWriter(model, catalog=catalog),
        approval=approval,
        catalog=catalog,
        budget=budget,
    )


def _show(request: Request, outcome: Outcome) -> None:
    run, made = outcome.run, outcome.made
    if made is not None:
        for path in request.output:
            for file, text in _files(made, path):
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, "utf-8")
                _say(f"wrote {file}")
    if request.as_json:
        _print(json.dumps(_as_json(outcome)) + "\n")
    elif made is not None and not request.output:
        _print("\n".join(prompt.text for prompt in made.prompts))
    if run.usage.requests:
        _say(f"used {run.usage}")
    if outcome.waits:
        if not request.as_json:
            plan = [subtask.model_dump(mode="json") for subtask in plan_told(outcome.events)]
            _print(json.dumps(plan, indent=2, ensure_ascii=False) + "\n")
        _say(f"the plan waits: --resume {run.id} with --approve, --refuse REASON or --edit FILE")
    elif made is None:
        _say_how_it_ended(request, run)


def _say_how_it_ended(request: Request, run: Run[list[Prompt]]) -> None:
    why = f": {run.error.type}: {run.error.message}" if run.error else ""
    _say(f"run {run.id} is {run.state}{why}")
    refused = run.error is not None and run.error.type == PlanRefusedError.__name__  # would be refused again
    if run.state == RunState.FAILED and request.storage != MEMORY and not refused:
        same = "" if request.model is None else f" --model {request.model}"
        _say(f"to take it up again where it failed: --resume {run.id} --retry{same}")


def _files(made: PreparedTask, path: Path) -> Iterator[tuple[Path, str]]:
    """Give what is written at a path, by file."""
    if path.suffix == ".json" and not path.is_dir():
        yield path, made.to_json()
    elif path.suffix == ".md" and not path.is_dir():
        yield path, made.to_markdown()
    else:
        for place, prompt in enumerate(made.prompts, start=1):
            yield path / f"{place}-{prompt.category.lower().replace('_', '-')}.md", prompt.text


def _print(text: str) -> None:
    """Write to standard output; a reader that has seen enough is no error, nor is one that cannot have every character."""
    encoding = sys.stdout.encoding or "utf-8"
    shown = text.encode(encoding, "backslashreplace").decode(encoding)
    try:
        print(shown, end="", flush=True)
    except BrokenPipeError:
        # What is still buffered would fail once more when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


async def _begin(
    runtime: Runtime, pipeline: Pipeline[Task, list[Prompt]], request: Request
) -> RunHandle[list[Prompt]]:
    """Start the run, or find it; its id is told before anything else, so that a killed run can be resumed."""
    if isinstance(request.work, str):
        handle = await runtime.get(request.work, pipeline)
    else:
        handle = await runtime.start(pipeline, request.work)
    resumable = "" if request.storage == MEMORY else f" (if it is cut off: --resume {handle.id})"
    _say(f"run {handle.id}{resumable}")
    return handle


async def _told(handle: RunHandle[Any], *, aloud: bool) -> AsyncIterator[Event]:
    """Give the stored events of the run until it ends or waits, and print a line for those a person wants to see."""
    async for event in handle.events():
        if aloud and (line := _line(event)):
            _say(line)
        if event.seq is not None:
            yield event
        if event.type == "PHASE_STARTED" and event.phase == AWAITING_APPROVAL and await _waits(handle):
            return


def _line(event: Event) -> str | None:
    data = event.data
    match event.type:
        case "SUBTASK_GENERATED":
            subtask = data["subtask"]
            of = "" if data["total"] is None else f" of {data['total']}"
            of += "" if data["draft"] == 1 else f" of draft {data['draft']}"
            text = f"subtask {data['index']}{of}: {subtask['title']} [{subtask['category']}]"
        case "PHASE_STARTED":
            text = f"{event.phase} started" + (f", attempt {data['attempt']}" if data["attempt"] > 1 else "")
        case "PHASE_COMPLETED":
            text = f"{event.phase} completed"
        case "PHASE_RETRYING" | "PHASE_FAILED":
            error = data.get("error")
            why = f": {error['type']}: {error['message']}" if error else ""
            text = f"{event.phase} {'failed' if event.type == 'PHASE_FAILED' else 'will be tried again'}{why}"
        case "PIPELINE_STARTED" | "PIPELINE_COMPLETED" | "PIPELINE_FAILED":
            text = event.type.lower().replace("_", " ")
        case _:
            return None
    return f"{event.at:%H:%M:%S} {text}"


def _as_json(outcome: Outcome) -> Mapping[str, object]:
    run, events, made = outcome.run, outcome.events, outcome.made
    subtasks = plan_told(events) if made is None else made.subtasks
    prompts = () if made is None else made.prompts
    return {
        "run_id": run.id,
        "state": run.state,
        "history": list(run.states),
        "subtasks": [subtask.model_dump(mode="json") for subtask in subtasks],
        "prompts": [prompt.model_dump(mode="json") for prompt in prompts],
        "checkpoints": [
            {"id": c.id, "phase": c.phase, "revision": c.revision, "created_at": c.created_at.isoformat()}
            for c in run.checkpoints
        ],
        "events": [
            {
                "seq": event.seq,
                "type": event.type,
                "at": event.at.isoformat(),
                "phase": event.phase,
                "data": event.data,
                "transition": event.transition
                and {"from": event.transition.source, "to": event.transition.target},
            }
            for event in events
        ],
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
