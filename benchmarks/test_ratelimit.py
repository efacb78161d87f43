"""Rate limits where the token is there, beside peers; keys by the million; limits on Redis.

The first of each group is the floor: a bare await of a no-op coroutine function, or an EVALSHA by
`redis.asyncio` of a token bucket in Lua as short as it can be written.
"""

import asyncio
import itertools
import time
import tracemalloc
import warnings
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import redis.asyncio

from benchmarks.conftest import Measure
from mobius_infra.core import open_backend
from mobius_infra.ratelimit import (
    GCRA,
    FixedWindow,
    LeakyBucket,
    Limit,
    PermitLease,
    RateLimiter,
    SlidingWindowCounter,
    SlidingWindowLog,
    TokenBucket,
)
from tests.servers.redis import RedisServer

Record = Callable[[str, str], None]
CALLS = 1_000


async def nothing(user: int = 1) -> int:
    return user


def limited(limit: Limit, **options: Any) -> Callable[[], Awaitable[int]]:
    function = RateLimiter("r", limit, key="user", **options)(nothing)
    return lambda: function(7)


def by_limits(strategy: str, rate: str = "1000000000/second") -> Callable[[], Awaitable[int]]:
    from limits import parse
    from limits.aio import storage, strategies

    item = parse(rate)
    limiter: Any = getattr(strategies, strategy)(storage.MemoryStorage())

    async def call() -> int:
        assert await limiter.hit(item, "7")
        return await nothing(7)

    return call


def by_throttled(algorithm: str) -> Callable[[], Awaitable[int]]:
    from throttled.asyncio import Throttled, rate_limiter, store

    throttle = Throttled(
        key="7",
        using=algorithm,
        quota=rate_limiter.per_sec(10**9, burst=10**9),
        store=store.MemoryStore(),
    )

    async def call() -> int:
        assert not (await throttle.limit()).limited
        return await nothing(7)

    return call


class _Floor:
    def test_bare_await(self, measure: Measure) -> None:
        measure(lambda: nothing(7))


@pytest.mark.benchmark(group="rate limit: token bucket by key, allowed")
class TestTokenBucket(_Floor):
    def test_mobius_infra(self, measure: Measure) -> None:
        measure(limited(TokenBucket(1, 10**9)))

    def test_mobius_infra_that_waits(self, measure: Measure) -> None:
        measure(limited(TokenBucket(1, 10**9), on_limit="wait"))

    def test_mobius_infra_without_key(self, measure: Measure) -> None:
        function = RateLimiter("r", TokenBucket(1, 10**9))(nothing)
        measure(lambda: function(7))

    def test_mobius_infra_two_limits(self, measure: Measure) -> None:
        function = RateLimiter("r", "1000000000/second; 1000000000/minute", key="user")(nothing)
        measure(lambda: function(7))

    def test_throttled(self, measure: Measure) -> None:
        measure(by_throttled("token_bucket"))

    def test_pyrate_limiter(self, measure: Measure) -> None:
        import pyrate_limiter

        limiter: Any = pyrate_limiter.Limiter(pyrate_limiter.Rate(10**6, 1000))

        async def call() -> int:
            found = limiter.try_acquire("7", blocking=False)
            assert await found if asyncio.iscoroutine(found) else found
            return await nothing(7)

        measure(call)


@pytest.mark.benchmark(group="rate limit: leaky bucket, allowed")
class TestLeakyBucket(_Floor):
    def test_mobius_infra(self, measure: Measure) -> None:
        measure(limited(LeakyBucket(1, 10**9)))

    def test_mobius_infra_that_waits(self, measure: Measure) -> None:
        measure(limited(LeakyBucket(1, 10**9), on_limit="wait"))

    def test_aiolimiter(self, measure: Measure) -> None:
        from aiolimiter import AsyncLimiter

        with warnings.catch_warnings():  # it warns of being used on a second loop: this one
            warnings.simplefilter("ignore")
            limiter = AsyncLimiter(1e9, 1)

        async def call() -> int:
            async with limiter:
                return await nothing(7)

        measure(call)

    def test_throttled(self, measure: Measure) -> None:
        measure(by_throttled("leaking_bucket"))


@pytest.mark.benchmark(group="rate limit: GCRA, allowed")
class TestGCRA(_Floor):
    def test_mobius_infra(self, measure: Measure) -> None:
        measure(limited(GCRA("1/second", 10**9)))

    def test_throttled(self, measure: Measure) -> None:
        measure(by_throttled("gcra"))


