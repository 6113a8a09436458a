"""What the command line of task preparation asks for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path

import attrs
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from phaseline import Budget
from phaseline.errors import DefinitionError
from phaseline.recipes.task_preparation.gate import PlanReview
from phaseline.recipes.task_preparation.models import ProjectContext, Subtask, Task

MEMORY = "memory"
_PLAN = TypeAdapter(list[Subtask])
_SQLITE = "sqlite:///"
_PROGRAM = "python -m phaseline.recipes.task_preparation"
_EPILOG = f"""\
examples:
  {_PROGRAM} "Members book a class and cancel up to 2 hours before" \\
      --tech-stack FastAPI,PostgreSQL --standard "Clean Code" --rule naming=snake_case > prompts.md
  {_PROGRAM} - --storage sqlite:///runs.db < task.txt
  {_PROGRAM} --storage sqlite:///runs.db --resume RUN_ID [--retry]
  {_PROGRAM} --storage sqlite:///runs.db --approval - < task.txt > plan.json
  {_PROGRAM} --storage sqlite:///runs.db --resume RUN_ID --edit plan.json > prompts.md
  {_PROGRAM} --model anthropic:claude-sonnet-4-5 --budget 2 --storage sqlite:///runs.db - < task.txt

The prompts go to standard output, progress and errors to standard error.

The task is taken apart by rules, word lists and templates: offline, the same text for the same task, and no
understanding of it beyond its words. With --model a model takes it apart, enriches it and says how to go about it; that
needs phaseline[ai], the library of the provider (pydantic-ai-slim[openai], [anthropic], [google], ...) and its key in the
environment (OPENAI_API_KEY, ANTHROPIC_API_KEY, GOOGLE_API_KEY, ...). What it has answered is paid for once, also with --resume;
name it there again. In Python, any Decomposer takes the place of the templates: task_preparation_pipeline(decomposer).

exit codes: 0 done, 1 the run failed, 2 wrong usage, or a storage or catalog that cannot be used, 3 the plan waits for
approval, 130 interrupted
"""


@attrs.frozen
class Request:
    """What the command line asks for."""

    work: Task | str
    """A task to prepare, or the id of a run to go on with."""
    storage: str
    as_json: bool
    catalog: Sequence[Path]
    """Folders of one's own content."""
    output: Sequence[Path]
    """Where to write instead of standard output: files for all, by what their names end in, and folders for a file per prompt."""
    approval: bool = False
    """Whether the plan waits for a person."""
    review: PlanReview | None = None
    """What a person says of the plan that waits."""
    model: str | None = None
    """Who does the work; None: the templates of the recipe."""
    budget: Budget | None = None
    """What that may cost."""
    retry: bool = False
    """Whether a run that failed is taken up again where it did."""


def parse(arguments: Sequence[str] | None) -> Request:
    """Read the command line.

    Raises:
        SystemExit: It asks for help, or for what cannot be.
    """
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.budget is not None and given.model is None:
        parser.error("--budget bounds what a model costs; name it with --model, or leave the budget out")
    if given.retry and given.resume is None:
        parser.error("--retry takes up a run that failed: say which by --resume")
    review = _review(parser, given)
    work = _task(parser, given) if given.resume is None else _run_id(parser, given)
    return Request(
        work,
        given.storage,
        given.json,
        given.catalog,
        given.output,
        approval=given.approval,
        review=review,
        model=given.model,
        budget=given.budget,
        retry=given.retry,
    )


def _review(parser: argparse.ArgumentParser, given: argparse.Namespace) -> PlanReview | None:
    if given.approval and given.storage == MEMORY:
        parser.error("--approval needs a --storage in which the plan can wait; memory forgets")
    if not (given.approve or given.refuse is not None or given.edit is not None):
        return None
    if given.resume is None:
        parser.error("a plan is reviewed of a run that waits: say which by --resume")
    try:
        if given.approve:
            return PlanReview.approve(by=given.by)
        if given.refuse is not None:
            return PlanReview.refuse(given.refuse, by=given.by)
        return PlanReview.edit(_PLAN.validate_json(given.edit.read_bytes()), by=given.by)
    except ValidationError as error:
        where = "--refuse" if given.edit is None else f"--edit {given.edit}"
        parser.error(f"{where}: " + "; ".join(map(_problem, error.errors())))
    except OSError as error:
        parser.error(f"--edit: {given.edit} cannot be read: {error.strerror}")


