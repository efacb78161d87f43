"""One metric's children by the values of its labels, bounded in number."""

from collections.abc import Callable
from typing import Generic, TypeVar

from mobius_infra.core import require
from mobius_infra.metrics._family import Labels
from mobius_infra.metrics._heavy import HeavyHitters
from mobius_infra.metrics._names import clean

C = TypeVar("C")

OTHER = "other"
"""The value of every label of the series that takes what is past the bound."""


class Labelled(Generic[C]):
    """A metric with labels: `orders.labels(kind="market").inc()`.

    There are at most so many children; whatever further values come share one whose labels are all
    `other`, so that no total is lost and what is known already goes on. A user's id as a label
    costs a series each until then, and nothing any more from then on.

    Args:
        name: of the metric.
        names: of its labels.
        most: children, the shared one aside.
        make: makes a child.
        warn: is called once, when the bound is reached.
    """

    __slots__ = (
        "_children", "_heavy", "_make", "_most", "_name", "_names", "_warn", "overflowed",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        names: tuple[str, ...],
        most: int,
        make: Callable[[], C],
        warn: Callable[[], None],
    ) -> None:
        self._name = name
        self._names = names
        self._most = most
        self._make = make
        self._warn = warn
        self._children: dict[tuple[str, ...], C] = {}
        self._heavy: HeavyHitters | None = None
        self.overflowed = 0

    def labels(self, *values: object, **named: object) -> C:
        """Return the child with these values, in the order of the labels or by name.

        Keep it where it is used again and again: that spares the look-up.

        Raises:
            ConfigurationError: for other labels than were declared.
        """
        if named:
            fits = not values and named.keys() == set(self._names)
            require(fits, f"the labels of {self._name}", named, f"exactly {self._names}")
            values = tuple(named[name] for name in self._names)
        try:
            # Values of other types, or that have no hash, are not found, and made text.
            return self._children[values]  # type: ignore[index]
        except (KeyError, TypeError):
            return self._child(values)

    def _child(self, values: tuple[object, ...]) -> C:
        fits = len(values) == len(self._names)
        require(fits, f"the labels of {self._name}", values, f"exactly {self._names}")
        at, children = tuple(clean(each) for each in values), self._children
        if at in children or len(children) < self._most:
            return children.get(at) or children.setdefault(at, self._make())
        if self._heavy is None:
            self._heavy = HeavyHitters()
            self._warn()
        self.overflowed += 1
        self._heavy.add(at)
        # Somebody may use that value himself: still one series, never two of the same labels.
        shared = (OTHER,) * len(self._names)
        return children.get(shared) or children.setdefault(shared, self._make())

    def children(self) -> list[tuple[Labels, C]]:
        """Return all that there are with their labels."""
        names = self._names
        return [
            (tuple(zip(names, at, strict=True)), child)
            for at, child in list(self._children.items())
        ]

    def heavy_hitters(self, number: int = 10) -> list[tuple[tuple[str, ...], int]]:
        """Return the values that were most often sent to the shared child, with about how often."""
        return [] if self._heavy is None else self._heavy.top(number)

    def __repr__(self) -> str:
        return f"Labelled({self._name!r}, {len(self._children)} of {self._most})"
