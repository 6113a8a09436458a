"""Writes anew what of the documentation is written by the code."""

from __future__ import annotations

from docs.tools import GENERATED

for path, text in GENERATED.items():
    path.write_text(text(), encoding="utf-8")
    print(path)