def _run_id(parser: argparse.ArgumentParser, given: argparse.Namespace) -> str:
    if given.storage == MEMORY:
        parser.error("--resume needs the --storage that the run was started with; memory forgets")
    if any((given.text is not None, given.title is not None, given.tech_stack, given.standard, given.rule)):
        parser.error(
            "--resume goes on with the task that is stored; leave out TEXT and what describes a task"
        )
    # Opening a storage creates it, and who asks for a run by id has mistyped the path.
    if given.storage.startswith(_SQLITE):
        file = Path(given.storage.removeprefix(_SQLITE).partition("?")[0])
        if not file.exists():
            parser.error(
                f"--resume: there is no file {str(file)!r}; give the --storage that the run was started with"
            )
    return str(given.resume)


def _task(parser: argparse.ArgumentParser, given: argparse.Namespace) -> Task:
    text = _standard_input(parser) if given.text == "-" else given.text
    if not text or not text.strip():
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
        return Task.from_text(text, title=given.title, context=context)
    except ValidationError as error:
        parser.error("; ".join(map(_problem, error.errors())))


def _standard_input(parser: argparse.ArgumentParser) -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        parser.error(f"standard input is no text: {error}")


def _problem(details: ErrorDetails) -> str:
    where, what = ".".join(map(str, details["loc"])), details["msg"].removeprefix("Value error, ")
    return f"{where}: {what}" if where else what


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description="Turn a software task in free words into prompts that are ready for whoever writes the code.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "text", nargs="?", metavar="TEXT", help="the task in free words; - reads standard input"
    )
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
        help="go on with this run of the storage; its task is stored, so give no TEXT",
    )
    parser.add_argument(
        "--retry", action="store_true", help="with --resume: take up a run that failed again where it did"
    )
    parser.add_argument(
        "--approval",
        action="store_true",
        help="have the plan wait for approval: it is printed as JSON, and the command ends",
    )
    review = parser.add_mutually_exclusive_group()
    review.add_argument(
        "--approve", action="store_true", help="with --resume: go on with the plan that waits"
    )
    review.add_argument("--refuse", metavar="REASON", help="with --resume: end the run, which fails")
    review.add_argument(
        "--edit",
        type=Path,
        metavar="FILE",
        help="with --resume: go on with the plan in this JSON file instead",
    )
    parser.add_argument("--by", default="", metavar="NAME", help="who approves, refuses or edits")
    parser.add_argument(
        "--model", metavar="NAME", help="have a model do it, such as openai:gpt-5; by default nobody is asked"
    )
    parser.add_argument(
        "--budget",
        type=_budget,
        metavar="USD",
        help="what the model may cost at most; a request that could cost more is not made, and the run fails",
    )
    parser.add_argument(
        "--catalog",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="a folder with technologies, practices and kinds of tasks of your own; may be repeated",
    )
    parser.add_argument(
        "--output",
        action="append",
        default=[],
        type=Path,
        metavar="PATH",
        help="write here, not to stdout: plan and prompts into a file that ends in .md or .json, or one Markdown file per "
        "prompt into a folder; may be repeated",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, and nothing else")
    return parser


def _budget(text: str) -> Budget:
    try:
        return Budget(cost=Decimal(text))
    except (InvalidOperation, DefinitionError) as error:
        msg = f"{text!r} is no amount of US dollars, such as 0.50"
        raise argparse.ArgumentTypeError(msg) from error


def _rule(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not (found and name.strip() and value.strip()):
        msg = f"{text!r} is not of the form NAME=TEXT, such as naming=snake_case"
        raise argparse.ArgumentTypeError(msg)
    return name.strip(), value.strip()
