"""Sliding-window counter: two fixed windows, of which the earlier fades as the later goes on.

The state is `[window, used, before]`. A call passes while `used + before * (share of the earlier
window that still lies within the last window's length) + cost` is at most the limit. It takes the
memory of two numbers, and assumes that the earlier calls came evenly. It fades by a `tick` at a
time: a microsecond, or a millisecond or second where the numbers would be too large otherwise.

The guarantee: **at most `limit` pass in each aligned window, and at most `2 * limit` in any stretch
of the window's length**. That worst case is real: a whole limit at the end of a window, and after
it a whole limit spread over the next. For an upstream's "N in any window" use the log.

As Cloudflare described it in "How we built rate limiting capable of scaling to millions of
domains", 2017; here with integers throughout.
"""

from mobius_infra.ratelimit._kind import Kind, Own


def fresh(now: int) -> Own:
    """Begin with the window's first call."""
    return [0, 0, 0]


def look(state: Own, now: int, cost: int, limit: int, window: int, tick: int) -> int:
    """Begin the window of `now`; say when the earlier one will have faded enough."""
    number = now // window
    ahead = number - state[0]
    if ahead > 0:
        state[2] = state[1] if ahead == 1 else 0
        state[0], state[1] = number, 0
    used, before = state[1], state[2]
    into = max(now - state[0] * window, 0)  # zero where the clock went back
    room, ticks = limit - used - cost, window // tick
    if room >= 0:
        if before * (ticks - into // tick) <= room * ticks:
            return 0
        return (ticks - room * ticks // before) * tick - into  # type: ignore[no-any-return]
    # In the next window, where what was used in this one fades.
    fades = ticks - (limit - cost) * ticks // used
    return window - into + max(fades, 0) * tick  # type: ignore[no-any-return]


def spend(state: Own, cost: int, delay: int, limit: int, window: int, tick: int, now: int) -> int:
    """Count it; the mark is the window."""
    state[1] += cost
    return state[0]  # type: ignore[no-any-return]  # integers by contract


def refund(
    state: Own, cost: int, mark: int, at: int, limit: int, window: int, tick: int, now: int
) -> None:
    """Count it back where it was counted, if that is still known."""
    place = 1 + state[0] - mark
    if place in (1, 2):
        state[place] = max(state[place] - cost, 0)


def report(state: Own, now: int, limit: int, window: int, tick: int) -> tuple[int, int]:
    """Return the room that there is now, and when both windows have faded."""
    number, used, before = state
    into = max(now - number * window, 0)
    ticks = window // tick
    room = ((limit - used) * ticks - before * (ticks - into // tick)) // ticks
    left = window - into
    reset = left + window if used else left if before else 0
    return max(room, 0), reset


SLIDING = Kind("sliding", fresh, look, spend, refund, report, promises=False)
