"""The values of task preparation are checked where they enter."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from phaseline.errors import DefinitionError
from phaseline.recipes.task_preparation import (
    Category,
    Effort,
    ProjectContext,
    Subtask,
    Task,
    categories_in_order,
    in_dependency_order,
)


def subtask(title, *needs, category=Category.SERVICE, priority=1):
    """A subtask of which only the named parts matter."""
    return Subtask(
        category=category,
        title=title,
        description=f"Do {title}.",
        dependencies=needs,
        estimated_effort=Effort(min_hours=1, max_hours=2),
        priority=priority,
    )


# --------------------------------------------------------------------- tasks
@pytest.mark.parametrize("blank", ["", " ", "\n\t \u3000"])
@pytest.mark.parametrize("field", ["title", "description"])
def test_blank_text_is_refused(field, blank):
    """A task without a title or a description is refused, and the error speaks of that field alone."""
    with pytest.raises(ValidationError) as caught:
        Task(**{"title": "Notes", "description": "Keep notes.", field: blank})

    (problem,) = caught.value.errors()
    assert (field,) == problem["loc"]
    assert "the text is empty; say in words what is meant" in problem["msg"]


def test_description_is_kept_as_written():
    """No character of the description is changed."""
    text = "  first\r\n\r\n\tsecond {x} $y %s  \n"

    assert text == Task(title="Notes", description=text).description


def test_id_follows_from_the_content():
    """Equal tasks have equal ids; any difference gives another one."""
    context = ProjectContext(tech_stack=("Go",), project_rules={"naming": "snake_case"})
    one = Task(title="Notes", description="Keep notes.", context=context)

    assert one.id == Task(title="Notes", description="Keep notes.", context=context).id
    others = {
        Task(title="Notes!", description="Keep notes.", context=context).id,
        Task(title="Notes", description="Keep notes!", context=context).id,
        Task(title="Notes", description="Keep notes.").id,
        one.id,
    }
    assert 4 == len(others)


def test_given_id_is_kept():
    """An id of the caller's own is not replaced; a blank one is refused."""
    assert "T-1" == Task(title="Notes", description="Keep notes.", id="T-1").id
    with pytest.raises(ValidationError, match="the text is empty"):
        Task(title="Notes", description="Keep notes.", id=" ")


def test_task_survives_json():
    """A task read back from JSON equals the one written."""
    context = ProjectContext(
        tech_stack=("FastAPI",),
        coding_standards=("Clean Code",),
        project_rules={"a": "b"},
        custom_data={"c": [1, None]},
    )
    task = Task(title="Notes", description="Keep notes.", context=context)

    assert task == Task.model_validate_json(task.model_dump_json())


def test_values_are_frozen():
    """No field of a value can be set."""
    with pytest.raises(ValidationError, match="frozen"):
        Task(title="Notes", description="Keep notes.").title = "Other"


def test_unknown_field_is_refused():
    """A misspelt field is an error, not silence."""
    with pytest.raises(ValidationError, match="techstack"):
        ProjectContext.model_validate({"techstack": ["FastAPI"]})


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Build a shop. It sells tea.", "Build a shop"),
        ("Build a shop!\nIt sells tea.", "Build a shop"),
        ("\n\n# Tea shop\n\nIt sells tea.", "Tea shop"),
        ("- sell tea\n- sell cups", "sell tea"),
        ("Use Node.js (e.g. Express) for the shop.", "Use Node.js (e.g. Express) for the shop"),
        ("!!!", "!!!"),
        ("word " * 40, ("word " * 16).strip() + "…"),
        ("x" * 100, "x" * 79 + "…"),
    ],
)
def test_title_is_the_first_sentence(text, title):
    """Without a title of its own, a task takes its first sentence, cut between words."""
    assert title == Task.from_text(text).title


# --------------------------------------------------------------------- effort
@pytest.mark.parametrize(
    ("least", "most", "message"),
    [
        (0, 1, "greater than 0"),
        (-1, 1, "greater than 0"),
        (3, 2, r"the least effort \(3 h\) is more than the most \(2 h\)"),
        (1, float("inf"), "finite"),
        (float("nan"), 1, "finite"),
    ],
)
def test_impossible_effort_is_refused(least, most, message):
    """Effort is above zero, finite, and its least is not above its most."""
    with pytest.raises(ValidationError, match=message):
        Effort(min_hours=least, max_hours=most)


def test_effort_adds_up():
    """The effort of several subtasks is the sum at both ends."""
    total = Effort(min_hours=1, max_hours=2) + Effort(min_hours=0.5, max_hours=2)

    assert Effort(min_hours=1.5, max_hours=4) == total
    assert "1.5-4 h" == str(total)
    assert "2 h" == str(Effort(min_hours=2, max_hours=2))


# --------------------------------------------------------------------- subtasks
def test_priority_begins_at_one():
    """There is nothing before the first."""
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        subtask("a", priority=0)


# --------------------------------------------------------------------- order
def test_order_respects_dependencies_then_priority():
    """A subtask follows what it needs; among the others, the lower priority number goes first."""
    given = [
        subtask("last", "middle", priority=1),
        subtask("later", priority=5),
        subtask("middle", "first", priority=1),
        subtask("first", priority=2),
    ]

    assert ["first", "middle", "last", "later"] == [s.title for s in in_dependency_order(given)]


def test_order_ignores_what_is_not_there():
    """A dependency outside of the given subtasks counts as done."""
    assert ["a", "b"] == [s.title for s in in_dependency_order([subtask("a", "gone"), subtask("b")])]


def test_categories_follow_their_dependencies():
    """The order of categories comes from the subtasks, not from the order of their names."""
    given = [
        subtask("model", "contract", category=Category.DATA_MODEL),
        subtask("contract", "tests first", category=Category.HTTP_API),
        subtask("tests first", category=Category.TESTING),
    ]

    assert [Category.TESTING, Category.HTTP_API, Category.DATA_MODEL] == categories_in_order(given)


def test_categories_that_need_each_other_still_have_an_order():
    """Two categories may need each other without a cycle of subtasks; each still comes once."""
    given = [
        subtask("model"),
        subtask("schema", "model", category=Category.DATA_MODEL),
        subtask("service", "schema"),
        subtask("tests", "service", category=Category.TESTING),
    ]

    assert [Category.DATA_MODEL, Category.SERVICE, Category.TESTING] == categories_in_order(given)


@pytest.mark.parametrize("text", [5, None, b"Build a club"])
def test_what_is_no_text_is_no_task(text: Any) -> None:
    """It is told what is needed."""
    with pytest.raises(DefinitionError, match=f"was given a {type(text).__name__}; a task is a text"):
        Task.from_text(text)
