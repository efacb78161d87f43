"""Header fields for those who serve HTTP.

As in the draft "RateLimit header fields for HTTP" (draft-ietf-httpapi-ratelimit-headers-10): both
are lists of structured fields (RFC 9651), an item for each limit. `RateLimit-Policy` has the quota
`q` and its window `w` in seconds, `RateLimit` what remains `r` and the seconds `t` until it is all
there again. `Retry-After` is from RFC 9110, 10.2.3.
"""

from collections import Counter
from collections.abc import Sequence
from math import ceil

from mobius_infra.ratelimit._policy import Decision, Standing


def headers(decision: Decision) -> dict[str, str]:
    """Return the header fields that tell a client of a decision.

        permit = await limiter.acquire(key)
        return Response(headers=headers(permit.decision))

    And of an error, `Response(status=429, headers=headers(error.decision))`.

    Args:
        decision: of a permit, an error, or a peek.

    Returns:
        `RateLimit-Policy` and `RateLimit`; and `Retry-After` if the call was refused. Seconds are
        whole and rounded up: who comes back then is not too early.
    """
    named = _named(decision.limits)
    found = {
        "RateLimit-Policy": ", ".join(
            f"{name};q={each.limit}{_window(each)}" for name, each in named
        ),
        "RateLimit": ", ".join(
            f"{name};r={each.remaining};t={_reset(each, decision)}" for name, each in named
        ),
    }
    if not decision.allowed:
        found["Retry-After"] = str(ceil(decision.retry_after))
    return found


def _named(limits: Sequence[Standing]) -> list[tuple[str, Standing]]:
    """Return the limits with their rates as strings of structured fields; no two are the same."""
    seen: Counter[str] = Counter()
    named = []
    for each in limits:
        seen[each.policy] += 1
        again = f" ({seen[each.policy]})" if seen[each.policy] > 1 else ""
        named.append((f'"{each.policy}{again}"', each))
    return named


def _window(standing: Standing) -> str:
    # A window is whole seconds, at least one; of a shorter one nothing is said.
    return f";w={standing.window:.0f}" if standing.window >= 1 else ""


def _reset(standing: Standing, decision: Decision) -> int:
    # Where there is a Retry-After, the limit that it is about should not speak of another time.
    about = not decision.allowed and standing is decision.tightest
    return ceil(decision.retry_after if about else standing.reset)
