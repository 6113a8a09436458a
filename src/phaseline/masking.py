"""Passwords and the like kept out of texts that may end in any log: what they are called, and how they are masked."""

from __future__ import annotations

import re
from typing import Final

SECRETS: Final = (
    "password", "passwd", "passphrase", "pwd", "secret", "token", "api_key", "access_key", "private_key", "credential",
    "credentials",
)  # fmt: skip
"""Names, and ends of names, of what nobody is shown."""

_NAMED = rf"\b(?P<name>\w*(?:{'|'.join(name.replace('_', '_?') for name in SECRETS)})[\"']?)"
_ADDRESS = r"\[[0-9a-f:.%]*\]"
_PORT = r"\d{1,5}(?!\w)"


def _masking(user: str, password: str, value: str) -> re.Pattern[str]:
    url = rf"(?<=://)(?!{_ADDRESS})(?P<user>{user}*):(?:{password})@"
    return re.compile(rf"{url}|{_NAMED}(?P<is>\s*[:=]\s*(?=[\"'])|=)(?:{value})", re.IGNORECASE)


# Of a URL alone all that is before its last "@" is no host, be it well-formed or not. In a text a URL ends with its word, but
# where that has no "@" yet: then a space was in the password, or what looks like one is a port.
_IN_URL: Final = _masking(r"[^:/?#@]", r".*", r"[^&#]*")
_IN_TEXT: Final = _masking(
    r"[^:/?#@\s]", rf"\S*|(?!{_PORT})[^\n@]{{0,200}}(?:@\S*)?", r"""\"[^\"]*\"|'[^']*'|[^&\#\s,;'\")]+"""
)


def without_secrets(text: str) -> str:
    """Mask in a text that others wrote what looks like a password: in URLs, and after ``password=`` and the like."""
    return _IN_TEXT.sub(_masked, text)


def url_without_secrets(url: str) -> str:
    """Mask what stands for a password in a URL, be it well-formed or not."""
    return _IN_URL.sub(_masked, url)


def _masked(found: re.Match[str]) -> str:
    return f"{found['name']}{found['is']}***" if found["name"] else f"{found['user']}:***@"
