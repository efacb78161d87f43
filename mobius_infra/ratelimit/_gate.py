"""How calls get in: at once, after a wait, or not at all."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from mobius_infra.core import Clock
from mobius_infra.ratelimit._errors import RateLimitedError
from mobius_infra.ratelimit._kind import SECOND
from mobius_infra.ratelimit._line import Lines
from mobius_infra.ratelimit._permit import Permit
from mobius_infra.ratelimit._shared import Share, Shared
from mobius_infra.ratelimit._step import OWN
from mobius_infra.ratelimit._table import Taken, key_of, short

_RESETS: Final = 1_000  # that are known by key; more, and what was taken before is nobody's


class Gate:
    """The way in of one limiter, and who was counted there.

    Args:
        name: the limiter's, for errors.
        shared: keeps the limits for the fleet; None: they are in this process.
        clock: measures waits.
        max_wait: seconds that a call waits at most; None: calls are refused at once.
        max_waiting: calls of one key that wait at most.
    """

    __slots__ = (
        "_all_reset", "_background", "_clock", "_max_wait", "_name", "_reset", "_resets", "_shared",
        "allowed", "limited", "lines", "waited",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        shared: Shared | None,
        *,
        clock: Clock,
        max_wait: float | None,
        max_waiting: int,
    ) -> None:
        self._name = name
        self._shared = shared
        self._clock = clock
        self._max_wait = max_wait
        self.lines = Lines(max_waiting)
        self._background: set[asyncio.Task[Any]] = set()  # kept, or they would be collected
        self.allowed = self.limited = self.waited = 0
        self._resets = self._all_reset = 0  # how many there were; and when the latest of all was
        self._reset: dict[str, int] = {}  # the latest of each key

    @property
    def waiting(self) -> int:
        """Calls that wait now."""
        return self.lines.waiting

    @property
    def waits(self) -> bool:
        """Whether calls wait, instead of being refused."""
        return self._max_wait is not None

    async def enter(self, share: Share, key: str, cost: int) -> Taken:
        """Take `cost` and return once it may be used.

        Raises:
            RateLimitedError: if it is not there, or would not be in time.
        """
        if self._max_wait is not None:
            taken = await self.wait(share, key, cost)
        else:
            taken = await self.take(share, key, cost, OWN if share.policy.queued else 0)
            if taken.granted >= 0 and taken.wait:
                await self._hold(share, key, cost, taken)
        return self.counted(share, key, taken)

    async def take(self, share: Share, key: str, cost: int, patience: int) -> Taken:
        """Take `cost`; see `_step.evaluate`."""
        if self._shared is None:
            return share.policy.table.take(key_of(key), cost, cost, patience)
        return await self._shared.take(share, key, cost, cost, patience)

    def permit(
        self,
        share: Share,
        key: str,
        cost: int,
        taken: Taken,
        *,
        delay: bool,
        back: Callable[[str, int, Taken], None] | None = None,
    ) -> Permit:
        """Return what stands for tokens taken.

        Args:
            share: of what.
            key: whose.
            cost: how many.
            taken: the decision.
            delay: whether they are still waited for.
            back: takes back what is given back, if that is not where it was taken.

        Raises:
            RateLimitedError: if they were refused.
        """
        if taken.granted < 0:
            raise self.refuse(share, key, taken)
        self.allowed += delay
        told = share.policy.decision(taken if delay else taken._replace(wait=0), allowed=True)
        since = self._resets

        async def refund(amount: int) -> None:
            if self._was_reset(key, since):
                return
            if back is None:
                await self._give_back(share, key, amount, taken)
            else:
                back(key, amount, taken)

        return Permit(key, cost, told, refund)

    def counted(self, share: Share, key: str, taken: Taken) -> Taken:
        """Return what was granted, counted.

        Raises:
            RateLimitedError: if nothing was.
        """
        if taken.granted < 0:
            raise self.refuse(share, key, taken)
        self.allowed += 1
        return taken

    def refuse(self, share: Share, key: str, taken: Taken) -> RateLimitedError:
        """Count a refusal; return what is raised."""
        self.limited += 1
        return RateLimitedError(self._name, key, share.policy.decision(taken, allowed=False))

    def note_reset(self, key: str) -> None:
        """Note that all was given to `key` again: what was taken before is not given back too."""
        self._resets += 1
        if len(self._reset) >= _RESETS:
            self._reset.clear()
            self._all_reset = self._resets
        self._reset[key] = self._resets

    def _was_reset(self, key: str, since: int) -> bool:
        return self._reset.get(short(key), self._all_reset) > since

    async def settle(self) -> None:
        """Wait until what cancelled callers took has been given back."""
        if self._background:
            await asyncio.wait(self._background)

    async def wait(self, share: Share, key: str, cost: int) -> Taken:
        """Wait in line for `cost`, `max_wait` seconds at most."""
        policy, max_wait = share.policy, self._max_wait or 0.0
        place = f"{policy.label}:{key}"
        now = self._clock.monotonic()
        ahead = self.lines.ahead(place, now, None if policy.queued else cost, policy.pace)
        if ahead is None or ahead > max_wait:
            wait = int((max_wait if ahead is None else ahead) * SECOND)
            return Taken(-1, wait, 0, (), tuple((0, wait) for _ in policy.limits))
        deadline = now + max_wait
        async with self.lines.turn(place, cost):
            # All wait as long at most, so none behind is due before the head has gone.
            while True:
                now = self._clock.monotonic()
                patience = min(max(int((deadline - now) * SECOND), 0), policy.patience)
                ahead_of_time = patience if policy.promises else 0
                taken = await self._take_or_return(share, key, cost, ahead_of_time)
                if not taken.wait or (taken.granted < 0 and taken.wait > patience):
                    return taken
                if taken.granted < 0 and policy.promises:
                    return taken  # closed, or this process's share is too small
                self.lines.expect(place, now + taken.wait / SECOND)
                if taken.granted >= 0:
                    await self._hold(share, key, cost, taken)
                    self.waited += 1
                    return taken
                await self._clock.sleep(taken.wait / SECOND)

    async def _hold(self, share: Share, key: str, cost: int, taken: Taken) -> None:
        """Wait until what was taken ahead may be used; who is cancelled gives it back."""
        since = self._resets
        try:
            await self._clock.sleep(taken.wait / SECOND)
        except asyncio.CancelledError:
            if not self._was_reset(key, since):
                self._return(share, key, cost, taken)
            raise

    async def _take_or_return(self, share: Share, key: str, cost: int, patience: int) -> Taken:
        """Take; who is cancelled while a backend is asked gives back what it may have taken."""
        if self._shared is None:
            return await self.take(share, key, cost, patience)
        asking = asyncio.ensure_future(self.take(share, key, cost, patience))
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            self._spawn(self._return_once_known(share, key, cost, asking))
            raise

    async def _return_once_known(
        self, share: Share, key: str, cost: int, asking: "asyncio.Future[Taken]"
    ) -> None:
        taken = await asking
        if taken.granted >= 0:
            await self._give_back(share, key, cost, taken)

    def _return(self, share: Share, key: str, cost: int, taken: Taken) -> None:
        """Give back what a cancelled caller took; it can't wait for a backend itself."""
        if self._shared is None:
            share.policy.table.give_back(key_of(key), cost, taken)
        else:
            self._spawn(self._shared.give_back(share, key, cost, taken))

    async def _give_back(self, share: Share, key: str, cost: int, taken: Taken) -> None:
        if self._shared is None:
            share.policy.table.give_back(key_of(key), cost, taken)
        else:
            await self._shared.give_back(share, key, cost, taken)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
