"""`Email`: addresses that people have (RFC 5321, without what nobody uses)."""

import re
from dataclasses import dataclass

from mobius_infra.security._hosts import ascii_host
from mobius_infra.security._invalid import Check, InvalidInputError, fits_size

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]++"
_LOCAL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Email(Check):
    """An e-mail address: `name@domain`, returned with the domain in lower case and ASCII.

    At most 64 characters before the sign and 254 in all. Quoted names, comments and addresses of
    machines are refused. Nothing is asked of DNS: whether anybody reads it, only a letter tells.
    """

    def _check(self, value: str) -> str:
        fits_size(value, 254, 254)
        local, sign, domain = value.rpartition("@")
        if not sign:
            raise InvalidInputError("syntax", "without @", "an e-mail address")
        if len(local) > 64 or _LOCAL.fullmatch(local) is None:
            raise InvalidInputError(
                "local", "another name before @", "of letters, digits and signs, 64 at most"
            )
        host = ascii_host(domain)
        top = host.rpartition(".")[2]
        if "." not in host or "_" in host or domain.endswith(".") or top.isdigit() or len(top) < 2:
            raise InvalidInputError("host", "another domain after @", "a name of DNS with a dot")
        if len(local) + 1 + len(host) > 254:
            raise InvalidInputError("length", "a longer domain in ASCII", "of 254 characters")
        return f"{local}@{host}"
