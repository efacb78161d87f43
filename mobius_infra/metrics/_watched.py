"""Components as they are watched: held weakly, and their counters never seen to run backwards."""

import re
from collections.abc import Callable, Iterator
from typing import Any
from weakref import ref

from mobius_infra.core import Component, Kind, samples
from mobius_infra.metrics._family import Labels
from mobius_infra.metrics._names import clean

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_MOST_STATES = 50

Reading = tuple[str, Kind, str, Labels, float]
"""A field's name, its kind, what it says, labels, value."""


def kind_of(component: Component) -> str:
    """Return what kind of component it is, as part of a metric's name: `rate_limiter`."""
    return _CAMEL.sub("_", type(component).__name__).lower()


class Watched:
    """One component, or one after another that have the same kind and name.

    When the object is rebuilt, its successor's counters go on from where it stood. When it is gone,
    its counters stay as they were last read, and its gauges go with it.
    """

    __slots__ = ("_before", "_component", "_counters", "_leave", "_states", "kind", "name")

    def __init__(self, component: Component) -> None:
        self.kind = kind_of(component)
        self.name = component.name
        self._component: Callable[[], Component | None] = lambda: None
        self._leave: Callable[[], None] = lambda: None
        # By field and labels: what it said last, and what those before it had said.
        self._counters: dict[tuple[str, Labels], tuple[str, float]] = {}
        self._before: dict[tuple[str, Labels], float] = {}
        self._states: dict[str, list[str]] = {}

    @property
    def component(self) -> Component | None:
        """The object, while it lives."""
        return self._component()

    def follow(self, component: Component, listener: Callable[[Any], object]) -> None:
        """Watch this object from now on."""
        self.leave()
        self._component = _reference(component)
        self._leave = component.events.subscribe(listener)

    def leave(self) -> None:
        """End watching; the counters of the object are kept."""
        if self.component is not None:
            list(self.read())
        self._component = lambda: None
        self._leave()
        self._leave = lambda: None
        for at, (_, value) in self._counters.items():
            self._before[at] = self._before.get(at, 0.0) + value
        self._counters = {at: (doc, 0.0) for at, (doc, _) in self._counters.items()}

    def read(self) -> Iterator[Reading]:
        """Read all numbers; what `stats()` raises passes through."""
        component = self.component
        seen: list[Reading] = []
        if component is not None:
            for sample in samples(component.stats()):
                labels = tuple((name, clean(value)) for name, value in sample.labels.items())
                if sample.kind == "counter":
                    self._count(sample.name, labels, sample.doc, float(sample.value))
                elif sample.kind == "gauge":
                    seen.append((sample.name, "gauge", sample.doc, labels, float(sample.value)))
                else:
                    seen += self._state(sample.name, sample.doc, clean(sample.value))
        for at, (doc, value) in self._counters.items():
            yield at[0], "counter", doc, at[1], self._before.get(at, 0.0) + value
        yield from seen

    def _count(self, name: str, labels: Labels, doc: str, value: float) -> None:
        at = name, labels
        last = self._counters.get(at, (doc, 0.0))[1]
        if not 0 <= value < float("inf"):
            return  # no counter has that value: what it said last holds
        if value < last:
            self._before[at] = self._before.get(at, 0.0) + last
        self._counters[at] = doc, value

    def _state(self, name: str, doc: str, value: str) -> Iterator[Reading]:
        states = self._states.setdefault(name, [])
        if value not in states and len(states) < _MOST_STATES:
            states.append(value)
        for each in states:
            yield name, "gauge", doc, (("state", each),), float(each == value)


def _reference(component: Component) -> Callable[[], Component | None]:
    try:
        return ref(component)
    except TypeError:  # its class has slots and none for that: it is held
        return lambda: component
