"""From many readings to families in which no name and no series comes twice."""

from collections.abc import Iterable

from mobius_infra.metrics._family import Family, Kind, Labels, Series


class Gathered:
    """Families by name, while they are gathered. `extra` labels go on every series."""

    __slots__ = ("_families", "_from", "extra")

    def __init__(self, extra: Labels) -> None:
        self.extra = extra
        self._families: dict[str, Family] = {}
        self._from: dict[str, tuple[Kind, str, dict[Labels, Series]]] = {}

    def put(self, family: Family) -> None:
        """Take a whole family; its labels are complete.

        Raises:
            ValueError: if there is one of its name.
        """
        if family.name in self._families or family.name in self._from:
            raise ValueError(f"there are two families named {family.name}")
        self._families[family.name] = family

    def add(self, name: str, kind: Kind, doc: str, labels: Labels, value: float) -> None:
        """Take one number; those of one name become a family.

        Raises:
            ValueError: if it is of another kind than those before, or has the same labels as one.
        """
        if name in self._families:
            raise ValueError(f"there are two families named {name}")
        first, _, series = self._from.setdefault(name, (kind, doc, {}))
        own = {each for each, _ in labels}
        whole = (*labels, *(each for each in self.extra if each[0] not in own))
        if first != kind or whole in series:
            raise ValueError(f"{name}{dict(whole)} is there already, as a {first}")
        series[whole] = Series(whole, value)

    def families(self) -> Iterable[Family]:
        """Return what was gathered, the small numbers of components first."""
        for name, (kind, doc, series) in self._from.items():
            yield Family(name, kind, doc, tuple(series.values()))
        yield from self._families.values()
