"""Quantiles of any number of values, in bounded memory, with a bounded relative error.

DDSketch: Masson, Rim, Lee, "DDSketch: A Fast and Fully-Mergeable Quantile Sketch with
Relative-Error Guarantees", PVLDB 12(12), 2019. A value falls into the bin of its logarithm; all
values of a bin differ from its middle by at most the relative error.
"""

import math
import sys
from collections.abc import Iterable, Iterator
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from mobius_infra.core import CodecError, require

_TINY = sys.float_info.min
_LOG_OF_LARGEST = math.log(sys.float_info.max)
_MOST_INDEX = math.ceil(_LOG_OF_LARGEST / 2e-6) + 1
"""No float has a larger one, at the smallest error allowed."""


class _Stored(BaseModel):
    """A sketch as JSON."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, ser_json_inf_nan="constants"
    )

    version: Literal[1] = 1
    relative_error: float
    max_bins: int
    sum: float
    min: float
    max: float
    zeros: int
    refused: int
    positive: list[tuple[int, int]]
    negative: list[tuple[int, int]]


class _Bins:
    """Counts by index, at most `most` of them: past that the lowest two become one.

    What stands at the end depends only on what was put, not on its order: the `most` highest
    indexes that ever came, with all that was lower counted at the lowest of them. That is why
    merging is associative and commutative even where bins have collapsed.
    """

    __slots__ = ("counts", "floor", "most")

    def __init__(self, most: int) -> None:
        self.counts: dict[int, int] = {}
        self.most = most
        # Indexes below it were collapsed into it. Without it the result would be the same, but each
        # of them would make a bin, and have the lowest two looked for again.
        self.floor = -sys.maxsize

    def put(self, index: int, number: int) -> None:
        """Count `number` values at `index`."""
        counts = self.counts
        index = max(index, self.floor)
        counts[index] = counts.get(index, 0) + number
        if len(counts) > self.most:
            lowest = counts.pop(min(counts))
            self.floor = min(counts)
            counts[self.floor] += lowest


class Sketch:
    """Quantiles within a relative error, with count, sum, minimum and maximum exact.

        latency = Sketch()
        latency.add(0.012)
        latency.quantile(0.99)

    Zero and negative values are values like any other. Magnitudes below 2.2e-308 (where a float
    itself has no relative precision) count as zero. NaN, infinities, and integers too large for a
    float are not taken but counted in `refused`: what measures must not break what it measures.

    Adding is for one thread, such as the event loop's. Give each thread or process a sketch of
    its own and `merge` them.

    Args:
        relative_error: the most that a quantile may be off, as a part of its true value.
        max_bins: bins kept for positive and as many for negative values; about 100 bytes each.
            2,048 with 1 % span a factor of 6e17: from a nanosecond to nineteen years. Where
            values span more, the magnitudes nearest to zero share a bin, and quantiles that fall
            there lose the bound; the tails far from zero, which are what one asks for, keep it.

    Raises:
        ConfigurationError: if the error is not between 0 and 1, or there is no bin.
    """

    __slots__ = (
        "_negative",
        "_positive",
        "_scale",
        "_zeros",
        "max",
        "max_bins",
        "min",
        "refused",
        "relative_error",
        "sum",
    )

    def __init__(self, relative_error: float = 0.01, *, max_bins: int = 2048) -> None:
        # Smaller errors make indexes that a float can't tell apart.
        require(1e-6 <= relative_error < 1, "relative_error", relative_error, "from 1e-6 to 1")
        require(
            type(max_bins) is int and 0 < max_bins < 1 << 24,
            "max_bins",
            max_bins,
            "a positive number of bins, below 16,777,216",
        )
        self.relative_error = relative_error
        self.max_bins = max_bins
        # Bins end at powers of (1 + error) / (1 - error).
        self._scale = 1 / (math.log1p(relative_error) - math.log1p(-relative_error))
        self._positive = _Bins(max_bins)
        self._negative = _Bins(max_bins)
        self._zeros = 0
        self.sum = 0.0
        self.min = math.inf
        self.max = -math.inf
        self.refused = 0

    @property
    def count(self) -> int:
        """How many values were taken."""
        # Summed when asked: an observation then adds to one counter, not to two.
        return (
            sum(self._negative.counts.values()) + self._zeros + sum(self._positive.counts.values())
        )

    def add(self, value: float) -> None:
        """Take one value."""
        try:
            total = self.sum + value
            if value > _TINY:
                bins = self._positive
                index = math.ceil(math.log(value) * self._scale)  # infinity overflows here
            elif value < -_TINY:
                bins = self._negative
                index = math.ceil(math.log(-value) * self._scale)
            else:
                self._add_near_zero(value)
                return
        except OverflowError:
            self.refused += 1
            return
        counts = bins.counts
        if index in counts:
            counts[index] += 1
        else:
            bins.put(index, 1)
        self.sum = total
        # Two calls of builtins would cost half as much again as all of the above.
        if value < self.min:  # noqa: PLR1730
            self.min = value
        if value > self.max:  # noqa: PLR1730
            self.max = value

    def _add_near_zero(self, value: float) -> None:
        if math.isnan(value):
            self.refused += 1
            return
        self._zeros += 1
        self.sum += value
        self.min = min(self.min, value)
        self.max = max(self.max, value)

    def quantile(self, q: float) -> float | None:
        """Return the value that a part `q` of all values is at or below; None without values.

        It is an estimate of the value at rank `floor(q * (count - 1))` in sorted order. 0 and 1
        give the exact minimum and maximum.

        Raises:
            ConfigurationError: if `q` is not from 0 to 1.
        """
        return self.quantiles([q])[0]

    def quantiles(self, qs: Iterable[float]) -> list[float | None]:
        """Return several quantiles for the price of sorting the bins once."""
        asked = list(qs)
        for q in asked:
            require(0 <= q <= 1, "q", q, "from 0 to 1")
        count = self.count
        if not count:
            return [None] * len(asked)
        found: dict[float, float | None] = {0: self.min, 1: self.max}
        steps = self._ascending()
        seen, value = 0, self.min
        for q in sorted(asked):
            rank = q * (count - 1)
            while seen <= rank:
                value, number = next(steps)
                seen += number
            # The ends are known exactly; a bin's middle may lie beyond them.
            found.setdefault(q, min(max(value, self.min), self.max))
        return [found[q] for q in asked]

    def _ascending(self) -> Iterator[tuple[float, int]]:
        """Give the middle and the count of each bin, lowest value first."""
        negative, positive = self._negative.counts, self._positive.counts
        for index in sorted(negative, reverse=True):
            yield -self._middle(index), negative[index]
        if self._zeros:
            yield 0.0, self._zeros
        for index in sorted(positive):
            yield self._middle(index), positive[index]

    def _middle(self, index: int) -> float:
        """Return the value that is off by the same relative error from both ends of a bin."""
        # 2g^i / (g + 1) with g = (1 + e) / (1 - e) is g^i * (1 - e).
        exponent = index / self._scale + math.log1p(-self.relative_error)
        return math.exp(min(exponent, _LOG_OF_LARGEST))

    def merge(self, other: "Sketch") -> None:
        """Take all that `other` has taken, as if it had been added here.

        Raises:
            ConfigurationError: if it was built with another error or number of bins.
        """
        for field in ("relative_error", "max_bins"):
            mine, theirs = getattr(self, field), getattr(other, field)
            require(mine == theirs, field, theirs, f"{mine!r} as in the sketch to merge into")
        for mine, theirs in (
            (self._positive, other._positive),
            (self._negative, other._negative),
        ):
            for index, number in list(theirs.counts.items()):
                mine.put(index, number)
        self._zeros += other._zeros
        self.sum += other.sum
        self.min = min(self.min, other.min)
        self.max = max(self.max, other.max)
        self.refused += other.refused

    def to_bytes(self) -> bytes:
        """Return it as JSON, for another process to merge."""
        stored = _Stored(
            relative_error=self.relative_error,
            max_bins=self.max_bins,
            sum=self.sum,
            min=self.min,
            max=self.max,
            zeros=self._zeros,
            refused=self.refused,
            positive=sorted(self._positive.counts.items()),
            negative=sorted(self._negative.counts.items()),
        )
        return stored.model_dump_json().encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Rebuild what `to_bytes` wrote.

        Raises:
            CodecError: if these bytes are no sketch, or one that could not have been made.
        """
        try:
            stored = _Stored.model_validate_json(data)
            sketch = cls(stored.relative_error, max_bins=stored.max_bins)
        except ValueError as error:  # of pydantic, and ours of the constructor
            raise CodecError("sketch", f"not a sketch: {error}") from error
        sketch._restore(stored)
        return sketch

    def _restore(self, stored: _Stored) -> None:
        """Take over what was stored, if a sketch could have stored it."""
        numbers = [stored.zeros, stored.refused]
        for bins, pairs in ((self._positive, stored.positive), (self._negative, stored.negative)):
            bins.counts.update(pairs)
            numbers += bins.counts.values()
            if len(pairs) > self.max_bins or any(abs(index) > _MOST_INDEX for index, _ in pairs):
                raise CodecError("sketch", "more bins than it may have, or one beyond all floats")
        self._zeros, self.refused = stored.zeros, stored.refused
        self.sum, self.min, self.max = stored.sum, stored.min, stored.max
        # An empty one has its minimum above its maximum, any other has not.
        in_range = 0 <= min(numbers) <= max(numbers) < 1 << 63
        if not in_range or (self.min <= self.max) != (self.count > 0):
            raise CodecError("sketch", "counts that contradict each other")

    def __len__(self) -> int:
        """Return how many bins it holds."""
        return len(self._negative.counts) + len(self._positive.counts) + bool(self._zeros)

    def __repr__(self) -> str:
        return (
            f"Sketch(relative_error={self.relative_error:g}, count={self.count}, bins={len(self)})"
        )
