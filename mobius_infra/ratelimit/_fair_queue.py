"""A queue that many tenants share fairly, as a pure structure: no clock, no await.

Deficit round robin (Shreedhar and Varghese, "Efficient fair queueing using deficit round robin",
1995): each tenant has a lane; the lanes take turns; a turn is worth one `quantum`, and what is not
spent of it is kept while the lane has something waiting. Every operation is O(1), whatever waits.
"""

import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from hashlib import blake2b
from math import inf
from typing import Generic, NamedTuple, TypeVar

from mobius_infra.core import ConfigurationError, require
from mobius_infra.ratelimit._overload_checks import (
    require_between,
    require_count,
    require_positive,
)

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Serves tenants in turns, each in the order of its own calls.

        queue = FairQueue(weights={"paid": 3})
        queue.push("free", "a")
        queue.pop()

    A tenant that becomes active is served within one round: after at most one quantum (times its
    weight) of every other active tenant, however much those have waiting. A queue belongs to one
    limiter or bulkhead.

    Args:
        weights: how many times the share of others a tenant gets, by name or by a function; at
            least 1, which is what is not named gets.
        per_tenant: items of one tenant that wait at most.
        capacity: items that wait at most in all.
        quantum: the largest cost of an item, and so what a turn is worth.
        shards: lanes in all, for very many tenants; None: a lane for each. A tenant is dealt
            `hand` of them by a hash of its name, and each item joins the shortest of those; one
            that floods its own is met by few others in all of theirs (shuffle sharding).
        hand: lanes that a tenant is dealt.
        seed: key of that hash; by default random, so that nobody can choose whom to meet.

    Raises:
        ConfigurationError: for a value out of range.
    """

    __slots__ = (
        "_capacity", "_hand", "_lanes", "_per_tenant", "_quantum", "_seed", "_shards", "_tenants",
        "_waiting", "_weights",
    )  # fmt: skip

    def __init__(
        self,
        *,
        weights: Mapping[str, float] | Callable[[str], float] | None = None,
        per_tenant: int = 100,
        capacity: int = 10_000,
        quantum: float = 1.0,
        shards: int | None = None,
        hand: int = 2,
        seed: bytes | None = None,
    ) -> None:
        require_count("per_tenant", per_tenant)
        require_count("capacity", capacity)
        require_positive("quantum", quantum, "cost")
        require_count("hand", hand)
        if shards is not None:
            require_count("shards", shards)
            require(hand <= min(shards, 8), "hand", hand, "at most 8, and at most `shards`")
        require(seed is None or len(seed) <= 64, "seed", seed, "at most 64 bytes")
        if isinstance(weights, Mapping):
            for tenant, weight in weights.items():
                require_weight(tenant, weight)
        self._weights = weights if weights is None or callable(weights) else weights.get
        self._per_tenant = per_tenant
        self._capacity = capacity
        self._quantum = quantum
        self._shards = shards
        self._hand = hand
        self._seed = os.urandom(16) if seed is None else seed
        # Only what has something waiting is kept: lanes in the order of their turns.
        self._lanes: OrderedDict[str | int, _Lane[T]] = OrderedDict()
        self._tenants: dict[str, int] = {}
        self._waiting: dict[T, _Place] = {}

    def push(self, tenant: str, item: T, cost: float = 1.0) -> bool:
        """Put `item` (hashable, unlike all that wait) at the end of its tenant's lane.

        Returns:
            False, changing nothing, if the tenant or the queue has too much waiting.

        Raises:
            ConfigurationError: for a cost that is not above 0, or above the quantum.
        """
        if isinstance(cost, bool) or not 0 < cost <= self._quantum:
            require(False, "cost", cost, f"above 0 and at most the quantum, {self._quantum:g}")
        if item in self._waiting:
            raise ConfigurationError("item", item, "one that is not waiting already")
        count = self._tenants.get(tenant, 0)
        if count >= self._per_tenant or len(self._waiting) >= self._capacity:
            return False
        cost /= self._weight(tenant)  # the same as a larger quantum, and right in a shared lane too
        key = tenant if self._shards is None else self._shortest(tenant, self._shards)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane(self._quantum)
        lane.costs[item] = cost
        self._waiting[item] = _Place(tenant, key)
        self._tenants[tenant] = count + 1
        return True

    def pop(self, void: Callable[[T], bool] | None = None) -> T | None:
        """Take the item whose turn it is; None if nothing waits.

        Args:
            void: says of an item whose turn it would be that it is not worth one; it is taken out,
                and its tenant's turn goes to the next. Else dropping would cost its tenant twice.
        """
        while self._lanes:
            key, lane = next(iter(self._lanes.items()))
            item, cost = next(iter(lane.costs.items()))
            if cost > lane.deficit:
                # Worth at least one item at its next turn, so nothing is ever passed twice.
                lane.deficit += self._quantum
                self._lanes.move_to_end(key)
                continue
            self.remove(item)
            if void is None or not void(item):
                lane.deficit -= cost
                return item
        return None

    def remove(self, item: T) -> bool:
        """Take `item` out, wherever it stands; False if it is not there."""
        place = self._waiting.pop(item, None)
        if place is None:
            return False
        tenant, key = place
        costs = self._lanes[key].costs
        del costs[item]
        if not costs:
            del self._lanes[key]  # and its deficit: an idle lane saves nothing up
        left = self._tenants[tenant] - 1
        if left:
            self._tenants[tenant] = left
        else:
            del self._tenants[tenant]
        return True

    def waiting(self, tenant: str) -> int:
        """Say how many items of a tenant wait."""
        return self._tenants.get(tenant, 0)

    @property
    def tenants(self) -> int:
        """How many tenants have something waiting."""
        return len(self._tenants)

    def _weight(self, tenant: str) -> float:
        if self._weights is None:
            return 1.0
        weight = self._weights(tenant)
        if weight is None:
            return 1.0
        require_weight(tenant, weight)
        return weight

    def _shortest(self, tenant: str, shards: int) -> int:
        lanes = self._lanes
        dealt = deal(tenant, shards, self._hand, self._seed)
        return min(dealt, key=lambda lane: len(lanes[lane].costs) if lane in lanes else 0)

    def __len__(self) -> int:
        return len(self._waiting)

    def __repr__(self) -> str:
        return f"FairQueue(waiting={len(self)}, tenants={self.tenants})"


class _Lane(Generic[T]):
    """What waits in one lane, and what its turn is still worth."""

    __slots__ = ("costs", "deficit")

    def __init__(self, deficit: float) -> None:
        # Ordered: the first is found and any is removed in O(1). A plain dict would search for its
        # first item through all that were removed before it.
        self.costs: OrderedDict[T, float] = OrderedDict()
        self.deficit = deficit


class _Place(NamedTuple):
    tenant: str
    lane: str | int


def deal(tenant: str, shards: int, hand: int, seed: bytes) -> list[int]:
    """Return `hand` different numbers below `shards`, always the same for a tenant and a seed."""
    number = int.from_bytes(
        blake2b(tenant.encode(errors="surrogatepass"), key=seed, digest_size=32).digest()
    )
    dealt: list[int] = []
    for already in range(hand):
        number, lane = divmod(number, shards - already)
        for other in sorted(dealt):  # skip those dealt already, so that each hand is as likely
            lane += lane >= other
        dealt.append(lane)
    return dealt


def require_weight(tenant: str, weight: float) -> None:
    """Refuse a weight below 1: such a tenant could be passed over for many rounds."""
    require_between(f"weights[{tenant!r}]", weight, 1, inf)
