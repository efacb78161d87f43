"""A user's second factor: one state, so that a code is good once wherever it is typed in.

The state is a list of: the secret, encrypted; one that is offered and not confirmed yet; the
period of the last code that was taken; failures from sources that are not known, and when these
were counted; digests of recovery codes; digests of sources that have been right.
"""

from collections.abc import Callable
from importlib.resources import files
from typing import Final

from mobius_infra.core import Outcome, Scalar, Script, State

SECRET, OFFERED, LAST, FAILURES, COUNTED, CODES, KNOWN = range(7)
KNOWN_SOURCES: Final = 16

Answer = tuple[Scalar, ...]
Done = tuple[State, Answer]


def step(state: State | None, now: float, op: str, /, *args: Scalar) -> Outcome[Answer]:
    """Do `offer`, `confirm`, `begin`, `take`, `spend`, `codes` or `read`."""
    held = state or ["", "", 0, 0, 0, [], []]
    held, answer = _OPS[op](held, now, *args)
    if held[SECRET] == "" and held[OFFERED] == "":
        return None, answer, None
    return held, answer, None


def _offer(held: State, now: float, offered: str) -> Done:
    held[OFFERED] = offered
    return held, (True,)


def _confirm(held: State, now: float, offered: str, period: int, *codes: str) -> Done:
    if held[OFFERED] != offered or offered == "":
        return held, (False,)
    # What was known of sources stays: it is the same user.
    held[SECRET], held[OFFERED], held[LAST], held[CODES] = offered, "", period, list(codes)
    return held, (True,)


def _begin(held: State, now: float, source: str, limit: int, window: float) -> Done:
    """Return the secret, the time, and whether the source may guess: known ones always may.

    A failure of a source that is not known is counted before it is one, and taken back by
    `take` and `spend`.
    """
    known = source in held[KNOWN]
    leaked = max(0, now - held[COUNTED]) * limit / window
    failures = max(0, held[FAILURES] - leaked)
    free = known or failures + 1 <= limit
    if free and not known and held[SECRET] != "":
        failures += 1
    held[FAILURES], held[COUNTED] = failures, now
    return held, (held[SECRET], now, free)


def _take(held: State, now: float, secret: str, period: int, source: str, rewritten: str) -> Done:
    """Use up a code; `rewritten` is the same secret, as it is encrypted by the newest key."""
    if secret == "" or held[SECRET] != secret or period <= held[LAST]:
        return held, (False,)
    held[SECRET], held[LAST] = rewritten, period
    _right(held, source)
    return held, (True,)


def _spend(held: State, now: float, code: str, source: str) -> Done:
    if code not in held[CODES]:
        return held, (False, len(held[CODES]))
    held[CODES].remove(code)
    _right(held, source)
    return held, (True, len(held[CODES]))


def _right(held: State, source: str) -> None:
    if source in held[KNOWN]:
        held[KNOWN].remove(source)
    else:
        held[FAILURES] = max(0, held[FAILURES] - 1)
    held[KNOWN].append(source)  # the last is the newest
    if len(held[KNOWN]) > KNOWN_SOURCES:
        held[KNOWN].pop(0)


def _codes(held: State, now: float, *codes: str) -> Done:
    if held[SECRET] == "":
        return held, (False,)
    held[CODES] = list(codes)
    return held, (True,)


def _read(held: State, now: float) -> Done:
    return held, (held[SECRET], held[OFFERED], now, len(held[CODES]))


_OPS: Final[dict[str, Callable[..., Done]]] = {
    "offer": _offer,
    "confirm": _confirm,
    "begin": _begin,
    "take": _take,
    "spend": _spend,
    "codes": _codes,
    "read": _read,
}

MFA: Final = Script("mfa", step, files(__package__).joinpath("mfa.lua"))
