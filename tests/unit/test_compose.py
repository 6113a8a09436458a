"""What is refused where a pipeline is defined, and what follows from its shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Never

import pytest

from phaseline import Abort, Context, Dag, Pipeline, Signal, branch, each, parallel, phase, start_child, when
from phaseline._definition.compose import Each
from phaseline.errors import DefinitionError, DuplicatePhaseError, NoCommonInputError, TypeMismatchError
from phaseline.run_filter import run_filter


@phase
def stars(n: int) -> str:
    return "*" * n


@phase
def double(n: int) -> int:
    return 2 * n


@phase
def triple(n: int) -> int:
    return 3 * n


@phase
def shout(text: str) -> str:
    return text.upper()


@phase
def numbers(n: int) -> list[int]:
    return list(range(n))


@phase
def total(values: list[int]) -> int:
    return sum(values)


@phase
def joined(both: tuple[str, int]) -> str:
    return f"{both[0]} {both[1]}"


@phase
def give_up(n: int) -> Never:
    raise Abort("no")


def is_big(n: int) -> bool:
    return n > 3


def is_long(text: str) -> bool:
    return len(text) > 3


async def in_the_future(n: int) -> bool:
    return n > 3


def with_context(n: int, ctx: Context) -> bool:
    return n > ctx.attempt


def in_words(n: int) -> str:
    return "yes"


def untyped(n) -> bool:  # type: ignore[no-untyped-def]  # the mistake under test
    return n > 3


def of_two(left: int, right: str) -> str:
    return f"{left} {right}"


# --------------------------------------------------------------------- what is refused
@pytest.mark.parametrize(
    ("compose", "error", "words"),
    [
        (lambda: parallel(stars, shout), NoCommonInputError, ["'stars' takes int", "'shout' takes str"]),
        (lambda: parallel(stars), DefinitionError, ["two steps or more"]),
        (lambda: parallel(stars, double) >> total, TypeMismatchError, ["tuple[str, int]", "'total'", "list[int]"]),
        (lambda: when(is_big, stars), TypeMismatchError, ["'stars' returns str", "int"]),
        (lambda: when(is_long, double), NoCommonInputError, ["'is_long' takes str", "'double' takes int"]),
        (lambda: branch(is_long, stars, double), NoCommonInputError, ["'is_long' takes str"]),
        (lambda: branch(is_big, stars, double) >> triple, TypeMismatchError, ["str | int", "'triple' takes int"]),
        (lambda: when(lambda n: n > 3, double), DefinitionError, ["lambda", "def"]),
        (lambda: when(in_the_future, double), DefinitionError, ["plain function", "not async"]),
        (lambda: when(with_context, double), DefinitionError, ["without a context"]),
        (lambda: when(in_words, double), DefinitionError, ["returns str; a test returns bool"]),
        (lambda: when(untyped, double), DefinitionError, ["'n' has no annotation"]),
        (lambda: Pipeline("p", stars >> each(shout)), DefinitionError, ["output of phase 'stars' is not a list"]),
        (lambda: Pipeline("p", double >> each(shout)), TypeMismatchError, ["'double' returns int", "Iterable[str]"]),
        (lambda: Pipeline("p", give_up >> stars), DefinitionError, ["'give_up'", "-> Never", "could never begin"]),
        (lambda: Pipeline("p", parallel(stars, give_up) >> joined), DefinitionError, ["'give_up'", "could never begin"]),
        (lambda: Pipeline("p", each(when(is_big, double))), DefinitionError, ["needs a name", "Pipeline('name'"]),
        (lambda: Pipeline("p", branch(is_big, double, double)), DuplicatePhaseError, ["'double'"]),
    ],
)  # fmt: skip
def test_refused_compositions(
    compose: Callable[[], Any], error: type[DefinitionError], words: list[str]
) -> None:
    """Each mistake is refused where it is written, and names the phases and types at fault."""
    with pytest.raises(error) as caught:
        compose()
    assert all(word in str(caught.value) for word in words), str(caught.value)


def _unused(dag: Dag[int]) -> None:
    dag.add(stars, dag.input)
    dag.build(dag.add(double, dag.input))


def _foreign(dag: Dag[int]) -> None:
    other = Dag("other", int)
    dag.add(double, other.add(double, other.input))


def _foreign_output(dag: Dag[int]) -> None:
    other = Dag("other", int)
    dag.build(other.add(double, other.input))


def _two_places(dag: Dag[int]) -> None:
    refs = [dag.add(step, dag.input) for step in (double, triple)]
    dag.build(dag.add(parallel(stars, numbers), *refs, join="any"))


def _never_first(dag: Dag[int]) -> None:
    refs = [dag.add(give_up, dag.input), dag.add(double, dag.input)]
    dag.build(dag.add(stars, *refs, join="any"))


def _untyped(value: object) -> Any:
    """What somebody gives who has no type checker."""
    return value


def _joined(join: object) -> Callable[[Dag[int]], Any]:
    return lambda dag: dag.add(double, dag.input, dag.input, join=_untyped(join))


def _given(step: Any, ref: object) -> Callable[[Dag[int]], Any]:
    return lambda dag: dag.add(step, _untyped(ref))


def _after(make: Callable[[Dag[int]], Any]) -> Callable[[Dag[int]], Any]:
    return lambda dag: dag.add(double, dag.input, after=make(dag))


@pytest.mark.parametrize(
    ("wire", "words"),
    [
        (_never_first, ["'give_up'", "could never begin"]),
        (_unused, ["nothing takes what 'stars' hands on", "also="]),
        (_foreign, ["'double' refers to 'double'", "another graph, 'other'"]),
        (_foreign_output, ["its output refers to 'double'", "'other'"]),
        (_two_places, ["in more than one place", "put a phase before it"]),
        (lambda dag: dag.build(dag.input), ["its output is its input"]),
        (lambda dag: dag.add(shout, dag.input), ["the input of 'graph'", "returns int", "'shout' takes str"]),
        (lambda dag: dag.add(double, dag.input, dag.input), ["'double' takes one value, but 2 references"]),
        (lambda dag: dag.add(of_two, dag.input, dag.input), ["'of_two' takes str"]),
        (lambda dag: dag.add(of_two, dag.input, dag.input, dag.input), ["'of_two' takes 2 values, but 3"]),
        (lambda dag: dag.add(double, dag.input, name="other"), ["'double' has options of its own", "name"]),
        (lambda dag: dag.add(double, dag.input, join="any"), ["two references or more"]),
        (lambda dag: dag.add(double, dag.input, cancel_rest=True), ["join='any'"]),
        (
            lambda dag: dag.add(double, dag.input, dag.add(double, dag.input), join="any", cancel_rest=True),
            ["the graph's input", "take the input alone"],
        ),
        (lambda dag: dag.add(of_two, dag.input, dag.input, cancel_rest=True), ["join='any'"]),
        (_joined("ayn"), ["join='ayn'", "did you mean 'any'?"]),
        (_joined(["any"]), ["join=['any']", "'all' and 'any'"]),
        (_given(double, double), ["FunctionPhase('double') is no reference", "what add() gave"]),
        (_given(double, "input"), ["'input' is no reference"]),
        (_after(lambda dag: dag.input), ["is no list", "after=[ref]"]),
        (_after(lambda _: [double]), ["FunctionPhase('double') is no reference"]),
        (lambda dag: dag.build(_untyped(None)), ["None is no reference"]),
        (lambda dag: dag.build(dag.add(double, dag.input), also=_untyped(5)), ["also=5 is no list"]),
        (
            lambda dag: dag.add(len, dag.input),
            ["decorate the function with @phase; only a function of two to six values"],
        ),
        (lambda _: Dag("a graph", int), ["no name for a graph"]),
    ],
)
def test_refused_graphs(wire: Callable[[Dag[int]], Any], words: list[str]) -> None:
    """A graph is checked step by step, and once more when it is closed."""
    with pytest.raises(DefinitionError) as caught:
        wire(Dag("graph", int))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_what_all_steps_can_take() -> None:
    """The input of a fork is the narrowest of what its steps take; where members overlap, what is common to all."""

    @phase
    def wide(value: object) -> str:
        return repr(value)

    @phase
    def text_or_number(value: int | str) -> str:
        return str(value)

    @phase
    def number_or_nothing(value: int | None) -> str:
        return str(value)

    assert parallel(wide, stars).input_type is int
    assert parallel(text_or_number, number_or_nothing).input_type is int


# --------------------------------------------------------------------- the derived state machine
def onward(pipeline: Pipeline[Any, Any], state: str) -> set[str]:
    return set(pipeline.transitions.allowed(state)) - {"PAUSED", "FAILED", "CANCELLED"}


def test_states_of_a_fork() -> None:
    """Phases side by side follow each other in order; none is passed over but what does not wait for the one left."""
    pipeline = Pipeline("fork", numbers >> total >> parallel(stars, double, triple) >> three)
    assert onward(pipeline, "TOTAL") == {"STARS"}
    assert onward(pipeline, "STARS") == {"DOUBLE", "TRIPLE", "THREE"}
    assert onward(pipeline, "TRIPLE") == {"THREE"}
    assert onward(pipeline, "THREE") == {"COMPLETED"}


@phase
def three(values: tuple[str, int, int]) -> str:
    return str(values)


def test_states_of_a_choice() -> None:
    """A test has no state; what it may skip may be passed over."""
    pipeline = Pipeline("choice", double >> branch(is_big, triple >> stars, numbers_text) >> shout)
    assert onward(pipeline, "DOUBLE") == {"TRIPLE", "STARS", "NUMBERS_TEXT", "SHOUT"}
    assert onward(pipeline, "TRIPLE") == {"STARS", "NUMBERS_TEXT", "SHOUT"}
    assert onward(pipeline, "SHOUT") == {"COMPLETED"}


@phase
def numbers_text(n: int) -> str:
    return str(n)


def test_states_of_an_early_end() -> None:
    """Only a phase that says that it may finish the run leads to COMPLETED from the middle."""

    @phase(may_finish=True)
    def search(n: int) -> int:
        return n

    pipeline = Pipeline("search", double >> search >> stars)
    assert onward(pipeline, "DOUBLE") == {"SEARCH"}
    assert onward(pipeline, "SEARCH") == {"STARS", "COMPLETED"}


def test_a_label_that_comes_back() -> None:
    """One label on phases that are no neighbours is refused, also in a graph."""

    @phase(label="WORK")
    def one(n: int) -> int:
        return n

    @phase(label="WORK")
    def other(n: int) -> int:
        return n

    assert onward(Pipeline("near", parallel(one, other)), "WORK") == {"COMPLETED"}
    with pytest.raises(DefinitionError, match="'one' and 'other' share the label 'WORK'"):
        Pipeline("far", one >> double >> other)


@pytest.mark.parametrize("name", ["a.b", "a-b", "A_b", "OrderPlaced", "v1.2-rc"])
def test_a_label_from_a_name_is_a_state_that_can_be_asked_for(name: str) -> None:
    """By one rule, whatever has the name: what is in it is part of a state, or becomes ``_``."""
    inner = Pipeline(name, double)
    made = (
        double.with_options(name=name),
        each(inner),
        start_child(inner),
        each(start_child(inner)),
        double.wait_for(Signal[int](name), name=name),
    )
    labels = [
        Pipeline("outer", numbers >> node if isinstance(node, Each) else node).plan.order[-1].label
        for node in made
    ]
    for label in labels:
        run_filter(state=label)
    assert 1 == len({*labels})


# --------------------------------------------------------------------- fingerprints
def test_what_a_fingerprint_depends_on() -> None:
    """On paths, kinds, edges and joins; not on labels, queues, types, limits or versions."""

    @phase(name="double", label="X", queue="other")
    def float_double(n: float) -> float:
        return 2 * n

    def shape(*args: Any) -> str:
        return Pipeline("p", *args).plan.fingerprint

    assert shape(double) == Pipeline("q", float_double, version="2").plan.fingerprint
    assert shape(numbers >> each(double)) == shape(numbers >> each(double, limit=3))
    different = [
        shape(double >> triple), shape(parallel(double, triple)), shape(when(is_big, double) >> triple),
        shape(branch(is_big, double, triple)), shape(Pipeline("n", double) >> triple),
        shape(numbers >> each(double)), shape(numbers >> each(double, on_error="collect")), _race(cancel=True),
        _race(cancel=False),
    ]  # fmt: skip
    assert len(set(different)) == len(different)


def _race(*, cancel: bool) -> str:
    dag = Dag("race", int)
    refs = [dag.add(step, dag.input) for step in (double, triple)]
    return dag.build(dag.add(stars, *refs, join="any", cancel_rest=cancel)).plan.fingerprint


# --------------------------------------------------------------------- drawings and descriptions
def test_a_drawing() -> None:
    """Tests are diamonds with both ways, maps are boxes, order is dotted."""
    dag = Dag("drawn", int)
    first = dag.add(when(is_big, double), dag.input)
    listed = dag.add(numbers >> each(triple), first)
    last = dag.add(stars, dag.input, after=[listed])
    assert dag.build(last).to_mermaid().splitlines() == [
        "flowchart TD",
        '    input(["input"])',
        '    n0{"is_big?"}',
        '    n1["double"]',
        '    n2["numbers"]',
        '    n3[["triple"]]',
        '    subgraph m3 ["each item of triple"]',
        '        n4["triple#91;#93;"]',
        "    end",
        '    n5["stars"]',
        '    output(["output"])',
        "    input --> n0",
        "    n0 -- yes --> n1",
        "    n0 -- no --> n2",
        "    n1 --> n2",
        "    n2 --> n3",
        "    n3 --> n4",
        "    input --> n5",
        "    n3 -. after .-> n5",
        "    n5 --> output",
    ]


def test_a_description() -> None:
    """A pipeline tells its nodes, edges, labels and queues as JSON data."""
    data = Pipeline("told", when(is_big, double) >> parallel(stars, triple) >> joined_).to_dict()
    assert [(node["path"], node["kind"], node["label"]) for node in data["nodes"]] == [
        ("is_big?", "test", None), ("double", "phase", "DOUBLE"), ("stars", "phase", "STARS"),
        ("triple", "phase", "TRIPLE"), ("joined_", "phase", "JOINED"),
    ]  # fmt: skip
    assert data["nodes"][2]["source"] == {"one": [{"test": "is_big?", "holds": False}, "double"]}
    assert data["nodes"][4]["source"] == {"all": ["stars", "triple"]}
    assert data["output"] == "joined_"
    assert data["states"]["JOINED"] == ["CANCELLED", "COMPLETED", "FAILED", "PAUSED"]


@phase(label="JOINED")
def joined_(both: tuple[str, int]) -> str:
    return joined(both)


def test_schemas() -> None:
    """Input and output are described as JSON schema."""
    pipeline = Pipeline("schemas", each(double))
    assert pipeline.input_schema() == {"items": {"type": "integer"}, "type": "array"}
    assert Pipeline("one", branch(is_big, stars, double)).output_schema() == {
        "anyOf": [{"type": "string"}, {"type": "integer"}]
    }


def test_a_long_chain_of_choices() -> None:
    """A thousand choices in a row are compiled, run and read without recursion."""

    def never(n: int) -> bool:
        return n < 0

    chain: Any = double
    for index in range(1_000):
        chain = chain >> when(never, phase(name=f"p{index}", label="P")(lambda_free))
    assert Pipeline("long", chain).run_sync(1).output == 2


def lambda_free(n: int) -> int:
    return n
