"""The one module that imports cryptography and argon2 for keys and ciphers."""

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

__all__ = [
    "AESGCM",
    "Ed25519PrivateKey",
    "Ed25519PublicKey",
    "Fernet",
    "InvalidHashError",
    "InvalidSignature",
    "InvalidTag",
    "InvalidToken",
    "VerificationError",
    "VerifyMismatchError",
    "argon2id",
    "ed25519_verifies",
    "hkdf",
    "password_hasher",
]


def hkdf(key: bytes, purpose: bytes, length: int = 32) -> bytes:
    """Derive a key for one purpose from a key (RFC 5869). Not from a password."""
    return HKDF(SHA256(), length, salt=None, info=purpose).derive(key)


def argon2id(passphrase: bytes, salt: bytes) -> bytes:
    """Derive 32 bytes from a passphrase (RFC 9106, its second recommended option)."""
    return hash_secret_raw(
        passphrase, salt, time_cost=3, memory_cost=65_536, parallelism=4, hash_len=32, type=Type.ID
    )


def password_hasher(time_cost: int, memory_cost: int, parallelism: int) -> PasswordHasher:
    """Return what hashes passwords by argon2id, with salts of its own."""
    return PasswordHasher(time_cost, memory_cost, parallelism, type=Type.ID)


def ed25519_verifies(key: bytes, signature: bytes, signed: bytes) -> bool:
    """Say whether a signature is that of the holder of a key (RFC 8032)."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, signed)
    except (InvalidSignature, ValueError):  # ValueError: by a version of its own, for the length
        return False
    return True
