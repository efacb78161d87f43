"""The seam between a circuit and those that share it.

`CircuitBreaker(..., fleet=fleet)` calls `fleet.join(breaker)` once, when it is made, and gets a
`Member`. From then on the breaker tells it each change that was decided here, and asks it before
each probe. In return the member calls, from the event loop's thread:

- `breaker.force_open(seconds, reason=…, number=…)`: the fleet's circuit is open;
- `breaker.force_close()`: it is closed; the ramp-up follows, if there is one.

What is isolated by hand stays isolated, whatever the fleet says. A breaker without a fleet pays
nothing for any of this.
"""

from typing import TYPE_CHECKING, Protocol

from mobius_infra.breaker._state import Change, Outcome, Permit

if TYPE_CHECKING:
    from mobius_infra.breaker._breaker import CircuitBreaker


class Member(Protocol):
    """One circuit's part in a fleet. None of its methods may raise."""

    def changed(self, change: Change) -> None:
        """Hear of a change of state, before the listeners do.

        That a rule tripped here is a change to `OPEN` whose `opening.rule` says which; one that
        the fleet forced has the rule `FLEET`. Called where the change happened: it must not block.
        """
        ...

    async def claim(self, permit: Permit) -> bool:
        """Ask the fleet for the right to make the probe that `permit` stands for.

        The call waits for the answer, so it must come within a bounded time. If the fleet's
        circuit is closed, or nobody can be asked, the answer is True, and the probe a local one.
        If it turns out to be another than was thought, the member forces the circuit and answers
        True: the permit is of an older generation then, and the breaker begins anew. If it is
        cancelled or raises, no call is made, and `settled` is not called: what was claimed by then
        is the member's to give back.
        """
        ...

    def settled(self, permit: Permit, outcome: Outcome) -> None:
        """Hear how a probe ended, claimed or not, once, after the circuit has counted it."""
        ...


class Fleet(Protocol):
    """Makes members."""

    def join(self, breaker: "CircuitBreaker") -> Member:
        """Return the part of `breaker`; called while it is made, so it must only remember it.

        The breaker keeps the member. The fleet keeps it weakly: the circuit of a key is forgotten
        without a word.
        """
        ...
