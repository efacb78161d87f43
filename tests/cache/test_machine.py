"""Whatever happens in whatever order: never a value newer or older than is allowed."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mobius_infra.cache import BackendTier, Cache, MemoryTier
from mobius_infra.testing import ManualClock
from tests.cache.support import OriginError, Slow

T = TypeVar("T")

TTL, STALE_FOR, UNHEARD = 20.0, 30.0, 6.0
# Mostly the same process and key, so that what happens meets.
KEYS = st.sampled_from(["a", "a", "a", "b"])
WHO = st.sampled_from([0, 0, 1])


class Ask(NamedTuple):
    """One process asks for one key."""

    who: int
    key: str


class Invalidate(NamedTuple):
    """One process makes one key, or all of them, invalid."""

    who: int
    key: str
    how: str


class Wait(NamedTuple):
    """Time passes."""

    seconds: float


class Backend(NamedTuple):
    """The backend goes away, or returns."""

    away: bool


class Origin(NamedTuple):
    """The origin begins to fail, or to work."""

    failing: bool


class Cancel(NamedTuple):
    """One of those who wait is cancelled."""

    number: int


ASK = st.builds(Ask, WHO, KEYS)
HOW = st.sampled_from(["key", "tag", "prefix", "all"])
INVALIDATE = st.builds(Invalidate, WHO, KEYS, HOW)
WAIT = st.builds(Wait, st.sampled_from([0.1, 2.0, 6.5, 14.0, 21.0]))
BACKEND = st.builds(Backend, st.booleans())
ORIGIN = st.builds(Origin, st.booleans())
CANCEL = st.builds(Cancel, st.integers(0, 2))
ASKS = st.lists(ASK, min_size=1, max_size=4)
MEANWHILE = st.lists(ASK | BACKEND | ORIGIN | CANCEL | WAIT, max_size=2)
# What is slow when somebody asks, and what makes it be asked: nothing is held; what is in memory
# has ended; all has, and may serve in need only.
SLOW = st.sampled_from(
    [
        ("tier", Invalidate(0, "a", "all")),
        ("tier", Wait(6.5)),
        ("tier", Wait(21.0)),
        ("origin", Invalidate(0, "a", "all")),
        ("origin", Wait(21.0)),
        ("origin", Wait(21.0)),
    ]
)


@dataclass(frozen=True)
class Load:
    """A value that the origin gave, when it was asked, and when it answered."""

    key: str
    began: float
    ended: float


@dataclass(frozen=True)
class Invalidated:
    """What was made invalid, when, by whom, and whether the others can know."""

    key: str | None
    at: float
    by: int
    shared: bool

    def covers(self, load: Load) -> bool:
        return self.key in (None, load.key) and self.at > load.began


@dataclass(frozen=True)
class Waiting:
    """Somebody who asked while something was under way.

    Attributes:
        asks: what.
        at: when.
        task: gives the answer.
        loading: a load was waited for, not only a tier.
    """

    asks: Ask
    at: float
    task: asyncio.Task[str]
    loading: bool


class Machine(RuleBasedStateMachine):
    """Two processes' caches, with memory of their own and a backend that they share.

    The rules are whole stories, since steps drawn one by one seldom meet: a load with what happens
    while it is under way, an outage with what happens meanwhile. Each ends by asking.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock()
        self.backend = Slow(self.clock)
        self.loads: dict[str, Load] = {}
        self.invalidated: list[Invalidated] = []
        self.failing = self.failed = False  # the origin: now, and at any time in this story
        self.gate: asyncio.Event | None = None
        self.waiting: list[Waiting] = []
        self.caches = [
            Cache(
                "c",
                tiers=[MemoryTier(2, max_ttl=UNHEARD), BackendTier(self.backend)],
                ttl=TTL,
                stale_for=STALE_FOR,
                early=0,
                clock=self.clock,
            )
            for _ in range(2)
        ]
        self.functions = [
            cache.cached(key="{key}", tags=["tag:{key}", "all"])(self.origin)
            for cache in self.caches
        ]

    async def origin(self, key: str) -> str:
        began, gate = self.clock.monotonic(), self.gate
        if gate is not None:
            await gate.wait()
        if self.failing:
            raise OriginError(1)
        value = f"{key}{len(self.loads)}"
        self.loads[value] = Load(key, began, self.clock.monotonic())
        return value

    # The stories.

    @rule(
        slow=SLOW,
        asked=ASK,
        how=HOW,
        by=WHO,
        again=st.booleans(),
        first=MEANWHILE,
        then=MEANWHILE,
        asks=ASKS,
    )
    def a_load(
        self,
        slow: tuple[str, Invalidate | Wait],
        asked: Ask,
        how: str,
        by: int,
        again: bool,
        first: list[Any],
        then: list[Any],
        asks: list[Ask],
    ) -> None:
        """What is asked for is made invalid while the tier below or the origin is asked."""
        what, before = slow
        self.happen([before])
        gate = self.backend.hold("get_many") if what == "tier" else asyncio.Event()
        self.gate = gate if what == "origin" else None
        invalidate = Invalidate((asked.who + by) % 2, asked.key, how)
        self.happen([asked, *first, invalidate, *([asked] if again else []), *then])
        self.gate = None
        gate.set()
        self.run(self.settle())
        for each in self.waiting:
            self.check_waiting(each)
        self.waiting.clear()
        self.ask([asked, *asks])

    @rule(what=st.lists(INVALIDATE | WAIT, max_size=2), during=ASKS, wait=WAIT, asks=ASKS)
    def an_outage(self, what: list[Any], during: list[Ask], wait: Wait, asks: list[Ask]) -> None:
        """The backend is away for a while, and what it has is old when it returns."""
        self.happen([Backend(away=True), *what])
        self.ask(during)
        self.happen([Backend(away=False), wait])
        self.ask(asks)

    @rule(what=st.lists(INVALIDATE | WAIT, max_size=3), asks=ASKS)
    def an_origin_that_fails(self, what: list[Any], asks: list[Ask]) -> None:
        """The origin fails for a while; what is old may serve, unless it was made invalid."""
        self.happen([Origin(failing=True), *what])
        self.ask(asks)

    # What the stories are made of.

    def happen(self, what: list[Any]) -> None:  # Any: of whichever kind of step
        for each in what:
            match each:
                case Wait(seconds):
                    self.clock.tick(seconds)
                case Backend(away):
                    self.backend.away = away
                case Origin(failing):
                    self.failing = failing
                    self.failed |= failing
                case Ask(who, key):
                    task = self.loop.create_task(self.get(who, key))
                    self.run(self.settle())
                    loading = self.gate is not None and not task.done()
                    self.waiting.append(Waiting(each, self.clock.monotonic(), task, loading))
                case Cancel(number):
                    if number < len(self.waiting):
                        self.waiting[number].task.cancel()
                        self.run(self.settle())
                case Invalidate():
                    self.invalidate(each)

    def invalidate(self, what: Invalidate) -> None:
        self.clock.tick(0.01)
        cache, function = self.caches[what.who], self.functions[what.who]
        at = self.clock.monotonic()
        match what.how:
            case "key":
                self.run(function.invalidate(what.key))
            case "tag":
                self.run(cache.invalidate_tags(f"tag:{what.key}"))
            case "prefix":
                self.run(function.invalidate_all())
            case _:
                self.run(cache.clear())
        key = None if what.how in {"prefix", "all"} else what.key
        # While the backend is down, or the tier is still skipped, it is owed.
        shared = not self.backend.away and not cache._lower[0]._owed
        self.invalidated.append(Invalidated(key, at, what.who, shared))
        self.clock.tick(0.01)

    def ask(self, asks: list[Ask]) -> None:
        """Ask, and check each answer against all that has happened."""
        for who, key in asks:
            self.clock.tick(0.01)
            before = len(self.loads)
            value = self.run(self.answer(who, key))
            if value is None:
                assert self.failing
                continue
            load = self.loads[value]
            assert load.key == key
            if len(self.loads) == before:  # it was not loaded just now
                self.check(who, load, self.clock.monotonic())
        self.failing = self.failed = False

    def check_waiting(self, waiting: Waiting) -> None:
        assert waiting.task.done()
        if waiting.task.cancelled() or waiting.task.exception() is not None:
            assert waiting.task.cancelled() or isinstance(waiting.task.exception(), OriginError)
            return
        load, who = self.loads[waiting.task.result()], waiting.asks.who
        assert load.key == waiting.asks.key
        self.check(who, load, waiting.at)
        if waiting.loading and load.ended < waiting.at:
            # An old one, in need, when the load had failed: nothing was invalidated until then.
            self.check(who, load, self.clock.monotonic())

    def check(self, who: int, load: Load, now: float) -> None:
        """Hold what was served to what was known when it was asked for."""
        assert now - load.ended < TTL + (STALE_FOR if self.failed else 0.0)
        for each in self.invalidated:
            if each.covers(load) and each.at <= now:
                assert each.by != who, "its own invalidation"
                # A value of memory may be served until memory asks the tier below again; in need
                # it may be older, since only this process's invalidations are known for sure.
                assert not each.shared or self.failed or now - each.at < UNHEARD

    async def answer(self, who: int, key: str) -> str | None:
        with suppress(OriginError):
            return await self.functions[who](key)
        return None

    async def get(self, who: int, key: str) -> str:
        return await self.functions[who](key)

    async def settle(self) -> None:
        for _ in range(30):
            await asyncio.sleep(0)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(coroutine)

    @invariant()
    def nothing_is_left_over(self) -> None:
        self.run(self.settle())
        assert [cache.stats().loading for cache in self.caches] == [0, 0]
        assert all(cache.stats().entries <= 2 for cache in self.caches)

    def teardown(self) -> None:
        self.loop.close()


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=200, stateful_step_count=10, deadline=None)
