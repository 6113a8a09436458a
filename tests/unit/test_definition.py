"""Mistakes in a definition are refused where they are written, with what to write instead."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import attrs
import pytest

from phaseline import (
    Abort,
    Again,
    Budget,
    Context,
    Dag,
    Dep,
    Phase,
    Pipeline,
    Quota,
    Rate,
    Ref,
    Retry,
    Runtime,
    Skip,
    each,
    phase,
)
from phaseline._definition.phase import Options, PhaseOptions, option_names
from phaseline._values.spans import LONGEST
from phaseline.errors import (
    DefinitionError,
    DuplicatePhaseError,
    EncodeError,
    MissingDependencyError,
    RetryPolicyError,
    StorageURLError,
)
from phaseline.settings import Settings

TOKEN = Dep[int]("rates")
wrong: Any = phase  # what a type checker would refuse


async def body(value: int) -> int:
    return value


class Plain:
    """Nothing that pydantic knows."""


@phase
async def give_plain(value: int) -> Plain:
    return Plain()


class Step(Phase[int, int]):
    async def run(self, value: int, ctx: Context) -> int:
        return value


def a_class(**attributes: Any) -> Any:
    """Make a class phase with these attributes, and ask for its options as a pipeline does."""

    async def run(self: object, value: int, ctx: Context) -> int:
        return value

    return type("Odd", (Phase,), {"run": run, "__module__": __name__, **attributes})().options


REFUSED: list[tuple[Callable[[], Any], list[str]]] = [
    (lambda: wrong("decompose"), ["'decompose'", "@phase(name='decompose')"]),
    (lambda: wrong(3), ["phase(3)", "above a 'def'"]),
    (lambda: wrong(retry=3)(body), ["'body'", "retry=3", "retry=Retry(attempts=3)"]),
    (lambda: wrong(retry=True)(body), ["retry=True", "retry=Retry(attempts=3)"]),
    (lambda: a_class(retry=3), ["'odd'", "retry=Retry(attempts=3)"]),
    (lambda: wrong(timeout=3)(body), ["timeout=3", "timeout=timedelta(seconds=3)"]),
    (lambda: phase(heartbeat=timedelta(0))(body), ["'body'", "a heartbeat of 0:00:00 would end it before it began"]),
    (lambda: a_class(heartbeat=5), ["heartbeat=5", "heartbeat=timedelta(seconds=5)"]),
    (lambda: Pipeline("p", phase(heartbeat=timedelta(seconds=5))(body)), ["'body' has a heartbeat", "ctx: Context"]),
    (lambda: a_class(heartbeats=timedelta(1)), ["did you mean 'heartbeat'?"]),
    (lambda: a_class(timeout="3"), ["timeout='3'", "timedelta(seconds=...)"]),
    (lambda: phase(timeout=timedelta.max)(body), ["ten years", "leave it out"]),
    (lambda: phase(timeout=timedelta(0))(body), ["before it began"]),
    (lambda: wrong(requires=TOKEN)(body), ["requires=(TOKEN,)"]),
    (lambda: wrong(requires=("rates",))(body), ["'rates'", "Dep[Type]('name')"]),
    (lambda: a_class(requires=[TOKEN]), ["requires=(TOKEN,)"]),
    (lambda: wrong(name=3)(body), ["3 is no name for a phase", "beginning with a letter or '_'"]),
    (lambda: phase(name="9")(body), ["'9'"]),
    (lambda: wrong(queue=3)(body), ["3 is no name for the queue of phase 'body'"]),
    (lambda: phase(label="")(body), ["label ''", "leave it out"]),
    (lambda: phase(label="in progress")(body), ["'in progress'", "label='IN_PROGRESS'"]),
    (lambda: wrong(label=3)(body), ["label 3"]),
    (lambda: Retry(wait=timedelta(days=9_999)), ["ten years"]),
    (lambda: Retry(wait="5"), ["wait='5'", "timedelta(seconds=5)"]),
    (lambda: Retry(attempts="3"), ["attempts='3'", "Retry(attempts=3)"]),
    (lambda: Retry(attempts=0), ["1 or more"]),
    (lambda: Retry(retry=ValueError), ["ValueError", "retry_if_exception_type"]),
    (lambda: Retry(stop=3), ["stop=3", "attempts=3"]),
    (lambda: wrong_each(phase(body), on_error="colect"), ["'colect'", "did you mean 'collect'?"]),
    (lambda: wrong_each(phase(body), limit="8"), ["limit='8'", "limit=8"]),
    (lambda: each(phase(body), limit=0), ["at least one"]),
    (lambda: a_class(retries=3), ["Odd.retries = 3", "did you mean 'retry'?"]),
    (lambda: a_class(time_out=timedelta(1)), ["Odd.time_out", "did you mean 'timeout'?"]),
    (lambda: a_class(max_attempts=3), ["did you mean 'retry'?"]),
    (lambda: a_class(state="X"), ["did you mean 'label'?"]),
    (lambda: wrong(transactional="yes")(body), ["transactional='yes'", "transactional=True"]),
    (lambda: wrong(may_finish="yes")(body), ["'body'", "may_finish='yes'", "may_finish=True or may_finish=False"]),
    (lambda: a_class(may_finish=1), ["may_finish=1"]),
    (lambda: a_class(may_finsh=True), ["Odd.may_finsh = True", "did you mean 'may_finish'?"]),
    (lambda: a_class(transaction=True), ["did you mean 'transactional'?"]),
    (lambda: a_class(require=(TOKEN,)), ["did you mean 'requires'?"]),
    (lambda: Pipeline("9", phase(body)), ["'9' is no name for a pipeline", "beginning with a letter or '_'"]),
    (lambda: Pipeline("p", phase(body), retry=wrong_retry), ["'p'", "Retry(attempts=3)"]),
    (lambda: Pipeline("p", phase(body), version=wrong_version), ["'p'", "version=2", "write version='2'"]),
    (lambda: dag().build(dag_ref[-1], version=wrong_version), ["'d'", "write version='2'"]),
    (lambda: Pipeline("p", phase(odd(of_two))), ["'of_two' takes 2 values", "one dataclass, model or tuple, or leave @phase off", "a Dag"]),
    (lambda: Pipeline("p", phase(body), version=""), ["'p'", "version=''", "1 to 500"]),
    (lambda: Pipeline("p", phase(body), version="1\0"), ["NUL"]),
    (lambda: Pipeline("p" * 201, phase(body)), ["a pipeline", "it has 201 characters, 200 are allowed"]),
    (lambda: wrong_with(phase(body), nme="x"), ["'body'", "'nme' is no option", "did you mean 'name'?"]),
    (lambda: wrong_with(phase(body), max_retries=3), ["did you mean 'retry'?"]),
    (lambda: dag(tiemout=timedelta(1)), ["'pair'", "'tiemout' is no option", "did you mean 'timeout'?"]),
    (lambda: Runtime(deps=wrong_deps), ["deps={'x': ...}", "TOKEN = Dep[Type]('x')"]),
    (lambda: Runtime(deps=wrong_retry), ["deps=3 is no mapping", "deps={TOKEN: value}"]),
    (lambda: Runtime(lease=odd(30)), ["Runtime: lease=30 has no unit", "lease=timedelta(seconds=30)"]),
    (lambda: Runtime(lease=odd(None)), ["lease=None"]),
    (lambda: Runtime(lease=timedelta(0)), ["a lease of 0:00:00"]),
    (lambda: Runtime(lease=timedelta(milliseconds=99)), ["Runtime(lease=0:00:00.099000)", "at least 0:00:00.1"]),
    (lambda: Runtime(checkpoints=odd("no")), ["checkpoints='no'", "checkpoints=False"]),
    (lambda: Runtime(on_error=lambda: None), ["called with the event alone", "too many positional arguments"]),
    (lambda: Settings(enable_checkpoints=odd("no")), ["enable_checkpoints='no'"]),
    (lambda: Dep[int](odd(5)), ["Dep(5)", "Dep[Type]('name')"]),
    (lambda: Dep[int](""), ["Dep('')", "Dep[Type]('name')"]),
    (lambda: Rate(odd("10"), per=timedelta(1)), ["Rate('10', ...)", "write Rate(10, per=timedelta(minutes=1))"]),
    (lambda: Rate(10, per=odd(5)), ["Rate(10, ...)", "per=5 has no unit", "per=timedelta(seconds=5)"]),
    (lambda: Quota(odd(5), per=timedelta(1)), ["Quota(5, ...)", "write Quota(Budget("]),
    (lambda: Quota(Budget(requests=1), per=odd(5)), ["Quota: per=5 has no unit", "per=timedelta(seconds=5)"]),
    (lambda: Runtime(drain=odd(1.5)), ["drain=1.5 has no unit"]),
    (lambda: Runtime(drain=timedelta(-1)), ["for no time"]),
    (lambda: Runtime(retain=odd(9)), ["retain=9 has no unit"]),
    (lambda: Runtime(concurrency=odd("4")), ["Runtime(concurrency='4')", "whole number, of at least 1"]),
    (lambda: Runtime(sync_threads=0), ["Runtime(sync_threads=0)"]),
    (lambda: Runtime(serve=odd("no")), ["serve='no'", "serve=False"]),
    (lambda: Runtime(tracebacks=odd("yes")), ["tracebacks='yes'"]),
    (lambda: Runtime(settings=odd(5)), ["settings=5", "Settings.from_env()"]),
    (lambda: Runtime(bus=odd(5)), ["bus=5", "is no EventBus"]),
    (lambda: Runtime(classify=odd(5)), ["classify=5", "is no function", "an ErrorCategory or None"]),
    (lambda: Runtime(namespace=odd(5)), ["Runtime(namespace=5)", "printable text"]),
    (lambda: Runtime(namespace=""), ["Runtime(namespace='')"]),
    (lambda: Runtime(odd(3)), ["Runtime(storage=3)", "'memory'"]),
    (lambda: Runtime(queue=odd(3)), ["Runtime(queue=3)", "a URL or a queue"]),
    (lambda: Runtime(queues="mail"), ["a list of names is needed: ['mail']"]),
    (lambda: Runtime(queues=odd([5])), ["5 is no name for a queue"]),
    (lambda: Runtime(pipelines=odd(Pipeline("p", phase(body)))), ["several", "pipelines=[pipeline]"]),
    (lambda: Runtime(pipelines=odd([phase(body)])), ["is no pipeline yet", "Pipeline('name', body)"]),
    (lambda: Runtime(pipelines=odd(["p"])), ["'p' is only a name"]),
    (lambda: Runtime(pipelines=odd(3)), ["pipelines=3", "a list of pipelines"]),
    (lambda: Runtime("sqlite:///runs.db?mode=ro"), ["no option of a file is known", "mode="]),
    (lambda: phase(WithMethod.double), ["'WithMethod.double' is a method", "class Double(Phase[In, Out])", "phase(an_object.double)"]),
    (lambda: Pipeline("p", give_plain), ["output of phase 'give_plain': values of type Plain", "declare a pydantic"]),
    (lambda: Again(after=3), ["Again(3)", "timedelta(seconds=30)"]),
    (lambda: Again(timedelta(-1)), ["negative"]),
]  # fmt: skip
wrong_each: Any = each
wrong_version: Any = 2
wrong_deps: Any = {"x": 1}


def odd(value: object) -> Any:
    """Give a value that a type checker would refuse where it is used."""
    return value


class WithMethod:
    def double(self, value: int) -> int:
        return 2 * value


def of_two(one: int, other: int) -> int:
    return one


dag_ref: list[Ref[int]] = []


def wrong_with(node: Any, **options: Any) -> Any:
    return node.with_options(**options)


def dag(**options: Any) -> Dag[int]:
    """Make a graph of one function of two values, with these options."""

    async def pair(one: int, other: int) -> int:
        return one

    graph = Dag("d", int)
    dag_ref.append(graph.add(pair, graph.input, graph.input, **options))
    return graph


wrong_retry: Any = 3


@pytest.mark.parametrize(("define", "words"), REFUSED, ids=range(len(REFUSED)))
def test_refuses_with_advice(define: Callable[[], Any], words: list[str]) -> None:
    """The message names what was written, and says what to write."""
    with pytest.raises((DefinitionError, StorageURLError)) as caught:
        define()

    assert [] == [word for word in words if word not in str(caught.value)], caught.value


def test_options_are_the_same_wherever_they_are_written() -> None:
    """As attributes of a class, as arguments of ``@phase`` and of ``with_options``; else some would go unchecked."""
    names = {field.name for field in attrs.fields(PhaseOptions)}
    arguments = set(inspect.signature(phase).parameters) - {"fn"}

    assert names == set(option_names()) == set(Options.__annotations__) == arguments


def test_tokens_are_told_apart_by_themselves() -> None:
    """Two of one name stand for two things, and the message says so where the wrong one was provided."""
    one, other = Dep[int]("rates"), Dep[str]("rates")

    @phase(requires=(one,))
    async def ask(value: int, ctx: Context) -> int:
        return ctx.dep(one)

    pipeline = Pipeline("p", ask)
    assert 4 == pipeline.run_sync(1, deps={other: "a", one: 4}).output
    with pytest.raises(MissingDependencyError, match="stands under another token") as caught:
        pipeline.run_sync(1, deps={other: "a"})
    assert caught.value.has_namesake
    with pytest.raises(MissingDependencyError, match="provide it: Runtime") as caught:
        pipeline.run_sync(1)
    assert not caught.value.has_namesake


def test_a_bound_method_is_a_phase() -> None:
    """It has its object with it."""
    assert 4 == Pipeline("p", phase(WithMethod().double)).run_sync(2).output


def test_queues_that_hold_nothing_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """A worker that serves none of what its pipelines name would wait in silence."""
    mails = Pipeline("p", phase(queue="mails")(body))

    Runtime(pipelines=[mails], queues=["mails"])
    assert [] == caplog.messages
    Runtime(pipelines=[mails], queues=["mail"])
    assert ["'mail'", "did you mean 'mails'?"] == [
        w for w in ("'mail'", "did you mean 'mails'?") if w in caplog.text
    ]


def test_attributes_of_the_users_own_are_no_options() -> None:
    """A class phase may have attributes of any name whose values could not be an option's."""
    options = a_class(labels=["a"], retry_on=ValueError, model="m", MAX_RETRIES=3, names={"a": 1})

    assert "odd" == options.name


