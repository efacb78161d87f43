"""What code adds to: one series each of a counter, a gauge, a histogram, a summary or an info.

**Nothing here takes a lock to add.** Adding may happen in any thread, in a signal handler, and in
a callback of the garbage collector, which runs in the middle of anything; a lock that its own
thread holds would never come free. CPython changes threads and runs such handlers only where a
function begins, a loop jumps back or a call has returned: not between the reading and the writing
of `x += 1` on a slot or a list's item with plain numbers. Where two of these statements follow
each other without a call, they are whole together. That is why a step that is neither `int` nor
`float` is converted first: its `__radd__` would be a call. Free-threaded builds give no such
promise, and are refused by `MetricsCollector`.
"""

import math
import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Protocol, SupportsFloat

from mobius_infra.core import ConfigurationError, require
from mobius_infra.metrics._family import Buckets, Exemplar, Labels, Quantiles
from mobius_infra.metrics._moments import LARGEST
from mobius_infra.metrics._names import clean, label_names, label_value
from mobius_infra.metrics._sketch import Sketch

EXEMPLAR_LENGTH = 128
"""Characters that an exemplar's labels may have together: OpenMetrics 1.0, "Exemplars"."""

_ESCAPED = frozenset('"\\\n')

_PENDING = 256
"""Observations that wait to be sketched: enough to make the lock's cost small, 8 kB at most."""


_PATIENCE = 1.0
"""Seconds that a reader waits for who sketches: a thousand times what that takes."""


class Instrument(Protocol):
    """One series, its labels, and when it began, in seconds since the epoch."""

    created: float

    @property
    def labels(self) -> Labels: ...

    def read(self) -> float | Buckets | Quantiles: ...


def plain(value: object, what: str) -> float:
    """Return a number as `int` or `float`, whatever it was made of.

    Raises:
        ConfigurationError: if it is none, or a bool.
    """
    if isinstance(value, bool) or not isinstance(value, SupportsFloat):
        raise ConfigurationError(what, value, "a number")
    if isinstance(value, int):
        return int(value)
    try:
        return float(value)
    except (ValueError, OverflowError):  # a decimal's signalling NaN, a fraction past all floats
        raise ConfigurationError(what, value, "a number that a float can hold") from None


class Counter:
    """A number that only grows."""

    __slots__ = ("created", "labels", "name", "value")

    def __init__(self, name: str, labels: Labels, created: float) -> None:
        self.name = name
        self.labels = labels
        self.created = created
        self.value: float = 0

    def inc(self, amount: float = 1) -> None:
        """Add `amount`.

        Raises:
            ConfigurationError: for a step that is negative, not finite, or no number.
        """
        if type(amount) is not int and type(amount) is not float:
            amount = plain(amount, f"a step of {self.name}")
        if not 0 <= amount <= LARGEST:
            raise ConfigurationError(
                f"a step of {self.name}", amount, f"a number from 0 to {LARGEST:g}"
            )
        self.value += amount

    def read(self) -> float:
        """Return what was counted."""
        return self.value

    def __repr__(self) -> str:
        return f"Counter({self.name!r}, {dict(self.labels)!r}, value={self.value!r})"


class Gauge:
    """A number that goes up and down, set or asked for."""

    __slots__ = ("_follow", "created", "labels", "name", "value")

    def __init__(self, name: str, labels: Labels, created: float) -> None:
        self.name = name
        self.labels = labels
        self.created = created
        self.value: float = 0
        self._follow: Callable[[], float] | None = None

    def set(self, value: float) -> None:
        """Let it be `value`; NaN and infinities are values too.

        Raises:
            ConfigurationError: if it is no number.
        """
        if type(value) is not int and type(value) is not float:
            value = plain(value, f"the value of {self.name}")
        self.value = value

    def inc(self, amount: float = 1) -> None:
        """Add `amount`.

        Raises:
            ConfigurationError: if it is no number.
        """
        if type(amount) is not int and type(amount) is not float:
            amount = plain(amount, f"a step of {self.name}")
        self.value += amount

    def dec(self, amount: float = 1) -> None:
        """Take `amount` away.

        Raises:
            ConfigurationError: if it is no number.
        """
        if type(amount) is not int and type(amount) is not float:
            amount = plain(amount, f"a step of {self.name}")
        self.value -= amount

    def follow(self, ask: Callable[[], float] | None) -> None:
        """Call `ask` for the value at each scrape, in its thread; None ends that.

        If it raises, this series is left out of the scrape, and that is counted.
        """
        self._follow = ask

    def read(self) -> float:
        """Return what was set, or what is answered now."""
        ask = self._follow
        return self.value if ask is None else plain(ask(), f"the value of {self.name}")

    def __repr__(self) -> str:
        shown = f"value={self.value!r}" if self._follow is None else f"follow={self._follow!r}"
        return f"Gauge({self.name!r}, {dict(self.labels)!r}, {shown})"


