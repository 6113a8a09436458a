"""The OpenAPI document is whole: what it shows fits, and what it points at is there."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from phaseline.web.access import Action
from phaseline.web.calls import Route
from phaseline.web.openapi import document
from phaseline.web.routes import ROUTES


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    """The document."""
    return document(ROUTES, title="Pipelines", version="1")


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.body is not None], ids=lambda route: route.name
)
def test_examples_are_what_is_taken(described: dict[str, Any], route: Route) -> None:
    """Each body has one, and it is read as requests are."""
    assert route.body is not None
    examples = described["components"]["schemas"][route.body.__name__]["examples"]
    assert examples
    for example in examples:
        assert route.body.model_validate_json(json.dumps(example))


def test_nothing_points_nowhere(described: dict[str, Any]) -> None:
    """References, and operations that answers link to."""
    text = json.dumps(described)
    assert {*re.findall(r'"#/components/schemas/(\w+)"', text)} <= {*described["components"]["schemas"]}
    operations = [each for methods in described["paths"].values() for each in methods.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len({*names})
    answers = [answer for operation in operations for answer in operation["responses"].values()]
    linked = {link["operationId"] for answer in answers for link in answer.get("links", {}).values()}
    assert linked
    assert linked <= {*names}


def test_every_right_is_that_of_a_route() -> None:
    """A right that no route asks for would be given in vain."""
    assert {*Action} == {route.action for route in ROUTES if route.action is not None}


@pytest.mark.parametrize(
    ("path", "media_type"), [("value/file", "application/json"), ("stream", "text/event-stream")]
)
def test_what_no_model_describes_may_have_any_shape(
    path: str, media_type: str, described: dict[str, Any]
) -> None:
    """A value of the application's, and events of a stream: as a text they would be refused by who takes them apart."""
    answer = described["paths"][f"/runs/{{id}}/{path}"]["get"]["responses"]["200"]
    assert {media_type: {"schema": {}}} == answer["content"]
