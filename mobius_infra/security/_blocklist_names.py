"""Names of subjects: `user:7`, `chat:-100`, `ip:192.0.2.1`, `ip:2001:db8::/64`, `ip:10.0.0.0/8`."""

from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network
from typing import Final, Literal, NamedTuple

from mobius_infra.core import ConfigurationError, read_address

By = Literal["user", "ip", "chat"]
"""What a subject is."""

_ALLOWED: Final = "user:ID, chat:ID, ip:ADDRESS, or a range such as 192.0.2.0/24 or 2001:db8::/48"
# IPv4 in IPv6, as `read_address` reads it.
_WRAPPINGS: Final = tuple(map(IPv6Network, ("::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/96")))
_LONGEST: Final = 200  # characters of an id
_DIGEST: Final = "sha256:"  # what stands for an id begins so; an id that does has a digest, too


class Name(NamedTuple):
    """A subject's name, read.

    Attributes:
        text: the name, the same for all ways to write it.
        by: what it names.
        version: 4 or 6 for addresses, else 0.
        first: the first address of its range.
        prefix: how many leading bits the range's addresses share.
    """

    text: str
    by: By
    version: int = 0
    first: int = 0
    prefix: int = 0


def read_name(text: object) -> Name:
    """Read a subject's name; an address or range may stand without `ip:`.

    An IPv6 address becomes its /64 (RFC 6177: no customer has less).

    Raises:
        ConfigurationError: if it is none, or is the range of all addresses.
    """
    if not isinstance(text, str):
        raise ConfigurationError("subject", text, _ALLOWED)
    kind, _, rest = text.partition(":")
    if kind in ("user", "chat"):
        if not _plain(rest):
            raise ConfigurationError("subject", text, _ALLOWED)
        return Name(text, "user" if kind == "user" else "chat")
    name = _read_range(rest if kind == "ip" else text)
    if name is None:
        raise ConfigurationError("subject", text, _ALLOWED)
    return name


def id_name(by: By, id_: str | int) -> str:
    """Return the name of the subject with an id; a digest of one that no list could hold."""
    if type(id_) is int:
        return f"{by}:{id_}"
    text = str(id_)
    if not _plain(text) or text.startswith(_DIGEST):
        text = f"{_DIGEST}{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"
    return f"{by}:{text}"


def _plain(text: str) -> bool:
    return 0 < len(text) <= _LONGEST and text.isprintable() and " " not in text and "#" not in text


def address_name(address: IPv4Address | IPv6Address) -> Name:
    """Return the name of the subject that an address is."""
    if isinstance(address, IPv4Address):
        return Name(f"ip:{address}", "ip", 4, int(address), 32)
    return _range_name(6, int(address) >> 64 << 64, 64)


def ip_name(text: str | None) -> Name | None:
    """Return the name of a client's address as it came in; None if it is no address."""
    address = read_address(text)
    return None if address is None else address_name(address)


def subjects_of(user: str | int | None, ip: str | None, chat: str | int | None) -> dict[By, str]:
    """Return the names of the subjects that make a call; of what is no address, none."""
    found: dict[By, str] = {}
    if user is not None:
        found["user"] = id_name("user", user)
    if ip is not None:
        name = ip_name(ip)
        if name is not None:
            found["ip"] = name.text
    if chat is not None:
        found["chat"] = id_name("chat", chat)
    return found


def _read_range(text: str) -> Name | None:
    if "/" not in text:
        return ip_name(text)
    try:
        network = ip_network(text)
    except ValueError:
        return None
    version, first, prefix = network.version, int(network.network_address), network.prefixlen
    if isinstance(network, IPv6Network) and any(map(network.subnet_of, _WRAPPINGS)):
        version, first, prefix = 4, first & 0xFFFF_FFFF, prefix - 96
    return _range_name(version, first, prefix) if prefix else None


def _range_name(version: int, first: int, prefix: int) -> Name:
    address = IPv4Address(first) if version == 4 else IPv6Address(first)
    suffix = "" if version == 4 and prefix == 32 else f"/{prefix}"
    return Name(f"ip:{address}{suffix}", "ip", version, first, prefix)
