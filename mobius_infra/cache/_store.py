"""What a cache holds, in memory and in the lower tiers, and how long it serves."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mobius_infra.cache._entry import FOREVER, MISSING, NEVER, Entry, Failure, Life, Recipe, Ttl
from mobius_infra.cache._events import ValueUnwritable
from mobius_infra.cache._marks import Marks
from mobius_infra.cache._memory import MemoryTier
from mobius_infra.cache._owed import Invalidation
from mobius_infra.cache._record import Found
from mobius_infra.cache._tier import BackendTier
from mobius_infra.core import Clock, CodecError, Events

_EARLY: Final = 10.0  # load times before the end from which a refresh may come (its odds: e^-10)
_MOST_DROPPED: Final = 10_000


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


class Store:
    """Holds the values of one cache.

    Attributes:
        memory: the first tier; it holds nothing if the cache has none.
        lower: the other tiers, nearest first.
        marks: what was invalidated in this process.
        counts: what happened.
        hits: of each of the lower tiers.
        cap: seconds for which memory is trusted.
        on_first_hit: is told of the first hit, or of more, of what was loaded by prediction.
        on_foreseen: is told of what was loaded by prediction, and for how long it is fresh.
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
        self.memory = memory
        self.lower = lower
        self.marks = Marks()
        self.counts = Counts()
        self.hits = [0] * len(lower)
        self.freshness = freshness
        self.clock = clock
        self.cap = self._most = FOREVER if memory.max_ttl is None else memory.max_ttl
        self._unheard, self._heard_since = self.cap, NEVER
        self.on_first_hit: Callable[[str], None] | None = None
        self.on_foreseen: Callable[[str, float], None] | None = None
        self._name = name
        self._events = events
        self._draw = draw
        self._reported: set[str] = set()
        self._drops = self._dropped_before = 0
        self._dropped: dict[str, int] = {}  # keys that were forgotten lately, and when

    # Any, from here on: whatever is cached.

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
        now = self.clock.monotonic()
        if entry.fresh_until > now and entry.idle_until > now:
            return self.marks.fresh(entry)
        if entry.stale_until <= now:
            self.memory.expire(entry)
        return False

    def _look_at(self, entry: Entry) -> None:
        """Do what a hit needs whose entry asks to be looked at."""
        if self.on_first_hit is not None:
            self.on_first_hit(entry.key)
        if self.freshness.idle_ttl is not None:
            entry.idle_until = self.clock.monotonic() + self.freshness.idle_ttl
        elif not isinstance(entry.value, Failure):
            entry.until = entry.fresh_until

    async def peek(self, recipe: Recipe) -> Any:
        """Return the fresh value that any tier holds, or `MISSING`; load nothing."""
        value = self.hit(recipe.key)
        if value is MISSING:
            keep = self._unless_dropped(recipe.key)
            found = await self.find(recipe, self.marks.sequence, keep=keep)
            if found is not None and found.fresh_for > 0:
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
        left = entry.fresh_until - self.clock.monotonic()
        return left < -spread * math.log(1.0 - self._draw())

    def life_of(self, value: Any, ttl: Ttl | None, took: float) -> Life:
        """Return how long a value serves that took `took` seconds to load."""
        options = self.freshness
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
        if_newer: bool = False,
    ) -> None:
        """Hold a value in every tier.

        With `if_newer` only in lower tiers, and where nothing is whose load began later: memory
        does not know, and takes from them what has won.
        """
        at = self.clock.monotonic()
        if not if_newer:
            self.remember(
                recipe.key,
                value,
                life,
                recipe.tags,
                sequence,
                asked_at=at - took,
                foreseen=foreseen,
            )
        if not self.lower:
            return
        try:
            body = recipe.terms.codec.encode(value)
        except CodecError as error:
            self.counts.unwritable += 1
            named = recipe.key.partition(":")[0]
            if named not in self._reported and len(self._reported) < 1_000:
                self._reported.add(named)
                at, reason = self.clock.time(), str(error)
                event = ValueUnwritable(source=self._name, at=at, key=recipe.key, reason=reason)
                self._events.emit(event)
            return
        for tier, start in zip(self.lower, began, strict=True):
            if start is not None:
                await tier.put(recipe.key, body, life, recipe.tags, start, at=at, if_newer=if_newer)

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
        now, options = self.clock.monotonic(), self.freshness
        ends, trusted_until = now + life.fresh_for, self._trusted_until(asked_at)
        capped = trusted_until < ends  # the lower tiers have it for longer
        entry.fresh_until = trusted_until if capped else ends
        entry.stale_until = ends + life.stale_for if life.stale_for else ends  # shared: 24 bytes
        entry.idle_until = FOREVER if options.idle_ttl is None else now + options.idle_ttl
        entry.tags = tags
        entry.sequence = sequence
        watched = foreseen or options.idle_ttl is not None or isinstance(value, Failure)
        early_for = 0.0 if capped else life.early_for
        until = entry.fresh_until - early_for if early_for else entry.fresh_until
        entry.until = NEVER if watched else until
        if foreseen and self.on_foreseen is not None:
            self.on_foreseen(key, entry.fresh_until - now)

    async def find(
        self, recipe: Recipe, sequence: int, *, keep: Callable[[], bool]
    ) -> Found | None:
        """Look into the lower tiers; put what is fresh into those above. Return the freshest."""
        best: Found | None = None
        key = recipe.key
        for number, tier in enumerate(self.lower):
            asked_at = self.clock.monotonic()
            found = await tier.get(key, recipe.tags, recipe.terms.codec)
            if found is None or not self.marks.since(key, found.record.tags, sequence):
                continue
            if found.fresh_for > 0:
                self.hits[number] += 1
                if keep():
                    if self.memory.max_entries:
                        life, tags = found.life, found.record.tags
                        self.remember(key, found.value, life, tags, sequence, asked_at=asked_at)
                    if number:
                        await self._lift(key, found, number)
                return found
            if best is None or found.fresh_for > best.fresh_for:
                best = found
        return best

    async def _lift(self, key: str, found: Found, number: int) -> None:
        """Put what was found in one tier into those above it, for the rest of its life."""
        at = self.clock.monotonic()
        for tier in self.lower[:number]:
            now = await tier.began()
            if now is not None:
                began = now - (self.clock.monotonic() - at) - found.age
                record, life = found.record, found.life
                await tier.put(key, record.body, life, record.tags, began, at=at, if_newer=True)

    def to_revalidate(self, key: str) -> Any:
        """Return a value that has ended, but may serve while it is loaded anew; or `MISSING`."""
        entry = self.memory.entries.get(key)
        if entry is None or isinstance(entry.value, Failure):
            return MISSING
        ended = self.clock.monotonic() - entry.fresh_until
        if 0 <= ended < self.freshness.revalidate_for and self.marks.fresh(entry):
            return entry.value
        return MISSING

    def in_need(self, key: str) -> Any:
        """Return the value that may serve if a load fails or takes too long; or `MISSING`."""
        entry = self.memory.entries.get(key)
        if entry is not None and not isinstance(entry.value, Failure):
            now = self.clock.monotonic()
            if entry.stale_until > now and entry.idle_until > now and self.marks.valid(entry):
                return entry.value
        return MISSING

    def forget(self, what: Invalidation) -> None:
        """Make values invalid in this process."""
        for key in what.keys:
            self.memory.drop(key)
            self._drops += 1
            self._dropped[key] = self._drops
        if len(self._dropped) > _MOST_DROPPED:
            self._dropped.clear()
            self._dropped_before = self._drops
        if what.tags:
            self.marks.tag(what.tags)
        for prefix in what.prefixes:
            self.marks.prefix(prefix)
        if what.everything:
            self.marks.all()
            self.memory.clear()

    def _unless_dropped(self, key: str) -> Callable[[], bool]:
        """Return a function that says whether `key` has not been forgotten since now."""
        now = self._drops
        return lambda: self._dropped_before <= now and self._dropped.get(key, 0) <= now

    def trusted(self, recipe: Recipe, sequence: int, asked_at: float) -> bool:
        """Say whether a load that began then may answer who asks now."""
        if sequence < self.marks.doubted:
            return False
        if self.clock.monotonic() >= self._trusted_until(asked_at):
            return False
        return self.marks.since(recipe.key, recipe.tags, sequence)

    def _trusted_until(self, asked_at: float) -> float:
        # What was asked for before invalidations were heard again may have missed one.
        return asked_at + (self.cap if asked_at > self._heard_since else self._unheard)

    def trust(self, *, bound: float | None) -> None:
        """Trust what is asked for from now on; for `bound` seconds only, if nothing is heard."""
        if bound is None:
            self._unheard, self._heard_since = self.cap, self.clock.monotonic()
            self.cap = self._most
        else:
            self.marks.doubt()
            self.cap = min(self._most, bound)
