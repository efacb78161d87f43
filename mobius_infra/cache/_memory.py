"""The tier in this process's memory."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from mobius_infra.cache._entry import Entry
from mobius_infra.cache._policy import PolicyChoice, policy_factory
from mobius_infra.core import require

_LOG = 256  # entries read for the first time, of which the policy is told together

Weigher = Callable[[str, Any], int]  # Any: whatever is cached


class MemoryTier:
    """Holds values as they are: a hit returns the very object that was stored.

    Args:
        max_entries: values held at most; 0 holds none.
        max_bytes: of all values together, as `weigher` says; None: not bounded.
        weigher: takes a key and a value, returns the bytes that they cost. A value that it can't
            weigh, or that is larger than all of `max_bytes`, is not held, and counted.
        policy: which value makes room. `adaptive` (the default; see `docs/explanation`), `sieve`,
            `w-tinylfu`, `lru`, `lfu`, `fifo`; a class of `cachetools`; or a function that takes
            the capacity and makes a policy.
        max_ttl: seconds after which a value is looked up in the lower tiers again although it is
            still fresh: without a backplane, the time for which another process's invalidation
            may go unnoticed. None: until it is no longer fresh.

    Raises:
        ConfigurationError: for a value out of range, a policy that does not exist, or a bound in
            bytes without a weigher.
    """

    __slots__ = (
        "_log",
        "_max_bytes",
        "_policy",
        "_weigher",
        "_weights",
        "entries",
        "evictions",
        "hits",
        "max_entries",
        "max_ttl",
        "observe",
        "policy_name",
        "weight",
    )

    name = "memory"

    def __init__(
        self,
        max_entries: int = 10_000,
        *,
        max_bytes: int | None = None,
        weigher: Weigher | None = None,
        policy: PolicyChoice = "adaptive",
        max_ttl: float | None = None,
    ) -> None:
        require(max_entries >= 0, "max_entries", max_entries, "zero or more entries")
        if max_bytes is not None:
            require(max_bytes > 0, "max_bytes", max_bytes, "a positive number of bytes, or None")
            require(weigher is not None, "weigher", weigher, "a function, where bytes are bounded")
        require(max_ttl is None or max_ttl > 0, "max_ttl", max_ttl, "positive seconds, or None")
        self.max_entries = max_entries
        self.max_ttl = max_ttl
        self.entries: dict[str, Entry] = {}
        self.evictions: Counter[str] = Counter()
        self.hits = 0
        self.weight = 0
        self.policy_name = policy if isinstance(policy, str) else policy.__name__
        self._max_bytes = max_bytes
        self._weigher = weigher if max_bytes is not None else None
        self._weights: dict[str, int] = {}  # of each entry, where bytes are bounded
        self._policy = policy_factory(policy)(max_entries)
        self._log: list[Entry] = []
        self.observe: Callable[[str], None] | None = None

    def note(self, entry: Entry) -> None:
        """Hear that `entry`, which was not `visited`, was read."""
        entry.visited = True
        log = self._log
        log.append(entry)
        if len(log) >= _LOG:
            self._tell()
        if self.observe is not None:
            self.observe(entry.key)

    def put(self, key: str, value: Any) -> Entry | None:
        """Hold a value, making room if need be; the caller sets how long it serves.

        Returns:
            Its entry; None if there is no room for it at all. An entry that was held is the same
            object with another value, so that whoever found it by its arguments still does.
        """
        self._tell()
        weight = self._weigh(key, value)
        if weight is None or self.max_entries == 0:
            self.drop(key)
            return None
        entry = self.entries.get(key)
        if entry is None:
            entry = self.entries[key] = Entry(key)
            self._policy.add(key)
        else:
            self._policy.touch(key)
        if self._weigher is not None:
            self.weight += weight - self._weights.get(key, 0)
            self._weights[key] = weight
        entry.value = value
        self._make_room()
        return self.entries.get(key)

    def drop(self, key: str) -> None:
        """Forget `key`, if it is held."""
        entry = self.entries.pop(key, None)
        if entry is not None:
            self._policy.remove(key)
            self._let_go(entry)

    def expire(self, entry: Entry) -> None:
        """Forget an entry that serves no more, not even in need."""
        self.drop(entry.key)
        self.evictions["expired"] += 1

    def clear(self) -> None:
        """Forget everything."""
        for key in list(self.entries):
            self.drop(key)

    def _weigh(self, key: str, value: Any) -> int | None:
        if self._weigher is None:
            return 0
        try:
            weight = self._weigher(key, value)
        except Exception:  # noqa: BLE001 - whatever the user's function raises, the load succeeds
            self.evictions["unweighable"] += 1
            return None
        if weight > (self._max_bytes or 0):
            self.evictions["oversize"] += 1
            return None
        return max(weight, 0)

    def _make_room(self) -> None:
        while len(self.entries) > self.max_entries:
            self._evict("entries")
        while self._max_bytes is not None and self.weight > self._max_bytes:
            self._evict("bytes")

    def _evict(self, cause: str) -> None:
        self._let_go(self.entries.pop(self._policy.victim()))
        self.evictions[cause] += 1

    def _let_go(self, entry: Entry) -> None:
        if self._weigher is not None:
            self.weight -= self._weights.pop(entry.key)
        if entry.index is not None and entry.index.get(entry.alias) is entry:
            del entry.index[entry.alias]

    def _tell(self) -> None:
        """Tell the policy what was read since it was told last."""
        if not self._log:
            return
        entries, touch = self.entries, self._policy.touch
        for entry in self._log:
            entry.visited = False
            if entries.get(entry.key) is entry:
                touch(entry.key)
        self._log.clear()

    def __repr__(self) -> str:
        held, most = len(self.entries), self.max_entries
        return f"MemoryTier({held} of {most} entries, {self.policy_name})"
