"""How blocks grow, how two of them become one, and how they are written: pure steps."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

from mobius_infra.core import require
from mobius_infra.security._blocklist_names import read_name

FOREVER: Final = float("inf")
_MOST_TIMES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Block:
    """A subject is to be turned away.

    Attributes:
        subject: its name, such as `user:7` or `ip:192.0.2.0/24`.
        since: when it began, in seconds since the epoch by the backend's time.
        until: when it ends; infinity: when it is lifted.
        times: the how manieth in a row it is.
        reason: why, in words.
    """

    subject: str
    since: float
    until: float
    times: int = 1
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Terms:
    """How long blocks last, in seconds.

    Attributes:
        first: the first one.
        factor: how many times longer each next one is.
        longest: the longest.
        forget: after so long without a block, the next one is a first one again.

    Raises:
        ConfigurationError: if a value can't work.
    """

    first: float = 300.0
    factor: float = 4.0
    longest: float = 7 * 86_400.0
    forget: float = 86_400.0

    def __post_init__(self) -> None:
        require_positive("first", self.first)
        require_positive("forget", self.forget)
        require_number("factor", self.factor, 1.0, "a number of 1 or more")
        require_number("longest", self.longest, self.first, "a number not smaller than `first`")


def require_positive(field: str, value: float) -> None:
    """Refuse what is no positive finite number."""
    good = type(value) in (int, float) and 0 < value < FOREVER
    require(good, field, value, "a positive number")


def require_number(field: str, value: float, least: float, allowed: str) -> None:
    """Refuse what is no finite number from `least` on."""
    require(type(value) in (int, float) and least <= value < FOREVER, field, value, allowed)


def next_block(
    held: Block | None, now: float, terms: Terms, subject: str, reason: str
) -> Block | None:
    """Return the block that follows `held`; None while that lasts."""
    if held is None or now - held.until >= terms.forget:
        times = 1
    elif now < held.until:
        return None
    else:
        times = min(held.times + 1, _MOST_TIMES)
    try:
        length = min(terms.first * terms.factor ** (times - 1), terms.longest)
    except OverflowError:
        length = terms.longest
    return Block(subject, now, now + length, times, reason)


def stronger(one: Block | None, other: Block) -> Block:
    """Return of two blocks of a subject the one that lasts longer; in whatever order they come."""
    if one is None:
        return other
    return max(one, other, key=lambda block: (block.until, block.times, -block.since, block.reason))


Shard = Mapping[str, Block]
Changes = Mapping[str, Block | None]


def changed(shard: Shard, changes: Changes, *, oldest: float, most: int) -> dict[str, Block]:
    """Return a shard after changes: blocks to be added, and None for those lifted.

    Args:
        shard: the blocks by subject.
        changes: what is new.
        oldest: what ended before is forgotten.
        most: blocks at most; those that would end soonest are dropped.
    """
    made = dict(shard)
    for subject, block in changes.items():
        if block is None:
            made.pop(subject, None)
        else:
            made[subject] = stronger(made.get(subject), block)
    made = {subject: block for subject, block in made.items() if block.until > oldest}
    if len(made) > most:
        kept = sorted(made.values(), key=lambda block: block.until, reverse=True)[:most]
        made = {block.subject: block for block in kept}
    return made


def write_shard(shard: Shard) -> bytes:
    """Return a shard as bytes; the same shard gives the same bytes."""
    rows = [
        [each.subject, each.since, None if each.until == FOREVER else each.until, each.times,
         each.reason]
        for each in sorted(shard.values(), key=lambda block: block.subject)
    ]  # fmt: skip
    return json.dumps({"blocks": rows}, separators=(",", ":")).encode()


def read_shard(data: bytes | None) -> dict[str, Block]:
    """Read what `write_shard` wrote.

    Raises:
        ValueError: if it did not.
    """
    if data is None:
        return {}
    try:
        blocks = [_read_row(*row) for row in json.loads(data)["blocks"]]
    except (KeyError, TypeError, ValueError, RecursionError, OverflowError) as error:
        raise ValueError("the backend's blocks are not of this version") from error
    return {block.subject: block for block in blocks}


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and isfinite(value)


# Any: whatever the backend holds; only what is of the right kind gets through.
def _read_row(subject: Any, since: Any, until: Any, times: Any, reason: Any, /) -> Block:
    good = (
        isinstance(reason, str)
        and type(times) is int
        and _is_time(since)
        and (until is None or _is_time(until))
        and read_name(subject).text == subject
    )
    if not good:
        raise ValueError(subject)
    return Block(subject, since, FOREVER if until is None else until, times, reason)
