"""Which value makes room: the interface of a policy, and SIEVE and those of cachetools.

A hit only flags an entry, and notes it the first time; policies are told of noted entries in
batches, when something is put. So a policy sees each entry that was read once a batch, in the
order of the first reads, and costs a hit nothing.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Protocol, cast

import cachetools

from mobius_infra.cache._lirs import AdaptiveLirs
from mobius_infra.cache._tinylfu import WTinyLfu
from mobius_infra.core import ConfigurationError


class Policy(Protocol):
    """Orders keys by what they are worth.

    The tier adds a new key first and then asks for victims while it holds too much: the newcomer
    may be the victim. `capacity` is how many keys the tier holds when it is full, as far as known.
    """

    def add(self, key: str) -> None:
        """Take a new key in."""
        ...

    def touch(self, key: str) -> None:
        """Hear that a key was read, or written again."""
        ...

    def victim(self) -> str:
        """Take out the key that is worth least, and return it. There is one at least."""
        ...

    def remove(self, key: str) -> None:
        """Take a key out that the tier has dropped."""
        ...


PolicyFactory = Callable[[int], Policy]
"""Makes a policy for a capacity in keys."""


class _Node:
    __slots__ = ("key", "newer", "older", "visited")

    def __init__(self, key: str) -> None:
        self.key = key
        self.visited = False
        self.newer: _Node = self
        self.older: _Node = self


class Sieve:
    """A queue whose hand passes over what was read, and takes what was not.

    Zhang et al., "SIEVE is simpler than LRU" (NSDI 2024).
    """

    def __init__(self, capacity: int) -> None:
        self._nodes: dict[str, _Node] = {}
        self._end = _Node("")  # its older is the newest, its newer the oldest
        self._hand = self._end

    def add(self, key: str) -> None:
        node, end = _Node(key), self._end
        node.newer, node.older = end, end.older
        end.older.newer = node
        end.older = node
        self._nodes[key] = node

    def touch(self, key: str) -> None:
        self._nodes[key].visited = True

    def victim(self) -> str:
        node = self._hand
        while True:
            if node is self._end:
                node = node.newer
            if not node.visited:
                break
            node.visited = False
            node = node.newer
        self._hand = node
        self.remove(node.key)
        return node.key

    def remove(self, key: str) -> None:
        node = self._nodes.pop(key)
        if self._hand is node:
            self._hand = node.newer
        node.newer.older = node.older
        node.older.newer = node.newer


class FromCachetools:
    """Orders keys as a cache of `cachetools` does: `LRUCache`, `LFUCache`, `FIFOCache` or another.

    Args:
        kind: the class, or a function that takes `maxsize` and returns an instance.
        capacity: keys that the tier holds.
    """

    # Any: cachetools' caches of whatever keys.
    def __init__(self, kind: Callable[[int], cachetools.Cache[str, Any]], capacity: int) -> None:
        # One more than the tier holds, so that it is the tier who says when to evict.
        self._cache = kind(capacity + 1)

    def add(self, key: str) -> None:
        self._cache[key] = None

    def touch(self, key: str) -> None:
        self._cache.get(key)

    def victim(self) -> str:
        return self._cache.popitem()[0]

    def remove(self, key: str) -> None:
        self._cache.pop(key, None)


def lru(capacity: int) -> Policy:
    """Evict what was read longest ago."""
    return FromCachetools(cachetools.LRUCache, capacity)


def lfu(capacity: int) -> Policy:
    """Evict what was read least often."""
    return FromCachetools(cachetools.LFUCache, capacity)


def fifo(capacity: int) -> Policy:
    """Evict what was put first."""
    return FromCachetools(cachetools.FIFOCache, capacity)


POLICIES: Final[Mapping[str, PolicyFactory]] = {
    "adaptive": AdaptiveLirs,
    "sieve": Sieve,
    "w-tinylfu": WTinyLfu,
    "lru": lru,
    "lfu": lfu,
    "fifo": fifo,
}

PolicyChoice = str | PolicyFactory | type[cachetools.Cache[Any, Any]]


def policy_factory(policy: PolicyChoice) -> PolicyFactory:
    """Return what makes the policy of this name, of this class of `cachetools`, or itself.

    Raises:
        ConfigurationError: if there is none of this name.
    """
    if isinstance(policy, str):
        factory = POLICIES.get(policy)
        if factory is None:
            known = ", ".join(POLICIES)
            allowed = f"one of {known}, or a class of cachetools, or a function"
            raise ConfigurationError("policy", policy, allowed)
        return factory
    if isinstance(policy, type) and issubclass(policy, cachetools.Cache):
        return partial(FromCachetools, policy)
    return cast("PolicyFactory", policy)
