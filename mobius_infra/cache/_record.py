"""How a value and its invalidations are written in a backend. All times are the backend's own.

A value's record says when its load began. It is valid if nothing that covers it was marked later:
its key, one of its tags, a prefix, or all. Marks are written with the time of the invalidation and
never move.
"""

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from mobius_infra.cache._entry import Life

_HEAD = struct.Struct(">BddddI")
_MARK = struct.Struct(">d")
_VERSION = 1
_MOST_PREFIXES = 100


class RecordError(ValueError):
    """Bytes that are not a record of ours."""


class Record(NamedTuple):
    """A stored value.

    Attributes:
        began: when its load began.
        fresh_until: it is fresh until then.
        stale_until: it may serve in need until then.
        early_for: seconds before its end in which it may be refreshed.
        tags: what invalidates it.
        body: the encoded value.
    """

    began: float
    fresh_until: float
    stale_until: float
    early_for: float
    tags: tuple[str, ...]
    body: bytes

    def write(self) -> bytes:
        tags = "\0".join(self.tags).encode()
        return _HEAD.pack(_VERSION, *self[:4], len(tags)) + tags + self.body

    @classmethod
    def read(cls, data: bytes) -> Self:
        """Read what `write` wrote.

        Raises:
            RecordError: if it is something else.
        """
        try:
            version, began, fresh, stale, early, length = _HEAD.unpack_from(data)
            end = _HEAD.size + length
            tags = tuple(data[_HEAD.size : end].decode().split("\0")) if length else ()
        except (struct.error, UnicodeDecodeError) as error:
            raise RecordError(str(error)) from error
        if version != _VERSION:
            raise RecordError(f"version {version}")
        return cls(began, fresh, stale, early, tags, data[end:])


@dataclass(slots=True)
class Found:
    """A stored value that was read and is valid.

    Attributes:
        value: the value.
        fresh_for: seconds for which it is fresh; negative where it is only stale.
        record: as it was stored.
    """

    value: Any  # Any: whatever was stored
    fresh_for: float
    record: Record

    @property
    def life(self) -> Life:
        """How long it serves."""
        record = self.record
        return Life(self.fresh_for, record.stale_until - record.fresh_until, record.early_for)

    @property
    def age(self) -> float:
        """Seconds since its load began."""
        return self.record.fresh_until - self.fresh_for - self.record.began


def write_mark(at: float) -> bytes:
    """Write the time of an invalidation."""
    return _MARK.pack(at)


def read_mark(data: bytes) -> float:
    """Return the time of an invalidation.

    Raises:
        RecordError: if it is something else.
    """
    try:
        at: float = _MARK.unpack(data)[0]
    except struct.error as error:
        raise RecordError(str(error)) from error
    return at


def marked(data: bytes | None) -> float:
    """Return when something was last invalidated; what is foreign is replaced as if not there."""
    try:
        return float("-inf") if data is None else read_mark(data)
    except RecordError:
        return float("-inf")


class Wide(NamedTuple):
    """What was invalidated by prefix or as a whole, in one value that every read looks at.

    Attributes:
        everything: when all was.
        prefixes: when each prefix was.
    """

    everything: float = float("-inf")
    prefixes: dict[str, float] = {}  # noqa: RUF012 - never changed

    def write(self) -> bytes:
        return json.dumps([self.everything, self.prefixes]).encode()

    @classmethod
    def read(cls, data: bytes | None) -> Self:
        """Read what `write` wrote.

        Raises:
            RecordError: if it is something else.
        """
        if data is None:
            return cls()
        try:
            everything, prefixes = json.loads(data)
            return cls(float(everything), {str(key): float(at) for key, at in prefixes.items()})
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise RecordError(str(error)) from error

    def with_all(self, at: float) -> "Wide":
        later = {prefix: each for prefix, each in self.prefixes.items() if each > at}
        return Wide(max(at, self.everything), later)

    def with_prefixes(self, prefixes: Sequence[str], at: float) -> "Wide":
        marked = {prefix: max(at, self.prefixes.get(prefix, at)) for prefix in prefixes}
        merged = Wide(self.everything, self.prefixes | marked)
        return merged if len(merged.prefixes) <= _MOST_PREFIXES else merged.with_all(at)

    def latest(self, key: str) -> float:
        """Return when `key` was last covered."""
        covering = (at for prefix, at in self.prefixes.items() if key.startswith(prefix))
        return max((self.everything, *covering))
