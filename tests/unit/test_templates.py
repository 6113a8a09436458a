"""Pipelines as data: the same graph as in code, the same checks, and errors that point at the text."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.compositions import Step, compositions, node_of, template_of

from phaseline import (
    Context,
    Dag,
    Phase,
    Pipeline,
    Retry,
    branch,
    cli,
    each,
    parallel,
    phase,
    templates,
    when,
)
from phaseline.errors import (
    DefinitionError,
    DuplicatePhaseError,
    PluginError,
    TemplateError,
    TypeMismatchError,
)
from phaseline.recipes.task_preparation import (
    PlanLimits,
    Prompt,
    Task,
    TemplateDecomposer,
    TemplateEnricher,
    TemplatePromptWriter,
    task_preparation_pipeline,
)
from phaseline.recipes.task_preparation.phases import decompose_with, enrich_with, generate_prompts_with
from phaseline.templates.places import Scanner


@phase
def words(text: str) -> list[str]:
    return text.split()


@phase
def count(found: list[str]) -> int:
    return len(found)


@phase
def shout(text: str) -> str:
    return text.upper()


@phase
def stars(number: int) -> str:
    return "*" * number


class Repeat(Phase[str, str]):
    def __init__(self, times: int = 2) -> None:
        if times < 1:
            msg = f"{times} times is never"
            raise ValueError(msg)
        self.times = times

    async def run(self, value: str, ctx: Context) -> str:
        return value * self.times


def is_short(text: str) -> bool:
    return len(text) < 10


def is_many(number: int) -> bool:
    return number > 3


def report(text: str, number: int) -> str:
    return f"{text} {number}"


REGISTERED = {
    "words": words, "count": count, "shout": shout, "stars": stars, "repeat": Repeat, "is_short": is_short,
    "is_many": is_many, "report": report, "seven": 7, "line": Pipeline("line", words >> count),
}  # fmt: skip


def load(text: str, **options: Any) -> Pipeline[Any, Any]:
    return templates.loads(dedent(text), phases=REGISTERED, **options)


def refused(text: str, **options: Any) -> TemplateError:
    with pytest.raises(TemplateError) as caught:
        load(text, **options)
    return caught.value


# --------------------------------------------------------------------- the same graph
def _graph() -> Pipeline[str, str]:
    dag = Dag("x", str)
    number = dag.add(words >> count, dag.input)
    loud = dag.add(shout, dag.input, after=[number])
    return dag.build(dag.add(report, loud, number), version="2")


def _race() -> Pipeline[str, str]:
    dag = Dag("x", str)
    refs = [dag.add(step, dag.input) for step in (shout, Repeat())]
    return dag.build(
        dag.add(words, *refs, join="any", cancel_rest=True),
        also=[dag.add(stars, dag.add(Pipeline("line", words >> count), dag.input))],
    )  # type: ignore[return-value]  # only its shape is asked for


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('steps = ["words", "count", "stars"]', Pipeline("x", words >> count >> stars)),
        ('steps = ["words", {each = "shout", limit = 3}]', Pipeline("x", words >> each(shout, limit=3))),
        ('steps = [{each = "shout", on_error = "collect"}]', Pipeline("x", each(shout, on_error="collect"))),
        (
            '[[steps]]\nwhen = "is_short"\nthen = ["shout", {phase = "repeat", with = {times = 3}}]',
            Pipeline("x", when(is_short, shout >> Repeat())),
        ),
        (
            'steps = ["line", {branch = "is_many", then = "stars", else = {phase = "stars", name = "few"}}]',
            Pipeline(
                "x",
                Pipeline("line", words >> count) >> branch(is_many, stars, stars.with_options(name="few")),
            ),
        ),
        ('steps = [{parallel = [["words", "count"], "shout"]}]', Pipeline("x", parallel(words >> count, shout))),
        (
            '[[steps]]\npipeline = "inner"\nsteps = ["shout"]\n[[steps]]\nphase = "shout"',
            Pipeline("x", Pipeline("inner", shout) >> shout),
        ),
        (
            """
            [graph]
            output = "end"
            [graph.nodes]
            number = { step = ["words", "count"], takes = "input" }
            shout = { takes = "input", after = "number" }
            end = { step = "report", takes = ["shout", "number"] }
            """,
            _graph(),
        ),
        (
            """
            [graph]
            output = "first"
            also = ["stars"]
            [graph.nodes]
            a = { step = "shout", takes = "input" }
            b = { step = "repeat", takes = "input" }
            first = { step = "words", takes = ["a", "b"], join = "any", cancel_rest = true }
            line = { takes = "input" }
            stars = { takes = "line" }
            """,
            _race(),
        ),
    ],
)  # fmt: skip
def test_the_same_graph_as_in_code(text: str, expected: Pipeline[Any, Any]) -> None:
    """A template and the code for the same graph have equal fingerprints, types, labels and drawings."""
    loaded = load(f'name = "x"\n{dedent(text)}')
    assert loaded.plan.fingerprint == expected.plan.fingerprint
    assert loaded.to_dict()["nodes"] == expected.to_dict()["nodes"]
    assert (loaded.plan.input_type, loaded.plan.output_type) == (
        expected.plan.input_type,
        expected.plan.output_type,
    )


@given(compositions())
def test_whatever_is_composed(step: Step) -> None:
    """Each composition can be written as a template, with an equal fingerprint."""

    def never(_: str) -> Callable[..., Any]:
        return lambda _: pytest.fail("nothing is called")

    data, registered = template_of(step, never, never)
    text = json.dumps({"name": "random", "steps": [data]})
    loaded = templates.loads(text, format="json", phases=registered)
    assert loaded.plan.fingerprint == Pipeline("random", node_of(step, never, never)).plan.fingerprint


def test_the_recipe_as_a_template() -> None:
    """Task preparation, written as a template, is the pipeline that the recipe makes."""
    text = """
    name = "task-preparation"
    version = "1"
    steps = ["decompose", { each = "enrich", limit = 8 }, "generate_prompts"]
    """
    parts = [
        decompose_with(TemplateDecomposer(), PlanLimits()),
        enrich_with(TemplateEnricher()),
        generate_prompts_with(TemplatePromptWriter()),
    ]
    pipeline = templates.loads(dedent(text), phases=parts, input=Task, output=list[Prompt])
    expected = task_preparation_pipeline()
    assert pipeline.plan.definition == expected.plan.definition
    assert pipeline.to_dict() == expected.to_dict()


def test_nodes_in_any_order() -> None:
    """The edges say what comes first; where they do not, the text does."""
    loaded = load("""
        name = "x"
        [graph]
        output = "end"
        [graph.nodes]
        end = { step = "report", takes = ["loud", "number"] }
        number = { step = "count", takes = "words" }
        loud = { step = "shout", takes = "input" }
        words = { takes = "input" }
        """)
    assert [node.path for node in loaded.plan.nodes] == ["shout", "words", "count", "report"]
    assert loaded.run_sync("to be").output == "TO BE 2"


def test_options_of_a_phase() -> None:
    """A phase may be given what ``@phase`` takes as data; the registered one stays as it was."""
    loaded = load("""
        name = "x"
        retry = { attempts = 2 }
        [[steps]]
        phase = "words"
        name = "split"
        queue = "slow"
        label = "SPLITTING"
        timeout = "PT2M"
        retry = { attempts = 5, wait = "PT0.5S" }
        [[steps]]
        phase = "count"
        """)
    node, binding = loaded.plan.nodes[0], loaded.plan.bindings[0]
    assert (node.path, node.queue, node.label) == ("split", "slow", "SPLITTING")
    assert binding.timeout is not None
    assert (binding.timeout.total_seconds(), binding.retry.attempts) == (120, 5)
    assert loaded.retry == Retry(attempts=2)
    assert words.options.name == "words"


@pytest.mark.parametrize(
    "body",
    [
        '[[steps]]\nphase = "shout"',
        '[graph]\noutput = "a"\n[graph.nodes.a]\ntakes = "input"\n[graph.nodes.a.step]\nphase = "shout"',
    ],
)
def test_limits(body: str) -> None:
    """Of the pipeline and of a phase, as in code."""
    limits = 'concurrency = {}\nrate = {{ starts = {}, per = "PT1M" }}\n'
    loaded = load('name = "x"\n' + limits.format(7, 9) + body + "\n" + limits.format(3, 5))
    assert loaded.plan.limits == "7 pipeline x\n9/60000000 pipeline x"
    (node,) = loaded.plan.nodes
    assert node.limits == f"3 phase x/{node.path}\n5/60000000 phase x/{node.path}"


def test_a_template_in_json(tmp_path: Path) -> None:
    """A file is read by the end of its name."""
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"$schema": "…", "name": "x", "steps": ["shout"]}), "utf-8")
    assert templates.load(path, phases=[shout]).run_sync("a").output == "A"
    with pytest.raises(TemplateError, match=r"ends in \.toml or \.json"):
        templates.load(tmp_path / "x.yaml", phases=[shout])


# --------------------------------------------------------------------- what is refused, and where
@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        ('steps = [\n  "wrods",\n]', 3, 3, ["steps[0]", "nothing is registered as 'wrods'", "did you mean 'words'"]),
        ('[[steps]]\nphase = "words"\n[[steps]]\nphase = "stars"', 4, 1, ["'words' returns list[str]", "'stars' takes int"]),
        ('steps = ["shout",\n  { each = "shout" }]', 3, 3, ["output of phase 'shout' is not a list"]),
        ('steps = ["count",\n  { each = "shout" }]', 3, 3, ["'count' returns int", "Iterable[str]"]),
        ('steps = ["shout",\n  "shout"]', 3, 3, ["a phase at the path 'shout' already", "name = "]),
        ('steps = [{ parallel = ["shout", "stars"] }]', 2, 10, ["'shout' takes str", "'stars' takes int"]),
        ('[[steps]]\nwhen = "is_many"\nthen = "shout"', 3, 1, ["'is_many' takes int", "'shout' takes str"]),
        ('[[steps]]\nwhen = "shout"\nthen = "shout"', 3, 1, ["'shout' is no test"]),
        ('[[steps]]\nbranch = "is_short"\nthen = "shout"', 2, 1, ["the key 'else' is missing"]),
        ('[[steps]]\nbranch = "is_short"\nthen = "shout"\nelse = 3', 5, 1, ["a step is the name of a phase"]),
        ('steps = ["is_short"]', 2, 10, ["'is_short' is a plain function"]),
        ('steps = ["seven"]', 2, 10, ["'seven' is registered as 7"]),
        ('steps = [{ phase = "repeat", with = { times = 0 } }]', 2, 30, ["Repeat(...)", "ValueError: 0 times is never"]),
        ('steps = [{ phase = "shout", with = { times = 0 } }]', 2, 29, ["takes no arguments"]),
        ('steps = [{ phase = "line", queue = "slow" }]', 2, 10, ["'line' is no phase", "queue"]),
        ('steps = [{ phase = "shout", timeout = 3 }]', 2, 29, ["'PT30S'"]),
        ('steps = [{ phase = "shout", timeout = "soon" }]', 2, 29, ["steps[0].timeout"]),
        ('steps = [{ phase = "shout", concurrency = 0 }]', 2, 10, ["concurrency=0 would let nothing run"]),
        ('steps = [{ phase = "shout", rate = { starts = 0, per = "PT1S" } }]', 2, 10, ["would let nothing run"]),
        ('steps = [{ phase = "shout", rate = { starts = 1 } }]', 2, 29, ["per"]),
        ('concurrency = 0\nsteps = ["shout"]', 1, 1, ["concurrency=0 would let nothing run"]),
        ('steps = [{ phase = "shout", label = "loud" }]', 2, 10, ["label='LOUD'"]),
        ('steps = [{ each = "shout", limit = 0 }]', 2, 10, ["at least one item"]),
        ('steps = [{ each = "shout", limt = 3 }]', 2, 28, ["'limt' is not known here; did you mean 'limit'?"]),
        ('steps = [{ each = "shout", on_error = "ignore" }]', 2, 28, ["'fail' or 'collect'"]),
        ('steps = [{ each = ["words", "count"] }]', 2, 10, ["needs a name"]),
        ("steps = []", 2, 1, ["there is no step in it"]),
        ("", 1, 1, ["either 'steps', one after another, or a 'graph'"]),
        ('steps = ["shout"]\nretry = { attempts = 0 }', 3, 1, ["Retry(attempts=0)"]),
        ('steps = ["shout"]\nversion = 2', 3, 1, ["version", "valid string"]),
        ('steps = ["shout"]\nformat = 2', 3, 1, ["format"]),
    ],
)  # fmt: skip
def test_refused_templates(text: str, line: int, column: int, says: list[str]) -> None:
    """Each mistake is told with what it is, and with the line and column of the key or item that makes it."""
    error = refused(f'name = "x"\n{text}')
    assert all(word in str(error) for word in says), str(error)
    assert (error.line, error.column) == ((line, column) if text else (None, None)), str(error)


@pytest.mark.parametrize(
    ("nodes", "line", "says"),
    [
        ('a = { step = "words", takes = "inptu" }', 5, ["no node 'inptu'; did you mean 'input'?"]),
        ('a = { step = "words", takes = [] }', 5, ["could never begin"]),
        ('a = { step = "words", takes = "input" }\nb = { step = "count", takes = "a" }', 3, ["nothing takes", "'count'"]),
        ('a = { step = "count", takes = "input" }\nb = { step = "words", takes = "input" }', 5, ["'a' takes list[str]", "'b' takes str"]),
        ('a = { step = "report", takes = ["input", "input"] }', 5, ["'a' takes str", "'a' takes int"]),
        ('a = { step = "report", takes = ["input", "b"] }\nb = { step = "words", takes = "input" }', 5, ["'words' returns list[str]", "'report' takes int"]),
        ('a = { step = "words", takes = "b", after = "c" }\nb = { step = "shout", takes = "a" }\nc = { step = "shout", takes = "input" }', 5, ["circle", "a -> b -> a"]),
        ('a = { step = "words", takes = "input", after = "a" }', 5, ["circle", "a -> a"]),
        ('a = { step = "words", takes = "b" }\nb = { step = "shout", takes = "a" }', 5, ["circle"]),
        ('input = { step = "words", takes = "a" }\na = { step = "words", takes = "input" }', 5, ["give the node another key"]),
        ('a = { step = "words", takes = ["b", "c"] }\nb = { step = "shout", takes = "input" }\nc = { step = "repeat", takes = "input" }', 5, ["2 references were given"]),
        ('a = { step = "words", takes = "b", join = "any" }\nb = { step = "shout", takes = "input" }', 5, ["two references or more"]),
        ('a = { step = "report", takes = ["b", "b", "b"] }\nb = { step = "shout", takes = "input" }', 5, ["'report' takes 2 values, but 3"]),
        ('a = { takes = "input" }', 5, ["nothing is registered as 'a'"]),
    ],
)  # fmt: skip
def test_refused_graphs(nodes: str, line: int, says: list[str]) -> None:
    """A graph is checked for edges that lead nowhere, circles, and all that a ``Dag`` checks."""
    error = refused(f'name = "x"\n[graph]\noutput = "a"\n[graph.nodes]\n{nodes}')
    assert all(word in str(error) for word in says), str(error)
    assert error.line == line, str(error)


def test_a_circle_is_named_by_its_way() -> None:
    """Of a graph with a circle and much else, the circle is told."""
    nodes = {f"n{i}": {"step": "shout", "takes": f"n{i + 1}"} for i in range(4)}
    nodes |= {"n4": {"step": "shout", "takes": "n2"}, "in": {"step": "shout", "takes": "input"}}
    text = json.dumps({"name": "x", "graph": {"nodes": nodes, "output": "n0"}}, indent=1)
    error = refused(text, format="json")
    assert "n2 -> n4 -> n3 -> n2" in str(error)


def test_several_mistakes_are_told_at_once() -> None:
    """What can be seen without composing is told together, in the order of the text."""
    error = refused('name = 3\nsteps = [{ each = "shout", limt = 3 }, 4]\nversoin = "1"')
    assert [problem.line for problem in error.problems] == [1, 2, 2, 3]
    assert str(error).count("<template>:") == 4


def test_the_error_of_the_pipeline_is_the_cause() -> None:
    """What the check in code raises is kept, so that a program need not read texts."""
    error = refused('name = "x"\nsteps = ["words", "stars"]', name="x.toml")
    assert isinstance(error.__cause__, TypeMismatchError)
    assert isinstance(refused('name = "x"\nsteps = ["shout", "shout"]').__cause__, DuplicatePhaseError)
    assert (error.source, error.problems[0].where) == ("x.toml", "steps[1]")
    assert str(error).startswith("x.toml:2:19: steps[1]: ")


def test_types_that_are_asked_for() -> None:
    """``input`` and ``output`` are checked, as a type checker takes them at their word."""
    text = 'name = "x"\nsteps = ["words"]'
    assert load(text, input=str, output=list[str]).run_sync("a b").output == ["a", "b"]
    assert "it takes str, but int was asked for" in str(refused(text, input=int, output=list[str]))
    assert "it gives list[str], but list[int] was asked for" in str(
        refused(text, input=str, output=list[int])
    )


def test_what_a_template_may_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but what is registered: no path is imported, and what plugins offer only if nothing else is given."""
    error = refused('name = "x"\nsteps = ["os:getcwd"]')
    assert "nothing is registered as 'os:getcwd'" in str(error)
    with pytest.raises(TemplateError, match=r"nothing is registered as 'shout' \(registered: nothing\)"):
        templates.loads('name = "x"\nsteps = ["shout"]', phases=[])
    with pytest.raises(DefinitionError, match="two that are named 'shout'"):
        templates.loads('name = "x"\nsteps = ["shout"]', phases=[shout, shout.with_options(queue="q")])
    with pytest.raises(DefinitionError, match="has no name of its own"):
        templates.loads('name = "x"\nsteps = ["shout"]', phases=[lambda n: n])

    class Broken(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            raise PluginError("phaseline.phases", name, "acme", "acme:shout", ImportError("no acme"))

    monkeypatch.setattr("phaseline.plugins.phases", Broken)
    with pytest.raises(TemplateError, match=r"2:10: steps\[0\]: plugin 'shout' of package 'acme'.*no acme"):
        templates.loads('name = "x"\nsteps = ["shout"]')


# --------------------------------------------------------------------- texts that are none
@pytest.mark.parametrize(
    ("format_", "text", "line", "column", "says"),
    [
        ("toml", 'name = "x"\nsteps = [', 2, 10, "this is no TOML"),
        ("toml", 'name = "x"\nname = "y"', 2, 11, "this is no TOML"),
        ("json", '{"name": "x",\n "steps": }', 2, 11, "this is no JSON"),
        ("json", '{"name": "x",\n "name": "y"}', 2, 2, "the key 'name' stands twice"),
        ("json", '{"name": "x", "steps": [{"each": "a", "limit": NaN}]}', None, None, "NaN is no JSON"),
        ("json", f'{{"name": "x", "steps": {"9" * 5_000}}}', None, None, "this is no JSON"),
        ("toml", f"name = {'9' * 5_000}", None, None, "this is no TOML"),
        ("json", '["shout"]', None, None, "a template is a table with keys, not list"),
        ("yaml", "name: x", None, None, "the format 'yaml' is not known"),
    ],
)
def test_texts_that_are_no_template(
    format_: Any, text: str, line: int | None, column: int | None, says: str
) -> None:
    """What the readers of TOML and JSON say is told with the place, in the same form."""
    error = refused(text, format=format_)
    assert says in str(error)
    assert (error.line, error.column) == (line, column), str(error)


HUNDRED_THOUSAND = 100_000


@pytest.mark.parametrize(
    ("format_", "text", "says"),
    [
        ("json", json.dumps({"name": "x", "steps": ["shout"] * HUNDRED_THOUSAND}), "100,000 steps; at most 10,000"),
        ("toml", 'name = "x"\nsteps = [' + '"shout",' * HUNDRED_THOUSAND + "]", "100,000 steps; at most 10,000"),
        ("toml", 'name = "x"\n' + '[[steps]]\nphase = "shout"\n' * HUNDRED_THOUSAND, "larger than 1,048,576 bytes"),
        ("json", json.dumps({"name": "x", "graph": {"nodes": {f"n{i}": {} for i in range(60_000)}}}), "60,000 steps"),
        ("json", "[" * 500_000, "nested more than 64 deep"),
        ("json", '{"steps":' * 90_000, "nested more than 64 deep"),
        ("toml", "steps = " + "[" * 500_000, "nested more than 64 deep"),
        ("toml", "a." * 500_000 + "a = 1", "nested more than 64 deep"),
        ("toml", '"""' + '\\"""x' * 150_000, "this is no TOML"),
        ("toml", "é" * 600_000, "larger than 1,048,576 bytes"),
    ],
    ids=range(10),
)  # fmt: skip
def test_templates_that_are_too_large(format_: Any, text: str, says: str) -> None:
    """Size and depth are judged before anything is made of the text, in far less time than that would take."""
    began = time.process_time()
    error = refused(text, format=format_)
    assert says in str(error)[:300]
    assert time.process_time() - began < 5
    assert len(str(error)) < 1_000


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    """Of a file that is too large, no more than the limit is read; one that is no text is refused."""
    path = tmp_path / "large.toml"
    with path.open("wb") as file:
        file.truncate(10_000_000_000)
    with pytest.raises(TemplateError, match="it was not read"):
        templates.load(path, phases=[shout])
    path.write_bytes(b"name = '\xff'")
    with pytest.raises(TemplateError, match="not UTF-8: byte 8"):
        templates.load(path, phases=[shout])


# --------------------------------------------------------------------- where things stand
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON_VALUES, st.sampled_from((None, 1)), st.booleans())
def test_places_in_json(value: Any, indent: int | None, ascii_only: bool) -> None:  # drawn
    """At the place of an item stands the item, at that of a key the key and its value."""
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    decoder = json.JSONDecoder()
    places = dict(Scanner(text).json())
    assert places.pop(()) == 0
    for where, offset in places.items():
        expected = value
        for part in where:
            expected = expected[part]
        found, end = decoder.raw_decode(text, offset)
        if isinstance(where[-1], str):
            assert found == where[-1]
            found, _ = decoder.raw_decode(text, end + len(text[end:]) - len(text[end:].lstrip(" :")))
        assert found == expected
    assert len(places) == sum(1 for _ in _all_in(value))


