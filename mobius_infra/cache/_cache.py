"""The cache: tiers, nearest first, and one load for all who wait."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from mobius_infra.cache._decorator import CachedDecorator
from mobius_infra.cache._flight import Flight
from mobius_infra.cache._keys import bounded
from mobius_infra.cache._marks import Marks
from mobius_infra.cache._memory import Entry, MemoryTier
from mobius_infra.cache._tier import BackendTier, Found
from mobius_infra.core import (
    Clock,
    Codec,
    CodecError,
    Config,
    Events,
    Stats,
    SystemClock,
    counter,
    gauge,
    require,
)

Loader = Callable[[], Awaitable[Any]]  # Any: whatever is cached
Tier = MemoryTier | BackendTier
_MISSING: Any = object()


@dataclass(frozen=True, slots=True)
class CacheStats(Stats):
    """A cache's numbers."""

    hits: Mapping[str, int] = counter("Values found, by tier", label="tier")
    misses: int = counter("Values found in no tier")
    loads: int = counter("Loads that succeeded")
    load_errors: int = counter("Loads that failed")
    stale: int = counter("Old values served because a load failed")
    evictions: int = counter("Values that made room for others in memory")
    tier_errors: Mapping[str, int] = counter("Failures of a tier's backend", label="tier")
    unreadable: Mapping[str, int] = counter("Values that could not be read", label="tier")
    unwritable: int = counter("Values that no codec could write; kept in memory only")
    entries: int = gauge("Values held in memory")
    loading: int = gauge("Loads under way")


class CacheConfig(Config):
    """A cache's settings, for files. The fields are parameters of `Cache` and `MemoryTier`."""

    name: str
    entries: int = 10_000
    ttl: float = 60.0
    stale_for: float = 0.0
    version: int = 1


