"""What of the documentation is written by the code; ``python -m docs.tools`` writes it anew."""

from __future__ import annotations

from docs.tools import picture, schema

GENERATED = {picture.PICTURE: picture.draw, schema.PAGE: schema.page}
"""Each file, and what gives its text."""
