"""The words for one task: what its templates may name, and the lines made of the task itself."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from string import Template

import attrs

from phaseline.recipes.task_preparation.clauses import (
    Clause,
    clauses_of,
    exclusions_of,
    formats_of,
    limits_of,
)
from phaseline.recipes.task_preparation.content import Source, Technology
from phaseline.recipes.task_preparation.english import indefinite, plural, singular
from phaseline.recipes.task_preparation.lexicon import Concern, lexicon, plan
from phaseline.recipes.task_preparation.markdown import quoted
from phaseline.recipes.task_preparation.models import Category, Task, shortened
from phaseline.recipes.task_preparation.reading import Action, Reading, action_of, is_clause, subject_of
from phaseline.recipes.task_preparation.stack import Stack

_IN_TITLES = 3
_MAX_QUOTED = 60
_TAKES_THE_MAIN_RECORD = frozenset({"read", "update", "delete", "decide"})
"""Kinds of verbs that, without an object, are done to the main record: "search by tag", "cancel"."""


def fill(template: str, fields: Mapping[str, str]) -> str:
    """Put fields into one of the recipe's own texts, once: what a field holds is never read as a template."""
    return Template(template).substitute(fields)


@attrs.frozen(slots=False)
class Wording:
    """The words for one task."""

    task: Task
    reading: Reading
    stack: Stack
    tools: Collection[str] = ()
    """Words, in lower case, that name technologies."""

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
        return {**self._general, **self._about_records}

    @cached_property
    def _general(self) -> Mapping[str, str]:
        """What tasks of every kind may name."""
        subject = subject_of(self.task.title, self.tools)
        quoted = f"“{shortened(self.task.title, _MAX_QUOTED)}”"
        named = subject and not is_clause(subject)
        purpose = f"the {subject}" if named else f"“{subject}”" if subject else quoted
        language = self.stack.language
        said = language is None or f" {language.name} " in f" {purpose} "
        formats = formats_of(self.task.description)
        return {
            "purpose": f"for {purpose}",
            "quoted": quoted,
            "formats": f" ({', '.join(formats)})" if formats else "",
            "with_language": "" if said else _prefixed(" in ", language),
            "with_tests": _prefixed(" with ", self.stack.tests),
            "with_framework": _prefixed(" with ", self.stack.first("framework")),
            "on_stack": _prefixed(
                " on ",
                _listed([known.name for known in (self.stack.first("framework"), self._database) if known]),
            ),
        }

    @property
    def _database(self) -> Technology | None:
        return self.stack.first("database") or self.stack.first("cache")

    @cached_property
    def _about_records(self) -> Mapping[str, str]:
        """What only tasks about stored records may name."""
        framework = self.stack.first("framework")
        database = self._database
        documents = database is not None and database.documents
        concerns = self.reading.concerns[:2]
        names = tuple(_type_name(record) for record in self.records[:_IN_TITLES])
        return {
            "thing": self.records[0],
            "things": plural(self.records[0]),
            "a_thing": indefinite(self.records[0]),
            "records": _listed(names),
            "plurals": _listed([plural(record) for record in self.records[:_IN_TITLES]]),
            "actions": _phrase(self.actions[:2]),
            "path": f"/{_path(self.records[0])}",
            "concerns": f" ({', '.join(c.name for c in concerns)})" if concerns else "",
            "database": database.name if database else "the database",
            "in_database": _prefixed(" in ", database),
            "container": "collection" if documents else "table",
            "with_mapping": _prefixed(", mapped with ", _mapping(framework, documents=documents)),
            "with_migrations": _prefixed(
                " with ", framework.migrations if framework and not documents else ""
            ),
        }

    def lines(self, source: Source, category: Category) -> Iterator[str]:
        """Give one line for each thing of this sort that the task has."""
        match source:
            case "record":
                yield from map(self._record_line, self.records)
            case "route":
                yield from self._route_lines()
            case "action":
                for action in self.actions:
                    line = action.kind.test if category is Category.TESTING else action.kind.requirement
                    yield fill(line, self._of(action))
            case "concern":
                yield from (_concern_line(concern, category) for concern in self.reading.concerns)
            case "limit":
                yield from _quoted("limit", limits_of(self.task.description))
            case "exclusion":
                found = exclusions_of(f"{self.task.title}\n{self.task.description}")
                yield from _quoted("exclusion", dict.fromkeys(exclusion.text for exclusion in found))
            case "everything":
                yield from self._everything()
            case _:
                yield from _quoted("quote", self._about(source))

    def _about(self, topic: str) -> Iterator[str]:
        """Give the clauses on a topic, without those that only rule something out."""
        excluded = {exclusion.text for exclusion in exclusions_of(self.task.description)}
        for place, clause in enumerate(self._clauses[0]):
            # The first one says what it is all about, and belongs to the core whatever else it speaks of.
            other = not clause.topics & {"rule", "interface"} or place == 0
            if clause.text.rstrip(".!") not in excluded and (
                other if topic == "other" else topic in clause.topics
            ):
                yield clause.text

    @cached_property
    def _clauses(self) -> tuple[tuple[Clause, ...], bool]:
        return clauses_of(self.task.description)

    def _everything(self) -> Iterator[str]:
        clauses, more = self._clauses
        yield from _quoted("everything", (clause.text for clause in clauses))
        if more:
            yield plan().lines["rest"]

    def _record_line(self, record: str) -> str:
        uses = [f"“{action.phrase}”" for action in self.actions if self._record_of(action) == record]
        role = _prefixed("; it must serve ", _listed(uses))
        return fill(plan().lines["record"], {"name": _type_name(record), "role": role})

    def _route_lines(self) -> Iterator[str]:
        main = self.fields["path"]
        routes = {
            f"GET {main}": [f"find {self.fields['things']}"],
            f"GET {main}/{{id}}": [f"show one {self.fields['thing']}"],
        }
        for action in self.actions:
            routes.setdefault(fill(action.kind.route, self._of(action)), []).append(action.phrase)
        for route, uses in routes.items():
            yield fill(plan().lines["route"], {"route": route, "does": _listed(list(dict.fromkeys(uses)))})

    def _of(self, action: Action) -> Mapping[str, str]:
        record, result = self._record_of(action), lexicon().results.get(action.verb)
        return {
            "do": action.phrase,
            "verb": action.verb,
            "thing": record,
            "path": _path(result if result in self.records else record),
            "main": _path(self.records[0]),
            "slug": "-".join((action.verb, *action.object)),
        }

    def _record_of(self, action: Action) -> str:
        """Give what the action is done to: a record of the task if it is one, else the word itself."""
        if not action.object:
            return self.records[0]
        head = singular(action.object[-1])
        return next((record for record in self.records if record.rpartition(" ")[2] == head), head)


def _quoted(line: str, texts: Iterable[str]) -> Iterator[str]:
    yield from (fill(plan().lines[line], {"text": quoted(text)}) for text in texts)


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
