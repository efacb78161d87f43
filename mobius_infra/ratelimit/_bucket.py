"""Token bucket, leaky bucket as a meter, and GCRA: one thing, seen from three sides.

A token bucket holds tokens that come at the rate; a leaky bucket holds what was asked for, which
leaks at the rate; the generic cell rate algorithm holds the time at which the bucket would be as
new. What one has the other lacks: `tokens = burst - level`, `level = (time - now) * rate`. They
decide alike (ITU-T I.371, Annex A, says so of the last two; the tests of all three), so one step
serves them, and they differ in what they are given and in the burst they begin with.

The state is `[debt, at]`: tokens owed, in parts of a token of which `count` come a microsecond and
`period` make a token, at a time in microseconds. The guarantee: **in any stretch of w seconds, both
ends included, at most `burst + rate * w` pass**, and whoever keeps to the rate always passes.

Turner, "New directions in communications", IEEE Communications Magazine 24 (10), 1986.
"""

from mobius_infra.ratelimit._kind import Kind, Own


def fresh(now: int) -> Own:
    """Owe nothing."""
    return [0, now]


def look(state: Own, now: int, cost: int, count: int, period: int, capacity: int) -> int:
    """Let time pay the debt; say how long until `cost` fits."""
    debt, at = state
    if now > at:  # a clock that went back pays nothing, and takes nothing away
        debt -= (now - at) * count
        state[0] = debt = max(debt, 0)
        state[1] = now
    over = debt + cost * period - capacity
    return -(-over // count) if over > 0 else 0


def spend(
    state: Own, cost: int, delay: int, count: int, period: int, capacity: int, now: int
) -> int:
    """Owe `cost` more, as of a moment before which nothing is saved up; the mark is the debt."""
    debt: int = state[0]
    then = delay * count
    state[0] = debt = max(debt, then) + cost * period
    return debt


def refund(
    state: Own, cost: int, mark: int, at: int, count: int, period: int, capacity: int, now: int
) -> None:
    """Forget `cost` of the debt, but for what time has paid of it since.

    Without that, a refund after a pause would give twice what came back by itself. And when the
    last call is still to come, it keeps its time: what will have been paid by then is not free for
    others, who would pass together with it.
    """
    unpaid = mark - max(state[1] - at, 0) * count
    if unpaid < state[0]:  # others came after it
        unpaid -= max(state[0] - capacity, 0)
    state[0] -= max(min(unpaid, cost * period, state[0]), 0)


def report(state: Own, now: int, count: int, period: int, capacity: int) -> tuple[int, int]:
    """Return what fits now, and when nothing is owed."""
    debt: int = state[0]
    left = (capacity - debt) // period
    return max(left, 0), -(-debt // count)


BUCKET = Kind("bucket", fresh, look, spend, refund, report, promises=True)
