"""A process that tries each limit as often as it is told, and says how often it passed.

python -m tests.ratelimit.worker URL TRIES
"""

import asyncio
import json
import sys

from mobius_infra.core import open_backend
from mobius_infra.ratelimit import (
    GCRA,
    FixedWindow,
    Limit,
    RateLimitedError,
    RateLimiter,
    SlidingWindowCounter,
    SlidingWindowLog,
    TokenBucket,
)

TASKS = 50
# A thousand each: so slow that nothing comes back meanwhile.
LIMITS: list[Limit] = [
    TokenBucket("1/day", 1000),
    GCRA("1/day", 1000),
    FixedWindow("1000 per 100 weeks"),
    SlidingWindowCounter("1000 per 100 weeks"),
    SlidingWindowLog("1000/week"),
]


async def main(url: str, tries: int) -> None:
    async with open_backend(url) as backend:
        counts: dict[str, int] = {}

        async def some(limiter: RateLimiter, times: int) -> int:
            passed = 0
            for _ in range(times):
                try:
                    await limiter.acquire("k")
                    passed += 1
                except RateLimitedError:
                    pass
            return passed

        for limit in LIMITS:
            limiter = RateLimiter(type(limit).__name__, limit, backend=backend)
            shares = [some(limiter, tries // TASKS) for _ in range(TASKS)]
            counts[limiter.name] = sum(await asyncio.gather(*shares))
            assert limiter.stats().backend_errors == 0
        print(json.dumps(counts))


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
