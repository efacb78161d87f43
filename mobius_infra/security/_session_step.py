"""The sessions of one user: all in one state, so that every change of them is atomic.

A session is a list of: its id, the digest of its token, when it was made, when it was last seen,
when a second factor was verified (0: never), a digest of what it is bound to, its label; and the
digest of the token before a rotation, until when that is good, and what had been verified then.
"""

from collections.abc import Callable
from importlib.resources import files
from typing import Any, Final

from mobius_infra.core import Outcome, Scalar, Script, State

ID, TOKEN, CREATED, SEEN, VERIFIED, BINDING, LABEL, OLD, OLD_UNTIL, OLD_VERIFIED = range(10)
LISTED: Final = 5  # values that `list` gives of each session

Answer = tuple[Scalar, ...]
Done = tuple[State, Answer]


def step(
    state: State | None, now: float, op: str, idle: float, absolute: float, /, *args: Scalar
) -> Outcome[Answer]:
    """Forget what has expired, then do `open`, `check`, `rotate`, `end` or `list`."""
    alive = [each for each in state or () if now < _expires(each, idle, absolute)]
    alive, answer = _OPS[op](alive, now, *args)
    if not alive:
        return None, answer, None
    return alive, answer, max(_expires(each, idle, absolute) for each in alive) - now


def _expires(session: State, idle: float, absolute: float) -> float:
    return float(min(session[SEEN] + idle, session[CREATED] + absolute))


def _open(
    alive: State,
    now: float,
    session: str,
    token: str,
    binding: str,
    label: str,
    verified: bool,
    limit: int,
    replaces: bool,
) -> Done:
    if len(alive) >= limit and not replaces:
        return alive, (False, now)
    ended = []
    while len(alive) >= limit:
        oldest = min(alive, key=lambda each: float(each[SEEN]))
        alive.remove(oldest)
        ended.append(oldest[ID])
    since = now if verified else 0
    alive.append([session, token, now, now, since, binding, label, "", 0, 0])
    return alive, (True, now, *ended)


def _check(alive: State, now: float, token: str, binding: str) -> Done:
    for each in alive:
        current = each[TOKEN] == token
        if current or (each[OLD] == token and now < each[OLD_UNTIL]):
            if each[BINDING] not in ("", binding):
                alive.remove(each)
                return alive, ("binding", each[ID])
            each[SEEN] = max(each[SEEN], now)
            return alive, _shown(each, now, each[VERIFIED if current else OLD_VERIFIED])
    return alive, ("unknown", "")


def _rotate(
    alive: State, now: float, token: str, binding: str, new: str, verified: bool, grace: float
) -> Done:
    for each in alive:
        # Not by an old token: what was planted before a rotation must not earn what comes after.
        if each[TOKEN] == token:
            alive, answer = _check(alive, now, token, binding)
            if answer[0] != "ok":
                return alive, answer
            each[OLD], each[OLD_UNTIL], each[OLD_VERIFIED] = token, now + grace, each[VERIFIED]
            each[TOKEN] = new
            if verified:
                each[VERIFIED] = now
            return alive, _shown(each, now, each[VERIFIED])
    return alive, ("unknown", "")


def _end(alive: State, now: float, session: str, keep: str) -> Done:
    """End one session, or where none is named all but one."""
    kept = [each for each in alive if each[ID] != session and (session or each[ID] == keep)]
    return kept, tuple(each[ID] for each in alive if each not in kept)


def _list(alive: State, now: float) -> Done:
    told: list[Any] = [now]
    for each in alive:
        told += [each[ID], each[CREATED], each[SEEN], each[VERIFIED], each[LABEL]]
    return alive, tuple(told)


def _shown(session: State, now: float, verified: float) -> Answer:
    return ("ok", session[ID], session[CREATED], session[SEEN], verified, session[LABEL], now)


_OPS: Final[dict[str, Callable[..., Done]]] = {
    "open": _open,
    "check": _check,
    "rotate": _rotate,
    "end": _end,
    "list": _list,
}

SESSIONS: Final = Script("sessions", step, files(__package__).joinpath("session.lua"))
