"""Links of the pages that are read in the repository lead somewhere, and so do those of the site."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from docs.tools import llms, site

ROOT = Path(__file__).parents[2]
READ_IN_PLACE = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(
    file for folder in ("examples", "benchmarks", "deploy") for file in (ROOT / folder).rglob("*.md")
)
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def anchors(file: Path) -> set[str]:
    """What GitHub makes of the headings of a page."""
    titles = re.findall(r"^#+ (.+)$", FENCED.sub("", file.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("file", READ_IN_PLACE, ids=lambda file: str(file.relative_to(ROOT)))
def test_links_in_the_repository_lead_somewhere(file):
    """To a file that is there and, where they name one, to a heading in it."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", file.read_text("utf-8"))):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = file.parent / path if path else file
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert [] == broken


def test_the_text_of_all_pages_has_what_they_include():
    """And nothing that readers of the site do not see."""
    text = llms.everything()
    assert "add_up(items: list[str])" in text  # a file of the tutorial
    assert "--8<--" not in text
    assert "invisible-code-block" not in text


SOUND = {
    "index.html": '<link rel="stylesheet" href="a.css"><a href="b/c.html#there">c</a> <a href="https://example.org">out</a>',
    "b/c.html": '<h2 id="there">c</h2><a href="../index.html">up</a><img src="../d.svg"><a href="#there">here</a>',
    "a.css": "body { background: url(data:image/png;base64,AA) }",
    "d.svg": "<svg/>",
    "llms.txt": "- [c](b/c.html): the letter",
}


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("d.svg", "<svg/>", []),
        (
            "index.html",
            '<script src="https://cdn.example/x.js"></script>',
            ["index.html loads https://cdn.example/x.js"],
        ),
        (
            "index.html",
            '<link rel="preconnect" href="//fonts.example">',
            ["index.html loads //fonts.example"],
        ),
        ("index.html", '<a href="b/d.html">d</a>', ["index.html leads to b/d.html: there is no such file"]),
        (
            "index.html",
            '<a href="b/c.html#gone">c</a>',
            ["index.html leads to b/c.html#gone: there is no such anchor"],
        ),
        ("index.html", '<img src="gone.png">', ["index.html leads to gone.png: there is no such file"]),
        (
            "index.html",
            '<pre class="mermaid">a</pre>',
            ["index.html has a diagram that mermaid draws, which the theme loads from elsewhere"],
        ),
        ("a.css", "@import 'https://cdn.example/y.css';", ["a.css loads https://cdn.example/y.css"]),
        ("llms.txt", "[d](b/d.html)", ["llms.txt leads to b/d.html: there is no such file"]),
    ],
)
def test_what_is_wrong_with_a_site_is_said(tmp_path, name, text, expected):
    """One thing is wrong with it, or none."""
    for file, content in {**SOUND, name: text}.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(content)
    assert expected == list(site.problems(tmp_path))


def test_a_place_without_pages_is_no_site(tmp_path):
    """The check cannot pass because nothing was built."""
    assert list(site.problems(tmp_path))


def test_names_that_came_later_say_since_which_release():
    """A release that the changelog knows; all other names are there since the first one."""
    releases = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    source = "\n".join(file.read_text("utf-8") for file in sorted((ROOT / "src").rglob("*.py")))
    said = set(re.findall(r"^\s*Since: (\d.*)$", source, re.MULTILINE))
    assert said <= {f"{release}." for release in releases[:-1]}
    assert f"since {releases[-1]}" in (ROOT / "docs/reference/index.md").read_text("utf-8")
