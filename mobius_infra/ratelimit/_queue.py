"""Leaky bucket as a queue: what comes in bursts goes out evenly.

The state is as of a bucket, see `_bucket.py`; but a call passes when all before it has gone, and is
told how long that takes. The guarantee: **in any stretch of w seconds at most one call and
`rate * w` tokens go out**. One that would have more than the queue's length before it is refused.
"""

from mobius_infra.ratelimit._bucket import fresh, spend
from mobius_infra.ratelimit._bucket import look as _pay
from mobius_infra.ratelimit._kind import Kind, Own


def look(state: Own, now: int, cost: int, count: int, period: int, patience: int) -> int:
    """Say how long until what is before it has gone."""
    return _pay(state, now, 0, count, period, 0)


def refund(
    state: Own, cost: int, mark: int, at: int, count: int, period: int, patience: int, now: int
) -> None:
    """Leave the end of the queue. A place before others stays empty: those keep their times."""
    unpaid = mark - max(state[1] - at, 0) * count
    if unpaid == state[0]:
        state[0] -= min(unpaid, cost * period)


def report(state: Own, now: int, count: int, period: int, patience: int) -> tuple[int, int]:
    """Return what can still be put into the queue, and when it is empty."""
    debt: int = state[0]
    left = (patience * count - debt) // period + 1
    return max(left, 0), -(-debt // count)


QUEUE = Kind("queue", fresh, look, spend, refund, report, promises=True)
