"""Whatever happens in whatever order: never a value newer or older than is allowed."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mobius_infra.cache import BackendTier, Cache, MemoryTier
from mobius_infra.testing import ManualClock
from tests.cache.support import Flaky, OriginError

TTL, STALE_FOR, IDLE_BOUND = 20.0, 30.0, 6.0
KEYS = st.sampled_from(["a", "b"])
WHO = st.integers(0, 1)


@dataclass(frozen=True)
class Load:
    """A value that the origin gave, when it was asked, and when it answered."""

    key: str
    began: float
    ended: float


@dataclass(frozen=True)
class Invalidated:
    """What was made invalid, when, by whom, and whether others can know."""

    key: str | None
    at: float
    by: int
    shared: bool


class Machine(RuleBasedStateMachine):
    """Two processes' caches, with memory of their own and a backend that they share."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock()
        self.backend = Flaky(self.clock)
        self.loads: dict[str, Load] = {}
        self.invalidated: list[Invalidated] = []
        self.failing = False
        self.gate: asyncio.Event | None = None
        self.waiting: list[asyncio.Task[str]] = []
        self.caches = [
            Cache(
                "c",
                tiers=[MemoryTier(2, max_ttl=IDLE_BOUND), BackendTier(self.backend)],
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

    def run(self, coroutine: object) -> object:
        return self.loop.run_until_complete(coroutine)  # type: ignore[arg-type]  # one is passed

    @rule(seconds=st.floats(0.1, 15))
    def time_passes(self, seconds: float) -> None:
        self.clock.tick(seconds)

    @rule(who=WHO, key=KEYS)
    def ask(self, who: int, key: str) -> None:
        """Ask, and check the answer against all that has happened."""
        self.clock.tick(0.01)
        if self.gate is not None:
            return
        before = len(self.loads)

        async def asked() -> str | None:
            with suppress(OriginError):
                return await self.functions[who](key)
            return None

        value = self.run(asked())
        if value is None:
            assert self.failing
            return
        assert isinstance(value, str)
        load = self.loads[value]
        assert load.key == key
        if len(self.loads) > before:
            return  # loaded just now
        self.check(who, load, in_need=self.failing)

    def check(self, who: int, load: Load, *, in_need: bool) -> None:
        now = self.clock.monotonic()
        assert now - load.ended < TTL + (STALE_FOR if in_need else 0.0)
        for each in self.invalidated:
            if each.key in (None, load.key) and each.at > load.began:
                assert each.by != who, "its own invalidation"
                # A value of memory may be served until memory asks the tier below again; in need
                # it may be older, since only this process's invalidations are known for sure.
                assert not each.shared or in_need or now - each.at < IDLE_BOUND

    @rule(who=WHO, key=KEYS)
    def peek(self, who: int, key: str) -> None:
        self.clock.tick(0.01)
        value = self.run(self.functions[who].peek(key))
        if isinstance(value, str):
            self.check(who, self.loads[value], in_need=False)

    @rule(who=WHO, key=KEYS, how=st.sampled_from(["key", "tag", "prefix", "all"]))
    def invalidate(self, who: int, key: str, how: str) -> None:
        self.clock.tick(0.01)
        cache, function = self.caches[who], self.functions[who]
        at, shared = self.clock.monotonic(), not self.backend.away
        match how:
            case "key":
                self.run(function.invalidate(key))
            case "tag":
                self.run(cache.invalidate_tags(f"tag:{key}"))
            case "prefix":
                self.run(function.invalidate_all())
            case _:
                self.run(cache.clear())
        everything = how in {"prefix", "all"}
        # While the backend is down, or the tier is still skipped, it is owed.
        settled = shared and not cache._lower[0]._owed
        self.invalidated.append(Invalidated(None if everything else key, at, who, settled))
        self.clock.tick(0.01)

    @rule(away=st.booleans())
    def backend_goes_and_comes(self, away: bool) -> None:
        self.backend.away = away

    @rule(failing=st.booleans())
    def origin_fails_and_recovers(self, failing: bool) -> None:
        if self.gate is None:
            self.failing = failing

    @precondition(lambda self: self.gate is None)
    @rule(asked=st.lists(st.tuples(WHO, KEYS), min_size=1, max_size=4))
    def loads_begin(self, asked: list[tuple[int, str]]) -> None:
        self.clock.tick(0.01)
        self.gate = asyncio.Event()
        self.waiting = [self.loop.create_task(self.get(who, key)) for who, key in asked]
        self.run(self.settle())

    async def get(self, who: int, key: str) -> str:
        return await self.functions[who](key)

    async def settle(self) -> None:
        for _ in range(30):
            await asyncio.sleep(0)

    @precondition(lambda self: self.gate is not None)
    @rule(number=st.integers(0, 3))
    def a_waiter_is_cancelled(self, number: int) -> None:
        if number < len(self.waiting):
            self.waiting[number].cancel()
            self.run(self.settle())

    @precondition(lambda self: self.gate is not None)
    @rule()
    def loads_end(self) -> None:
        self.clock.tick(0.01)
        assert self.gate is not None
        self.gate.set()
        self.gate = None
        results = self.run(self.gathered())
        assert isinstance(results, list)
        for each in results:
            assert isinstance(each, str | OriginError | asyncio.CancelledError)

    async def gathered(self) -> list[object]:
        return await asyncio.gather(*self.waiting, return_exceptions=True)

    @invariant()
    def nothing_is_left_over(self) -> None:
        if self.gate is None:
            self.run(self.settle())
            assert [cache.stats().loading for cache in self.caches] == [0, 0]
        assert all(cache.stats().entries <= 2 for cache in self.caches)

    def teardown(self) -> None:
        if self.gate is not None:
            self.loads_end()
        self.loop.close()


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
