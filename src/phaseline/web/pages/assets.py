"""The files of the console: read once, packed once, and named by what is in them."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

import attrs
from starlette.requests import Request
from starlette.responses import Response

PAGE: Final = "index.html"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
"""What browsers let the page do: use what lies beside it. No script stands in the page, and none is made of a text."""
HEADERS: Final[Mapping[str, str]] = {
    "cache-control": "no-cache",  # kept, and asked for each time whether it is still the same
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "vary": "accept-encoding",
    "x-content-type-options": "nosniff",
}
TYPES: Final[Mapping[str, str]] = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
}
"""By the end of the name; whatever the machine's own tables say."""

_COMMENT: Final = re.compile(r"^[ \t]*(?://.*|/\*(?:[^*]|\*(?!/))*\*/[ \t]*)\n", re.MULTILINE)
"""What stands on lines of its own, and is for who reads the source."""
_INDENT: Final = re.compile(r"^[ \t]+", re.MULTILINE)


@attrs.frozen
class Asset:
    """One file."""

    body: bytes
    packed: bytes
    """The same, packed by gzip."""
    media_type: str
    etag: str

    @classmethod
    def of(cls, name: str, body: bytes) -> Asset:
        """Make one of a file."""
        kind = (
            TYPES.get(name.rpartition(".")[2]) or mimetypes.guess_type(name)[0] or "text/plain; charset=utf-8"
        )
        return cls(body, gzip.compress(body, mtime=0), kind, f'"{hashlib.sha256(body).hexdigest()[:32]}"')

    def answer(self, request: Request) -> Response:
        """Answer a request for it; one who has it already is told so."""
        headers = {**HEADERS, "etag": self.etag}
        if self.etag in request.headers.get("if-none-match", "").replace("W/", ""):
            return Response(status_code=304, headers=headers)
        packs = "gzip" in request.headers.get("accept-encoding", "")
        if packs:
            headers["content-encoding"] = "gzip"
        return Response(self.packed if packs else self.body, headers=headers, media_type=self.media_type)


def read_assets() -> Mapping[str, Asset]:
    """Read all of them, by their paths below the mount."""
    found = files("phaseline.web.pages") / "static"
    return {name: Asset.of(name, _as_sent(name, file.read_bytes())) for name, file in _walk(found, "")}


def _as_sent(name: str, body: bytes) -> bytes:
    """Leave out of our own scripts and styles what is for readers: an eighth of what is sent. Of what others wrote nothing."""
    if name.startswith("vendor/") or not name.endswith((".js", ".css")):
        return body
    return _INDENT.sub("", _COMMENT.sub("", body.decode())).encode()


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for each in folder.iterdir():
        if each.is_dir():
            yield from _walk(each, f"{prefix}{each.name}/")
        else:
            yield f"{prefix}{each.name}", each
