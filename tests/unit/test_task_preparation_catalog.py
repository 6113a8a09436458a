"""Technologies, practices and kinds of one's own: read from folders, put beside what ships, and told where they are wrong."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from phaseline.errors import DefinitionError
from phaseline.recipes.task_preparation import (
    Catalog,
    CatalogError,
    Category,
    ProjectContext,
    Task,
    enrich_subtask,
    task_preparation_pipeline,
    write_prompts,
)
from phaseline.recipes.task_preparation.content import FIELDS
from phaseline.recipes.task_preparation.kinds import kind_of
from phaseline.recipes.task_preparation.lexicon import plan
from phaseline.recipes.task_preparation.reading import read
from phaseline.recipes.task_preparation.stack import stack_of
from phaseline.recipes.task_preparation.templates import decompose
from phaseline.recipes.task_preparation.wording import Wording

PHOENIX = """
[[technology]]
name = "Phoenix"
role = "framework"
aliases = "elixir phoenix"
in_text = "Phoenix"
tests = "ExUnit"
service = ["Contexts hold the rules; `$name`, {x.__class__} and %s are no fields here."]
"""
GAME = """
name = "game"
rank = 1
signs = ['\\bplatformer\\b']
labels = {DATA_MODEL = "World", SERVICE = "Rules", HTTP_API = "Controls", TESTING = "Play"}
""" + "".join(
    f'[subtask.{slot.key}]\ntitle = "{slot.key} of the level: $quoted"\ndescription = "Do it."\nrequirements = []\n'
    'per = "everything"\n'
    for slot in plan().subtask
)


@pytest.fixture
def write(tmp_path):
    """Write files into a folder, by name; gives the folder."""

    def write(folder: str = "ours", **files: str) -> Path:
        for name, text in files.items():
            path = tmp_path / folder / f"{name.replace('__', '/')}.toml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text), "utf-8")
        return tmp_path / folder

    return write


def prompts_of(task, catalog):
    """What the templates make of a task."""
    subtasks = [enrich_subtask(subtask, task, catalog) for subtask in decompose(task, catalog)]
    return write_prompts(task, subtasks, catalog)


# --------------------------------------------------------------------- what is added
def test_what_ships_is_read_once():
    """Without a folder, the catalog is that of the recipe."""
    assert Catalog.read() is Catalog.read()
    assert {"FastAPI", "PostgreSQL", "React"} <= {known.name for known in Catalog.read().technologies}


def test_technology_is_added(write):
    """A technology of one's own is recognised in a stack and in a text, and what it asks for is in the prompts."""
    catalog = Catalog.read(write(technologies=PHOENIX))
    stated = Task.from_text(
        "Sell tea", context=ProjectContext(tech_stack=("Elixir Phoenix 1.7", "PostgreSQL"))
    )
    mentioned = Task.from_text("Members book classes. Use Phoenix and PostgreSQL.")

    for task in (stated, mentioned):
        assert ["Phoenix", "PostgreSQL"] == [known.name for known in stack_of(task, catalog).known]
    text = "".join(prompt.text for prompt in prompts_of(mentioned, catalog))
    assert "- Contexts hold the rules; `$name`, {x.__class__} and %s are no fields here.\n" in text
    assert "with ExUnit" in text
    assert not any(
        "Phoenix" in record for record in (read("", mentioned.description, catalog.by_word).records)
    )
    assert "Phoenix" not in {known.name for known in Catalog.read().technologies}


def test_entry_of_the_same_name_takes_the_place(write):
    """What is not said again is gone; other entries stay."""
    ours = '[[technology]]\nname = "FastAPI"\nrole = "framework"\nservice = ["As we do it."]'
    catalog = Catalog.read(write(technologies=ours))
    fastapi = catalog.by_alias[("fastapi",)]

    assert (("As we do it.",), (), "") == (fastapi.service, fastapi.http_api, fastapi.orm)
    assert len(Catalog.read().technologies) == len(catalog.technologies)


