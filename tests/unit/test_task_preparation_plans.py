"""A plan is judged as a whole: everything that is wrong with it is said at once."""

from __future__ import annotations

from itertools import pairwise

import pytest
from pydantic import ValidationError

from phaseline.recipes.task_preparation import Category, Effort, PlanLimits, Subtask, problems_of
from phaseline.recipes.task_preparation.plans import InvalidPlanError, checked_plan

ANY = PlanLimits(categories=frozenset())


def subtask(title, *needs, category=Category.SERVICE, hours=(1, 2)):
    """A subtask of which only the named parts matter."""
    return Subtask(
        category=category,
        title=title,
        description=f"Do {title}.",
        dependencies=needs,
        estimated_effort=Effort(min_hours=hours[0], max_hours=hours[1]),
        priority=1,
    )


def test_good_plan_has_no_problems():
    """One subtask of each category, in an order that can be worked through, is a plan."""
    plan = [subtask(category, category=category) for category in Category]

    assert [] == problems_of(plan)
    assert plan == checked_plan("Notes", iter(plan))


@pytest.mark.parametrize(
    ("plan", "problems"),
    [
        ([], ["there are no subtasks"]),
        (
            [subtask("a"), "b", {"title": "c"}],
            ["item 2 is no Subtask, but of type str", "item 3 is no Subtask, but of type dict"],
        ),
        (
            [subtask("a"), subtask("a"), subtask("b")],
            ["2 subtasks have the title 'a'; dependencies need a title that only one has"],
        ),
        (
            [subtask("Write the service"), subtask("b", "Write the servise", "tea")],
            [
                (
                    "subtask 'b' depends on 'Write the servise', which is no title of the plan; did you mean "
                    "'Write the service'?"
                ),
                (
                    "subtask 'b' depends on 'tea', which is no title of the plan; add that subtask, or take the dependency "
                    "out"
                ),
            ],
        ),
        (
            [subtask("a", hours=(80, 81)), subtask("b", hours=(0.01, 0.05))],
            [
                "subtask 'a' is estimated at 80-81 h, and at most 80 h are allowed for one; split it",
                "subtask 'b' is estimated at 0.01-0.05 h, which is less than 0.1 h; hours are counted, not days",
            ],
        ),
        (
            [subtask(f"{number}", hours=(70, 80)) for number in range(13)],
            ["all subtasks together are estimated at 910-1040 h, and at most 1000 h are allowed"],
        ),
        (
            [subtask(f"{number}") for number in range(200)],
            [
                (
                    "there are 200 subtasks, and at most 60 are allowed; put those together that one person would do in one "
                    "go"
                )
            ],
        ),
    ],
    ids=["empty", "no subtasks", "titles", "dependencies", "effort", "effort in all", "200"],
)
def test_problem_is_told(plan, problems):
    """Each rule that is broken is told, with what breaks it and what to do."""
    assert problems == problems_of(plan, ANY)


@pytest.mark.parametrize(
    ("plan", "cycles"),
    [
        ([subtask("a", "a")], [{"a"}]),
        ([subtask("a", "b"), subtask("b", "c"), subtask("c", "a")], [{"a", "b", "c"}]),
        (
            [subtask("a", "b"), subtask("b", "a"), subtask("c"), subtask("d", "e"), subtask("e", "d")],
            [{"a", "b"}, {"d", "e"}],
        ),
    ],
)
def test_cycles_are_walked_through(plan, cycles):
    """Subtasks that wait for each other are told, once around each cycle."""
    told = [problem.partition("form a cycle: ")[2].partition(";")[0] for problem in problems_of(plan, ANY)]
    walks = [[title.strip("'") for title in walk.split(" needs ")] for walk in told]
    needs = {made.title: made.dependencies for made in plan}

    assert sorted(map(sorted, cycles)) == sorted(sorted(set(walk)) for walk in walks)
    for walk in walks:
        assert walk[0] == walk[-1]
        assert all(second in needs[first] for first, second in pairwise(walk))


def test_missing_categories_are_told_unless_they_are_not_wanted():
    """By default a plan has a subtask of each category; the caller says which may be missing, and more may be there."""
    plan = [subtask("a"), subtask("b", category=Category.TESTING)]

    assert [
        "there is no subtask of the category DATA_MODEL or HTTP_API, and a plan must have one of each"
    ] == problems_of(plan)
    assert [] == problems_of(plan, PlanLimits(categories=frozenset({Category.SERVICE})))


def test_everything_is_told_at_once():
    """A plan that breaks several rules is refused with all of them, as data and in the message."""
    plan = [subtask("a", "b"), subtask("b", "a"), subtask("b", "gone", hours=(1, 99))]
    with pytest.raises(InvalidPlanError, match="the plan for 'Notes' is refused: 2 subtasks") as caught:
        checked_plan("Notes", plan)

    problems = caught.value.problems
    for part in ("2 subtasks have", "depends on 'gone'", "'a' needs", "DATA_MODEL", "1-99 h"):
        assert any(part in problem for problem in problems), part
    assert all(problem in str(caught.value) for problem in problems)
    assert "Notes" == caught.value.task


@pytest.mark.parametrize("given", [None, 7, "text", b"bytes"])
def test_what_is_no_sequence_is_refused(given):
    """A decomposer that gives something else is told so."""
    with pytest.raises(
        InvalidPlanError, match=f"no sequence of subtasks, but of type {type(given).__name__}"
    ):
        checked_plan("Notes", given)


@pytest.mark.parametrize(
    "field", [{"max_subtasks": 0}, {"max_hours": -1}, {"max_hours_of_subtask": float("inf")}]
)
def test_limits_that_allow_nothing_are_refused(field):
    """A limit that no plan could keep is a mistake."""
    with pytest.raises(ValidationError):
        PlanLimits(**field)