class Histogram:
    """How many observations were at most how large, by buckets.

    What is not finite or no number is counted in `refused` instead, and so is what is negative
    unless the first bound is: it would make the sum of a histogram run backwards.
    """

    __slots__ = (
        "_bounds", "_counts", "_exemplars", "_least", "_now", "_total",
        "created", "labels", "name", "refused",
    )  # fmt: skip

    def __init__(
        self, name: str, labels: Labels, bounds: tuple[float, ...], now: Callable[[], float]
    ) -> None:
        self.name = name
        self.labels = labels
        self.created = now()
        self.refused = 0
        self._now = now
        self._bounds = bounds
        self._least = 0 if bounds[0] >= 0 else -LARGEST
        self._counts = [0] * len(bounds)
        self._total = 0.0
        self._exemplars: list[Exemplar | None] = []

    def observe(self, value: float, exemplar: Mapping[str, str] | None = None) -> None:
        """Take one value.

        Args:
            value: in the metric's unit.
            exemplar: what it can be found by, such as `{"trace_id": …}`; each bucket keeps its
                last. One that a reader may refuse is not kept: over 128 characters in all, a name
                that is no label's, a quote, a backslash or a new line in a value.
        """
        if type(value) is not float and type(value) is not int:
            value = plain(value, f"an observation of {self.name}")
        if not self._least <= value <= LARGEST:
            self.refused += 1
            return
        at = bisect_left(self._bounds, value)
        # Whole together, for those who read: no call stands between.
        self._counts[at] += 1
        self._total += value
        if exemplar is not None:
            self._keep(at, value, exemplar)

    def _keep(self, at: int, value: float, exemplar: Mapping[str, str]) -> None:
        labels = tuple((str(name), clean(str(text))) for name, text in exemplar.items())
        if sum(len(name) + len(text) for name, text in labels) > EXEMPLAR_LENGTH:
            return
        if any(_ESCAPED.intersection(text) for _, text in labels):
            return  # prometheus-client's own parser, for one, can't read these back
        try:
            label_names(self.name, "gauge", tuple(name for name, _ in labels), ())
        except ConfigurationError:
            return
        if not self._exemplars:
            self._exemplars = [None] * len(self._counts)
        self._exemplars[at] = Exemplar(labels, value, self._now())

    def read(self) -> Buckets:
        """Return what was observed; sum and buckets are of the same moment."""
        counts = self._counts[:]
        total = self._total  # at once after the copy: a call between could let others observe
        return Buckets(self._bounds, tuple(counts), total, tuple(self._exemplars))

    def __repr__(self) -> str:
        return f"Histogram({self.name!r}, {dict(self.labels)!r}, count={sum(self._counts)})"


