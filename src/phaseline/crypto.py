"""Encryption of what users and bodies give, on its way into a storage."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Mapping
from typing import Final

from phaseline.abc import Storage
from phaseline.backends import storage_from
from phaseline.errors import DecryptionError, DefinitionError, MissingExtraError
from phaseline.storage.encoded import EncodedStorage, PayloadCodec

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
except ImportError as _error:
    raise MissingExtraError("phaseline.crypto", "crypto") from _error

__all__ = ["EncryptedCodec", "encrypted"]

MARK: Final = "aes256gcm"
"""What each encrypted text begins with; behind it, between colons, stand the id of the key, and nonce and text in base64."""
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
"""As NIST SP 800-38D recommends for random ones: with one key encrypt no more than 2 to the power of 32 texts."""
_KEY_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,50}")


class EncryptedCodec:
    """Encrypts texts with AES-256-GCM: who changes one has it refused when it is read.

    Each text names the key that it was encrypted with. To rotate, put a new key first, and leave the others as long as there are
    runs that were written with them.
    """

    def __init__(self, keys: Mapping[str, bytes], *, reads_plain: bool = False) -> None:
        """Take the keys.

        Args:
            keys: By ids, which are stored with each text: up to 50 letters, digits, ``_``, ``.`` and ``-``. Each has 32
                bytes; ``secrets.token_bytes(32)`` makes one. The first one encrypts.
            reads_plain: Whether texts that were stored before there was encryption are read as they are. Who can write to
                the tables can put such texts there.

        Raises:
            DefinitionError: There is no key, or one is none.
        """
        if not keys:
            msg = "EncryptedCodec({}) has no key; give {'2030-01': secrets.token_bytes(32)}, and keep it where secrets are kept"
            raise DefinitionError(msg)
        for key_id, key in keys.items():
            if not _KEY_ID.fullmatch(key_id):
                raise DefinitionError(
                    f"{key_id!r} is no id of a key: 1 to 50 letters, digits, '_', '.' and '-'"
                )
            if not isinstance(key, bytes) or len(key) != KEY_BYTES:  # pyright: ignore[reportUnnecessaryIsInstance]  # not everybody runs a type checker
                msg = f"key {key_id!r} is no key: 32 bytes are, as secrets.token_bytes(32) makes them"
                raise DefinitionError(msg)
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._current = next(iter(keys))
        self._reads_plain = reads_plain

    def __repr__(self) -> str:
        return f"EncryptedCodec({', '.join(self._ciphers)})"

    def encode(self, text: str, /) -> str:
        """Encrypt a text with the first key."""
        nonce = os.urandom(NONCE_BYTES)
        head = f"{MARK}:{self._current}:"
        sealed = self._ciphers[self._current].encrypt(nonce, text.encode(), head.encode())
        return head + base64.b64encode(nonce + sealed).decode()

    def decode(self, text: str, /) -> str:
        """Decrypt a text with the key that it names.

        Raises:
            DecryptionError: The key is not there, or is another one; the text was changed, or is not encrypted.
        """
        mark, _, rest = text.partition(":")
        if mark != MARK:
            if self._reads_plain:
                return text
            problem = "it is not encrypted; where it was stored before there was encryption, read it with reads_plain=True"
            raise DecryptionError(None, problem)
        key_id, _, sealed = rest.partition(":")
        if key_id not in self._ciphers:
            known = ", ".join(map(repr, self._ciphers))
            raise DecryptionError(
                key_id, f"the key {key_id!r} is not there (there are {known}); add it behind the others"
            )
        try:
            octets = base64.b64decode(sealed, validate=True)
            nonce, rest_ = octets[:NONCE_BYTES], octets[NONCE_BYTES:]
            return self._ciphers[key_id].decrypt(nonce, rest_, f"{MARK}:{key_id}:".encode()).decode()
        except (InvalidTag, binascii.Error, ValueError) as error:
            problem = f"the key {key_id!r} does not fit, or what is stored was changed; look which key bore this id when it was stored"
            raise DecryptionError(key_id, problem) from error


def encrypted(storage: str | Storage, codec: PayloadCodec) -> EncodedStorage:
    """Give a storage that keeps encrypted what users and bodies give: ``Runtime(encrypted("postgresql://…", codec))``.

    Encrypted are inputs, outputs, results of steps, what bodies saved, signals, inputs of schedules, payloads of an application's own
    events, and the words of errors and progress. What runs are found by and told of is not: names, ids, keys, tags,
    attributes, types of errors, reasons, times and numbers.

    Args:
        storage: A URL, or a storage.
        codec: An ``EncryptedCodec`` with the keys, or another one; all processes need the keys of all runs.

    Raises:
        StorageURLError: The URL names no storage.
    """
    return EncodedStorage(storage_from(storage) if isinstance(storage, str) else storage, codec)
