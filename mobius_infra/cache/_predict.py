"""Loading what is likely to be asked for next, before it is.

Two things are learnt from the keys that are asked for: which key follows which within a window, in
one session; and which keys recur at a steady interval. What is likely is loaded in the background,
as long as it pays: a budget allows so many loads in vain for each load that was asked for, and the
certainty that is required follows the precision that is reached.
"""

import heapq
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from mobius_infra.cache._entry import Recipe
from mobius_infra.core import Clock, require

if TYPE_CHECKING:
    from mobius_infra.cache._flight import Flight

_RECENT: Final = 8  # keys of a session that a new one may follow
_FOLLOWERS: Final = 16  # remembered of each key
_FADE_AT: Final = 32  # occurrences after which counts are halved, so that habits may change
_SEEN_FIRST: Final = 2  # occurrences before anything is concluded
_ROUND: Final = 25  # outcomes between two corrections of the certainty that is required
_CREDIT: Final = 50.0  # loads in vain that may be saved up
_STEADY: Final = 0.2  # mean deviation of intervals, as a share of their mean
_WAITING: Final = 64  # keys that may wait to be loaded
_TICK: Final = 0.5  # seconds between two looks at what recurs
_BEHIND: Final = 0.1  # seconds by which the event loop may be late


@dataclass(frozen=True, slots=True)
class Prediction:
    """How a cache predicts.

    Attributes:
        window: seconds within which one key follows another.
        certainty: probability from which a value is loaded, at first.
        precision: share of predicted values that should turn out to be asked for; below it, more
            certainty is required.
        waste: loads in vain that are allowed for each load that was asked for.
        concurrency: loads at a time.
        max_keys: whose habits are remembered.
        session: returns whose request this is, so that the keys of many users are not taken for
            one sequence (a context variable's `get`, say); None: all are one.
        allowed: returns whether the origin may be asked now (a breaker is closed, say).

    Raises:
        ConfigurationError: for a value out of range.
    """

    window: float = 60.0
    certainty: float = 0.5
    precision: float = 0.7
    waste: float = 0.5
    concurrency: int = 4
    max_keys: int = 10_000
    session: Callable[[], Hashable] | None = None
    allowed: Callable[[], bool] | None = None

    def __post_init__(self) -> None:
        require(self.window > 0, "window", self.window, "positive seconds")
        require(0 < self.certainty <= 1, "certainty", self.certainty, "above 0 and at most 1")
        require(0 < self.precision < 1, "precision", self.precision, "between 0 and 1")
        require(self.waste >= 0, "waste", self.waste, "zero or more loads")
        require(self.concurrency > 0, "concurrency", self.concurrency, "a positive number")
        require(self.max_keys > 0, "max_keys", self.max_keys, "a positive number of keys")


class _Follower:
    """What is known of one key after another."""

    __slots__ = ("after", "times")

    def __init__(self, after: float) -> None:
        self.times = 0
        self.after = after  # seconds, on average


class _Habit:
    """What is known of one key."""

    __slots__ = ("count", "deviation", "followers", "interval", "last_at", "recipe", "times")

    def __init__(self) -> None:
        self.recipe: Recipe | None = None
        self.times = 0
        self.count = 0  # occurrences, fading
        self.followers: dict[str, _Follower] = {}
        self.last_at = float("-inf")
        self.interval = self.deviation = 0.0

    def follow(self, key: str, after: float) -> None:
        followers = self.followers
        follower = followers.get(key)
        if follower is None:
            if len(followers) >= _FOLLOWERS:
                # As in the space-saving algorithm: the rarest makes room, and leaves its count.
                rarest = min(followers, key=lambda each: followers[each].times)
                follower = followers.pop(rarest)
            else:
                follower = _Follower(after)
            followers[key] = follower
        follower.times += 1
        follower.after += (after - follower.after) / 4

    def occur(self, now: float) -> None:
        self.count += 1
        if self.count > _FADE_AT:
            self.count //= 2
            for each in self.followers.values():
                each.times //= 2
        gap, self.last_at = now - self.last_at, now
        self.times += 1
        if self.times == 2:
            self.interval = gap
        elif self.times > 2:
            self.deviation += (abs(gap - self.interval) - self.deviation) / 4
            self.interval += (gap - self.interval) / 4

    @property
    def steady(self) -> bool:
        return self.times > 5 and self.deviation < _STEADY * self.interval


