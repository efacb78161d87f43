"""The limits of many keys in one process, in bounded memory."""

from collections import OrderedDict

from mobius_infra.core import State
from mobius_infra.ratelimit._bucket import Taken, TokenBucket, take

_LOOK = 2  # old keys that each new one looks at: more than come in are looked at


class LocalStore:
    """Buckets by key. Full ones are forgotten as new ones come: a full bucket is the same as none.

    Args:
        bucket: the limit of each key.
        max_keys: buckets kept at most; past it the one that was looked at longest ago is forgotten,
            which lets its owner begin with a full one.
    """

    __slots__ = ("_bucket", "_max_keys", "_states", "evicted")

    def __init__(self, bucket: TokenBucket, max_keys: int) -> None:
        self._bucket = bucket
        self._max_keys = max_keys
        # An OrderedDict: a dict from whose front much has been deleted is slow to find its first.
        self._states: OrderedDict[str, State] = OrderedDict()
        self.evicted = 0

    def take(self, key: str, now: float, cost: float) -> Taken:
        """Take tokens from the bucket of `key`."""
        bucket = self._bucket
        state = self._states.get(key)
        made, result, _ = take(state, now, bucket.rate, bucket.burst, cost)
        if state is None and made is not None:
            self._make_room(now)
            self._states[key] = made
        return result

    def forget(self, key: str) -> None:
        """Fill the bucket of `key`."""
        self._states.pop(key, None)

    def __len__(self) -> int:
        return len(self._states)

    def _make_room(self, now: float) -> None:
        states, bucket = self._states, self._bucket
        for _ in range(min(_LOOK, len(states))):
            key, state = states.popitem(last=False)
            tokens, updated = state
            if tokens + (now - updated) * bucket.rate < bucket.burst:
                states[key] = state  # in use: looked at again when its turn comes
        while len(states) >= self._max_keys:
            states.popitem(last=False)
            self.evicted += 1
