"""Mean, variance, minimum and maximum: of all values, or of the last seconds."""

import math
from dataclasses import dataclass

from mobius_infra.core import Clock, SystemClock, require

LARGEST = 1e140
"""The magnitude up to which squares and their sums fit in a float, for any number of values."""


@dataclass(slots=True)
class Moments:
    """Mean and variance in one pass, without the cancellation of the sum of squares.

    Adding is Welford's ("Note on a Method for Calculating Corrected Sums of Squares and Products",
    Technometrics 4(3), 1962), merging is Chan, Golub and LeVeque's ("Updating Formulae and a
    Pairwise Algorithm for Computing Sample Variances", 1979).

    Values that are no number, or larger than 1e140, are not taken but counted in `refused`.

    Attributes:
        count: values taken.
        mean: their mean; 0 without values.
        squares: the sum of their squared distances from the mean.
        min: the least; infinity without values.
        max: the greatest; minus infinity without values.
        refused: values not taken.
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    min: float = math.inf
    max: float = -math.inf
    refused: int = 0

    def add(self, value: float) -> None:
        """Take one value."""
        if not -LARGEST <= value <= LARGEST:
            self.refused += 1
            return
        self.count += 1
        before = value - self.mean
        self.mean += before / self.count
        self.squares += before * (value - self.mean)
        self.min = min(self.min, value)
        self.max = max(self.max, value)

    def merge(self, other: "Moments") -> None:
        """Take all that `other` has taken."""
        self.refused += other.refused
        if not other.count:
            return
        count = self.count + other.count
        apart = other.mean - self.mean
        # Before anything changes: `other` may be this very object.
        squares = self.squares + other.squares + apart * apart * (self.count / count * other.count)
        self.mean += apart * (other.count / count)
        self.squares = squares
        self.count = count
        self.min = min(self.min, other.min)
        self.max = max(self.max, other.max)

    @property
    def variance(self) -> float | None:
        """The variance of a sample (divided by `count - 1`); None for fewer than two values."""
        return self.squares / (self.count - 1) if self.count > 1 else None

    @property
    def deviation(self) -> float | None:
        """The standard deviation of a sample; None for fewer than two values."""
        variance = self.variance
        return None if variance is None else math.sqrt(variance)


class Window:
    """The moments of the last `seconds`, in constant memory.

        latency = Window(60)
        latency.add(0.012)
        latency.read().mean

    It is a ring of buckets, each with the moments of its part of the time. A value is forgotten
    with its bucket, when it is between `seconds` less one bucket's width and `seconds` old.

    Args:
        seconds: how long values count.
        buckets: parts of it; more of them forget more smoothly and take more memory and time.
        clock: where durations come from.

    Raises:
        ConfigurationError: if `seconds` is not positive and finite, or there is no bucket.
    """

    __slots__ = ("_clock", "_ring", "_width", "seconds")

    def __init__(self, seconds: float, *, buckets: int = 20, clock: Clock | None = None) -> None:
        require(0 < seconds < math.inf, "seconds", seconds, "a positive number of seconds")
        require(type(buckets) is int and buckets > 0, "buckets", buckets, "a positive number")
        self.seconds = seconds
        self._clock = clock or SystemClock()
        self._width = seconds / buckets
        # Each with its number, counted from the clock's beginning; none yet.
        self._ring = [(-1, Moments()) for _ in range(buckets)]

    def add(self, value: float) -> None:
        """Take one value; what is no number is counted in `refused` of `read()`."""
        number = int(self._clock.monotonic() // self._width)
        slot = number % len(self._ring)
        held, moments = self._ring[slot]
        if held != number:
            moments = Moments()
            self._ring[slot] = number, moments
        moments.add(value)

    def read(self) -> Moments:
        """Return the moments of what is not too old. They are the caller's own."""
        newest = int(self._clock.monotonic() // self._width)
        whole = Moments()
        for number, moments in self._ring:
            if newest - len(self._ring) < number <= newest:
                whole.merge(moments)
        return whole

    def __repr__(self) -> str:
        return f"Window(seconds={self.seconds:g}, count={self.read().count})"