@pytest.mark.benchmark(group="rate limit: fixed window, allowed")
class TestFixedWindow(_Floor):
    def test_mobius_infra(self, measure: Measure) -> None:
        measure(limited(FixedWindow("1000000000/second")))

    def test_limits(self, measure: Measure) -> None:
        measure(by_limits("FixedWindowRateLimiter"))

    def test_throttled(self, measure: Measure) -> None:
        measure(by_throttled("fixed_window"))


@pytest.mark.benchmark(group="rate limit: sliding-window counter, allowed")
class TestSlidingWindowCounter(_Floor):
    def test_mobius_infra(self, measure: Measure) -> None:
        measure(limited(SlidingWindowCounter("1000000000/second")))

    def test_limits(self, measure: Measure) -> None:
        measure(by_limits("SlidingWindowCounterRateLimiter"))

    def test_throttled(self, measure: Measure) -> None:
        measure(by_throttled("sliding_window"))


@pytest.mark.benchmark(group="rate limit: sliding-window log, allowed")
class TestSlidingWindowLog(_Floor):
    def test_mobius_infra(self, measure: Measure) -> None:
        measure(limited(SlidingWindowLog("2000/ms")))

    def test_limits(self, measure: Measure) -> None:
        measure(by_limits("MovingWindowRateLimiter"))


KEYS = 1_000_000


def held_by(fill: Callable[[], Any]) -> float:
    tracemalloc.start()
    kept = fill()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del kept
    return size


