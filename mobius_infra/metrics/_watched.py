"""From components' snapshots to families, at the moment of the scrape."""

import logging
import math
import re
import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from mobius_infra.core import Component, Event, Events, Sample, require, samples
from mobius_infra.metrics._family import SLICE, Family, Kind, Labels, Series, as_float
from mobius_infra.metrics._names import clean, label_value, legal

log = logging.getLogger("mobius_infra")

Count = Callable[[Event], None]
Failed = Callable[[str, Exception], None]
Source = tuple[str, str]
"""A kind of component, and a name."""

SeriesKey = tuple[str, Labels]
"""A family's name, and a series' labels."""

REMEMBERED = 1_000
"""Names of components whose counts are kept after they are gone, in case they come back."""

_STATES = 32
"""States of one component that are shown; those not seen for longest make room."""

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def kind_of(component: Component) -> str:
    """Return what kind of component it is, as part of a metric's name: `rate_limiter`."""
    return legal(_CAMEL.sub("_", type(component).__name__).lower())


class _Ear:
    """Hears the events of one source for the collector.

    The source holds it, and the collector only weakly: otherwise what a source's listeners refer
    to, often the source itself, would live as long as the collector.
    """

    __slots__ = ("__weakref__", "_count", "at", "leave", "users")

    def __init__(self, count: Count, events: Events) -> None:
        self._count = count
        self.at = id(events)  # it lives no longer than they do
        self.users = 0
        self.leave = events.subscribe(self)

    def __call__(self, event: Event) -> None:
        self._count(event)


@dataclass(slots=True, eq=False)
class _Watch:
    """A component, and what is known of it between scrapes.

    Attributes:
        source: its kind and name.
        get: returns it, or None when it is gone.
        ear: what hears its events.
        seen: its counters at the last look.
        base: what they had reached before it started over.
        states: those that were seen, of each family.
        begun: looks that were begun.
        reading: looks under way.
        read: whether one has ended.
        gone: whether it is watched no longer.
    """

    source: Source
    get: Callable[[], Component | None]
    ear: "weakref.ref[_Ear]"
    seen: dict[SeriesKey, float] = field(default_factory=dict)
    base: dict[SeriesKey, float] = field(default_factory=dict)
    states: dict[str, deque[str]] = field(default_factory=dict)
    begun: int = 0
    reading: int = 0
    read: bool = False
    gone: bool = False

    def advance(self, key: SeriesKey, value: float, begun: int | None) -> float:
        """Return a counter's value without its steps backwards, and remember it.

        Args:
            key: which.
            value: as the component gives it now.
            begun: the number of this look; None if another was under way when it began.

        Raises:
            ConfigurationError: for what no counter can be.
        """
        require(0 <= value < math.inf, f"the counter {key[0]}", value, "a number from 0 on")
        seen = self.seen.get(key, 0.0)
        if value < seen:
            # Where two looks overlap, what was read first may get here last. It looks as if the
            # component had started over, and is not taken for that.
            if begun == self.begun:
                self.base[key] = self.base.get(key, 0.0) + seen
            else:
                value = seen
        self.seen[key] = value
        return self.base.get(key, 0.0) + value


@dataclass(slots=True)
class _Rows:
    """A family that is being put together."""

    kind: Kind
    doc: str
    values: dict[Labels, float] = field(default_factory=dict)


