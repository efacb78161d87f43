"""What happens on a miss: look into the lower tiers, load once, keep, or serve what is old."""

import asyncio
from collections.abc import Coroutine
from typing import Any, NamedTuple

from mobius_infra.cache._backplane import Backplane
from mobius_infra.cache._entry import MISSING, Failure, Life, Recipe
from mobius_infra.cache._fleet import Turns, release
from mobius_infra.cache._flight import Flight, Old, without_frames
from mobius_infra.cache._history import History
from mobius_infra.cache._owed import Invalidation
from mobius_infra.cache._predict import Prediction, Predictor
from mobius_infra.cache._record import Found
from mobius_infra.cache._store import Store
from mobius_infra.core import Clock, ConfigurationError, own_instance


class Looked(NamedTuple):
    """What a look into the lower tiers has brought."""

    found: Found | None


class Engine:
    """Finds, loads and keeps the values of one cache.

    Attributes:
        name: the cache's.
        store: what it holds.
        flights: the loads under way, by key.
    """

    def __init__(self, name: str, store: Store) -> None:
        self.name = name
        self.store = store
        self.flights: dict[str, Flight] = {}
        self.backplane: Backplane | None = None
        self.turns: Turns | None = None
        self.predictor: Predictor | None = None
        self._freshness = store.freshness
        self._clock = store.clock
        self.history = History(self._asked, store.clock)
        self._jobs: list[asyncio.Task[None]] = []
        # Who may wait for so long only needs a task beside it from the beginning.
        self._looks_first = bool(store.lower) and store.freshness.soft_timeout is None
        self._under_way: set[Flight] = set()  # those that were superseded too

    def _asked(self) -> tuple[int, int]:
        return self.store.memory.hits + sum(self.store.hits), self.store.counts.misses

    # Reading. Any, from here on: whatever is cached.

    async def serve(self, recipe: Recipe) -> Any:
        """Return the value of `recipe`: from memory, from a lower tier, or loaded.

        Raises:
            CacheCycleError: if the load waits for itself.
            Exception: whatever the load raises, where nothing old may serve.
        """
        value = self.store.hit(recipe.key)
        if value is MISSING:
            return await self.load(recipe)
        if isinstance(value, Failure):
            self.store.counts.errors_served += 1
            raise own_instance(value.error)
        if self.store.due(recipe.key) and recipe.key not in self.flights:
            self.store.counts.early += 1
            self.refresh_behind(recipe, anew=True)
        return value

    async def load(self, recipe: Recipe) -> Any:
        """Find the value in a lower tier or load it, once for all who ask now."""
        if self.backplane is not None and not self.backplane.running:
            raise ConfigurationError("backplane", self.name, "used inside `async with` the cache")
        key = recipe.key
        if self._freshness.revalidate_for:
            value = self.store.to_revalidate(key)
            if value is not MISSING:
                self.store.counts.revalidated += 1
                if key not in self.flights:
                    self.refresh_behind(recipe)
                return value
        flight = self.joinable(recipe)
        if flight is not None:
            return await self._wait(flight)
        if not self._looks_first:
            return await self._wait(self._start(recipe))
        # Look into the lower tiers for all who ask; only if that is in vain, start a task.
        flight = self._flight(key)
        try:
            found = await self.store.find(recipe, flight.sequence, keep=flight.storable)
        except BaseException:
            self._hand_over(flight, recipe)
            raise
        if found is not None and found.fresh_for > 0:
            if flight.awaited:
                flight.answer(found.value)
            self._leave(flight)
            return found.value
        self._launch(flight, recipe, looked=Looked(found))
        return await flight.join(self.name)

    def _wait(self, flight: Flight) -> Coroutine[Any, Any, Any]:
        if self._freshness.soft_timeout is None:
            return flight.join(self.name)
        return self._patiently(flight, self._freshness.soft_timeout)

    def joinable(self, recipe: Recipe) -> Flight | None:
        """Return the load under way that may answer who asks now, if there is one.

        What began before something that covers it was invalidated is only for those who wait;
        also what began so long ago that such an invalidation may have gone unheard.
        """
        flight = self.flights.get(recipe.key)
        if flight is None or flight.abandoned:
            return None
        trusted = self.store.trusted(recipe, flight.sequence, flight.asked_at)
        return flight if trusted else None

    def refresh_behind(
        self, recipe: Recipe, *, anew: bool = False, foreseen: bool = False
    ) -> Flight:
        """Find or load a value while what there is goes on to serve; `anew`: only load."""
        return self._start(recipe, behind=True, anew=anew, foreseen=foreseen)

    def _hand_over(self, flight: Flight, recipe: Recipe) -> None:
        """Give those who wait by now a load of their own."""
        if flight.awaited:
            self._launch(flight, recipe)
        else:
            self._leave(flight)

    def _leave(self, flight: Flight) -> None:
        if self.flights.get(flight.key) is flight:
            del self.flights[flight.key]

    def _flight(self, key: str, *, behind: bool = False) -> Flight:
        sequence, now = self.store.marks.sequence, self._clock.monotonic()
        flight = self.flights[key] = Flight(key, sequence, now, behind=behind)
        return flight

    def _start(
        self, recipe: Recipe, *, behind: bool = False, anew: bool = False, foreseen: bool = False
    ) -> Flight:
        flight = self._flight(recipe.key, behind=behind)
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
            try:
                found = None if anew else await self._found(flight, recipe, looked)
                if found is not None:
                    return found.value
                return await self._fill(flight, recipe, foreseen=foreseen)
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
                value = self._old_value(flight)
                if value is not MISSING:
                    flight.behind = True
                    self.store.counts.stale += 1
                    return value
            return await joined
        finally:
            sleeping.cancel()
            joined.cancel()
            await asyncio.gather(joined, return_exceptions=True)

    # Loading.

    async def _found(self, flight: Flight, recipe: Recipe, looked: Looked | None) -> Found | None:
        """Look into the lower tiers, unless that has been done; return what spares a load.

        What is old is left with the flight, and serves only in need.
        """
        if looked is None:
            found = await self.store.find(recipe, flight.sequence, keep=flight.storable)
        else:
            found = looked.found
        # Since the tiers were asked, it may have been made invalid.
        if found is None or not self._valid(flight, found.record.tags):
            return None
        if found.fresh_for > 0:
            return found
        until = self._clock.monotonic() + found.fresh_for + found.life.stale_for
        flight.old = Old(found.value, found.record.tags, until)
        if -found.fresh_for < self._freshness.revalidate_for:
            self.store.counts.revalidated += 1
            self.store.remember(
                recipe.key,
                found.value,
                found.life,
                found.record.tags,
                flight.sequence,
                asked_at=flight.asked_at,
            )
            flight.behind = True
            flight.answer(found.value)
        return None

    async def _fill(self, flight: Flight, recipe: Recipe, *, foreseen: bool) -> Any:
        if self.turns is None or recipe.terms.alone:
            return await self._load(flight, recipe, foreseen=foreseen)

        async def find() -> Found | None:
            found = await self.store.find(recipe, flight.sequence, keep=flight.storable)
            return found if found is not None and found.fresh_for > 0 else None

        lease, found = await self.turns.take(recipe.key, find)
        if found is not None:
            return found.value
        try:
            return await self._load(flight, recipe, foreseen=foreseen)
        finally:
            if lease is not None:
                await release(lease)
                if self.backplane is not None:
                    await self.backplane.tell_stored(recipe.key)

    async def _load(self, flight: Flight, recipe: Recipe, *, foreseen: bool) -> Any:
        key, counts = recipe.key, self.store.counts
        if not foreseen:
            counts.misses += 1
        if self.predictor is not None:
            if not foreseen:
                self.predictor.saw(key)
            self.predictor.loading(recipe, foreseen=foreseen)
        began = [await tier.began() for tier in self.store.lower]
        started = self._clock.monotonic()
        try:
            value = await recipe.call()
        except Exception as error:
            counts.load_errors += 1
            value = self._old_value(flight)
            if value is not MISSING:
                counts.stale += 1
                return value
            if self._freshness.error_ttl > 0 and self._may_keep(flight, recipe):
                life = Life(self._freshness.error_ttl, 0.0)
                self.store.remember(
                    key,
                    Failure(without_frames(error)),
                    life,
                    recipe.tags,
                    flight.sequence,
                    asked_at=started,
                )
            raise
        took = self._clock.monotonic() - started
        counts.loads += 1
        counts.load_seconds += took
        if self._may_keep(flight, recipe) and (
            recipe.terms.when is None or recipe.terms.when(value)
        ):
            life = self.store.life_of(value, recipe.terms.ttl, took)
            if life.fresh_for + life.stale_for > 0:
                # Longer than the lease: another may have loaded meanwhile, what it has is newer.
                late = self.turns is not None and took >= self.turns.ttl
                await self.store.keep(
                    recipe,
                    value,
                    life,
                    flight.sequence,
                    began,
                    took,
                    foreseen=foreseen,
                    if_newer=late,
                )
        return value

    def _valid(self, flight: Flight, tags: tuple[str, ...]) -> bool:
        """Say whether nothing that covers the flight's key or `tags` was invalidated meanwhile."""
        marks = self.store.marks
        return not flight.invalidated and marks.since(flight.key, tags, flight.sequence)

    def _may_keep(self, flight: Flight, recipe: Recipe) -> bool:
        return flight.storable() and self._valid(flight, recipe.tags)

    def _old_value(self, flight: Flight) -> Any:
        """Return what may serve if a load fails or takes too long; or `MISSING`."""
        held, old = self.store.in_need(flight.key), flight.old
        if held is not MISSING or old is None or old.until <= self._clock.monotonic():
            return held
        return old.value if self._valid(flight, old.tags) else MISSING

    # Invalidation.

    def supersede(self, key: str) -> None:
        """Let a load under way serve those who wait for it, and keep nothing."""
        flight = self.flights.pop(key, None)
        if flight is not None:
            flight.invalidated = True

    def forget(self, what: Invalidation) -> None:
        """Make values invalid in this process."""
        self.store.forget(what)
        for key in what.keys:
            self.supersede(key)

    async def invalidate(self, what: Invalidation) -> None:
        """Make values invalid here, in the lower tiers, and in the memory of other processes."""
        self.forget(what)
        for tier in self.store.lower:  # all of them, before whoever asked may be cancelled
            tier.owe(what)
        for tier in self.store.lower:
            await tier.settle()
        if self.backplane is not None:
            await self.backplane.tell(what)

    def trust(self, heard: bool) -> None:
        """Trust what memory holds while invalidations are heard."""
        bound = None if heard or self.backplane is None else self.backplane.max_staleness
        self.store.trust(bound=bound)

    def predict(self, options: Prediction) -> None:
        """Load what is likely to be asked for next, from now on."""

        def held(key: str, seconds: float) -> bool:
            entry = self.store.memory.entries.get(key)
            if entry is None or not self.store.is_fresh(entry):
                return key in self.flights
            return entry.fresh_until > self._clock.monotonic() + seconds

        def load(recipe: Recipe) -> Flight:
            # What is still held is about to end: a lower tier has nothing better.
            anew = recipe.key in self.store.memory.entries
            return self.refresh_behind(recipe, anew=anew, foreseen=True)

        self.predictor = Predictor(options, self._clock, held=held, load=load)
        self.store.on_first_hit = self.predictor.earned
        self.store.on_foreseen = self.predictor.landed
        self.store.memory.observe = self.predictor.saw

    def start(self) -> None:
        """Start what runs behind."""
        for tier in self.store.lower:
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
        # Who waits for a load still gets its value: it is no longer behind, and ends with them.
        flights = [flight for flight in self._under_way if flight.behind and not flight.awaited]
        for flight in self._under_way:
            flight.behind = False
        await asyncio.gather(*(flight.cancel() for flight in flights))
        if self.backplane is not None:
            await self.backplane.close()
        for tier in self.store.lower:
            await tier.close()


def _sleep(clock: Clock, seconds: float) -> Coroutine[Any, Any, None]:
    async def sleep() -> None:
        await clock.sleep(seconds)

    return sleep()
