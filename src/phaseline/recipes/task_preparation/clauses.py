"""Takes the text of a task apart into what can be quoted: its clauses, its numbers, and what it rules out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

import attrs

from phaseline.recipes.task_preparation import lexicon
from phaseline.recipes.task_preparation.english import singular
from phaseline.recipes.task_preparation.models import shortened

MAX_READ = 20_000
"""Characters of a text that are read for its words."""
MAX_CLAUSES = 12
MAX_CLAUSE = 300
MAX_LIMITS = 6

_END = re.compile(
    r"(?<=[\w)\]%\"\u201d`][.!?;])(?<!e\.g\.)(?<!i\.e\.)(?<!etc\.)(?<!vs\.)\s+|(?<=[\u3002\uff01\uff1f])|\n\s*\n|\n\s*(?:[-*•]|\d+[.)])\s"
)
_MARKER = re.compile(r"\A(?:[-*•]|\d+[.)])\s+")
_WORD = re.compile(r"[^\W_]+(?:[-'\u2019][^\W_]+)*")
_COMPARED = (
    r"(?:(?:at least|at most|more than|less than|fewer than|up to|until|under|below|above|over|within|after|every|"
    r"maximum|minimum|max|min|last|first|top|older than|longer than) )"
)
# A number is bounded: in a list of them, written without spaces, each would else be read to its end from each of its places.
_NUMBER = r"(?:\d[\d.,]{0,30}(?<![.,])|(?:one|two|three|four|five|ten|twelve)(?= (?:second|minute|hour|day|week|month|time|attempt|character)))"
_UNIT = r"(?:\s?%|:\d+|[ \u00a0-]?(?:[^\W\d_]+ed )?[^\W\d_]+(?:/[^\W\d_]+)?(?!\w))"
_PER = rf"(?: (?:in|within|per|for|of) (?:an? |the )?(?:last )?(?:{_NUMBER}{_UNIT}|seconds?|minutes?|hours?|days?|weeks?|months?))"
_CALLABLE = re.compile(r"(?<!\S)--?[a-z]|\w\(\w*[,)]", re.IGNORECASE)
"""An option or a function."""
_LIMIT = re.compile(
    rf"(?<![\w.:/#-])(?:{_COMPARED}?{_NUMBER}{_UNIT}{_PER}?|{_COMPARED}{_NUMBER}(?!\w))", re.IGNORECASE
)
_NEGATION = (
    r"(?:no|without|(?:do not|does not|don't|doesn't|must not|should not|shall not) (?:need|use|have|require|add)|"
    r"needs? no|not)(?: (?:a|an|any|the))?"
)
_NOT_MEANT = r"(?![\w-]| (?:changes?|keys?|calls?|errors?|downtime|breaking|access|failures?|timeouts?)\b)"


@attrs.frozen
class Exclusion:
    """Something the task rules out."""

    text: str
    """In its words."""
    surfaces: frozenset[str]
    """Which surfaces it speaks of, see ``data/clauses.toml``."""
    start: int
    end: int


@attrs.frozen
class Clause:
    """A sentence of a task, or a part of one."""

    text: str
    topics: frozenset[str]
    """See ``data/clauses.toml``."""


def clauses_of(description: str) -> tuple[tuple[Clause, ...], bool]:
    """Give the first clauses of a text, and whether it has more."""
    lines = [" ".join(part.split()).rstrip(";") for part in _whole(description[:MAX_READ].strip())]
    worded = [line for line in lines if len(line.split()) > 1] or [" ".join(description.split())]
    pieces = [piece for line in worded for piece in _pieces(line)]
    more = len(pieces) > MAX_CLAUSES or len(description) > MAX_READ
    return tuple(Clause(piece, _topics(piece)) for piece in pieces[:MAX_CLAUSES]), more


def limits_of(description: str) -> tuple[str, ...]:
    """Give the numbers of a text with their units, such as ``below 150 kB``."""
    text = " ".join(description[:MAX_READ].split())
    found = (_without_stop(match[0]) for match in _LIMIT.finditer(text))
    measured = (limit for limit in found if not limit[-1:].isdigit() or limit[:1].isalpha() or ":" in limit)
    return tuple(dict.fromkeys(measured))[:MAX_LIMITS]


def exclusions_of(text: str) -> tuple[Exclusion, ...]:
    """Give what a text rules out, such as ``no database, no web server``."""
    return tuple(
        Exclusion(
            " ".join(match[0].split()),
            frozenset(surface for surface, named in _excluded().items() if named.search(match[0])),
            *match.span(),
        )
        for match in _exclusion().finditer(text[:MAX_READ])
    )


def formats_of(text: str) -> tuple[str, ...]:
    """Give the formats that a text names."""
    words = {word.casefold() for word in _WORD.findall(text[:MAX_READ])}
    named = lexicon.clauses().formats["names"]
    return tuple(name for name in named if set(name.casefold().split()) <= words)


def _whole(text: str) -> Iterator[str]:
    """Split into sentences, but not within parentheses."""
    held = ""
    for part in _END.split(_MARKER.sub("", text)):
        held = f"{held} {part}" if held else part
        if held.count("(") <= held.count(")"):
            yield held
            held = ""
    if held:
        yield held


def _pieces(line: str) -> Iterator[str]:
    """Cut a line that is too long at a comma or between words; nothing is lost but what no line can hold."""
    while len(line) > MAX_CLAUSE:
        head = line[:MAX_CLAUSE]
        at = head.rfind(", ") + 1 or head.rfind(" ")
        if at <= 0:
            break
        yield line[:at].strip()
        line = line[at:].strip()
    yield shortened(line, MAX_CLAUSE)


def _without_stop(limit: str) -> str:
    """Drop what stands where the unit should be and is none: 'at most 5 at'."""
    head, _, last = limit.rpartition(" ")
    return head if last.casefold() in lexicon.lexicon().stop else limit


def _topics(clause: str) -> frozenset[str]:
    said = _WORD.findall(clause.casefold())
    words = {*said, *map(singular, said)}
    topics = {topic for topic, known in lexicon.clauses().topics.items() if known & words}
    if re.search(r"\d", clause):
        topics.add("rule")
    if _CALLABLE.search(clause):
        topics.add("interface")
    return frozenset(topics)


@cache
def _excluded() -> dict[str, re.Pattern[str]]:
    return {
        surface: re.compile(rf"\b(?:{'|'.join(named)})\b", re.IGNORECASE)
        for surface, named in lexicon.clauses().exclusions.items()
    }


@cache
def _exclusion() -> re.Pattern[str]:
    named = "|".join(name for names in lexicon.clauses().exclusions.values() for name in names)
    thing = rf"(?:{named}){_NOT_MEANT}"
    listed = rf",(?: (?:a|an|any))? {thing}(?=,? (?:or|nor|and) )"
    another = (
        rf"(?:{listed}|,?(?: or| and| nor)(?: {_NEGATION})?(?: (?:a|an|any))? {thing}|, {_NEGATION} {thing})"
    )
    return re.compile(rf"\b{_NEGATION}\s+{thing}(?:{another})*", re.IGNORECASE)
