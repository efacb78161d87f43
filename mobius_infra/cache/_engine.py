"""What happens on a miss: look into the lower tiers, load once, keep, or serve what is old."""

import asyncio
import math
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from mobius_infra.cache._backplane import Backplane
from mobius_infra.cache._entry import FOREVER, MISSING, NEVER, Entry, Failure, Life, Recipe, Ttl
from mobius_infra.cache._errors import ValueUnwritable
from mobius_infra.cache._fleet import Turns, release
from mobius_infra.cache._flight import Flight, own_instance
from mobius_infra.cache._history import History
from mobius_infra.cache._marks import Marks
from mobius_infra.cache._memory import MemoryTier
from mobius_infra.cache._predict import Prediction, Predictor
from mobius_infra.cache._tier import BackendTier, Found, Invalidation
from mobius_infra.core import Clock, CodecError, ConfigurationError, Events

_EARLY: Final = 10.0  # load times before the end from which a refresh may come (its odds: e^-10)
_LONGEST: Final = 600.0  # seconds; what takes longer is kept in memory only, see `_tier._FENCE`


@dataclass(frozen=True, slots=True)
class Freshness:
    """How long values serve. The fields are parameters of `Cache`."""

    ttl: Ttl
    jitter: float
    idle_ttl: float | None
    stale_for: float
    revalidate_for: float
    soft_timeout: float | None
    error_ttl: float
    early: float


@dataclass(slots=True)
class Counts:
    """What an engine counts."""

    misses: int = 0
    loads: int = 0
    load_errors: int = 0
    load_seconds: float = 0.0
    stale: int = 0
    revalidated: int = 0
    early: int = 0
    errors_served: int = 0
    unwritable: int = 0


class Looked(NamedTuple):
    """What a look into the lower tiers has brought, and when it began."""

    found: Found | None
    asked_at: float
    sequence: int


