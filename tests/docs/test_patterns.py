"""The table of patterns: a short snippet for each, which ``test_snippets`` runs."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "patterns.md").read_text("utf-8")
LONGEST = 15


def test_each_pattern_has_a_short_snippet():
    """Every link of the table leads to a section with code, every section is in the table, and no code is long."""
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
    anchors = {re.sub(r"[^a-z0-9]+", "-", title.lower()): text for title, text in sections.items()}
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) == set(anchors)
    assert [] == [anchor for anchor, text in anchors.items() if "assert" not in text]
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    lengths = [sum(bool(line.strip()) for line in block.splitlines()) for block in blocks]
    assert max(lengths) <= LONGEST, lengths
