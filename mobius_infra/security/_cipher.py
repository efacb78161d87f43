"""Encryption that says which key it needs, and what it belongs to.

What `encrypt` returns is `version (1 byte), key id (8), nonce (12), ciphertext and tag (16)`, by
AES-256-GCM (NIST SP 800-38D) with a key derived for that alone. Nonces are random: up to 2^32
values by one key, the chance that two are equal is below 2^-32, as the standard asks; then it is
time for another key. Nothing else is derived for each value, so that it costs what AES-GCM does.
"""

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Never, Protocol, Self, TypedDict

from mobius_infra.core import Backend, MobiusError, require
from mobius_infra.security._keys import Key, crypto, keys_from, keys_from_environment

Reason = Literal["malformed", "unknown key", "not authentic"]

_VERSION = b"\x01"
_HEAD = 9  # version and key id
_NONCE = 12
_TAG = 16
_FERNET = b"gAAAAA"  # its version and the time until 2106, as base64


class _Aead(Protocol):
    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None, /) -> bytes: ...
    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None, /) -> bytes: ...


class DecryptionError(MobiusError):
    """What was to be decrypted can't be. Neither keys nor data are in it.

    Attributes:
        reason: `malformed`: nothing that a cipher made, or by a newer release; `unknown key`: by a
            key that is not given; `not authentic`: changed, or of another context.
        key_id: of the key that it needs, as hexadecimal digits, if it says one.
    """

    def __init__(self, reason: Reason, key_id: str = "") -> None:
        super().__init__(f"decryption failed: {reason}" + (f" {key_id}" if key_id else ""))
        self.reason = reason
        self.key_id = key_id


class CodecOptions(TypedDict):
    """What a `Codec` of `core` takes."""

    encrypt: Callable[[bytes], bytes]
    decrypt: Callable[[bytes], bytes]


class Cipher:
    """Encrypts with the first of its keys, and decrypts with any.

        cipher = Cipher.from_environment()  # ENCRYPTION_KEY
        stored = cipher.encrypt(secret, context="user:7")

    A context is not encrypted nor stored; decryption needs the same one. So a value that is copied
    to another place, such as another user's row, is refused there. Fernet tokens made by one of the
    keys can be read too; they have no context.

    Args:
        keys: the one that writes first, then those that are still read.

    Raises:
        ConfigurationError: for no key.
    """

    __slots__ = ("_ciphers", "_invalid", "_keys", "_prefix", "_write")

    def __init__(self, keys: Sequence[Key]) -> None:
        require(len(keys) > 0, "keys", keys, "one or more")
        self._keys = tuple(keys)
        module = crypto()
        self._invalid: type[Exception] = module.InvalidTag
        self._ciphers: dict[bytes, _Aead] = {
            key.id: module.AESGCM(key.derive("cipher v1")) for key in keys
        }
        self._prefix = _VERSION + keys[0].id
        self._write = self._ciphers[keys[0].id]

    @classmethod
    def from_keys(cls, text: str) -> Self:
        """Make it of keys as text, separated by commas, the one that writes first.

        Raises:
            ConfigurationError: if one of them is none; it is not shown.
        """
        return cls(keys_from(text))

    @classmethod
    def from_environment(cls, name: str = "ENCRYPTION_KEY") -> Self:
        """Make it of the keys in an environment variable; see `from_keys`.

        Raises:
            ConfigurationError: if it is not set, or one of them is none.
        """
        return cls(keys_from_environment(name))

    def encrypt(self, data: bytes, context: str = "") -> bytes:
        """Return `data` encrypted, for the same `context` only."""
        nonce = os.urandom(_NONCE)
        return self._prefix + nonce + self._write.encrypt(nonce, data, context.encode())

    def decrypt(self, token: bytes, context: str = "") -> bytes:
        """Return what was encrypted.

        Raises:
            DecryptionError: saying why not.
        """
        if token[:1] != _VERSION:
            return self._decrypt_fernet(token)
        if len(token) < _HEAD + _NONCE + _TAG:
            raise DecryptionError("malformed")
        key_id = token[1:_HEAD]
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise DecryptionError("unknown key", key_id.hex())
        try:
            nonce = token[_HEAD : _HEAD + _NONCE]
            return cipher.decrypt(nonce, token[_HEAD + _NONCE :], context.encode())
        except self._invalid:
            raise DecryptionError("not authentic", key_id.hex()) from None

    def _decrypt_fernet(self, token: bytes) -> bytes:
        if not token.startswith(_FERNET):
            raise DecryptionError("malformed")
        try:
            urlsafe_b64decode(token)
        except ValueError:
            raise DecryptionError("malformed") from None
        module = crypto()
        for key in self._keys:
            try:
                data: bytes = module.Fernet(urlsafe_b64encode(key.reveal())).decrypt(token)
            except module.InvalidToken:
                continue
            return data
        raise DecryptionError("not authentic")

    def needs_rewrite(self, token: bytes) -> bool:
        """Say whether it was encrypted by another key than the one that writes now."""
        return not token.startswith(self._prefix)

    def rewrite(self, token: bytes, context: str = "") -> bytes:
        """Return it encrypted by the key that writes now.

        Raises:
            DecryptionError: if it can't be read.
        """
        if not self.needs_rewrite(token):
            return token
        return self.encrypt(self.decrypt(token, context), context)

    def for_context(self, context: str) -> CodecOptions:
        """Return the pair of functions that a `Codec` of `core` takes, of one context."""
        return {
            "encrypt": lambda data: self.encrypt(data, context),
            "decrypt": lambda token: self.decrypt(token, context),
        }

    def __reduce__(self) -> Never:
        raise TypeError("a cipher is not pickled: it has keys")

    def __repr__(self) -> str:
        return f"Cipher(writes={self._keys[0].id.hex()}, keys={len(self._keys)})"


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What became of values that were to be encrypted anew.

    Attributes:
        seen: values that there were.
        rewritten: those that were encrypted by an old key, and are by the new one now.
        changed: those that somebody else changed meanwhile; they are by the new key, or next.
        unreadable: those that no key reads; they are left as they are.
    """

    seen: int = 0
    rewritten: int = 0
    changed: int = 0
    unreadable: int = 0


async def rewrite_values(
    backend: Backend,
    keys: AsyncIterable[str],
    cipher: Cipher,
    *,
    context: Callable[[str], str] = lambda key: "",
) -> Rewritten:
    """Encrypt stored values by the key that writes now, one after the other, in the background.

    A value that is changed meanwhile is not overwritten, and keeps the time that it has to live.

    Args:
        backend: where they are.
        keys: which they are.
        cipher: has the old keys and the new.
        context: of a value, by its key.

    Raises:
        BackendError: if the backend failed; what was done is done, and can be begun again.
    """
    seen = rewritten = changed = unreadable = 0
    async for key in keys:
        held = await backend.get_with_ttl(key)
        if held is None:
            continue
        token, ttl = held
        seen += 1
        if not cipher.needs_rewrite(token):
            continue
        try:
            new = cipher.rewrite(token, context(key))
        except DecryptionError:
            unreadable += 1
            continue
        done = await backend.compare_and_set(key, token, new, ttl)
        rewritten += done
        changed += not done
    return Rewritten(seen, rewritten, changed, unreadable)
