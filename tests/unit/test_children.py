"""Child runs: what may stand in a plan, as code and as data, and what the engine decides of them alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from msgspec.structs import replace
from tests.engine import LEASE, NOON, PLENTY, CheckedRun

from phaseline import Dag, Pipeline, branch, each, parallel, phase, start_child, templates
from phaseline._definition.drawing import to_dict
from phaseline._definition.plan import NodeKind, Plan
from phaseline._engine.commands import (
    Attach,
    Begin,
    Cancel,
    ChildEnded,
    Command,
    Expire,
    Fail,
    Offer,
    Pause,
    Release,
    RerunFrom,
    Restart,
    Resume,
    Retry,
    RollBack,
    Start,
    Succeed,
)
from phaseline._engine.decide import fold
from phaseline.errors import DefinitionError, DuplicatePhaseError, TemplateError, TypeMismatchError
from phaseline.rows import ErrorCategory, ErrorInfo, PhaseState, WaitKind
from phaseline.testing.storage.build import make_phase, new_run
from phaseline.unit_of_work import Message, MessageKind

CHILD = "child"
ERROR = ErrorInfo(category=ErrorCategory.PROCESSING, type="ChildRunError", message="no", phase="worker")


@phase
async def draft(number: int) -> int:
    return number


@phase
async def show(number: int) -> str:
    return f"{number}"


@phase
async def check(number: int) -> bool:
    return number > 0


worker = Pipeline("worker", draft)
parent = Pipeline("parent", draft >> start_child(worker) >> show)


# --------------------------------------------------------------------- what may be written
@pytest.mark.parametrize(
    ("write", "told"),
    [
        (
            lambda: start_child(draft),
            "is no pipeline yet; make one of it, once: Pipeline('name', draft)",
        ),
        (lambda: start_child("worker"), "is only a name; give the pipeline itself"),
        (lambda: start_child(print), "is no pipeline"),
        (
            lambda: start_child(worker, close="abandn"),
            "close='abandn'): known are 'cancel' and 'abandon'; did you mean",
        ),
        (lambda: start_child(worker, close="terminate"), "known are 'cancel' and 'abandon'"),
        (lambda: start_child(worker, name="a b"), "'a b' is no name for a child run"),
        (lambda: start_child(worker, queue="a b"), "'a b' is no name for a queue"),
    ],
)
def test_what_is_no_child_is_refused(write: Callable[[], object], told: str) -> None:
    """Where it is written, with what to write instead."""
    with pytest.raises(DefinitionError) as caught:
        write()
    assert told in str(caught.value)


def test_types_must_fit_as_with_a_phase() -> None:
    """What comes before it, and after."""
    with pytest.raises(TypeMismatchError, match=r"show.*start_child\(worker\)"):
        show >> start_child(worker)
    with pytest.raises(TypeMismatchError, match=r"start_child\(worker\)"):
        start_child(worker) >> each(draft)


def test_several_children_of_one_pipeline_have_names_of_their_own() -> None:
    """Their paths would be the same."""
    with pytest.raises(DuplicatePhaseError, match="worker"):
        Pipeline("two", start_child(worker) >> start_child(worker))
    two = Pipeline("two", start_child(worker) >> start_child(worker, name="again"))
    assert [(node.path, node.label) for node in two.plan.order] == [("worker", "WORKER"), ("again", "AGAIN")]


def test_a_pipeline_cannot_start_runs_of_itself() -> None:
    """Nor by way of others: they would do so for ever. Another version of it is another pipeline."""
    same = Pipeline("loop", draft)
    with pytest.raises(DefinitionError, match=r"'loop', version '1', starts at 'loop' a run of itself"):
        Pipeline("loop", start_child(same))
    with pytest.raises(DefinitionError, match="starts at 'between' a run of itself, or one that does"):
        Pipeline("loop", start_child(Pipeline("between", start_child(same))))
    assert Pipeline("loop", start_child(same), version="2").plan.starts == (("loop", same.plan),)


def test_a_child_is_taken_up_where_the_phase_before_it_is() -> None:
    """A worker that serves that queue alone must be able to start it; unless another queue is named."""
    there, child = draft.with_options(queue="there"), start_child(worker)
    plans = [
        Pipeline("after", there >> child).plan,
        Pipeline("before", child >> there).plan,
        Pipeline("asleep", there.sleep_for(timedelta(hours=1)) >> child).plan,
        Pipeline("named", draft >> start_child(worker, queue="there")).plan,
        Pipeline("items", each(start_child(worker, queue="there"))).plan,
    ]
    queues = [node.queue for plan in plans for node in plan.nodes if node.kind is NodeKind.CHILD]
    assert queues == ["there"] * len(plans)
    assert Pipeline("alone", child).plan.nodes[0].queue == "pipeline"
    test = Pipeline("test", branch(is_positive, child, start_child(worker, name="other"))).plan.nodes[0]
    assert test.queue == "pipeline"


def is_positive(number: int) -> bool:
    return number > 0


def test_the_shape_names_the_pipeline_that_is_started() -> None:
    """Not its version or phases, nor what becomes of the child: those may change under runs that are not over."""

    def print_of(child: Pipeline[int, int], **options: str) -> str:
        return Pipeline("p", start_child(child, name="c", **options)).plan.fingerprint  # type: ignore[arg-type]

    same = Pipeline("worker", draft >> draft.with_options(name="again"), version="2")
    assert print_of(worker) == print_of(same) == print_of(worker, close="abandon", queue="there")
    assert (
        len({print_of(worker), print_of(Pipeline("other", draft)), Pipeline("p", draft).plan.fingerprint})
        == 3
    )


def test_a_child_as_data_and_as_a_picture() -> None:
    """With what it starts, and what becomes of that."""
    node = to_dict(parent.plan)["nodes"][1]
    assert (node["kind"], node["starts"], node["version"], node["close"]) == (
        "child",
        "worker",
        "1",
        "cancel",
    )
    assert 'n1[/"worker"/]' in parent.to_mermaid()
    family = Pipeline("all", parallel(start_child(parent), start_child(worker))).plan.family
    assert [plan.name for plan in family] == ["all", "parent", "worker"]


# --------------------------------------------------------------------- templates
REGISTERED = {"draft": draft, "show": show, "worker": worker, "check": check}


def test_a_template_starts_children_as_code_does() -> None:
    """The same pipeline, so that runs go on when one takes the place of the other."""
    text = 'name = "parent"\nsteps = ["draft", { start_child = "worker", close = "abandon" }, "show"]'
    code = Pipeline("parent", draft >> start_child(worker, close="abandon") >> show)
    assert templates.loads(text, phases=REGISTERED).to_dict() == code.to_dict()
    graph = """
