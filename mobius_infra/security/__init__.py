"""Secrets kept, and what may be secret found."""

from mobius_infra.security._cipher import Cipher, DecryptionError, Rewritten, rewrite_values
from mobius_infra.security._keys import Key
from mobius_infra.security._subjects import SubjectErasedError, SubjectKeys

__all__ = [
    "Cipher",
    "DecryptionError",
    "Key",
    "Rewritten",
    "SubjectErasedError",
    "SubjectKeys",
    "rewrite_values",
]
