"""Texts of others stand in Markdown without ending the frame around them."""

from __future__ import annotations

import pytest

from phaseline.recipes.task_preparation.markdown import fence, inline, item, paragraph, quoted


@pytest.mark.parametrize(
    "text",
    ["Clean Code", "snake_case", "C# 13", ".NET", "90 % coverage", "R&D, e.g. a/b", "don't", "v1.2 (beta)"],
)
def test_plain_text_stays_plain(text):
    """What Markdown would show as it is, is not marked."""
    assert text == inline(text)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("{x.__class__}", "`{x.__class__}`"),
        ("a\n# b", "a # b"),
        ("# b", "`# b`"),
        ("1. b", "`1. b`"),
        ("- b", "`- b`"),
        ("a `b` c", "``a `b` c``"),
        ("`b`", "`` `b` ``"),
        ("a ``` b", "````a ``` b````"),
        ("*b* [c](d) <e>", "`*b* [c](d) <e>`"),
        ("&lt;", "`&lt;`"),
        ("a #", "`a #`"),
        ("_b_", "`_b_`"),
    ],
)
def test_markup_becomes_a_code_span(text, span):
    """What Markdown would read as markup is shown literally, on one line."""
    assert span == inline(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("# heading", "\\# heading"),
        ("> quote", "\\> quote"),
        ("- item", "\\- item"),
        ("--", "\\--"),
        ("===", "\\==="),
        ("3. third", "3\\. third"),
        ("```python", "\\```python"),
        ("~~~", "\\~~~"),
        ("<div>", "\\<div>"),
        ("[a]: b", "\\[a]: b"),
        ("one\n\n# two", "one # two"),
        ("**bold** and `code`", "**bold** and `code`"),
        ("```a``` b", "```a``` b"),
        ("#tag", "#tag"),
    ],
)
def test_nothing_begins_a_block(text, shown):
    """Text of a decomposer keeps its inline markup and begins no block of its own."""
    assert shown == paragraph(text)
    assert f"- {shown}" == item(text)


@pytest.mark.parametrize(("text", "marks"), [("a", 3), ("```", 4), ("a `````` b", 7), ("~~~~", 3)])
def test_fence_is_longer_than_any_inside(text, marks):
    """A fence cannot be closed by the text that it holds, and the text is not changed."""
    assert f"{'`' * marks}text\n{text}\n{'`' * marks}" == fence(text)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Send it to `POST /notes` at once.", None),
        ("Notes of 5 words.", None),
        ("<img src=x> is shown", "`<img src=x> is shown`"),
        ("see [Details](javascript:alert(1))", "`see [Details](javascript:alert(1))`"),
        ("press __init__ and `quit", "``press __init__ and `quit``"),
        ("of `a` and *b*", "``of `a` and *b*``"),
        ("``a`` and `b`", "``` ``a`` and `b` ```"),
    ],
)
def test_what_is_quoted_is_no_markup_but_code(text, line):
    """Images, links and tags of users are shown as they were written, where the text is rendered, too."""
    assert (line or text) == quoted(text)
