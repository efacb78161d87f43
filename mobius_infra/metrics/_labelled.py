"""A metric: its name, its labels, and as many series as its budget allows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Generic, NamedTuple, TypeVar

from mobius_infra.core import ConfigurationError
from mobius_infra.metrics._family import SLICE, Family, Kind, Labels, Series
from mobius_infra.metrics._heavy import Heavy, HeavyHitters
from mobius_infra.metrics._instruments import Instrument
from mobius_infra.metrics._names import label_value

C = TypeVar("C", bound=Instrument)

OTHER = "other"
"""The value of every label of the series that takes what there is no room for."""

Key = tuple[str, ...]
Failed = Callable[[str, Exception], None]


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a metric is.

    Attributes:
        name: without what a format adds.
        kind: of metric.
        doc: what is counted, in words.
        unit: such as `seconds`; then the name ends in it.
        labels: names.
        extra: labels that every series has beside.
        size: series that one of its label sets makes in Prometheus: 1, or a histogram's buckets
            with sum and count.
        limit: series that it may have.
    """

    name: str
    kind: Kind
    doc: str
    unit: str
    labels: tuple[str, ...]
    extra: Labels
    size: int
    limit: int


Overflowed = Callable[[Declaration, Labels], None]


class Cardinality(NamedTuple):
    """How many series a metric has, and what made them so many.

    Attributes:
        metric: its name.
        series: that it has, as Prometheus counts them.
        limit: that it may have.
        overflowed: times that a label set was asked for that had no room.
        values: different values of each label, in the series that it has.
        heaviest: label sets that had no room, the most frequent first.
    """

    metric: str
    series: int
    limit: int
    overflowed: int
    values: dict[str, int]
    heaviest: tuple[Heavy[Key], ...]


class Labelled(Generic[C]):
    """A metric with labels; `labels` gives the series to add to.

    Past its limit a new label set gets the one series whose labels are all `other`: totals stay
    right, and what had a series before keeps it. Two threads may at the same moment each take the
    last place, so that there may be one series too many a thread.
    """

    __slots__ = (
        "_children", "_heavy", "_make", "_names", "_on_overflow", "_refused_before", "_room",
        "_tickets", "declaration", "overflowed",
    )  # fmt: skip

    def __init__(
        self, declaration: Declaration, make: Callable[[Labels], C], on_overflow: Overflowed
    ) -> None:
        self.declaration = declaration
        self.overflowed = 0
        self._refused_before = 0  # by series that were removed
        self._names = declaration.labels
        self._make = make
        self._on_overflow = on_overflow
        self._children: dict[Key, C] = {}
        # The last place is for `other`.
        self._room = max(declaration.limit // declaration.size - 1, 1)
        self._heavy: HeavyHitters[Key] = HeavyHitters()
        self._tickets = count(1)

    @property
    def name(self) -> str:
        """The metric's name, without what a format adds."""
        return self.declaration.name

    def labels(self, *values: object, **named: object) -> C:
        """Return the series of these label values, in the order declared or by name.

        Values become text. What would break an exposition is replaced, and what is longer than 256
        characters is cut. It may be kept: that saves the look-up.

        Raises:
            ConfigurationError: if these are not the labels that were declared.
        """
        if named:
            values = self._ordered(values, named)
        try:
            child = self._children.get(values)  # type: ignore[arg-type]  # or it is not found
        except TypeError:  # unhashable
            child = None
        return self._find(values) if child is None else child

    def _ordered(self, values: tuple[object, ...], named: dict[str, object]) -> tuple[object, ...]:
        """Return all values in the order declared."""
        rest = self._names[len(values) :]
        try:
            found = [named[name] for name in rest]
        except KeyError:
            raise self._wrong((*values, named)) from None
        if len(named) != len(rest):
            raise self._wrong((*values, named))
        return (*values, *found)

    def _find(self, values: tuple[object, ...]) -> C:
        """Return a series by values that may still have to be made text, or made."""
        if len(values) != len(self._names):
            raise self._wrong(values)
        key = tuple(map(label_value, values))
        child = self._children.get(key)
        if child is not None:
            return child
        if len(self._children) < self._room or not key:
            return self._child(key)
        return self._overflow(key)

    def _child(self, key: Key) -> C:
        labels = (*zip(self._names, key, strict=True), *self.declaration.extra)
        # Whole in all threads: all get the child that came first.
        return self._children.setdefault(key, self._make(labels))

    def _overflow(self, key: Key) -> C:
        self._heavy.add(key)
        self.overflowed = next(self._tickets)  # whole in all threads: one of them gets the first
        if self.overflowed == 1:
            self._on_overflow(self.declaration, tuple(zip(self._names, key, strict=True)))
        return self._child((OTHER,) * len(key))

    def _wrong(self, given: object) -> ConfigurationError:
        wanted = ", ".join(self._names) or "none"
        return ConfigurationError(f"the labels of {self.name}", given, f"these: {wanted}")

    def remove(self, *values: object, **named: object) -> None:
        """Forget a series, such as the gauge of something that is gone.

        Raises:
            ConfigurationError: if these are not the labels that were declared.
        """
        if named:
            values = self._ordered(values, named)
        if len(values) != len(self._names):
            raise self._wrong(values)
        child = self._children.pop(tuple(map(label_value, values)), None)
        self._refused_before += getattr(child, "refused", 0)

    @property
    def refused(self) -> int:
        """Observations that it could not take."""
        if self.declaration.kind not in ("histogram", "summary"):
            return 0
        return self._refused_before + sum(getattr(each, "refused", 0) for each in self.series())

    def families(self, failed: Failed) -> Iterator[Family]:
        """Give its series, some at a time.

        Args:
            failed: called with the metric's name and the error of a series that can't be read.
        """
        declared = self.declaration
        children = self.series()
        step = max(SLICE // declared.size, 1) if declared.kind != "summary" else 10
        for start in range(0, max(len(children), 1), step):  # one that has no series is given too
            read = (self._series(child, failed) for child in children[start : start + step])
            series = tuple(each for each in read if each is not None)
            yield Family(declared.name, declared.kind, declared.doc, series, declared.unit)

    def _series(self, child: C, failed: Failed) -> Series | None:
        try:
            return Series(child.labels, child.read(), child.created)
        except Exception as error:  # noqa: BLE001 - it is counted
            # One callback that is broken must not hide the other series.
            failed(self.name, error)
            return None

    def series(self) -> list[C]:
        """Return those that there are."""
        return list(self._children.values())  # in one go, whatever other threads do

    def cardinality(self) -> Cardinality:
        """Return how many series it has, and what made them so many."""
        keys = list(self._children)
        kept = {name: len({key[at] for key in keys}) for at, name in enumerate(self._names)}
        return Cardinality(
            self.name,
            len(keys) * self.declaration.size,
            self.declaration.limit,
            self.overflowed,
            kept,
            tuple(self._heavy.top()),
        )

    def __len__(self) -> int:
        """Return how many label sets it has."""
        return len(self._children)

    def __repr__(self) -> str:
        labels = ", ".join(self._names)
        return f"Labelled({self.declaration.kind} {self.name!r}, labels=[{labels}], {len(self)})"
