"""Which known technologies a task uses."""

from __future__ import annotations

import attrs

from phaseline.recipes.task_preparation.catalog import Catalog
from phaseline.recipes.task_preparation.clauses import MAX_READ
from phaseline.recipes.task_preparation.content import Technology, words_of
from phaseline.recipes.task_preparation.models import Task


@attrs.frozen
class Stack:
    """The technologies of a task."""

    known: tuple[Technology, ...]
    unknown: tuple[str, ...]
    """Names in the project's stack that the recipe has no texts for."""
    stated: bool
    """Whether the project states its stack; otherwise it was read from the words of the task."""

    def first(self, role: str) -> Technology | None:
        """Give the first technology of a role."""
        return next((technology for technology in self.known if technology.role == role), None)

    @property
    def language(self) -> Technology | None:
        """The language, where it is one that also builds what has nothing to do with HTTP."""
        general = (t for t in self.known if t.role == "framework" and t.elsewhere is not None)
        return self.first("language") or next(general, None)

    @property
    def tests(self) -> str:
        """What tests are written with; empty if that is not known."""
        return next((technology.tests for technology in self.known if technology.tests), "")


def stack_of(task: Task, catalog: Catalog | None = None) -> Stack:
    """Recognise the technologies that the project names or, if it names none, those that the task's words name."""
    catalog, stated = catalog or Catalog.read(), task.context.tech_stack
    if not stated:
        return Stack(_mentioned(f"{task.title}\n{task.description}"[:MAX_READ], catalog), (), stated=False)
    found = {name: _recognise(name, catalog) for name in stated}
    known = tuple(dict.fromkeys(technology for technology in found.values() if technology is not None))
    return Stack(known, tuple(name for name, technology in found.items() if technology is None), stated=True)


def _recognise(name: str, catalog: Catalog) -> Technology | None:
    """Find the technology whose longest alias the name begins with, so that 'Spring Boot 3' is Spring Boot."""
    words = words_of(name)
    for length in range(len(words), 0, -1):
        if technology := catalog.by_alias.get(words[:length]):
            return technology
    return None


def _mentioned(text: str, catalog: Catalog) -> tuple[Technology, ...]:
    said = [catalog.by_word[word] for word in words_of(text) if word in catalog.by_word]
    meant = [known for known in catalog.technologies if any(name.search(text) for name in known.in_context)]
    return tuple(dict.fromkeys(said + meant))
