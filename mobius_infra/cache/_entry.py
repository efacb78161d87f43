"""A value in memory, and what is needed to load one."""

from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, Final

from mobius_infra.cache._keys import tag_name
from mobius_infra.core import Codec

# Any, in this module: whatever is cached.
Loader = Callable[[], Awaitable[Any]]
Ttl = float | Callable[[Any], float]

NEVER: Final = float("-inf")
FOREVER: Final = float("inf")

MISSING: Any = type("Missing", (), {"__repr__": lambda _: "MISSING"})()
"""Stands for no value, since None is one."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What is held instead of a value while an exception is cached."""

    error: BaseException


class Entry:
    """A value and until when it serves, by the cache's monotonic clock.

    Attributes:
        key: under which it is held.
        value: what was loaded, or a `Failure`.
        until: a hit before then is served with nothing else to be done: no refresh is due, nobody
            is to be told. `NEVER` if each hit must be looked at.
        fresh_until: it serves until then.
        stale_until: it may serve in need until then.
        idle_until: it serves until then, which moves with every hit.
        tags: what invalidates it.
        sequence: of the cache's marks, when its load began.
        visited: it was read since the policy was told last.
        index: where a decorated function finds it by its arguments, without making a key.
        alias: the arguments, in that index.
        kinds: the types of those arguments: `1`, `True` and `1.0` are equal, and not the same.
    """

    __slots__ = (
        "alias",
        "fresh_until",
        "idle_until",
        "index",
        "key",
        "kinds",
        "sequence",
        "stale_until",
        "tags",
        "until",
        "value",
        "visited",
    )

    def __init__(self, key: str) -> None:
        self.key = key
        self.value: Any = MISSING
        self.until = self.fresh_until = self.stale_until = self.idle_until = NEVER
        self.tags: tuple[str, ...] = ()
        self.sequence = 0
        self.visited = False
        self.index: dict[Hashable, Entry] | None = None
        self.alias: Hashable = None
        self.kinds: Any = None


@dataclass(slots=True)
class Life:
    """How long a value serves, in seconds from now.

    Attributes:
        fresh_for: it is fresh; negative where it is only stale.
        stale_for: seconds more in which it may serve in need.
        early_for: seconds before its end in which it may be refreshed.
    """

    fresh_for: float
    stale_for: float
    early_for: float = 0.0


@dataclass(frozen=True, slots=True)
class Terms:
    """What all values of one function are kept under.

    Attributes:
        codec: writes and reads them.
        ttl: seconds that one is fresh, or a function of the value; the cache's if None.
        when: whether a value is worth keeping; None: each is.
        alone: they are loaded many at a time, and wait for no other process.
    """

    codec: Codec[Any]
    ttl: Ttl | None = None
    when: Callable[[Any], bool] | None = None
    alone: bool = False


@dataclass(slots=True)
class Recipe:
    """All that it takes to load a value and to keep it.

    Attributes:
        key: under which it is held.
        call: loads it.
        tags: what invalidates it.
        terms: what else all of its kind have in common.
    """

    key: str
    call: Loader
    tags: tuple[str, ...]
    terms: Terms

    def __post_init__(self) -> None:
        if self.tags:
            self.tags = tuple(map(tag_name, self.tags))
