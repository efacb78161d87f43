"""How far users come on their way through steps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from mobius_infra.core import Clock, Events, Stats, SystemClock, counter, gauge, require
from mobius_infra.metrics._distinct import Item, fingerprint


@dataclass(frozen=True, slots=True)
class FunnelStats(Stats):
    """How far users came."""

    reached: Mapping[str, int] = counter("Users who came to a step, once each way", label="step")
    users: Mapping[str, int] = gauge("Users under way who came at least so far", label="step")
    conversion: Mapping[str, float] = gauge("Share of them, of all under way", label="step")
    out_of_order: Mapping[str, int] = counter("Steps without the one before", label="step")
    forgotten: int = counter("Users under way who made room for newer ones")


@dataclass(slots=True)
class _Way:
    """One user's way: when it began, and the number of the last step."""

    began: float
    last: int = 0


class Funnel:
    """Steps that users take one after the other, and how many take each.

        funnel = Funnel("alerts", ["start", "price", "alert"])
        funnel.reach("price", message.from_user.id)

    A user's way begins with the first step and is over `within` seconds later; then another one
    may begin. On it each step counts once, however often it is repeated, and only after the step
    before it. `reached` counts for ever; `users` and `conversion` are of the ways that are not
    over, which makes them the figures of the last `within` seconds.

    At most `max_users` are under way, about 200 bytes each; the one who began first makes room.

    Args:
        name: for its numbers.
        steps: two or more, in order.
        within: seconds from the first step that a user has for all.
        max_users: bound of the memory.
        clock: measures the way.

    Raises:
        ConfigurationError: if there is no name, fewer than two different steps, or a bound that
            is not positive.
    """

    __slots__ = (
        "__weakref__", "_at", "_clock", "_forgotten", "_max_users", "_numbers", "_out_of_order",
        "_reached", "_ways", "_within", "events", "name",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        steps: Sequence[str],
        *,
        within: float = 86_400.0,
        max_users: int = 10_000,
        clock: Clock | None = None,
    ) -> None:
        require(bool(name), "name", name, "a name for its numbers")
        several = not isinstance(steps, str) and len(steps) == len(set(steps)) > 1
        require(several, "steps", steps, "two or more different names")
        good = not isinstance(within, bool) and 0 < within < float("inf")
        require(good, "within", within, "a positive number of seconds")
        good = type(max_users) is int and max_users > 0
        require(good, "max_users", max_users, "a positive number")
        self.name = name
        self.events = Events()
        self._clock = clock or SystemClock()
        self._within = within
        self._max_users = max_users
        self._numbers = {step: number for number, step in enumerate(steps)}
        self._reached = dict.fromkeys(steps, 0)
        self._out_of_order = dict.fromkeys(steps, 0)
        self._at = [0] * len(steps)  # users under way, by their last step
        self._ways: dict[int, _Way] = {}  # by fingerprint, the earliest first
        self._forgotten = 0

    @property
    def steps(self) -> tuple[str, ...]:
        """The names of the steps, in order."""
        return tuple(self._numbers)

    def reach(self, step: str, user: Item) -> None:
        """Note that a user came to a step.

        Raises:
            ConfigurationError: if there is no such step.
        """
        require(step in self._numbers, "step", step, f"one of {list(self._numbers)}")
        number, key, now = self._numbers[step], fingerprint(user), self._clock.monotonic()
        self._end_old(now)
        way = self._ways.get(key)
        last = -1 if way is None else way.last
        if number <= last:
            return
        if number > last + 1:
            self._out_of_order[step] += 1
            return
        if way is None:
            self._ways[key] = _Way(now)
            if len(self._ways) > self._max_users:
                self._forgotten += 1
                self._end_first()
        else:
            way.last = number
            self._at[last] -= 1
        self._at[number] += 1
        self._reached[step] += 1

    def _end_old(self, now: float) -> None:
        """End the ways whose time is over; all have the same time, so the earliest come first."""
        while self._ways and next(iter(self._ways.values())).began <= now - self._within:
            self._end_first()

    def _end_first(self) -> None:
        way = self._ways.pop(next(iter(self._ways)))
        self._at[way.last] -= 1

    def stats(self) -> FunnelStats:
        """Return the numbers of every step."""
        self._end_old(self._clock.monotonic())
        at_least = reversed(list(accumulate(reversed(self._at))))
        users = dict(zip(self._numbers, at_least, strict=True))
        every = len(self._ways)
        return FunnelStats(
            reached=dict(self._reached),
            users=users,
            conversion={step: number / every for step, number in users.items() if every},
            out_of_order=dict(self._out_of_order),
            forgotten=self._forgotten,
        )

    def __repr__(self) -> str:
        return f"Funnel({self.name!r}, steps={list(self._numbers)}, users={len(self._ways)})"
