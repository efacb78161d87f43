"""Which addresses lie on the public internet, whatever they are wrapped in.

The tables are IANA's registries of special addresses, written here so that they do not change with
the version of Python; and Azure's metadata address, which is public and answers from inside.
"""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_SPECIAL_4 = tuple(
    IPv4Network(each)
    for each in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32",
        "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24",
        "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15",
        "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    )
)  # fmt: skip
_GLOBAL_6 = IPv6Network("2000::/3")
# Of what is global: IETF's own with Teredo, documentation, 6to4, and documentation again.
_SPECIAL_6 = tuple(
    IPv6Network(each) for each in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = re.compile(r"(?:0000|0200)5efe")
_PLAIN_4 = re.compile(r"(?:0|[1-9]\d{0,2})(?:\.(?:0|[1-9]\d{0,2})){3}", re.ASCII)
# `inet_aton` takes 1, 0x7f.1, 017700000001 and the like; so does what ends in a number in browsers.
_NUMBER = re.compile(r"(?:\d+|0[xX][0-9a-fA-F]*)", re.ASCII)


def is_public(address: Address) -> bool:
    """Say whether an address is of the public internet, and what is embedded in it too."""
    if isinstance(address, IPv4Address):
        return not any(address in each for each in _SPECIAL_4)
    if address.scope_id is not None:
        return False
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    if address not in _GLOBAL_6 or any(address in each for each in _SPECIAL_6):
        return False
    return _ISATAP.fullmatch(f"{int(address):032x}", 16, 24) is None


def read_address(host: str) -> Address | None:
    """Return the address that a host of a URL is written as, or None for a name.

    Args:
        host: without the brackets of an IPv6 address.

    Raises:
        ValueError: for a notation that others may read otherwise, such as 0x7f.1, 127.1, 010.0.0.1.
    """
    if ":" in host:
        return ip_address(host)
    if _PLAIN_4.fullmatch(host):
        return ip_address(host)
    if _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        raise ValueError(host)
    return None
