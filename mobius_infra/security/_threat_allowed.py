"""Who is never refused, whatever he does."""

from collections.abc import Callable, Iterable
from typing import Final

from mobius_infra.core import ConfigurationError, read_address, require
from mobius_infra.security._blocklist_names import Name, id_name, read_name
from mobius_infra.security._radix import Radix

Users = Iterable[str | int] | Callable[[str], bool]

TELEGRAM_NETWORKS: Final = (
    "91.105.192.0/23", "91.108.4.0/22", "91.108.8.0/22", "91.108.12.0/22", "91.108.16.0/22",
    "91.108.20.0/22", "91.108.56.0/22", "149.154.160.0/20", "185.76.151.0/24", "2001:67c:4e8::/48",
    "2001:b28:f23c::/48", "2001:b28:f23d::/48", "2001:b28:f23f::/48", "2a0a:f280::/32",
)  # fmt: skip
"""Telegram's own, where webhooks come from, for all users alike.

From core.telegram.org/resources/cidr.txt, as of October 2026. The guide to webhooks names only
149.154.160.0/20 and 91.108.4.0/22, but they have been seen to come from others of these.
"""


class Allowed:
    """Users and networks that are never refused.

    Args:
        users: their ids, or a function that says of an id whether it is one's.
        networks: addresses and ranges. Telegram's are always among them.

    Raises:
        ConfigurationError: for a network that is none.
    """

    __slots__ = ("_named", "_ranges", "user")

    def __init__(self, users: Users, networks: Iterable[str]) -> None:
        require(not isinstance(users, str), "users", users, "a collection of ids, or a function")
        require(not isinstance(networks, str), "networks", networks, "a collection of networks")
        self.user: Callable[[str | int], bool]
        self._named: Callable[[str], bool]
        if callable(users):
            asked = users
            self.user = lambda id_: bool(asked(str(id_)))
            self._named = lambda name: bool(asked(name.partition(":")[2]))
        else:
            held = frozenset(id_name("user", each) for each in users)
            self.user = lambda id_: id_name("user", id_) in held
            self._named = held.__contains__
        self._ranges: dict[int, Radix[str]] = {4: Radix(32, 16), 6: Radix(128, 32)}
        for each in (*TELEGRAM_NETWORKS, *networks):
            name = _network(each)
            self._ranges[name.version].put(name.first, name.prefix, each)

    def ip(self, text: str) -> str | None:
        """Return the network that allows an address; None if none does."""
        address = read_address(text)
        return None if address is None else self._ranges[address.version].find(int(address))

    def why(self, name: Name) -> str | None:
        """Return why a subject is never refused; None if it may be."""
        if name.by == "user":
            return "an allowed user" if self._named(name.text) else None
        if name.by == "ip":
            network = self._ranges[name.version].covering(name.first, name.prefix)
            return None if network is None else f"in {network}"
        return None


def _network(text: str) -> Name:
    try:
        name = read_name(text)
    except ConfigurationError as error:
        raise ConfigurationError("networks", text, error.allowed) from None
    require(name.by == "ip", "networks", text, "an address or a range of addresses")
    return name
