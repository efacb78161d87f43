"""One load for the whole fleet: whoever has the lease loads, the others wait for what it stores."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from mobius_infra.core import Backend, BackendError, Clock, Lease

_LOOK_FIRST, _LOOK_MAX = 0.05, 1.0  # seconds between two looks of who hears no message


class Messages(Protocol):
    """Tells when another process has stored a value."""

    async def stored(self, key: str, timeout: float) -> None:
        """Return when `key` was stored, or when `timeout` seconds have passed."""
        ...


class Turns:
    """Gives one process at a time the right to load a key.

    Args:
        backend: where the leases are.
        cache: separates keys from other caches'.
        ttl: seconds after which a lease of a process that died is free; a load that takes longer
            may be made twice, and the value whose load began later is kept.
        messages: wake who waits; without any, looks are taken at pauses that grow.
        clock: measures.
    """

    def __init__(
        self, backend: Backend, cache: str, *, ttl: float, messages: Messages | None, clock: Clock
    ) -> None:
        self.ttl = ttl
        self.waited = 0
        self._backend = backend
        self._cache = cache
        self._messages = messages
        self._clock = clock

    # Any: what `find` finds.
    async def take(self, key: str, find: Callable[[], Awaitable[Any]]) -> tuple[Lease | None, Any]:
        """Wait for the right to load `key`, or for its value.

        Args:
            key: what is to be loaded.
            find: looks for the value; None if there is none.

        Returns:
            The lease, and what was found. Neither, where the backend fails or leases are held
            for too long: then everyone loads for itself.
        """
        pause, deadline = _LOOK_FIRST, self._clock.monotonic() + 2 * self.ttl
        first = True
        while self._clock.monotonic() < deadline:
            try:
                lease = await Lease.acquire(
                    self._backend, f"cache:{self._cache}:load:{key}", ttl=self.ttl
                )
            except BackendError:
                return None, None
            if lease is not None:
                # Between our look and the lease, another may have stored it and given it back.
                try:
                    found = await find()
                except BaseException:  # whoever asked was cancelled, say
                    await release(lease)
                    raise
                if found is None:
                    return lease, None
                await release(lease)
                return None, found
            self.waited += first
            first = False
            if self._messages is None:
                await self._clock.sleep(pause)
                pause = min(2 * pause, _LOOK_MAX)
            else:
                await self._messages.stored(key, _LOOK_MAX)
            found = await find()
            if found is not None:
                return None, found
        return None, None


async def release(lease: Lease) -> None:
    """Give a lease back; if the backend fails it runs out by itself."""
    try:
        await lease.release()
    except BackendError:
        return