def _all_in(value: Any) -> Any:
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield inner
        yield from _all_in(inner)


def test_places_in_toml() -> None:
    """Headers, arrays of tables, dotted and quoted keys, inline tables, comments and all kinds of text."""
    text = dedent('''\
        # name = "no"
        name = "a # b" # steps
        "quoted.key" . 'x' = 1.5
        text = """
        steps = ["no"] \\""" no
        [[steps]] """""
        raw = \'\'\'
        [no]\'\'\'\'
        list = [ # [
          "a]", 'b,',
          { c = [1, 2], "d\\u0041" = {} }, 1979-05-27 07:32:00
        ]
        [[steps]]
        phase = "a"
        [steps.with]
        n = 1
        [[steps]]
        phase = "b"
        [[steps.list]]
        x.y = true
        [ a . "b c" ]
        d = 2
        ''')
    places = Scanner(text).toml()
    lines = {where: text[:offset].count("\n") + 1 for where, offset in places.items()}
    assert lines == {
        ("name",): 2, ("quoted.key",): 3, ("quoted.key", "x"): 3, ("text",): 4, ("raw",): 7, ("list",): 9,
        ("list", 0): 10, ("list", 1): 10, ("list", 2): 11, ("list", 2, "c"): 11, ("list", 2, "c", 0): 11,
        ("list", 2, "c", 1): 11, ("list", 2, "dA"): 11, ("list", 3): 11, ("steps",): 13, ("steps", 0): 13,
        ("steps", 0, "phase"): 14, ("steps", 0, "with"): 15, ("steps", 0, "with", "n"): 16, ("steps", 1): 17,
        ("steps", 1, "phase"): 18, ("steps", 1, "list"): 19, ("steps", 1, "list", 0): 19,
        ("steps", 1, "list", 0, "x"): 20, ("steps", 1, "list", 0, "x", "y"): 20, ("a",): 21, ("a", "b c"): 21,
        ("a", "b c", "d"): 22,
    }  # fmt: skip


