"""Tells what kind of task a text describes, by the words that reveal it."""

from __future__ import annotations

import re

from phaseline.recipes.task_preparation.catalog import Catalog
from phaseline.recipes.task_preparation.clauses import MAX_READ, exclusions_of
from phaseline.recipes.task_preparation.content import TaskKind
from phaseline.recipes.task_preparation.english import is_english, singular
from phaseline.recipes.task_preparation.lexicon import lexicon
from phaseline.recipes.task_preparation.models import Task
from phaseline.recipes.task_preparation.reading import read
from phaseline.recipes.task_preparation.stack import Stack, stack_of

_SIGN, _HINT, _STACK = 3, 1, 2
_IN_TITLE = 2
"""Words of the title count so many times."""
_MOST_DEEDS = 3
_WORD = re.compile(r"[^\W_]+(?:-[^\W_]+)*")


def kind_of(task: Task, catalog: Catalog | None = None) -> TaskKind:
    """Tell the kind of a task; the last one by rank where the words reveal none.

    Args:
        task: What to look at.
        catalog: Which kinds there are; by default those that ship with the recipe.
    """
    catalog = catalog or Catalog.read()
    ranked = catalog.kinds
    text = f"{task.title}\n{task.description}"[:MAX_READ]
    if not is_english(_WORD.findall(text.casefold())):
        return ranked[-1]
    excluded = {surface for exclusion in exclusions_of(text) for surface in exclusion.surfaces}
    evidence = _Evidence(task, catalog)
    possible = [kind for kind in ranked if not kind.surfaces & excluded] or ranked[-1:]
    best = max(possible, key=evidence.score)
    return best if evidence.score(best) >= best.enough else ranked[-1]


class _Evidence:
    """What in a task speaks for one kind or another."""

    def __init__(self, task: Task, catalog: Catalog) -> None:
        self._title, self._text = _asserted(task.title), _asserted(task.description)
        self._in_title, self._in_text = _words(self._title), _words(self._text)
        self._stack: Stack = stack_of(task, catalog)
        self._deeds = [
            action.kind.name for action in read(task.title, task.description, catalog.by_word).actions
        ]

    def score(self, kind: TaskKind) -> int:
        """Add up what speaks for a kind."""
        hints = len(kind.hints & (self._in_title | self._in_text)) + len(kind.hints & self._in_title)
        return _HINT * hints + self._signs(kind) + self._of_stack(kind) + self._of_deeds(kind)

    def _signs(self, kind: TaskKind) -> int:
        title, text = (
            {match[0].casefold() for sign in kind.signs for match in sign.finditer(part)}
            for part in (self._title, self._text)
        )
        return _SIGN * (_IN_TITLE * len(title) + len(text - title))

    def _of_stack(self, kind: TaskKind) -> int:
        framework, frontend = self._stack.first("framework"), self._stack.first("frontend")
        if self._stack.first("database") is not None and "database" in kind.surfaces:
            return _STACK
        if framework is not None and framework.elsewhere is None:
            return _STACK if "http" in kind.surfaces else 0
        return _STACK if "browser" in kind.surfaces and frontend is not None else 0

    def _of_deeds(self, kind: TaskKind) -> int:
        deeds = min(_MOST_DEEDS, sum(deed in kind.deeds for deed in self._deeds))
        people = lexicon().people
        said = _IN_TITLE if people & self._in_title else bool(people & self._in_text)
        return deeds + said if kind.deeds else 0


def _asserted(text: str) -> str:
    """Give a text without what it rules out."""
    text = text[:MAX_READ]
    for exclusion in reversed(exclusions_of(text)):
        text = f"{text[: exclusion.start]} {text[exclusion.end :]}"
    return text


def _words(text: str) -> frozenset[str]:
    said = _WORD.findall(text.casefold())
    return frozenset({*said, *map(singular, said)})
