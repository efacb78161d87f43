"""Rates, and texts such as `5/second; 100/minute` that name them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd
from typing import Final, Self

from mobius_infra.core import ConfigurationError
from mobius_infra.ratelimit._kind import SECOND, require_whole

_UNITS: Final = {
    "millisecond": SECOND // 1000,
    "second": SECOND,
    "minute": 60 * SECOND,
    "hour": 3600 * SECOND,
    "day": 86400 * SECOND,
    "week": 7 * 86400 * SECOND,
}
_SHORT: Final = {
    "ms": "millisecond", "s": "second", "sec": "second", "m": "minute", "min": "minute",
    "h": "hour", "hr": "hour", "d": "day", "w": "week",
}  # fmt: skip
_RATE: Final = re.compile(r"(\d+)\s*(?:/|per\b)\s*(\d*)\s*([a-z]+)")
_ALLOWED: Final = (
    "written as 5/second, 100 per minute or 10 per 5 minutes; "
    "units are milliseconds, seconds, minutes, hours, days and weeks"
)
_FINEST: Final = 1_000_000  # the largest denominator that a rate given as a number is taken for


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in so many microseconds, exactly.

    Attributes:
        amount: how many; at least 1.
        micros: the period, in microseconds; at least 1.
    """

    amount: int
    micros: int = SECOND

    def __post_init__(self) -> None:
        """Refuse what is not positive."""
        require_whole("rate", self.amount)
        require_whole("period", self.micros)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `5/second`, `100 per minute` or `10 per 5 minutes`.

        Raises:
            ConfigurationError: if it is not written so.
        """
        found = _RATE.fullmatch(text.strip().lower())
        if found is None:
            raise ConfigurationError("rate", text, _ALLOWED)
        unit = _SHORT.get(found[3], found[3].removesuffix("s"))
        periods = int(found[2] or 1)
        if unit not in _UNITS or not int(found[1]) or not periods:
            raise ConfigurationError("rate", text, f"positive, and {_ALLOWED}")
        return cls(int(found[1]), periods * _UNITS[unit])

    @classmethod
    def of(cls, rate: "Rate | float | str") -> "Rate":
        """Return the rate that a number of tokens a second, or a text, stands for.

        A number is taken for the nearest fraction whose denominator is at most a million: 0.1 is
        one in ten seconds, and 1 / 3 one in three.

        Raises:
            ConfigurationError: for what is not positive, not a number or too small.
        """
        if isinstance(rate, Rate):
            return rate
        if isinstance(rate, str):
            return cls.parse(rate)
        if type(rate) not in (int, float) or not 0 < rate < 1e15:
            raise ConfigurationError("rate", rate, "a positive number a second, or as 100/minute")
        exact = Fraction(rate).limit_denominator(_FINEST)
        if not exact:
            raise ConfigurationError("rate", rate, "at least one in a million seconds")
        return cls(exact.numerator, exact.denominator * SECOND)

    @property
    def lowest(self) -> tuple[int, int]:
        """Tokens and microseconds in lowest terms."""
        common = gcd(self.amount, self.micros)
        return self.amount // common, self.micros // common

    @property
    def per_second(self) -> float:
        """How many in one second."""
        return self.amount * SECOND / self.micros

    def shared(self, parts: int) -> "Rate":
        """Return one of `parts` equal shares of it: never more, together, than the whole."""
        if self.amount >= parts:
            return Rate(self.amount // parts, self.micros)
        return Rate(1, -(-self.micros * parts // self.amount))

    def __str__(self) -> str:
        for unit in ("week", "day", "hour", "minute", "second"):
            if self.micros % _UNITS[unit] == 0:
                count = self.micros // _UNITS[unit]
                return f"{self.amount}/{unit}" if count == 1 else f"{self.amount}/{count} {unit}s"
        return f"{self.amount}/{self.micros / 1000:g} milliseconds"


def parse_rates(text: str) -> Sequence[Rate]:
    """Read rates separated by semicolons or commas: `5/second; 100/minute`.

    Raises:
        ConfigurationError: naming the part that can't be read.
    """
    return [Rate.parse(part) for part in re.split("[;,]", text)]