def test_entry_that_extends_adds(write):
    """Lists grow, also those that are written as one text; other values take the place of the old ones."""
    first = write(
        "first",
        technologies="""
            [[technology]]
            name = "FastAPI"
            extend = true
            aliases = "ourapi"
            orm = "SQLModel"
            service = ["As we do it."]
            """,
        practices="""
            extend = true
            guidelines = ["Sign it."]

            [by_category.SERVICE]
            extend = true
            marks = "policy"
            best_practices = ["Ask the platform team."]
            """,
    )
    second = write(
        "second", technologies='[[technology]]\nname = "FastAPI"\nextend = true\nservice = ["Twice."]'
    )
    shipped, catalog = Catalog.read(), Catalog.read(first, second)
    old, new = shipped.by_alias[("fastapi",)], catalog.by_alias[("ourapi",)]

    assert ((*old.service, "As we do it.", "Twice."), "SQLModel", old.tests) == (
        new.service,
        new.orm,
        new.tests,
    )
    assert new is catalog.by_alias[("fastapi",)]
    practices, ours = shipped.practices[Category.SERVICE], catalog.practices[Category.SERVICE]
    assert (*practices.best_practices, "Ask the platform team.") == ours.best_practices
    assert (practices.marks | {"policy"}, practices.guidelines) == (ours.marks, ours.guidelines)
    assert (*shipped.guidelines, "Sign it.") == catalog.guidelines


def test_kind_is_added(write):
    """A kind of one's own is used where its words are found."""
    catalog = Catalog.read(write(kinds__game=GAME))
    task = Task.from_text("A platformer with 5 lives")

    assert "game" == kind_of(task, catalog).name
    assert "data of the level: “A platformer with 5 lives”" == decompose(task, catalog)[0].title
    assert "World: A platformer with 5 lives" == prompts_of(task, catalog)[0].title


def test_pipeline_uses_the_catalog(write):
    """All three parts know what stands in it."""
    folder = write(kinds__game=GAME, practices='extend = true\nguidelines = ["Sign it."]')
    pipeline = task_preparation_pipeline(catalog=Catalog.read(folder))
    prompts = pipeline.run_sync(Task.from_text("A platformer")).output

    assert ["World", "Rules", "Controls", "Play"] == [prompt.title.partition(":")[0] for prompt in prompts]
    assert all(prompt.text.endswith("- Sign it.\n") for prompt in prompts)


def test_catalog_can_stand_alone(write):
    """Without what ships, it has what its folders hold."""
    practices = "guidelines = []\n" + "".join(
        f'[by_category.{category}]\nbest_practices = ["Be kind."]\nguidelines = []\n' for category in Category
    )
    catalog = Catalog.read(write(kinds__game=GAME, practices=practices), shipped=False)

    assert ((), ["game"]) == (catalog.technologies, [kind.name for kind in catalog.kinds])
    assert "Be kind." in prompts_of(Task.from_text("Sell tea"), catalog)[0].text


def test_fields_of_kinds_are_those_of_the_wording():
    """The list by which texts are checked is that of what is filled in."""
    task = Task.from_text("Sell tea")

    assert FIELDS == Wording(task, read(task.title, task.description), stack_of(task)).fields.keys()


