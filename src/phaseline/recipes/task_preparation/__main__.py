"""The command line of task preparation."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import anyio
import attrs
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from phaseline import Event, PhaselineError, Pipeline, Run, RunHandle, RunState, Runtime
from phaseline.recipes.task_preparation.models import ProjectContext, Prompt, Task
from phaseline.recipes.task_preparation.pipeline import task_preparation_pipeline

DONE, FAILED, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130
MEMORY = "memory"


@attrs.frozen
class Request:
    """What the command line asks for."""

    work: Task | str
    """A task to prepare, or the id of a run to go on with."""
    storage: str
    as_json: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare a task.

    Args:
        arguments: By default those of the process.

    Returns:
        The exit code: 0 done, 1 the run failed, 2 bad usage, 130 interrupted.
    """
    request = _parse(arguments)
    try:
        return anyio.run(_prepare, request)
    except PhaselineError as error:
        _say(f"error: {error}")
        return BAD_USAGE
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED


async def _prepare(request: Request) -> int:
    pipeline = task_preparation_pipeline()
    async with Runtime(request.storage, pipelines=[pipeline]) as runtime:
        handle = await _begin(runtime, pipeline, request)
        events = [event async for event in _told(handle, aloud=not request.as_json)]
        run = await handle.wait()
    if request.as_json:
        print(json.dumps(_as_json(run, events)))
    elif run.state == RunState.COMPLETED:
        print("\n" + "\n".join(prompt.text for prompt in run.output), end="")
    if run.state == RunState.COMPLETED:
        return DONE
    why = f": {run.error.type}: {run.error.message}" if run.error else ""
    _say(f"run {run.id} is {run.state}{why}")
    return FAILED


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
    """Give the stored events of the run until it ends, and print a line for those a person wants to see."""
    async for event in handle.events():
        if aloud and (line := _line(event)):
            print(line, flush=True)
        if event.seq is not None:
            yield event


def _line(event: Event) -> str | None:
    data = event.data
    match event.type:
        case "SUBTASK_GENERATED":
            subtask = data["subtask"]
            text = f"subtask {data['index']} of {data['total']}: {subtask['title']} [{subtask['category']}]"
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


def _as_json(run: Run[list[Prompt]], events: Sequence[Event]) -> Mapping[str, object]:
    prompts = run.output if run.state == RunState.COMPLETED else []
    return {
        "run_id": run.id,
        "state": run.state,
        "history": list(run.states),
        "subtasks": [event.data["subtask"] for event in events if event.type == "SUBTASK_GENERATED"],
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


# --------------------------------------------------------------------- arguments
def _parse(arguments: Sequence[str] | None) -> Request:
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.resume is not None:
        if given.storage == MEMORY:
            parser.error("--resume needs the --storage that the run was started with; memory forgets")
        return Request(given.resume, given.storage, given.json)
    if not given.text or not given.text.strip():
        parser.error("the text of the task is empty; say in words what is to be built")
    rules = dict(given.rule)
    for name in rules:
        if [key for key, _ in given.rule].count(name) > 1:
            parser.error(f"the rule {name!r} is given twice; keep one of them")
    try:
        context = ProjectContext(
            tech_stack=tuple(name for names in given.tech_stack for name in names.split(",") if name.strip()),
            coding_standards=tuple(given.standard),
            project_rules=rules,
        )
        task = Task.from_text(given.text, title=given.title, context=context)
    except ValidationError as error:
        parser.error("; ".join(map(_problem, error.errors())))
    return Request(task, given.storage, given.json)


def _problem(details: ErrorDetails) -> str:
    return f"{'.'.join(map(str, details['loc']))}: {details['msg'].removeprefix('Value error, ')}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m phaseline.recipes.task_preparation",
        description="Turn a software task in free words into prompts that are ready for whoever writes the code.",
    )
    parser.add_argument("text", nargs="?", metavar="TEXT", help="the task in free words")
    parser.add_argument("--title", help="by default the first sentence of the text")
    parser.add_argument(
        "--tech-stack", action="append", default=[], metavar="NAMES", help="such as FastAPI,PostgreSQL"
    )
    parser.add_argument(
        "--standard", action="append", default=[], metavar="TEXT", help="a coding standard; may be repeated"
    )
    parser.add_argument(
        "--rule",
        action="append",
        default=[],
        type=_rule,
        metavar="NAME=TEXT",
        help="a rule of the project, such as naming=snake_case; may be repeated",
    )
    parser.add_argument(
        "--storage", default=MEMORY, metavar="URL", help="such as sqlite:///runs.db; by default memory"
    )
    parser.add_argument(
        "--resume",
        metavar="RUN_ID",
        help="go on with this run of the storage; its task is stored, TEXT is not read",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, and nothing else")
    return parser


def _rule(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not (found and name.strip() and value.strip()):
        msg = f"{text!r} is not of the form NAME=TEXT, such as naming=snake_case"
        raise argparse.ArgumentTypeError(msg)
    return name.strip(), value.strip()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