class Predictor:
    """Learns which keys are asked for, and loads what is likely next.

    Attributes:
        loaded: values that were loaded by prediction.
        hits: those of them that were then asked for.
        wasted: those that were not while they were fresh.
        certainty: probability from which a value is loaded at present.
    """

    def __init__(
        self,
        options: Prediction,
        clock: Clock,
        *,
        held: Callable[[str, float], bool],
        load: Callable[[Recipe], "Flight"],
    ) -> None:
        self.loaded = self.hits = self.wasted = 0
        self.certainty = options.certainty
        self._options = options
        self._clock = clock
        self._held = held
        self._load = load
        self._habits: OrderedDict[str, _Habit] = OrderedDict()
        self._sessions: OrderedDict[Hashable, deque[tuple[str, float]]] = OrderedDict()
        self._credit = _CREDIT / 5
        self._running: set[str] = set()
        self._open: OrderedDict[str, float] = OrderedDict()  # predicted, not asked for; and when
        self._doubt = 0.5  # share of what is open that will turn out to be in vain
        self._outcomes = [0, 0]  # of this round: in vain, asked for
        self._due: list[tuple[float, str]] = []
        self._queue: deque[tuple[str, float]] = deque()
        self._late = False

    def saw(self, key: str) -> None:
        """Learn that `key` was asked for, and load what is likely to follow."""
        now = self._clock.monotonic()
        session = None if self._options.session is None else self._options.session()
        recent = self._sessions.get(session)
        if recent is None:
            recent = self._sessions[session] = deque(maxlen=_RECENT)
            if len(self._sessions) > self._options.max_keys:
                self._sessions.popitem(last=False)
        else:
            self._sessions.move_to_end(session)
        if recent and recent[-1][0] == key and now - recent[-1][1] < _TICK:
            return  # asked for again at once: nothing to learn
        for earlier, at in {name: at for name, at in recent if name != key}.items():
            habit = self._habits.get(earlier)
            if habit is not None and now - at <= self._options.window:
                habit.follow(key, now - at)
        recent.append((key, now))
        habit = self._habit(key)
        habit.occur(now)
        if habit.steady and habit.recipe is not None:
            lead = max(2 * habit.deviation, 2 * _TICK)
            heapq.heappush(self._due, (now + habit.interval - lead, key))
            if len(self._due) > self._options.max_keys:
                self._due.pop()  # one of the last half: roughly the latest
        if habit.count >= _SEEN_FIRST:
            least = self.certainty * (
                habit.count + 1
            )  # one doubt, which few sightings don't outweigh
            likely = [(each, name) for name, each in habit.followers.items() if each.times >= least]
            for follower, name in sorted(likely, key=lambda each: each[0].after):
                # Held now is not enough: it must be until then, and a bit longer.
                self._predict(name, within=2 * follower.after)

    def loading(self, recipe: Recipe, *, foreseen: bool) -> None:
        """Hear that the origin is asked, and keep how."""
        self._habit(recipe.key).recipe = recipe
        if not foreseen:
            self._credit = min(_CREDIT, self._credit + self._options.waste)
            self._open.pop(recipe.key, None)

    def earned(self, key: str) -> None:
        """Hear that a predicted value was asked for."""
        if self._open.pop(key, None) is not None:
            self.hits += 1
            self._learn_outcome(asked=1)

    def landed(self, key: str, fresh_for: float) -> None:
        """Hear that a predicted value was loaded: in vain, if nobody asks while it is fresh."""
        self.loaded += 1
        self._open[key] = self._clock.monotonic() + fresh_for

    async def run(self) -> None:
        """Load what recurs when its time comes, for ever."""
        while True:
            before = self._clock.monotonic()
            await self._clock.sleep(_TICK)
            now = self._clock.monotonic()
            self._late = now - before > _TICK + _BEHIND
            self._close_old(now)
            while self._due and self._due[0][0] <= now:
                _, key = heapq.heappop(self._due)
                self._predict(key, within=2 * _TICK + 2 * self._habit(key).deviation)

    @property
    def precision(self) -> float:
        """The share of predicted values that were asked for; 0 before any is known."""
        known = self.hits + self.wasted
        return self.hits / known if known else 0.0

    def _habit(self, key: str) -> _Habit:
        habit = self._habits.get(key)
        if habit is None:
            habit = self._habits[key] = _Habit()
            if len(self._habits) > self._options.max_keys:
                self._habits.popitem(last=False)
        else:
            self._habits.move_to_end(key)
        return habit

    def _predict(self, key: str, *, within: float) -> None:
        if len(self._queue) < _WAITING:
            self._queue.append((key, within))
        self._start()

    def _start(self) -> None:
        """Load what waits, as far as it is allowed to now; what is not is forgotten."""
        options = self._options
        while self._queue and len(self._running) < options.concurrency:
            key, within = self._queue.popleft()
            habit = self._habits.get(key)
            if (
                habit is None
                or habit.recipe is None
                or self._held(key, within)
                or key in self._running
            ):
                continue
            self._close_old(self._clock.monotonic())
            barred = options.allowed is not None and not options.allowed()
            if self._late or barred or self._credit < 1.0 + len(self._open) * self._doubt:
                self._queue.clear()
                return
            self._running.add(key)
            self._load(habit.recipe).when_done(partial(self._landed, key))

    def _landed(self, key: str) -> None:
        self._running.discard(key)
        self._start()

    def _close_old(self, now: float) -> None:
        # In the order of loading, which is nearly that of ending: what ends early waits its turn.
        while self._open and next(iter(self._open.values())) <= now:
            self._open.popitem(last=False)
            self.wasted += 1
            self._credit -= 1.0
            self._learn_outcome(asked=0)

    def _learn_outcome(self, *, asked: int) -> None:
        self._doubt += (1 - asked - self._doubt) / 16
        self._outcomes[asked] += 1
        vain, used = self._outcomes
        if vain + used < _ROUND:
            return
        self._outcomes = [0, 0]
        share = used / (vain + used)
        if share < self._options.precision:
            self.certainty = min(1.0, self.certainty + 0.1)
        elif share > (1 + self._options.precision) / 2:
            self.certainty = max(0.3, self.certainty - 0.05)
