"""What a threat detector tells of, and its refusal."""

from dataclasses import dataclass
from typing import Literal

from mobius_infra.core import Event, Rejected
from mobius_infra.security._risk import Answer


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a subject's risk grew.

    Attributes:
        scenario: which scenario's bucket overflowed; `baseline` for the learned one.
        at: when, in seconds since the epoch.
        risk: how much it added.
        seen: what the activities were about, as far as they said.
    """

    scenario: str
    at: float
    risk: float
    seen: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreatDecided(Event):
    """Something was too much, and an answer was chosen.

    Attributes:
        subject: whose it was.
        answer: what is done about it.
        risk: the subject's, all told.
        evidence: what it was.
        seconds: how long a block lasts; None for the other answers.
        times: the how manieth block in a row it is; 0 for the other answers.
        enforced: False in the mode `observe`: what would have been done.
    """

    subject: str
    answer: Answer
    risk: float
    evidence: Evidence
    seconds: float | None
    times: int
    enforced: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockedByHand(Event):
    """A subject was blocked by `block`.

    Attributes:
        subject: who.
        seconds: for how long; None: until it is lifted.
        reason: why.
    """

    subject: str
    seconds: float | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BlocksImported(Event):
    """A list of blocks was taken in.

    Attributes:
        count: how many.
        reason: why.
    """

    count: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockLifted(Event):
    """A block was ended by `unblock`.

    Attributes:
        subject: whose.
    """

    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BlocklistLost(Event):
    """The backend fails: the last known blocks stay, new ones are this process's own for now.

    Attributes:
        reason: what it said.
    """

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BlocklistRestored(Event):
    """The backend's blocks are known again, and it knows this process's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardFailed(Event):
    """Who makes a call could not be told: its arguments do not lead where `guarded` looked.

    Attributes:
        part: `user`, `ip`, `chat` or `verified`.
        error: the exception's kind; its text may tell secrets.
        refused: whether the call was not made for that.
    """

    part: str
    error: str
    refused: bool


class ThreatRefusedError(Rejected):
    """A call was not made, for what its subject has done before.

    Attributes:
        subject: whose risk or block it was; `unknown` for the answer `error`.
        answer: `block`, `step_up` or `throttle`; or `error`: who calls could not be told.
    """

    def __init__(
        self,
        name: str,
        subject: str,
        answer: Answer | Literal["error"],
        *,
        retry_after: float | None,
    ) -> None:
        what = {
            "block": "is blocked",
            "step_up": "must show a second factor",
            "throttle": "must slow down",
            "error": "who calls could not be told",
        }.get(answer, answer)
        super().__init__(f"{name!r}: {subject} {what}", name=name, retry_after=retry_after)
        self.subject = subject
        self.answer = answer
