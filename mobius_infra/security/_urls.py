"""`WebUrl`: links that a server may fetch without being turned against its own network."""

import re
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple
from urllib.parse import quote

from mobius_infra.core import require
from mobius_infra.security._addresses import Address, is_public, read_address
from mobius_infra.security._detect import Sink
from mobius_infra.security._hosts import ascii_host, is_internal
from mobius_infra.security._invalid import Check, InvalidInputError, codepoint, fits_size, freeze
from mobius_infra.security._text import require_size

# RFC 3986, appendix B, for what has an authority. No reader strips anything from these.
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*+)://([^/?#]*+)([^?#]*+)(\?[^#]*+)?(#.*+)?")
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[^:\[\]%]+)(?::(\d{0,5}))?", re.ASCII)
# What browsers, urllib and others silently drop, or take for a slash.
TRAPS = re.compile(r"[\0- \x7f-\xa0\\\xad\u200b-\u200f\u2028-\u202f\u2060-\u206f\u3000\ufeff]")
_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
# RFC 3986: what may stand in a path and a query as it is; a percent sign is one already written.
_KEPT = "/?#[]@!$&'()*+,;=:%-._~"


class Url(NamedTuple):
    """A link that passed, in its parts."""

    scheme: str
    host: str
    port: int
    address: Address | None
    rest: str
    fragment: str

    @property
    def authority(self) -> str:
        """The host, with the port if it is not the scheme's own: what the header `Host` says."""
        return _authority(self.scheme, self.host, self.port)

    def at(self, host: str) -> str:
        """Return the link with another host, without the fragment."""
        return f"{self.scheme}://{_authority(self.scheme, host, self.port)}{self.rest}"

    def __str__(self) -> str:
        return self.at(self.host) + self.fragment


@dataclass(frozen=True, slots=True, kw_only=True)
class WebUrl(Check):
    """A link whose host is public, by its name or address; returned as it was understood.

    Where a name leads is known only when it is resolved: `UrlGuard` does so.

    Args:
        schemes: what may stand before the colon.
        ports: those that may be connected to; None for any.
        hosts: the only ones to be let through, if given: `api.example`, or `.cdn.example` for all
            below it.
        longest: characters.

    Raises:
        ConfigurationError: for a scheme, a port or a host that can't be.
    """

    sink: ClassVar[Sink] = "url"

    schemes: AbstractSet[str] = frozenset({"http", "https"})
    ports: AbstractSet[int] | None = frozenset({80, 443})
    hosts: AbstractSet[str] | None = None
    longest: int = 2048
    _hosts: tuple[str, ...] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("schemes", "ports", "hosts"):
            freeze(self, name)
        known = bool(self.schemes) and self.schemes <= _DEFAULT_PORTS.keys()
        require(known, "schemes", self.schemes, f"a set of {', '.join(_DEFAULT_PORTS)}")
        for port in self.ports or ():
            require(type(port) is int and 0 < port < 65536, "ports", port, "from 1 to 65535")
        require_size("longest", self.longest, 1)
        hosts = None if self.hosts is None else tuple(_allowed(each) for each in self.hosts)
        object.__setattr__(self, "_hosts", hosts)

    def _check(self, value: str) -> str:
        return str(self.parse(value))

    def parse(self, value: str) -> Url:
        """Return the link in its parts.

        Raises:
            InvalidInputError: if it is not one that may be fetched.
        """
        fits_size(value, self.longest, None)
        if trap := TRAPS.search(value):
            allowed = "without spaces, backslashes, control and invisible characters"
            raise InvalidInputError("syntax", codepoint(value, trap.start()), allowed)
        match = _URL.fullmatch(value)
        if match is None:
            raise InvalidInputError("syntax", "no link", "a link with a scheme and a host")
        scheme, authority, path, query, fragment = match.groups("")
        scheme = scheme.lower()
        if scheme not in self.schemes:
            allowed = f"of the schemes {', '.join(sorted(self.schemes))}"
            raise InvalidInputError("scheme", "of another scheme", allowed)
        host, port = _split(authority)
        name, address = self._public(host)
        number = int(port) if port else _DEFAULT_PORTS[scheme]
        if not 0 < number < 65536 or (self.ports is not None and number not in self.ports):
            raise InvalidInputError("port", "another port", self._ports_allowed())
        rest = quote(path or "/", safe=_KEPT) + quote(query, safe=_KEPT)
        return Url(scheme, name, number, address, rest, quote(fragment, safe=_KEPT))

    def _public(self, host: str) -> tuple[str, Address | None]:
        """Return the name in ASCII, or the address as it is usually written, and the address."""
        bare = host[1:-1] if host.startswith("[") else ascii_host(host)
        try:
            address = read_address(bare)
        except ValueError:
            saw = "an address in an odd notation"
            raise InvalidInputError(
                "address", saw, "written as 192.0.2.1 or [2001:db8::1]"
            ) from None
        name = bare if address is None else str(address)
        if self._hosts is not None and not any(_is_one(name, each) for each in self._hosts):
            raise InvalidInputError("host", "another host", "one of the allowed hosts")
        if address is not None and not is_public(address):
            raise InvalidInputError("address", "an address that is not public", "public")
        if address is None and is_internal(name):
            raise InvalidInputError("host", "a name of internal networks", "a public name")
        return name, address

    def _ports_allowed(self) -> str:
        if self.ports is None:
            return "a port from 1 to 65535"
        return f"one of the ports {', '.join(str(each) for each in sorted(self.ports))}"


def _split(authority: str) -> tuple[str, str]:
    if "@" in authority:
        raise InvalidInputError("credentials", "a user name in it", "without user and password")
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise InvalidInputError("host", "no host", "a name, or an address in brackets")
    host, port = match.groups("")
    if host.startswith("[") and ":" not in host:
        raise InvalidInputError("host", "a name in brackets", "a name, or an address in brackets")
    return host, port


def _authority(scheme: str, host: str, port: int) -> str:
    written = f"[{host}]" if ":" in host else host
    return written if port == _DEFAULT_PORTS[scheme] else f"{written}:{port}"


def _allowed(host: str) -> str:
    name = ascii_host(host.removeprefix("."))
    return f".{name}" if host.startswith(".") else name


def _is_one(name: str, allowed: str) -> bool:
    return name.endswith(allowed) if allowed.startswith(".") else name == allowed
