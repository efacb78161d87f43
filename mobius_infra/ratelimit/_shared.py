"""Limits kept by a backend for a whole fleet, and what holds while it is away."""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from mobius_infra.core import Backend, BackendError, Clock, Events
from mobius_infra.ratelimit._events import LimiterDegraded, LimiterRestored
from mobius_infra.ratelimit._kind import SECOND
from mobius_infra.ratelimit._policy import Policy
from mobius_infra.ratelimit._step import DECIDE, written
from mobius_infra.ratelimit._table import Taken, key_of, short

OnError = Literal["local", "open", "closed"]

_PROBE: Final = 0.5  # seconds between two decisions that try a backend that is away
_PROOF: Final = 3  # of them that must be answered one after the other before it is trusted again
_CAUTION: Final = 60.0  # seconds at most that shares go on holding once it is back


class Share(NamedTuple):
    """A policy, and this process's share of it for when the backend is away."""

    policy: Policy
    local: Policy


class Shared:
    """Decides on a backend: one script a decision, at the backend's own time.

    When it fails, the decision at hand and those that follow are made as `on_error` says, without
    asking it but for one in `_PROBE` seconds; so a dead backend costs nobody its time-out. It is
    trusted again once it answered several in a row. With `local`, the process's share goes on
    holding beside the backend for as long as a limit takes to fill, a minute at most: the backend
    knows nothing of what passed meanwhile, and a fleet that came back to full buckets all at once
    would be a burst.

    Args:
        name: of the limiter.
        backend: keeps the limits.
        on_error: what holds while it is away.
        mirror: count what it grants against this process's share too.
        clock: measures pauses.
        events: where the loss and the return are told.
    """

    __slots__ = (
        "_answered", "_backend", "_careful_until", "_clock", "_events", "_lost_at", "_mirror",
        "_name", "_on_error", "_probe_at", "errors",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        backend: Backend,
        on_error: OnError,
        mirror: bool,
        clock: Clock,
        events: Events,
    ) -> None:
        self._name = name
        self._backend = backend
        self._on_error = on_error
        self._mirror = mirror and on_error == "local"
        self._clock = clock
        self._events = events
        self._lost_at: float | None = None
        self._probe_at = self._careful_until = 0.0
        self._answered = 0
        self.errors = 0

    @property
    def degraded(self) -> bool:
        """Whether the backend is away."""
        return self._lost_at is not None

    async def take(self, share: Share, key: str, cost: int, most: int, patience: int) -> Taken:
        """Take tokens; see `_step.evaluate`."""
        now = self._clock.monotonic()
        if self._lost_at is None and now >= self._careful_until:
            try:
                taken = await self._run(share.policy, key, "take", cost, most, patience)
            except BackendError as error:
                self._failed(error)
                return self._without(share, key, cost, most, patience)
            if self._mirror and taken.granted > 0:
                # As far as it is there: one process may have more than its share.
                share.local.table.take(key_of(key), 0, taken.granted, 0)
            return taken
        return await self._carefully(share, key, cost, most, patience, now)

    async def _carefully(
        self, share: Share, key: str, cost: int, most: int, patience: int, now: float
    ) -> Taken:
        """Take tokens by what holds without the backend, and of it too if it may be there."""
        own = self._without(share, key, cost, most, patience)
        beside = self._on_error == "local"  # the share holds too; else only while it is away
        refused = beside and own.granted < 0
        if self._lost_at is None:
            if refused:
                return own
        elif now < self._probe_at:
            return own
        else:
            self._probe_at = now + _PROBE
        most = own.granted if own.granted > 0 else most
        try:
            # Whoever is refused anyway may still find out whether it is back.
            op: Literal["take", "peek"] = "peek" if refused else "take"
            taken = await self._run(share.policy, key, op, cost, most, patience)
        except BackendError as error:
            self._failed(error)
            return own
        self._worked(share)
        if refused:
            return own
        if beside and taken.granted < own.granted:
            spare = own.granted - max(taken.granted, 0)
            share.local.table.give_back(key_of(key), spare, own)
        if beside and taken.granted >= 0:
            return taken._replace(wait=max(taken.wait, own.wait))
        return taken

    async def peek(self, share: Share, key: str, cost: int) -> Taken:
        """Say what a call would get."""
        told = None
        if self._lost_at is None:
            try:
                told = await self._run(share.policy, key, "peek", cost, cost, 0)
            except BackendError as error:
                self._failed(error)
        if told is not None and self._clock.monotonic() >= self._careful_until:
            return told
        if self._on_error != "local":
            return told or self._without(share, key, cost, cost, 0)
        own = share.local.table.peek(key_of(key), min(cost, share.local.quota))
        return own if told is None or own.wait > told.wait else told

    async def give_back(self, share: Share, key: str, cost: int, taken: Taken) -> None:
        """Give back to where it was taken; what a backend can't be told is lost."""
        if taken.home == "share":
            share.local.table.give_back(key_of(key), cost, taken)
        elif taken.home == "backend" and self._lost_at is None:
            try:
                await self._run(share.policy, key, "refund", cost, cost, 0, taken.at, taken.marks)
            except BackendError as error:
                self._failed(error)

    async def reset(self, share: Share, key: str) -> None:
        """Make the limits of `key` as fresh.

        Raises:
            BackendError: if the backend failed.
        """
        share.local.table.reset(key_of(key))
        await self._backend.delete(self._stored(share.policy, key))

    def _stored(self, policy: Policy, key: str) -> str:
        return f"ratelimit:{self._name}:{policy.label}:{short(key)}"

    async def _run(
        self,
        policy: Policy,
        key: str,
        op: Literal["take", "peek", "refund"],
        cost: int,
        most: int,
        patience: int,
        at: int = 0,
        marks: Sequence[int] = (),
    ) -> Taken:
        words = written(policy.rules, marks) if marks else policy.words
        script = policy.taker if op == "take" else DECIDE
        stored = self._stored(policy, key)
        reply = await self._backend.run(script, stored, op, cost, most, patience, at, *words)
        granted, wait, now, *told = reply
        left = tuple(zip(told[::3], told[1::3], strict=True))
        return Taken(granted, wait, now, told[2::3], left, "backend")

    def _without(self, share: Share, key: str, cost: int, most: int, patience: int) -> Taken:
        """Decide as was chosen for when the backend is away."""
        if self._on_error == "local":
            local = share.local
            # What costs more than a share holds takes all of it.
            cost, most = min(cost, local.quota), min(most, local.quota)
            taken = local.table.take(key_of(key), cost, most, min(patience, local.patience))
            return taken._replace(home="share")
        limits = share.policy.limits
        if self._on_error == "open":
            left = tuple((limit.quota, 0) for limit in limits)
            return Taken(most, 0, 0, (), left, "nowhere")
        pause = int(_PROBE * SECOND)
        return Taken(-1, pause, 0, (), tuple((0, pause) for _ in limits), "nowhere")

    def _failed(self, error: BackendError) -> None:
        self.errors += 1
        self._answered = 0
        now = self._clock.monotonic()
        self._probe_at = now + _PROBE
        if self._lost_at is None:
            self._lost_at = now
            at = self._clock.time()
            self._events.emit(LimiterDegraded(source=self._name, at=at, reason=str(error)))

    def _worked(self, share: Share) -> None:
        if self._lost_at is None:
            return
        self._answered += 1
        if self._answered < _PROOF:
            return
        now = self._clock.monotonic()
        down_for, self._lost_at, self._answered = now - self._lost_at, None, 0
        if self._on_error == "local":
            longest = max(limit.window for limit in share.local.limits)
            self._careful_until = now + min(longest, _CAUTION)
        self._events.emit(
            LimiterRestored(source=self._name, at=self._clock.time(), down_for=down_for)
        )