name = "dag"
[graph]
output = "show"
[graph.nodes]
apart = { step = { start_child = "worker", name = "w", queue = "slow" }, takes = "input" }
show = { takes = "apart" }
"""
    dag = Dag("dag", int)
    built = dag.build(dag.add(show, dag.add(start_child(worker, name="w", queue="slow"), dag.input)))
    assert templates.loads(graph, phases=REGISTERED).to_dict() == built.to_dict()


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ('{ start_child = "wroker" }', "did you mean 'worker'?"),
        ('{ start_child = "draft" }', "'draft' is no pipeline, so it has no runs"),
        ('{ start_child = "worker", close = "terminate" }', "'cancel' or 'abandon'"),
        ('{ start_child = "worker", name = "a b" }', "no name for a child run"),
        ('{ start_child = "worker", timeout = "PT1H" }', "timeout"),
        ('"show", { start_child = "worker", name = "w" }', "returns str"),
        ('{ start_child = "self" }', "starts at 'x' a run of itself"),
    ],
)
def test_a_template_that_starts_wrongly_is_told_where(step: str, told: str) -> None:
    """With the line, as every other mistake; also one that names a pipeline of its own name."""
    registered = {**REGISTERED, "self": Pipeline("x", draft)}
    with pytest.raises(TemplateError) as caught:
        templates.loads(f'name = "x"\nsteps = [\n"draft",\n{step},\n]', phases=registered)
    assert told in str(caught.value)
    assert caught.value.line == 4


# --------------------------------------------------------------------- the engine alone
def offer(room: int = PLENTY) -> Offer:
    return Offer("w-1", NOON + LEASE, room)


def waiting(plan: Plan, **fields: object) -> CheckedRun:
    """A run whose child phase waits."""
    run = CheckedRun(plan)
    run.snapshot.run = replace(run.snapshot.run, **fields)
    run.do(Start(NOON), offer=offer())
    run.do(Succeed("draft", 1, "1"), offer=offer())
    run.do(attach(run), offer=offer())
    return run


def attach(run: CheckedRun, child: str = CHILD) -> Attach:
    """What the worker that holds the child phase says once it has made a run."""
    row = run.snapshot.rows["worker"]
    return Attach("worker", row.fence, child, new_run(child, make_phase("b")))


def told(run: CheckedRun, command: Command) -> set[tuple[str, MessageKind]]:
    """To whom a command has something told."""
    draft_, _ = fold(run.snapshot, (command,), run.now, offer())
    return {(message.run_id, message.kind) for message in draft_.unit().messages}


def test_a_child_is_stored_with_the_wait_for_it() -> None:
    """The phase is let go of by its worker, and says whom it waits for."""
    run = waiting(parent.plan)
    row = run.snapshot.rows["worker"]
    assert (row.state, row.wait_kind, row.wait_key) == (PhaseState.RUNNING, WaitKind.CHILD, CHILD)
    assert (row.worker, row.lease_expires, row.fence) == (None, None, 2)
    assert run.storage.head("default", CHILD) is not None
    late = Attach("worker", 1, "another", new_run("another"))
    assert run.do(late) == [None]


def test_a_worker_that_lost_the_phase_starts_nothing() -> None:
    """Nor does one whose run was cancelled at the same time."""
    run = CheckedRun(parent.plan)
    run.do(Start(NOON), offer=offer())
    run.do(Succeed("draft", 1, "1"), offer=offer())
    late = attach(run)
    run.do(Release("worker", 1), offer=offer(0))
    assert run.do(late) == [None]
    assert run.storage.head("default", CHILD) is None
    other = CheckedRun(parent.plan)
    other.do(Start(NOON), offer=offer())
    other.do(Succeed("draft", 1, "1"), offer=offer())
    decided, verdicts = fold(other.snapshot, (attach(other), Cancel()), NOON, offer())
    unit = decided.unit()
    assert verdicts == [[], []]
    assert (unit.begins, unit.messages, unit.run.state) == ((), (), "CANCELLED")


def test_the_end_of_the_child_ends_the_wait() -> None:
    """With its output; an end of another run, or a second one, changes nothing."""
    run = waiting(parent.plan)
    for _ in range(2):
        run.do(ChildEnded("worker", "another", "5"), offer=offer())
        assert run.snapshot.rows["worker"].state is PhaseState.RUNNING
    run.do(ChildEnded("worker", CHILD, "5"), offer=offer())
    assert run.snapshot.rows["worker"].state is PhaseState.COMPLETED
    assert dict(run.storage.values("default", "r1", ["worker"])) == {"worker": "5"}
    assert [row.path for row in run.held] == ["show"]
    before = run.snapshot.run
    run.do(ChildEnded("worker", CHILD, None, ERROR), offer=offer())
    assert run.snapshot.run is before


def test_a_child_without_an_output_fails_the_run() -> None:
    """With the error that is told of it."""
    run = waiting(parent.plan)
    run.do(ChildEnded("worker", CHILD, None, ERROR))
    assert (run.state, run.snapshot.run.error) == ("FAILED", ERROR)


def test_a_parent_that_stands_takes_the_end_all_the_same() -> None:
    """It starts nothing before it goes on."""
    run = waiting(parent.plan)
    run.do(Pause())
    run.do(ChildEnded("worker", CHILD, "5"), offer=offer())
    assert (run.state, run.held) == ("PAUSED", [])
    run.do(Resume())
    assert run.state == "SHOW"


@pytest.mark.parametrize("close", ["cancel", "abandon"])
@pytest.mark.parametrize(
    ("command", "closes"),
    [
        (Cancel(), True),
        (RollBack(), True),
        (RollBack("draft"), True),
        (Expire(), True),
        (Pause(), False),
        (ChildEnded("worker", CHILD, "5"), False),
        (ChildEnded("worker", CHILD, None, ERROR), False),
        (ChildEnded("worker", "another", "5"), False),
    ],
    ids=str,
)
def test_who_does_not_wait_any_more_says_so(close: str, command: Command, closes: bool) -> None:
    """In the commit that ends the wait, unless that is the end of the child itself, or it is to be left alone."""
    plan = Pipeline("parent", draft >> start_child(worker, close=close) >> show).plan  # type: ignore[arg-type]
    run = waiting(plan, deadline=NOON)
    expected = {(CHILD, MessageKind.CLOSED)} if closes and close == "cancel" else set()
    assert told(run, command) == expected


def test_a_sibling_that_fails_closes_the_child() -> None:
    """Once: a retry of the run has nothing to say to it any more."""
    dag = Dag("parent", int)
    first = dag.add(draft, dag.input)
    plan = dag.build(dag.add(show, dag.add(start_child(worker), first)), also=[dag.add(check, first)]).plan
    run = waiting(plan)
    fail = Fail("check", 1, ERROR, None)
    assert told(run, fail) == {(CHILD, MessageKind.CLOSED)}
    run.do(fail)
    assert told(run, Retry()) == set()


@pytest.mark.parametrize("command", [RerunFrom("draft"), Restart()], ids=str)
def test_what_is_done_once_more_is_waited_for_anew(command: Command) -> None:
    """Under another generation, so that another child is started; a retry keeps it."""
    run = waiting(parent.plan)
    run.do(ChildEnded("worker", CHILD, None, ERROR))
    generation = run.snapshot.rows["worker"].generation
    run.do(Retry())
    assert run.snapshot.rows["worker"].generation == generation
    again = waiting(parent.plan)
    again.do(ChildEnded("worker", CHILD, "5"), offer=offer())
    again.do(Succeed("show", 1, '"5"'))
    again.do(command)
    again.do(Begin(("draft",)), offer=offer())
    again.do(Succeed("draft", again.snapshot.rows["draft"].fence, "1"), offer=offer())
    assert again.snapshot.rows["worker"].generation == 1


def test_a_run_that_was_started_before_is_looked_at() -> None:
    """It may have ended before it is waited for, and then nobody would tell of it."""
    run = CheckedRun(parent.plan)
    run.do(Start(NOON), offer=offer())
    run.do(Succeed("draft", 1, "1"), offer=offer())
    decided, _ = fold(run.snapshot, (Attach("worker", 1, CHILD, None),), NOON, offer())
    unit = decided.unit()
    seq = unit.run.seq
    assert unit.messages == [Message(sender=CHILD, seq=seq, run_id="r1", kind=MessageKind.AGAIN)]
    assert not unit.begins


@pytest.mark.parametrize("end", ["COMPLETED", "FAILED", "CANCELLED", "ROLLED_BACK"])
def test_a_child_tells_its_parent_of_each_end(end: str) -> None:
    """In the commit that ends it; what it comes to after an end, without going on, is no other end."""
    run = CheckedRun(worker.plan)
    fields = {"parent_id": "boss", "parent_path": "worker", "parent_generation": 0}
    run.snapshot.run = replace(run.snapshot.run, **fields)  # type: ignore[arg-type]
    assert told(run, Start(NOON)) == set()
    run.do(Start(NOON), offer=offer())
    ends: dict[str, Command] = {
        "COMPLETED": Succeed("draft", 1, "1"), "FAILED": Fail("draft", 1, ERROR, None),
        "CANCELLED": Cancel(), "ROLLED_BACK": RollBack(),
    }  # fmt: skip
    assert told(run, ends[end]) == {("boss", MessageKind.ENDED)}
    run.do(ends[end])
    assert run.state == end
    if end in ("COMPLETED", "FAILED"):
        assert told(run, RollBack()) == set()


def test_most_runs_have_nothing_to_tell() -> None:
    """They are not asked twice."""
    run = CheckedRun(worker.plan)
    decided, _ = fold(run.snapshot, (Start(NOON),), NOON, offer())
    assert decided.unit().messages == ()
