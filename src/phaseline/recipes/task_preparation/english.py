"""English words by their forms, with lists instead of a grammar; words are lower case throughout."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import cache
from typing import Literal

import attrs

from phaseline.recipes.task_preparation.lexicon import VerbClass, lexicon

Form = Literal["base", "s", "ing", "ed"]

_ADVERB = re.compile(r"\S{3,}ly\Z")
_PARTICIPLE = re.compile(r"\S{3,}[^e]ed\Z")
_ACTIVITY = re.compile(r"\S{3,}ing\Z")
_PLURAL = re.compile(r"\S{2,}[^sui]s\Z")
_PLURAL_IES = re.compile(r"\S{2,}ies\Z")
_PLURAL_ES = re.compile(r"\S*(?:ss|sh|ch|x|zz|[^ao]us)es\Z")
_SOUNDS_LIKE_A_VOWEL = re.compile(
    r"[aeio8]|u(?!ni[^nm]|s[aeiu]|tili|rl|i\Z)|h(?:our|onest|onou?r|eir)|(?:[fhlmnrsx][^aeiouy]{2,}|[fhlmnrsx])\Z|(?:html|http|sms|sql|xml|xls|mp3|rss|sdk|ssh|ssl|svg|mfa|llm|ftp|nfc|lcd|led)\b",
    re.IGNORECASE,
)
_SOUNDS_LIKE_A_CONSONANT = re.compile(r"one\b|once\b|eu|ewe", re.IGNORECASE)
_DOUBLED = re.compile(r"([bdgmnprt])\1\Z")
_NO_ADVERBS = frozenset("family reply supply assembly anomaly monopoly italy".split())


@attrs.frozen
class Verb:
    """A form of a verb of the lexicon."""

    kind: VerbClass
    base: str
    form: Form

    @property
    def also_noun(self) -> bool:
        """Whether only its place in a sentence tells it from a noun."""
        return self.base in self.kind.also_nouns


def singular(word: str) -> str:
    """Give the singular of a noun."""
    lex = lexicon()
    if word in lex.irregular:
        return lex.irregular[word]
    if word in lex.uncountable or word in lex.irregular.values() or not _PLURAL.match(word):
        return word
    if _PLURAL_IES.match(word):
        return word[:-3] + "y"
    return word[:-2] if _PLURAL_ES.match(word) else word[:-1]


def plural(noun: str) -> str:
    """Give the plural of a noun, of its last word if there are several."""
    lex = lexicon()
    head = noun.rpartition(" ")[2]
    if singular(head) != head:
        return noun  # it is one already
    for many, one in lex.irregular.items():
        if one == head:
            return noun.removesuffix(head) + many
    if head in lex.uncountable:
        return noun
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "z", "ch", "sh")) else "s")


def indefinite(noun: str) -> str:
    """Put "a" or "an" before a noun."""
    first = noun.partition(" ")[0]
    vowel = bool(_SOUNDS_LIKE_A_VOWEL.match(first)) and not _SOUNDS_LIKE_A_CONSONANT.match(first)
    return f"{'an' if vowel else 'a'} {noun}"


def is_english(words: Collection[str]) -> bool:
    """Tell whether more of these words are known from English than from another language."""
    lex = lexicon()
    known = lex.stop | lex.framing | lex.generic | lex.people | verb_forms().keys()
    return sum(word in known for word in words) > sum(word in lex.foreign - lex.stop for word in words)


def is_content(word: str) -> bool:
    """Tell whether a word may be part of the name of something in the domain."""
    return (
        len(word) > 1
        and not word[0].isdigit()
        and word not in _no_content()
        and singular(word) not in lexicon().verbs_only
        and not is_adverb(word)
        and not _is_participle(word)
    )


def is_plural(word: str) -> bool:
    """Tell whether a word is a noun of the domain in the plural."""
    return word in lexicon().irregular or (singular(word) != word and is_content(word))


def is_adverb(word: str) -> bool:
    """Tell whether a word is an adverb in -ly."""
    return bool(_ADVERB.match(word)) and word not in _NO_ADVERBS


def is_activity(word: str) -> bool:
    """Tell whether a word names a doing rather than a thing: 'tracking', but not 'booking'."""
    return bool(_ACTIVITY.match(word)) and word not in lexicon().nouns_in_ing


def is_abstract(word: str) -> bool:
    """Tell whether a noun names no thing to be stored."""
    return word in lexicon().abstract or singular(word) in lexicon().abstract or is_activity(word)


def base_of(word: str) -> str:
    """Give the verb of a word in -ing, such as ``limit`` for ``limiting``; other words as they are."""
    verb = verb_forms().get(word)
    if not is_activity(word):
        return word
    stem = word.removesuffix("ing")
    if verb is not None:
        return verb.base
    return stem[:-1] if _DOUBLED.search(stem) else stem


def _is_participle(word: str) -> bool:
    verb = verb_forms().get(word)
    return verb.form == "ed" if verb is not None else bool(_PARTICIPLE.match(word))


@cache
def _no_content() -> frozenset[str]:
    lex = lexicon()
    return lex.stop | lex.generic | lex.adjectives | lex.framing | lex.tools


@cache
def verb_forms() -> Mapping[str, Verb]:
    """Give all forms of the verbs of the lexicon."""
    lex = lexicon()
    forms: dict[str, Verb] = {}
    for kind in lex.verbs:
        for base in sorted(kind.words | kind.also_nouns):
            for form, spellings in _inflect(base).items():
                for spelling in spellings:
                    forms.setdefault(spelling, Verb(kind, base, form))
    bases = {verb.base: verb for verb in forms.values()}
    irregular = {word: attrs.evolve(bases[base], form="ed") for word, base in lex.participles.items()}
    return forms | irregular


def _inflect(base: str) -> Mapping[Form, tuple[str, ...]]:
    """Give the spellings of each form; the doubled consonant is given even where English has none."""
    if "-" in base:
        return {"base": (base,)}
    stem = base if base.endswith("ee") else base.removesuffix("e")
    doubled = base + base[-1]
    third = plural(base)
    past = base[:-1] + "ied" if third.endswith("ies") else base.removesuffix("e") + "ed"
    return {
        "base": (base,),
        "s": (third,),
        "ing": (stem + "ing", doubled + "ing"),
        "ed": (past, doubled + "ed"),
    }