class Summary:
    """Quantiles over all that was observed, by a sketch with a bounded relative error.

    Takes what a histogram with bounds from zero on takes; the rest is counted in `refused`.

    A sketch is for one thread. Observations therefore queue up, and whoever fills the queue or
    reads takes them out, if nobody else is at it.
    """

    __slots__ = (
        "_draining", "_pending", "_quantiles", "_sketch", "created", "labels", "name", "refused",
    )  # fmt: skip

    def __init__(
        self, name: str, labels: Labels, quantiles: tuple[float, ...], created: float
    ) -> None:
        self.name = name
        self.labels = labels
        self.created = created
        self.refused = 0
        self._quantiles = quantiles
        self._sketch = Sketch()
        self._pending: deque[float] = deque()
        self._draining = threading.Lock()

    def observe(self, value: float) -> None:
        """Take one value, in the metric's unit."""
        if type(value) is not float and type(value) is not int:
            value = plain(value, f"an observation of {self.name}")
        if not 0 <= value <= LARGEST:
            self.refused += 1
            return
        pending = self._pending
        pending.append(value)
        # Never waits: in a signal handler, the thread that holds the lock may be the same.
        if len(pending) >= _PENDING and self._draining.acquire(blocking=False):
            try:
                self._take_in()
            finally:
                self._draining.release()

    def sketch(self) -> Sketch:
        """Return a copy of the sketch of all that was observed, to be merged with others'.

        Raises:
            TimeoutError: if the thread that sketches did not end within a second, because this is
                called from a signal handler that interrupts it.
        """
        if not self._draining.acquire(timeout=_PATIENCE):
            raise TimeoutError(f"{self.name} is being written by what this call interrupts")
        copy = Sketch()
        try:
            self._take_in()
            copy.merge(self._sketch)
        finally:
            self._draining.release()
        return copy

    def _take_in(self) -> None:
        """Sketch what waits; the lock is held."""
        pending = self._pending
        for _ in range(len(pending)):
            self._sketch.add(pending.popleft())

    def read(self) -> Quantiles:
        """Return count, sum and quantiles, all of the same moment."""
        sketch = self.sketch()
        found = zip(self._quantiles, sketch.quantiles(self._quantiles), strict=True)
        values = tuple((q, value) for q, value in found if value is not None)
        return Quantiles(sketch.count, sketch.sum, values, sketch)

    def __repr__(self) -> str:
        return f"Summary({self.name!r}, {dict(self.labels)!r}, count={self._sketch.count})"


class Info:
    """Facts that hardly change, such as a version, as the labels of a 1."""

    __slots__ = ("_facts", "_fixed", "created", "name")

    def __init__(self, name: str, labels: Labels, created: float) -> None:
        self.name = name
        self.created = created
        self._fixed = labels
        self._facts: Labels = ()

    def set(self, **facts: object) -> None:
        """State these facts, instead of those before.

        Raises:
            ConfigurationError: if one's name is no label's.
        """
        taken = tuple(name for name, _ in self._fixed)
        label_names(self.name, "info", tuple(facts), taken)
        self._facts = tuple((name, label_value(fact)) for name, fact in facts.items())

    @property
    def labels(self) -> Labels:
        """What was stated."""
        return (*self._facts, *self._fixed)

    def read(self) -> float:
        """Return 1: its labels say it all."""
        return 1

    def __repr__(self) -> str:
        return f"Info({self.name!r}, {dict(self._facts)!r})"


def bucket_bounds(metric: str, bounds: tuple[float, ...]) -> tuple[float, ...]:
    """Return a histogram's bounds with infinity last.

    Raises:
        ConfigurationError: if they do not ascend, are too many, or one is no finite number.
    """
    field = f"the buckets of {metric}"
    finite = tuple(plain(bound, field) for bound in bounds if bound != math.inf)
    good = all(-LARGEST <= bound <= LARGEST for bound in finite) and 0 < len(finite) <= 500
    require(good, field, bounds, "1 to 500 numbers")
    ascend = all(low < high for low, high in pairwise(finite))
    require(ascend, field, bounds, "in ascending order")
    return (*map(float, finite), math.inf)


def quantiles_of(metric: str, quantiles: tuple[float, ...]) -> tuple[float, ...]:
    """Return a summary's quantiles.

    Raises:
        ConfigurationError: if one is not from 0 to 1, or comes twice.
    """
    field = f"the quantiles of {metric}"
    finite = tuple(float(plain(q, field)) for q in quantiles)
    good = all(0 <= q <= 1 for q in finite) and len(set(finite)) == len(finite)
    require(good, field, quantiles, "different numbers from 0 to 1")
    return finite