class Cache:
    """Keeps what functions returned, and loads what it hasn't once for all who ask.

        prices = Cache("prices", tiers=[MemoryTier(10_000), BackendTier(redis)], ttl=30)

        @prices.cached(tags=["coin:{coin}"])
        async def price(coin: str) -> Decimal: ...

    A hit in memory returns the very object that was stored: treat what a cached function returns
    as read-only. None is a value like any other.

    Args:
        name: labels its numbers and events, and separates its keys from other caches'.
        tiers: nearest first; at most one `MemoryTier`, as the first. A value that is found in a
            lower one is put into those above for the rest of its life.
        ttl: seconds that a value is fresh.
        stale_for: seconds after that in which it is served if a load fails; 0: never.
        version: raise it when what the values mean has changed; older ones are then not seen.
        codec_options: passed to `Codec` for values in backends: `format`, `compress_above`,
            `max_size`, `encrypt`, `decrypt`.
        clock: measures all of it.

    Raises:
        ConfigurationError: for a value out of range; names field, value and range.
    """

    def __init__(
        self,
        name: str,
        *,
        tiers: Sequence[Tier] | None = None,
        ttl: float = 60.0,
        stale_for: float = 0.0,
        version: int = 1,
        codec_options: Mapping[str, Any] | None = None,  # Any: the options' types are Codec's
        clock: Clock | None = None,
    ) -> None:
        tiers = [MemoryTier()] if tiers is None else list(tiers)
        memories = [tier for tier in tiers if isinstance(tier, MemoryTier)]
        require(bool(name) and ":" not in name, "name", name, "a name without colons")
        require(bool(tiers), "tiers", tiers, "at least one tier")
        alone = not memories or (len(memories) == 1 and tiers[0] is memories[0])
        require(alone, "tiers", tiers, "with at most one MemoryTier, as the first")
        check_ttl(ttl)
        require(0 <= stale_for < float("inf"), "stale_for", stale_for, "zero or more seconds")
        self.name = name
        self.events = Events()
        self.ttl = ttl
        self.stale_for = stale_for
        self.version = version
        self.codec_options = dict(codec_options or {})
        self.clock = clock or SystemClock()
        self.memory = memories[0] if memories else MemoryTier(0)
        self.marks = Marks()
        self.memory_hits = 0
        self._lower = [tier for tier in tiers if isinstance(tier, BackendTier)]
        for tier in self._lower:
            tier.attach(f"{name}:{version}", self.events, self.clock)
        self._codec: Codec[Any] = Codec(**self.codec_options)
        self._flights: dict[str, Flight] = {}
        self._hits = [0] * len(self._lower)
        self._misses = self._loads = self._load_errors = self._stale = self._unwritable = 0

    @classmethod
    def from_config(
        cls,
        config: CacheConfig,
        *,
        backends: Sequence[BackendTier] = (),
        codec_options: Mapping[str, Any] | None = None,  # Any: as above
        clock: Clock | None = None,
    ) -> Self:
        """Build one with a memory tier of `entries` before the given tiers."""
        return cls(
            config.name,
            tiers=[MemoryTier(config.entries), *backends],
            codec_options=codec_options,
            clock=clock,
            **config.model_dump(exclude={"name", "entries"}),
        )

    def cached(
        self,
        *,
        ttl: float | None = None,
        key: str | Callable[..., str] | None = None,
        tags: Sequence[str] = (),
        type_: Any = None,  # Any: an annotation, see Codec
    ) -> CachedDecorator:
        """Cache what an async function returns.

        Args:
            ttl: seconds that a value is fresh; the cache's if None.
            key: a template such as `{coin}`, or a function of the call's arguments; None: all
                arguments with their types.
            tags: templates; `invalidate_tags` drops all values that carry one.
            type_: of the values; by default what the function is annotated to return. What comes
                back from a backend is validated against it, and is a miss if it does not fit.

        Raises:
            ConfigurationError: for a negative `ttl`.
        """
        if ttl is not None:
            check_ttl(ttl)
        return CachedDecorator(self, ttl=ttl, key=key, tags=tuple(tags), type_=type_)

    # Any in the four below: a cache holds values of many types.
    async def get(self, key: str, default: Any = None) -> Any:
        """Return what is held under `key`, or `default`; loads nothing."""
        value = await self.peek(bounded(key), self._codec)
        return default if value is _MISSING else value

    async def set(
        self, key: str, value: Any, *, ttl: float | None = None, tags: Sequence[str] = ()
    ) -> None:
        """Hold `value` in every tier."""
        if ttl is not None:
            check_ttl(ttl)
        key, sequence = bounded(key), self.marks.sequence
        started = await self._started()
        self._supersede(key)
        fresh_for = self.ttl if ttl is None else ttl
        found = Found(value, fresh_for, self.stale_for, tuple(tags))
        await self._store(key, found, self._codec, sequence, started)

    async def get_or_load(
        self, key: str, loader: Loader, *, ttl: float | None = None, tags: Sequence[str] = ()
    ) -> Any:
        """Return what is held under `key`, or what `loader` returns, which is then held.

        Raises:
            CacheCycleError: if `loader` needs its own result.
            Exception: whatever `loader` raises, where no stale value may serve.
        """
        if ttl is not None:
            check_ttl(ttl)
        key = bounded(key)
        value = self.hit(key)
        if value is not _MISSING:
            return value
        return await self.load(key, loader, ttl, tuple(tags), self._codec)

    async def delete(self, *keys: str) -> None:
        """Forget `keys`, in every tier. A load under way of one of them stores nothing."""
        await self.drop([bounded(key) for key in keys])

    async def invalidate_tags(self, *tags: str) -> None:
        """Make every value with one of `tags` invalid, in every tier; costs nothing per value."""
        self.marks.invalidate(tags)
        for tier in self._lower:
            await tier.mark(tags)

    async def clear(self) -> None:
        """Make every value of this cache invalid, in every tier."""
        self.marks.clear()
        self.memory.entries.clear()
        for flight in self._flights.values():
            flight.invalidated = True
        for tier in self._lower:
            await tier.mark()

    def stats(self) -> CacheStats:
        """Return the numbers as they are now."""
        lower = {tier.name: tier for tier in self._lower}
        hits = dict(zip(lower, self._hits, strict=True))
        return CacheStats(
            hits={self.memory.name: self.memory_hits, **hits},
            misses=self._misses,
            loads=self._loads,
            load_errors=self._load_errors,
            stale=self._stale,
            evictions=self.memory.evicted,
            tier_errors={name: tier.errors for name, tier in lower.items()},
            unreadable={name: tier.unreadable for name, tier in lower.items()},
            unwritable=self._unwritable,
            entries=len(self.memory.entries),
            loading=len(self._flights),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave: tiers belong to whoever made their backends."""

    def __repr__(self) -> str:
        tiers = [self.memory.name, *(tier.name for tier in self._lower)]
        return f"Cache({self.name!r}, tiers={tiers})"

    # What the decorator uses, with keys and codecs that it has made.

    missing = _MISSING

    def hit(self, key: str) -> Any:
        """Return the fresh value that memory holds under `key`, or a marker."""
        entry = self.memory.entries.get(key)
        if entry is None or entry.fresh_until <= self.clock.monotonic():
            return _MISSING
        if entry.sequence != self.marks.sequence and not self.marks.valid(entry):
            return _MISSING
        entry.visited = True
        self.memory_hits += 1
        return entry.value

    async def peek(self, key: str, codec: Codec[Any]) -> Any:
        """Return the fresh value that any tier holds, or a marker."""
        value = self.hit(key)
        if value is _MISSING:
            found = await self._find(key, codec, self.marks.sequence)
            if found is not None and found.fresh_for > 0:
                return found.value
        return value

    async def load(
        self, key: str, loader: Loader, ttl: float | None, tags: tuple[str, ...], codec: Codec[Any]
    ) -> Any:
        """Find the value in a lower tier or load it, once for all who ask now."""
        flight = self._flights.get(key)
        if flight is None or flight.abandoned:
            ttl = self.ttl if ttl is None else ttl

            async def fill(flight: Flight) -> Any:
                try:
                    return await self._fill(flight, loader, ttl, tags, codec)
                finally:
                    if self._flights.get(key) is flight:
                        del self._flights[key]

            flight = self._flights[key] = Flight(key, fill)
        return await flight.join(self.name)

    async def reload(
        self, key: str, loader: Loader, ttl: float | None, tags: tuple[str, ...], codec: Codec[Any]
    ) -> Any:
        """Load anew, whatever is held."""
        await self.drop([key])
        return await self.load(key, loader, ttl, tags, codec)

    async def drop(self, keys: Sequence[str]) -> None:
        """Forget keys in every tier, and let loads of them store nothing."""
        for key in keys:
            self.memory.drop(key)
            self._supersede(key)
        for tier in self._lower:
            await tier.drop(*keys)

    def _supersede(self, key: str) -> None:
        """Let a load under way serve those who wait for it, and store nothing."""
        flight = self._flights.pop(key, None)
        if flight is not None:
            flight.invalidated = True

    async def _fill(
        self, flight: Flight, loader: Loader, ttl: float, tags: tuple[str, ...], codec: Codec[Any]
    ) -> Any:
        key, sequence = flight.key, self.marks.sequence
        found = await self._find(key, codec, sequence, flight)
        if found is not None and found.fresh_for > 0:
            return found.value
        self._misses += 1
        started = await self._started()
        try:
            value = await loader()
        except Exception:
            self._load_errors += 1
            stale = self._stale_value(key, found)
            if stale is _MISSING or flight.invalidated:
                raise
            self._stale += 1
            return stale
        self._loads += 1
        if not flight.invalidated and self.marks.since(tags, sequence):
            fresh = Found(value, ttl, self.stale_for, tags)
            await self._store(key, fresh, codec, sequence, started)
            if flight.invalidated:  # while it was being stored
                await self.drop([key])
        return value

    async def _find(
        self, key: str, codec: Codec[Any], sequence: int, flight: Flight | None = None
    ) -> Found | None:
        """Look into the lower tiers; put what is fresh into memory. Return the freshest."""
        best: Found | None = None
        for number, tier in enumerate(self._lower):
            found = await tier.get(key, codec)
            if found is None:
                continue
            if not self.marks.since(found.tags, sequence):
                continue
            if best is None or found.fresh_for > best.fresh_for:
                best = found
            if found.fresh_for > 0:
                self._hits[number] += 1
                if flight is None or not flight.invalidated:
                    self._remember(key, found, sequence)
                break
        return best

    def _remember(self, key: str, found: Found, sequence: int) -> None:
        fresh_until = self.clock.monotonic() + found.fresh_for
        entry = Entry(found.value, fresh_until, fresh_until + found.stale_for, found.tags, sequence)
        self.memory.put(key, entry)

    def _stale_value(self, key: str, found: Found | None) -> Any:
        entry = self.memory.entries.get(key)
        now = self.clock.monotonic()
        if entry is not None and entry.stale_until > now and self.marks.valid(entry):
            return entry.value
        return _MISSING if found is None else found.value

    async def _started(self) -> list[float | None]:
        """Return each lower tier's time now, before a load: older than any later invalidation."""
        return [await tier.now() for tier in self._lower]

    async def _store(
        self,
        key: str,
        found: Found,
        codec: Codec[Any],
        sequence: int,
        started: Sequence[float | None],
    ) -> None:
        self._remember(key, found, sequence)
        if not self._lower:
            return
        try:
            body = codec.encode(found.value)
        except CodecError:
            self._unwritable += 1
            return
        for tier, at in zip(self._lower, started, strict=True):
            if at is not None:
                await tier.put(key, body, found, at)


def check_ttl(ttl: float) -> None:
    """Refuse a time to live that is not positive."""
    require(0 < ttl < float("inf"), "ttl", ttl, "a positive number of seconds")
