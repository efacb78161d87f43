"""Secret keys: read from the environment, and never shown."""

import binascii
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Any, Never, Self

from mobius_infra.core import ConfigurationError, import_extra

_BYTES = 32
_ID_BYTES = 8
_SHORTEST_SALT = 16
_SHORTEST_PASSPHRASE = 12
_FEWEST_VALUES = 12  # of 32 random bytes, fewer are different once in 10^20 keys


# Any: a module of ours that may not be importable; its functions are typed.
def crypto() -> Any:
    """Return what encrypts.

    Raises:
        MissingExtraError: if the extra `security` is not installed.
    """
    return import_extra("mobius_infra.security._crypto", feature="encryption", extra="security")


class Key:
    """A secret of 32 random bytes. Neither text nor `repr` shows it, and it is not pickled.

    Attributes:
        id: 8 bytes derived from it by which what it encrypted is known; not secret.
    """

    __slots__ = ("_secret", "id")

    def __init__(self, secret: bytes) -> None:
        _require(len(secret) == _BYTES, f"{_BYTES} bytes")
        # A password, or a constant that was put there until the real one comes, is no key.
        _require(len(set(secret)) >= _FEWEST_VALUES, "random bytes, as `Key.generate()` makes them")
        self._secret = secret
        self.id: bytes = crypto().hkdf(secret, b"mobius_infra key id v1", _ID_BYTES)

    @classmethod
    def generate(cls) -> str:
        """Return a new key as text, for the environment; a Fernet key looks the same."""
        return urlsafe_b64encode(os.urandom(_BYTES)).decode()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a key from text.

        Raises:
            ConfigurationError: unless it is base64url of 32 random bytes; the text is not shown.
        """
        try:
            secret = urlsafe_b64decode(text.strip().encode("ascii"))
        except (binascii.Error, ValueError):
            _refuse("base64url of 32 bytes, as `Key.generate()` makes it")
        return cls(secret)

    @classmethod
    def from_passphrase(cls, passphrase: str, salt: bytes) -> Self:
        """Derive a key from what a person can remember, by argon2id: 64 MB, and some time.

        Args:
            passphrase: 12 characters or more.
            salt: 16 random bytes or more, kept beside what is encrypted; not secret.

        Raises:
            ConfigurationError: if one of them is too short.
        """
        _require(len(passphrase) >= _SHORTEST_PASSPHRASE, "12 characters or more")
        _require(len(salt) >= _SHORTEST_SALT, "given with a salt of 16 bytes or more")
        return cls(crypto().argon2id(passphrase.encode(), salt))

    def derive(self, purpose: str) -> bytes:
        """Return 32 bytes for one purpose, from which neither this nor another can be found."""
        derived: bytes = crypto().hkdf(self._secret, b"mobius_infra " + purpose.encode())
        return derived

    def reveal(self) -> bytes:
        """Return the secret itself: for Fernet, and for keeping it elsewhere."""
        return self._secret

    def __reduce__(self) -> Never:
        raise TypeError("a key is not pickled: that would write it where nobody looks for it")

    def __repr__(self) -> str:
        return f"Key(id={self.id.hex()})"


def keys_from(text: str) -> list[Key]:
    """Read keys separated by commas; the first is the one that writes.

    Raises:
        ConfigurationError: naming which of them is none; none is shown.
    """
    found: list[Key] = []
    for number, part in enumerate(text.split(","), 1):
        try:
            key = Key.parse(part)
        except ConfigurationError as error:
            # Neither the text nor the cause, which has it.
            raise ConfigurationError(f"encryption key {number}", _HIDDEN, error.allowed) from None
        if any(key.id == other.id for other in found):
            raise ConfigurationError(f"encryption key {number}", _HIDDEN, "there only once")
        found.append(key)
    return found


def keys_from_environment(
    name: str = "ENCRYPTION_KEY", environ: Mapping[str, str] | None = None
) -> list[Key]:
    """Read keys from an environment variable; see `keys_from`.

    Raises:
        ConfigurationError: if there is none, or one of them is none.
    """
    text = (os.environ if environ is None else environ).get(name, "")
    if not text.strip():
        raise ConfigurationError(name, "", "set; `Key.generate()` makes one")
    return keys_from(text)


class _Hidden:
    def __repr__(self) -> str:
        return "***"


_HIDDEN = _Hidden()


def _require(condition: bool, allowed: str) -> None:
    if not condition:
        _refuse(allowed)


def _refuse(allowed: str) -> Never:
    raise ConfigurationError("encryption key", _HIDDEN, allowed) from None