def test_names_may_begin_with_an_underscore() -> None:
    """What the message says of names is what holds."""
    assert "_HIDDEN" == phase(name="_hidden")(body).options.state_label


def test_the_useful_sentence_comes_first_and_pydantic_is_cut() -> None:
    """A type that cannot be stored is told in a few lines, not in a wall of text."""
    with pytest.raises(DefinitionError) as caught:
        Pipeline("p", give_plain)

    text = str(caught.value)
    assert (True, True, False) == (len(text) < 400, "\n" not in text, "__get_pydantic_core_schema__" in text)


class OtherOutput(Phase[int, str]):
    async def run(self, value: int, ctx: Context) -> int:  # type: ignore[override]
        return value


class OtherInput(Phase[int, int]):
    async def run(self, value: str, ctx: Context) -> int:  # type: ignore[override]
        return 1


class Narrower(Phase[int, object]):
    async def run(self, value: float, ctx: Context) -> int:
        return 1


class BelowNarrower(Narrower):
    """Says nothing itself."""


@pytest.mark.parametrize(
    ("cls", "words"),
    [
        (OtherOutput, ["OtherOutput", "gives str", "gives int"]),
        (OtherInput, ["OtherInput", "takes int", "takes str"]),
    ],
)
def test_declared_types_and_annotations_must_agree(cls: Any, words: list[str]) -> None:
    """``Phase[In, Out]`` is what type checkers read, ``run`` is what is stored: they may not differ."""
    with pytest.raises(DefinitionError) as caught:
        Pipeline("p", cls())

    assert [] == [word for word in words if word not in str(caught.value)], caught.value


