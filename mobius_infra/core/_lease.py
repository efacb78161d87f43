"""Leases: the right to do a thing alone, until it is given back or runs out.

A lease that has run out protects nothing: whoever acts under it must be able to bear that another
has begun. The fence says who was later: it grows with every new holding, so a store can refuse the
smaller (Kleppmann, "How to do distributed locking", 2016).
"""

import math
from dataclasses import dataclass
from importlib.resources import files
from types import TracebackType
from typing import Self
from uuid import uuid4

from mobius_infra.core._backend import Backend, check_ttl
from mobius_infra.core._script import Outcome, Script, State

Granted = tuple[bool, int, float]
"""Whether it is held by the asker now, the fence, and seconds until it runs out."""


def step(state: State | None, now: float, op: str, owner: str, ttl: float, /) -> Outcome[Granted]:
    """Decide `acquire`, `renew` or `release` on the state `[owner, expires, fence]`."""
    held = state is not None and now < state[1]
    if state is not None and held and state[0] != owner:
        left = state[1] - now
        return state, (False, state[2], left), left
    if op == "release":
        return None, (held, state[2] if state is not None and held else 0, 0.0), None
    if op == "renew" and not held:
        return None, (False, 0, 0.0), None
    if state is not None and held:
        fence = state[2]
    else:
        # Microseconds of the backend's time: grows also where the old state has been forgotten.
        fence = math.floor(now * 1_000_000)
        if state is not None and state[2] >= fence:
            fence = state[2] + 1
    return [owner, now + ttl, fence], (True, fence, ttl), ttl


LEASE = Script("lease", step, files(__package__).joinpath("lease.lua"))


@dataclass(slots=True)
class Lease:
    """A lease that was granted.

    As an async context manager it gives itself back at the end.

    Attributes:
        backend: where it is kept.
        key: what it is for.
        owner: the token that tells this holding from all others.
        ttl: seconds that it was granted for, and is renewed for.
        fence: grows with each new holding of the same key.
    """

    backend: Backend
    key: str
    owner: str
    ttl: float
    fence: int

    @classmethod
    async def acquire(
        cls, backend: Backend, key: str, *, ttl: float, owner: str | None = None
    ) -> Self | None:
        """Ask for the lease once; None if another holds it.

        Args:
            backend: where it is kept; its time decides.
            key: what it is for.
            ttl: seconds until it runs out by itself.
            owner: a token to hold it again by (a retry, a restart); a fresh one if None.

        Raises:
            ConfigurationError: if `ttl` is not positive.
            BackendError: if the backend failed.
        """
        check_ttl(ttl)
        token = uuid4().hex if owner is None else owner
        granted, fence, _ = await backend.run(LEASE, key, "acquire", token, ttl)
        return cls(backend, key, token, ttl, fence) if granted else None

    async def renew(self) -> bool:
        """Hold it for another `ttl`; False if it had run out or another has it."""
        granted, _, _ = await self.backend.run(LEASE, self.key, "renew", self.owner, self.ttl)
        return granted

    async def release(self) -> bool:
        """Give it back; False if it was no longer held. Never takes another's away."""
        held, _, _ = await self.backend.run(LEASE, self.key, "release", self.owner, self.ttl)
        return held

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.release()
