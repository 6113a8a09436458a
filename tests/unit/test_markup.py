"""Whatever texts hold, Markdown reads them as texts: checked by a reader of Markdown that is not ours."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from phaseline._values.markup import escaped, fenced, of_json, table

READER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
NASTY = [
    "# heading", "- item", "1. item", "> quote", "```\nfence\n```", "~~~", "a | b", "|---|", "<b>bold</b>", "<script>", "&amp;",
    "**b**", "_i_", "`code`", "``", "[a](b)", "![a](b)", "https://example.com", "www.example.com", "a@b.c", "a\\", "\\|", "$x$",
    "a\nb", "a\u2028b", "a\r\n\r\n# b", "\u202eevil", "\0", "<!--", "-->", "~~s~~", "***", "===", "\t", "",
]  # fmt: skip
TEXTS = st.text() | st.sampled_from(NASTY) | st.lists(st.sampled_from(NASTY)).map("".join)


def kinds(text: str) -> set[str]:
    """Which kinds of things a reader finds in a document."""
    return {
        token.type for block in READER.parse(text) for token in [block, *(block.children or [])]
    } - {"inline"}  # fmt: skip


def words_of(text: str) -> str:
    """A text as it is read: one line, where what cannot be seen is written by its number."""
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


@given(TEXTS)
@example("```")
def test_a_text_in_a_paragraph_is_read_as_it_is(text: str) -> None:
    """Nothing but text is in it, and all of it."""
    document = f"x {escaped(text)} x"
    assert kinds(document) <= {"paragraph_open", "paragraph_close", "text", "text_special"}
    (paragraph,) = [block for block in READER.parse(document) if block.type == "inline"]
    assert "".join(child.content for child in paragraph.children or []).split() == [
        "x",
        *words_of(text).split(),
        "x",
    ]


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=3))
def test_a_text_in_a_table_keeps_to_its_cell(rows: list[tuple[str, str]]) -> None:
    """The table has the cells that were given, and nothing comes behind it."""
    parsed = READER.parse(table(("a", "b"), [(escaped(one), escaped(other)) for one, other in rows]))
    cells = [
        "".join(child.content for child in parsed[place + 1].children or [])
        for place, block in enumerate(parsed)
        if block.type == "td_open"
    ]
    assert [cell.split() for cell in cells] == [words_of(text).split() for row in rows for text in row]
    assert parsed[-1].type == "table_close"


@given(TEXTS)
def test_a_text_in_a_code_block_does_not_end_it(text: str) -> None:
    """However many backticks are in it."""
    assert [block.type for block in READER.parse(f"{fenced(text)}\n\nbehind") if block.type != "inline"] == [
        "fence", "paragraph_open", "paragraph_close",
    ]  # fmt: skip


@pytest.mark.parametrize("value", [None, "```", {"a": ["\u202e", 1]}, list(range(100)), "x" * 100])
def test_json_is_cut_where_it_is_long(value: Any) -> None:
    """And says by how much."""
    (block,) = READER.parse(of_json(value, 80))
    assert block.info == "json"
    assert len(block.content) < 130
    assert "\u202e" not in block.content
    assert ("characters more" in block.content) == (isinstance(value, list) or value == "x" * 100)