@pytest.mark.parametrize("cls", [Narrower, BelowNarrower])
def test_annotations_may_be_narrower(cls: Any) -> None:
    """``run`` may take more and give less than was declared, as in any subclass."""
    assert int is cls().output_type


def test_two_instances_of_a_class_phase() -> None:
    """The advice fits phases that are classes, too."""
    with pytest.raises(DuplicatePhaseError, match=r"phase.with_options\(name=...\)"):
        Pipeline("p", Step() >> Step())
    again = Step().with_options(name="again", queue="other")
    pipeline = Pipeline("p", Step() >> again)
    assert [(node.path, node.label, node.queue) for node in pipeline.plan.nodes] == [
        ("step", "STEP", "pipeline"), ("again", "AGAIN", "other"),
    ]  # fmt: skip
    assert type(again) is Step


def test_a_phase_with_other_options() -> None:
    """The copy has what was given and the rest of the original, which stays as it was; options are checked as ever."""

    @phase(queue="slow", timeout=timedelta(seconds=3))
    def work(n: int) -> int:
        return n + 1

    pipeline = Pipeline("p", work >> work.with_options(name="more", timeout=None))
    assert pipeline.run_sync(1).output == 3
    first, second = (node.phase for node in pipeline.plan.bindings)
    assert first is work
    assert second is not None
    assert (second.options.queue, second.options.timeout) == ("slow", None)
    with pytest.raises(DefinitionError, match="has no unit"):
        work.with_options(timeout=3)  # type: ignore[arg-type]  # the mistake under test
    with pytest.raises(DefinitionError, match="transactional"):
        _ = Pipeline("p", work.with_options(name="x", transactional=True))