class Engine:
    """Finds, loads and keeps the values of one cache.

    Attributes:
        name: the cache's.
        memory: the first tier; it holds nothing if the cache has none.
        lower: the other tiers, nearest first.
        marks: what was invalidated in this process.
        counts: what happened.
    """

    def __init__(
        self,
        name: str,
        memory: MemoryTier,
        lower: Sequence[BackendTier],
        freshness: Freshness,
        *,
        clock: Clock,
        events: Events,
        draw: Callable[[], float],
    ) -> None:
        self.name = name
        self.memory = memory
        self.lower = lower
        self.marks = Marks()
        self.counts = Counts()
        self.hits = [0] * len(lower)
        self.flights: dict[str, Flight] = {}
        self.backplane: Backplane | None = None
        self.turns: Turns | None = None
        self.predictor: Predictor | None = None
        self.cap = FOREVER if memory.max_ttl is None else memory.max_ttl
        self._most = self.cap
        self._freshness = freshness
        self._clock = clock
        self._events = events
        self._draw = draw
        self._reported: set[str] = set()
        self.history = History(self._asked, clock)
        self._jobs: list[asyncio.Task[None]] = []
        self._under_way: set[Flight] = set()  # those that were superseded too

    def _asked(self) -> tuple[int, int]:
        return self.memory.hits + sum(self.hits), self.counts.misses

    # Reading. Any, from here on: whatever is cached.

    def hit(self, key: str) -> Any:
        """Return the fresh value in memory, which may be a `Failure`; or `MISSING`."""
        entry = self.memory.entries.get(key)
        if entry is None or not self.is_fresh(entry):
            return MISSING
        self.memory.hits += 1
        if not entry.visited:
            self.memory.note(entry)
        if entry.until == NEVER:
            self._look_at(entry)
        return entry.value

    def is_fresh(self, entry: Entry) -> bool:
        """Say whether an entry may be served."""
        now = self._clock.monotonic()
        if entry.fresh_until > now and entry.idle_until > now:
            return self.marks.fresh(entry)
        if entry.stale_until <= now:
            self.memory.expire(entry)
        return False

    def _look_at(self, entry: Entry) -> None:
        """Do what a hit needs whose entry asks to be looked at."""
        if entry.foreseen:
            entry.foreseen = False
            if self.predictor is not None:
                self.predictor.earned(entry.key)
        if self._freshness.idle_ttl is not None:
            entry.idle_until = self._clock.monotonic() + self._freshness.idle_ttl
        elif not isinstance(entry.value, Failure):
            entry.until = entry.fresh_until

    async def peek(self, recipe: Recipe) -> Any:
        """Return the fresh value that any tier holds, or `MISSING`; load nothing."""
        value = self.hit(recipe.key)
        if value is MISSING:
            found = await self.find(recipe, None, self.marks.sequence)
            if found is not None and found.life.fresh_for > 0:
                return found.value
        return MISSING if isinstance(value, Failure) else value

    def due(self, key: str) -> bool:
        """Say whether a hit should refresh its value before it ends (XFetch).

        Each hit draws: the nearer the end, and the longer the load takes, the likelier. Vattani,
        Chierichetti and Lowenstein, "Optimal Probabilistic Cache Stampede Prevention" (VLDB 2015).
        """
        entry = self.memory.entries.get(key)
        if entry is None or entry.until == NEVER or entry.until >= entry.fresh_until:
            return False
        spread = (entry.fresh_until - entry.until) / _EARLY
        left = entry.fresh_until - self._clock.monotonic()
        return left < -spread * math.log(1.0 - self._draw())

    async def serve(self, recipe: Recipe) -> Any:
        """Return the value of `recipe`: from memory, from a lower tier, or loaded.

        Raises:
            CacheCycleError: if the load waits for itself.
            Exception: whatever the load raises, where nothing old may serve.
        """
        value = self.hit(recipe.key)
        if value is MISSING:
            return await self.load(recipe)
        if isinstance(value, Failure):
            self.counts.errors_served += 1
            raise own_instance(value.error)
        if self.due(recipe.key) and recipe.key not in self.flights:
            self.counts.early += 1
            self.refresh_behind(recipe, anew=True)
        return value

    async def load(self, recipe: Recipe) -> Any:
        """Find the value in a lower tier or load it, once for all who ask now."""
        if self.backplane is not None and not self.backplane.running:
            raise ConfigurationError("backplane", self.name, "used inside `async with` the cache")
        key = recipe.key
        value = self._to_revalidate(key)
        if value is not MISSING:
            self.counts.revalidated += 1
            if key not in self.flights:
                self.refresh_behind(recipe)
            return value
        flight = self.flights.get(key)
        if flight is None or flight.abandoned:
            if self.lower and self._freshness.soft_timeout is None:
                return await self._lead(recipe)
            flight = self._start(recipe)
        if self._freshness.soft_timeout is None:
            return await flight.join(self.name)
        return await self._patiently(flight, self._freshness.soft_timeout)

    def refresh_behind(
        self, recipe: Recipe, *, anew: bool = False, foreseen: bool = False
    ) -> Flight:
        """Find or load a value while what there is goes on to serve; `anew`: only load."""
        return self._start(recipe, behind=True, anew=anew, foreseen=foreseen)

    async def _lead(self, recipe: Recipe) -> Any:
        """Look into the lower tiers for all who ask; only if that is in vain, start a load."""
        key, asked_at, sequence = recipe.key, self._clock.monotonic(), self.marks.sequence
        flight = self.flights[key] = Flight(key)
        try:
            found = await self.find(recipe, flight, sequence)
        except BaseException:
            if flight.awaited:  # those who wait by now get a load of their own
                self._launch(flight, recipe)
            else:
                self._leave(flight)
            raise
        if found is not None and found.life.fresh_for > 0:
            flight.answer(found.value)
            self._leave(flight)
            return found.value
        self._launch(flight, recipe, looked=Looked(found, asked_at, sequence))
        return await flight.join(self.name)

    def _leave(self, flight: Flight) -> None:
        if self.flights.get(flight.key) is flight:
            del self.flights[flight.key]

    def _start(
        self, recipe: Recipe, *, behind: bool = False, anew: bool = False, foreseen: bool = False
    ) -> Flight:
        flight = self.flights[recipe.key] = Flight(recipe.key, behind=behind)
        self._launch(flight, recipe, anew=anew, foreseen=foreseen)
        return flight

    def _launch(
        self,
        flight: Flight,
        recipe: Recipe,
        *,
        anew: bool = False,
        foreseen: bool = False,
        looked: Looked | None = None,
    ) -> None:
        async def fill(flight: Flight) -> Any:
            sequence = self.marks.sequence if looked is None else looked.sequence
            try:
                if not anew and await self._found(flight, recipe, sequence, looked):
                    return flight.in_need
                return await self._fill(flight, recipe, sequence, foreseen=foreseen)
            finally:
                self._under_way.discard(flight)
                self._leave(flight)

        self._under_way.add(flight)
        flight.start(fill)

    async def _patiently(self, flight: Flight, seconds: float) -> Any:
        """Wait for a load; once `seconds` have passed, take an old value if there is one."""
        joined = asyncio.ensure_future(flight.join(self.name))
        sleeping = asyncio.ensure_future(_sleep(self._clock, seconds))
        try:
            await asyncio.wait({joined, sleeping}, return_when=asyncio.FIRST_COMPLETED)
            if not joined.done():
                value = self._in_need(flight)
                if value is not MISSING:
                    flight.behind = True
                    self.counts.stale += 1
                    return value
            return await joined
        finally:
            sleeping.cancel()
            joined.cancel()
            await asyncio.gather(joined, return_exceptions=True)

    # Loading.

    async def _found(
        self, flight: Flight, recipe: Recipe, sequence: int, looked: Looked | None
    ) -> bool:
        """Look into the lower tiers, unless that has been done; say whether a load is spared.

        What was found is left with the flight, also where it is old and serves only in need.
        """
        if looked is None:
            asked_at = self._clock.monotonic()
            looked = Looked(await self.find(recipe, flight, sequence), asked_at, sequence)
        found = looked.found
        if found is None or flight.invalidated:
            return False
        flight.in_need = found.value
        if found.life.fresh_for > 0:
            return True
        if -found.life.fresh_for < self._freshness.revalidate_for:
            self.counts.revalidated += 1
            self.remember(
                recipe.key, found.value, found.life, found.tags, sequence, asked_at=looked.asked_at
            )
            flight.behind = True
            flight.answer(found.value)
        return False

    async def _fill(self, flight: Flight, recipe: Recipe, sequence: int, *, foreseen: bool) -> Any:
        if self.turns is None or recipe.alone:
            return await self._load(flight, recipe, sequence, foreseen=foreseen)

        async def find() -> Found | None:
            found = await self.find(recipe, flight, sequence)
            return found if found is not None and found.life.fresh_for > 0 else None

        lease, found = await self.turns.take(recipe.key, find)
        if found is not None:
            return found.value
        try:
            return await self._load(flight, recipe, sequence, foreseen=foreseen)
        finally:
            if lease is not None:
                await release(lease)
                if self.backplane is not None:
                    await self.backplane.tell_stored(recipe.key)

    async def _load(self, flight: Flight, recipe: Recipe, sequence: int, *, foreseen: bool) -> Any:
        key, counts = recipe.key, self.counts
        if not foreseen:
            counts.misses += 1
        if self.predictor is not None:
            if not foreseen:
                self.predictor.saw(key)
            self.predictor.loading(recipe, foreseen=foreseen)
        began = [await tier.began() for tier in self.lower]
        started = self._clock.monotonic()
        try:
            value = await recipe.call()
        except Exception as error:
            counts.load_errors += 1
            value = self._in_need(flight)
            if value is not MISSING and not flight.invalidated:
                counts.stale += 1
                return value
            if self._freshness.error_ttl > 0 and self._may_keep(flight, recipe, sequence):
                life = Life(self._freshness.error_ttl, 0.0)
                self.remember(key, Failure(error), life, recipe.tags, sequence, asked_at=started)
            raise
        took = self._clock.monotonic() - started
        counts.loads += 1
        counts.load_seconds += took
        if self._may_keep(flight, recipe, sequence) and (recipe.when is None or recipe.when(value)):
            life = self.life_of(value, recipe.ttl, took)
            if life.fresh_for + life.stale_for > 0:
                await self.keep(recipe, value, life, sequence, began, took, foreseen=foreseen)
        return value

    def _may_keep(self, flight: Flight, recipe: Recipe, sequence: int) -> bool:
        return not flight.invalidated and self.marks.since(recipe.key, recipe.tags, sequence)

    def life_of(self, value: Any, ttl: Ttl | None, took: float) -> Life:
        """Return how long a value serves that took `took` seconds to load."""
        options = self._freshness
        chosen = options.ttl if ttl is None else ttl
        seconds = chosen(value) if callable(chosen) else chosen
        seconds *= 1.0 - options.jitter * self._draw()
        stale_for = max(options.stale_for, options.revalidate_for)
        return Life(seconds, stale_for, min(took * options.early * _EARLY, seconds))

    async def keep(
        self,
        recipe: Recipe,
        value: Any,
        life: Life,
        sequence: int,
        began: Sequence[float | None],
        took: float,
        *,
        foreseen: bool = False,
    ) -> None:
        """Hold a value in every tier."""
        asked_at = self._clock.monotonic() - took
        self.remember(
            recipe.key, value, life, recipe.tags, sequence, asked_at=asked_at, foreseen=foreseen
        )
        if not self.lower or took > _LONGEST:
            return
        try:
            body = recipe.codec.encode(value)
        except CodecError as error:
            self.counts.unwritable += 1
            named = recipe.key.partition(":")[0]
            if named not in self._reported and len(self._reported) < 1_000:
                self._reported.add(named)
                at, reason = self._clock.time(), str(error)
                event = ValueUnwritable(source=self.name, at=at, key=recipe.key, reason=reason)
                self._events.emit(event)
            return
        # Longer than the lease: another may have loaded meanwhile, what it has is newer.
        late = self.turns is not None and took >= self.turns.ttl
        for tier, start in zip(self.lower, began, strict=True):
            if start is not None:
                await tier.put(recipe.key, body, life, recipe.tags, start, if_newer=late)

    def remember(
        self,
        key: str,
        value: Any,
        life: Life,
        tags: tuple[str, ...],
        sequence: int,
        *,
        asked_at: float,
        foreseen: bool = False,
    ) -> None:
        """Hold a value in memory that was asked for at `asked_at`.

        Invalidations that may go unheard are bounded from then on, not from its arrival.
        """
        entry = self.memory.put(key, value)
        if entry is None:
            return
        now, options = self._clock.monotonic(), self._freshness
        entry.fresh_until = min(now + life.fresh_for, asked_at + self.cap)
        entry.stale_until = now + life.fresh_for + life.stale_for
        entry.idle_until = FOREVER if options.idle_ttl is None else now + options.idle_ttl
        entry.tags = tags
        entry.sequence = sequence
        entry.foreseen = foreseen
        watched = foreseen or options.idle_ttl is not None or isinstance(value, Failure)
        entry.until = NEVER if watched else entry.fresh_until - life.early_for
        if foreseen and self.predictor is not None:
            self.predictor.landed(key, entry.fresh_until - now)

    async def find(self, recipe: Recipe, flight: Flight | None, sequence: int) -> Found | None:
        """Look into the lower tiers; put what is fresh into those above. Return the freshest."""
        best: Found | None = None
        key = recipe.key
        for number, tier in enumerate(self.lower):
            asked_at = self._clock.monotonic()
            found = await tier.get(key, recipe.tags, recipe.codec)
            if found is None or not self.marks.since(key, found.tags, sequence):
                continue
            if best is None or found.life.fresh_for > best.life.fresh_for:
                best = found
            if found.life.fresh_for > 0:
                self.hits[number] += 1
                if flight is None or not flight.invalidated:
                    self.remember(
                        key, found.value, found.life, found.tags, sequence, asked_at=asked_at
                    )
                    await self._lift(key, found, number)
                break
        return best

    async def _lift(self, key: str, found: Found, number: int) -> None:
        """Put what was found in one tier into those above it, for the rest of its life."""
        for tier in self.lower[:number]:
            now = await tier.began()
            if now is not None:
                began = now - found.age
                await tier.put(key, found.body, found.life, found.tags, began, if_newer=True)

    # What is old.

    def _to_revalidate(self, key: str) -> Any:
        """Return a value that has ended, but may serve while it is loaded anew; or `MISSING`."""
        if not self._freshness.revalidate_for:
            return MISSING
        entry = self.memory.entries.get(key)
        if entry is None or isinstance(entry.value, Failure):
            return MISSING
        ended = self._clock.monotonic() - entry.fresh_until
        if 0 <= ended < self._freshness.revalidate_for and self.marks.fresh(entry):
            return entry.value
        return MISSING

    def _in_need(self, flight: Flight) -> Any:
        """Return the value that may serve if a load fails or takes too long; or `MISSING`."""
        entry = self.memory.entries.get(flight.key)
        if entry is not None and not isinstance(entry.value, Failure):
            now = self._clock.monotonic()
            if entry.stale_until > now and entry.idle_until > now and self.marks.valid(entry):
                return entry.value
        return flight.in_need

    # Invalidation.

    def supersede(self, key: str) -> None:
        """Let a load under way serve those who wait for it, and keep nothing."""
        flight = self.flights.pop(key, None)
        if flight is not None:
            flight.invalidated = True
            flight.in_need = MISSING

    def forget(self, what: Invalidation) -> None:
        """Make values invalid in this process."""
        for key in what.keys:
            self.memory.drop(key)
            self.supersede(key)
        if what.tags:
            self.marks.tag(what.tags)
        for prefix in what.prefixes:
            self.marks.prefix(prefix)
        if what.everything:
            self.marks.all()
            self.memory.clear()
        if what.tags or what.prefixes or what.everything:
            for flight in self.flights.values():
                flight.in_need = MISSING

    async def invalidate(self, what: Invalidation) -> None:
        """Make values invalid here, in the lower tiers, and in the memory of other processes."""
        self.forget(what)
        for tier in self.lower:
            await tier.invalidate(what)
        if self.backplane is not None:
            await self.backplane.tell(what)

    def trust(self, heard: bool) -> None:
        """Trust what memory holds while invalidations are heard."""
        self.cap = self._most
        if not heard and self.backplane is not None:
            self.marks.doubt()
            self.cap = min(self._most, self.backplane.max_staleness)

    def predict(self, options: Prediction) -> None:
        """Load what is likely to be asked for next, from now on."""

        def held(key: str, seconds: float) -> bool:
            entry = self.memory.entries.get(key)
            if entry is None or not self.is_fresh(entry):
                return key in self.flights
            return entry.fresh_until > self._clock.monotonic() + seconds

        def load(recipe: Recipe) -> Flight:
            # What is still held is about to end: a lower tier has nothing better.
            anew = recipe.key in self.memory.entries
            return self.refresh_behind(recipe, anew=anew, foreseen=True)

        self.predictor = Predictor(options, self._clock, held=held, load=load)
        self.memory.observe = self.predictor.saw

    def start(self) -> None:
        """Start what runs behind."""
        for tier in self.lower:
            tier.start()
        if self.backplane is not None:
            self.backplane.start()
        if not self._jobs:
            self._jobs.append(asyncio.ensure_future(self.history.run()))
            if self.predictor is not None:
                self._jobs.append(asyncio.ensure_future(self.predictor.run()))

    async def close(self) -> None:
        """Stop what runs behind, give up what is loaded behind, and write what waits."""
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        self._jobs.clear()
        flights = [flight for flight in self._under_way if flight.behind]
        await asyncio.gather(*(flight.cancel() for flight in flights))
        if self.backplane is not None:
            await self.backplane.close()
        for tier in self.lower:
            await tier.close()


def _sleep(clock: Clock, seconds: float) -> Coroutine[Any, Any, None]:
    async def sleep() -> None:
        await clock.sleep(seconds)

    return sleep()
