"""Texts are encrypted by the current key and decrypted by the one that they name; whatever else is stored is refused."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phaseline.crypto import EncryptedCodec
from phaseline.errors import DecryptionError, DefinitionError

OLD, NEW = secrets.token_bytes(32), secrets.token_bytes(32)
CODEC = EncryptedCodec({"2030": NEW, "2029": OLD})


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_encrypted_reads_back(text: str) -> None:
    """And looks different each time."""
    one, other = CODEC.encode(text), CODEC.encode(text)
    assert one != other
    assert text == CODEC.decode(one) == CODEC.decode(other)


def test_keys_are_rotated() -> None:
    """The first one encrypts; what the others encrypted is read as long as they are there."""
    written = EncryptedCodec({"2029": OLD}).encode("secret")
    assert CODEC.encode("").startswith("aes256gcm:2030:")
    assert CODEC.decode(written) == "secret"
    with pytest.raises(DecryptionError, match=r"the key '2029' is not there \(there are '2030'\)") as caught:
        EncryptedCodec({"2030": NEW}).decode(written)
    assert caught.value.key_id == "2029"
    with pytest.raises(DecryptionError, match="does not fit"):
        EncryptedCodec({"2029": NEW}).decode(written)


@pytest.mark.parametrize("at", [20, -1])
def test_what_was_changed_is_refused(at: int) -> None:
    """In the nonce as in the text; and so is what is passed off as written with another key."""
    octets = [*CODEC.encode("secret")]
    octets[at] = "A" if octets[at] != "A" else "B"
    with pytest.raises(DecryptionError, match="what is stored was changed"):
        CODEC.decode("".join(octets))
    with pytest.raises(DecryptionError):
        EncryptedCodec({"2031": NEW}).decode(CODEC.encode("secret").replace("2030", "2031"))


@pytest.mark.parametrize(
    "text", ["", '"plain"', "aes256gcm", "aes256gcm:2030:", "aes256gcm:2030:?", "aes256gcm:2030:QUJD"]
)
def test_what_is_not_encrypted_is_refused(text: str) -> None:
    """But for what was stored before there was encryption, where somebody says so."""
    with pytest.raises(DecryptionError):
        CODEC.decode(text)
    lenient = EncryptedCodec({"2030": NEW}, reads_plain=True)
    if not text.startswith("aes256gcm"):
        assert lenient.decode(text) == text


@pytest.mark.parametrize("keys", [{}, {"a:b": NEW}, {"": NEW}, {"a": NEW[:16]}, {"a": "text" * 8}])
def test_keys_that_are_none(keys: dict[str, Any]) -> None:
    """They are refused where the codec is made, and never shown."""
    with pytest.raises(DefinitionError) as caught:
        EncryptedCodec(keys)
    assert NEW.hex() not in str(caught.value)
    assert "b'" not in repr(CODEC)
