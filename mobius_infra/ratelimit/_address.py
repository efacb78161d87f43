"""Keys from the addresses of clients.

An IPv4 address is a key by itself. An IPv6 customer has at least a /64 (RFC 6177), so all of its
addresses are one key; and an IPv4 client who comes by way of IPv6, mapped (RFC 4291, 2.5.5.2) or
through NAT64 (RFC 6052), is the IPv4 client all the same.

`X-Forwarded-For` is believed from the right, only as far as trusted proxies wrote it: what stands
to the left of the first address that is not one of theirs, anybody may have made up.
"""

from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_network,
)
from typing import Final

from mobius_infra.core import ConfigurationError, read_address
from mobius_infra.ratelimit._kind import require_whole

UNKNOWN: Final = "unknown"
"""The key of all who have no address that can be read: they share one limit."""

_HOPS: Final = 32  # of a forwarded header that are looked at


class ByAddress:
    """Makes keys of addresses; counts those that are none.

        by_address = ByAddress(trusted=["10.0.0.0/8"])

        async def handle(request):
            forwarded = request.headers.get("X-Forwarded-For")
            await limiter.acquire(by_address(request.remote, forwarded))

    Args:
        ipv4_prefix: leading bits that make the key of an IPv4 address: 32, each one by itself.
        ipv6_prefix: of an IPv6 address: 64, what a customer has at least; 56 or 48 for those that
            hand out more.
        trusted: networks of one's own proxies. Without any, `X-Forwarded-For` is not looked at.

    Raises:
        ConfigurationError: for a prefix out of range, or a network that is none.

    Attributes:
        unreadable: addresses that were none, and counted against the shared key `unknown`.
    """

    __slots__ = ("_ipv4_prefix", "_ipv6_prefix", "_trusted", "unreadable")

    def __init__(
        self,
        *,
        ipv4_prefix: int = 32,
        ipv6_prefix: int = 64,
        trusted: Iterable[str] = (),
    ) -> None:
        for field, value, most in (
            ("ipv4_prefix", ipv4_prefix, 32),
            ("ipv6_prefix", ipv6_prefix, 128),
        ):
            require_whole(field, value)
            if value > most:
                raise ConfigurationError(field, value, f"from 1 to {most} bits")
        self._ipv4_prefix = ipv4_prefix
        self._ipv6_prefix = ipv6_prefix
        given = [trusted] if isinstance(trusted, str) else trusted
        self._trusted = [_network(each) for each in given]
        self.unreadable = 0

    def __call__(self, peer: str | None, forwarded: str | None = None) -> str:
        """Return the key of a client; never raises for what comes in.

        Args:
            peer: the address of whoever connected.
            forwarded: the `X-Forwarded-For` header, several of them joined by commas.
        """
        address = read_address(peer)
        if address is not None and forwarded and self._trusts(address):
            address = self._client(address, forwarded)
        if address is None:
            self.unreadable += 1
            return UNKNOWN
        if isinstance(address, IPv4Address):
            return _prefixed(address, self._ipv4_prefix, 32)
        return _prefixed(address, self._ipv6_prefix, 128)

    def _client(
        self, peer: IPv4Address | IPv6Address, forwarded: str
    ) -> IPv4Address | IPv6Address | None:
        """Return the rightmost address that no trusted proxy has."""
        client: IPv4Address | IPv6Address | None = peer
        for hop in reversed(forwarded.rsplit(",", _HOPS)[-_HOPS:]):
            client = read_address(hop)
            # One that can't be read was written by a trusted proxy; but of whom, nobody knows.
            if client is None or not self._trusts(client):
                break
        return client

    def _trusts(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._trusted)

    def __repr__(self) -> str:
        networks = ", ".join(map(str, self._trusted))
        return (
            f"ByAddress(ipv4_prefix={self._ipv4_prefix}, ipv6_prefix={self._ipv6_prefix}, "
            f"trusted=[{networks}])"
        )


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as error:
        allowed = "networks such as 10.0.0.0/8 or 2001:db8::/32, without bits beyond the prefix"
        raise ConfigurationError("trusted", text, allowed) from error


def _prefixed(address: IPv4Address | IPv6Address, prefix: int, bits: int) -> str:
    if prefix == bits:
        return str(address)
    first = int(address) >> (bits - prefix) << (bits - prefix)
    return f"{type(address)(first)}/{prefix}"
