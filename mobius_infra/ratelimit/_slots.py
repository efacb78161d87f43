"""So many calls at once, and a fair queue of those that wait for one to end."""

import asyncio
from collections.abc import Callable

from mobius_infra.core import Clock
from mobius_infra.ratelimit._fair_codel import Codel
from mobius_infra.ratelimit._fair_queue import FairQueue
from mobius_infra.ratelimit._overload_errors import ConcurrencyLimitError, Reason


class Waiter:
    """A call that waits. Its future says why it was refused, or None when it has got a slot."""

    __slots__ = ("future", "since", "tenant")

    def __init__(self, tenant: str, since: float) -> None:
        self.tenant = tenant
        self.since = since
        loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Reason | None] = loop.create_future()

    @property
    def granted(self) -> bool:
        """Whether it has a slot."""
        future = self.future
        return future.done() and not future.cancelled() and future.result() is None


class Slots:
    """Counts the calls under way, and hands the slot of one that ends to the next that waits.

    While something waits, no slot is free: one that comes free is handed over at once. So a caller
    that finds `inflight < limit` overtakes nobody, and takes the slot by adding one.

    Args:
        limit: calls at once.
        queue: of those that wait.
        max_wait: seconds that a call waits at most; 0: none waits.
        codel: makes what thins the queue of one tenant; None: nothing is dropped but by `max_wait`.
        refuse: counts a refusal of a tenant's call, and makes its error.
        clock: measures the waiting.
    """

    __slots__ = (
        "_clock", "_codel", "_codels", "_refuse", "inflight", "limit", "max_wait", "queue",
        "waited",
    )  # fmt: skip

    def __init__(
        self,
        limit: int,
        queue: FairQueue[Waiter],
        max_wait: float,
        codel: Callable[[], Codel] | None,
        refuse: Callable[[str, Reason], ConcurrencyLimitError],
        clock: Clock,
    ) -> None:
        self.limit = limit
        self.queue = queue
        self.max_wait = max_wait
        self.inflight = 0
        self.waited = 0
        self._codel = codel
        self._codels: dict[str, Codel] = {}  # of the tenants that have something waiting
        self._refuse = refuse
        self._clock = clock

    async def take(self, tenant: str = "", cost: float = 1.0) -> None:
        """Take a slot, waiting for it if need be.

        Raises:
            ConcurrencyLimitError: if none is free, or came free in time.
        """
        if self.inflight < self.limit:
            self.inflight += 1
            return
        if not self.max_wait:
            raise self._refuse(tenant, "full")
        waiter = Waiter(tenant, self._clock.monotonic())
        if not self.queue.push(tenant, waiter, cost):
            raise self._refuse(tenant, "queue full")
        timer = asyncio.create_task(self._expire(waiter))
        try:
            refused = await waiter.future
        except BaseException as error:  # cancelled, or its coroutine was closed
            self._leave(waiter)
            if waiter.granted:  # in the same turn of the loop: pass it on
                self.release()
            # Whoever gave it up, as a time-out around it did, can see that nothing was tried.
            raise error from self._refuse(tenant, "cancelled")
        finally:
            timer.cancel()
        if refused is not None:
            raise self._refuse(tenant, refused)
        self.waited += 1

    def release(self) -> None:
        """Give a slot back.

        Raises:
            RuntimeError: if none is taken; the limit would be exceeded from then on.
        """
        if self.inflight <= 0:
            raise RuntimeError("a slot was given back that nobody had taken")
        self.inflight -= 1
        if self.inflight + 1 >= self.limit:  # else nothing waits
            self.hand_over()

    def resize(self, limit: int) -> None:
        """Change the limit. Calls above a lower one end as they will, and are not replaced."""
        self.limit = limit
        self.hand_over()

    def hand_over(self) -> None:
        """Give what slots are free to those whose turn it is."""
        while self.inflight < self.limit and (waiter := self.queue.pop(self._void)) is not None:
            self.inflight += 1
            waiter.future.set_result(None)

    def _void(self, waiter: Waiter) -> bool:
        """Say whether `waiter`, just taken out, is not to get a slot; tell it, if it is dropped."""
        last = self._forget(waiter.tenant)
        if waiter.future.done():  # cancelled, and about to leave
            return True
        if self._codel is None or last:
            return False
        codel = self._codels.get(waiter.tenant)
        if codel is None:
            codel = self._codels[waiter.tenant] = self._codel()
        now = self._clock.monotonic()
        dropped = codel.drops(now - waiter.since, now)
        if dropped:
            waiter.future.set_result("dropped")
        return dropped

    async def _expire(self, waiter: Waiter) -> None:
        await self._clock.sleep(self.max_wait)
        if not waiter.future.done():
            self._leave(waiter)
            waiter.future.set_result("waited too long")

    def _leave(self, waiter: Waiter) -> None:
        self.queue.remove(waiter)
        self._forget(waiter.tenant)

    def _forget(self, tenant: str) -> bool:
        """Say whether nothing of `tenant` waits any more; then its queue has no history either."""
        gone = not self.queue.waiting(tenant)
        if gone:
            self._codels.pop(tenant, None)
        return gone
