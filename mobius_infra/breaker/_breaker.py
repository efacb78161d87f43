"""The circuit breaker as its users see it."""

import random
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, Unpack

from mobius_infra.breaker._backoff import Backoff
from mobius_infra.breaker._config import BreakerConfig
from mobius_infra.breaker._entered import Entered
from mobius_infra.breaker._errors import CircuitOpenError
from mobius_infra.breaker._events import event_of
from mobius_infra.breaker._explain import Explanation, explain
from mobius_infra.breaker._machine import Machine
from mobius_infra.breaker._matching import ResultMatch
from mobius_infra.breaker._member import Fleet
from mobius_infra.breaker._policy import CodeOptions, ModeName, Policy, mode_of
from mobius_infra.breaker._rules import Calls, RampUp, Rules, Seconds
from mobius_infra.breaker._state import Mode, Outcome, Permit, State
from mobius_infra.breaker._stats import BreakerStats, stats_of
from mobius_infra.breaker._streams import StreamDecorator, guard_stream
from mobius_infra.breaker._verdicts import ErrorTest, RetryAfter, Verdicts
from mobius_infra.breaker._wrap import guard
from mobius_infra.core import Clock, Events, SystemClock, require

CLOSED, SUCCESS = State.CLOSED, Outcome.SUCCESS  # quicker to look up than the enums' members

P = ParamSpec("P")
R = TypeVar("R")
E = TypeVar("E")

Moved = Callable[["CircuitBreaker", State], None]
"""Hears of each change of one key's circuit."""


