"""What a call that passed holds: the right to have its cost back."""

from collections.abc import Awaitable, Callable

from mobius_infra.core import require
from mobius_infra.ratelimit._kind import require_whole
from mobius_infra.ratelimit._policy import Decision


class Permit:
    """Tokens taken, now or ahead of their time.

    Attributes:
        key: whose.
        cost: how many.
        decision: how the limits stand since.
    """

    __slots__ = ("_refund", "cost", "decision", "key")

    def __init__(
        self,
        key: str,
        cost: int,
        decision: Decision,
        refund: Callable[[int], Awaitable[None]],
    ) -> None:
        self.key = key
        self.cost = cost
        self.decision = decision
        self._refund: Callable[[int], Awaitable[None]] | None = refund

    @property
    def delay(self) -> float:
        """Seconds from the decision until what was taken may be used; 0: at once."""
        return self.decision.delay

    async def refund(self, amount: int) -> None:
        """Give back some of it: what was not needed after all. Once; a second time does nothing.

        What would have come back by itself since is not given back again, so that a refund never
        lets more through than the limit says. What is kept on a backend that has failed is lost.

        Raises:
            ConfigurationError: if it is not from 0 to the cost.
        """
        require_whole("amount", amount, 0)
        require(amount <= self.cost, "amount", amount, f"at most the cost, {self.cost}")
        refund, self._refund = self._refund, None
        if refund is not None and amount:
            await refund(amount)

    async def cancel(self) -> None:
        """Give it all back: the call was not made, and won't be."""
        await self.refund(self.cost)

    def __repr__(self) -> str:
        return f"Permit(key={self.key!r}, cost={self.cost}, delay={self.delay:g})"
