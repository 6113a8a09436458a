"""Every public name has a docstring, and none is gone without a word in the changelog."""

from __future__ import annotations

import re

import griffe
import pytest
from tests.public_names import (
    CHANGELOG,
    HEADER,
    RELEASED,
    ROOT,
    Public,
    load,
    public,
    undocumented,
    untold,
    written,
)

IMPORT = re.compile(r"^(?:# )?from (phaseline(?:\.\w+)*) import \(?((?<=\()[^)]*|.+)", re.MULTILINE)
UNRELEASED = "# Changelog\n\n## 0.2.0 (unreleased)\n\n### Added\n\n- `Box.shut`\n{told}\n## 0.1.0\n\n### Removed\n\n- `Box.open`\n"
BEFORE = """
class phaseline:
    def seal(box, *, twice=False): ...
    class Box:
        size: object
        def open(self, key): ...
        def shut(self): ...
"""
BOXES = '''
class Base:
    """A base."""

    one: int
    """One."""
    two: int


class Box(Base):
    """A box.

    Attributes:
        three: Three.
    """

    one: int
    two: int
    three: int
    four: int
    """Four."""
'''


@pytest.fixture(scope="module")
def package() -> griffe.Module:
    """The package as it stands."""
    return load()


def test_every_public_name_has_a_docstring(package):
    """Modules, classes, functions, methods, properties and attributes, as the reference lists them."""
    names = list(public(package))
    kinds = {name.obj.kind for name in names}
    assert {griffe.Kind.MODULE, griffe.Kind.CLASS, griffe.Kind.FUNCTION, griffe.Kind.ATTRIBUTE} == kinds
    assert {"phaseline.Runtime.start", "phaseline.errors.EncodeError.problems"} <= {
        name.path for name in names
    }
    assert [] == undocumented(iter(names))


def test_what_the_guides_import_stands_in_the_reference(package):
    """What is not listed there may change at any time, and no guide leads to that."""
    listed = {name.path for name in public(package)}
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").rglob("code/*.py")]
    imported = {
        f"{module}.{name.partition(' as ')[0]}"
        for page in pages
        for module, names in IMPORT.findall(page.read_text("utf-8"))
        for name in re.findall(r"\w[\w ]*", names.partition("#")[0])
    }
    assert len(imported) > 50
    assert set() == imported - listed


def test_nothing_public_is_gone_without_a_word(package):
    """Compared with the last release; see ``tests/public_names.py``."""
    now = written(public(package))
    assert [] == untold(RELEASED.read_text("utf-8"), now, CHANGELOG.read_text("utf-8"))


def test_a_name_that_is_gone_from_the_package_is_noticed(package):
    """As it is read here: of the real package a method, a parameter and a class are taken away."""
    released = written(public(package))
    gone = {"phaseline.RunHandle.cancel", "phaseline.Retry", "phaseline.errors.EncodeError.problems"}
    left = [
        name
        for name in public(package)
        if not any(name.path == path or name.path.startswith(f"{path}.") for path in gone)
    ]
    problems = untold(released, written(iter(left)), UNRELEASED.format(told=""))
    assert [
        "phaseline.Retry",
        "phaseline.RunHandle.cancel",
        "phaseline.errors.EncodeError.problems",
    ] == sorted(
        path for path in gone if any(path.removeprefix("phaseline.") in problem for problem in problems)
    ), problems


@pytest.mark.parametrize(
    ("now", "problems"),
    [
        (BEFORE, 0),
        (BEFORE + "        def lock(self, key): ...\n", 0),
        (BEFORE.replace("(self, key)", "(self, key, *, gently=True)"), 0),
        (BEFORE.replace("def shut", "def close"), 1),
        (BEFORE.replace("(self, key)", "(self)"), 1),
        (BEFORE.replace("(self, key)", "(self, key, way)"), 1),
        (BEFORE.replace("(self, key)", "(self, *, key)"), 1),
        (BEFORE.replace("twice=False", "twice=True"), 1),
        (BEFORE.replace("def seal", "def close"), 1),
        (BEFORE.replace("class Box", "class Crate"), 1),
    ],
)
def test_what_breaks_callers_must_be_told(now, problems):
    """More may be there; less, or what is called in another way, is a problem until it is told."""
    found = untold(BEFORE, now, UNRELEASED.format(told=""))
    assert problems == len(found), found


@pytest.mark.parametrize(
    ("told", "problems"),
    [
        ("### Removed\n\n- `Box.shut`: nobody shut one.\n", 0),
        ("### Changed\n\n- `phaseline.Box.shut` is `Box.close()`.\n", 0),
        ("### Removed\n\n- Box.shut without marks.\n", 1),
        ("### Removed\n\n- `shut` of no class.\n", 1),
        ("### Fixed\n\n- `Box.shut`\n", 1),
    ],
)
def test_it_is_told_by_its_name_under_removed_or_changed(told, problems):
    """Of the release that is being made; an earlier one, or another section, does not count."""
    assert problems == len(
        untold(BEFORE, BEFORE.replace("def shut", "def close"), UNRELEASED.format(told=told))
    )


def test_an_attribute_is_documented_by_itself_by_its_class_or_by_what_it_overrides():
    """The three ways that count, and none that does not."""
    with griffe.temporary_visited_module(BOXES, docstring_parser="google") as module:
        box = module["Box"]
        names = [Public(member.name, member, box) for member in box.members.values()]
        assert ["two"] == undocumented(iter(names))


def test_what_is_written_is_python_and_tells_of_each_kind_of_parameter():
    """Positional-only, keyword-only, variable, with and without defaults."""
    told = "def f(a, /, b, c=1, *d, e, g=2, **h): ..."
    module = griffe.visit("box", filepath=RELEASED, code=f"{told}\ndef k(*, l): ...\ndef m(n, /): ...\n")
    text = written(Public(f"box.{name}", member) for name, member in module.members.items())
    assert (
        text
        == f"{HEADER}class box:\n    def f(a, /, b, c=1, *d, e, g=2, **h): ...\n    def k(*, l): ...\n    def m(n, /): ...\n"
    )
