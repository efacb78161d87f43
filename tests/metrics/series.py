"""Series that several tests look at: a published one, and noise of known kinds."""

import random
from collections.abc import Iterator, Sequence

from mobius_infra.metrics import Point

# Yearly flow of the Nile at Aswan, 1871 to 1970, in 1e8 m3: Cobb, "The Problem of the Nile",
# Biometrika 65(2), 1978; `Nile` in R, `nile` in statsmodels.
NILE = [
    1120, 1160, 963, 1210, 1160, 1160, 813, 1230, 1370, 1140, 995, 935, 1110, 994, 1020, 960, 1180,
    799, 958, 1140, 1100, 1210, 1150, 1250, 1260, 1220, 1030, 1100, 774, 840, 874, 694, 940, 833,
    701, 916, 692, 1020, 1050, 969, 831, 726, 456, 824, 702, 1120, 1100, 832, 764, 821, 768, 845,
    864, 862, 698, 845, 744, 796, 1040, 759, 781, 865, 845, 944, 984, 897, 822, 1010, 771, 676,
    649, 846, 812, 742, 801, 1040, 860, 874, 848, 890, 744, 749, 838, 1050, 918, 986, 797, 923,
    975, 815, 1020, 906, 901, 1170, 912, 746, 919, 718, 714, 740,
]  # fmt: skip


def timed(values: Sequence[float], step: float = 1.0) -> list[Point]:
    """Give values their times, from 0."""
    return [(at * step, value) for at, value in enumerate(values)]


def noise(number: int, size: int, resemblance: float = 0.0, seed: int = 1) -> Iterator[list[float]]:
    """Give series of normal noise; each value holds a part of the one before it."""
    chance = random.Random(seed)
    for _ in range(number):
        value, series = 0.0, []
        for at in range(size + 50):
            value = resemblance * value + chance.gauss(0, 1)
            if at >= 50:  # what it began with is forgotten
                series.append(value)
        yield series
