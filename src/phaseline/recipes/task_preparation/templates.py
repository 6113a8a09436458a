"""Decomposition by templates: eight subtasks, two for each category, worded after the task. Pure and offline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from string import Template

import attrs
from anyio import to_thread

from phaseline.recipes.task_preparation.catalog import Concern, SubtaskTemplate, Technology, subtask_templates
from phaseline.recipes.task_preparation.english import plural, singular
from phaseline.recipes.task_preparation.models import Category, Decomposition, Effort, Subtask, Task
from phaseline.recipes.task_preparation.reading import (
    Action,
    Reading,
    action_of,
    is_clause,
    read,
    subject_of,
)
from phaseline.recipes.task_preparation.stack import Stack, stack_of

_IN_TITLES = 3
_TAKES_THE_MAIN_RECORD = frozenset({"read", "update", "delete", "decide"})
"""Kinds of verbs that, without an object, are done to the main record: "search by tag", "cancel"."""


class TemplateDecomposer:
    """Takes a task apart without asking anybody."""

    async def decompose(self, task: Task) -> Sequence[Subtask]:
        """Give the eight subtasks of the task; the same task always gives the same ones."""
        # In a thread: the texts are read from files at first, and a task may be long.
        return await to_thread.run_sync(decompose, task)


def decompose(task: Task) -> list[Subtask]:
    """Take a task apart into eight subtasks, two for each category, in the order in which to do them."""
    wording = Wording(task, read(task.title, task.description), stack_of(task))
    templates = subtask_templates().subtask
    titles = {template.key: fill(template.title, wording.fields) for template in templates}
    made = (_subtask(template, wording, titles, place) for place, template in enumerate(templates, start=1))
    return list(Decomposition(subtasks=tuple(made)).subtasks)


def _subtask(template: SubtaskTemplate, wording: Wording, titles: Mapping[str, str], place: int) -> Subtask:
    own = [line for what in template.per for line in wording.lines(what, template.category)]
    least, most = (
        base + len(own) * each for base, each in zip(template.hours, template.hours_per, strict=True)
    )
    return Subtask(
        category=template.category,
        title=titles[template.key],
        description=fill(template.description, wording.fields),
        requirements=(*(fill(line, wording.fields) for line in template.requirements), *own),
        dependencies=tuple(titles[key] for key in template.needs),
        estimated_effort=Effort(min_hours=least, max_hours=most),
        priority=place,
    )


def fill(template: str, fields: Mapping[str, str]) -> str:
    """Put fields into one of the recipe's own texts, once: what a field holds is never read as a template."""
    return Template(template).substitute(fields)


