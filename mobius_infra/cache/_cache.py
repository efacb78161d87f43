"""The cache: its interface, and the parts that it is made of."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from mobius_infra.cache._backplane import Backplane
from mobius_infra.cache._batched import BatchedDecorator
from mobius_infra.cache._decorator import CachedDecorator
from mobius_infra.cache._engine import Engine
from mobius_infra.cache._entry import FOREVER, MISSING, Loader, Recipe, Terms, Ttl
from mobius_infra.cache._fleet import Turns
from mobius_infra.cache._history import Point, draw
from mobius_infra.cache._keys import bounded, tag_name
from mobius_infra.cache._memory import MemoryTier
from mobius_infra.cache._owed import Invalidation
from mobius_infra.cache._predict import Prediction
from mobius_infra.cache._stats import CacheStats, stats_of
from mobius_infra.cache._store import Freshness, Store
from mobius_infra.cache._tier import BackendTier
from mobius_infra.core import (
    Backend,
    Clock,
    Codec,
    Config,
    Events,
    SystemClock,
    require,
)

Tier = MemoryTier | BackendTier


class CacheConfig(Config):
    """A cache's settings, for files. The fields are parameters of `Cache` and `MemoryTier`."""

    name: str
    entries: int = 10_000
    policy: str = "adaptive"
    ttl: float = 60.0
    jitter: float = 0.0
    idle_ttl: float | None = None
    stale_for: float = 0.0
    revalidate_for: float = 0.0
    soft_timeout: float | None = None
    error_ttl: float = 0.0
    early: float = 1.0
    lease: float | None = None
    max_staleness: float = 2.0
    version: int = 1


