"""The decision: several limits as one, all or nothing.

First every limit is looked at, then either all are spent or none. `limits.lua` is the twin; in one
process `evaluate` is called on the state itself.
"""

from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Final, Literal

from mobius_infra.core import Outcome, Script, State
from mobius_infra.ratelimit._bucket import BUCKET
from mobius_infra.ratelimit._fixed import FIXED
from mobius_infra.ratelimit._kind import SECOND, Rule
from mobius_infra.ratelimit._log import LOG
from mobius_infra.ratelimit._queue import QUEUE
from mobius_infra.ratelimit._sliding import SLIDING

KINDS: Final = {kind.name: kind for kind in (BUCKET, QUEUE, FIXED, SLIDING, LOG)}
_WORDS: Final = 5  # of a rule: kind, a, b, c, mark

# A server's own idea of "now" for expiry is in milliseconds, and some of it may have passed
# already: a key that went a moment before its bucket is full would be a gift.
_LATER: Final = 0.002

OWN: Final = -1
"""As patience: none, but for what a queue is long."""

Verdict = tuple[int, int, Sequence[int]]
"""What was granted (-1: refused), the microseconds to wait, and each rule's mark."""


def fresh(rules: Sequence[Rule], now: int) -> State:
    """Return the state of a key that nothing is known of."""
    return [rule.kind.fresh(now) for rule in rules]


def evaluate(
    rules: Sequence[Rule], state: State, now: int, cost: int, most: int, patience: int
) -> Verdict:
    """Take `cost` to `most` tokens, as many as there are, if all rules let `cost` pass.

    Args:
        rules: the limits.
        state: one part for each rule; changed in place, by time alone if it is refused.
        now: microseconds.
        cost: what must be there.
        most: what is taken if it is there.
        patience: microseconds that the cost may be taken ahead of its time; or `OWN`.

    Returns:
        What was granted; the microseconds until it may be used or, refused, asked for again.
    """
    delay = 0
    refused = False
    ahead = max(patience, 0)
    for rule, own in zip(rules, state, strict=True):
        kind, a, b, c = rule
        wait = kind.look(own, now, cost, a, b, c)
        delay = max(delay, wait)
        if kind is QUEUE:  # which has a length of its own
            refused |= wait > (c if patience < 0 else min(c, patience))
        else:
            refused |= wait > ahead
    if refused:
        return -1, delay, ()
    granted = cost
    if most > cost and not delay:
        left = min(
            rule.kind.report(own, now, *rule[1:])[0] for rule, own in zip(rules, state, strict=True)
        )
        granted = max(cost, min(most, left))
    marks = [
        rule.kind.spend(own, granted, delay, *rule[1:], now)
        for rule, own in zip(rules, state, strict=True)
    ]
    return granted, delay, marks


def give_back(
    rules: Sequence[Rule], state: State, now: int, cost: int, at: int, marks: Sequence[int]
) -> None:
    """Give back `cost`, granted at `at`, as far as it has not come back by itself."""
    for rule, own, mark in zip(rules, state, marks, strict=True):
        kind, a, b, c = rule
        kind.look(own, now, 0, a, b, c)
        kind.refund(own, cost, mark, at, a, b, c, now)


def look(rules: Sequence[Rule], state: State, now: int, cost: int) -> int:
    """Return the microseconds until `cost` would pass, taking nothing."""
    return max(
        rule.kind.look(own, now, cost, *rule[1:]) for rule, own in zip(rules, state, strict=True)
    )


def report(rules: Sequence[Rule], state: State, now: int) -> list[tuple[int, int]]:
    """Return tokens left and microseconds until fresh, for each rule; of a state looked at."""
    return [rule.kind.report(own, now, *rule[1:]) for rule, own in zip(rules, state, strict=True)]


def micros(seconds: float) -> int:
    """Return a backend's time in microseconds, which is what it was made from."""
    return int(seconds * SECOND + 0.5)


def written(rules: Sequence[Rule], marks: Sequence[int] = ()) -> tuple[str | int, ...]:
    """Return rules as `decide` takes them: each one's kind, parameters and mark."""
    marks = marks or [0] * len(rules)
    return tuple(
        word
        for (kind, a, b, c), mark in zip(rules, marks, strict=True)
        for word in (kind.name, a, b, c, mark)
    )


def decide(
    state: State | None,
    now: float,
    op: Literal["take", "peek", "refund"],
    cost: int,
    most: int,
    patience: int,
    at: int,
    /,
    *words: str | int,
) -> Outcome[tuple[int, ...]]:
    """Take, look, or give back: the step of every backend.

    Args:
        state: see `evaluate`; None if nothing is known.
        now: seconds.
        op: what to do.
        cost: tokens.
        most: tokens to take if they are there.
        patience: microseconds; see `evaluate`.
        at: when what is given back was granted, in microseconds.
        words: of the limits; see `written`.

    Returns:
        Granted (-1: refused), wait, now; and for each rule tokens left, microseconds until fresh
        and mark.
    """
    time = micros(now)
    rules, given = _rules(words)
    if state is None:
        state = fresh(rules, time)
    granted, wait, marks = 0, 0, [0] * len(rules)
    if op == "take":
        granted, wait, found = evaluate(rules, state, time, cost, most, patience)
        marks = list(found) or marks
    elif op == "peek":
        wait = look(rules, state, time, cost)
    else:
        give_back(rules, state, time, cost, at, given)
    told = [granted, wait, time]
    reset = 0
    for (left, until), mark in zip(report(rules, state, time), marks, strict=True):
        told += (left, until, mark)
        reset = max(reset, until)
    if not reset:  # what is as fresh need not be kept
        return None, tuple(told), None
    return state, tuple(told), reset / SECOND + _LATER


# Any: a name and four integers by turns, which the type system can't say.
def _rules(words: Sequence[Any]) -> tuple[list[Rule], list[int]]:
    each = [words[place : place + _WORDS] for place in range(0, len(words), _WORDS)]
    return [Rule(KINDS[name], a, b, c) for name, a, b, c, _ in each], [mark for *_, mark in each]


DECIDE: Final = Script("ratelimit", decide, files(__package__).joinpath("limits.lua"))
TAKE_OF_BUCKET: Final = Script(
    "ratelimit bucket", decide, files(__package__).joinpath("bucket.lua")
)
"""The same where it takes of one bucket and of nothing else; quicker on a server."""