# --------------------------------------------------------------------- wishes
@pytest.mark.parametrize(
    "make", [Skip, Abort, lambda reason: Again(timedelta(1), reason)], ids=["skip", "abort", "again"]
)
@pytest.mark.parametrize(
    ("reason", "words"),
    [(None, "expected text, got NoneType"), ("\ud800", "lone surrogate"), ("a\0", "NUL"), (3, "got int")],
    ids=range(4),
)  # fmt: skip
def test_reasons_are_texts_that_can_be_stored(make: Callable[[Any], Any], reason: Any, words: str) -> None:
    """What would fail in the storage fails where it is written."""
    with pytest.raises(EncodeError, match=words):
        make(reason)


def test_long_reasons_are_cut() -> None:
    """A reason is for readers: what is too long is cut, and says so."""
    assert "… (5000 characters)" == Abort("a" * 5_000).reason[2_000:]


def test_far_off_pauses_end_after_ten_years() -> None:
    """A pause that no calendar holds is as good as ten years."""
    assert LONGEST == Again(timedelta.max).after


# --------------------------------------------------------------------- retry policies
@pytest.mark.parametrize("seconds", [1e300, float("inf"), 10**9 * 3600])
def test_far_off_retries_come_after_ten_years(seconds: float) -> None:
    """A strategy may say any number."""
    assert LONGEST == Retry(wait=lambda state: seconds).delay(1, ValueError())


def raises(state: object) -> Any:
    msg = "no"
    raise KeyError(msg)


@pytest.mark.parametrize("option", ["wait", "stop", "retry"])
def test_strategies_that_raise(option: str) -> None:
    """A strategy's own error is told as that, and not taken for the phase's."""
    policy = Retry(**{option: raises})
    with pytest.raises(RetryPolicyError, match=rf"Retry\({option}=raises\) raised KeyError") as caught:
        policy.delay(1, ValueError())

    assert isinstance(caught.value.__cause__, KeyError)