# --------------------------------------------------------------------- mistakes
TECHNOLOGY = '[[technology]]\nname = "HTMX"\nrole = "frontend"\n'
MISTAKES = {
    "syntax": ({"technologies": TECHNOLOGY + 'aliases = "htmx\n'}, "technologies.toml:4: this is no TOML: "),
    "end of file": ({"technologies": TECHNOLOGY + "service = ["}, "technologies.toml:4: this is no TOML: "),
    "unknown key": (
        {"technologies": TECHNOLOGY + 'servce = ["x"]'},
        "technologies.toml:4: technology 'HTMX', key 'servce': this key is not known here; did you mean 'service'?",
    ),
    "missing key": (
        {"technologies": '\n# ours\n[[technology]]\nname = "HTMX"'},
        "technologies.toml:3: technology 'HTMX', key 'role': this key is missing",
    ),
    "wrong type": (
        {"technologies": TECHNOLOGY + 'service = [\n  "a",\n  7,\n]'},
        "technologies.toml:6: technology 'HTMX', key 'service.1': input should be a valid string",
    ),
    "no list of names": (
        {"technologies": TECHNOLOGY + "aliases = 7"},
        "technologies.toml:4: technology 'HTMX', key 'aliases': write a list, such as [\"…\"]",
    ),
    "words with commas": (
        {"technologies": TECHNOLOGY + 'in_text = "htmx, hx"'},
        "technologies.toml:4: technology 'HTMX', key 'in_text': divide the words by spaces alone, without commas",
    ),
    "no list of texts": (
        {"technologies": TECHNOLOGY + 'service = "One text."'},
        "technologies.toml:4: technology 'HTMX', key 'service': write a list, such as [\"…\"]",
    ),
    "no role": (
        {"technologies": '[[technology]]\nname = "HTMX"\nrole = "libary"'},
        "technologies.toml:3: technology 'HTMX', key 'role': input should be 'framework', ",
    ),
    "no expression": (
        {"technologies": TECHNOLOGY + "in_context = ['(']"},
        "technologies.toml:4: technology 'HTMX', key 'in_context.0': input should be a valid regular expression",
    ),
    "no name": (
        {"technologies": TECHNOLOGY + '[[technology]]\nrole = "tool"'},
        "technologies.toml:4: technology 2, key 'name': a technology needs a name",
    ),
    "twice": (
        {"technologies": TECHNOLOGY + TECHNOLOGY},
        "technologies.toml:5: technology 'HTMX', key 'name': this file has it twice",
    ),
    "no tables": (
        {"technologies": "[technology]\nname = 'x'"},
        "technologies.toml:1: key 'technology': technologies are written as [[technology]]",
    ),
    "another table": (
        {"technologies": TECHNOLOGY.replace("technology", "technologies")},
        "technologies.toml:1: key 'technologies': this key is not known here; did you mean 'technology'?",
    ),
    "name of another": (
        {"technologies": TECHNOLOGY + 'aliases = "hypertext, Spring"'},
        "technologies.toml:4: technology 'HTMX', key 'aliases': 'Spring Boot' goes by 'spring' too",
    ),
    "word of another": (
        {"technologies": TECHNOLOGY + 'in_text = "htmx redis"'},
        "technologies.toml:4: technology 'HTMX', key 'in_text': 'Redis' goes by 'redis' too",
    ),
    "extends nothing": (
        {"technologies": TECHNOLOGY + "extend = true"},
        "technologies.toml:4: technology 'HTMX', key 'extend': there is nothing of this name to extend",
    ),
    "extends with a text": (
        {"technologies": TECHNOLOGY + 'extend = "yes"'},
        "technologies.toml:4: technology 'HTMX', key 'extend': it is true or false",
    ),
    "category": (
        {"practices": "[by_category.SERVICES]\n"},
        "practices.toml:1: practices of SERVICES: there is no such category; there are DATA_MODEL, SERVICE,",
    ),
    "no practice": (
        {"practices": "\n[by_category.SERVICE]\nguidelines = []\n"},
        "practices.toml:2: practices of SERVICE, key 'best_practices': this key is missing",
    ),
    "blank": (
        {"practices": 'extend = true\nguidelines = [\n  "Sign it.",\n  " ",\n]'},
        "practices.toml:4: practices, key 'guidelines.1': the text is empty",
    ),
    "subtask": (
        {"kinds__game": GAME.replace("[subtask.rules]", "[subtask.rule]")},
        "game.toml:6: kind 'game', key 'subtask': a kind has texts for exactly these subtasks: data, data_access,",
    ),
    "field": (
        {"kinds__game": GAME.replace("rules of the level: $quoted", "rules of $level")},
        "game.toml:22: kind 'game', key 'subtask.rules.title': there is no field $level",
    ),
    "dollar": (
        {"kinds__game": GAME.replace("rules of the level: $quoted", "rules for 5 $")},
        "game.toml:22: kind 'game', key 'subtask.rules.title': a $ stands before the name of a field",
    ),
    "sign": (
        {"kinds__game": GAME.replace("'\\bplatformer\\b'", "'('")},
        "game.toml:4: kind 'game', key 'signs.0': this is no regular expression: ",
    ),
    "label": (
        {"kinds__game": GAME.replace(', TESTING = "Play"', "")},
        "game.toml:5: kind 'game', key 'labels': a kind has a label for each category; missing: TESTING",
    ),
    "kind without a name": ({"kinds__game": "rank = 1"}, "game.toml: key 'name': a kind needs a name"),
    "kind twice": (
        {"kinds__game": GAME, "kinds__other": GAME},
        "other.toml:2: key 'name': {folder}/kinds/game.toml has a kind 'game' too; keep one of them",
    ),
    "file": (
        {"technology": TECHNOLOGY},
        "technology.toml: no file of a catalog has this name: they are technologies.toml",
    ),
}