@attrs.frozen(slots=False)
class Wording:
    """The words for one task."""

    task: Task
    reading: Reading
    stack: Stack

    @cached_property
    def records(self) -> tuple[str, ...]:
        """What is stored, in the singular, the main one first; never empty."""
        objects = (singular(action.object[-1]) for action in self.reading.actions if action.object)
        return self.reading.records or (next(objects, "record"),)

    @cached_property
    def actions(self) -> tuple[Action, ...]:
        """What is done, each with an object where its verb needs one; never empty."""
        things = plural(self.records[0])
        if not self.reading.actions:
            return tuple(action_of(verb, things) for verb in ("create", "list", "update"))
        whole = (
            action_of(action.verb, things)
            if not action.object and action.kind.name in _TAKES_THE_MAIN_RECORD
            else action
            for action in self.reading.actions
        )
        return tuple({action.phrase: action for action in whole}.values())

    @cached_property
    def fields(self) -> Mapping[str, str]:
        """What the titles and texts of the subtasks may name."""
        framework = self.stack.first("framework")
        database = self.stack.first("database") or self.stack.first("cache")
        documents = database is not None and database.documents
        subject = subject_of(self.task.title)
        concerns = self.reading.concerns[:2]
        tests = framework.tests if framework else ""
        names = tuple(_type_name(record) for record in self.records[:_IN_TITLES])
        on_stack = _listed([technology.name for technology in (framework, database) if technology])
        return {
            "purpose": f"for the {subject}"
            if subject and not is_clause(subject)
            else f"for “{subject or self.task.id}”",
            "thing": self.records[0],
            "things": plural(self.records[0]),
            "records": _listed(names),
            "plurals": _listed([plural(record) for record in self.records[:_IN_TITLES]]),
            "actions": _phrase(self.actions[:2]),
            "path": f"/{_path(self.records[0])}",
            "concerns": f" ({', '.join(c.name for c in concerns)})" if concerns else "",
            "database": database.name if database else "the database",
            "in_database": _prefixed(" in ", database),
            "with_framework": _prefixed(" with ", framework),
            "with_tests": _prefixed(" with ", tests),
            "on_stack": _prefixed(" on ", on_stack),
            "container": "collection" if documents else "table",
            "with_mapping": _prefixed(", mapped with ", _mapping(framework, documents=documents)),
            "with_migrations": _prefixed(
                " with ", framework.migrations if framework and not documents else ""
            ),
        }

    def lines(self, what: str, category: Category) -> Iterator[str]:
        """Give one line for each record, action, route or concern of the task."""
        match what:
            case "record":
                yield from map(self._record_line, self.records)
            case "route":
                yield from self._route_lines()
            case "action":
                for action in self.actions:
                    line = action.kind.test if category is Category.TESTING else action.kind.requirement
                    yield fill(line, self._of(action))
            case "statement":
                yield from (
                    fill(subtask_templates().statement, {"text": text}) for text in self.reading.statements
                )
            case _:
                yield from (_concern_line(concern, category) for concern in self.reading.concerns)

    def _record_line(self, record: str) -> str:
        uses = [f"“{action.phrase}”" for action in self.actions if self._record_of(action) == record]
        role = _prefixed("; it must serve ", _listed(uses))
        return fill(subtask_templates().record, {"name": _type_name(record), "role": role})

    def _route_lines(self) -> Iterator[str]:
        main = self.fields["path"]
        routes = {
            f"GET {main}": [f"find {self.fields['things']}"],
            f"GET {main}/{{id}}": [f"show one {self.fields['thing']}"],
        }
        for action in self.actions:
            routes.setdefault(fill(action.kind.route, self._of(action)), []).append(action.phrase)
        for route, uses in routes.items():
            yield fill(
                subtask_templates().route, {"route": route, "does": _listed(list(dict.fromkeys(uses)))}
            )

    def _of(self, action: Action) -> Mapping[str, str]:
        record = self._record_of(action)
        return {
            "do": action.phrase,
            "verb": action.verb,
            "thing": record,
            "path": _path(record),
            "main": _path(self.records[0]),
            "slug": "-".join((action.verb, *action.object)),
        }

    def _record_of(self, action: Action) -> str:
        """Give what the action is done to: a record of the task if it is one, else the word itself."""
        if not action.object:
            return self.records[0]
        head = singular(action.object[-1])
        return next((record for record in self.records if record.rpartition(" ")[2] == head), head)


def _mapping(framework: Technology | None, *, documents: bool) -> str:
    if framework is None:
        return ""
    return framework.odm if documents else framework.orm


def _phrase(actions: Sequence[Action]) -> str:
    """Say several actions at once; verbs with one object share it: 'create and list notes'."""
    by_object: dict[tuple[str, ...], list[Action]] = {}
    for action in actions:
        by_object.setdefault((action.link, *action.object), []).append(action)
    said: list[str] = []
    for together in by_object.values():
        *others, last = together
        said.append(_listed([*(action.verb.replace("-", " ") for action in others), last.phrase]))
    return _listed(said)


def _concern_line(concern: Concern, category: Category) -> str:
    (line,) = concern.for_category(category)
    return f"{concern.name.capitalize()}: {line}"


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def _prefixed(prefix: str, what: Technology | str | None) -> str:
    name = what.name if isinstance(what, Technology) else what
    return prefix + name if name else ""


def _type_name(record: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in record.replace("-", " ").split())


def _path(record: str) -> str:
    return plural(record).replace(" ", "-")