class Cache:
    """Keeps what functions returned, and loads what it hasn't once for all who ask.

    For example::

        prices = Cache("prices", tiers=[MemoryTier(10_000), BackendTier(redis)], ttl=30)

        @prices.cached(tags=["coin:{coin}"])
        async def price(coin: str) -> Decimal: ...

    A hit in memory returns the very object that was stored: treat what a cached function returns
    as read-only, or ask for `copies`. None is a value like any other. A value that was made
    invalid is never served again, not even in need.

    Where there is a backplane, prediction or writing behind, use it as an async context manager:
    `async with prices: ...`.

    Args:
        name: labels its numbers and events, and separates its keys from other caches'.
        tiers: nearest first; at most one `MemoryTier`, as the first. A value that is found in a
            lower one is put into those above for the rest of its life.
        ttl: seconds that a value is fresh, or a function of the value that returns them.
        jitter: share of the ttl by which it is shortened at most, at random, so that values
            loaded together do not end together.
        idle_ttl: seconds without a hit after which a value in memory ends; None: no such end.
        stale_for: seconds after its end in which a value serves if a load fails; 0: never.
        revalidate_for: seconds after its end in which a value serves at once while it is loaded
            anew behind.
        soft_timeout: seconds after which a value that may serve in need does so although its load
            goes on behind; None: loads are waited for.
        error_ttl: seconds that a load's exception is cached in memory, where nothing old may
            serve; 0: not at all.
        early: how eagerly values are refreshed shortly before their end, in load times, so that
            what is asked for often never ends; 0: not at all.
        lease: seconds for which one process may load a key alone while others wait for what it
            stores; None: each process loads for itself. Needs a `BackendTier`.
        backplane: the backend by which other processes' memory hears of invalidations.
        max_staleness: seconds after which no process serves what another has invalidated, also
            one that could not hear of it.
        predict: load what is likely to be asked for next; None: do not.
        version: raise it when what the values mean has changed; older ones are then not seen.
        codec_options: passed to `Codec` for values in backends: `format`, `compress_above`,
            `max_size`, `encrypt`, `decrypt`.
        clock: measures all of it.
        draw: returns random numbers in [0, 1).

    Raises:
        ConfigurationError: for a value out of range; names field, value and range.
    """

    def __init__(
        self,
        name: str,
        *,
        tiers: Sequence[Tier] | None = None,
        ttl: Ttl = 60.0,
        jitter: float = 0.0,
        idle_ttl: float | None = None,
        stale_for: float = 0.0,
        revalidate_for: float = 0.0,
        soft_timeout: float | None = None,
        error_ttl: float = 0.0,
        early: float = 1.0,
        lease: float | None = None,
        backplane: Backend | None = None,
        max_staleness: float = 2.0,
        predict: Prediction | None = None,
        version: int = 1,
        codec_options: Mapping[str, Any] | None = None,  # Any: the options' types are Codec's
        clock: Clock | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        tiers = [MemoryTier()] if tiers is None else list(tiers)
        memories = [tier for tier in tiers if isinstance(tier, MemoryTier)]
        lower = [tier for tier in tiers if isinstance(tier, BackendTier)]
        require(bool(name) and ":" not in name, "name", name, "a name without colons")
        require(bool(tiers), "tiers", tiers, "at least one tier")
        alone = not memories or (len(memories) == 1 and tiers[0] is memories[0])
        require(alone, "tiers", tiers, "with at most one MemoryTier, as the first")
        check_ttl(ttl)
        require(0 <= jitter < 1, "jitter", jitter, "a share from 0 to less than 1")
        for field, value in (
            ("stale_for", stale_for), ("revalidate_for", revalidate_for), ("error_ttl", error_ttl),
            ("early", early),
        ):  # fmt: skip
            require(0 <= value < FOREVER, field, value, "zero or more")
        for field, seconds in (
            ("idle_ttl", idle_ttl), ("soft_timeout", soft_timeout), ("lease", lease),
            ("max_staleness", max_staleness),
        ):  # fmt: skip
            require(seconds is None or 0 < seconds < FOREVER, field, seconds, "positive seconds")
        require(lease is None or bool(lower), "lease", lease, "None without a BackendTier")
        self.name = name
        self.events = Events()
        self.version = version
        self._clock = clock or SystemClock()
        self._codec_options = dict(codec_options or {})
        self._codec: Codec[Any] = Codec(**self._codec_options)
        self._lower = lower
        self._memory = memories[0] if memories else MemoryTier(0)
        named = f"{name}:{version}"
        for tier in lower:
            tier.attach(named, self.events, self._clock)
        freshness = Freshness(
            ttl, jitter, idle_ttl, stale_for, revalidate_for, soft_timeout, error_ttl, early
        )
        store = Store(
            name, self._memory, lower, freshness, clock=self._clock, events=self.events, draw=draw
        )
        self._engine = Engine(name, store)
        if backplane is not None:
            self._engine.backplane = Backplane(
                backplane,
                named,
                max_staleness=max_staleness,
                apply=self._engine.forget,
                trust=self._engine.trust,
                clock=self._clock,
            )
            self._engine.trust(heard=False)
        if lease is not None:
            messages = self._engine.backplane
            self._engine.turns = Turns(
                lower[0].backend, named, ttl=lease, messages=messages, clock=self._clock
            )
        if predict is not None:
            self._engine.predict(predict)

    @classmethod
    def from_config(
        cls,
        config: CacheConfig,
        *,
        backends: Sequence[BackendTier] = (),
        backplane: Backend | None = None,
        predict: Prediction | None = None,
        codec_options: Mapping[str, Any] | None = None,  # Any: as above
        clock: Clock | None = None,
    ) -> Self:
        """Build one with a memory tier of `entries` before the given tiers."""
        return cls(
            config.name,
            tiers=[MemoryTier(config.entries, policy=config.policy), *backends],
            backplane=backplane,
            predict=predict,
            codec_options=codec_options,
            clock=clock,
            **config.model_dump(exclude={"name", "entries", "policy"}),
        )

    def cached(
        self,
        *,
        ttl: Ttl | None = None,
        key: str | Callable[..., str] | None = None,
        tags: Sequence[str] = (),
        when: Callable[[Any], bool] | None = None,  # Any: whatever the function returns
        copies: bool = False,
        type_: Any = None,  # Any: an annotation, see Codec
    ) -> CachedDecorator:
        """Cache what an async function returns.

        Args:
            ttl: seconds that a value is fresh, or a function of the value; the cache's if None.
            key: a template such as `{coin}`, or a function of the call's arguments; None: all
                arguments with their types.
            tags: templates; `invalidate_tags` drops all values that carry one.
            when: whether a value is worth keeping; None: each is.
            copies: give each caller a deep copy of its own, which it may change; slower.
            type_: of the values; by default what the function is annotated to return. What comes
                back from a backend is validated against it, and is a miss if it does not fit.

        Raises:
            ConfigurationError: for a negative `ttl`.
        """
        if ttl is not None:
            check_ttl(ttl)
        return CachedDecorator(
            self._engine,
            ttl=ttl,
            key=key,
            tags=tuple(tags),
            when=when,
            copies=copies,
            type_=type_,
            codec_options=self._codec_options,
            clock=self._clock,
        )

    def batched(
        self,
        *,
        ttl: Ttl | None = None,
        tags: Sequence[str] = (),
        when: Callable[[Any], bool] | None = None,  # Any: whatever the function returns
    ) -> BatchedDecorator:
        """Cache what an async function returns for each of many keys.

        The function takes a sequence of keys and returns a mapping; it is called once for all the
        keys that no tier has. Keys that it leaves out are left out of the result, and not cached.

        Args:
            ttl: seconds that a value is fresh, or a function of the value; the cache's if None.
            tags: templates in which `{}` stands for the key.
            when: whether a value is worth keeping; None: each is.

        Raises:
            ConfigurationError: for a negative `ttl`.
        """
        if ttl is not None:
            check_ttl(ttl)
        return BatchedDecorator(
            self._engine, ttl=ttl, tags=tuple(tags), when=when, codec_options=self._codec_options
        )

    # Any in the five below: a cache holds values of many types.
    async def get(self, key: str, default: Any = None) -> Any:
        """Return what is held under `key`, or `default`; load nothing."""
        value = await self._engine.store.peek(self._recipe(key))
        return default if value is MISSING else value

    async def get_many(self, keys: Sequence[str]) -> dict[str, Any]:
        """Return what is held under `keys`, without those under which nothing is."""
        values = await asyncio.gather(*(self._engine.store.peek(self._recipe(key)) for key in keys))
        return {key: value for key, value in zip(keys, values, strict=True) if value is not MISSING}

    async def set(
        self, key: str, value: Any, *, ttl: float | None = None, tags: Sequence[str] = ()
    ) -> None:
        """Hold `value` in every tier; what other processes hold in memory is made invalid."""
        recipe = self._recipe(key, ttl=ttl, tags=tags)
        await self._engine.invalidate(Invalidation(keys=(recipe.key,)))
        began = [await tier.began() for tier in self._lower]
        life = self._engine.store.life_of(value, ttl, 0.0)
        self._engine.supersede(recipe.key)  # a load that began meanwhile may have an older one
        await self._engine.store.keep(
            recipe, value, life, self._engine.store.marks.sequence, began, 0.0
        )

    async def get_or_load(
        self, key: str, loader: Loader, *, ttl: Ttl | None = None, tags: Sequence[str] = ()
    ) -> Any:
        """Return what is held under `key`, or what `loader` returns, which is then held.

        Raises:
            CacheCycleError: if `loader` needs its own result.
            Exception: whatever `loader` raises, where no old value may serve.
        """
        return await self._engine.serve(self._recipe(key, loader, ttl=ttl, tags=tags))

    async def delete(self, *keys: str) -> None:
        """Forget `keys`, in every tier. A load under way of one of them stores nothing."""
        await self._engine.invalidate(Invalidation(keys=tuple(map(bounded, keys))))

    async def invalidate_tags(self, *tags: str) -> None:
        """Make every value with one of `tags` invalid, in every tier; costs nothing per value."""
        await self._engine.invalidate(Invalidation(tags=tuple(map(tag_name, tags))))

    async def invalidate_prefix(self, prefix: str) -> None:
        """Make every value invalid whose key begins with `prefix`, in every tier.

        Keys of `get`, `set` and `get_or_load` that are longer than 200 characters are stored under
        a hash, with their first 40 characters before it.
        """
        await self._engine.invalidate(Invalidation(prefixes=(prefix,)))

    async def clear(self) -> None:
        """Make every value of this cache invalid, in every tier."""
        await self._engine.invalidate(Invalidation(everything=True))

    def stats(self) -> CacheStats:
        """Return the numbers as they are now."""
        return stats_of(self._engine)

    def history(self) -> list[Point]:
        """Return what was asked for in each ten seconds of the last hour, while entered."""
        return list(self._engine.history.points)

    def picture(self) -> str:
        """Return an SVG of the hit rate over the last hour."""
        return draw(self.history(), self.name)

    async def __aenter__(self) -> Self:
        self._engine.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop what runs behind and write what waits; backends belong to whoever made them."""
        await self._engine.close()

    def __repr__(self) -> str:
        tiers = [self._memory.name, *(tier.name for tier in self._lower)]
        return f"Cache({self.name!r}, tiers={tiers})"

    def _recipe(
        self,
        key: str,
        loader: Loader | None = None,
        *,
        ttl: Ttl | None = None,
        tags: Sequence[str] = (),
    ) -> Recipe:
        if ttl is not None:
            check_ttl(ttl)
        return Recipe(bounded(key), loader or _nothing, tuple(tags), Terms(self._codec, ttl))


async def _nothing() -> None:
    """Stand for the loader of what is never loaded."""


def check_ttl(ttl: Ttl) -> None:
    """Refuse a ttl that is not positive; a function's are looked at when it has been called."""
    allowed = "positive seconds, or a function of the value"
    require(callable(ttl) or 0 < ttl < FOREVER, "ttl", ttl, allowed)
