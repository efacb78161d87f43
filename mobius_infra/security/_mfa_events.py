"""What a second factor tells of, what it counts, and how it refuses. No code is in any of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mobius_infra.core import Event, MobiusError, Stats, counter

Wrong = Literal["wrong", "replayed"]
Factor = Literal["code", "recovery"]


class CodeRefusedError(MobiusError, PermissionError):
    """A code is not right.

    Attributes:
        name: the second factor's.
        user: whose code it was to be.
        reason: `wrong`, or `replayed`: it was right, and had been used.
    """

    def __init__(self, name: str, user: str, reason: Wrong) -> None:
        why = "is wrong" if reason == "wrong" else "was used before; wait for the next one"
        super().__init__(f"second factor {name!r} of {user!r}: the code {why}")
        self.name = name
        self.user = user
        self.reason = reason


class RecoveryCodeNeededError(MobiusError, PermissionError):
    """An account is being guessed at from many sources: a new source needs a recovery code.

    Sources that have been right before go on as ever, so the owner is not locked out.

    Attributes:
        name: the second factor's.
        user: whose account it is.
    """

    def __init__(self, name: str, user: str) -> None:
        super().__init__(
            f"second factor {name!r} of {user!r}: too many wrong codes from elsewhere; "
            "from a new place, use a recovery code"
        )
        self.name = name
        self.user = user


class NotEnrolledError(MobiusError, LookupError):
    """A user has no second factor, or none that waits to be confirmed.

    Attributes:
        name: the second factor's.
        user: who.
    """

    def __init__(self, name: str, user: str) -> None:
        super().__init__(f"second factor {name!r}: {user!r} has not enrolled")
        self.name = name
        self.user = user


@dataclass(frozen=True, slots=True, kw_only=True)
class MfaChanged(Event):
    """A user's second factor was set up, replaced or removed.

    Attributes:
        user: whose it is.
        change: `confirmed`, `removed`, or `codes` for new recovery codes.
    """

    user: str
    change: Literal["confirmed", "removed", "codes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MfaRefused(Event):
    """A code was refused.

    Attributes:
        user: whose it was to be.
        origin: where it came from.
        reason: `wrong`, `replayed`, or `guessed_at` for an account that a new source may open by
            a recovery code only.
    """

    user: str
    origin: str
    reason: Literal["wrong", "replayed", "guessed_at"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryCodeUsed(Event):
    """A recovery code was used: tell its owner.

    Attributes:
        user: whose it was.
        origin: where it came from.
        left: how many are left.
    """

    user: str
    origin: str
    left: int


@dataclass(frozen=True, slots=True)
class MfaStats(Stats):
    """What a second factor counted, in this process."""

    verified: Mapping[str, int] = counter("Codes that were right, by factor", label="factor")
    refused: Mapping[str, int] = counter("Codes that were not, by reason", label="reason")
    throttled: int = counter("Codes that were not looked at, after too many")
