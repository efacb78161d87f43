"""Names of hosts: well formed, in ASCII, and not those of internal networks."""

import re
import unicodedata

from mobius_infra.core import import_extra
from mobius_infra.security._invalid import InvalidInputError

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}", re.ASCII)
# RFC 6761, 6762, 7686, 8375, 9476; ICANN's `internal`; and what offices and clouds use.
_INTERNAL = frozenset(
    """alt arpa cluster corp domain home internal intranet invalid lan local
    localdomain localhost onion private test workgroup""".split()  # noqa: SIM905
)


def ascii_host(host: str) -> str:
    """Return a host's name in lower case and ASCII, without a dot at its end.

    Raises:
        InvalidInputError: if it is no name.
    """
    if not host.isascii():
        host = _from_unicode(host)
    name = host.lower().removesuffix(".")
    if len(name) > 253 or _NAME.fullmatch(name) is None:
        raise InvalidInputError("host", "a host that is no name", "a name of DNS")
    return name


def is_internal(name: str) -> bool:
    """Say whether a name is one that only an internal network resolves."""
    return "." not in name or name.rpartition(".")[2] in _INTERNAL


def _from_unicode(host: str) -> str:
    if len(host) > 253:
        raise InvalidInputError("host", f"a host of {len(host)} characters", "of 253 at most")
    folded = unicodedata.normalize("NFKC", host)
    if folded.isascii():
        return folded  # full-width letters and the like: read as what they are
    module = import_extra(
        "mobius_infra.security._idna", feature="a host in other letters", extra="security"
    )
    try:
        encoded: str = module.to_ascii(host)
    except ValueError:
        raise InvalidInputError("host", "a host that is no name", "a name of DNS") from None
    return encoded
