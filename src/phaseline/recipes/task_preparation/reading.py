"""Reads a task: what is stored, what is done with it, and what else the task brings with it.

No grammar, only word lists and neighbours, in one pass over the text. It errs at times; the texts made from it are
such that an odd word reads oddly and harms nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

import attrs

from phaseline.recipes.task_preparation.english import (
    Verb,
    base_of,
    is_abstract,
    is_adverb,
    is_content,
    is_plural,
    plural,
    singular,
    verb_forms,
)
from phaseline.recipes.task_preparation.lexicon import Concern, VerbClass, concerns, lexicon

MAX_READ = 20_000
"""Characters of a description that are read for its words."""
MAX_RECORDS = 4
MAX_ACTIONS = 8
MAX_CONCERNS = 4
MAX_WORD = 40
MAX_SUBJECT = 8

_SENTENCE_END = re.compile(r"[!?;:]|[.](?=\s|\Z)|\n\s*\n|\n\s*(?:[-*•]|\d+[.)])\s")
_TOKEN = re.compile(r"[^\W_]+(?:[-'\u2019.][^\W_]+)*|[,()\[\]{}\"\u201c\u201d/&|\u2013\u2014]")
_NAME = re.compile(r"\d{1,3}(?:,\d{3})+|[^\W_]+(?:[-'\u2019.][^\W_]+)*[#+]*")
_ASIDE = re.compile(r"(?<!\d),|,(?!\d)|[;:(){}\[\]\"\u201c\u201d\u2013\u2014]|\s-\s")
_ASKING = re.compile(
    r"\A(?:as an? .{1,60}?\b(?:i|we) (?:want|need|would like|wish)|\w+(?: \w+){0,3}? (?:should|must|can|could|may|will|want|need))"
    r"(?: be able)?(?: to)? ",
    re.IGNORECASE,
)
_GREETING = re.compile(r"\A(?:hi|hello|hey|dear)\b[^,.!:\n]{0,40}[,!:]\s+", re.IGNORECASE)
_PHRASE_ENDS = frozenset("with without that using who whose via including users members people".split())
_CLAUSE_ENDS = frozenset("which where so when while but because if".split())
_MODALS = frozenset("can could may must might shall should will would to".split())
_SUBJECTS = frozenset("i we you they who that".split())
_DETERMINERS = frozenset(
    "a an the this that these those my our your his her its their all each every any several multiple own new other another".split()
)
_AFTER_VERBS = frozenset("a an the our my your their its his her all each every".split())
"""Behind the first word of a phrase, they make it a verb that no list knows: 'upgrade our backend'."""
_PRONOUNS = frozenset({"it", "them"})
_BE = frozenset("is are was were be been being gets get".split())
_JOINS = frozenset({",", "and", "or", "/", "&", "then"})
_OF = frozenset({"of", "over"})
_LINKS = frozenset("to for a an the each every their his her its all".split())
_QUESTIONS = frozenset("who what how whether if".split())
_RELATIVES = frozenset("that which who".split())
_SPELLINGS = {
    "check-out": "checkout",
    "login": "log-in",
    "logout": "log-out",
    "signin": "sign-in",
    "signup": "sign-up",
}
_BEFORE_ING = frozenset("for by when while after before of from".split())


@attrs.frozen
class Action:
    """Something the task wants done."""

    kind: VerbClass
    verb: str
    object: tuple[str, ...]
    """Words of what it is done to, as they stand in the text; may be empty."""
    link: str = ""
    """What stands between the two, such as ``to`` or ``each``."""

    @property
    def phrase(self) -> str:
        """The action in words, such as ``approve each invoice``."""
        return " ".join(filter(None, (self.verb.replace("-", " "), self.link, *self.object)))


@attrs.frozen
class Reading:
    """What was read out of a text."""

    records: tuple[str, ...]
    """What is stored, in the singular, the main one first."""
    actions: tuple[Action, ...]
    """In the order of the text."""
    concerns: tuple[Concern, ...]
    """The strongest first."""


def read(title: str, description: str, tools: Collection[str] = ()) -> Reading:
    """Read a task; its title and the first sentence of the description weigh more.

    Args:
        title: Of the task.
        description: Of the task.
        tools: Words, in lower case, that name technologies and no things of the domain.
    """
    nouns, actions = _Nouns(), list[Action]()
    description = description[:MAX_READ]
    texts = (description,) if title.rstrip("…") in " ".join(description.split()) else (title, description)
    sentences = [tokens for text in texts for s in _SENTENCE_END.split(text) if (tokens := _tokens(s))]
    domain = _domain_words(word for tokens in sentences for word in tokens)
    for index, tokens in enumerate(sentences):
        weight = 8 if index < 2 else 4  # noqa: PLR2004  # those two
        done = _Sentence(tokens, nouns, domain, weight, tools).read()
        for result in {lexicon().results.get(action.verb): None for action in done}:
            nouns.add((result,) if result else (), weight // 2)
        actions += done
    unlike = {(action.verb, *map(singular, action.object[-1:])): action for action in reversed(actions)}
    kept = tuple(reversed(unlike.values()))[:MAX_ACTIONS]
    found = _concerns(word for tokens in sentences for word in tokens)
    return Reading(nouns.best(MAX_RECORDS), kept, found)


@attrs.define
class _Nouns:
    """Collects candidates for records, by the last word of their phrase."""

    weight: Counter[str] = attrs.field(factory=Counter[str])
    spare: Counter[str] = attrs.field(factory=Counter[str])
    """What is no record if there is anything better."""
    modifiers: dict[str, set[str]] = attrs.field(factory=dict[str, "set[str]"])

    def add(self, phrase: tuple[str, ...], weight: int) -> None:
        words = list(phrase)
        if not words:
            return
        while words and is_abstract(words[-1]):
            words.pop()
        if not words:
            verb = verb_forms().get(phrase[-1])
            if verb is not None and verb.kind.name == "account":
                self.add(("user",), weight)
            self.spare[" ".join((*phrase[-2:-1], base_of(phrase[-1])))] += weight
            return
        head = singular(words[-1])
        # What a task speaks of in the plural is what there will be rows of.
        self.weight[head] += 2 * weight if head != words[-1] and words[-1] not in lexicon().people else weight
        self.modifiers.setdefault(head, set()).add(words[-2] if len(words) > 1 else "")

    def best(self, limit: int) -> tuple[str, ...]:
        """Give the weightiest; a head that always stands with the same word before it keeps that word."""
        names: list[str] = []
        for head, weight in self.weight.most_common(limit):
            if 4 * weight < self.weight.most_common(1)[0][1]:
                break
            before = self.modifiers[head]
            kept = next(iter(before)) if len(before) == 1 else ""
            names.append(f"{kept} {head}" if kept and singular(kept) not in self.weight else head)
        return tuple(names) or tuple(name for name, _ in self.spare.most_common(1))


@attrs.define
class _Sentence:
    """One pass over the tokens of one sentence."""

    tokens: list[str]
    nouns: _Nouns
    domain: frozenset[str]
    """Words of software that are words of the domain in this text."""
    weight: int
    tools: Collection[str]
    actions: list[Action] = attrs.field(factory=list[Action])
    pending: list[Verb] = attrs.field(factory=list[Verb])
    """Verbs whose object has not come yet."""
    link: str = ""
    phrase: list[str] = attrs.field(factory=list[str])
    last: tuple[str, ...] = ()
    """The latest phrase that was not a subject: what "it" and "them" stand for."""
    started: bool = False
    asked: bool = False
    """Whether a modal verb or "to" was seen, so that a list may be one of things to do."""

    def read(self) -> list[Action]:
        """Give the actions, and tell the nouns."""
        for index, word in enumerate(self.tokens):
            verb = self._verb_at(index)
            if verb is not None:
                done_to_subject = verb.form == "ed" or self._ends_by_itself(verb, index)
                self._close(subject=not done_to_subject)
                self.pending.append(verb)
                if done_to_subject:
                    self._act((*self.last[:-1], *map(plural, map(singular, self.last[-1:]))))
                elif verb.kind.name == "account":
                    self.nouns.add(("user",), self.weight)
            elif self._names(word) and not self._is_no_noun(index):
                self.phrase.append(word)
            else:
                self._pass(word)
            self.started = self.started or word not in lexicon().stop
        self._close()
        self._act(())
        return self.actions

    def _names(self, word: str) -> bool:
        """Tell whether a word may be part of the name of something in the domain."""
        return (is_content(word) and word not in self.tools) or word in self.domain

    def _pass(self, word: str) -> None:
        """Take a word that belongs to no phrase."""
        self.asked = self.asked or word in _MODALS
        named = self._named_by(self.phrase) if word in _OF else None
        self._close(subject=word in _MODALS - {"to"})
        if named is not None:
            self.pending.append(named)
        if not self.pending or word in _JOINS:
            return
        if word in _OF:
            self.link = ""  # "a list of loans": the article was not theirs
        elif word in _PRONOUNS:
            self._act(self.last)
        elif word in _LINKS:
            self.link = word
        elif word in lexicon().stop and word not in _DETERMINERS:
            self._act(())

    def _close(self, *, subject: bool = False) -> None:
        """End the phrase; it is the object of the verbs that wait for one."""
        if not self.phrase:
            return
        words, self.phrase = tuple(self.phrase[-3:]), []
        subject = subject and not self.pending
        self.nouns.add(words, self.weight // 4 if subject else self.weight)
        if not subject:
            self.last = words
        named = self._named_by(words)
        self._act(words)
        account = verb_forms().get(words[-1])
        if account is not None and account.kind.name == "account" and len(words) == 1:
            self.actions.append(Action(account.kind, account.base, ()))
        if named is not None and len(words) > 1:
            self.actions.append(Action(named.kind, named.base, (*words[-3:-2], plural(words[-2]))))

    def _named_by(self, words: Sequence[str]) -> Verb | None:
        """Give the verb whose doing the phrase names: 'reset' for 'password reset'."""
        return verb_forms().get(lexicon().nominal.get(words[-1], "")) if words else None

    def _act(self, words: tuple[str, ...]) -> None:
        link = self.link if words else ""
        if link in {"a", "an"}:
            link = "an" if words[0][0] in "aeiou" else "a"
        self.actions += [Action(verb.kind, verb.base, words, link) for verb in self.pending]
        self.pending, self.link = [], ""

    def _verb_at(self, index: int) -> Verb | None:
        """Tell whether the word is used as a verb of the domain, by its form and its neighbours."""
        word, before, after = self.tokens[index], self._at(index - 1), self._at(index + 1)
        verb = verb_forms().get(word)
        if (
            verb is None
            or after in _QUESTIONS
            or (word in lexicon().framing and not self.started and after not in _JOINS)
        ):
            return None
        determined = after in _DETERMINERS | _PRONOUNS
        addressed = determined or is_plural(after)
        object_follows = determined or after not in lexicon().stop | lexicon().generic | _JOINS | {""}
        match verb.form:
            case "ed":
                fits = before in _BE or (is_adverb(before) and self._at(index - 2) in _BE)
            case "ing":
                fits = object_follows and (determined or before in _BEFORE_ING)
            case "s":
                follows_subject = before in _RELATIVES or (
                    bool(before) and before not in lexicon().stop | _JOINS
                )
                follows = follows_subject and not self.pending and not is_plural(before)
                alone = after in lexicon().stop - _JOINS - _OF
                fits = follows and (addressed if verb.also_noun else object_follows or alone)
            case "base":
                fits = self._base_fits(verb, index, addressed=addressed)
        return verb if fits else None

    def _ends_by_itself(self, verb: Verb, index: int) -> bool:
        """Tell whether something is said to end, rather than to be ended by somebody: "links expire"."""
        alone = is_plural(self._at(index - 1)) and self._at(index + 1) in lexicon().stop - _DETERMINERS | {""}
        return verb.kind.name == "delete" and (verb.form == "s" or (verb.form == "base" and alone))

    def _base_fits(self, verb: Verb, index: int, *, addressed: bool) -> bool:
        before, after, beyond = self._at(index - 1), self._at(index + 1), self._at(index + 2)
        if before in _MODALS | _SUBJECTS:
            return True
        if before in _DETERMINERS or after in _OF:
            return False
        if before in _JOINS and (self.pending or after in _DETERMINERS | _PRONOUNS):
            return True
        follows_many = is_plural(before)
        if verb.also_noun:
            then_verb = after in _JOINS and beyond in verb_forms()
            doing = follows_many and before in lexicon().people and not after
            listed = self.asked and (addressed or is_plural(beyond))
            return (
                doing
                or (before in _JOINS and (listed or then_verb))
                or ((not self.started or follows_many) and (addressed or then_verb))
            )
        acting = before in lexicon().people and follows_many
        return acting or ((not self.phrase or follows_many) and after not in lexicon().generic)

    def _is_no_noun(self, index: int) -> bool:
        """Tell whether a word that no list knows stands where only a verb can, or after a number."""
        word, before, after = self.tokens[index], self._at(index - 1), self._at(index + 1)
        if before.isdigit() or (before in _BE and word.endswith("ing")):
            return True
        if before in _RELATIVES and word.endswith("s"):
            return True
        # No noun in the plural stands before another one: "skips duplicates".
        if before and is_plural(word) and (is_plural(after) or after in _DETERMINERS):
            return True
        return is_plural(before) and not is_plural(word) and (after in _DETERMINERS or is_plural(after))

    def _at(self, index: int) -> str:
        return self.tokens[index] if 0 <= index < len(self.tokens) else ""


def action_of(verb: str, *words: str) -> Action:
    """Make an action of a known verb."""
    return Action(verb_forms()[verb].kind, verb, words)


def subject_of(title: str, tools: Collection[str] = ()) -> str:
    """Give what a title is about in at most eight words, such as ``invoice tracker for freelancers``.

    Empty if the title has no words.
    """
    text = _ASKING.sub("", title, count=1)
    text = _GREETING.sub("", text.strip(), count=1)
    words = _without_lead(_ASIDE.split(text, maxsplit=1)[0]) or _without_lead(text)
    ends = _CLAUSE_ENDS if is_clause(" ".join(words)) else _CLAUSE_ENDS | _PHRASE_ENDS
    end = next((i for i, word in enumerate(words) if i > 0 and word.casefold() in ends), len(words))
    vague = lexicon().generic | lexicon().adjectives | lexicon().tools
    if all(
        word.casefold() in vague for word in words[:end]
    ):  # "command line tool": only what follows tells which
        end = len(words)
    cut, words = end > MAX_SUBJECT, words[: min(end, MAX_SUBJECT)]
    while words and words[-1].casefold() in lexicon().stop and not _is_phrasal(words[-2:]):
        del words[-1]
    if words and words[0][1:].islower() and words[0].casefold() not in tools:
        words[0] = words[0].lower()
    return " ".join(words) + ("…" if cut else "")


def is_clause(phrase: str) -> bool:
    """Tell whether a phrase says what to do ('upload receipts', 'teachers set tests') rather than what to build."""
    first, second, third = (*phrase.casefold().split(), "", "", "")[:3]
    verb = verb_forms().get(first)
    if _is_phrasal([first, second]) or second in _AFTER_VERBS:
        return True
    if verb is None or verb.form != "base":
        doing = verb_forms().get(second)
        many = is_plural(first) and (is_plural(third) or third in _DETERMINERS or first in lexicon().people)
        return doing is not None and doing.form == "base" and many
    if second in _JOINS:
        return True
    return (
        second in _DETERMINERS or is_plural(second)
        if verb.also_noun
        else second not in lexicon().generic | _OF
    )


def _is_phrasal(words: Sequence[str]) -> bool:
    joined = "-".join(words).casefold()
    return joined in _SPELLINGS or ("-" in joined and joined in verb_forms())


def _without_lead(text: str) -> list[str]:
    """Give the words after 'please build a'."""
    words = [word[:MAX_WORD] for word in _NAME.findall(text)]
    lead = lexicon().stop | lexicon().framing
    start = next((index for index, word in enumerate(words) if word.casefold() not in lead), len(words))
    return words[start:]


def _tokens(sentence: str) -> list[str]:
    """Give the words and marks of a sentence, with phrasal verbs such as "sign in" as one word."""
    tokens: list[str] = []
    for found in _TOKEN.findall(sentence.replace("\u2019", "'")):
        word = found.casefold().removesuffix("'s")[:MAX_WORD]
        phrasal = f"{tokens[-1]}-{word}" if tokens else ""
        if phrasal in _SPELLINGS or phrasal in verb_forms():
            del tokens[-1]
            word = phrasal
        tokens.append(_SPELLINGS.get(word, word))
    return tokens


def _domain_words(words: Iterable[str]) -> frozenset[str]:
    said = frozenset(words)
    return frozenset(word for word, beside in lexicon().domain_beside.items() if beside & said)


def _concerns(words: Iterable[str]) -> tuple[Concern, ...]:
    """Give the concerns that share the most words with the text."""
    said: set[str] = set()
    for word in words:
        verb = verb_forms().get(word)
        said |= {word, singular(word), verb.base if verb else word}
    hits = {concern.name: len(concern.words & said) for concern in concerns()}
    found = [concern for concern in concerns() if hits[concern.name]]
    return tuple(sorted(found, key=lambda concern: -hits[concern.name])[:MAX_CONCERNS])
