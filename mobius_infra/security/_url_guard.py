"""`UrlGuard`: a link checked again where its name leads, and where each redirect leads."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urljoin

from mobius_infra.core import require
from mobius_infra.security._addresses import is_public
from mobius_infra.security._invalid import InvalidInputError, fits_size
from mobius_infra.security._urls import TRAPS, Url, WebUrl

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Takes a host and a port, and returns addresses."""


@dataclass(frozen=True, slots=True)
class Target:
    """What to connect to.

    Attributes:
        url: the link, in ASCII.
        host: the name for TLS (SNI and certificate), or the address if the link has one.
        port: to connect to.
        authority: for the header `Host`.
        addresses: to which `host` leads, all of them public. Connect to one of these: asked again,
            the name may lead elsewhere.
        pinned: the link with the first address in place of the name.
        redirects: how many led here.
    """

    url: str
    host: str
    port: int
    authority: str
    addresses: tuple[str, ...]
    pinned: str
    redirects: int = 0


async def ask_the_system(host: str, port: int) -> Sequence[str]:
    """Resolve a name as the system does, in a thread of the event loop's."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class UrlGuard:
    """Checks where links lead before anybody connects.

    Args:
        allowed: what the links may be.
        resolve: asks for a host's addresses; the system, by default.
        redirects: how many may be followed.
    """

    __slots__ = ("_allowed", "_redirects", "_resolve")

    def __init__(
        self,
        allowed: WebUrl | None = None,
        *,
        resolve: Resolve = ask_the_system,
        redirects: int = 5,
    ) -> None:
        good = type(redirects) is int and redirects >= 0
        require(good, "redirects", redirects, "a whole number, 0 or more")
        self._allowed = WebUrl() if allowed is None else allowed
        self._resolve = resolve
        self._redirects = redirects

    async def open(self, url: str) -> Target:
        """Return what to connect to for a link.

        Raises:
            InvalidInputError: if it may not be fetched, or does not resolve.
        """
        return await self._lead(self._allowed.parse(url), 0)

    async def follow(self, target: Target, location: str) -> Target:
        """Return what to connect to for a redirect that `target` answered with.

        Args:
            target: what answered.
            location: the header `Location`, relative or not.

        Raises:
            InvalidInputError: as `open` does; and for a redirect too many, and one from https to
                http.
        """
        if target.redirects >= self._redirects:
            raise InvalidInputError(
                "redirect", "a redirect too many", f"at most {self._redirects} redirects away"
            )
        fits_size(location, self._allowed.longest, None)
        # Checked before joining: `urljoin` drops some of these.
        if TRAPS.search(location):
            raise InvalidInputError("syntax", "no link", "a link")
        try:
            joined = urljoin(target.url, location)
        except ValueError:
            raise InvalidInputError("syntax", "no link", "a link") from None
        url = self._allowed.parse(joined)
        if target.url.startswith("https:") and url.scheme != "https":
            raise InvalidInputError("redirect", "a redirect to what is not encrypted", "https")
        return await self._lead(url, target.redirects + 1)

    async def _lead(self, url: Url, redirects: int) -> Target:
        addresses = (str(url.address),) if url.address else await self._resolved(url)
        return Target(
            str(url), url.host, url.port, url.authority, addresses, url.at(addresses[0]), redirects
        )

    async def _resolved(self, url: Url) -> tuple[str, ...]:
        try:
            found = tuple(dict.fromkeys(await self._resolve(url.host, url.port)))
        except OSError:
            found = ()
        if not found:
            raise InvalidInputError(
                "unresolved", "a name without addresses", "a name that resolves"
            )
        for each in found:
            if not _is_public(each):
                # One is enough: which of them is connected to is chance.
                raise InvalidInputError("address", "a name of an address not public", "public")
        return found

    def __repr__(self) -> str:
        return f"UrlGuard({self._allowed!r}, redirects={self._redirects})"


def _is_public(address: str) -> bool:
    try:
        return is_public(ip_address(address))
    except ValueError:
        return False
