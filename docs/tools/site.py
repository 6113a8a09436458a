"""Completes the site that was built by ``llms.txt``, and looks at it: ``python -m docs.tools.site site``.

What is wrong with it is printed, and the exit code is 1. The site must work offline: no page may load a script, a style, a font or a picture from elsewhere. And every link within it must lead
somewhere.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from os.path import normpath
from pathlib import Path
from urllib.parse import unquote, urlsplit

from docs.tools import llms

LOADING = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "object": "data",
}
"""Elements that load what an attribute names."""
LOADED = {"stylesheet", "icon", "preload", "modulepreload", "preconnect", "dns-prefetch", "manifest"}
"""Kinds of ``link`` that load something, or connect to somebody."""
IN_STYLES = re.compile(r"""(?:url\(\s*|@import\s+)["']?((?:https?:)?//[^"')\s]+)""")
IGNORED = {"404.html"}
"""Its links are absolute, since it is shown for any address."""


class Page(HTMLParser):
    """What a page loads, where it leads, and what in it can be led to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.draws_mermaid = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of an element."""
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        self.draws_mermaid |= "mermaid" in given.get("class", "").split()
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "link" and LOADED & set(given.get("rel", "").split()):
            self.loads.append(given.get("href", ""))
        if tag in LOADING and LOADING[tag] in given:
            self.loads.append(given[LOADING[tag]])


def problems(site: Path) -> Iterator[str]:
    """Say what is wrong, one thing at a time."""
    site = site.resolve()
    pages = {
        file: Page(file.read_text("utf-8"))
        for file in sorted(site.rglob("*.html"))
        if file.name not in IGNORED
    }
    if not pages:
        yield f"{site} holds no page: build the site first"
    for file, page in pages.items():
        name = file.relative_to(site)
        yield from (f"{name} loads {url}" for url in page.loads if _is_elsewhere(url))
        if page.draws_mermaid:
            yield f"{name} has a diagram that mermaid draws, which the theme loads from elsewhere"
        for url in [*page.links, *(url for url in page.loads if not _is_elsewhere(url))]:
            if (wrong := _wrong(url, file, pages)) is not None:
                yield f"{name} leads to {url}: {wrong}"
    for style in sorted(site.rglob("*.css")):
        found = IN_STYLES.findall(style.read_text("utf-8"))
        yield from (f"{style.relative_to(site)} loads {url}" for url in found)
    contents = site / "llms.txt"
    if not contents.exists():
        yield "there is no llms.txt"
        return
    for url in re.findall(r"\]\(([^)]+)\)", contents.read_text("utf-8")):
        if (wrong := _wrong(url, contents, pages)) is not None:
            yield f"llms.txt leads to {url}: {wrong}"


def _is_elsewhere(url: str) -> bool:
    parts = urlsplit(url)
    return bool(parts.netloc) or parts.scheme not in {"", "data"}


def _wrong(url: str, file: Path, pages: dict[Path, Page]) -> str | None:
    """Why a link within the site leads nowhere; None if it leads somewhere, or elsewhere."""
    parts = urlsplit(url)
    if parts.scheme or parts.netloc:
        return None
    target = Path(normpath(file.parent / unquote(parts.path))) if parts.path else file
    if target not in pages and target.is_dir():
        target /= "index.html"
    page = pages.get(target)
    if page is None and not target.exists():
        return "there is no such file"
    if parts.fragment and page is not None and unquote(parts.fragment) not in page.anchors:
        return "there is no such anchor"
    return None


def main(site: Path) -> int:
    """Complete the site by what language models read, and look at it."""
    (site / "llms.txt").write_text(llms.contents(), encoding="utf-8")
    (site / "llms-full.txt").write_text(llms.everything(), encoding="utf-8")
    found = list(problems(site))
    print("\n".join(found) or f"{site}: all links lead somewhere, and nothing is loaded from elsewhere")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
