"""What was invalidated, and is still to be applied to a tier."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_MOST: Final = 10_000  # invalidations kept for a tier that is down; past it all of it is invalid


@dataclass(frozen=True, slots=True)
class Invalidation:
    """What is to be made invalid.

    Attributes:
        keys: single values.
        tags: all that carry one of them.
        prefixes: all whose key begins with one of them.
        everything: all.
    """

    keys: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    everything: bool = False


class Owed:
    """Invalidations that a tier has not heard of yet, each once, in bounded memory.

    Attributes:
        number: of the latest that was added.
    """

    def __init__(self) -> None:
        self.number = 0
        self._items: dict[tuple[str, str], int] = {}

    def __bool__(self) -> bool:
        return bool(self._items)

    def add(self, what: Invalidation) -> None:
        """Owe one more."""
        items = self._items
        self.number += 1
        for kind, names in (("key", what.keys), ("tag", what.tags), ("prefix", what.prefixes)):
            for name in names:
                items[kind, name] = self.number
        if what.everything or len(items) > _MOST:
            items.clear()
            items["all", ""] = self.number

    def now(self) -> Mapping[str, list[str]]:
        """Return what is owed at present: names by `key`, `tag`, `prefix` and `all`."""
        names = defaultdict[str, list[str]](list)
        for kind, name in self._items:
            names[kind].append(name)
        return names

    def settled(self, number: int) -> None:
        """Owe no longer what had been added by `number`; what came meanwhile, or again, stays."""
        self._items = {item: added for item, added in self._items.items() if added > number}
