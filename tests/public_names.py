"""What the package promises to its users: each name that the reference lists, and whether one is gone.

``python -m nox -s api`` compares the tree with ``docs/api.pyi``, the names and parameters as of the last release. Whatever is gone, or
cannot be called any more as it could be, must be told in the changelog under Removed or Changed. At a release
``python -m nox -s api -- --write`` writes the file anew.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent

import griffe
from attrs import frozen

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
RELEASED = ROOT / "docs" / "api.pyi"
CHANGELOG = ROOT / "CHANGELOG.md"
LISTED = re.compile(r"^::: (\S+)", re.MULTILINE)
TOLD_UNDER = re.compile(r"^### (?:Removed|Changed)\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
OF_OTHERS = {"model_config": "pydantic"}
"""Attributes that bases outside of the package describe."""
HEADER = "# The public names and their parameters as of the last release; written by tests/public_names.py, never by hand.\n"


@frozen
class Public:
    """A public name."""

    path: str
    """As users write it."""
    obj: griffe.Object
    """What it stands for, wherever that is defined."""
    owner: griffe.Class | None = None
    """The class that it is a member of."""


def load(source: Path = ROOT / "src") -> griffe.Module:
    """Read the package; nothing of it is run."""
    package = griffe.load("phaseline", search_paths=[source], docstring_parser="google")
    assert isinstance(package, griffe.Module)
    return package


def public(package: griffe.Module, reference: Path = REFERENCE) -> Iterator[Public]:
    """Every name on the pages of the reference, in their order: modules, what they export, and members of classes."""
    for page in sorted(reference.glob("*.md")):
        for path in LISTED.findall(page.read_text("utf-8")):
            listed = _own(package[path.partition(".")[2]] if "." in path else package)
            yield Public(path, listed)
            if isinstance(listed, griffe.Module):
                for name in _exported(listed):
                    yield from _with_members(f"{path}.{name}", _own(listed[name]))
            else:
                yield from _members(path, listed)


def _own(obj: griffe.Object | griffe.Alias) -> griffe.Object:
    return obj.final_target if isinstance(obj, griffe.Alias) else obj


def _exported(module: griffe.Module) -> list[str]:
    if module.exports is not None:
        return [str(name) for name in module.exports]
    return [
        name
        for name, member in module.members.items()
        if not name.startswith("_") and not member.is_alias and not _is_type_variable(member)
    ]


def _is_type_variable(member: griffe.Object | griffe.Alias) -> bool:
    return isinstance(member, griffe.Attribute) and str(member.value).startswith("TypeVar(")


def _with_members(path: str, obj: griffe.Object, owner: griffe.Class | None = None) -> Iterator[Public]:
    yield Public(path, obj, owner)
    yield from _members(path, obj)


def _members(path: str, obj: griffe.Object) -> Iterator[Public]:
    if isinstance(obj, griffe.Class):
        for name, member in obj.members.items():
            if not name.startswith("_") and not member.is_alias and name not in OF_OTHERS:
                yield from _with_members(f"{path}.{name}", _own(member), obj)


# --------------------------------------------------------------------- docstrings
def undocumented(names: Iterator[Public]) -> list[str]:
    """Those without a docstring of their own, in the attributes of their class, or at what they override."""
    return [name.path for name in names if not _is_documented(name)]


def _is_documented(name: Public) -> bool:
    if name.obj.has_docstring or name.owner is None:
        return name.obj.has_docstring
    classes = [name.owner, *name.owner.mro()]
    return any(_documents(each, name.obj.name) for each in classes)


def _documents(owner: griffe.Class, name: str) -> bool:
    member = owner.members.get(name)
    if member is not None and not member.is_alias and member.has_docstring:
        return True
    sections = owner.docstring.parsed if owner.docstring else []
    return any(
        name == attribute.name
        for section in sections
        if isinstance(section, griffe.DocstringSectionAttributes)
        for attribute in section.value
    )


# --------------------------------------------------------------------- what is gone
def written(names: Iterator[Public]) -> str:
    """The names and parameters as Python text without bodies; modules, too, are classes in it."""
    tree: dict[str, Public] = {}
    for name in names:
        tree.setdefault(name.path, name)
    for path in list(tree):  # modules on the way to what is listed
        parts = path.split(".")
        for length in range(1, len(parts)):
            tree.setdefault(".".join(parts[:length]), Public(path, griffe.Module(parts[length - 1])))
    below: dict[str, list[str]] = {}
    for path in tree:
        below.setdefault(path.rpartition(".")[0], []).append(path)
    return HEADER + "\n".join(_lines(path, tree, below) for path in below[""]) + "\n"


def _lines(path: str, tree: dict[str, Public], below: dict[str, list[str]]) -> str:
    name, obj = path.rpartition(".")[2], tree[path].obj
    if isinstance(obj, griffe.Function):
        return f"def {name}({_parameters(obj)}): ..."
    if isinstance(obj, griffe.Attribute):
        return f"{name}: object"  # values are no promise; those that are written somewhere have tests of their own
    made = obj.members.get("__init__")
    body = [_lines(each, tree, below) for each in sorted(below.get(path, []))]
    if isinstance(made, griffe.Function):
        body.insert(0, f"def __init__({_parameters(made)}): ...")
    return f"class {name}:\n" + indent("\n".join(body or ["..."]), "    ")


def _parameters(function: griffe.Function) -> str:
    """As they stand between the brackets, without their types."""
    kinds = griffe.ParameterKind
    told: list[str] = []
    before: griffe.ParameterKind | None = None
    for parameter in function.parameters:
        kind = parameter.kind
        if before is kinds.positional_only and kind is not kinds.positional_only:
            told.append("/")
        if kind is kinds.keyword_only and before not in {kinds.keyword_only, kinds.var_positional}:
            told.append("*")
        stars = {kinds.var_positional: "*", kinds.var_keyword: "**"}.get(kind, "")
        default = "" if stars or parameter.default is None else f"={parameter.default}"
        told.append(f"{stars}{parameter.name}{default}")
        before = kind
    if before is kinds.positional_only:
        told.append("/")
    return ", ".join(told)


def untold(released: str, now: str, changelog: str) -> list[str]:
    """What users can no longer do that they could, and the changelog does not tell, a line each."""
    old, new = (griffe.visit("api", filepath=RELEASED, code=text) for text in (released, now))
    section = re.split(r"^## ", changelog, flags=re.MULTILINE)[1]
    told = {word for part in TOLD_UNDER.findall(section) for word in re.findall(r"`([\w.]+)", part)}
    return [
        _explained(breakage)
        for breakage in griffe.find_breaking_changes(old, new)
        if not told & set(_called(breakage.obj.path))
    ]


def _explained(breakage: griffe.Breakage) -> str:
    colourful = breakage.explain(griffe.ExplanationStyle.ONE_LINE).partition(": ")[2]
    return re.sub(r"\x1b\[\d+m", "", colourful)


def _called(path: str) -> Iterator[str]:
    """How a changelog may call it: ``Runtime.start``, or longer."""
    parts = path.split(".")[1:]
    shortest = 1 if len(parts) < 3 or not parts[-2][0].isupper() else 2
    yield from (".".join(parts[-length:]) for length in range(shortest, len(parts) + 1))


def main() -> int:
    """Write the names of a release, or compare with them."""
    now = written(public(load()))
    if "--write" in sys.argv[1:]:
        RELEASED.write_text(now, "utf-8")
        return 0
    problems = untold(RELEASED.read_text("utf-8"), now, CHANGELOG.read_text("utf-8"))
    for problem in problems:
        sys.stdout.write(f"{problem}\n")
    if problems:
        sys.stdout.write(
            f"Keep them as they were, or tell them in {CHANGELOG.name} under Removed or Changed.\n"
        )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
