"""Permits taken ahead: most decisions of a fast limit need no round trip."""

import asyncio
from dataclasses import dataclass
from math import inf
from typing import Final

from mobius_infra.core import Clock, require
from mobius_infra.ratelimit._kind import SECOND, require_whole
from mobius_infra.ratelimit._shared import Share, Shared
from mobius_infra.ratelimit._table import Room, Taken, short

_LATE: Final = 3  # leases run out before they came, until a call asks for itself alone
_NOTHING: Final = Taken(0, 0, 0, (), ())


@dataclass(frozen=True, slots=True)
class PermitLease:
    """Take up to `size` permits of a key at once, and hand them out for `ttl` seconds.

    A permit counts when it is leased and may be used up to `ttl` seconds later. So, however many
    processes there are, **what passes in any stretch of w seconds is at most what the limit lets
    through in w + ttl seconds**: of a token bucket `burst + rate * (w + ttl)`. What a process does
    not use is out of the others' reach until it is given back: with the next lease, or by
    `RateLimiter.release`.

    Attributes:
        size: permits; the gain is one round trip for so many calls.
        ttl: seconds, the bound on overshoot.
    """

    size: int = 100
    ttl: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what makes no lease."""
        require_whole("size", self.size, 2)
        ok = type(self.ttl) in (int, float) and 0 < self.ttl < inf
        require(ok, "ttl", self.ttl, "a positive number of seconds")


class _Held:
    """What this process holds of one key."""

    __slots__ = ("fetching", "left", "refused", "taken", "until")

    def __init__(self) -> None:
        self.left = 0
        self.until = 0.0  # monotonic; of what is left, or of the refusal
        self.taken = _NOTHING
        self.refused = inf  # costs from this one on are refused
        self.fetching: asyncio.Task[None] | None = None


class Leases:
    """The leases of one policy.

    Args:
        lease: how much, and for how long.
        share: of what.
        shared: where it is taken from.
        most: keys held at most; others are decided one by one.
        clock: measures the time to live.
    """

    __slots__ = ("_clock", "_lease", "_room", "_shared", "share")

    def __init__(
        self, lease: PermitLease, share: Share, shared: Shared, most: int, clock: Clock
    ) -> None:
        self._lease = lease
        self.share = share
        self._shared = shared
        self._clock = clock
        self._room: Room[_Held | None] = Room(most, _idle, None)

    def quick(self, key: str, cost: int) -> bool:
        """Take from what is held; False: ask `take`."""
        held = self._room.values.get(key)
        if held is None or held.left < cost or self._clock.monotonic() >= held.until:
            return False
        held.left -= cost
        return True

    async def take(self, key: str, cost: int) -> Taken:
        """Take from what is held, or lease more first.

        A caller who is cancelled meanwhile takes nothing: what was leased is there for the others.
        """
        held, late = self._held(key), 0
        while held is not None and late < _LATE:
            now = self._clock.monotonic()
            if now < held.until:
                if held.left >= cost:
                    held.left -= cost
                    return held.taken._replace(granted=cost)
                if cost >= held.refused:
                    return held.taken._replace(wait=int((held.until - now) * SECOND) + 1)
            if held.fetching is None:
                held.fetching = asyncio.create_task(self._fetch(held, key, cost))
            await asyncio.shield(held.fetching)
            late += self._clock.monotonic() >= held.until
        # No room for the key, or a backend so slow that leases run out on their way.
        return await self._shared.take(self.share, key, cost, cost, 0)

    def put_back(self, key: str, amount: int, taken: Taken) -> None:
        """Put permits back into the lease that they are of; lost if it has run out.

        Not to the backend: two refunds of one lease could each be of what came back by itself.
        """
        held = self._room.values.get(short(key))
        if held is not None and held.taken.marks is taken.marks:
            held.left += amount

    def forget(self, key: str) -> None:
        """Hold nothing of `key` any more, nor that it was refused."""
        held = self._room.values.get(short(key))
        if held is not None:
            held.left, held.until, held.taken = 0, 0.0, _NOTHING

    async def release(self) -> None:
        """Give back all that is held."""
        for key, held in list(self._room.values.items()):
            if held is not None and held.left:
                await self._give_back(held, str(key))

    async def _fetch(self, held: _Held, key: str, cost: int) -> None:
        try:
            if held.left:
                await self._give_back(held, key)
            # From before it is asked for: the time on the way counts.
            now = self._clock.monotonic()
            most = max(self._lease.size, cost)
            taken = await self._shared.take(self.share, key, cost, most, 0)
            held.taken = taken
            held.left = max(taken.granted, 0)
            held.refused = cost if taken.granted < 0 else inf
            wait = taken.wait / SECOND if taken.granted < 0 else self._lease.ttl
            held.until = now + min(wait, self._lease.ttl)
        finally:
            held.fetching = None

    async def _give_back(self, held: _Held, key: str) -> None:
        left, taken = held.left, held.taken
        held.left, held.until, held.taken = 0, 0.0, _NOTHING  # nothing comes back to it any more
        await self._shared.give_back(self.share, key, left, taken)

    def _held(self, key: str) -> _Held | None:
        key = short(key)
        held = self._room.values.get(key)
        if held is None:
            now = int(self._clock.monotonic() * SECOND)
            fresh = _Held()
            self._room.put(key, fresh, now)
            held = self._room.values.get(key)
        return held


def _idle(held: _Held | None, now: int) -> bool:
    return held is None or (held.fetching is None and held.until * SECOND <= now)