class Watched:
    """The components that are watched, and what those counted that went before them.

    A component is held weakly, so that its numbers go when it goes. What it had counted is kept
    under its kind and name: when another takes its place, its counters go on from there. The same
    happens when a component itself starts over.
    """

    __slots__ = ("_carried", "_count", "_ears", "_extra", "_failed", "_leaving", "_watches")

    def __init__(self, extra: Labels, count: Count, failed: Failed) -> None:
        self._extra = extra
        self._count = count
        self._failed = failed
        self._watches: list[_Watch] = []
        self._ears: weakref.WeakValueDictionary[int, _Ear] = weakref.WeakValueDictionary()
        self._carried: OrderedDict[Source, dict[SeriesKey, float]] = OrderedDict()
        # Not for those who add: only for watching and scraping, and entered again by a handler
        # that interrupts them.
        self._leaving = threading.RLock()

    def add(self, component: Component, *, keep: bool) -> None:
        """Watch a component; once, however often it is asked."""
        self._forget_the_dead()
        if any(watch.get() is component for watch in list(self._watches)):
            return
        source = kind_of(component), label_value(component.name)
        if any(watch.source == source for watch in list(self._watches)):
            log.warning(
                "two live components are %s %r: their counters are added, and the gauges are of "
                "the one watched last; name them apart, or unwatch the one that is out of use",
                *source,
            )
        get = _holding(component) if keep else _reference(component)
        self._watches.append(_Watch(source, get, weakref.ref(self._listen(component.events))))

    def _listen(self, events: Events) -> _Ear:
        # Several components may push their events from one place; each is counted once.
        ear = self._ears.get(id(events))
        if ear is None:
            ear = _Ear(self._count, events)
            self._ears[ear.at] = ear
        ear.users += 1
        return ear

    def remove(self, component: Component) -> None:
        """Watch a component no longer; nothing happens if it is not."""
        for watch in list(self._watches):
            if watch.get() is component:
                self._leave(watch)

    def _leave(self, watch: _Watch) -> None:
        """Watch no longer, but keep what was counted; scrapes in other threads may do the same."""
        with self._leaving:
            if watch.gone:
                return
            ear = watch.ear()
            if ear is not None:
                ear.users -= 1
                if not ear.users:
                    ear.leave()
                    self._ears.pop(ear.at, None)
            carried = self._carried.get(watch.source, {}).copy()
            for key, value in watch.seen.items():
                carried[key] = carried.get(key, 0.0) + watch.base.get(key, 0.0) + value
            self._carried[watch.source] = carried
            watch.gone = True
            self._watches.remove(watch)
            self._carried.move_to_end(watch.source)
            while len(self._carried) > REMEMBERED:
                self._carried.popitem(last=False)

    def _forget_the_dead(self) -> None:
        for watch in list(self._watches):
            if watch.get() is None:
                self._leave(watch)
                if not watch.read:
                    log.warning(
                        "%s %r was watched, and gone before anybody looked: hold it somewhere, or "
                        "watch it with keep=True",
                        *watch.source,
                    )

    def families(self) -> Iterator[Family | None]:
        """Read every component, then give the families, some series at a time.

        Gives None where others may have a turn.
        """
        self._forget_the_dead()
        found: list[tuple[_Watch, list[_Number]]] = []
        broken: set[Source] = set()
        for watch in list(self._watches):
            component = watch.get()
            if component is None:
                self._leave(watch)
                continue
            try:
                found.append((watch, self._numbers(watch, component)))
            except Exception as error:  # noqa: BLE001 - it is counted
                # One component that is broken must not hide the numbers of all others. Of two by
                # one name neither is shown: without its part the sum would run backwards.
                broken.add(watch.source)
                self._failed(" ".join(watch.source), error)
            yield None
        # Of one moment: what each is said to have counted is either its own or what it left behind.
        with self._leaving:
            counted = [pair for pair in found if not pair[0].gone and pair[0].source not in broken]
            carried = {watch.source: self._carried.get(watch.source, {}) for watch, _ in counted}
        table: dict[str, _Rows] = {}
        for watch, numbers in counted:
            self._merge(watch, numbers, carried[watch.source], table)
            yield None
        for name, rows in table.items():
            series = [Series(labels, value) for labels, value in rows.values.items()]
            for start in range(0, len(series), SLICE):
                yield Family(name, rows.kind, rows.doc, tuple(series[start : start + SLICE]))

    def _numbers(self, watch: _Watch, component: Component) -> "list[_Number]":
        """Read one component; all of it, or it raises."""
        begun: int | None = None if watch.reading else watch.begun + 1
        watch.begun += 1
        watch.reading += 1
        try:
            numbers = self._read(watch, component)
            for key, number in numbers.items():
                if number.kind == "counter":
                    total = watch.advance(key, number.value, begun)
                    numbers[key] = number._replace(value=total)
        finally:
            watch.reading -= 1
        watch.read = True
        return list(numbers.values())

    def _read(self, watch: _Watch, component: Component) -> "dict[SeriesKey, _Number]":
        """Return what a component says, each series once."""
        numbers: dict[SeriesKey, _Number] = {}
        for sample in samples(component.stats()):
            for number in self._of(watch, sample):
                key = number.family, number.labels
                same = numbers.get(key)
                if same is None or number.kind == "gauge":
                    numbers[key] = number
                else:  # two texts that became one
                    numbers[key] = number._replace(value=same.value + number.value)
        return numbers

    def _of(self, watch: _Watch, sample: Sample) -> "Iterator[_Number]":
        """Give the numbers that a sample stands for."""
        kind, name = watch.source
        family = f"mobius_{kind}_{legal(sample.name)}"
        if sample.kind == "counter":
            family = family.removesuffix("_total")
        labels = (
            ("name", name),
            *((self._label(each), label_value(text)) for each, text in sample.labels.items()),
            *self._extra,
        )
        if sample.kind == "state":
            for state in self._states(watch, family, label_value(sample.value)):
                shown = float(state == label_value(sample.value))
                yield _Number(family, "gauge", sample.doc, (*labels, ("state", state)), shown)
        else:
            yield _Number(family, sample.kind, sample.doc, labels, _number(sample.value))

    def _label(self, name: str) -> str:
        """Return a label's name that is not taken by one of the collector's."""
        taken = name in ("name", "state") or any(name == each for each, _ in self._extra)
        return f"exported_{name}" if taken else legal(name)

    def _states(self, watch: _Watch, family: str, now: str) -> list[str]:
        """Return the states that were seen, with the present one."""
        known = watch.states.setdefault(family, deque(maxlen=_STATES))
        if now not in known:
            known.append(now)
        return list(known)

    def _merge(
        self,
        watch: _Watch,
        numbers: "list[_Number]",
        carried: dict[SeriesKey, float],
        table: dict[str, _Rows],
    ) -> None:
        for number in numbers:
            rows = table.setdefault(number.family, _Rows(number.kind, clean(number.doc)))
            if rows.kind != number.kind:
                clash = f"{number.family} is a {rows.kind} of another component of this kind"
                self._failed(" ".join(watch.source), TypeError(clash))
            elif number.kind == "gauge":
                rows.values[number.labels] = number.value
            else:
                before = rows.values.get(number.labels)
                if before is None:
                    before = carried.get((number.family, number.labels), 0.0)
                rows.values[number.labels] = before + number.value

    def __len__(self) -> int:
        """Return how many components are there."""
        return sum(watch.get() is not None for watch in list(self._watches))


class _Number(NamedTuple):
    """One series of one component."""

    family: str
    kind: Kind
    doc: str
    labels: Labels
    value: float


def _number(value: float | str) -> float:
    """Return a sample's value, if it is a number.

    Raises:
        TypeError: if it is none.
    """
    if isinstance(value, str):
        raise TypeError(f"{value!r} is no number")
    return as_float(value)


def _reference(component: Component) -> Callable[[], Component | None]:
    """Refer to a component weakly where its class allows it."""
    try:
        return weakref.ref(component)
    except TypeError:
        return _holding(component)


def _holding(component: Component) -> Callable[[], Component | None]:
    return lambda: component