def test_bytes_a_key(record_figure: Record) -> None:
    """A tenth of a million of each, keys included; peers are filled by their own calls."""
    count = KEYS // 10

    def ours() -> Any:
        limiter = RateLimiter("r", TokenBucket("1/hour", 9), key="user", max_keys=KEYS)
        function = limiter(nothing)

        async def fill() -> None:
            for user in range(10**9, 10**9 + count):
                await function(user)

        asyncio.run(fill())
        assert limiter.stats().keys == count
        return limiter

    def limits_fixed() -> Any:
        from limits import parse
        from limits.storage import MemoryStorage
        from limits.strategies import FixedWindowRateLimiter

        store = MemoryStorage()
        limiter, item = FixedWindowRateLimiter(store), parse("9/hour")
        for user in range(10**9, 10**9 + count):
            limiter.hit(item, str(user))
        return store

    def pyrate() -> Any:
        import pyrate_limiter

        rate = pyrate_limiter.Rate(9, 3_600_000)
        kept: dict[int, Any] = {}
        for user in range(10**9, 10**9 + count // 10):
            kept[user] = bucket = pyrate_limiter.InMemoryBucket([rate])
            assert bucket.put(pyrate_limiter.RateItem("x", 0))
        return kept

    record_figure("mobius_infra", f"{held_by(ours) / count:.0f} bytes")
    record_figure("limits, fixed window", f"{held_by(limits_fixed) / count:.0f} bytes")
    record_figure("pyrate-limiter", f"{held_by(pyrate) / count * 10:.0f} bytes")


@pytest.mark.parametrize("keys", [1_000, KEYS])
@pytest.mark.benchmark(group="rate limit: cost of a decision among many keys")
def test_flat_in_the_number_of_keys(measure: Measure, keys: int) -> None:
    limiter = RateLimiter("r", TokenBucket("1000/hour", 10**6), key="user", max_keys=2 * KEYS)
    function = limiter(nothing)

    async def fill() -> None:
        for user in range(keys):
            await function(user)

    asyncio.run(fill())
    # A few of them: what a cache of the processor makes of a million is not the limiter's.
    users = itertools.cycle(range(0, keys, keys // 100))
    measure(lambda: function(next(users)))


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


_BARE = """
local state = redis.call('HMGET', KEYS[1], 't', 'a')
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local tokens = math.min(tonumber(ARGV[2]), (tonumber(state[1]) or ARGV[2])
    + (now - (tonumber(state[2]) or now)) * ARGV[1])
local allowed = tokens >= 1
if allowed then tokens = tokens - 1 end
redis.call('HSET', KEYS[1], 't', string.format('%.0f', tokens), 'a', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], 1000)
return {allowed and 1 or 0, string.format('%.0f', tokens)}
"""


@pytest.mark.parametrize("tasks", [1, 50])
class TestRedis:
    @pytest.fixture(autouse=True)
    def group(self, benchmark: Any, tasks: int) -> None:
        benchmark.group = f"rate limit: on Redis, {tasks} task{'s' * (tasks > 1)}"

    def run(self, benchmark: Any, loop: asyncio.AbstractEventLoop, call: Any, tasks: int) -> None:
        async def worker() -> None:
            for _ in range(CALLS // tasks):
                await call()

        async def all_of_them() -> None:
            await asyncio.gather(*(worker() for _ in range(tasks)))

        benchmark.extra_info["calls"] = CALLS
        benchmark.pedantic(
            lambda: loop.run_until_complete(all_of_them()), rounds=20, warmup_rounds=2
        )

    def test_evalsha(
        self, benchmark: Any, loop: asyncio.AbstractEventLoop, server: RedisServer, tasks: int
    ) -> None:
        client = redis.asyncio.Redis.from_url(server.url)
        script = client.register_script(_BARE)
        loop.run_until_complete(script(["k"], [1000, 10**12]))
        digest = script.sha
        self.run(
            benchmark, loop, lambda: client.evalsha(digest, 1, "k", "1000", str(10**12)), tasks
        )
        loop.run_until_complete(client.aclose())

    def test_mobius_infra(
        self, benchmark: Any, loop: asyncio.AbstractEventLoop, server: RedisServer, tasks: int
    ) -> None:
        backend = open_backend(server.url)
        limiter = RateLimiter("r", TokenBucket(1000, 10**6), key="user", backend=backend)
        function = limiter(nothing)
        self.run(benchmark, loop, lambda: function(7), tasks)
        assert limiter.stats().backend_errors == 0
        loop.run_until_complete(backend.close())

    def test_mobius_infra_by_lease(
        self, benchmark: Any, loop: asyncio.AbstractEventLoop, server: RedisServer, tasks: int
    ) -> None:
        backend = open_backend(server.url)
        limiter = RateLimiter("leased", TokenBucket(10**6, 10**9), key="user", backend=backend,
                              lease=PermitLease(10_000, ttl=1.0))  # fmt: skip
        function = limiter(nothing)
        self.run(benchmark, loop, lambda: function(7), tasks)
        loop.run_until_complete(backend.close())

    @pytest.mark.parametrize("strategy", ["FixedWindow", "SlidingWindowCounter"])
    def test_limits(
        self,
        benchmark: Any,
        loop: asyncio.AbstractEventLoop,
        server: RedisServer,
        tasks: int,
        strategy: str,
    ) -> None:
        from limits import parse
        from limits.aio import storage, strategies

        store: Any = storage.RedisStorage(f"async+{server.url}", implementation="redispy")
        limiter: Any = getattr(strategies, f"{strategy}RateLimiter")(store)
        item = parse("1000000000/second")
        self.run(benchmark, loop, lambda: limiter.hit(item, "7"), tasks)
        loop.run_until_complete(store.bridge.storage.aclose())

    # It leaves connections of its pool to the collector.
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    def test_throttled(
        self, benchmark: Any, loop: asyncio.AbstractEventLoop, server: RedisServer, tasks: int
    ) -> None:
        from throttled.asyncio import Throttled, rate_limiter, store

        kept: Any = store.RedisStore(server=server.url)
        quota = rate_limiter.per_sec(10**9, burst=10**9)
        throttle = Throttled(key="7", using="token_bucket", quota=quota, store=kept)
        self.run(benchmark, loop, throttle.limit, tasks)
        loop.run_until_complete(kept._backend.get_client().aclose())


def test_eight_processes_ten_thousand_tries_each(
    server: RedisServer, record_figure: Record
) -> None:
    """Never one more than promised, and not fewer either; of five algorithms, one by one."""
    import json
    import subprocess
    import sys

    command = [sys.executable, "-m", "tests.ratelimit.worker", server.url, "10000"]
    began = time.perf_counter()
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(8)]
    passed = [json.loads(worker.communicate()[0]) for worker in workers]
    took = time.perf_counter() - began
    for name in passed[0]:
        total = sum(each[name] for each in passed)
        assert total == 1000
        record_figure(name, f"{total} of 80,000")
    record_figure("decisions a second", f"{8 * 10_000 * len(passed[0]) / took:,.0f}")
