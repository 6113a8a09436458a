"""Every ``python`` block of the README and of the documentation runs, page by page, from top to bottom.

Set-up that a reader need not see goes into a comment that the page does not show::

    <!-- invisible-code-block: python
    task = Task(title="...")
    -->

A block may use ``await`` and ``async with`` at its top level: it then runs in an event loop of its own.
"""

from __future__ import annotations

import ast
import inspect
import sys
from pathlib import Path
from types import ModuleType

import anyio
import pytest
from sybil import Example, Sybil
from sybil.evaluators.python import pad
from sybil.parsers.markdown import CodeBlockParser
from tests.blocking import allowed

ROOT = Path(__file__).parents[2]


def run_block(example: Example) -> None:
    """Run one block in the namespace of its page."""
    source = pad(example.parsed, example.line + example.parsed.line_offset)
    code = compile(source, example.path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)

    async def in_loop() -> None:
        await eval(code, example.namespace)  # noqa: S307  # our own documentation

    if code.co_flags & inspect.CO_COROUTINE:
        anyio.run(in_loop)
    else:
        exec(code, example.namespace)  # noqa: S102  # our own documentation


SYBIL = Sybil(parsers=[CodeBlockParser("python", run_block)])
PAGES = [SYBIL.parse(page) for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))]


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=str(Path(page.path).relative_to(ROOT)))
        for page in PAGES
        if list(page.examples())
    ],
)
def test_snippets_run(page, tmp_path, monkeypatch, no_blocking_calls):
    """The blocks of a page run one after another in one namespace, in an empty directory."""
    monkeypatch.chdir(tmp_path)
    # A module, so that annotations in a block resolve as they do in a reader's file.
    module = ModuleType("snippets")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    page.namespace = vars(module)

    with allowed(no_blocking_calls):
        for example in page.examples():
            example.evaluate()
