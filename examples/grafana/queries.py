"""What a panel and a row are, and the PromQL that most of them ask in.

`$scope` stands for the label filter by the dashboard's variables.
"""

from dataclasses import dataclass
from typing import Literal

Sort = Literal["timeseries", "stat", "state-timeline"]


@dataclass(frozen=True)
class Panel:
    """One picture.

    Attributes:
        title: what it answers.
        queries: legend and expression of each line.
        unit: Grafana's name of one.
        sort: what it is drawn as.
        help: what to make of it, shown at the title.
        bad: values from here on are red, where there is such a bound.
        stack: whether the lines add up to something.
        states: of a state timeline, what its numbers stand for, the best first.
    """

    title: str
    queries: dict[str, str]
    unit: str = "short"
    sort: Sort = "timeseries"
    help: str = ""
    bad: float | None = None
    stack: bool = False
    states: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """Panels of one component; folded but for the first row, and only drawn once unfolded."""

    title: str
    panels: list[Panel]


def rate(metric: str, by: str = "name") -> str:
    """Return what a counter does a second."""
    return f"sum by ({by}) (rate({metric}{{$scope}}[$__rate_interval]))"


def total(metric: str, by: str = "name") -> str:
    """Return a gauge, added up over workers and instances."""
    return f"sum by ({by}) ({metric}{{$scope}})"


def share(part: str, *others: str) -> str:
    """Return which part of a whole a counter is, the whole being the sum with the others."""
    whole = " + ".join(rate(each) for each in (part, *others))
    return f"{rate(part)} / ({whole} > 0)"


def states(title: str, metric: str, *names: str, help: str = "") -> Panel:  # noqa: A002
    """Return a line for each component, whose colour is its state; of many workers the worst."""
    numbered = " or ".join(
        f'({metric}{{$scope, state="{name}"}} == 1) * {number}' for number, name in enumerate(names)
    )
    query = {"{{name}} {{instance}}": f"max by (name, instance) ({numbered})"}
    return Panel(title, query, sort="state-timeline", states=names, help=help)


def added(*summands: str) -> str:
    """Return the sum of sums of which any may be missing."""
    # Not one sum of all with `or` between: that takes series of the same labels for the same.
    return " + ".join(f"(sum({each}) or vector(0))" for each in summands)
