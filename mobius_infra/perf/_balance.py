"""Which of several servers a borrower is sent to. Pure: chance is passed in."""

import math
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Protocol, TypeVar


class Server(Protocol):
    """What is asked of a server."""

    @property
    def name(self) -> str:
        """Its name; keys are spread by it."""
        ...

    @property
    def weight(self) -> float:
        """How much it can do, compared with the others."""
        ...

    @property
    def zone(self) -> str:
        """Where it is."""
        ...

    @property
    def load(self) -> int:
        """How many have something of it, or wait for it."""
        ...


S = TypeVar("S", bound=Server)
Draw = Callable[[], float]

NEAR_ENOUGH = 0.7
"""Share of a zone's weight that must be in use for it to keep all of its traffic."""


def nearby(usable: Sequence[S], everything: Sequence[S], zone: str, draw: Draw) -> Sequence[S]:
    """Return the servers of `zone`, or the others as far as those can't carry the load.

    While 70 % of the zone's weight is usable everything stays there. Below that the share that goes
    to the others grows, so that the last server of a zone is not drowned.
    """
    there = [server for server in usable if server.zone == zone]
    whole = sum(server.weight for server in everything if server.zone == zone)
    elsewhere = [server for server in usable if server.zone != zone]
    if not there or not elsewhere:
        return there or elsewhere
    left = sum(server.weight for server in there) / whole
    return there if left >= NEAR_ENOUGH or draw() < left / NEAR_ENOUGH else elsewhere


def less_loaded(servers: Sequence[S], draw: Draw) -> S:
    """Draw two by weight and return the one with less load for its weight.

    The power of two choices: nearly as even as looking at all, and those who look at the same time
    do not all run to the same one (Mitzenmacher, "The Power of Two Choices in Randomized Load
    Balancing", 2001).
    """
    one = _by_weight(servers, draw)
    rest = [server for server in servers if server is not one]
    if not rest:
        return one
    other = _by_weight(rest, draw)
    return other if other.load / other.weight < one.load / one.weight else one


def _by_weight(servers: Sequence[S], draw: Draw) -> S:
    point = draw() * sum(server.weight for server in servers)
    for server in servers:
        point -= server.weight
        if point < 0:
            return server
    return servers[-1]  # rounding


def order_for(key: str, servers: Sequence[S]) -> list[S]:
    """Return the servers, the one that `key` belongs to first.

    Weighted rendezvous hashing: when a server goes only its own keys move, and they spread over all
    others (Thaler and Ravishankar, 1998).
    """

    def score(server: S) -> float:
        digest = blake2b(f"{server.name}\0{key}".encode(), digest_size=8).digest()
        point = (int.from_bytes(digest, "big") + 1) / (2**64 + 2)  # in (0, 1)
        return -server.weight / math.log(point)

    return sorted(servers, key=score, reverse=True)