def test_the_schema_of_templates() -> None:
    """The JSON schema names each kind of step, with the words of the format."""
    schema = templates.json_schema()
    steps = json.dumps(schema["$defs"]["Step"])
    assert schema["required"] == ["name"]
    assert all(f"{kind}Step" in steps for kind in ("Phase", "Parallel", "Each", "When", "Branch", "Pipeline"))
    assert schema["$defs"]["BranchStep"]["required"] == ["branch", "then", "else"]
    assert schema["$defs"]["GraphNode"]["properties"]["takes"]["anyOf"] == [
        {"type": "string"}, {"type": "array", "items": {"type": "string"}},
    ]  # fmt: skip


def test_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``phaseline template`` prints the schema, and checks a template against what is installed."""
    assert cli.main(["template", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == templates.json_schema()
    path = tmp_path / "x.toml"
    path.write_text('name = "x"\nsteps = ["shout"]', "utf-8")
    assert cli.main(["template", "check", str(path)]) == 2
    assert f"{path}:2:10: steps[0]: nothing is registered as 'shout'" in capsys.readouterr().err
    monkeypatch.setattr("phaseline.plugins.phases", lambda: {"shout": shout})
    assert cli.main(["template", "check", str(path)]) == 0
    assert Pipeline("x", shout).plan.fingerprint in capsys.readouterr().out
    assert cli.main(["template", "check", str(tmp_path / "none.toml")]) == 2
