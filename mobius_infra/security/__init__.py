"""Secrets kept, and what may be secret found."""

from mobius_infra.security._cipher import Cipher, DecryptionError, Rewritten, rewrite_values
from mobius_infra.security._keys import Key
from mobius_infra.security._pii import Found, find_personal
from mobius_infra.security._redact import RedactingFilter, Redactor
from mobius_infra.security._subjects import SubjectErasedError, SubjectKeys

__all__ = [
    "Cipher",
    "DecryptionError",
    "Found",
    "Key",
    "RedactingFilter",
    "Redactor",
    "Rewritten",
    "SubjectErasedError",
    "SubjectKeys",
    "find_personal",
    "rewrite_values",
]