class CircuitBreaker(StreamDecorator):
    """Stops calling what keeps failing, and finds out by itself when it is well again.

        coingecko = CircuitBreaker("coingecko", failure_rate=0.5, window=Calls(20))

        @coingecko
        async def price(coin: str) -> Decimal: ...

    It opens when any of its rules says so, rejects calls for a while, then lets a few through
    (probes), closes when they succeed, and opens for longer when one fails. Cancelled calls,
    `GeneratorExit`, `KeyboardInterrupt`, `SystemExit`, rejections from a breaker, limiter or
    bulkhead further in, and `ignored` errors say nothing about the dependency: they count neither
    as failures nor as successes, and give a probe's slot back.

    It belongs to one event loop, and has no lock: nothing is awaited between looking at the state
    and changing it. Other threads may read `state`, `stats()` and `explain()`.

    Args:
        name: labels its numbers, events and errors.
        consecutive_failures: opens after so many in a row; None: no such rule.
        failure_rate: opens when this share of the calls in the window failed, in (0, 1]; None: no
            such rule.
        slow_rate: opens when this share of them took longer than `slow_after`; None: no such rule.
        slow_after: seconds from which a call is slow, also one that is cancelled after them: a
            time-out around it doesn't hide that the dependency hangs. A slow probe is a failed one.
        window: what the rates look at: `Calls(n)` or `Seconds(n)`.
        minimum_calls: calls that must be in the window before a rate counts.
        backoff: seconds until the first probe, growing with each opening without having closed.
        permits: probes that may be out at once.
        successes: probes that must succeed before calls pass again.
        probe_timeout: seconds after which a probe that has not returned counts as failed.
        ramp_up: let a growing share of the calls through after the probes succeeded; the rules
            may open it again on the way. None: all of them at once.
        failed_on: errors that count as failures; any other `Exception` is the dependency's answer.
        ignored: errors that say nothing, though `failed_on` names them.
        failed_if: a result for which this is true counts as a failure.
        retry_after: takes the error or the result of a failure, and returns the seconds for which
            the dependency asked to be left alone, or None. Wins over `backoff`, up to its `most`.
        mode: `enabled`; `shadow`, which rejects nobody and says when it would have; `disabled`,
            which counts calls and does nothing else.
        fleet: shares the circuit with other processes; None: it is this one's.
        clock: measures all of it.
        draw: gives random numbers in [0, 1).

    Raises:
        ConfigurationError: for a value out of range; names field, value and range.
    """

    __slots__ = (
        "__weakref__", "_announcing", "_entered", "_machine", "_member", "_monotonic", "_moved",
        "events", "key", "name", "policy",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        *,
        consecutive_failures: int | None = 5,
        failure_rate: float | None = 0.5,
        slow_rate: float | None = None,
        slow_after: float | None = None,
        window: Calls | Seconds = Calls(20),
        minimum_calls: int = 10,
        backoff: Backoff = Backoff(),
        permits: int = 1,
        successes: int = 1,
        probe_timeout: float = 30.0,
        ramp_up: RampUp | None = None,
        failed_on: ErrorTest = Exception,
        ignored: ErrorTest = (),
        failed_if: ResultMatch | None = None,
        retry_after: RetryAfter | None = None,
        mode: ModeName = "enabled",
        fleet: Fleet | None = None,
        clock: Clock | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        require(bool(name), "name", name, "a name for numbers and events")
        rules = Rules(
            consecutive_failures=consecutive_failures, failure_rate=failure_rate,
            slow_rate=slow_rate, slow_after=slow_after, window=window,
            minimum_calls=minimum_calls, backoff=backoff, permits=permits, successes=successes,
            probe_timeout=probe_timeout, ramp_up=ramp_up,
        )  # fmt: skip
        verdicts = Verdicts(failed_on, ignored, failed_if, retry_after)
        policy = Policy(rules, verdicts, fleet, mode_of(mode), clock or SystemClock(), draw)
        self._begin(name, policy, Events())

    def _begin(
        self,
        name: str,
        policy: Policy,
        events: Events,
        key: str | None = None,
        moved: Moved | None = None,
    ) -> None:
        self.name = name
        self.key = key
        self.events = events
        self.policy = policy
        self._monotonic = policy.clock.monotonic
        self._machine = Machine(policy.rules, policy.draw, policy.mode, self._monotonic())
        self._entered: Entered[Permit] | None = None
        self._announcing = False
        self._moved = moved
        self._member = None if policy.fleet is None else policy.fleet.join(self)

    @classmethod
    def one_of(cls, policy: Policy, name: str, key: str, events: Events, moved: Moved) -> Self:
        """Make the circuit of one key: it shares all but its state. For `KeyedBreaker`."""
        breaker = cls.__new__(cls)
        breaker._begin(name, policy, events, key, moved)
        return breaker

    @classmethod
    def from_config(cls, config: BreakerConfig, **options: Unpack[CodeOptions]) -> Self:
        """Build one from settings, and from what files can't say."""
        return cls(config.name, **config.options(**options))

    @property
    def state(self) -> State:
        """The state as callers meet it: in shadow mode or disabled, closed unless isolated.

        What is open becomes half-open by the first call after the pause, not by time alone.
        """
        return self._machine.visible

    @property
    def rules(self) -> Rules:
        """What it decides by."""
        return self.policy.rules

    @property
    def mode(self) -> Mode:
        """Whether its verdicts are carried out. Setting it begins anew, unless it is isolated."""
        return self._machine.mode

    @mode.setter
    def mode(self, mode: ModeName) -> None:
        self._machine.set_mode(mode_of(mode), self._monotonic())
        self._announce()

    def stats(self) -> BreakerStats:
        """Return the numbers as they are now."""
        return stats_of(self._machine, self._monotonic())

    def explain(self) -> Explanation:
        """Say why the circuit is as it is, with the evidence, and what happens next."""
        return explain(self._machine, self.name, self.key, self._monotonic())

    def classify(self, error: BaseException) -> Outcome:
        """Say what an error means. Of a group, one failure among the leaves makes a failure."""
        return self.policy.verdicts.of_error(error)

    # By hand, and by the fleet.

    def isolate(self, reason: str = "isolated by hand") -> None:
        """Open the circuit by hand, in whatever mode; it stays open until `reset`."""
        self._machine.isolate(self._monotonic(), reason)
        self._announce()

    def reset(self) -> None:
        """Close the circuit by hand, at once, forgetting what was counted in the window."""
        self._machine.close(self._monotonic())
        self._announce()

    def force_open(self, seconds: float, *, reason: str, number: int) -> None:
        """Open because the fleet did. For a `Member`.

        Args:
            seconds: until a probe, which the member must grant.
            reason: in words.
            number: the fleet's openings in a row, without having closed.
        """
        self._machine.force_open(self._monotonic(), seconds, reason, number)
        self._announce()

    def force_close(self) -> None:
        """Close because the fleet did, by the ramp-up if there is one. For a `Member`."""
        self._machine.force_close(self._monotonic())
        self._announce()

    # One call at a time.

    def admit(self) -> Permit:
        """Ask for the right to make one call; whoever gets it must `settle` it.

        Raises:
            CircuitOpenError: if the circuit lets no call through now, or only a probe, in a fleet:
                `acquire` asks that.
        """
        permit = self._ask()
        if permit is None or (permit.probe and self._must_claim):
            raise self._rejection(permit)
        return permit

    async def acquire(self) -> Permit:
        """Ask as `admit` does, and before a probe the fleet, if there is one.

        Raises:
            CircuitOpenError: if the circuit lets no call through now.
        """
        permit = self._ask()
        if permit is None:
            raise self._rejection(permit)
        if self._member is None or not permit.probe:
            return permit
        try:
            granted = await self._member.claim(permit)
        except BaseException:
            self._drop(permit)
            raise
        if not granted:
            raise self._rejection(permit)
        if permit.generation == self._machine.generation:
            permit.began = self._monotonic()  # what the fleet took makes no call slow
            return permit
        # The circuit has changed while the fleet was asked: the probe is not for it any more.
        self.settle(permit, Outcome.NEUTRAL)
        return await self.acquire()

    def settle(
        self,
        permit: Permit,
        outcome: Outcome,
        *,
        cause: str | None = None,
        hold: float | None = None,
    ) -> None:
        """Say how the call ended. A second time, or too late, changes no state.

        Args:
            permit: the call's.
            outcome: how it ended.
            cause: the type of a failure's error, for `explain`.
            hold: seconds for which the dependency asked to be left alone.
        """
        if permit.settled:
            return
        self._machine.settle(permit, outcome, self._monotonic(), cause, hold)
        if permit.probe and self._member is not None:
            self._member.settled(permit, outcome)
        if self._machine.changes:
            self._announce()

    def settle_error(self, permit: Permit, error: BaseException) -> None:
        """Say that the call raised `error`."""
        self._settle_as(permit, self.policy.verdicts.of_error, error, type(error).__qualname__)

    def settle_result(self, permit: Permit, result: object) -> None:
        """Say that the call returned `result`."""
        self._settle_as(permit, self.policy.verdicts.of_result, result, None)

    def _settle_as(
        self, permit: Permit, judge: Callable[[E], Outcome], ended: E, cause: str | None
    ) -> None:
        outcome, hold = Outcome.NEUTRAL, None
        try:
            outcome = judge(ended)
            hold = self.policy.verdicts.hold(outcome, ended)
        finally:  # whatever interrupts the user's functions, the slot comes back
            self.settle(permit, outcome, cause=cause, hold=hold)

    async def call(self, func: Callable[P, Awaitable[R]], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call an async function under the breaker, without decorating it.

        Raises:
            CircuitOpenError: if the circuit lets no call through now.
        """
        machine, verdicts, slow_after = self._machine, self.policy.verdicts, self.rules.slow_after
        if machine.state is not CLOSED:
            permit = self.admit() if self._member is None else await self.acquire()
            return await self.call_with(permit, func, *args, **kwargs)
        generation, started = machine.generation, self._monotonic()
        try:
            result = await func(*args, **kwargs)
        except BaseException as error:
            self.settle_error(Permit(generation, started), error)
            raise
        outcome, now = verdicts.of_result(result), self._monotonic()
        if outcome is not SUCCESS or (slow_after is not None and now - started > slow_after):
            hold = verdicts.hold(outcome, result)
            self.settle(Permit(generation, started), outcome, hold=hold)
            return result
        machine.successes += 1
        if machine.generation == generation:
            machine.succeed(now)
        return result

    async def call_with(
        self, permit: Permit, func: Callable[P, Awaitable[R]], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Make the call that `permit` is for, and settle it."""
        try:
            result = await func(*args, **kwargs)
        except BaseException as error:
            self.settle_error(permit, error)
            raise
        self.settle_result(permit, result)
        return result

    async def __aenter__(self) -> Permit:
        permit = self.admit() if self._member is None else await self.acquire()
        if self._entered is None:
            self._entered = Entered()
        self._entered.push(permit)
        return permit

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._entered is not None  # noqa: S101 - nobody leaves who has not entered
        permit = self._entered.pop()
        if error is None:
            self.settle(permit, Outcome.SUCCESS)
        else:
            self.settle_error(permit, error)

    def _wrap(self, func: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        return guard(self, self._machine, self.policy, func)

    def _wrap_stream(self, func: Callable[P, Any]) -> Callable[P, Any]:
        return guard_stream(lambda *_, **__: self, self.policy.clock, func)

    def _ask(self) -> Permit | None:
        machine = self._machine
        permit = machine.admit(self._monotonic())
        if machine.changes:
            try:
                self._announce()
            except BaseException:  # a listener ends the process: nobody gets the permit
                self._drop(permit)
                raise
            if permit is not None and permit.probe and permit.generation != machine.generation:
                return self._ask()  # a listener changed the circuit: it has no such probe any more
        return permit

    def _drop(self, permit: Permit | None) -> None:
        if permit is not None:
            self._machine.settle(permit, Outcome.NEUTRAL, self._monotonic())

    @property
    def _must_claim(self) -> bool:
        """Whether a probe needs the fleet's leave: what rejects nobody asks nobody."""
        return self._member is not None and self._machine.mode is Mode.ENABLED

    def _rejection(self, permit: Permit | None) -> CircuitOpenError:
        machine = self._machine
        if permit is not None:
            machine.refuse(permit)
        after = machine.retry_after(self._monotonic())
        return CircuitOpenError(self.name, machine.state, after, self.key)

    def _announce(self) -> None:
        machine = self._machine
        # What a listener changes is told by the loop that called it, after what it was told.
        if self._announcing or not machine.changes:
            return
        self._announcing = True
        try:
            while machine.changes:
                change, *later = machine.changes
                machine.changes = tuple(later)
                if self._member is not None:
                    self._member.changed(change)
                if self._moved is not None:
                    self._moved(self, change.after)
                event = event_of(change, self.name, self.key, self.policy.clock.time())
                if event is not None:
                    self.events.emit(event)
        finally:
            self._announcing = False

    def __repr__(self) -> str:
        key = "" if self.key is None else f", key={self.key!r}"
        mode = "" if self.mode is Mode.ENABLED else f", {self.mode}"
        return f"CircuitBreaker({self.name!r}{key}, {self._machine.state.value}{mode})"
