"""Addresses of clients as they come in: with ports, brackets and scopes, IPv4 wrapped in IPv6."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

_NAT64: Final = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/96"))
_LONGEST: Final = 64  # characters that are looked at: an address with its scope and port has fewer


def read_address(text: str | None) -> IPv4Address | IPv6Address | None:
    """Return an address, an IPv4 one out of its wrappings; None if it is none.

    An IPv4 client who comes by way of IPv6, mapped (RFC 4291, 2.5.5.2) or through NAT64 (RFC 6052),
    is the IPv4 client all the same.
    """
    if not text or len(text) > _LONGEST:
        return None
    text = text.strip()
    if text.startswith("["):  # [2001:db8::1]:443
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:  # 192.0.2.1:443
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])  # a scope says nothing of whose it is
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if any(address in network for network in _NAT64):
            return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address
