"""Fixed window: so many in each window, which begins at the multiples of its length.

The state is `[window, used]`: the window's number since the epoch, and what passed in it. The
guarantee: **at most `limit` pass in each of these windows**. A stretch of the same length that lies
across two of them may see twice the limit, all of it in a moment around the border.
"""

from mobius_infra.ratelimit._kind import Kind, Own


def fresh(now: int) -> Own:
    """Begin with the window's first call."""
    return [0, 0]


def look(state: Own, now: int, cost: int, limit: int, window: int, _: int) -> int:
    """Begin the window of `now`; say when the next one begins, if there is no room in this."""
    number = now // window
    if number > state[0]:  # never an earlier one, whose calls are not known any more
        state[0] = number
        state[1] = 0
    if state[1] + cost <= limit:
        return 0
    return (state[0] + 1) * window - now  # type: ignore[no-any-return]  # integers by contract


def spend(state: Own, cost: int, delay: int, limit: int, window: int, _: int, now: int) -> int:
    """Count it; the mark is the window."""
    state[1] += cost
    return state[0]  # type: ignore[no-any-return]  # integers by contract


def refund(
    state: Own, cost: int, mark: int, at: int, limit: int, window: int, _: int, now: int
) -> None:
    """Count it back, if its window still is."""
    if mark == state[0]:
        state[1] = max(state[1] - cost, 0)


def report(state: Own, now: int, limit: int, window: int, _: int) -> tuple[int, int]:
    """Return the room in the window, and when the next one begins."""
    number, used = state
    return limit - used, ((number + 1) * window - now if used else 0)


FIXED = Kind("fixed", fresh, look, spend, refund, report, promises=False)
