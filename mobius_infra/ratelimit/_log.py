"""Sliding-window log: each call that passed is remembered for as long as it counts.

The state is `[at, used, time, cost, time, cost, ...]`: the latest time seen, the sum of all costs,
and the calls in order. The guarantee is the one that upstreams ask for: **at most `limit` pass in
any stretch of the window's length** (one end included). Its price is a pair of numbers for each
call in the window, read and written with each decision on a backend: meant for limits up to some
thousands.
"""

from mobius_infra.ratelimit._kind import Kind, Own


def fresh(now: int) -> Own:
    """Remember nothing."""
    return [now, 0]


def look(state: Own, now: int, cost: int, limit: int, window: int, _: int) -> int:
    """Forget what no longer counts; say when enough of the rest will have been forgotten."""
    now = state[0] = max(now, state[0])
    size, past = len(state), 2
    while past < size and state[past] <= now - window:
        state[1] -= state[past + 1]
        past += 2
    if past > 2:
        del state[2:past]
        size = len(state)
    # Not before a call that is to come: that one was there first.
    then: int = now if size == 2 or state[-2] < now else state[-2]
    over, place = state[1] + cost - limit, 2
    while over > 0:
        over -= state[place + 1]
        then = max(then, state[place] + window)
        place += 2
    return then - now


def spend(state: Own, cost: int, delay: int, limit: int, window: int, _: int, now: int) -> int:
    """Remember it; the mark is its time."""
    then: int = state[0] + delay
    if cost:
        state[1] += cost
        if len(state) > 2 and state[-2] == then:
            state[-1] += cost
        else:
            state += (then, cost)
    return then


def refund(
    state: Own, cost: int, mark: int, at: int, limit: int, window: int, _: int, now: int
) -> None:
    """Forget it, if it still counts."""
    for place in range(2, len(state), 2):
        if state[place] == mark:
            less = min(cost, state[place + 1])
            state[1] -= less
            state[place + 1] -= less
            if not state[place + 1]:
                del state[place : place + 2]
            return


def report(state: Own, now: int, limit: int, window: int, _: int) -> tuple[int, int]:
    """Return the room that there is now, and when the last call will have been forgotten."""
    if len(state) == 2:
        return limit, 0
    room = limit - state[1]
    if state[-2] > state[0]:  # whoever comes now comes after one that is to come
        room = 0
    return room, state[-2] + window - state[0]


LOG = Kind("log", fresh, look, spend, refund, report, promises=True)
