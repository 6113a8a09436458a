"""Makes ``llms.txt``, the table of contents for language models, and a text of all pages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
OPTIONAL = ("Decisions", "Project")
"""Parts that who has little room may leave out."""

INTRO = """\
# phaseline

> {description}

A phase is a typed function. A pipeline is a graph of phases, known before it runs. A runtime keeps every run in a storage (memory, SQLite,
PostgreSQL), so that it survives the process. Committed phases never run again; bodies run at least once; code is never replayed.
All pages in one text: [llms-full.txt](llms-full.txt)
"""


class Page(NamedTuple):
    """An entry of the navigation."""

    part: str
    title: str
    path: str

    @property
    def text(self) -> str:
        """What its file says, with the files that it includes, without what readers do not see."""
        text = (DOCS / self.path).read_text("utf-8")
        text = re.sub(
            r'^--8<-- "(.+)"$',
            lambda found: (ROOT / found[1]).read_text("utf-8").strip(),
            text,
            flags=re.MULTILINE,
        )
        return re.sub(r"^<!-- .*?-->\n+", "", text, flags=re.MULTILINE | re.DOTALL)


def pages() -> Iterator[Page]:
    """All pages, in the order of the navigation."""
    for entry in _configuration()["nav"]:
        ((part, inside),) = entry.items()
        if isinstance(inside, str):
            yield Page("", part, inside)
        else:
            for title, path in _inside(inside):
                yield Page(part, title or _heading(path), path)


def _inside(entries: list[Any]) -> Iterator[tuple[str | None, str]]:
    for entry in entries:
        if isinstance(entry, str):
            yield None, entry
        else:
            ((title, inside),) = entry.items()
            yield from [(title, inside)] if isinstance(inside, str) else _inside(inside)


def _configuration() -> dict[str, Any]:
    configuration: dict[str, Any] = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))
    return configuration


def _heading(path: str) -> str:
    return (DOCS / path).read_text("utf-8").partition("\n")[0].removeprefix("# ")


def about(page: Page) -> str:
    """The first sentence of a page; of one that is made of a module, that of its docstring."""
    text = re.sub(r"^```.*?^```", "", page.text.partition("\n")[2], flags=re.MULTILINE | re.DOTALL)
    for paragraph in re.split(r"\n\n+", text.strip()):
        if module := re.match(r"::: phaseline\.?([\w.]*)$", paragraph, re.MULTILINE):
            return _sentence(_docstring(module[1]))
        if re.match(r"[\w\"`*>]", paragraph):
            return _sentence(paragraph)
    return ""


def _docstring(name: str) -> str:
    place = ROOT / "src/phaseline" / name.replace(".", "/")
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    return ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""


def _sentence(text: str) -> str:
    text = re.sub(r"^> |^\*\*\w+\.\*\* ", "", text)  # a quotation, or the part of a decision
    plain = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", " ".join(text.replace("``", "`").split()))
    return re.split(r"(?<=[.?])\s", plain.replace("**", ""), maxsplit=1)[0].rstrip(":.")


def contents() -> str:
    """The text of ``llms.txt``."""
    lines = [INTRO.format(description=_configuration()["site_description"])]
    part = ""
    for page in sorted(pages(), key=lambda page: page.part in OPTIONAL):
        title = "Optional" if page.part in OPTIONAL else page.part or "Start"
        if title != part:
            lines += [f"## {title}", ""] if part == "" else ["", f"## {title}", ""]
            part = title
        told = about(page)
        lines.append(
            f"- [{page.title}]({page.path.removesuffix('.md')}.html)" + (f": {told}" if told else "")
        )
    return "\n".join(lines) + "\n"


def everything() -> str:
    """All pages, one after another, as Markdown."""
    return "\n\n".join(f"<!-- {page.path} -->\n{page.text.strip()}" for page in pages()) + "\n"