@pytest.mark.parametrize(("files", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistake_is_told_with_its_place(write, files, message):
    """A mistake names the file, the line, the entry and the key; it is the only one that is told."""
    folder = write(**files)
    with pytest.raises(CatalogError) as caught:
        Catalog.read(folder)

    assert message.replace("{folder}", str(folder)) in str(caught.value)
    assert str(caught.value).startswith(str(folder))
    assert 1 == len(caught.value.problems)


def test_all_mistakes_are_told_at_once(write):
    """Each has its place as data."""
    folder = write(technologies=TECHNOLOGY + 'servce = ["x"]\ntests = 7', practices="[by_category")
    with pytest.raises(CatalogError) as caught:
        Catalog.read(folder)

    assert {
        (str(folder / "practices.toml"), 1, "", ""),
        (str(folder / "technologies.toml"), 4, "technology 'HTMX'", "servce"),
        (str(folder / "technologies.toml"), 5, "technology 'HTMX'", "tests"),
    } == {problem[:4] for problem in caught.value.problems}


def test_mistake_in_what_extends_is_told_there(write):
    """Of an entry in two files, the one is named that holds the mistake."""
    folder = write(technologies='[[technology]]\nname = "FastAPI"\nextend = true\nservice = ["a"]\norm = 7')
    with pytest.raises(CatalogError) as caught:
        Catalog.read(folder)

    assert [(str(folder / "technologies.toml"), 5, "orm")] == [
        (problem.file, problem.line, problem.key) for problem in caught.value.problems
    ]


@pytest.mark.parametrize(
    "raw", [b'[[technology]]\nname = "caf\xe9"\n', b"\xef\xbb\xbf\n\xe9\n", b'# \r\n"\xff"\r\n']
)
def test_bytes_that_are_no_text_are_told(tmp_path, raw):
    """The line of the first one is named, also behind a mark of the byte order."""
    (tmp_path / "technologies.toml").write_bytes(raw)
    with pytest.raises(CatalogError, match=r"technologies\.toml:2: this is no text in UTF-8"):
        Catalog.read(tmp_path)


def test_folder_that_is_not_there_is_told(tmp_path):
    """A mistyped path is no empty catalog."""
    with pytest.raises(CatalogError, match="typo: there is no such folder"):
        Catalog.read(tmp_path / "typo")


def test_catalog_that_stands_alone_needs_practices_and_a_kind(write):
    """What nothing can do without is told by name."""
    with pytest.raises(CatalogError) as caught:
        Catalog.read(write(technologies=TECHNOLOGY), shipped=False)

    assert [("practices", category) for category in Category] + [("kinds", "")] == [
        (problem.entry, problem.key) for problem in caught.value.problems
    ]


@pytest.mark.parametrize("folder", [5, None, ["one", "two"]])
def test_what_is_no_path_is_no_folder(folder: Any) -> None:
    """It is told what is needed."""
    with pytest.raises(DefinitionError, match="a folder is given by its path"):
        Catalog.read(folder)
