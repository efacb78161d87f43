"""What a program counts with: a counter, a gauge, a histogram, a summary, and a line of facts.

None of them takes a lock where it is used, so they may be used in threads, in signal handlers and
in callbacks of the garbage collector. A counter relies on what CPython with a GIL gives: no other
thread runs between the load and the store of `self._value += amount`. Observations are appended to
a deque, which is whole on every build, and taken in by whoever finds many of them waiting, or by
who reads; if another is at it, nobody waits.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping
from math import inf, isfinite
from threading import Lock

from mobius_infra.core import Clock, require
from mobius_infra.metrics._family import Buckets, Exemplar, Labels, Quantiles
from mobius_infra.metrics._names import clean
from mobius_infra.metrics._sketch import Sketch

_BATCH = 512  # observations that wait at most, give or take those made while they are taken in
_LONGEST_EXEMPLAR = 128  # characters, by the specification of OpenMetrics


class Counter:
    """A number that only grows."""

    __slots__ = ("_name", "_value")

    def __init__(self, name: str) -> None:
        self._name = name
        self._value: float = 0

    def inc(self, amount: float = 1) -> None:
        """Add `amount`.

        Raises:
            ConfigurationError: unless it is a finite number, 0 or more; nothing is added then.
        """
        if not (type(amount) in (int, float) and 0 <= amount < inf):
            require(False, f"the step of counter {self._name}", amount, "a number, 0 or more")
        self._value += amount

    def read(self) -> float:
        """Return the sum."""
        return self._value

    def __repr__(self) -> str:
        return f"Counter({self._name!r}, {self._value})"


class Gauge:
    """A number that goes up and down."""

    __slots__ = ("_name", "_read", "_value")

    def __init__(self, name: str, read: Callable[[], float] | None = None) -> None:
        self._name = name
        self._read = read
        self._value: float = 0

    def set(self, value: float) -> None:
        """Be `value` from now on. NaN stands for "not known".

        Raises:
            ConfigurationError: if it is no number.
        """
        self._require_number(value)
        self._value = value

    def inc(self, amount: float = 1) -> None:
        """Add `amount`, which may be negative.

        Raises:
            ConfigurationError: if it is no number.
        """
        self._require_number(amount)
        self._value += amount

    def dec(self, amount: float = 1) -> None:
        """Take `amount` away; see `inc`."""
        self.inc(-amount)

    def read(self) -> float:
        """Return the number as it is now."""
        return self._value if self._read is None else self._read()

    def _require_number(self, value: object) -> None:
        if type(value) not in (int, float):
            require(False, f"the value of gauge {self._name}", value, "a number")

    def __repr__(self) -> str:
        return f"Gauge({self._name!r})"


class _Observed:
    """What histograms and summaries share: observations that wait to be taken in."""

    __slots__ = ("_append", "_lock", "_name", "_pending", "refused")

    def __init__(self, name: str) -> None:
        self._name = name
        self._pending: deque[float] = deque()
        self._append = self._pending.append
        self._lock = Lock()
        self.refused = 0

    def observe(self, value: float) -> None:
        """Take `value` in. One that is not finite is counted as refused, and nothing else.

        Raises nothing: what was measured is not the caller's mistake.
        """
        self._append(value)
        if len(self._pending) >= _BATCH:
            self._settle()

    def _settle(self) -> None:
        if self._lock.acquire(blocking=False):
            try:
                self._take_in()
            finally:
                self._lock.release()

    def _take_in(self) -> None:
        """Take in what waits; the lock is held."""
        pending = self._pending
        for _ in range(len(pending)):
            value = pending.popleft()
            if type(value) in (int, float) and isfinite(value):
                self._take(value)
            else:
                self.refused += 1

    def _take(self, value: float) -> None:
        raise NotImplementedError


class Histogram(_Observed):
    """Counts observations by size, for quantiles over many processes and any time."""

    __slots__ = ("_bounds", "_clock", "_counts", "_exemplars", "_total")

    def __init__(self, name: str, bounds: tuple[float, ...], clock: Clock) -> None:
        super().__init__(name)
        self._bounds = bounds
        self._clock = clock
        self._counts = [0] * len(bounds)
        self._exemplars: dict[int, Exemplar] = {}
        self._total = 0.0

    def observe_with(self, value: float, exemplar: Mapping[str, str]) -> None:
        """Take `value` in, and keep it as the example of its bucket.

        Args:
            value: what was measured.
            exemplar: what it can be found by, such as `{"trace_id": "4bf9"}`; left out if it has
                more than the 128 characters that OpenMetrics allows.
        """
        labels = tuple((clean(name), clean(each)) for name, each in exemplar.items())
        self.observe(value)
        short = sum(len(name) + len(each) for name, each in labels) <= _LONGEST_EXEMPLAR
        if short and type(value) in (int, float) and isfinite(value):
            index = bisect_left(self._bounds, value)
            self._exemplars[index] = Exemplar(labels, value, self._clock.time())

    def _take(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def read(self) -> Buckets:
        """Return counts and sum of the same observations."""
        with self._lock:
            self._take_in()
            found = self._exemplars
            exemplars = tuple(found.get(each) for each in range(len(self._bounds))) if found else ()
            return Buckets(self._bounds, tuple(self._counts), self._total, exemplars)

    def __repr__(self) -> str:
        return f"Histogram({self._name!r}, {sum(self._counts)} observations)"


class Summary(_Observed):
    """Quantiles of all observations of this process, each within one percent."""

    __slots__ = ("_quantiles", "_sketch")

    def __init__(self, name: str, quantiles: tuple[float, ...], sketch: Sketch) -> None:
        super().__init__(name)
        self._quantiles = quantiles
        self._sketch = sketch

    def _take(self, value: float) -> None:
        self._sketch.add(value)

    def read(self) -> Quantiles:
        """Return count, sum and quantiles of the same observations."""
        with self._lock:
            self._take_in()
            sketch = self._sketch
            found = zip(self._quantiles, sketch.quantiles(self._quantiles), strict=True)
            values = tuple((q, value) for q, value in found if value is not None)
            return Quantiles(sketch.count, sketch.sum, values)

    def __repr__(self) -> str:
        return f"Summary({self._name!r}, {self._sketch.count} observations)"


class Info:
    """Facts that hardly change, such as a version, as the labels of a 1."""

    __slots__ = ("_facts", "_name")

    def __init__(self, name: str) -> None:
        self._name = name
        self._facts: Labels = ()

    def set(self, **facts: object) -> None:
        """State these facts, instead of those before."""
        self._facts = tuple((name, clean(value)) for name, value in facts.items())

    def facts(self) -> Labels:
        """Return what was set."""
        return self._facts

    def __repr__(self) -> str:
        return f"Info({self._name!r}, {dict(self._facts)})"
