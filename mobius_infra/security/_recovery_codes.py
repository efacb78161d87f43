"""Recovery codes: for who lost the authenticator. Each is good once."""

import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import Final

# Crockford's base32: what is easily taken for another is read as that other.
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_READ_AS: Final = str.maketrans("oil", "011", "- ")
_CHARACTERS: Final = 16  # 80 bits: too many to be tried, so a plain digest of it is enough


def new_codes(count: int, draw: Callable[[int], int] = secrets.randbelow) -> list[str]:
    """Return new codes, such as `7h3k-0vqa-...`."""
    return ["-".join(_four(draw) for _ in range(_CHARACTERS // 4)) for _ in range(count)]


def _four(draw: Callable[[int], int]) -> str:
    return "".join(_ALPHABET[draw(len(_ALPHABET))] for _ in range(4))


def digest_of(code: str, user: str) -> str | None:
    """Return what is kept of a user's code, however it was typed; None for what can't be one."""
    typed = code.strip().lower().translate(_READ_AS)
    if len(typed) != _CHARACTERS or not set(typed) <= set(_ALPHABET):
        return None
    return sha256(f"{typed}:{user}".encode("utf-8", "surrogatepass")).hexdigest()
