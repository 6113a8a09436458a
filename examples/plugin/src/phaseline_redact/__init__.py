"""A phase that blacks out words."""

from __future__ import annotations

import re
from collections.abc import Iterable

from phaseline import Context, Phase


class Redact(Phase[str, str]):
    """Blacks out words, wherever they stand by themselves, in whatever case."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = re.compile(rf"\b(?:{'|'.join(map(re.escape, words))})\b", re.IGNORECASE)

    async def run(self, text: str, ctx: Context) -> str:  # noqa: ARG002  # a phase may ignore its context
        return self._words.sub(lambda found: "█" * len(found[0]), text)
