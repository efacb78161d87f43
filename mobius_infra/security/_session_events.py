"""What sessions tell of, what they count, and how they refuse. No token is in any of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mobius_infra.core import Event, MobiusError, Rejected, Stats, counter

Refusal = Literal["unknown", "binding"]
Ending = Literal["logout", "revoked", "limit", "binding"]


class SessionEndedError(MobiusError, PermissionError):
    """A token opens no session.

    Attributes:
        name: the sessions'.
        reason: `unknown` (never made, expired, revoked or rotated away), or `binding`: it came
            from elsewhere than it was given to, and its session was ended.
    """

    def __init__(self, name: str, reason: Refusal) -> None:
        why = "no session has this token" if reason == "unknown" else "it came from elsewhere"
        super().__init__(f"sessions {name!r} refuse a token: {why}; let the user sign in again")
        self.name = name
        self.reason = reason


class TooManySessionsError(Rejected):
    """A user has as many sessions as he may have.

    Attributes:
        user: whose they are.
        limit: how many he may have.
    """

    def __init__(self, name: str, user: str, limit: int) -> None:
        super().__init__(
            f"sessions {name!r}: {user!r} has {limit} already; one of them must end first",
            name=name,
            retry_after=None,
        )
        self.user = user
        self.limit = limit


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOpened(Event):
    """A user signed in.

    Attributes:
        user: who.
        session: the id of the new session.
    """

    user: str
    session: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRotated(Event):
    """A session was given a new token.

    Attributes:
        user: whose it is.
        session: its id, which stays.
        verified: whether a second factor had just been verified.
    """

    user: str
    session: str
    verified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnded(Event):
    """A session was ended before its time. What expires is not told.

    Attributes:
        user: whose it was.
        session: its id.
        reason: `logout`, `revoked`, `limit` (a newer one took its place), or `binding`: its token
            came from elsewhere, and may have been stolen.
    """

    user: str
    session: str
    reason: Ending


@dataclass(frozen=True, slots=True)
class SessionsStats(Stats):
    """What sessions counted, in this process."""

    opened: int = counter("Sessions opened")
    checked: int = counter("Tokens that opened their session")
    rotated: int = counter("Tokens replaced")
    refused: Mapping[str, int] = counter("Tokens refused, by reason", label="reason")
    ended: Mapping[str, int] = counter("Sessions ended before their time", label="reason")
