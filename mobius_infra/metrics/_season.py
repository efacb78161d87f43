"""What comes next in a series that repeats itself, and how far off that may be."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist, fmean, median

from mobius_infra.core import require
from mobius_infra.metrics._moments import LARGEST
from mobius_infra.metrics._series import NotEnoughData, Point, check_share, in_order

MOST = 5_000
"""Steps looked at, the latest: fitting them takes a tenth of a second."""

LEAST_SEASONS = 3
"""Two to begin from, and one to learn from how far off forecasts are."""

Slots = list[float | None]
Weights = tuple[float, float, float]
"""How much of an error goes into the level, the slope and the season."""


@dataclass(frozen=True, slots=True)
class Expected:
    """One step of a forecast.

    Attributes:
        at: its time.
        value: the most likely value.
        low: the prediction interval begins here...
        high: ...and ends here.
    """

    at: float
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """What comes next.

    Attributes:
        steps: the expected values, by time.
        deviation: the standard deviation of forecasts one step ahead, so far.
        weights: how much of each error went into level, slope and season.
    """

    steps: tuple[Expected, ...]
    deviation: float
    weights: Weights


def forecast(
    points: Iterable[Point],
    *,
    period: float,
    step: float | None = None,
    ahead: int | None = None,
    coverage: float = 0.95,
    weights: Weights | None = None,
) -> Forecast | NotEnoughData:
    """Forecast a series with a level, a slope and a season, by additive Holt-Winters.

        forecast(requests_by_hour, period=24 * 3600)

    It is exponential smoothing in its state-space form, ETS(A,A,A), whose prediction interval is
    exact for independent normal errors (Hyndman, Koehler, Ord, Snyder, "Forecasting with
    Exponential Smoothing", Springer 2008, sections 3.4 and 6.3). The first two seasons give the
    states to begin from; the weights are those with the smallest squared error on all that follows.
    Steps without a value are passed over. With 5,000 steps a call takes a tenth of a second: in a
    service, run it by `asyncio.to_thread`.

    Args:
        points: times in seconds and values, in any order. Points of one step become their median.
        period: seconds after which it repeats itself.
        step: seconds from one value to the next; what is usual in the series if None.
        ahead: steps to forecast; one period if None.
        coverage: the part of true values that the interval holds.
        weights: taken as given instead of fitted, for level, slope and season; each from 0 to 1.

    Returns:
        The forecast, or `NotEnoughData` (in steps that have a value) if there are not three
        seasons, and ten steps more than two.

    Raises:
        ConfigurationError: if a period is not two steps at least, or a number makes no sense.
    """
    check_share("coverage", coverage)
    require(0 < period <= LARGEST, "period", period, "a positive number of seconds")
    require(step is None or 0 < step <= LARGEST, "step", step, "a positive number of seconds")
    require(
        weights is None or all(0 <= each <= 1 for each in weights),
        "weights",
        weights,
        "three numbers from 0 to 1",
    )
    series = in_order(points)
    if len(series) < 2:
        return NotEnoughData(len(series), LEAST_SEASONS * 2)
    season, numbers = by_step(series, period, step)
    width = period / season
    horizon = season if ahead is None else ahead
    require(0 < horizon <= MOST, "ahead", ahead, f"from 1 to {MOST} steps")
    slots = _slots(series, numbers)
    slots = slots[_beginning(slots, season) :]
    have = sum(each is not None for each in slots)
    need = max(LEAST_SEASONS * season, 2 * season + 10)
    if have < need:
        return NotEnoughData(have, need)
    start = _State.first(slots, season)
    chosen = weights or _fitted(slots, start)
    state = start.copy()
    squares, errors = state.follow(slots, chosen)
    deviation = math.sqrt(squares / max(errors - 3, 1))
    reach = NormalDist().inv_cdf((1 + coverage) / 2) * deviation
    last = series[-1][0]
    steps = tuple(
        Expected(last + h * width, value, value - reach * off, value + reach * off)
        for h, off in enumerate(_spread(chosen, season, horizon), 1)
        for value in (state.ahead(h),)
    )
    return Forecast(steps, deviation, chosen)


def _spread(weights: Weights, season: int, horizon: int) -> Iterator[float]:
    """Give how many times as far off a forecast is for each step ahead, from 1 (section 6.3)."""
    level, slope, seasonal = weights
    variance = 1.0
    for h in range(1, horizon + 1):
        yield math.sqrt(variance)
        variance += (level + slope * h + seasonal * (h % season == 0)) ** 2


def by_step(series: Sequence[Point], period: float, step: float | None) -> tuple[int, list[int]]:
    """Return how many steps a period has, and the number of each point's step.

    Steps divide the period evenly, and lie where the points do: times that scatter by less than
    half a step change nothing.

    Args:
        series: two points or more, by time.
        period: seconds.
        step: seconds; what is usual in the series if None.

    Raises:
        ConfigurationError: if a period has fewer than two steps, or too many.
    """
    usual = step or median(u - t for (t, _), (u, _) in pairwise(series))
    season = round(min(period / usual, MOST))
    require(
        2 <= season <= MOST // LEAST_SEASONS,
        "period",
        period,
        f"from 2 to {MOST // LEAST_SEASONS} steps of {usual:g} seconds",
    )
    width = period / season
    # Where in their steps the points are, on average: a mean of angles, since steps are joined.
    angles = [t % width / width * math.tau for t, _ in series]
    mean = math.atan2(sum(map(math.sin, angles)), sum(map(math.cos, angles)))
    return season, [round(t / width - mean / math.tau) for t, _ in series]


def _slots(series: Sequence[Point], numbers: Sequence[int]) -> Slots:
    """Return the latest values by step, None where there is none."""
    held: dict[int, list[float]] = {}
    for number, (_, v) in zip(numbers, series, strict=True):
        back = numbers[-1] - number
        if back < MOST:  # a clock that jumped must not make a billion empty steps
            held.setdefault(back, []).append(v)
    oldest = max(held)
    slots: Slots = [None] * (oldest + 1)
    for back, values in held.items():
        slots[oldest - back] = median(values)
    return slots


def _beginning(slots: Slots, season: int) -> int:
    """Return the first step from which two seasons have a value in each phase."""
    for start in range(len(slots) - 2 * season + 1):
        first, second = slots[start : start + season], slots[start + season : start + 2 * season]
        if all(a is not None or b is not None for a, b in zip(first, second, strict=True)):
            return start
    return len(slots)


@dataclass(slots=True)
class _State:
    level: float
    slope: float
    season: list[float]
    at: int = 0

    @classmethod
    def first(cls, slots: Slots, season: int) -> "_State":
        """Return the state before the first step, from the first two seasons."""
        first, second = slots[:season], slots[season : 2 * season]
        both = [
            (b if a is None else a, a if b is None else b)
            for a, b in zip(first, second, strict=True)
        ]
        pairs = [(a, b) for a, b in both if a is not None and b is not None]
        slope = fmean(b - a for a, b in pairs) / season
        # The mean of a season is the level in its middle.
        level = fmean(a for a, _ in pairs) - slope * (season + 1) / 2
        away = [
            (a + b) / 2 - level - slope * (at + season / 2) for at, (a, b) in enumerate(pairs, 1)
        ]
        middle = fmean(away)
        return cls(level, slope, [each - middle for each in away])

    def copy(self) -> "_State":
        """Return one that changes by itself."""
        return _State(self.level, self.slope, self.season.copy(), self.at)

    def follow(self, slots: Slots, weights: Weights) -> tuple[float, int]:
        """Go through the steps; return the squared errors past the first two seasons, and how many.

        Errors of the first two would look too small: the states to begin from were made of them.
        """
        alpha, beta, gamma = weights
        level, slope, season = self.level, self.slope, self.season
        length, squares, errors = len(season), 0.0, 0
        for at, value in enumerate(slots):
            phase = at % length
            error = 0.0
            if value is not None:
                error = value - level - slope - season[phase]
                if at >= 2 * length:
                    squares += error * error
                    errors += 1
            level += slope + alpha * error
            slope += beta * error
            season[phase] += gamma * error
        self.level, self.slope, self.at = level, slope, len(slots)
        return squares, errors

    def ahead(self, steps: int) -> float:
        """Return what is expected in so many steps."""
        phase = (self.at + steps - 1) % len(self.season)
        return self.level + steps * self.slope + self.season[phase]


def _fitted(slots: Slots, start: _State) -> Weights:
    """Return the weights with the smallest squared error: a coarse grid, then ever smaller steps.

    They stay where forgetting is stable: the slope's below the level's, the season's below what
    the level leaves.
    """

    def cost(weights: Weights) -> float:
        alpha, beta, gamma = weights
        if not (0 <= beta <= alpha <= 1 and 0 <= gamma <= 1 - alpha):
            return math.inf
        return start.copy().follow(slots, weights)[0]

    grid = [
        (alpha, beta * alpha, gamma * (1 - alpha))
        for alpha in (0.02, 0.1, 0.3, 0.6, 0.9)
        for beta in (0.0, 0.1)
        for gamma in (0.02, 0.2, 0.6)
    ]
    best = min(grid, key=cost)
    least = cost(best)
    for reach in (0.1, 0.05, 0.02, 0.01):
        for axis in range(3):
            for sign in (1, -1):
                near = (
                    best[0] + sign * reach * (axis == 0),
                    best[1] + sign * reach * (axis == 1) / 5,
                    best[2] + sign * reach * (axis == 2),
                )
                found = cost(near)
                if found < least:
                    best, least = near, found
    return best
